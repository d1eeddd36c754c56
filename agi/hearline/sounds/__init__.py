"""The sounds: one manifest of texts, the files spoken from it, and what keeps the two in step.

Light parts (needed by the server): `manifest`. Parts that want the `voice` extra import it when they are
called: `synthesise`, `polish`.
"""

from hearline.sounds.manifest import Manifest, ManifestError, load_manifest, prompt_path

__all__ = ["Manifest", "ManifestError", "load_manifest", "prompt_path"]
