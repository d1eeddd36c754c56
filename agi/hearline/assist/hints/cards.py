"""The agent's cards: what to say and do, by section of the service standard; and how to name a character politely.

Reads ``cards.yaml``, ``characters.yaml`` and ``spoken.yaml`` of `ivr_flows/hints`; `docs/hints.md` has their words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, field_validator

from hearline.assist.hints.events import Key, Side
from hearline.assist.hints.pinyin import find_initials, spelled
from hearline.assist.hints.rules import MOMENTS, SEE
from hearline.yamlfiles.checked import (
    Duration,
    Fault,
    Names,
    Rejected,
    Words,
    YamlDocument,
    between,
    like,
    listed,
)

FIELDS = ("brand", "hotline", "agent_id", "title", "name", "phone", "reason")
"""What a text may leave open as ``{brand}``."""
PHRASE_SETS = ("lanzhi", "training", "travel")
GAPS = "gaps"
"""The word of ``cards.yaml`` that is no card: what stands in a gap that nothing fills."""
ASK = "请问您是{way}吗？"
"""How a way of naming a character is asked (service standard 2.16)."""
_FIELD = re.compile(r"\{(\w*)\}")
_CARD_NAME = r"[a-z][a-z0-9-]*"


@dataclass(frozen=True)
class Saying:
    """Words for the caller. ``case``: when they are the right ones, by language; {}: always. ``needs``: the fields that
    must be known for them. ``promise_ms``: the wait that they promise; None: they promise none."""

    text: str
    case: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    promise_ms: int | None = None


@dataclass(frozen=True)
class Card:
    """``section`` of the standard; ``title`` and each of ``do``, ``know`` and ``avoid`` by language (``zh``, ``en``).
    ``first``: which part comes first, ``say`` or ``do``. ``next``: ids of the cards that may follow."""

    id: str
    section: str
    title: Mapping[str, str]
    say: tuple[Saying, ...] = ()
    do: tuple[Mapping[str, str], ...] = ()
    know: tuple[Mapping[str, str], ...] = ()
    avoid: tuple[Mapping[str, str], ...] = ()
    never: tuple[str, ...] = ()
    keys: tuple[Key, ...] = ()
    next: tuple[str, ...] = ()
    first: str = "say"

    def filled(self, fields: Mapping[str, str]) -> Card:
        """With ``fields`` in place of ``{brand}`` and so on; what is not among them stays open."""
        return replace(self, say=tuple(replace(saying, text=fill(saying.text, fields)) for saying in self.say))


def fill(text: str, fields: Mapping[str, str]) -> str:
    """``text`` with the fields that are known."""
    return _FIELD.sub(lambda found: fields.get(found[1]) or found[0], text)


@dataclass(frozen=True)
class Cards:
    """All cards of one phrase set, in the file's order. ``gaps``: what stands for a field that is not known."""

    by_id: Mapping[str, Card]
    gaps: Mapping[str, str] = field(default_factory=dict)

    def by_section(self) -> dict[str, list[Card]]:
        """The cards of each section, sections in order: 2.9 before 2.10."""
        found: dict[str, list[Card]] = {}
        for card in sorted(self.by_id.values(), key=lambda card: _order(card.section)):
            found.setdefault(card.section, []).append(card)
        return found

    def search(self, query: str) -> list[Card]:
        """Cards that have every word of ``query``, the best first.

        A word is a section (``2.1`` finds 2.1, then 2.10 …), the pinyin initials of neighbouring characters (``mfnsd``
        finds 麻烦您稍等), a piece of the Chinese text without its punctuation, or of the English title. All for ''.
        """
        words = [plain for word in query.lower().split() if (plain := _plain(word))]
        ranks = {card_id: [_rank(word, *looked) for word in words] for card_id, looked in self._searched.items()}
        found = [card_id for card_id, rank in ranks.items() if None not in rank]
        return [self.by_id[c] for c in sorted(found, key=lambda c: (sum(ranks[c]), _order(self.by_id[c].section)))]

    @cached_property
    def _searched(self) -> dict[str, tuple]:
        """By card: section, title in English, texts and their initials, title first."""
        looked = {}
        for card in self.by_id.values():
            lines = [line["zh"] for line in (*card.do, *card.know, *card.avoid)]
            texts = [card.title["zh"], *(s.text for s in card.say), *lines, *card.never]
            plain = [_plain(_FIELD.sub("", text)) for text in texts]
            english = " ".join(map(_plain, card.title["en"].lower().split()))
            looked[card.id] = (card.section, english, plain, [spelled(text) for text in plain])
        return looked


