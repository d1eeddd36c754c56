"""Random keys kept in files, for signatures and keyed hashes."""

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
    """The random key in ``file``, created on first use. Two processes that ask at the same time get the same key.

    Raises:
        OSError: the key can be neither read nor created, or is damaged.
    """
    with suppress(FileNotFoundError):
        if key := _key(file):
            return key
    with locked(file):
        with suppress(FileNotFoundError):
            if key := _key(file):
                return key
            log.error("%s was empty; making a new key. Records kept under the old key can no longer be found", file)
        write_whole(file, secrets.token_bytes(KEY_BYTES))
    return _key(file)


def _key(file: Path) -> bytes:
    """The key, or b'' for an empty file: a full disk or a power cut may leave one."""
    key = read_regular(file, KEY_BYTES)
    if key and len(key) < KEY_BYTES:
        raise OSError(errno.EINVAL, f"a damaged key ({len(key)} of {KEY_BYTES} bytes): restore or remove it", str(file))
    return key
