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


def write_whole(
    file: Path,
    data: bytes | str,
    mode: int = 0o600,
    sync: bool = True,
    *,
    owner: tuple[int, int] | None = None,
    like: Path | None = None,
    temporary: Path | None = None,
) -> None:
    """Replace ``file`` atomically: a reader finds either the old content or the new. A write that fails leaves no
    temporary file behind.

    Args:
        mode: the file's permissions.
        sync: flush to disk, so that the new content survives a power cut; takes as long as the disk takes.
        owner: the file's user and group ids; by default those of this process.
        like: a file whose extended attributes, such as access lists, the new one gets.
        temporary: the name of the temporary file, in the same folder, for callers that want to find what a killed
            process has left. It must not exist. By default a random one.

    Raises:
        OSError: the write failed; the old content stays.
    """
    data = data.encode("utf-8") if isinstance(data, str) else data
    if temporary is None:
        made, name = tempfile.mkstemp(prefix=f".{file.name}.", suffix=".new", dir=file.parent)
    else:
        name = str(temporary)
        made = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(made, "wb") as out:
            out.write(data)
            out.flush()
            status = os.fstat(made)
            if owner is not None and owner != (status.st_uid, status.st_gid):
                os.fchown(made, *owner)
            os.fchmod(made, mode)
            if like is not None:
                _copy_attributes(like, made)
            if sync:
                os.fsync(made)
        os.replace(name, file)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(file)  # a full disk names nothing
        with suppress(OSError):
            os.unlink(name)
        raise
    if sync:
        sync_folder(file.parent)


def _copy_attributes(like: Path, made: int) -> None:
    """Extended attributes, access lists among them; those that cannot be read or set here are left out."""
    with suppress(OSError):
        for attribute in os.listxattr(like):
            with suppress(OSError):
                os.setxattr(made, attribute, os.getxattr(like, attribute))


def sync_folder(folder: Path) -> None:
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


def is_shared(mode: int) -> bool:
    """True for the mode of a folder whose group writes into it, too, and owns what is in it (setgid): two accounts
    share it, as `init` and the server do in containers."""
    return bool(mode & stat.S_ISGID and mode & stat.S_IWGRP)


def private_mode(folder: Path) -> int:
    """The permissions of a file for who needs this folder: 0600, or 0640 if its group shares it. Raises OSError."""
    return 0o640 if is_shared(folder.stat().st_mode) else 0o600


def write_shared(file: Path, text: str) -> None:
    """As `write_private`, but readable by the folder's group if that shares the folder. Raises OSError."""
    folder = private_folder(file.parent)
    write_whole(file, text, private_mode(folder))


@contextmanager
def as_owner_of(folder: Path) -> Iterator[None]:
    """As root, act as the account that a folder belongs to: what is written there then belongs to it, too. Root's own
    files in the server's folders would keep the server out. (The real user id stays, for who asks who did it.)"""
    try:
        found = folder.stat()
    except OSError:
        found = None
    if os.geteuid() != 0 or found is None or found.st_uid == 0:
        yield
        return
    group = os.getegid()
    os.setegid(found.st_gid)
    try:
        os.seteuid(found.st_uid)
        try:
            yield
        finally:
            os.seteuid(0)
    finally:
        os.setegid(group)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold a lock between processes while ``file`` is read, changed and written back. Every account that shares the
    folder can. Raises OSError."""
    folder = private_folder(file.parent)
    name = folder / f".{file.name}.lock"
    with open(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "wb") as lock:
        if is_shared(folder.stat().st_mode):
            with suppress(PermissionError):  # another account has made it, and has done this
                os.fchmod(lock.fileno(), 0o660)
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
    """A value to compare: it differs from an earlier one if a file has been changed, replaced, added or removed, or
    given to other readers."""
    seen = []
    for file in files:
        try:
            found = file.stat()
        except OSError:
            continue
        seen.append((str(file), found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino))
    return tuple(seen)
