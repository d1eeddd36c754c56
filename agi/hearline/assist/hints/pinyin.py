"""Pinyin initials for searches: `mfnsd` finds 麻烦您稍等.

GB 2312 orders its 3,755 common characters by pinyin, so a character's initial follows from its position, without a
dictionary. Two tables add the characters with several readings, and the rare ones in the shipped cards and surnames
(tests compare all of them with pypinyin). A character that is in neither matches any letter: it is better found too
often than never.
"""

from __future__ import annotations

from bisect import bisect
from functools import cache

_LETTERS = "abcdefghjklmnopqrstwxyz"
# The start of each letter's characters in GB 2312; after the last one come the rare characters, by radical.
_BEGINS = (
    0xB0A1, 0xB0C5, 0xB2C1, 0xB4EE, 0xB6EA, 0xB7A2, 0xB8C1, 0xB9FE, 0xBBF7, 0xBFA6, 0xC0AC, 0xC2E8,
    0xC4C3, 0xC5B6, 0xC5BE, 0xC6DA, 0xC8BB, 0xC8F6, 0xCBFA, 0xCDDA, 0xCEF4, 0xD1B9, 0xD4D1, 0xD7FA,
)  # fmt: skip
_SEVERAL = {
    "便": "bp", "参": "cs", "查": "cz", "长": "cz", "车": "cj", "仇": "cq", "传": "cz", "藏": "cz", "单": "ds",
    "调": "dt", "会": "hk", "给": "gj", "降": "jx", "角": "jq", "解": "jx", "乐": "ly", "率": "ls", "期": "qj",
    "朴": "pb", "区": "qo", "石": "sd", "识": "sz", "盛": "sc", "宿": "sx", "提": "td", "尉": "wy", "校": "xj",
    "行": "xh", "曾": "zc", "召": "zs", "种": "zc", "重": "zc", "系": "xj", "省": "sx", "阿": "ae", "折": "zs",
    "翟": "zd",
}  # fmt: skip
_RARE = {
    "闫": "y", "覃": "qt", "滕": "t", "缪": "m", "褚": "c", "窦": "d", "岑": "c", "晏": "y", "瞿": "q", "佟": "t",
    "臧": "z", "闵": "m", "邬": "w", "栾": "l", "佘": "s", "邝": "k", "胥": "x", "鄢": "y", "谌": "cs", "奚": "x",
    "冼": "x", "蔺": "l", "仝": "t", "郜": "g", "阚": "kh", "扈": "h", "晁": "c", "芮": "r", "阙": "q", "邸": "d",
    "裘": "q", "邰": "t", "逯": "l", "嵇": "j", "昝": "z", "婷": "t", "怡": "y", "鑫": "x", "淼": "m",
}  # fmt: skip
_ANY = "abcdefghijklmnopqrstuvwxyz"


@cache
def initials_of(character: str) -> str:
    """The letters with which a character's pinyin may begin: ``重`` → ``zc``. A Latin letter or a digit is returned
    as it is, in lower case; '' for anything else, such as punctuation."""
    if character.isascii():
        return character.lower() if character.isalnum() else ""
    if not character.isalpha():
        return ""
    if known := _SEVERAL.get(character) or _RARE.get(character):
        return known
    try:
        code = int.from_bytes(character.encode("gb2312"), "big")
    except UnicodeEncodeError:
        return _ANY
    at = bisect(_BEGINS, code) - 1
    return _LETTERS[at] if 0 <= at < len(_LETTERS) else _ANY


def spelled(text: str) -> tuple[str, ...]:
    """`initials_of` every character of the text, without the characters that have none."""
    return tuple(letters for character in text if (letters := initials_of(character)))


def find_initials(letters: str, text: tuple[str, ...]) -> int:
    """The index of ``letters`` in a `spelled` text; −1 if it does not have them."""
    for start in range(len(text) - len(letters) + 1):
        if all(letter in text[start + i] for i, letter in enumerate(letters)):
            return start
    return -1
