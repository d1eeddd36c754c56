"""What does the line carry while nobody speaks? Takes ten looks a second at every slot, and remembers them for as long
as a prompt and the wait after it last.

Steady sounds are judged by the last 3 s. A single sound (a knock, a click, a cough) may come at any time since the
question; if `sign_of_life` is set, one is enough for noise. Echo of our own prompt is left out.
"""

import numpy as np

from hearline.audio.hearing import Reason, Verdict
from hearline.audio.level.p56 import SILENCE_DBOV, dbov_to_power
from hearline.audio.settings import FRAME_MS, SAMPLE_RATE_HZ, EarSettings
from hearline.audio.slots import Column, SlotTable

LOOK_FRAMES = 5  # one look every 100 ms
LOOKS = 128  # remembered: 12.8 s
_STEADY_LOOKS = 30  # the last 3 s, by which steady sounds are judged
HUM_LAG = SAMPLE_RATE_HZ // 10  # 100 ms are whole periods of both 50 and 60 Hz
_FLOOR_PERCENTILE = 0.1
_LAST = np.arange(-_STEADY_LOOKS, 0)
_WHOLE_LOOKS = 5  # this many looks without a missing frame are enough to judge by
_SOUND_LOOKS = 2  # a look covers 200 ms, so even the shortest sound is in two


