"""Detects sounds that were clipped at full scale."""

import numpy as np

from hearline.audio.level.p56 import to_float

CLIPPED_RUN = 3
"""This many samples in a row at full scale count as clipped; a single one may be a genuine peak."""

_FULL_SCALE = 0.998


def longest_clipped_run(samples: np.ndarray) -> int:
    """The longest run of samples at full scale in `samples` [n] (int16 or float ±1)."""
    at_limit = np.abs(to_float(samples)) >= _FULL_SCALE
    if not at_limit.any():
        return 0
    changes = np.flatnonzero(np.diff(np.concatenate([[0], at_limit.view(np.int8), [0]])))
    return int((changes[1::2] - changes[::2]).max())
