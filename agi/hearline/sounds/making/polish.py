"""Prepares raw sound (synthetic, or from a studio) for the telephone.

The result is mono, high-passed at 80 Hz, resampled, brought to one active level, trimmed and faded at the edges, with
peaks below full scale, in 16 bit. pydub cuts, fades and writes; soxr resamples, since pydub does so without a filter.
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
KEPT_BEFORE_MS, KEPT_AFTER_MS = 5, 10  # silence kept at the edges; the fades lie within it
FRAME_MS = 20  # sounds are padded to whole frames, so that playing ends exactly with the file
FADE_IN_MS, FADE_OUT_MS = 4, 8
PEAK_DBFS = -1.0
"""The highest peak allowed, since A-law and later resampling need headroom."""

_LEVEL_EXACT_DB = 0.05


class RecordingError(Exception):
    """The recording cannot be used; the message says why."""


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
            # Levelling would only hide the clipping.
            raise RecordingError(f"it is clipped ({run} samples in a row at full scale): record it with less gain")
    return _segment(samples, rate, samples.shape[1]).set_channels(1)


def segment_of(samples: np.ndarray, rate: int) -> "AudioSegment":
    """Float ±1 [n] as a 32-bit mono segment."""
    return _segment(samples, rate, 1)


def polish(raw: "AudioSegment", rate: int, level_dbov: float, *, loops: bool = False) -> "AudioSegment":
    """Prepare `raw` (32-bit mono) for the telephone: 16 bit at `rate` Hz, with an active speech level of `level_dbov`.

    A sound that `loops` (music) keeps its edges, since they fit together. Raises RecordingError if it is silent.
    """
    soxr = voice_extra("soxr")
    samples = samples_of(raw)
    if loops:
        # Add a second of the loop on either side, so that the filters see what precedes and follows the edges.
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
    """High-pass with the magnitude of a fourth-order Butterworth filter, without phase shift, so that edges do not
    move."""
    padded = np.fft.rfft(samples, len(samples) + rate // 10)
    frequency = np.fft.rfftfreq(len(samples) + rate // 10, 1 / rate)
    with np.errstate(divide="ignore"):
        padded *= 1 / np.sqrt(1 + (corner_hz / frequency) ** 8)
    return np.fft.irfft(padded, len(samples) + rate // 10)[: len(samples)].astype(np.float32)


def levelled(samples: np.ndarray, rate: int, level_dbov: float) -> np.ndarray:
    """`samples` brought to the active level `level_dbov`; peaks over PEAK_DBFS are rounded off, not clipped."""
    for _ in range(4):  # rounding off peaks lowers the level, which the next round corrects
        miss = level_dbov - active_speech_level(samples, rate).active_dbov
        if abs(miss) < _LEVEL_EXACT_DB:
            break
        samples = round_off_peaks(samples * 10 ** (miss / 20))
    return samples


def round_off_peaks(samples: np.ndarray) -> np.ndarray:
    """Compress samples above 70 % of the peak allowed, so that none exceeds it; the others stay as they are."""
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
    # A recording may begin right on its first syllable: add the silence that the fades need.
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
