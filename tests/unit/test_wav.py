"""WAV files and G.711."""

import struct

import numpy as np
import pytest

from audio_corpus import CLIPS, RATE
from hearline.audio import g711
from hearline.audio.level.p56 import rms_dbov
from hearline.audio.resample import resample
from hearline.audio.wav import BadAudio, read_wav


def wav(sound: bytes, codec=1, channels=1, rate=8000, bits=16, extra=b"") -> bytes:
    header = struct.pack("<HHIIHH", codec, channels, rate, rate * channels * bits // 8, channels * bits // 8, bits)
    chunks = b"fmt " + struct.pack("<I", len(header)) + header + extra
    chunks += b"data" + struct.pack("<I", len(sound)) + sound
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def sine(rate: int, hz: float = 1000, seconds: float = 1) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(int(rate * seconds)) / rate)


def as_pcm(x: np.ndarray, bits: int) -> bytes:
    if bits == 8:
        return np.rint(x * 127 + 128).astype(np.uint8).tobytes()
    whole = np.rint(x * (2 ** (bits - 1) - 1)).astype("<i4")
    if bits == 24:
        return whole.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    return whole.astype(f"<i{bits // 8}").tobytes()


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_rates_and_channels(tmp_path, rate, channels):
    x = np.repeat(sine(rate), channels)
    (tmp_path / "x.wav").write_bytes(wav(as_pcm(x, 16), rate=rate, channels=channels))
    heard = read_wav(tmp_path / "x.wav")
    assert heard.dtype == np.int16 and heard.size == RATE
    assert np.abs(heard / 32768 - sine(RATE))[200:-200].max() < 0.002


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_sample_sizes(tmp_path, bits):
    (tmp_path / "x.wav").write_bytes(wav(as_pcm(sine(RATE), bits), bits=bits))
    assert np.abs(read_wav(tmp_path / "x.wav") / 32768 - sine(RATE)).max() < (0.01 if bits == 8 else 0.0001)


@pytest.mark.parametrize(("codec", "encode"), [(6, g711.encode_alaw), (7, g711.encode_mulaw)])
def test_g711_files(tmp_path, codec, encode):
    pcm = np.rint(sine(RATE) * 32768).astype(np.int16)
    (tmp_path / "x.wav").write_bytes(wav(encode(pcm).tobytes(), codec=codec, bits=8))
    assert np.abs(read_wav(tmp_path / "x.wav") / 32768 - sine(RATE)).max() < 0.02


def test_other_chunks_are_skipped_and_an_open_length_is_the_rest(tmp_path):
    sound = as_pcm(sine(RATE), 16)
    data = wav(sound, extra=b"LIST" + struct.pack("<I", 3) + b"abc\0")
    (tmp_path / "list.wav").write_bytes(data)
    at = data.index(b"data") + 4
    (tmp_path / "open.wav").write_bytes(data[:at] + b"\xff\xff\xff\xff" + data[at + 4 :])
    assert read_wav(tmp_path / "list.wav").size == read_wav(tmp_path / "open.wav").size == RATE


def told(data: bytes, bytes_a_second: int | None = None, block: int | None = None) -> bytes:
    """The same file, whose header says so."""
    changed = bytearray(data)
    if bytes_a_second is not None:
        changed[28:32] = struct.pack("<I", bytes_a_second)
    if block is not None:
        changed[32:34] = struct.pack("<H", block)
    return bytes(changed)


def test_a_rate_that_nobody_filled_in_and_a_length_of_0_of_a_file_that_is_still_written_harm_nobody(tmp_path):
    data = told(wav(as_pcm(sine(RATE), 16)), bytes_a_second=0)
    at = data.index(b"data") + 4
    (tmp_path / "open.wav").write_bytes(data[:at] + bytes(4) + data[at + 4 :])
    assert read_wav(tmp_path / "open.wav").size == RATE


