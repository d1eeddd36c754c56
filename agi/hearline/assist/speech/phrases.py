"""Finds the phrases of ``spoken.yaml`` in what a recogniser makes of somebody's speech. Pure.

Recognisers mistake a character for another that sounds alike, so phrases are found by their sound: four syllables and
more by pinyin without tones, three with them. Two must stand there to the letter, for they sound like too much else
(不对, 部队).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache

from hearline.assist.hints.cards import Group

WITHOUT_TONES, BY_SOUND = 4, 3
"""So many syllables make a phrase that may be found by its sound, and without its tones."""
_WORD = re.compile(r"[a-z0-9']+|[^\W_]")

Sound = Callable[[str], str]
"""A character's syllable with its tone: 知 → zhi1."""


def words_of(text: str) -> list[str]:
    """Each Chinese character, each word of letters and digits; no punctuation, no capitals."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).lower())


@cache
def in_pinyin(character: str) -> str:
    """By pypinyin, of the extra ``recogniser``."""
    from pypinyin import Style, lazy_pinyin

    sound = lazy_pinyin(character, style=Style.TONE3, neutral_tone_with_five=True)[0]
    return sound if sound[-1].isdigit() else f"{character}0"  # no Chinese


@dataclass
class Listener:
    """Listens to one speaker: ``hear`` for every result, partial or final.

    Args:
        groups: what to listen for.
        sound: of a character.
    """

    groups: Mapping[str, Group]
    sound: Sound = in_pinyin
    _told: set[str] = field(default_factory=set)

    def hear(self, text: str, ended: bool = False) -> list[str]:
        """The groups heard in an utterance, of which ``text`` is there so far; each is told once an utterance, however
        often its results are mended. ``ended``: there will be no more of it."""
        words = words_of(text)
        new = [
            name for name, group in self.groups.items() if name not in self._told and self._said(group, words, ended)
        ]
        self._told.update(new)
        if ended:
            self._told.clear()
        return new

    def _said(self, group: Group, words: list[str], ended: bool) -> bool:
        harmless = [span for phrase in group.not_in for span in self._find(words_of(phrase), words)]
        for phrase in group.phrases:
            for start, end in self._find(words_of(phrase), words):
                if group.not_in and end == len(words) and not ended:
                    continue  # the next word may make it harmless
                if not any(first <= start and end <= last for first, last in harmless):
                    return True
        return False

    def _find(self, phrase: list[str], words: list[str]) -> list[tuple[int, int]]:
        """(start, end) wherever it stands."""
        size = len(phrase)
        wanted, heard = ([self._as_heard(word, size) for word in told] for told in (phrase, words))
        return [(at, at + size) for at in range(len(heard) - size + 1) if heard[at : at + size] == wanted]

    def _as_heard(self, word: str, size: int) -> str:
        """What of a word counts in a phrase of so many."""
        if word.isascii() or size < BY_SOUND:
            return word
        return self.sound(word)[:-1] if size >= WITHOUT_TONES else self.sound(word)
