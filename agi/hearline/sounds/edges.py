"""Where speech begins and ends in a finished sound."""

import numpy as np

from hearline.audio.level.p56 import active_speech_level, power_to_dbov, to_float

LEADING_MS = 15
"""The most silence before the first sound; more of it sounds like a pause before the prompt."""
TRAILING_MS = 35
"""The most silence after the last sound: timers run from the end of the file, but callers wait from the last sound."""

_STEP_MS = 5
_UNDER_ACTIVE_DB = 30.0  # a frame this far under the active level is silence
_FLOOR_DBOV = -70.0  # and one under this always is


def silence_at_edges(samples: np.ndarray, rate: int) -> tuple[int, int]:
    """(ms of silence before, ms after) the audible part of `samples` [n] (int16 or float ±1).

    If everything is silent: (whole length, 0).
    """
    step = rate * _STEP_MS // 1000
    whole = len(samples) // step * step
    limit = max(active_speech_level(samples, rate).active_dbov - _UNDER_ACTIVE_DB, _FLOOR_DBOV)
    frames = to_float(samples)[:whole].reshape(-1, step)
    heard = np.flatnonzero(power_to_dbov(np.mean(frames * frames, axis=1)) > limit)
    if not heard.size:
        return round(len(samples) * 1000 / rate), 0
    return int(heard[0]) * _STEP_MS, round((len(samples) - (int(heard[-1]) + 1) * step) * 1000 / rate)
