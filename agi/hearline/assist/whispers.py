"""The whispers' sound: read once, at the level that is asked for."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from hearline.audio.wav import read_wav
from hearline.sounds.manifest import load_manifest, prompt_path

LANGUAGE, SET = "zh", "hints"


class Whispers:
    """Those of ``sounds``. Raises ManifestError where there is no manifest that can be read."""

    def __init__(self, sounds: Path) -> None:
        sets = load_manifest(sounds).languages.get(LANGUAGE, {})
        self.known = frozenset(sets[SET].prompts) if SET in sets else frozenset()
        self._sounds = sounds
        self.pcm = lru_cache(maxsize=256)(self._pcm)

    def _pcm(self, whisper: str, level_db: int) -> bytes:
        """16-bit samples, 8 kHz, ``level_db`` against the file. Raises OSError, ValueError."""
        samples = read_wav(prompt_path(self._sounds, LANGUAGE, SET, whisper)).astype(float)
        return np.clip(np.rint(samples * 10 ** (level_db / 20)), -32768, 32767).astype("<i2").tobytes()
