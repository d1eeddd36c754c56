"""Telephone numbers in one normal form, so that the same caller, or dialled number, is always recognised as the same.

Standards: ITU-T E.164 (international numbers), RFC 3966 (``;phone-context=``). The numbering plans are those of
phonenumberslite (https://github.com/daviddrysdale/python-phonenumbers, Apache-2.0).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

_SEPARATORS = re.compile(r"[\s().\-/·‐-―－．（）]")
_NUMBER = re.compile(r"\+?[0-9]{1,32}")
_LOCAL = re.compile(r"[2-8][0-9]{5,7}")  # a subscriber's number without its area code; 95… and 96… are services
_CARRIER_PREFIXES = {"CN": re.compile(r"(1790[0189]|1791[01]|1795[01]|1799[05]|12593|11808|10193)(?=0?1[3-9]\d{9}|0)")}
"""Prefixes dialled before a number to choose a carrier (IP telephony). Some networks leave them in the caller's
number."""


@dataclass(frozen=True)
class Home:
    """The telephone system's location. ``country``: ISO 3166, e.g. CN. ``area``: the area code without the leading
    zero, e.g. 10; '' leaves numbers without an area code as they are."""

    country: str = "CN"
    area: str = ""


def is_country(name: str) -> bool:
    """True if a numbering plan for this ISO 3166 code is known."""
    import phonenumbers

    return name in phonenumbers.SUPPORTED_REGIONS


@lru_cache(4_096)
def normal(number: str, home: Home = Home()) -> str:
    """A number in its normal form: E.164 (``+8613800005678``) if it is certainly a full number, else its digits
    (``95160``, ``8001``). Digits of any script become 0 to 9. '' if it is not a telephone number: ``anonymous``, or the
    name of a SIP account. The normal form of a normal form is itself.
    """
    form, before = _form(number, home), number
    while form != before:
        form, before = _form(form, home), form
    return form


def _form(number: str, home: Home) -> str:
    text = _written_plainly(number)
    if not _NUMBER.fullmatch(text):
        return ""
    if prefixes := _CARRIER_PREFIXES.get(home.country):
        text = prefixes.sub("", text, count=1) if prefixes.match(text) else text
    parsed = _parsed(text, home.country)
    digits = text.lstrip("+")
    if parsed is None:
        return digits
    e164, code, national, valid, possible = parsed
    if valid:
        return e164
    if text.startswith("+"):
        if code == _code(home.country):
            return national  # +86 before a short number
        return e164 if possible else digits  # not an international number: drop the plus
    if home.area and _LOCAL.fullmatch(digits) and (there := _parsed(home.area + digits, home.country)) and there[3]:
        return there[0]
    return digits


def masked(number: str, home: Home = Home()) -> str:
    """The number as an agent may see it: ``138****5678``, ``+1****1234``. Short numbers show fewer digits; '' if it is
    not a number."""
    digits = normal(number, home)
    if digits.startswith("+"):
        code = _code(home.country)
        if digits.startswith("+" + code):
            digits = digits.removeprefix("+" + code)
        elif parsed := _parsed(digits, home.country):
            return f"+{parsed[1]}****{parsed[2][-4:]}" if len(parsed[2]) >= 7 else "**" + digits[-1:]
    if len(digits) >= 11:
        return f"{digits[:-8]}****{digits[-4:]}"
    return f"****{digits[-4:]}" if len(digits) >= 7 else "**" + digits[-1:] if digits else ""


def _written_plainly(number: str) -> str:
    """``number`` in digits 0 to 9, without separators, parameters and extension; a ``;phone-context=+86`` becomes its
    prefix."""
    text = "".join(str(unicodedata.decimal(char, char)) for char in number if unicodedata.category(char) != "Cf")
    main, *parameters = text.strip().replace("＋", "+").split(";")
    main = re.split(r"[@#,]", re.sub(r"^(tel|sips?):", "", main, flags=re.IGNORECASE))[0]
    main = re.sub(r"^\+?00(?=[1-9])", "+", _SEPARATORS.sub("", main))
    if main and not main.startswith("+"):
        for parameter in parameters:
            name, _, context = parameter.partition("=")
            if name.strip().lower() == "phone-context" and context.strip().startswith("+"):
                return _SEPARATORS.sub("", context) + main
    return main


def _parsed(text: str, country: str) -> tuple[str, str, str, bool, bool] | None:
    """(E.164, country code, national number, valid, possible), as phonenumbers defines valid and possible."""
    import phonenumbers

    try:
        found = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return None
    return (
        phonenumbers.format_number(found, phonenumbers.PhoneNumberFormat.E164),
        str(found.country_code),
        phonenumbers.national_significant_number(found),
        phonenumbers.is_valid_number(found),
        phonenumbers.is_possible_number(found),
    )


def _code(country: str) -> str:
    import phonenumbers

    return str(phonenumbers.country_code_for_region(country))