BAD = {
    "empty": (b"", "empty"),
    "text": (b"hello, this is not sound at all", "not a WAV file"),
    "header cut in RIFF": (wav(b"\0\0")[:9], "cut off"),
    "header cut in fmt": (wav(b"\0\0")[:24], "cut off"),
    "header only": (wav(b"\0\0")[:36], "no data chunk"),
    "no samples": (wav(b""), "no sound"),
    "sound cut off": (wav(as_pcm(sine(RATE), 16))[:-100], "cut off"),
    "mp3 inside": (wav(b"\0" * 64, codec=0x55), "MP3"),
    "adpcm": (wav(b"\0" * 64, codec=2, bits=4), "ADPCM"),
    "float": (wav(b"\0" * 64, codec=3, bits=32), "floating point"),
    "odd rate": (wav(b"\0" * 64, rate=11025), "11025 Hz"),
    "six channels": (wav(b"\0" * 96, channels=6), "6 channels"),
    "12 bits": (wav(b"\0" * 96, bits=12), "12 bits"),
    "24 bits in blocks of 4 bytes": (told(wav(b"\0" * 96, bits=24), block=4), "contradicts itself"),
    "16 bits in blocks of 4 bytes": (told(wav(b"\0" * 96), block=4), "contradicts itself"),
    "blocks of no bytes": (told(wav(b"\0" * 96), block=0), "contradicts itself"),
    "8,000 Hz and 32,000 bytes a second": (told(wav(b"\0" * 96), bytes_a_second=32_000), "contradicts itself"),
    "no samples before a LIST": (wav(b"") + b"LIST" + struct.pack("<I", 26) + b"INFOISFT" + bytes(18), "0 samples"),
    "no samples before an id3 tag": (wav(b"") + b"id3 " + struct.pack("<I", 3) + b"abc\0", "0 samples"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_say_what_is_wrong_and_what_to_do(tmp_path, name):
    data, wrong = BAD[name]
    path = tmp_path / "bad.wav"
    path.write_bytes(data)
    with pytest.raises(BadAudio) as caught:
        read_wav(path)
    assert str(path) in str(caught.value) and wrong in caught.value.wrong and caught.value.remedy


def test_missing_file(tmp_path):
    with pytest.raises(BadAudio, match="no such file"):
        read_wav(tmp_path / "none.wav")
    with pytest.raises(BadAudio, match="cannot be read"):
        read_wav(tmp_path)


def test_resampling_lets_no_alias_through():
    for rate in (16000, 44100, 48000):
        middle = slice(200, -200)  # a sine that starts at once has other frequencies at its ends
        assert rms_dbov(resample(sine(rate, 5000), rate, RATE)[middle]) < -75
        assert rms_dbov(resample(sine(rate, 3300), rate, RATE)[middle]) == pytest.approx(-9.03, abs=0.1)


def test_g711_tables():
    every = np.arange(256, dtype=np.uint8)
    assert (g711.encode_alaw(g711.decode_alaw(every)) == every).all()
    back = g711.encode_mulaw(g711.decode_mulaw(every))
    assert (back == np.where(every == 0x7F, 0xFF, every)).all()  # −0 becomes +0
    # ITU-T G.711: silence, smallest and largest values
    assert g711.decode_alaw(np.array([0xD5, 0x55, 0xAA, 0x2A], np.uint8)).tolist() == [8, -8, 32256, -32256]
    assert g711.decode_mulaw(np.array([0xFF, 0x80, 0x00], np.uint8)).tolist() == [0, 32124, -32124]
    assert g711.encode_mulaw(np.zeros(1, np.int16))[0] == 0xFF and g711.encode_alaw(np.zeros(1, np.int16))[0] == 0xD5
    speech = read_wav(CLIPS[1])
    for encode, decode in ((g711.encode_alaw, g711.decode_alaw), (g711.encode_mulaw, g711.decode_mulaw)):
        error = decode(encode(speech)) - speech.astype(float)
        assert 10 * np.log10(np.mean(speech.astype(float) ** 2) / np.mean(error**2)) > 33
