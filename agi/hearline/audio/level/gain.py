"""The gain by which a soft speaker's line is raised, in whole dB, for callers and agents alike.

It is one gain, computed from all that was heard, and does not follow the sound: so it cannot pump, and raises noise in
pauses no more than in speech.
"""

import math

from hearline.audio.hearing import Hearing, Verdict
from hearline.audio.settings import DEFAULT, CallSettings

NOMINAL_DBOV = -26.0
"""The nominal active level of telephone speech (ITU-T P.56); no line is raised above it."""
NOISE_LIMIT_DBOV = -45.0
"""The noise between the words is not raised above this: louder, it would disturb the listener."""


def line_gain_db(hearing: Hearing, max_gain_db: int, ears: CallSettings = DEFAULT) -> int:
    """The gain for a line on which this was heard, 0…`max_gain_db`, in whole dB.

    It is 0 if nobody spoke (noise alone is never raised) or the level is normal. It is rounded down: finer steps are
    inaudible, and so no limit is exceeded.
    """
    level_dbov = hearing.active_level_dbov
    if level_dbov is None or not hearing.speech_ms or level_dbov >= ears.normal_dbov:
        return 0
    room_db = min(max_gain_db, NOMINAL_DBOV - level_dbov, NOISE_LIMIT_DBOV - hearing.noise_level_dbov)
    return max(0, math.floor(room_db))


def verdict_when_raised(hearing: Hearing, gain_db: int, ears: CallSettings = DEFAULT) -> Verdict:
    """The verdict on the line after raising it by `gain_db`: "too_soft" may become "speech"."""
    level_dbov = hearing.active_level_dbov
    if gain_db and hearing.verdict == "too_soft" and level_dbov is not None:
        return "speech" if level_dbov + gain_db >= ears.too_soft_dbov else "too_soft"
    return hearing.verdict


def gain_factor(gain_db: float) -> float:
    """`gain_db` as a factor on samples."""
    return 10 ** (gain_db / 20)
