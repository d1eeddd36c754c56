"""The disk: what lies there, and one step of a plan at a time, each of them whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hearline.core.files import MOST_TEXT, read_regular, sync_folder, write_whole
from hearline.install.journal import unfinished
from hearline.install.tree import Access, Found, Step
from hearline.pbx.conf_files import MOST_BYTES


class Busy(Exception):
    """Another run is at it."""


class ChangedMeanwhile(Exception):
    """A file is no longer as it was when the plan was made."""


def look(folder: Path, others: Iterable[Path]) -> dict[str, Found]:
    """Everything below ``folder``, the folder itself, and what lies at the other paths and where their links lead.
    Raises OSError."""
    tree: dict[str, Found] = {}
    paths = [folder, *others]
    for top, folders, files in os.walk(folder):
        paths += [Path(top) / name for name in (*folders, *files)]
    for path in paths:
        found = _found(path)
        if found is not None:
            tree[str(path)] = found
        if found is not None and found.kind == "link" and (behind := _found(Path(found.leads_to))) is not None:
            tree.setdefault(found.leads_to, behind)
    return tree


def _found(path: Path) -> Found | None:
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    access = Access(stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
    if stat.S_ISLNK(status.st_mode):
        return Found("link", access, leads_to=os.path.realpath(path))
    if stat.S_ISDIR(status.st_mode):
        return Found("folder", access)
    if not stat.S_ISREG(status.st_mode):
        return Found("other", access)
    try:
        content = read_regular(path, MOST_BYTES if path.suffix == ".conf" else MOST_TEXT)
    except OSError as error:
        if error.errno != errno.EFBIG:
            raise
        return Found("other", access)  # no configuration of anybody's
    return Found("file", access, content, names=status.st_nlink)


def execute(step: Step) -> str:
    """Do one step. Returns what of ours stays, and why; usually nothing. Raises OSError, ChangedMeanwhile."""
    path = Path(step.path)
    if step.act == "make folder":
        _make_folder(path, step.access)
    elif step.act == "remove folder":
        try:
            path.rmdir()
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY):
                raise
            return f"{path} stays: it is not empty"
        sync_folder(path.parent)
    elif step.act == "write":
        _check(path, step.before)
        assert step.after is not None
        write_whole(
            path,
            step.after,
            step.access.mode,
            owner=(step.access.uid, step.access.gid),
            like=path if step.before is not None else None,
            temporary=unfinished(path),
        )
    else:
        _check(path, step.before)
        path.unlink()
        sync_folder(path.parent)
    return ""


def _make_folder(path: Path, access: Access) -> None:
    """Under another name first, so that it is never there with another owner or mode than it is to have."""
    half = unfinished(path)
    half.mkdir(0o700)
    # By descriptor: the folder above it may belong to Asterisk's account, which must not lead root anywhere by a link.
    opened = os.open(half, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(opened)
        if (status.st_uid, status.st_gid) != (access.uid, access.gid):
            os.fchown(opened, access.uid, access.gid)
        os.fchmod(opened, access.mode)
    finally:
        os.close(opened)
    half.rename(path)
    sync_folder(path.parent)


def _check(path: Path, before: bytes | None) -> None:
    now = None
    with suppress(FileNotFoundError):
        now = read_regular(path, MOST_BYTES)
    if now != before:
        raise ChangedMeanwhile(f"{path} was changed by somebody else just now: run this again")


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Raises Busy while another run has this folder in hand, and OSError."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy(f"another `hearline install` or `uninstall` is at work in {folder}") from error
        yield
    finally:
        os.close(opened)
