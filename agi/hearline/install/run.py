"""Installing and taking away, step by step. The journal is on disk before the first change and goes after the last one,
so a run that was killed anywhere is finished, or undone, by the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hearline.install.disk import execute, look, only_one
from hearline.install.farewell import farewell
from hearline.install.journal import (
    Entry,
    Journal,
    drop_unfinished,
    read_journal,
    write_journal,
)
from hearline.install.plan import Plan, plan_install, plan_uninstall, settled
from hearline.install.reload import Console, calls_inside, reload
from hearline.install.tree import Found, Part, Step, Wanted
from hearline.install.wanted import Wishes, references, texts_of


class Refused(Exception):
    """Nothing was changed; the reasons, one by one, say what to do."""

    def __init__(self, *reasons: str) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


@dataclass(frozen=True)
class Done:
    """``left``: what of ours stays, and why. ``reloaded``: the console commands that Asterisk has carried out."""

    steps: tuple[Step, ...]
    left: tuple[str, ...] = ()
    reloaded: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prepared:
    """A plan, and what it was made from."""

    asterisk: Path
    profile: str
    wishes: Wishes
    plan: Plan
    journal: Journal | None


Wish = Callable[[dict[str, Found], Journal | None], Wishes]
"""What is wanted, given what is there."""


def prepare(asterisk: Path, profile: str, wish: Wish, also: Iterable[Path], journal_file: Path) -> Prepared:
    """Looks and plans; changes nothing.

    Args:
        also: paths outside Asterisk's folder that the wishes may concern.

    Raises:
        Refused: Hearline is installed elsewhere. OSError, JournalError.
    """
    journal = read_journal(journal_file)
    if journal and (journal.asterisk, journal.profile) != (str(asterisk), profile):
        raise Refused(
            f"Hearline is installed in {journal.asterisk} with the profile {journal.profile} ({journal_file}): "
            "`hearline uninstall` first"
        )
    ours = (Path(entry.path) for entry in journal.entries) if journal else ()
    tree = look(asterisk, (*also, *ours))
    wishes = wish(tree, journal)
    return Prepared(asterisk, profile, wishes, plan_install(wishes.wanted, tree, journal), journal)


def install(
    asterisk: Path, profile: str, wish: Wish, also: Iterable[Path], journal_file: Path, console: Console
) -> Done:
    """Plans, and carries it out. A second call changes nothing.

    Raises:
        Refused, Busy, ChangedMeanwhile, OSError, JournalError: after the last three some steps may have been done; the
            next call goes on.
    """
    with only_one(asterisk):
        drop_unfinished(journal_file)
        before = read_journal(journal_file)
        _drop_all_unfinished(before.entries if before else ())
        prepared = prepare(asterisk, profile, wish, also, journal_file)
        plan, wanted = prepared.plan, prepared.wishes.wanted
        if reasons := (*prepared.wishes.conflicts, *plan.conflicts):
            raise Refused(*reasons)
        after = _journal(prepared, "installed", settled(plan, wanted))
        if not plan.steps and prepared.journal == after:
            return Done((), plan.left)
        write_journal(journal_file, _journal(prepared, "installing", plan.entries))
        left = [*plan.left, *_execute(plan.steps)]
        parts = {step.part for step in plan.steps} | _interrupted(prepared.journal, wanted)
        reloaded = reload(parts, console)
        write_journal(journal_file, after)
        return Done(plan.steps, tuple(left), tuple(reloaded))


def prepare_uninstall(journal_file: Path) -> tuple[Journal, Plan, list[str]] | None:
    """(journal, plan, places in files of theirs that use ours); None if nothing is installed. Changes nothing.

    Raises OSError, JournalError.
    """
    journal = read_journal(journal_file)
    if journal is None:
        return None
    tree = _tree(journal)
    return journal, plan_uninstall(tree, journal), references(texts_of(tree, journal.asterisk))


def uninstall(
    journal_file: Path, console: Console, anyway: bool = False, stop_server: Callable[[], None] = lambda: None
) -> Done | None:
    """Lines first; then Asterisk reads its files again; then our files, and the journal last. None if nothing is
    installed.

    Args:
        anyway: also if files of theirs still lead to Hearline, or calls are in it.
        stop_server: called when no call can reach the server any more.

    Raises:
        as `install`.
    """
    journal = read_journal(journal_file)
    if journal is None:
        drop_unfinished(journal_file)
        return None
    folder = Path(journal.asterisk)
    with only_one(folder if folder.is_dir() else journal_file.parent):  # Asterisk may have been removed before Hearline
        drop_unfinished(journal_file)
        _drop_all_unfinished(journal.entries)
        prepared = prepare_uninstall(journal_file)
        if prepared is None:
            return None  # another run has just done it
        journal, plan, places = prepared
        if not anyway and journal.state != "uninstalling" and (reasons := _in_use(places, calls_inside(console))):
            raise Refused(*reasons)
        journal = journal.model_copy(update={"state": "uninstalling"})
        tree = _tree(journal)
        if console("core show version") is not None and (last_word := farewell(journal, tree)):
            step, journal = last_word
            write_journal(journal_file, journal)
            execute(step)
            reload({"manager"}, console)
            plan = plan_uninstall(_tree(journal), journal)
        write_journal(journal_file, journal)
        lines = [step for step in plan.steps if step.act == "write" or _is_line(step, journal)]
        left = [*plan.left, *_execute(lines)]
        reloaded = reload({entry.part for entry in journal.entries}, console)
        stop_server()
        left += _execute([step for step in plan.steps if step not in lines])
        journal_file.unlink()
        return Done(plan.steps, tuple(left), tuple(reloaded))


# ---- inside ----------------------------------------------------------------------------------------------------------
def _tree(journal: Journal) -> dict[str, Found]:
    return look(Path(journal.asterisk), (Path(entry.path) for entry in journal.entries))


def _execute(steps: Iterable[Step]) -> list[str]:
    return [left for step in steps if (left := execute(step))]


def _drop_all_unfinished(entries: Iterable[Entry]) -> None:
    for entry in entries:
        if Path(entry.path).parent.is_dir():
            drop_unfinished(Path(entry.path))


def _journal(prepared: Prepared, state: Literal["installing", "installed"], entries: tuple[Entry, ...]) -> Journal:
    in_order = tuple(sorted(entries, key=lambda entry: entry.path))
    return Journal(state=state, profile=prepared.profile, asterisk=str(prepared.asterisk), entries=in_order)


def _interrupted(journal: Journal | None, wanted: Iterable[Wanted]) -> set[Part]:
    """What a killed run may have changed without having it read again."""
    return {want.part for want in wanted} if journal and journal.state != "installed" else set()


def _is_line(step: Step, journal: Journal) -> bool:
    return any(entry.path == step.path and entry.kind == "line" for entry in journal.entries)


def _in_use(places: list[str], calls: int) -> list[str]:
    reasons = []
    if places:
        shown = ", ".join(places[:10]) + (f" and {len(places) - 10} more" if len(places) > 10 else "")
        reasons.append(
            f"your files still lead to Hearline: {shown}. Take these lines out first, and reload the dialplan"
        )
    if calls:
        reasons.append(f"calls are in Hearline ({calls} channels): try again when they have ended")
    return reasons
