"""The way from the files that are there to those that are wanted, and back. Pure.

The journal's entries say what is ours. Nothing else is ever removed: of a file of theirs only our line, of ours only
what nobody has changed since.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hearline.install.journal import Before, Entry, Journal
from hearline.install.tree import Access, AddedLine, File, Folder, Found, Step, Tree, Wanted, sha256


@dataclass(frozen=True)
class Plan:
    """Steps in order, and the entries that cover them. ``conflicts``: why nothing may be done. ``left``: what of ours
    stays, and why."""

    steps: tuple[Step, ...] = ()
    entries: tuple[Entry, ...] = ()
    conflicts: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


def plan_install(wanted: Sequence[Wanted], tree: Tree, journal: Journal | None) -> Plan:
    """Everything that is wanted, and nothing of ours that is not wanted any more."""
    known = {entry.path: entry for entry in journal.entries} if journal else {}
    settled = journal is not None and journal.state == "installed"
    steps: list[Step] = []
    entries: list[Entry] = []
    conflicts: list[str] = []
    for want in wanted:
        try:
            step, entry = _towards(want, tree.get(want.path), known.get(want.path), settled)
        except _Conflict as conflict:
            conflicts.append(str(conflict))
            continue
        if step:
            steps.append(step)
        if entry:
            entries.append(entry)
    paths = {want.path for want in wanted}
    gone = [entry for entry in known.values() if entry.path not in paths and not entry.seed]
    away, left = _away(gone, tree)
    # A line goes before what it includes; what is new is there before its line.
    first = [step for step in away if step.act == "write"]
    return Plan(
        steps=(*first, *steps, *(step for step in away if step.act != "write")),
        entries=(*entries, *(entry for entry in known.values() if entry.path not in paths)),
        conflicts=tuple(conflicts),
        left=left,
    )


def plan_uninstall(tree: Tree, journal: Journal) -> Plan:
    """Lines first, then files, then folders."""
    steps, left = _away(journal.entries, tree)
    return Plan(steps=steps, entries=journal.entries, left=left)


def settled(plan: Plan, wanted: Sequence[Wanted]) -> tuple[Entry, ...]:
    """The entries once all steps are done."""
    contents = {want.path: want.content for want in wanted if isinstance(want, File) and not want.seed}
    paths = {want.path for want in wanted}
    return tuple(
        entry.model_copy(update={"ours": (sha256(contents[entry.path]),)}) if entry.path in contents else entry
        for entry in plan.entries
        if entry.path in paths or entry.seed
    )


# ---- one path --------------------------------------------------------------------------------------------------------
class _Conflict(Exception):
    pass


def _towards(want: Wanted, found: Found | None, entry: Entry | None, settled: bool) -> tuple[Step | None, Entry | None]:
    if want.seed and found is None and entry is not None and settled:
        return None, entry  # somebody here has removed it
    if isinstance(want, Folder):
        return _folder(want, found, entry)
    if found is not None and found.kind != "file":
        raise _Conflict(f"{want.path} is not a file, or larger than any configuration: move it away")
    if isinstance(want, File):
        return _file(want, found, entry)
    return _line(want, found, entry)


def _folder(want: Folder, found: Found | None, entry: Entry | None) -> tuple[Step | None, Entry | None]:
    if found is None:
        step = Step("make folder", want.path, want.part, want.access)
        return step, _entry(want, want.access, kind="folder", seed=want.seed)
    if found.kind == "folder" or (found.kind == "link" and want.seed):
        return None, entry  # without an entry it is theirs, and stays
    raise _Conflict(f"{want.path} is not a folder: move it away")


def _file(want: File, found: Found | None, entry: Entry | None) -> tuple[Step | None, Entry | None]:
    new = sha256(want.content)
    if found is None:
        ours = (*entry.ours, new) if entry else (new,)
        step = Step("write", want.path, want.part, want.access, after=want.content)
        return step, _entry(want, want.access, kind="file", seed=want.seed, ours=tuple(dict.fromkeys(ours)))
    if want.seed:
        return None, entry
    if entry is None:
        raise _Conflict(f"{want.path} exists, and was not written by `hearline install`: move it away")
    if sha256(found.content) not in entry.ours:
        raise _Conflict(
            f"{want.path} has been changed since Hearline wrote it: move your change into a file of your own, "
            "and delete this one"
        )
    ours = tuple(dict.fromkeys((*entry.ours, new)))
    kept = entry.model_copy(update={"ours": ours, "part": want.part})
    if found.content == want.content:
        return None, kept
    # Who may read it stays as it is: somebody here may have changed that on purpose.
    step = Step("write", want.path, want.part, found.access, found.content, want.content)
    return step, kept


def _line(want: AddedLine, found: Found | None, entry: Entry | None) -> tuple[Step | None, Entry | None]:
    line = want.line.encode()
    if found is None:
        after = line + b"\n"
        step = Step("write", want.path, want.part, want.access, after=after)
        return step, _entry(want, want.access, kind="line", line=want.line, after=sha256(after))
    if found.names > 1:
        raise _Conflict(f"{want.path} has {found.names} names (hard links): replacing it would part them")
    if line in _lines(found.content):
        made_by_hand = _entry(want, found.access, kind="line", made=False, line=want.line)
        return None, entry or made_by_hand
    open_end = bool(found.content) and not found.content.endswith(b"\n")
    after = found.content + (b"\n" if open_end else b"") + line + b"\n"
    before = Before(sha256=sha256(found.content), **vars(found.access))
    step = Step("write", want.path, want.part, found.access, found.content, after)
    made = entry is not None and entry.made
    return step, _entry(
        want, found.access, kind="line", made=made, line=want.line, newline=open_end, before=before, after=sha256(after)
    )


def _entry(want: Wanted, access: Access, **fields: Any) -> Entry:
    return Entry(path=want.path, part=want.part, **vars(access), **fields)


def _lines(content: bytes) -> list[bytes]:
    return [line.strip() for line in content.split(b"\n")]


# ---- back ------------------------------------------------------------------------------------------------------------
def _away(entries: Sequence[Entry], tree: Tree) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    steps: dict[str, list[Step]] = {"line": [], "file": [], "folder": []}
    left: list[str] = []
    for entry in reversed(entries):
        found = tree.get(entry.path)
        if found is None:
            continue
        if entry.kind == "folder":
            if found.kind == "folder":
                steps["folder"].append(Step("remove folder", entry.path, entry.part, found.access))
        elif found.kind != "file":
            left.append(f"{entry.path} stays: it is no file any more")
        elif entry.was_there:
            left.append(f"{entry.path} keeps the line {entry.line}: it was there before Hearline was installed")
        elif entry.kind == "line":
            if step := _without_line(entry, found):
                steps["line"].append(step)
        elif sha256(found.content) in entry.ours:
            steps["file"].append(Step("remove", entry.path, entry.part, found.access, before=found.content))
        else:
            left.append(f"{entry.path} stays: it has been changed since it was installed")
    # Children come before their parents.
    folders = sorted(steps["folder"], key=lambda step: step.path.count("/"), reverse=True)
    return (*steps["line"], *steps["file"], *folders), tuple(left)


def _without_line(entry: Entry, found: Found) -> Step | None:
    lines = found.content.split(b"\n")
    ours = entry.line.encode()
    kept = [line for line in lines if line.strip() != ours]
    if entry.made and not b"".join(kept).strip():
        return Step("remove", entry.path, entry.part, found.access, before=found.content)
    if len(kept) == len(lines):
        return None
    was_last = not any(line.strip() for line in lines[_last(lines, ours) + 1 :])
    after = b"\n".join(kept)
    if entry.newline and was_last:
        after = after.removesuffix(b"\n")
    return Step("write", entry.path, entry.part, found.access, found.content, after)


def _last(lines: list[bytes], ours: bytes) -> int:
    return max(number for number, line in enumerate(lines) if line.strip() == ours)
