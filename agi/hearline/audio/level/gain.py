"""How far a soft speaker's line is raised: from what the ears heard to a gain in whole dB. Of callers and agents alike.

One gain for the whole of what was heard, not one that follows the sound: it cannot pump, and in a pause it raises the
noise no further than in speech.
"""

import math

from hearline.audio.hearing import Hearing, Verdict
from hearline.audio.settings import DEFAULT, CallSettings

NOMINAL_DBOV = -26.0
"""Where telephone speech is meant to lie (active level, ITU-T P.56); nobody is raised beyond it."""
NOISE_LIMIT_DBOV = -45.0
"""What is there between the words is not lifted over this: louder, it is a noise that one has to listen through."""


def line_gain_db(hearing: Hearing, max_gain_db: int, ears: CallSettings = DEFAULT) -> int:
    """By how many dB a line on which this was heard is to be raised: 0…`max_gain_db`.

    0 where nobody spoke (noise alone is never raised) and for everybody who is at a normal level. Whole dB, rounded
    down: finer steps cannot be heard, and every limit holds to the end.
    """
    level_dbov = hearing.active_level_dbov
    if level_dbov is None or not hearing.speech_ms or level_dbov >= ears.normal_dbov:
        return 0
    room_db = min(max_gain_db, NOMINAL_DBOV - level_dbov, NOISE_LIMIT_DBOV - hearing.noise_level_dbov)
    return max(0, math.floor(room_db))


def verdict_when_raised(hearing: Hearing, gain_db: int, ears: CallSettings = DEFAULT) -> Verdict:
    """What the line carries once it is raised by `gain_db`: who was too soft may be so no longer."""
    level_dbov = hearing.active_level_dbov
    if gain_db and hearing.verdict == "too_soft" and level_dbov is not None:
        return "speech" if level_dbov + gain_db >= ears.too_soft_dbov else "too_soft"
    return hearing.verdict


def gain_factor(gain_db: float) -> float:
    """`gain_db` as a factor on samples."""
    return 10 ** (gain_db / 20)
