"""Trains the weights that distinguish a telephone at the mouth from one across the room (audio/vad/distance.py), on the
tuning part only: its speakers, in the simpler kind of room. The detector itself hears the clips, as in a call.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from hearline.audio.hearing import Hearing
from hearline.audio.vad.detector import Detector

from .recordings import load_sounds
from .run import SIDE_BY_SIDE, run
from .testset import Material, build_distances

FALSE_SHARE = 0.005
"""The share of the tuning part's callers with the telephone at the mouth that may be taken for far."""

_SOFTNESS = 0.2  # scikit-learn's C; from 0.05 to 1 it hardly matters


def train(seeds: list[int], out: Path, say: Callable[[str], object]) -> None:
    """Write the weights of hearline/audio/vad/distance.py to `out`. Every verdict on enough speech is one example, so a
    clip may give several."""
    material = Material.of(load_sounds("tuning", say), "tuning")
    x, far, speaker = [], [], []
    for seed in seeds:
        clips = build_distances(material, seed)
        clips.sort(key=lambda clip: len(clip.frames))  # like `run` does
        for start in range(0, len(clips), SIDE_BY_SIDE):
            batch = clips[start : start + SIDE_BY_SIDE]
            listener = _Listener(len(batch))
            run(lambda _, listener=listener: listener, batch)
            for slot, changes_db in listener.noted:
                x.append(changes_db)
                far.append(batch[slot].kind == "far_talker")
                speaker.append(f"{batch[slot].speaker} {batch[slot].language}")
        say(f"seed {seed}: {len(x)} examples so far")
    np.savez(out, **fit(np.array(x), np.array(far), np.array(speaker)))


def fit(x: np.ndarray, far: np.ndarray, speaker: np.ndarray) -> dict[str, np.ndarray]:
    """The arrays of distance.npz, fitted to inputs float [n, inputs], `far` bool [n] and speakers [n]. The bias sets
    the border so that FALSE_SHARE of near voices are taken for far, each judged by weights learned without its
    speaker."""
    from sklearn.linear_model import LogisticRegression  # of the extra `bench`
    from sklearn.model_selection import GroupKFold, cross_val_predict

    mean, scale = x.mean(axis=0), x.std(axis=0)
    inputs = (x - mean) / scale
    regression = LogisticRegression(C=_SOFTNESS, max_iter=2000, class_weight="balanced")
    unseen = cross_val_predict(regression, inputs, far, groups=speaker, cv=GroupKFold(5), method="decision_function")
    border = np.quantile(unseen[~far], 1 - FALSE_SHARE)
    regression.fit(inputs, far)
    weights = regression.coef_[0] / scale
    return {
        "weights": weights.astype(np.float32),
        "bias": np.float32(regression.intercept_[0] - mean @ weights - border),
    }


class _Listener(Detector):
    """Records the inputs of `Distances` at every verdict: slot, inputs [inputs]."""

    def __init__(self, calls: int) -> None:
        super().__init__(calls)
        self.noted: list[tuple[int, np.ndarray]] = []

    def hearings(self, slots: np.ndarray) -> list[Hearing]:
        for slot in slots.tolist():
            changes_db = self._distances.changes_db(slot)
            if changes_db is not None:
                self.noted.append((slot, changes_db))
        return super().hearings(slots)
