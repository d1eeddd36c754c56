"""Asterisk's console: the commands whose output says how a running Asterisk is set up, and that output read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from hearline.pbx.hints import hint_of

Console = Callable[[str], str]
"""Runs a console command and returns what it printed. Raises ConsoleUnavailable."""


# ---- dialplan show ---------------------------------------------------------------------------------------------------
@dataclass
class Context:
    includes: list[str] = field(default_factory=list)
    steps: dict[str, list[str]] = field(default_factory=dict)
    """By extension, what it does: ``Goto(hearline,${EXTEN},1)``."""


_CONTEXT = re.compile(r"^\[ (?:Included )?[Cc]ontext '([^']+)'")
_EXTENSION = re.compile(r"^  '([^']+)'(?: \(CID match '[^']*'\))? =>")
_STEP = re.compile(r"^(?:  '[^']+'[^=]* =>)?\s*(?:\[[^\]]*\])?\s+\d+\. (.*?)\s*(?:\[[^\[\]]*\])?$")
_INCLUDE = re.compile(r"^  Include =>\s+'([^',|]+)")


def read_dialplan(text: str) -> dict[str, Context]:
    """The contexts in the output of ``dialplan show``."""
    found: dict[str, Context] = {}
    context, extension = Context(), ""
    for line in text.splitlines():
        if opened := _CONTEXT.match(line):
            context, extension = found.setdefault(opened[1], Context()), ""
        elif included := _INCLUDE.match(line):
            context.includes.append(included[1])
        else:
            if begun := _EXTENSION.match(line):
                extension = begun[1]
            if extension and (step := _STEP.match(line)):
                context.steps.setdefault(extension, []).append(step[1])
    return found


_JUMPS = re.compile(r"^(?:Goto|GotoIf|GotoIfTime|Gosub|GosubIf|Macro|Dial|Originate|ExecIf|TryExec)\(")
_WORDS = re.compile(r"[\w.+-]+")


def leads_to(context: Context, known: dict[str, Context]) -> set[str]:
    """The contexts to which this one can lead directly."""
    jumps = " ".join(step for steps in context.steps.values() for step in steps if _JUMPS.match(step))
    return {*context.includes, *(set(_WORDS.findall(jumps)) & known.keys())}


# ---- other commands --------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Member:
    """A member of a queue. ``phone``: its state interface. ``name``: the work number, or a person's name."""

    queue: str
    name: str
    interface: str
    phone: str

    @property
    def number(self) -> str:
        """The work number. Where the phone is a hint, the name is a person's, and the number the hint's extension."""
        hint = hint_of(self.phone)
        return hint.extension if hint else self.name


_QUEUE = re.compile(r"^(\S+) has \d+ calls? \(max")
_MEMBER = re.compile(r"^\s+(.+?) \((\S+?)(?: from ([^)]+))?\)(?= |$)")


def read_queues(text: str) -> dict[str, list[Member]]:
    """The queues and their members in the output of ``queue show``."""
    found: dict[str, list[Member]] = {}
    queue, members = "", False
    for line in text.splitlines():
        if named := _QUEUE.match(line):
            queue, members = named[1], False
            found[queue] = []
        elif line.strip() in ("Members:", "Callers:", "No Callers", "No Members"):
            members = line.strip() == "Members:"
        elif members and queue and (member := _MEMBER.match(line)):
            found[queue].append(Member(queue, member[1], member[2], member[3] or member[2]))
    return found


def read_modules(text: str) -> set[str]:
    """The modules that run, by ``module show``."""
    return {words[0] for line in text.splitlines() if (words := line.split()) and "Running" in words[1:]}


def read_table(text: str) -> dict[str, str]:
    """``name : value`` of each such line: ``pjsip show endpoint``, ``rtp show settings``, ``manager show user``."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.strip().lower(): value.strip() for name, colon, value in pairs if colon}


def read_globals(text: str) -> dict[str, str]:
    """The global variables by ``dialplan show globals``."""
    pairs = (line.strip().partition("=") for line in text.splitlines())
    return {name: value for name, equals, value in pairs if equals}


def read_endpoints(text: str) -> list[str]:
    """The names in ``pjsip show endpoints``, in its order."""
    lines = (line.split() for line in text.splitlines())
    named = [words[1] for words in lines if len(words) > 1 and words[0] == "Endpoint:"]
    return [name.partition("/")[0] for name in named if not name.startswith("<")]


_FEATURE = re.compile(r"^(\S.*?) {2,}.*?([0-9*#A-D]+)\s*$")
DIALLED = "Pickup"
"""The feature whose code is dialled, and not pressed in a call."""


def read_features(text: str) -> Iterator[tuple[str, str]]:
    """(feature, code) of each feature in ``features show`` that has a code in a call."""
    for line in text.splitlines():
        if (found := _FEATURE.match(line)) and found[1] != DIALLED:
            yield found[1], found[2]
