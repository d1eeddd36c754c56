"""A step's ``collect`` in a flow file: checks its words and turns them into a ``plan.Collect``.

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
NextKey = Annotated[Duration, between("500ms", "30s", "A caller needs time to find the next key")]


def as_text(value: Any) -> Any:
    """An unquoted number where keys belong, as its digits. (``011`` never gets here: see ``yamlfiles.located``.)"""
    return str(value) if type(value) is int else value


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(f"{value!r} is not a name for a field|Write small letters, digits and _, at most 32 of them")
    return value


def _count(value: Any) -> int:
    if type(value) is not int:
        raise ValueError(f"{value!r} is not a number of keys|Write a whole number, such as 4")
    return value


def _termchar(value: Any) -> str:
    if value is None:
        raise ValueError('it is empty, since # begins a comment in YAML|Write "#" in quotes, or "" for none')
    if value not in ("#", "*", ""):
        raise ValueError(f'{value!r} cannot end an input|Write "#" or "*", in quotes, or "" for none')
    return value


def _spans(value: Any) -> Spans:
    """``1-5`` or ``[1000-8999, 0]`` as pairs of (lowest, highest)."""
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
    """A key under a step's ``on``: a cause, or keys that the caller presses. Raises ValueError."""
    value = as_text(value)
    if isinstance(value, str) and (value in list(Cause) or _INPUT.fullmatch(value)):
        return value
    raise ValueError(f"{value!r} is neither a cause nor keys|{like(value, list(Cause))}")


CauseOrKeys = Annotated[str, BeforeValidator(cause_or_keys)]
_Count = Annotated[int, between("1", "32", "Callers key in no more", int), BeforeValidator(_count)]


class CollectWords(Words):
    """A step's ``collect``. A plain name is short for ``name``."""

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
    """Contradictions and omissions in a step: (path in the step, problem, remedy).

    Args:
        own: the keys of the step's own ``on``.
        on: the same, with those of ``always`` added.
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
        yield ("bargein",), "`bargein: none` in a step that collects keys: it would take none", remedy
    chosen = [key for key in on if key not in list(Cause)]
    anything = Cause.COLLECTED in on
    most = _most(words, chosen, anything)
    if Cause.NOMATCH not in on:
        yield ("on",), "keys that do not match lead nowhere", "Add `nomatch: …` under its `on:`"
    if not anything and (words.match or words.minlength or not chosen):
        yield ("on",), "keys that match lead nowhere", "Add `collected: …` under its `on:`"
    if most is None:
        yield ("collect",), "the number of keys is not limited", "Add `maxlength: …`, or `match: …`"
    elif most < (words.minlength or 1):
        yield ("collect", "minlength"), f"minlength is more than maxlength, {most}", "Exchange the two"
    spans = [(("collect", "match"), low) for low, _ in words.match or ()]
    for where, keys in [*((("on", key), key) for key in chosen), *spans]:
        if most is not None and len(keys) > most:
            yield where, f"{keys!r} is longer than maxlength, {most}", f"Write `maxlength: {len(keys)}`"
        if words.termchar and words.termchar in keys:
            problem = f"{words.termchar} ends the input, so {keys!r} never matches"
            yield where, problem, 'Add `termchar: ""` to `collect`'


def _most(words: CollectWords, chosen: Collection[str], anything: bool) -> int | None:
    """The most keys an input may have: ``maxlength``, else the length of the longest match. None if nothing limits
    it."""
    sizes = [*map(len, chosen), *(len(low) for low, _ in words.match or ())]
    any_digits = anything and not words.match
    return words.maxlength or (None if any_digits else max(sizes, default=None))


def settle(words: CollectWords, choices: Mapping[str, Target], anything: bool, interdigit_ms: int) -> Collect:
    """Turn words without ``clashes`` into a ``Collect``. ``anything``: keys that match lead on even if they are not one
    of the ``choices``."""
    return Collect(
        name=words.name,
        max_length=_most(words, choices, anything),  # type: ignore[arg-type]  # None would be a clash
        min_length=words.minlength or 1,
        termchar=words.termchar,
        interdigit_ms=words.interdigittimeout or interdigit_ms,
        spans=words.match if anything else (),
        choices=choices,
        personal=words.personal == "yes",
    )
