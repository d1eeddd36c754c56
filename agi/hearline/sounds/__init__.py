"""The sounds: one manifest of texts, the files spoken from it, and what keeps the two in step.

The server needs `manifest` alone. What makes sounds takes the packages of the `voice` extra when it is called.
"""

from hearline.sounds.manifest import Manifest, ManifestError, load_manifest, music_path, prompt_path

__all__ = ["Manifest", "ManifestError", "load_manifest", "music_path", "prompt_path"]
