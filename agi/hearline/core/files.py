"""Safe file access: a read never hangs or fills the memory, and a write replaces the whole file or nothing."""

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
    """The bytes of a regular file. FIFOs, sockets and devices are refused, since opening one may block.

    Raises:
        OSError: the file cannot be read, is not a regular file, or is longer than ``most`` bytes.
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
    """A regular file as UTF-8 text; see `read_regular`. Raises OSError, UnicodeDecodeError."""
    return read_regular(file, most).decode("utf-8")


def write_whole(file: Path, data: bytes | str, mode: int = 0o600, sync: bool = True) -> None:
    """Replace ``file`` atomically: a reader finds either the old content or the new. A write that fails leaves no
    temporary file behind.

    Args:
        mode: the file's permissions.
        sync: flush to disk, so that the new content survives a power cut; takes as long as the disk takes.

    Raises:
        OSError: the write failed; the old content stays.
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
    """Make the new name survive a power cut, too. Some file systems cannot sync a folder; that is ignored."""
    with suppress(OSError):
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def private_folder(folder: Path) -> Path:
    """Create the folder if it is missing (mode 0700), and return it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def write_private(file: Path, text: str) -> None:
    """`write_whole` with mode 0600, for the owner alone. Creates the folder if it is missing. Raises OSError."""
    private_folder(file.parent)
    write_whole(file, text)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold a lock between processes while ``file`` is read, changed and written back. Raises OSError."""
    name = private_folder(file.parent) / f".{file.name}.lock"
    with open(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def hold(file: Path) -> int:
    """Lock ``file`` until the process ends, or until the returned descriptor is closed. Raises BlockingIOError while
    another process holds it, and OSError."""
    held = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        raise
    return held


def stamp(files: Iterable[Path]) -> tuple:
    """A value to compare: it differs from an earlier one if a file has been changed, replaced, added or removed."""
    seen = []
    for file in files:
        try:
            found = file.stat()
        except OSError:
            continue
        seen.append((str(file), found.st_mtime_ns, found.st_size, found.st_ino))
    return tuple(seen)
