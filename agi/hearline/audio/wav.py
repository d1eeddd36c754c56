"""WAV files of telephony: PCM and G.711, mono or stereo, 8 to 48 kHz → int16 at 8 kHz.

Python's `wave` module reads PCM only, so the few RIFF chunks that matter are read here.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hearline.audio import g711
from hearline.audio.resample import resample
from hearline.audio.settings import SAMPLE_RATE_HZ
from hearline.core.files import read_regular

MOST_BYTES = 128 * 1024 * 1024
RATES_HZ = (8000, 16000, 44100, 48000)
_PCM, _ALAW, _MULAW, _EXTENSIBLE = 1, 6, 7, 0xFFFE
_CODECS = {
    0x0002: "MS ADPCM", 0x0003: "floating point", 0x0011: "IMA ADPCM", 0x0031: "GSM 6.10",
    0x0050: "MPEG audio", 0x0055: "MP3", 0x00FF: "AAC",
}  # fmt: skip
_REMEDY = "convert it, e.g. sox IN -r 8000 -c 1 -b 16 OUT.wav"


class BadAudio(ValueError):
    """The audio file cannot be used; the message names the file, the problem and the remedy."""

    def __init__(self, path: Path | str, wrong: str, remedy: str = _REMEDY):
        super().__init__(f"{path}: {wrong}; {remedy}")
        self.path, self.wrong, self.remedy = path, wrong, remedy


@dataclass(frozen=True)
class Wav:
    """A WAV file as stored, before channel selection and resampling."""

    rate_hz: int
    samples: np.ndarray
    """float32 [samples, channels], full scale 1.0."""


def read_wav(path: Path | str) -> np.ndarray:
    """The file as a telephone line would carry it: int16 [n] at 8 kHz; of a stereo file, the louder channel.

    The mean would be wrong: call recordings have one side per channel, and an empty one would cost the other 6 dB.
    Raises BadAudio.
    """
    wav = load_wav(path)
    louder = np.argmax(np.mean(np.square(wav.samples), axis=0))
    mono = resample(wav.samples[:, louder], wav.rate_hz, SAMPLE_RATE_HZ)
    return np.clip(np.rint(mono * 32768), -32768, 32767).astype(np.int16)


def load_wav(path: Path | str) -> Wav:
    """The file at its own rate, with all channels. Raises BadAudio, also for rates and codecs that are not
    supported."""
    try:
        data = read_regular(Path(path), MOST_BYTES)
    except OSError as error:
        wrong = "no such file" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise BadAudio(path, wrong, "check the path and its permissions") from None
    if not data:
        raise BadAudio(path, "the file is empty", "record or copy it again")
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        cut = data[:4] == b"RIFF" and len(data) < 12
        raise BadAudio(path, "the WAV header is cut off" if cut else "not a WAV file (no RIFF/WAVE header)")

    chunks = _chunks(path, data)
    codec, channels, rate_hz, bits = _format(path, chunks)
    if "data" not in chunks:
        raise BadAudio(path, "it contains no sound (no data chunk)", "record or copy it again")
    if not chunks["data"]:
        raise BadAudio(path, "it contains no sound (0 samples)", "record or copy it again")
    return Wav(rate_hz, _decode(path, chunks["data"], codec, bits, channels))


def _chunks(path: Path | str, data: bytes) -> dict[str, bytes]:
    """The file's chunks by name; the first of each counts."""
    chunks: dict[str, bytes] = {}
    at = 12
    while at < len(data):
        if at + 8 > len(data):
            if "data" in chunks:
                break  # stray bytes after the sound are harmless
            raise BadAudio(path, "the WAV header is cut off", "record or copy it again")
        name, size = data[at : at + 4].decode("latin-1").strip(), struct.unpack_from("<I", data, at + 4)[0]
        body = data[at + 8 : at + 8 + size]
        if name == "data" and (size == 0xFFFFFFFF or (size == 0 and not _only_chunks(data, at + 8))):
            body = data[at + 8 :]  # still being written, or written to a pipe: the length was not known
            size = len(body)
        if len(body) < size and "data" not in chunks:
            what = "sound" if name == "data" else f"header ({name} chunk)"
            wrong = f"the {what} is cut off: only {len(body)} of {size} bytes are there"
            raise BadAudio(path, wrong, "record or copy it again")
        chunks.setdefault(name, body)
        at += 8 + size + size % 2
    return chunks


def _only_chunks(data: bytes, at: int) -> bool:
    """True if only further chunks follow, such as LIST: then a data chunk of 0 bytes really is empty."""
    while at + 8 <= len(data) and data[at : at + 4].strip().isalnum():
        size = struct.unpack_from("<I", data, at + 4)[0]
        at += 8 + size + size % 2
    return at >= len(data)


def _format(path: Path | str, chunks: dict[str, bytes]) -> tuple[int, int, int, int]:
    """(codec, channels, rate in Hz, bits per sample). Raises BadAudio if one of them is not supported."""
    header = chunks.get("fmt", b"")
    if len(header) < 16:
        raise BadAudio(path, "the WAV header is cut off (no complete fmt chunk)", "record or copy it again")
    codec, channels, rate_hz, bytes_a_second, block, bits = struct.unpack_from("<HHIIHH", header)
    if codec == _EXTENSIBLE and len(header) >= 26:
        codec = struct.unpack_from("<H", header, 24)[0]
    if codec not in (_PCM, _ALAW, _MULAW):
        name = _CODECS.get(codec, f"number 0x{codec:04x}")
        raise BadAudio(path, f"codec {name} is not supported (PCM, A-law and mu-law are)")
    if bits not in ((8, 16, 24, 32) if codec == _PCM else (8,)):
        raise BadAudio(path, f"{bits} bits per sample are not supported")
    if channels not in (1, 2):
        raise BadAudio(path, f"{channels} channels are not supported (1 and 2 are)")
    if rate_hz not in RATES_HZ:
        raise BadAudio(path, f"{rate_hz} Hz is not supported ({', '.join(map(str, RATES_HZ))} are)")
    if block != bits // 8 * channels or bytes_a_second not in (0, rate_hz * block):
        claims = f"{channels} × {bits} bits per sample, in blocks of {block} bytes, {bytes_a_second} bytes a second"
        raise BadAudio(path, f"its header contradicts itself: {rate_hz} Hz, {claims}")
    return codec, channels, rate_hz, bits


def _decode(path: Path | str, sound: bytes, codec: int, bits: int, channels: int) -> np.ndarray:
    """The data chunk as float32 [samples, channels]; an incomplete last sample is dropped."""
    frame_bytes = bits // 8 * channels
    sound = sound[: len(sound) // frame_bytes * frame_bytes]
    if not sound:
        raise BadAudio(path, "it contains no sound (0 samples)", "record or copy it again")
    raw = np.frombuffer(sound, np.uint8)
    if codec == _ALAW:
        samples = g711.decode_alaw(raw) / np.float32(32768)
    elif codec == _MULAW:
        samples = g711.decode_mulaw(raw) / np.float32(32768)
    elif bits == 8:  # the only unsigned format
        samples = (raw.astype(np.float32) - 128) / 128
    elif bits == 24:
        padded = np.zeros((raw.size // 3, 4), np.uint8)
        padded[:, 1:] = raw.reshape(-1, 3)
        samples = padded.view("<i4")[:, 0] / np.float32(2**31)
    else:
        samples = raw.view(f"<i{bits // 8}") / np.float32(2 ** (bits - 1))
    return samples.astype(np.float32).reshape(-1, channels)
