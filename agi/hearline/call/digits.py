"""What a flow file says of the keys that a step collects: its words, checked, and settled as ``plan.Collect``.

The words are VoiceXML's (https://www.w3.org/TR/voicexml20/#dml4.1.5): ``termchar``, ``interdigittimeout``, and
``minlength`` and ``maxlength`` of its builtin type ``digits``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator

from hearline.call.plan import Bargein, Cause, Collect, Target
from hearline.yamlfiles.checked import Duration, Words, between, like, listed

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_SPAN = re.compile(r"([0-9*#]+)|([0-9]+)\s*[-–]\s*([0-9]+)")
_INPUT = re.compile(r"[0-9*#]{1,32}")

Spans = tuple[tuple[str, str], ...]
NextKey = Annotated[Duration, between("500ms", "30s", "A hand needs time to find the next key")]


def as_text(value: Any) -> Any:
    """A number that stands where keys should, as its digits. (``011`` never comes here: see ``yamlfiles.located``.)"""
    return str(value) if type(value) is int else value


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(f"{value!r} is no name for what is collected|Write small letters, digits and _, 32 at most")
    return value


def _count(value: Any) -> int:
    if type(value) is not int:
        raise ValueError(f"{value!r} is no number of keys|Write a whole number, such as 4")
    return value


def _termchar(value: Any) -> str:
    if value is None:
        raise ValueError('it is empty: in YAML # begins a comment|Write "#" in quotes, or "" for none')
    if value not in ("#", "*", ""):
        raise ValueError(f'{value!r} cannot end an input|Write "#" or "*", in quotes, or "" for none')
    return value


def _spans(value: Any) -> Spans:
    """``1-5`` or ``[1000-8999, 0]`` as (lowest, highest) each."""
    return tuple(_span(as_text(item)) for item in listed(value))


def _span(text: Any) -> tuple[str, str]:
    found = _SPAN.fullmatch(text.strip()) if isinstance(text, str) else None
    if not found:
        raise ValueError(f"{text!r} cannot be keyed in|Write keys, or a range of numbers: 1-5, [1-5, 9], 1000-8999")
    keys, low, high = found.groups()
    if keys:
        return keys, keys
    if len(low) != len(high):
        remedy = "Write a range for each length: [0-9, 10-12]"
        raise ValueError(f"{text!r} begins with {len(low)} digits and ends with {len(high)}|{remedy}")
    if low > high:
        raise ValueError(f"{text!r} ends before it begins|Write {high}-{low}")
    return low, high


def cause_or_keys(value: Any) -> str:
    """What may stand on the left under a step's ``on``."""
    value = as_text(value)
    if isinstance(value, str) and (value in list(Cause) or _INPUT.fullmatch(value)):
        return value
    raise ValueError(f"{value!r} is neither a cause nor keys|{like(value, list(Cause))}")


CauseOrKeys = Annotated[str, BeforeValidator(cause_or_keys)]
_Count = Annotated[int, between("1", "32", "Nobody keys in more", int), BeforeValidator(_count)]


class CollectWords(Words):
    """A step's ``collect``; a name alone will do."""

    name: Annotated[str, AfterValidator(_name)]
    match: Annotated[Spans | None, BeforeValidator(_spans)] = None
    minlength: _Count | None = None
    maxlength: _Count | None = None
    termchar: Annotated[str, BeforeValidator(_termchar)] = "#"
    interdigittimeout: NextKey | None = None
    personal: Literal["yes", "no"] = "yes"


def by_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def clashes(
    words: CollectWords | None, bargein: Bargein | None, own: Collection[str], on: Collection[str]
) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """What does not go together in a step, or is missing: (where in the step, problem, remedy).

    Args:
        own: what is on the left under the step's own ``on``.
        on: the same together with ``always``.
    """
    if words is None:
        for key in own:
            if key not in list(Cause) or key in (Cause.COLLECTED, Cause.NOMATCH):
                yield ("on", key), f"{key!r}, but the step collects no keys", "Add `collect: NAME`"
        return
    if Cause.KEY in own:
        yield ("on", Cause.KEY), "`key` in a step that collects keys", "Write `collected`, or the keys themselves"
    if bargein is Bargein.NONE:
        remedy = "Put the prompt into a step of its own before this one"
        yield ("bargein",), "`bargein: none` in a step that collects keys: it would hear none", remedy
    chosen = [key for key in on if key not in list(Cause)]
    anything = Cause.COLLECTED in on
    most = _most(words, chosen, anything)
    if Cause.NOMATCH not in on:
        yield ("on",), "it is not said what follows keys that do not match", "Add `nomatch: …` under its `on:`"
    if not anything and (words.match or words.minlength or not chosen):
        yield ("on",), "it is not said where keys that match lead", "Add `collected: …` under its `on:`"
    if most is None:
        yield ("collect",), "it is not said how many keys are collected", "Add `maxlength: …`, or `match: …`"
    elif most < (words.minlength or 1):
        yield ("collect", "minlength"), f"minlength is more than maxlength, {most}", "Exchange the two"
    spans = [(("collect", "match"), low) for low, _ in words.match or ()]
    for where, keys in [*((("on", key), key) for key in chosen), *spans]:
        if most is not None and len(keys) > most:
            yield where, f"{keys!r} is longer than maxlength, {most}", f"Write `maxlength: {len(keys)}`"
        if words.termchar and words.termchar in keys:
            yield where, f"{words.termchar} ends the input, so {keys!r} never comes", 'Add `termchar: ""` to `collect`'


def _most(words: CollectWords, chosen: Collection[str], anything: bool) -> int | None:
    """The most keys; unless it is said, as many as what matches has. None: nothing tells."""
    sizes = [*map(len, chosen), *(len(low) for low, _ in words.match or ())]
    any_digits = anything and not words.match
    return words.maxlength or (None if any_digits else max(sizes, default=None))


def settle(words: CollectWords, choices: Mapping[str, Target], anything: bool, interdigit_ms: int) -> Collect:
    """Words without ``clashes``. ``anything``: keys that match lead somewhere even where they are no choice."""
    return Collect(
        name=words.name,
        max_length=_most(words, choices, anything),  # type: ignore[arg-type]  # None is a clash
        min_length=words.minlength or 1,
        termchar=words.termchar,
        interdigit_ms=words.interdigittimeout or interdigit_ms,
        spans=words.match if anything else (),
        choices=choices,
        personal=words.personal == "yes",
    )