def _plain(text: str) -> str:
    """Without punctuation, but for a section's dot."""
    return "".join(c for c in text if c.isalnum() or c == ".")


def _rank(word: str, section: str, english: str, texts: list[str], spellings: list[tuple[str, ...]]) -> int | None:
    """How well a card fits a word, 0 best; None: not at all."""
    if re.fullmatch(r"[\d.]+", word) and section.startswith(word):
        return 0 if word == section else 1
    latin = word.isascii() and word.isalpha()
    found = [find_initials(word, s) for s in spellings] if latin else [text.find(word) for text in texts]
    ranks = [(2 if not index else 4) + (at > 0) for index, at in enumerate(found) if at >= 0]
    if latin and word in english:
        ranks.append(3)
    return min(ranks, default=None)


def _order(section: str) -> list[int]:
    return [int(part) for part in section.split(".")]


@dataclass(frozen=True)
class Characters:
    """Polite ways of naming a character, by character or compound surname; surnames first."""

    ways: Mapping[str, tuple[str, ...]]

    def find(self, query: str) -> list[tuple[str, tuple[str, ...]]]:
        """(character, ways) of each that ``query`` holds, in its order, or whose initials begin with it."""
        query = query.strip().lower()
        if not query:
            return []
        if query.isascii():
            return [(c, ways) for c, ways in self.ways.items() if not find_initials(query, spelled(c)[: len(query)])]
        if query[:2] in self.ways:
            pieces = [query[:2], *query[2:]]
        else:
            pieces = list(query)
        return [(piece, self.ways[piece]) for piece in dict.fromkeys(pieces) if piece in self.ways]


@dataclass(frozen=True)
class Group:
    """Phrases that a recogniser listens for, who says them, and what they may be part of without counting."""

    of: Side
    phrases: tuple[str, ...]
    not_in: tuple[str, ...] = ()


# ---- the words of the files ----------------------------------------------------------------------------------------
class Bilingual(Words):
    zh: str
    en: str


