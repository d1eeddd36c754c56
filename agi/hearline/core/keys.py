"""Random keys that outlive the process: for signatures and keyed hashes."""

from __future__ import annotations

import errno
import logging
import secrets
from contextlib import suppress
from pathlib import Path

from hearline.core.files import locked, read_regular, write_whole

log = logging.getLogger(__name__)

KEY_BYTES = 32


def lasting_key(file: Path) -> bytes:
    """A random key, made by whoever asks for it first; two processes that ask at once get the same.

    Raises:
        OSError: it can be neither read nor made, or is damaged.
    """
    with suppress(FileNotFoundError):
        if key := _key(file):
            return key
    with locked(file):
        with suppress(FileNotFoundError):
            if key := _key(file):
                return key
            log.error("%s was empty; a new key is made, and what was kept under the old one is not found again", file)
        write_whole(file, secrets.token_bytes(KEY_BYTES))
    return _key(file)


def _key(file: Path) -> bytes:
    """b'' for an empty file, which is what a full disk or a power cut may have left of a key."""
    key = read_regular(file, KEY_BYTES)
    if key and len(key) < KEY_BYTES:
        raise OSError(errno.EINVAL, f"a damaged key ({len(key)} of {KEY_BYTES} bytes): restore or remove it", str(file))
    return key
