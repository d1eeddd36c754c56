"""Files: read only where that cannot hang or fill the memory, and written whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MOST_TEXT = 4 * 1024 * 1024  # bytes; no file that people write by hand comes near


def read_regular(file: Path, most: int = MOST_TEXT) -> bytes:
    """The bytes of a regular file. A FIFO, a socket or a device is refused instead of waited for.

    Raises:
        OSError: it cannot be read, is no regular file, or is longer than ``most`` bytes.
    """
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(file))
        with open(descriptor, "rb", closefd=False) as opened:
            data = opened.read(most + 1)
    finally:
        os.close(descriptor)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"larger than {most:,} bytes", str(file))
    return data


def read_text(file: Path, most: int = MOST_TEXT) -> str:
    """The same as UTF-8 text. Raises UnicodeDecodeError as well."""
    return read_regular(file, most).decode("utf-8")


def write_whole(file: Path, data: bytes | str, mode: int = 0o600, sync: bool = True) -> None:
    """Replace ``file``: whoever reads it finds the old content or the new one, and a write that fails leaves nothing
    behind.

    Args:
        mode: who may read it.
        sync: have it outlive a power cut as well; takes as long as the disk takes.

    Raises:
        OSError: the old content stays.
    """
    data = data.encode("utf-8") if isinstance(data, str) else data
    made, name = tempfile.mkstemp(prefix=f".{file.name}.", suffix=".new", dir=file.parent)
    try:
        with open(made, "wb") as out:
            out.write(data)
            out.flush()
            os.fchmod(made, mode)
            if sync:
                os.fsync(made)
        os.replace(name, file)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
    if sync:
        _sync_folder(file.parent)


def _sync_folder(folder: Path) -> None:
    """So that the new name outlives a power cut, too. Not every file system can; then it is as safe as it gets."""
    with suppress(OSError):
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def private_folder(folder: Path) -> Path:
    """The folder, made where it is missing (mode 0700)."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def write_private(file: Path, text: str) -> None:
    """`write_whole` for its owner alone (mode 0600), in a folder that is made where it is missing. Raises OSError."""
    private_folder(file.parent)
    write_whole(file, text)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Only one of all processes at a time: around reading ``file``, changing what was read and writing it. Raises
    OSError."""
    name = private_folder(file.parent) / f".{file.name}.lock"
    with open(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def stamp(files: Iterable[Path]) -> tuple:
    """Differs from an earlier one when a file has been changed, replaced, added or removed."""
    seen = []
    for file in files:
        try:
            found = file.stat()
        except OSError:
            continue
        seen.append((str(file), found.st_mtime_ns, found.st_size, found.st_ino))
    return tuple(seen)
