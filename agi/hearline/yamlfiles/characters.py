"""Characters that look like YAML but are not: invisible blanks, and the full-width colon of a Chinese keyboard."""

from __future__ import annotations

import re
import unicodedata

_LOOKS_LIKE_A_KEY = re.compile(r"[\s{-]*[^\s:：'\"#]+(：)")
_WIDE_COLON = "：", "a full-width colon", "Write an ordinary : and a blank after it"


def odd_in_name(text: str) -> tuple[str, str] | None:
    """(problem, remedy) if a key, or a word, holds an invisible character or a full-width colon."""
    return _odd(next((char for char in text if _invisible(char) or char == "："), None))


def odd_in_value(text: str) -> tuple[str, str] | None:
    """(problem, remedy) if an unquoted text begins or ends with an invisible character, or holds a zero-width one."""
    ends = text[:1] + text[-1:]
    return _odd(next((char for char in ends + text if _invisible(char) and (char in ends or _no_width(char))), None))


def odd_in_line(line: str) -> tuple[str, str] | None:
    """(problem, remedy) if a line of YAML that cannot be parsed holds such a character before its comment."""
    if found := _LOOKS_LIKE_A_KEY.match(line):
        return _odd(found[1])
    return _odd(next((char for char in line.partition(" #")[0] if _invisible(char)), None))


def _odd(char: str | None) -> tuple[str, str] | None:
    if char is None:
        return None
    code = f"U+{ord(char):04X}"
    if char == _WIDE_COLON[0]:
        return f"{_WIDE_COLON[1]} ({char}, {code})", _WIDE_COLON[2]
    name = unicodedata.name(char, "a control character")
    return f"an invisible character, {name} ({code})", "Delete it; type an ordinary blank where one is meant"


def _no_width(char: str) -> bool:
    return unicodedata.category(char) in ("Cf", "Cc")


def _invisible(char: str) -> bool:
    """True for an invisible character that YAML does not take for a blank, a tab or a line break."""
    return char not in " \t\n\r" and (unicodedata.category(char) == "Zs" or _no_width(char))
