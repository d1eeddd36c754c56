"""Simulates the way of a voice through the air: into the telephone, or to one across the room.

Rooms are simulated in two ways that have little in common: for the tuning part, as a direct sound plus decaying noise;
for the held-out part, as boxes in which every wall reflects. So anything learned from the first kind has to hold in the
second. Neither includes a telephone's loudspeaker, echo canceller and gain control, or people who turn away.
"""

import numpy as np

from . import mixing
from .mixing import RATE
from .sources import Split

_NEAR_M, _FAR_M = (0.03, 0.10), (1.0, 2.0)
_NEAR_DB, _FAR_DB = (14, 30), (-6, 4)  # the direct sound above all reflections
_T60_S = (0.3, 0.8)

_SOUND_M_S = 343.0
_FINE_HZ = 32_000  # images are placed on the nearest sample at this rate
_JITTER_M = 0.08
_SPLIT_HZ = 1000.0  # walls absorb more above this
_DECIMATED = _FINE_HZ // RATE


def through_the_air(rng: np.random.Generator, said: np.ndarray, far: bool, split: Split) -> np.ndarray:
    """`said`, float [n] at 8 kHz, as a telephone's microphone picks it up: from 3 to 10 cm, or, if `far`, from 1 to 2
    m, with less bass."""
    t60_s = rng.uniform(*_T60_S)
    if split == "held_out":
        response = box(rng, rng.uniform(*(_FAR_M if far else _NEAR_M)), t60_s)
    else:
        response = mixing.room(rng, t60_s, rng.uniform(*(_FAR_DB if far else _NEAR_DB)))
    heard = mixing.tilted(mixing.convolved(said, response), rng.uniform(-3, 3))
    return mixing.band_limited(heard, (rng.uniform(300, 500) if far else rng.uniform(80, 350), 3800))


def box(rng: np.random.Generator, distance_m: float, t60_s: float) -> np.ndarray:
    """Impulse response of a room of 12 to 120 m³ by image sources (J. B. Allen and D. A. Berkley 1979), `distance_m`
    from the microphone. Each image is moved a little, since in an empty box they would be too regular (E. De Sena and
    others 2015)."""
    size, mouth, microphone = _places(rng, distance_m)
    surface = 2 * (size[0] * size[1] + size[0] * size[2] + size[1] * size[2])
    absorbed = 1 - np.exp(-0.161 * np.prod(size) / (surface * t60_s))  # C. F. Eyring 1930
    metres, bounces = _images(size, mouth, microphone, _SOUND_M_S * 0.75 * t60_s)
    late = bounces > 0
    metres[late] = np.maximum(metres[late] + rng.uniform(-_JITTER_M, _JITTER_M, late.sum()), 0.02)
    at = np.rint(metres / _SOUND_M_S * _FINE_HZ).astype(int)
    length = -(-(at.max() + 1) // (2 * _DECIMATED)) * 2 * _DECIMATED
    hz = np.fft.rfftfreq(length, 1 / _FINE_HZ)
    low = 1 / (1 + (hz / _SPLIT_HZ) ** 4)
    whole = 0
    for share, absorbs in ((low, rng.uniform(0.6, 1.0)), (1 - low, rng.uniform(1.0, 1.6))):
        amplitude = (1 - np.clip(absorbed * absorbs, 0.02, 0.95)) ** (bounces / 2) / metres
        whole = whole + share * np.fft.rfft(np.bincount(at, amplitude, minlength=length))
    whole[hz < 60] = 0  # all images have the same sign, which adds up at low frequencies
    made = np.fft.irfft(whole[: length // 2 // _DECIMATED + 1], length // _DECIMATED)
    direct = round(np.linalg.norm(mouth - microphone) / _SOUND_M_S * RATE)
    return made[max(0, direct - 8) :] / np.max(np.abs(made))


def _places(rng: np.random.Generator, distance_m: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The size of a room, and the positions of a mouth and a microphone in it, in m."""
    while True:
        size = rng.uniform((2.5, 2.2, 2.3), (7, 5.5, 3.2))
        microphone = rng.uniform((0.4, 0.4, 0.7), (size[0] - 0.4, size[1] - 0.4, 1.3))
        towards = rng.standard_normal(3) * (1, 1, 0.3)
        mouth = microphone + distance_m * towards / np.linalg.norm(towards)
        if np.all((mouth > 0.3) & (mouth < size - 0.3)):
            return size, mouth, microphone


def _images(size: np.ndarray, mouth: np.ndarray, microphone: np.ndarray, reach_m: float) -> tuple[np.ndarray, ...]:
    """The distance, in m, of every image of the mouth nearer than `reach_m`, and its number of reflections:
    [images]."""
    offsets, bounced = [], []
    for axis in range(3):
        room = np.arange(-np.ceil(reach_m / 2 / size[axis]) - 1, np.ceil(reach_m / 2 / size[axis]) + 2)
        mirrored = np.array([[1], [-1]])
        offset = (mirrored * mouth[axis] + 2 * room * size[axis] - microphone[axis]).ravel()
        times = (np.abs(room - (mirrored < 0)) + np.abs(room)).ravel()
        near = np.abs(offset) < reach_m
        offsets.append(offset[near])
        bounced.append(times[near])
    metres = np.sqrt(sum(np.square(part) for part in np.ix_(*offsets)))
    bounces = sum(np.ix_(*bounced))
    reached = metres < reach_m
    return metres[reached], np.broadcast_to(bounces, metres.shape)[reached]
