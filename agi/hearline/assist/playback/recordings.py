"""The recordings that can be played in a talk: prompts of agents' keys, whispers, music on hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hearline.sounds.manifest import MANIFEST_NAME, Manifest, PhraseSet, load_manifest
from hearline.sounds.prompt_store import PromptStore
from hearline.yamlfiles.watched import Watched

MUSIC = "music/waiting"


class Recordings(Watched[Manifest]):
    """The manifest of a sounds folder and the recordings of its phrase sets, kept up to date.

    Raises ManifestError if the manifest cannot be read at the start.
    """

    def __init__(self, sounds: Path) -> None:
        self._store = PromptStore(sounds)
        files = [sounds / MANIFEST_NAME]
        super().__init__("the sounds' manifest", lambda: files, lambda _: load_manifest(sounds), load_manifest(sounds))
        self.prepare = self._prepare
        self.refresh()

    def _prepare(self, manifest: Manifest) -> None:
        spoken = (f"{where}/{prompt}" for where, prompts in _by_set(manifest).items() for prompt in prompts)
        self._store.want([MUSIC, *spoken])

    def look(self) -> bool:
        """Read changed files; for the watching thread."""
        return super().look() | self._store.look()

    def samples(self, key: str) -> np.ndarray:
        """The samples, int16 [n] at 8 kHz, of e.g. ``zh/lanzhi/low-1`` or ``music/waiting``. Raises as
        ``PromptStore.samples``."""
        return self._store.samples(key)

    @property
    def sets(self) -> dict[str, frozenset[str]]:
        """The ids of the prompts that have a recording, by phrase set (``zh/lanzhi``)."""
        return _by_set(self.value)

    def ids_of(self, where: str) -> frozenset[str]:
        return self.sets.get(where, frozenset())


def _by_set(manifest: Manifest) -> dict[str, frozenset[str]]:
    return {
        f"{language}/{name}": frozenset(prompt for prompt, words in phrases.prompts.items() if words is not None)
        for language, sets in manifest.languages.items()
        for name, phrases in sets.items()
        if isinstance(phrases, PhraseSet)
    }
