"""A plan as a unified diff, to be read before anything is changed. Pure.

It shows what is added and taken away without the lines around it: those are theirs, and may hold passwords and numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import unified_diff

from hearline.install.tree import Step

_SECRET = re.compile(r"^(\s*(?:secret|HEARLINE_PROOF)\s*=>?\s*)\S.*$")
HIDDEN = "(hidden)"


def difference(steps: Iterable[Step], hidden: Iterable[str] = (), named: str | None = None) -> str:
    """The changes, one after the other.

    Args:
        hidden: paths of files that hold nothing but a secret.
        named: a folder of copies, of which only the names are of interest.
    """
    secret = set(hidden)
    return "".join(_of(step, step.path in secret, bool(named) and step.path.startswith(f"{named}/")) for step in steps)


def _of(step: Step, secret: bool, only_name: bool) -> str:
    if step.act == "make folder":
        return f"new folder {step.path} (mode {step.access.mode:04o})\n"
    if step.act == "remove folder":
        return f"folder {step.path} goes\n"
    made = step.act == "write" and step.before is None
    head = f"new file {step.path} (mode {step.access.mode:04o})\n" if made else ""
    if only_name:
        return head or f"file {step.path} goes\n"
    before, after = (_lines(content, secret) for content in (step.before, step.after))
    source = step.path if step.before is not None else "/dev/null"
    target = step.path if step.after is not None else "/dev/null"
    return head + "".join(unified_diff(before, after, source, target, n=0))


def _lines(content: bytes | None, secret: bool) -> list[str]:
    if content is None:
        return []
    if secret:
        return [HIDDEN + "\n"]
    lines = content.decode("utf-8", "backslashreplace").splitlines(keepends=True)
    shown = [_SECRET.sub(rf"\g<1>{HIDDEN}", line) for line in lines]
    if shown and not shown[-1].endswith("\n"):
        shown[-1] += "\n\\ No newline at end of file\n"
    return shown
