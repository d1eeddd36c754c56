"""ITU-T G.711: A-law and mu-law bytes ↔ int16 samples, by table (Python's own audioop is going away)."""

import numpy as np


def _decode_table_alaw() -> np.ndarray:
    code = np.arange(256) ^ 0x55  # every other bit is inverted on the line
    segment, step = (code >> 4) & 7, code & 15
    magnitude = np.where(segment == 0, (step << 4) + 8, ((step << 4) + 0x108) << np.maximum(segment - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


def _decode_table_mulaw() -> np.ndarray:
    code = ~np.arange(256) & 0xFF  # all bits are inverted on the line
    segment, step = (code >> 4) & 7, code & 15
    magnitude = (((step << 3) + 0x84) << segment) - 0x84
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _encode_table(decode: np.ndarray, order: np.ndarray) -> np.ndarray:
    """The byte with the nearest value for every int16 (as uint16 index). `order`: the bytes by rising value."""
    values = decode[order].astype(np.int32)
    borders = (values[:-1] + values[1:] + 1) // 2  # from here on the upper value is nearer
    samples = np.arange(1 << 16, dtype=np.uint16).view(np.int16).astype(np.int32)
    return order[np.searchsorted(borders, samples, side="right")].astype(np.uint8)


_ALAW_DECODE, _MULAW_DECODE = _decode_table_alaw(), _decode_table_mulaw()
# mu-law has two zeros, 0x7F (−0) and 0xFF (+0); a stable order makes +0 the upper of the two
_ALAW_ENCODE = _encode_table(_ALAW_DECODE, np.argsort(_ALAW_DECODE, kind="stable"))
_MULAW_ENCODE = _encode_table(_MULAW_DECODE, np.argsort(_MULAW_DECODE, kind="stable"))


def decode_alaw(data: np.ndarray) -> np.ndarray:
    """A-law bytes (uint8, any shape) → int16."""
    return _ALAW_DECODE[data]


def decode_mulaw(data: np.ndarray) -> np.ndarray:
    """mu-law bytes (uint8, any shape) → int16."""
    return _MULAW_DECODE[data]


def encode_alaw(samples: np.ndarray) -> np.ndarray:
    """int16 samples (any shape) → A-law bytes, uint8."""
    return _ALAW_ENCODE[np.asarray(samples, np.int16).view(np.uint16)]


def encode_mulaw(samples: np.ndarray) -> np.ndarray:
    """int16 samples (any shape) → mu-law bytes, uint8."""
    return _MULAW_ENCODE[np.asarray(samples, np.int16).view(np.uint16)]
