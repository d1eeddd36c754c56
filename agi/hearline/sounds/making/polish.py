"""A raw voice (synthetic or from a studio) made ready for the telephone.

Mono, high-pass at 80 Hz, resampled, levelled to one active level, edges trimmed and faded, peaks kept under
full scale, 16 bit. pydub holds, cuts, fades and writes; resampling is soxr's (pydub's has no filter).
"""

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hearline.audio.level.p56 import SILENCE_DBOV, active_speech_level
from hearline.sounds.clipping import CLIPPED_RUN, longest_clipped_run
from hearline.sounds.edges import silence_at_edges
from hearline.sounds.making.voice_extra import voice_extra

if TYPE_CHECKING:
    from pydub import AudioSegment

HIGH_PASS_HZ = 80
KEPT_BEFORE_MS, KEPT_AFTER_MS = 5, 10  # silence left at the edges, inside of which the fades lie
FRAME_MS = 20  # a sound fills whole frames of the telephone, so that its end is where its file ends
FADE_IN_MS, FADE_OUT_MS = 4, 8
PEAK_DBFS = -1.0
"""Highest sample allowed: A-law and other people's resamplers need room."""

_LEVEL_EXACT_DB = 0.05


class RecordingError(Exception):
    """A recording cannot be used; the text says why."""


def read_recording(path: Path) -> "AudioSegment":
    """Any WAV a studio may deliver (8–192 kHz, 8–32 bit or float, mono or stereo) as 32-bit mono."""
    soundfile = voice_extra("soundfile")
    try:
        samples, rate = soundfile.read(io.BytesIO(path.read_bytes()), dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise RecordingError(f"not a WAV that can be read ({error})") from error
    if not 8000 <= rate <= 192_000:
        raise RecordingError(f"its rate of {rate} Hz is not within 8–192 kHz")
    for channel in samples.T:
        run = longest_clipped_run(channel)
        if run >= CLIPPED_RUN:
            # Levelling would only hide it.
            raise RecordingError(f"it is clipped ({run} samples in a row at full scale): record it with less gain")
    return _segment(samples, rate, samples.shape[1]).set_channels(1)


def segment_of(samples: np.ndarray, rate: int) -> "AudioSegment":
    """Float ±1 [n] as a 32-bit mono segment."""
    return _segment(samples, rate, 1)


def polish(raw: "AudioSegment", rate: int, level_dbov: float, *, loops: bool = False) -> "AudioSegment":
    """`raw` (32-bit mono) ready for the telephone at `rate` Hz and `level_dbov`, 16 bit.

    The level is the active one of speech. A sound that `loops` (music) keeps its edges, which meet.
    """
    soxr = voice_extra("soxr")
    samples = samples_of(raw)
    if loops:
        # Filters see the neighbours that the loop gives the edges: a second more on either side.
        turn = raw.frame_rate
        samples = np.concatenate([samples[-turn:], samples, samples[:turn]])
    samples = high_pass(samples, raw.frame_rate, HIGH_PASS_HZ)
    if raw.frame_rate != rate:
        samples = soxr.resample(samples, raw.frame_rate, rate, quality="VHQ")
    if loops:
        samples = samples[rate:-rate]
    if active_speech_level(samples, rate).active_dbov <= SILENCE_DBOV:
        raise RecordingError("it is silent")
    sound = segment_of(levelled(samples, rate, level_dbov), rate)
    if not loops:
        sound = _trimmed(sound)
        sound = segment_of(levelled(samples_of(sound), rate, level_dbov), rate)
    return sound.set_sample_width(2)


def wav_bytes(sound: "AudioSegment") -> bytes:
    """`sound` as a RIFF file."""
    return sound.export(io.BytesIO(), format="wav").getvalue()


def samples_of(sound: "AudioSegment") -> np.ndarray:
    """A mono segment as float32 ±1 [n]."""
    full_scale = float(1 << (8 * sound.sample_width - 1))
    return (np.array(sound.get_array_of_samples()) / full_scale).astype(np.float32)


def high_pass(samples: np.ndarray, rate: int, corner_hz: float) -> np.ndarray:
    """Fourth-order Butterworth magnitude without phase shift: rumble goes, the edges stay where they are."""
    padded = np.fft.rfft(samples, len(samples) + rate // 10)
    frequency = np.fft.rfftfreq(len(samples) + rate // 10, 1 / rate)
    with np.errstate(divide="ignore"):
        padded *= 1 / np.sqrt(1 + (corner_hz / frequency) ** 8)
    return np.fft.irfft(padded, len(samples) + rate // 10)[: len(samples)].astype(np.float32)


def levelled(samples: np.ndarray, rate: int, level_dbov: float) -> np.ndarray:
    """`samples` at the active level wanted; peaks over PEAK_DBFS are rounded off, not cut."""
    for _ in range(4):  # rounding off peaks costs level: a second round gives it back
        miss = level_dbov - active_speech_level(samples, rate).active_dbov
        if abs(miss) < _LEVEL_EXACT_DB:
            break
        samples = round_off_peaks(samples * 10 ** (miss / 20))
    return samples


def round_off_peaks(samples: np.ndarray) -> np.ndarray:
    """Leaves all under 70 % of the peak allowed alone and bends the rest below it."""
    ceiling = 10 ** (PEAK_DBFS / 20)
    knee = 0.7 * ceiling
    size = np.abs(samples)
    if size.max(initial=0) <= ceiling:
        return samples
    bent = knee + (ceiling - knee) * np.tanh((size - knee) / (ceiling - knee))
    return np.where(size > knee, np.sign(samples) * bent, samples).astype(np.float32)


def _trimmed(sound: "AudioSegment") -> "AudioSegment":
    before, after = silence_at_edges(samples_of(sound), sound.frame_rate)
    quiet = _audio_segment_class().silent(FRAME_MS + KEPT_AFTER_MS, frame_rate=sound.frame_rate).set_sample_width(4)
    # A recording may begin on its first syllable: give it the silence that the fades need.
    sound = quiet[: max(0, KEPT_BEFORE_MS - before)] + sound + quiet[: max(0, KEPT_AFTER_MS - after)]
    start = max(0, before - KEPT_BEFORE_MS)
    end = len(sound) - max(0, after - KEPT_AFTER_MS)
    sound = sound[start:end].fade_in(FADE_IN_MS).fade_out(FADE_OUT_MS)
    return sound + quiet[: -len(sound) % FRAME_MS]


def _segment(samples: np.ndarray, rate: int, channels: int) -> "AudioSegment":
    """Float ±1, [n] or [n, channels], as a 32-bit segment."""
    data = np.clip(np.asarray(samples, np.float64) * 2**31, -(2**31), 2**31 - 1).astype("<i4")
    return _audio_segment_class()(data.tobytes(), sample_width=4, frame_rate=rate, channels=channels)


def _audio_segment_class() -> "type[AudioSegment]":
    return voice_extra("pydub").AudioSegment
