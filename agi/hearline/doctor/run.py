"""Runs the checks of a box, each after those that it needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hearline.core.channel_names import shown
from hearline.doctor.box import Box
from hearline.doctor.checks import BECAUSE, Check, Finding, Level, Subject, fault, not_run
from hearline.doctor.subjects import asterisk, dialplan, files, machine, manager, media, queues, server, trial

STATIC: tuple[Subject, ...] = tuple(
    module.SUBJECT for module in (asterisk, dialplan, queues, media, manager, server, files, machine)
)
"""The subjects that change nothing on the box."""
CALL: Subject = trial.SUBJECT
"""The subject that makes a call."""
AS_ROOT = "sudo -E hearline doctor"
SHORTEST_SECRET = 4  # a shorter one would blot out half of the words


@dataclass(frozen=True)
class Result:
    subject: str
    check: Check
    finding: Finding


def examine(box: Box, subjects: Sequence[Subject] = STATIC) -> list[Result]:
    """Run all checks of these subjects. A check that fails itself is a fault of that check, and ends nothing."""
    checks = {check.id: check for subject in subjects for check in subject.checks}
    found: dict[str, Finding] = {}

    def finding_of(id: str) -> Finding:
        if id not in found:
            found[id] = _clean(box, _look(box, checks[id]))
        return found[id]

    def _look(box: Box, check: Check) -> Finding:
        for need in check.needs:
            if (found_there := finding_of(need)).blocks:
                return not_run(found_there.found if found_there.found.startswith(BECAUSE) else f"{BECAUSE} {need}")
        try:
            return check.look(box)
        except PermissionError as error:
            where = f" {error.filename}" if error.filename else ""
            return not_run(f"this account may not look at{where or ' it'}", AS_ROOT)
        except Exception as error:  # whatever it is, the other checks go on
            return fault(
                f"the check could not be finished: {type(error).__name__}: {error}",
                "an answer",
                "look at this part by hand, and report the message as a bug of `hearline doctor`",
            )

    return [Result(subject.title, check, finding_of(check.id)) for subject in subjects for check in subject.checks]


def exit_code(results: Sequence[Result]) -> int:
    """0: nothing is wrong, 1: warnings only, 2: faults."""
    levels = {result.finding.level for result in results}
    return 2 if Level.FAULT in levels else 1 if Level.WARNING in levels else 0


def _clean(box: Box, finding: Finding) -> Finding:
    """The finding without secrets, and of telephone numbers only the last four digits."""

    def cleaned(text: str) -> str:
        for secret in box.secrets:
            if len(secret) >= SHORTEST_SECRET:
                text = text.replace(secret, "(secret)")
        return shown(text)

    return replace(
        finding, found=cleaned(finding.found), wanted=cleaned(finding.wanted), remedy=cleaned(finding.remedy)
    )
