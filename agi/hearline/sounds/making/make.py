"""Brings the files in line with the manifest, with as little work as possible.

Each sound is one of four cases: in order; replaced by a recording (which is polished and taken over, never
overwritten); missing or stale (which is spoken again); or a recording whose text has changed (which is left as it is
and reported)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from hearline.core.files import write_whole
from hearline.sounds.making import music, polish, synthesise
from hearline.sounds.manifest import Sound, load_manifest
from hearline.sounds.register import Entry, bytes_hash, file_hash, read_register, register, write_register


class Work(Enum):
    """The work that one sound needs."""

    NONE = "in order"
    TAKE_RECORDING = "recording"
    SPEAK = "synthetic"
    OUTDATED_RECORDING = "outdated"


@dataclass
class Report:
    """The results of `make`, by sound key."""

    spoken: list[str] = field(default_factory=list)
    recordings: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    """Sounds left as they were, with the reason."""
    in_order: int = 0


def work_for(sound: Sound, root: Path, entries: dict[str, Entry]) -> tuple[Work, Path | None]:
    """The work that `sound` needs, and for TAKE_RECORDING the file to take."""
    newcomers, missing = [], False
    for name in sound.files.values():
        path, entry = root / name, entries.get(name)
        if not path.is_file():
            missing = True
        elif entry is None or entry.sha256 != file_hash(path):
            newcomers.append(path)
    if newcomers:
        return Work.TAKE_RECORDING, _best(newcomers)
    known = [entries[name] for name in sound.files.values() if name in entries]
    if any(e.source == "recording" for e in known):
        if any(e.source == "recording" and e.made_from != sound.text_hash for e in known):
            return Work.OUTDATED_RECORDING, None
        if missing:
            # If one of the two rates was lost, the other is the recording.
            kept = [root / n for n in sound.files.values() if (root / n).is_file()]
            return (Work.TAKE_RECORDING, _best(kept)) if kept else (Work.SPEAK, None)
        return Work.NONE, None
    if missing or any(e.made_from != sound.recipe_hash for e in known):
        return Work.SPEAK, None
    return Work.NONE, None


def make_sounds(
    root: Path,
    *,
    only: str = "*",
    resynthesise: bool = False,
    say: Callable[[str], None] = lambda _: None,
    step: Callable[[int, int, str], None] = lambda done, total, key: None,
) -> Report:
    """Make the sounds of the manifest in `root` whose key matches the pattern `only`.

    `resynthesise` speaks every matching sound again, recordings included. `say` is called with a description of longer
    work, `step` with the progress: (done, total, key).
    """
    manifest = load_manifest(root)
    entries = read_register(root)
    report = Report()
    todo: list[tuple[Sound, Work, Path | None]] = []
    for sound in manifest.sounds():
        if not fnmatchcase(sound.key, only):
            continue
        work, recording = (Work.SPEAK, None) if resynthesise else work_for(sound, root, entries)
        if work is Work.NONE:
            report.in_order += 1
        elif work is Work.OUTDATED_RECORDING:
            report.refused[sound.key] = (
                "its text has changed since it was recorded: record it again, or have it spoken with "
                f"`hearline sounds make --resynthesise --only '{sound.key}'`"
            )
        else:
            todo.append((sound, work, recording))

    source = _Source({s.voice.name for s, work, _ in todo if work is Work.SPEAK and s.voice}, say)
    for done, (sound, work, recording) in enumerate(todo):
        step(done, len(todo), sound.key)
        try:
            _make_one(root, sound, recording, source)
        except polish.RecordingError as error:
            report.refused[sound.key] = f"{recording or sound.key}: {error}"
            continue
        (report.recordings if work is Work.TAKE_RECORDING else report.spoken).append(sound.key)
    step(len(todo), len(todo), "")

    wanted = {name for sound in manifest.sounds() for name in sound.files.values()}
    entries = read_register(root)
    if entries.keys() - wanted:
        # A prompt was removed from the manifest: remove its line, but leave its file to people.
        write_register(root, {name: entry for name, entry in entries.items() if name in wanted})
    return report


class _Source:
    """Provides the raw audio of sounds. Loads the voice when it is first needed, and speaks equal sounds only once."""

    def __init__(self, speakers: set[str], say: Callable[[str], None]):
        self._speakers, self._say = speakers, say
        self._synthesiser: synthesise.Synthesiser | None = None
        self._spoken: dict[str, np.ndarray] = {}

    def raw(self, sound: Sound) -> tuple[np.ndarray, int]:
        """Float samples [n] and their rate."""
        if sound.voice is None or sound.text is None:
            return music.compose(), music.RATE
        if self._synthesiser is None:
            self._synthesiser = synthesise.Synthesiser(self._speakers, self._say)
        if sound.recipe_hash not in self._spoken:
            self._spoken[sound.recipe_hash] = self._synthesiser.speak(sound.text, sound.voice)
        return self._spoken[sound.recipe_hash], synthesise.RATE


def _make_one(root: Path, sound: Sound, recording: Path | None, source: _Source) -> None:
    raw = polish.read_recording(recording) if recording else polish.segment_of(*source.raw(sound))
    is_speech = sound.text is not None
    finished = {
        name: polish.wav_bytes(polish.polish(raw, rate, sound.level_dbov, loops=not is_speech))
        for rate, name in sound.files.items()
    }
    if recording:
        entries = {name: Entry(bytes_hash(data), "recording", sound.text_hash) for name, data in finished.items()}
        # Files first: if this is killed half-way, they still count as recordings.
        _write_all(root, finished)
        register(root, entries)
    else:
        entries = {name: Entry(bytes_hash(data), "synthetic", sound.recipe_hash) for name, data in finished.items()}
        # Files last: if this is killed half-way, they are missing, and not taken for recordings.
        for name in finished:
            (root / name).unlink(missing_ok=True)
        register(root, entries)
        _write_all(root, finished)


def _write_all(root: Path, files: dict[str, bytes]) -> None:
    """Write each file atomically."""
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data, mode=0o644)


def _best(files: list[Path]) -> Path:
    """The recording to keep if there are several: the one with the most data."""
    return max(files, key=lambda path: path.stat().st_size)
