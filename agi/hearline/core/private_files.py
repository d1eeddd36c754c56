"""Files that their owner alone can read: keys and hashed PINs."""

from __future__ import annotations

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path


def private_folder(folder: Path) -> Path:
    """The folder, made where it is missing (mode 0700)."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def write_private(file: Path, text: str) -> None:
    """The whole file or none, mode 0600."""
    with tempfile.NamedTemporaryFile("w", dir=private_folder(file.parent), delete=False, encoding="utf-8") as out:
        out.write(text)  # a temporary file is private from the start
    os.replace(out.name, file)


def lasting_key(file: Path) -> bytes:
    """A random key, made by whoever asks for it first; two processes that ask at once get the same."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        pass
    with tempfile.NamedTemporaryFile("wb", dir=private_folder(file.parent)) as made:
        made.write(secrets.token_bytes(32))
        made.flush()
        with suppress(FileExistsError):
            os.link(made.name, file)
    return file.read_bytes()
