"""Trains the network that tells the caller from everything else (audio/vad/near_speech.py), on the tuning part only.

vary → build → hear → label → weigh → fit → weigh again → fit. The detector itself hears the clips, as in a call, and
the inputs of its network are recorded: training and calls use the same inputs, made by the same code.

It generalises well to other speakers and languages, since there are many of them; less so to other noise and music,
since there are fewer recordings, each heard many times. Hence the many small sources, the other speeds, the weight
decay and the few units. A network with a memory (GRU, 24 units) recognised babble better, but not noise or music, and
was not worth its state.

What counts is `measure --split held_out`, whose sounds are never used here; figures of the tuning part are too good.
Chance also matters: another draw of the windows changes how much noise and music one network claims by about a per
cent, and the 95th percentiles by some 40 ms; hence the mean of three. So before new weights replace the present ones,
measure them and run the unit tests.
"""

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import soxr

from hearline.audio.level.p56 import power_to_dbov
from hearline.audio.settings import DEFAULT, FRAME_MS
from hearline.audio.vad.detector import Detector

from .clips import Clip
from .recordings import RATE, Sound, load_sounds
from .run import SIDE_BY_SIDE, run
from .testset import Material, build

Examples = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""For n windows: inputs float16 [n, inputs], labels [n] (CALLER or NOBODY), weights float32 [n], and the factor of the
weight if a first network is in doubt, float32 [n]."""

CALLER, NOBODY, LEFT_OUT = 1, 0, -1

# How many clips are made, compared with `measure`. Enough of noise and music for each recording to be heard at each of
# its speeds. Kinds with 0 are not for this network: a single talker in the room has a voice like the caller's, only
# softer, so the verdict on the level decides; echo has a separate test, which knows what was played.
_CLIPS = {
    "answered": 2, "noise": 0.7, "real_noise": 6, "music": 5, "transient": 5,
    "background": 0, "echo": 0, "barge_in": 0, "handset": 0, "far_talker": 0,
}  # fmt: skip

# How often a window of such a clip is drawn, compared with one of speech.
WEIGHTS = {
    "speech": 1.0,
    "answered": 8.0,  # the first second of a call: a small part of the sound, but every call begins with it
    "no_signal": 1.0,
    "babble": 1.0,  # there is plenty, made anew from all speakers for each clip
    "tone": 2.0,
    "transient": 0.2,  # if drawn more often, the network waits for more of a voice: 0.67 adds 100 ms to p95
    "noise": 1.5,
    "music": 1.0,
}
_WEIGHT_AROUND_SPEECH = 0.5  # line noise before and after speech: easy, and plentiful
_WEIGHT_EARLY, _EARLY_MS = 3.0, 320  # the caller's windows that decide how soon speech is detected
# Windows that leave a first network in doubt are drawn more often for the later ones: only a small part of a noise
# sounds like speech, but that part is claimed. So are the caller's early windows.
_HARDER = {"noise": 10.0, "music": 10.0, "babble": 10.0}
_HARDER_EARLY = 2.0
_DOUBT = 1.0  # log odds that a first network must have on the right side

_BEGUN_MS = 40  # a window is 32 ms, so from here on all of it is after the onset
_BEFORE_MS = 20  # the onset is known to within about a frame
_AFTER_MS = 150  # reverberation, and the memory of the speech network
_UNDER_ACTIVE_DB = 14.0  # about P.56's margin: softer windows are pauses

# Every sound is also played slower and faster, which gives other voices, machines and music from the same recordings.
_SPEEDS = {"speech": (0.88, 1.14), "noise": (0.75, 1.33), "music": (0.8, 1.25), "transient": (0.75, 1.33)}

_ENOUGH_S = 30  # of a piece of music at another speed

_DRAWN = 700_000  # windows drawn for each network
_NETWORKS = 3  # their mean errs less than each one, since chance has less influence
_UNITS = 22  # in each network
_DECAY = 0.2
_TRUST = 0.7  # neighbouring windows are alike, so the sum of their log odds would be overconfident
_LEAN = 0.3  # log odds in favour of the caller, since the weights of hard examples work against the caller
_ROUNDS = 12  # by then the loss hardly falls any more


def train(seeds: list[int], out: Path, say: Callable[[str], object]) -> None:
    """Write the weights to `out`. Each seed makes other clips from the same sounds."""
    material = Material.of(varied(load_sounds("tuning", say)), "tuning")
    heard = []
    for seed in seeds:
        heard += examples(build(material, seed, of_each=_CLIPS))
        say(f"seed {seed}: {sum(len(of[1]) for of in heard)} windows so far")
    del material
    x, label, weight, harder = (np.concatenate(parts) for parts in zip(*heard, strict=True))
    del heard

    def network(seed: int) -> dict[str, np.ndarray]:
        drawn = np.random.default_rng(seed).choice(len(label), _DRAWN, p=weight / weight.sum())
        say(f"network {seed}: {_DRAWN} windows, {100 * np.mean(label[drawn] == CALLER):.0f} % of them the caller's")
        return fit(x[drawn].astype(np.float32), label[drawn], seed)

    weight *= np.where(in_doubt(network(_NETWORKS), x, label), harder, 1)
    joined = together([network(seed) for seed in range(_NETWORKS)])
    joined |= {name: joined[name] * np.float32(_TRUST) for name in ("out", "out_bias")}
    joined["out_bias"] += np.float32(_LEAN)
    np.savez(out, **joined)


def in_doubt(network: dict[str, np.ndarray], x: np.ndarray, label: np.ndarray) -> np.ndarray:
    """The windows about which `network` is unsure or wrong: bool [n]."""
    log_odds = np.empty(len(x), np.float32)
    for some in np.array_split(np.arange(len(x)), len(x) // 100_000 + 1):
        hidden = x[some].astype(np.float32) @ network["hidden"] + network["hidden_bias"]
        log_odds[some] = np.maximum(hidden, 0) @ network["out"] + network["out_bias"]
    return np.where(label == CALLER, log_odds, -log_odds) < _DOUBT


def varied(sounds: list[Sound]) -> list[Sound]:
    """`sounds`, plus each of them at other speeds as separate sounds."""
    return sounds + [
        replace(sound, name=f"{sound.name}, {speed} times as fast", pieces=[_at(speed, p) for p in sound.pieces])
        for sound in sounds
        for speed in _SPEEDS[sound.kind]
    ]


def _at(speed: float, piece: np.ndarray) -> np.ndarray:
    return soxr.resample(piece[: _ENOUGH_S * RATE], speed * RATE, RATE)


def examples(clips: list[Clip]) -> list[Examples]:
    """What the detector hears in `clips`, one part per clip, without the windows that are left out."""
    # Sorted by length, like `run` does, so that clip and slot have the same number.
    clips = sorted((clip for clip in clips if clip.kind in WEIGHTS), key=lambda clip: len(clip.frames))
    parts = []
    for start in range(0, len(clips), SIDE_BY_SIDE):
        batch = clips[start : start + SIDE_BY_SIDE]
        listener = _Listener(len(batch))
        run(lambda _, listener=listener: listener, batch)
        slot, at_ms, level_dbov, x = (np.concatenate(noted) for noted in zip(*listener.noted, strict=True))
        for i, clip in enumerate(batch):
            mine = np.flatnonzero(slot == i)
            label = labels(clip, at_ms[mine], level_dbov[mine])
            used = label != LEFT_OUT
            label = label[used]
            parts.append((x[mine[used]].astype(np.float16), label, *weights(clip, at_ms[mine[used]], label)))
    return parts


def labels(clip: Clip, at_ms: np.ndarray, level_dbov: np.ndarray) -> np.ndarray:
    """CALLER, NOBODY or LEFT_OUT for windows of `clip` [n] that end at `at_ms` [n]; `level_dbov` [n] are the levels of
    their last frames.

    The caller's windows are those within the speech that are loud enough. Pauses between words are left out: labelled
    as the caller's, they would teach that silence is speech; labelled as nobody's, that a soft consonant is not. The
    moments around onset and end are left out, too, since the labels are not that exact."""
    if clip.kind not in ("speech", "answered"):
        return np.full(len(at_ms), NOBODY, np.int8)
    label = np.full(len(at_ms), LEFT_OUT, np.int8)
    spoken = (at_ms >= clip.onset_ms + _BEGUN_MS) & (at_ms <= clip.end_ms)
    label[spoken & (level_dbov > clip.level_dbov - _UNDER_ACTIVE_DB)] = CALLER
    label[(at_ms < clip.onset_ms - _BEFORE_MS) | (at_ms > clip.end_ms + _AFTER_MS)] = NOBODY
    return label


def weights(clip: Clip, at_ms: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For windows of `clip` with these ends and labels [n]: how often they are drawn compared with others, and the
    factor of that if a first network errs. float32 [n] each."""
    weight, harder = (np.full(len(label), of, np.float32) for of in (WEIGHTS[clip.kind], _HARDER.get(clip.kind, 1)))
    if clip.kind == "speech":
        weight[label == NOBODY] = _WEIGHT_AROUND_SPEECH
    if clip.onset_ms is not None:
        early = (label == CALLER) & (at_ms <= clip.onset_ms + _BEGUN_MS + _EARLY_MS)
        weight[early] *= _WEIGHT_EARLY
        harder[early] = _HARDER_EARLY
    return weight, harder


