"""Finds the phones that a dialplan hint stands for.

A hint names whatever decides an extension's state: phones, states that somebody sets, and behind a comma the presence.

    exten => 8016,hint,PJSIP/8016&Custom:DND8016,CustomPresence:8016

https://docs.asterisk.org/Configuration/Dialplan/Extension-Hints-and-States/
"""

from __future__ import annotations

from dataclasses import dataclass

from hearline.pbx.ami import Ami

_CUT_AT = 255  # characters that Asterisk's answer holds of a hint


@dataclass(frozen=True)
class Hint:
    """A hint of the dialplan: that of an extension in a context."""

    extension: str
    context: str

    def __str__(self) -> str:
        return f"hint:{self.extension}@{self.context}"


def hint_of(state_interface: str) -> Hint | None:
    """The hint that a queue member has as its state interface, ``hint:8016@ext-local``; None if it has a phone."""
    kind, colon, where = state_interface.partition(":")
    if not colon or kind.lower() != "hint":
        return None
    extension, _, context = where.partition("@")
    return Hint(extension, context or "default")


def phones_in(text: str) -> tuple[str, ...]:
    """The phones in a hint's text, in its order: of the example above ``PJSIP/8016``."""
    devices, comma, _presence = text.partition(",")
    found = devices.split("&")
    if len(text) >= _CUT_AT and not comma:
        found.pop()  # may be cut, and then be another phone's name
    return tuple(dict.fromkeys(filter(_is_phone, map(str.strip, found))))


def _is_phone(device: str) -> bool:
    technology, _, name = device.partition("/")
    return bool(name) and technology.isalnum() and technology != "Local"


async def ask_phones(ami: Ami, hint: Hint) -> tuple[str, ...]:
    """The phones that this hint stands for now; none if there is no such hint. Raises AmiDown, AmiRefused,
    ValueError."""
    answer = await ami.ask("ExtensionState", Exten=hint.extension, Context=hint.context)
    return phones_in(answer.get("Hint", ""))
