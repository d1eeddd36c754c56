"""Labels for clean speech: when it begins, when it ends, and when a given amount of it was heard."""

import numpy as np

from hearline.audio.level.p56 import MARGIN_DB, power_to_dbov

FRAME = 80  # samples per label at 8 kHz: 10 ms
_FRAME_MS = 10

# Speech begins with the first frame less than 30 dB under the active level that is not alone: four of it and the five
# after it qualify. A smaller distance would cut off soft consonants; a single frame may be a click or a breath.
# The end is found in the same way, backwards.
ONSET_UNDER_ACTIVE_DB = 30.0
_SUSTAINED_FRAMES, _SUSTAINED_OF = 4, 6
# Frames that reach P.56's margin count as talking, and so do 200 ms after each (P.56's hangover).
_HANGOVER_FRAMES = 20


def frame_levels_dbov(x: np.ndarray) -> np.ndarray:
    """RMS level of each 10 ms of `x` [n] at 8 kHz, in dBov."""
    whole = x[: x.size // FRAME * FRAME].reshape(-1, FRAME)
    return power_to_dbov(np.mean(np.square(whole, dtype=np.float64), axis=1))


def onset_and_end_ms(clean: np.ndarray, active_dbov: float) -> tuple[int, int]:
    """(onset, end) of the clean speech `clean` [n], whose active level is `active_dbov`, in ms since its first
    sample."""
    heard = frame_levels_dbov(clean) >= active_dbov - ONSET_UNDER_ACTIVE_DB

    def first(flags: np.ndarray) -> int:
        padded = np.concatenate([flags, np.zeros(_SUSTAINED_OF - 1, bool)])
        around = np.lib.stride_tricks.sliding_window_view(padded, _SUSTAINED_OF).sum(axis=1)
        return int(np.argmax(flags & (around >= _SUSTAINED_FRAMES)))

    return first(heard) * _FRAME_MS, (heard.size - first(heard[::-1])) * _FRAME_MS


def talking(clean: np.ndarray, active_dbov: float, hangover_frames: int = _HANGOVER_FRAMES) -> np.ndarray:
    """For each 10 ms of `clean` [n], True if it is active speech, hangover included."""
    loud = frame_levels_dbov(clean) >= active_dbov - MARGIN_DB
    padded = np.concatenate([np.zeros(hangover_frames, bool), loud])
    return np.lib.stride_tricks.sliding_window_view(padded, hangover_frames + 1).any(axis=1)


def spoken_by_ms(clean: np.ndarray, active_dbov: float, speech_ms: int) -> int | None:
    """When `speech_ms` of active speech had been heard, in ms since the first sample; None if there is less."""
    spoken = np.cumsum(talking(clean, active_dbov)) * _FRAME_MS
    return int(np.argmax(spoken >= speech_ms) + 1) * _FRAME_MS if spoken[-1] >= speech_ms else None
