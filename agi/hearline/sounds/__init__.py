"""The sounds: a manifest of texts, the files spoken from it, and the tools that keep the two in step.

The server needs only `manifest` and `prompt_store`. `making` imports the packages of the `voice` extra when it is used.
"""

from hearline.sounds.manifest import Manifest, ManifestError, load_manifest, music_path, prompt_path

__all__ = ["Manifest", "ManifestError", "load_manifest", "music_path", "prompt_path"]