def fit(x: np.ndarray, label: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """The layers of one network, fitted to inputs float32 [n, inputs] and labels CALLER or NOBODY [n]. They take the
    inputs without scaling."""
    from sklearn.exceptions import ConvergenceWarning  # of the extra `bench`
    from sklearn.neural_network import MLPClassifier

    mean, scale = x.mean(axis=0), x.std(axis=0) + 0.01  # some features hardly vary; do not blow up their noise
    network = MLPClassifier(
        (_UNITS,), alpha=_DECAY, batch_size=1024, learning_rate_init=1e-3, max_iter=_ROUNDS, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # stopped on purpose
        network.fit((x - mean) / scale, label)
    (hidden, out), (hidden_bias, out_bias) = network.coefs_, network.intercepts_
    hidden = hidden / scale[:, None]
    return {"hidden": hidden, "hidden_bias": hidden_bias - mean @ hidden, "out": out[:, 0], "out_bias": out_bias}


def together(networks: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays of near_speech.npz: one network made of all, side by side, whose answer is the mean of theirs."""
    joined = {name: np.concatenate([of[name] for of in networks], axis=-1) for name in ("hidden", "hidden_bias", "out")}
    joined["out"] /= len(networks)
    joined["out_bias"] = np.mean([of["out_bias"] for of in networks])
    return {name: array.astype(np.float32) for name, array in joined.items()}


class _Listener(Detector):
    """Records the inputs of the caller's network."""

    def __init__(self, calls: int) -> None:
        # Record all windows of certain speech, too: probabilities never reach 9.
        super().__init__(calls, replace(DEFAULT, spare_probability=9.0))
        self.noted: list[tuple[np.ndarray, ...]] = []
        """Slot, end of the window in ms, level of its last frame in dBov, inputs: [n], [n], [n], [n, inputs]."""

    def _log_odds(self, slots: np.ndarray, power: np.ndarray, x: np.ndarray) -> np.ndarray:
        self.noted.append((slots, self._slots.frames[slots] * FRAME_MS, power_to_dbov(power), x))
        # Use the speech network's own answer, so that the result does not depend on the weights of the last training.
        return x[:, 0]
