"""The current recordings in memory, for everything that plays them: callers' prompts, agents' keys, whispers, music.

Players take samples from memory. The watching thread reads and converts the files beforehand.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from hearline.audio.settings import SAMPLE_RATE_HZ
from hearline.audio.wav import BadAudio, read_wav
from hearline.call.plan import Plan
from hearline.core.files import stamp
from hearline.sounds.manifest import SUFFIX

log = logging.getLogger(__name__)

LONGEST_S = 300  # per recording; no caller listens for longer


def prompt_keys(plan: Plan) -> dict[str, str]:
    """The keys of a plan's prompts (``zh/lanzhi/opening``) by their ids."""
    return {prompt: f"{plan.language}/{plan.phrases}/{prompt}" for prompt in plan.prompts}


class PromptStore:
    """Recordings by key: the path under the sounds folder without suffix, ``zh/lanzhi/opening`` or ``music/waiting``.

    ``faults``: the keys whose files cannot be played, and why. An earlier version of such a file stays in use.

    Args:
        root: the sounds folder.
        changed: called with the recordings that were read, by key: 16-bit samples, 8 kHz, as bytes.
    """

    def __init__(self, root: Path, changed: Callable[[Mapping[str, bytes]], None] = lambda _read: None) -> None:
        self._root, self._changed = root, changed
        self._kept: dict[str, np.ndarray] = {}
        self._read_stamps: dict[str, tuple] = {}  # when the file was last read
        self._seen_stamps: dict[str, tuple] = {}  # at the last look
        self._faults: dict[str, BadAudio] = {}

    @property
    def faults(self) -> dict[str, str]:
        return {key: fault.wrong for key, fault in self._faults.copy().items()}

    def samples(self, key: str) -> np.ndarray:
        """The samples of a recording, int16 [n], 8 kHz. Reads no file. Raises BadAudio if its file cannot be played, or
        if it was never requested with `want`."""
        if (kept := self._kept.get(key)) is not None:
            return kept
        if fault := self._faults.get(key):
            raise BadAudio(fault.path, fault.wrong, fault.remedy)
        raise BadAudio(self._file(key), "not among the recordings in use", "name it in the manifest")

    # ---- for the watching thread ------------------------------------------------------------------------------------
    def want(self, keys: Iterable[str]) -> None:
        """Keep these recordings in memory from now on. Returns when they have been read."""
        self._read(sorted(set(keys) - self._read_stamps.keys()))

    def look(self) -> bool:
        """Read the files that have changed and then stayed the same for two looks. Returns True if any was read."""
        settled = []
        for key, read in self._read_stamps.items():
            seen, before = stamp([self._file(key)]), self._seen_stamps.get(key)
            self._seen_stamps[key] = seen
            if seen == before != read:
                settled.append(key)
        return self._read(settled)

    def _file(self, key: str) -> Path:
        return self._root / f"{key}{SUFFIX[SAMPLE_RATE_HZ]}"

    def _read(self, keys: Iterable[str]) -> bool:
        fresh = {}
        for key in keys:
            file = self._file(key)
            self._read_stamps[key] = self._seen_stamps[key] = stamp([file])
            try:
                samples = read_wav(file)
                if samples.size > LONGEST_S * SAMPLE_RATE_HZ:
                    raise BadAudio(file, f"longer than {LONGEST_S} s", "shorten it")
            except BadAudio as error:
                self._faults[key] = error
                log.error("a recording cannot be played (an earlier version stays in use, if there was one): %s", error)
                continue
            samples.flags.writeable = False
            self._faults.pop(key, None)
            self._kept[key] = samples
            fresh[key] = samples.astype("<i2").tobytes()
        if fresh:
            self._changed(fresh)
        return bool(fresh)
