"""Reads the recordings from the unpacked packages: at 8 kHz, cut into utterances, kept in the cache."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import soundfile
import soxr

from hearline.audio.level.p56 import MARGIN_DB, active_speech_level

from .labels import FRAME, frame_levels_dbov
from .packages import cache_folder, folder_of
from .sources import Recordings, Split, read_sources

RATE = 8000
UTTERANCE_DBOV = -26.0  # active level of every utterance in the cache
_FORM = "6"  # version of the cache's content: change it to have everything cut again
_LONGEST_S = 90  # the most of one file: enough of a piece of music
_MOST_S = 300  # the most of one source
_PAUSE_FRAMES = 30  # utterances are separated at pauses of 300 ms …
_SHORTEST_FRAMES = 15  # … and dropped if they are shorter than 150 ms
_UNDER_ACTIVE_DB = 30.0  # sound this far under the active level counts as pause
_LONG_FRAMES = 100  # a recording longer than a second has some pause
_CLEAN_DB = 20.0  # a recording whose pauses are not this far under its speech is noisy


@dataclass(frozen=True)
class Sound:
    """All recordings of one speaker, or of one noise."""

    name: str
    kind: str
    subkind: str
    """For speech, its language; else the kind of sound."""
    split: Split
    pieces: list[np.ndarray]
    """float32, 8 kHz, full scale 1.0; of speech single utterances, trimmed, each at UTTERANCE_DBOV."""

    @property
    def seconds(self) -> float:
        return sum(piece.size for piece in self.pieces) / RATE


class TooFewSounds(Exception):
    """Too little could be fetched for meaningful figures."""


def load_sounds(split: Split, say: Callable[[str], None] = lambda _: None) -> list[Sound]:
    """All sounds of this split whose packages are in the cache. Sources with the same name and language are one sound.
    Raises TooFewSounds."""
    sounds: dict[tuple[str, str, str], Sound] = {}
    for source in read_sources()[1]:
        if source.split != split or not folder_of(source.package).is_dir():
            continue
        pieces = _cached(source, say)
        if not pieces:
            say(f"{source.package.name}: nothing usable of {source.name}")
            continue
        sound = Sound(source.name, source.kind, source.subkind, source.split, [])
        sounds.setdefault((source.kind, source.name, source.subkind), sound).pieces.extend(pieces)
    speakers = len({s.name for s in sounds.values() if s.kind == "speech"})
    others = {s.kind for s in sounds.values()}
    if speakers < 10 or not {"noise", "music", "transient"} <= others:
        raise TooFewSounds(
            f"split {split}: {speakers} speakers and {', '.join(sorted(others)) or 'nothing'} in "
            f"{cache_folder()}, which is too little; run python -m bench.ears fetch --split {split}"
        )
    return list(sounds.values())


def _cached(source: Recordings, say: Callable[[str], None]) -> list[np.ndarray]:
    files = f"{source.paths} but {source.but}" if source.but else source.paths
    form = f"{_FORM} {source.package.name} {files} {source.rate_hz} {source.bits}"
    key = hashlib.sha256(form.encode()).hexdigest()[:12]
    file = cache_folder() / "sounds" / f"{source.name}-{key}.npz"
    if not file.is_file():
        say(f"reading {source.name} out of {source.package.name}")
        pieces = _read(source)
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_suffix(".new.npz")
        np.savez(fresh, *pieces)
        fresh.rename(file)
    with np.load(file) as kept:
        return [kept[name] for name in kept.files]


def _read(source: Recordings) -> list[np.ndarray]:
    folder, pieces, samples = folder_of(source.package), [], 0
    files = sorted(
        {
            file
            for glob in source.paths
            for file in folder.glob(glob)
            if file.is_file() and not any(fnmatch(file.name, name) for name in source.but)
        }
    )
    # If there is more than enough, take files from everywhere and not just from the start of the alphabet.
    files.sort(key=lambda file: hashlib.sha256(file.name.encode() + file.parent.name.encode()).digest())
    for file in files:
        try:
            x = read_file(file, source.rate_hz, source.bits)
        except (soundfile.LibsndfileError, ValueError):
            continue  # there are pictures and texts among them
        for piece in utterances(x) if source.kind == "speech" else [x]:
            pieces.append(piece)
            samples += piece.size
        if samples > _MOST_S * RATE:
            break
    return pieces


def read_file(file: Path, rate_hz: int | None = None, bits: int = 16) -> np.ndarray:
    """The file as float32 [n] at 8 kHz, channels mixed. A file without a header has samples of `bits` at `rate_hz`."""
    if rate_hz:
        form, scale, middle = {8: ("u1", 128, 1), 16: ("<i2", 32768, 0)}[bits]
        x, rate = np.fromfile(file, form) / np.float32(scale) - middle, rate_hz
    else:
        with soundfile.SoundFile(file) as sound:
            rate = sound.samplerate
            x = sound.read(_LONGEST_S * rate, dtype="float32", always_2d=True).mean(axis=1)
    return soxr.resample(x.astype(np.float32), rate, RATE) if rate != RATE else x.astype(np.float32)


def utterances(x: np.ndarray) -> list[np.ndarray]:
    """`x` [n] cut at its pauses and trimmed. Leaves out recordings that are noisy in their pauses, and pieces so far
    under the speech that they are breath or a rustle: raised to the level of utterances, those would be noise labelled
    as speech.
    """
    level = frame_levels_dbov(x)
    if not level.size:
        return []
    active = active_speech_level(np.concatenate([x, np.zeros(RATE // 4)]), RATE).active_dbov
    floor = _floor_dbov(level, active)
    if level.size > _LONG_FRAMES and floor > active - _CLEAN_DB:
        return []
    heard = level >= max(active - _UNDER_ACTIVE_DB, floor + 6)
    pieces, at = [], np.flatnonzero(heard)
    if not at.size:
        return []
    for frames in np.split(at, np.flatnonzero(np.diff(at) > _PAUSE_FRAMES) + 1):
        first, last = frames[0], frames[-1] + 1
        if last - first >= _SHORTEST_FRAMES:
            piece = x[first * FRAME : last * FRAME].copy()
            edge = min(40, piece.size // 2)  # 5 ms, against clicks
            piece[:edge] *= np.linspace(0, 1, edge, dtype=np.float32)
            piece[-edge:] *= np.linspace(1, 0, edge, dtype=np.float32)
            # P.56 also counts 200 ms after the speech, so include these.
            level = active_speech_level(np.concatenate([piece, np.zeros(RATE // 5)]), RATE).active_dbov
            if level > active - MARGIN_DB:  # P.56 does not count softer pieces as speech
                pieces.append(piece * np.float32(10 ** ((UTTERANCE_DBOV - level) / 20)))
    return pieces


def _floor_dbov(level: np.ndarray, active_dbov: float) -> float:
    """The noise floor of a recording with the frame levels `level`: before, between and after the words. A short one
    may have no pause except its edges; if these are not softer than speech, it begins and ends in the middle of a
    word."""
    edge = float(min(level[:3].max(), level[-3:].max()))
    floor = edge if edge < active_dbov - _CLEAN_DB / 2 else -np.inf
    return max(floor, float(np.percentile(level, 5))) if level.size > _LONG_FRAMES else floor