class SayWords(Words):
    text: str
    case: Bilingual | None = Field(None, alias="for")
    needs: Names = ()
    promise: Annotated[Duration, between("5s", "10m", "A caller left alone longer hangs up")] | None = None

    @field_validator("text")
    @classmethod
    def _known_gaps(cls, text: str) -> str:
        _known_fields(_FIELD.findall(text))
        return text

    @field_validator("needs")
    @classmethod
    def _known_needs(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _known_fields(names)


def _known_fields(names: Iterable[str]) -> Iterable[str]:
    for name in names:
        if name not in FIELDS:
            raise ValueError(f"nothing fills {{{name}}} in|{like(name, FIELDS)}")
    return names


def _say(value: Any) -> Any:
    """A text, or a text with its case."""
    return value if isinstance(value, dict) else {"text": value}


Says = Annotated[tuple[Annotated[SayWords, BeforeValidator(_say)], ...], BeforeValidator(listed)]
Steps = Annotated[tuple[Bilingual, ...], BeforeValidator(listed)]


class OtherWords(Words):
    """What a phrase set has instead."""

    say: Says | None = None
    do: Steps | None = None
    know: Steps | None = None
    avoid: Steps | None = None
    never: Names | None = None


class CardWords(Words):
    section: str = Field(pattern=r"^\d+\.\d+$")
    title: Bilingual
    say: Says = ()
    do: Steps = ()
    know: Steps = ()
    avoid: Steps = ()
    never: Names = ()
    keys: Annotated[tuple[Key, ...], BeforeValidator(listed)] = ()
    next: Names = ()
    first: Literal["say", "do"] = "say"
    sets: dict[str, OtherWords] = {}


class GapWords(Words):
    """Of each field the words of each phrase set."""

    gaps: dict[str, dict[str, str]] = {}


class CharacterWords(Words):
    never: Names = ()
    surnames: dict[str, Names]
    characters: dict[str, Names] = {}


class GroupWords(Words):
    of: Side
    phrases: Names = Field(min_length=1)
    not_in: Names = ()


# ---- reading -------------------------------------------------------------------------------------------------------
def read_cards(text: str, file: str, sets: Iterable[str] = PHRASE_SETS) -> dict[str, Cards]:
    """The cards of each phrase set. Raises Rejected."""
    lines, data = _mapping(text, file, "cards", "Write a card's name, and `section:`, `title:` and `say:` below it")
    gaps, faults = _gaps(lines, data)
    words, more = _each(lines, {name: card for name, card in data.items() if name != GAPS}, CardWords, _CARD_NAME)
    faults += more
    named = [((GAPS, field), of) for field, of in gaps.items()]
    named += [((name, "sets"), card.sets) for name, card in words.items()]
    for field_ in gaps:
        if field_ not in FIELDS:
            faults.append(lines.fault((GAPS, field_), f"nothing fills {{{field_}}} in", like(field_, FIELDS)))
    for path, by_set in named:
        for other in by_set:
            if other not in sets:
                faults.append(lines.fault((*path, other), f"no phrase set {other!r}", like(other, list(sets))))
    for name, card in words.items():
        for other in card.next:
            if other not in data or other == GAPS:
                faults.append(lines.fault((name, "next"), f"no card {other!r}", like(other, list(words))))
        if not (card.say or card.do or card.know or card.avoid or card.never):
            faults.append(lines.fault((name,), f"card {name!r} is empty", "Add `say:`, `do:`, `know:` or `never:`"))
    _refuse(faults)
    return {
        chosen: Cards(
            {name: _card(name, card, chosen) for name, card in words.items()},
            {field: of[chosen] for field, of in gaps.items() if chosen in of},
        )
        for chosen in sets
    }


def _gaps(lines: YamlDocument, data: dict) -> tuple[dict[str, dict[str, str]], list[Fault]]:
    """What stands in each field's gap, by phrase set, and what is wrong with it."""
    try:
        return GapWords.model_validate({GAPS: data.get(GAPS) or {}}).gaps, []
    except ValidationError as error:
        return {}, lines.faults(error, GapWords, (), SEE)


def _card(name: str, words: CardWords, chosen: str) -> Card:
    other = words.sets.get(chosen, OtherWords())

    def part(which: str) -> tuple:
        own = getattr(other, which)
        return getattr(words, which) if own is None else own

    def lines(which: str) -> tuple[dict[str, str], ...]:
        return tuple(line.model_dump() for line in part(which))

    return Card(
        id=name,
        section=words.section,
        title=words.title.model_dump(),
        say=tuple(Saying(s.text, s.case.model_dump() if s.case else {}, s.needs, s.promise) for s in part("say")),
        do=lines("do"),
        know=lines("know"),
        avoid=lines("avoid"),
        never=part("never"),
        keys=words.keys,
        next=words.next,
        first=words.first,
    )


def read_characters(text: str, file: str) -> Characters:
    """The characters and their ways. Raises Rejected."""
    lines, data = _mapping(text, file, "characters", "Write `surnames:`, and below it `李: [李世民的李]`")
    try:
        words = CharacterWords.model_validate(data)
    except ValidationError as error:
        raise Rejected(lines.faults(error, CharacterWords, (), SEE)) from None
    ways, faults = {}, []
    for part in ("surnames", "characters"):
        for character, named in getattr(words, part).items():
            path = (part, character)
            if character in ways:
                faults.append(lines.fault(path, f"{character} stands here already", "Keep one of the two"))
            ways[character] = named
            for way in named:
                if not way.endswith(character):
                    faults.append(lines.fault(path, f"{way!r} does not end with {character}", f"e.g. ……的{character}"))
                if way in words.never:
                    faults.append(lines.fault(path, f"{way!r} stands under `never`", "Find a kinder one"))
    _refuse(faults)
    return Characters(ways)


def read_spoken(text: str, file: str) -> dict[str, Group]:
    """The groups of phrases for a recogniser. Raises Rejected."""
    lines, data = _mapping(text, file, "phrases", "Write a group's name, and `of:` and `phrases:` below it")
    words, faults = _each(lines, data, GroupWords, r"[a-z][a-z0-9_]*")
    _refuse(faults)
    return {name: Group(group.of, group.phrases, group.not_in) for name, group in words.items()}


def _mapping(text: str, file: str, what: str, remedy: str) -> tuple[YamlDocument, dict]:
    lines = YamlDocument(text, file)
    if not isinstance(lines.data, dict):
        raise Rejected([Fault(file, 1, f"no {what} here", remedy)])
    return lines, lines.data


def _each(lines: YamlDocument, entries: dict, model: type[BaseModel], names: str) -> tuple[dict[str, Any], list[Fault]]:
    """Every entry of a mapping as ``model``, and what is wrong with those that are none."""
    words, faults = {}, []
    for name, entry in entries.items():
        if not re.fullmatch(names, str(name)) or name in MOMENTS:
            faults.append(lines.fault((name,), f"{name!r} cannot be a name here", f"Use another, of the form {names}"))
        try:
            words[str(name)] = model.model_validate(entry)
        except ValidationError as error:
            faults += lines.faults(error, model, (name,), SEE)
    return words, faults


def _refuse(faults: list[Fault]) -> None:
    if faults:
        raise Rejected(sorted(dict.fromkeys(faults), key=lambda fault: fault.line))
