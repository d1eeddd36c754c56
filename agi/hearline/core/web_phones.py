"""The name of an agent's phone in the page, the same for Asterisk, agent assist and the page's server."""

from __future__ import annotations

WEB_PHONE = "web-"


def web_phone(number: str) -> str:
    """The name of the phone in this agent's page, such as ``web-8016`` for 8016; '' if there can be none,
    since the number is not all digits."""
    return WEB_PHONE + number if number.isascii() and number.isdigit() else ""


def number_of(phone: str) -> str:
    """The work number in the name of such a phone; '' if it is another one."""
    number = phone.removeprefix(WEB_PHONE)
    return number if web_phone(number) == phone else ""