class Background:
    """200 ms levels, tones, hum, missing frames and echo of the last 12.8 s of every slot."""

    def __init__(self, capacity: int, settings: EarSettings):
        self._settings = settings
        looks = (LOOKS,)
        self._table = SlotTable(
            capacity,
            count=Column(np.int32),  # looks taken since open
            level_dbov=Column(np.float32, fresh=np.inf, shape=looks),  # +inf: no look yet
            tone=Column(np.bool_, shape=looks),
            hum=Column(np.bool_, shape=looks),
            missing=Column(np.float32, shape=looks),  # share of missing frames
            echo=Column(np.bool_, shape=looks),
            floor_power=Column(np.float32, fresh=np.inf),  # mean square
            sign_of_life=Column(np.bool_),
        )

    def grow(self, capacity: int) -> None:
        self._table.grow(capacity)

    def clear(self, slot: int, sign_of_life: bool) -> None:
        """Reset the slot for a new call. `sign_of_life`: a single sound on it counts as noise."""
        self._table.clear(slot)
        self._table.sign_of_life[slot] = sign_of_life

    def look(
        self,
        slots: np.ndarray,
        level_dbov: np.ndarray,
        tone: np.ndarray,
        hum: np.ndarray,
        missing: np.ndarray,
        echo: np.ndarray,
    ) -> None:
        """Record one look at `slots`. Each array is [slots]: level of the last 200 ms, is it a tone, is it hum, share
        of missing frames, is it an echo of our own prompt."""
        t = self._table
        at = t.count[slots] % LOOKS
        t.level_dbov[slots, at] = level_dbov
        t.tone[slots, at] = tone
        t.hum[slots, at] = hum
        t.missing[slots, at] = missing
        t.echo[slots, at] = echo
        t.count[slots] += 1
        count = t.count[slots]
        last = t.level_dbov[slots[:, None], (count[:, None] + _LAST) % LOOKS]
        last.sort(axis=1)  # looks not taken yet sort to the end
        rank = (_FLOOR_PERCENTILE * (np.minimum(count, _STEADY_LOOKS) - 1)).astype(np.intp)
        t.floor_power[slots] = dbov_to_power(last[np.arange(len(slots)), rank])

    def floor_power(self, slots: np.ndarray | slice) -> np.ndarray:
        """10th percentile [slots] of the 200 ms levels of the last 3 s, as mean square; +inf before the first look."""
        return self._table.floor_power[slots]

    def noise_dbov(self, slot: int, since_ms: int) -> float:
        """Median of the 200 ms levels over the last `since_ms` (3 s at most)."""
        looks = self._recent(slot, since_ms)[-_STEADY_LOOKS:]
        return float(np.median(self._table.level_dbov[slot, looks])) if looks.size else SILENCE_DBOV

    def verdict(self, slot: int, since_ms: int) -> tuple[Verdict, Reason]:
        """No signal or noise, with the reason, over the last `since_ms` (12.8 s at most), without our prompt's echo."""
        t = self._table
        looks = self._recent(slot, since_ms)
        looks = looks[~t.echo[slot, looks]]
        verdict, reason = self._steady(slot, looks[-_STEADY_LOOKS:])
        if verdict == "no_signal" and t.sign_of_life[slot]:
            sounds = looks[stands_out(t.level_dbov[slot, looks], self._settings)]
            if sounds.size >= _SOUND_LOOKS:
                return "noise", "tone" if t.tone[slot, sounds].mean() > 0.5 else "sound"
        return verdict, reason

    def _steady(self, slot: int, looks: np.ndarray) -> tuple[Verdict, Reason]:
        """The verdict of the majority of these looks."""
        s, t = self._settings, self._table
        if not looks.size:
            return "no_signal", "echo" if t.count[slot] else "digital_silence"
        level = t.level_dbov[slot, looks]
        silent = (level < s.silence_dbov).mean() >= s.silence_share
        if silent and t.missing[slot, looks].mean() > 0.5:
            return "no_signal", "no_rtp"
        if (level < s.digital_silence_dbov).mean() >= s.silence_share:
            return "no_signal", "digital_silence"
        if silent:
            return "no_signal", "comfort_noise"
        whole = t.missing[slot, looks] == 0
        if whole.sum() >= _WHOLE_LOOKS:  # lost frames make a steady sound look unsteady
            looks, level = looks[whole], level[whole]
        low, median, high = _percentiles(level, 10, 50, 90)
        audible = level >= s.silence_dbov
        if t.tone[slot, looks][audible].mean() > 0.5:
            return "noise", "tone"
        if median < s.hum_below_dbov and t.hum[slot, looks][audible].mean() > 0.5:
            return "no_signal", "hum"
        if median < s.comfort_noise_below_dbov and high - low < s.comfort_noise_spread_db:
            return "no_signal", "comfort_noise"
        return "noise", "noise"

    def _recent(self, slot: int, since_ms: int) -> np.ndarray:
        """The indices of the looks of the last `since_ms` (at least 500 ms, so that there are some), oldest first."""
        count = int(self._table.count[slot])
        wanted = max(since_ms, 500) // (LOOK_FRAMES * FRAME_MS)
        return np.arange(count - min(count, wanted, LOOKS), count) % LOOKS


def stands_out(level_dbov: np.ndarray, s: EarSettings) -> np.ndarray:
    """Which of these looks [n] hold a sound that stands out from the others: bool [n]."""
    if not level_dbov.size:
        return np.zeros(0, bool)
    return level_dbov >= max(s.silence_dbov, float(np.median(level_dbov)) + s.sound_rise_db)


def _percentiles(x: np.ndarray, *percents: float) -> np.ndarray:
    """Like `np.percentile`, but ten times as fast for a few values."""
    return np.interp(np.array(percents) * ((x.size - 1) / 100), np.arange(x.size), np.sort(x))


def repeats(samples: np.ndarray, correlation: float) -> np.ndarray:
    """Which rows of `samples` [calls, n > 800] repeat after 100 ms, as hum does: bool [calls]."""
    x = samples.astype(np.float32)
    x -= x.mean(axis=1, keepdims=True)
    early, late = x[:, :-HUM_LAG], x[:, HUM_LAG:]
    together = np.einsum("ij,ij->i", early, late)
    alone = np.sqrt(np.einsum("ij,ij->i", early, early) * np.einsum("ij,ij->i", late, late))
    return together > correlation * np.maximum(alone, 1e-6)
