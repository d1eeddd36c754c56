"""What the page "Try it" shows of the hotline before and during a call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Spoken:
    """A recording: its words, and its length in ms."""

    words: str
    ms: int


@dataclass(frozen=True)
class Hotline:
    """The flow that is rung. ``number``: what people know it by; ``dial``: the number that reaches it at any hour, if
    it has one. ``prompts``: by id. ``callers``: the recorded callers, by name. ``queues``: their names for people."""

    number: str
    dial: str
    title: Mapping[str, str]
    prompts: Mapping[str, Spoken]
    callers: Mapping[str, Spoken]
    queues: Mapping[str, str]
