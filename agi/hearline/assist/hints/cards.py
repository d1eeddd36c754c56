"""The agent's cards: what to say and do, by section of the service standard; and polite ways of naming a character.

Reads ``cards.yaml``, ``characters.yaml`` and ``spoken.yaml`` in `ivr_flows/hints`; `docs/hints.md` describes them.
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
"""The fields that a text may contain, as ``{brand}``."""
PHRASE_SETS = ("lanzhi", "training", "travel")
GAPS = "gaps"
"""The one entry of ``cards.yaml`` that is not a card: the words to show for a field that is not known."""
ASK = "请问您是{way}吗？"
"""The question about a character, with a way of naming it (service standard 2.16)."""
_FIELD = re.compile(r"\{(\w*)\}")
_CARD_NAME = r"[a-z][a-z0-9-]*"


@dataclass(frozen=True)
class Saying:
    """Words for the caller. ``case``: the occasion they are for, by language; {}: any. ``needs``: the fields that must
    be known. ``promise_ms``: the wait that they promise; None: none."""

    text: str
    case: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    promise_ms: int | None = None


@dataclass(frozen=True)
class Card:
    """A card. ``section``: of the standard. ``title`` and the entries of ``do``, ``know`` and ``avoid`` are by language
    (``zh``, ``en``). ``first``: the part that comes first, ``say`` or ``do``. ``next``: ids of the cards that may
    follow."""

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
        """The card with ``fields`` in place of ``{brand}`` and so on; other fields stay as they are."""
        return replace(self, say=tuple(replace(saying, text=fill(saying.text, fields)) for saying in self.say))


def fill(text: str, fields: Mapping[str, str]) -> str:
    """``text`` with the known fields filled in."""
    return _FIELD.sub(lambda found: fields.get(found[1]) or found[0], text)


@dataclass(frozen=True)
class Cards:
    """All cards of one phrase set, in the file's order. ``gaps``: the words to show for a field that is not known."""

    by_id: Mapping[str, Card]
    gaps: Mapping[str, str] = field(default_factory=dict)

    def by_section(self) -> dict[str, list[Card]]:
        """The cards of each section, sections in order: 2.9 before 2.10."""
        found: dict[str, list[Card]] = {}
        for card in sorted(self.by_id.values(), key=lambda card: _order(card.section)):
            found.setdefault(card.section, []).append(card)
        return found

    def search(self, query: str) -> list[Card]:
        """The cards that match every word of ``query``, the best first; all cards for ''.

        A word can be a section (``2.1`` finds 2.1, then 2.10 …), the pinyin initials of neighbouring characters
        (``mfnsd`` finds 麻烦您稍等), or a part of the Chinese text, punctuation ignored, or of the English title.
        """
        words = [plain for word in query.lower().split() if (plain := _plain(word))]
        ranks = {card_id: [_rank(word, *looked) for word in words] for card_id, looked in self._searched.items()}
        found = [card_id for card_id, rank in ranks.items() if None not in rank]
        return [self.by_id[c] for c in sorted(found, key=lambda c: (sum(ranks[c]), _order(self.by_id[c].section)))]

    @cached_property
    def _searched(self) -> dict[str, tuple]:
        """By card: the section, the English title, the texts (title first) and their initials."""
        looked = {}
        for card in self.by_id.values():
            lines = [line["zh"] for line in (*card.do, *card.know, *card.avoid)]
            texts = [card.title["zh"], *(s.text for s in card.say), *lines, *card.never]
            plain = [_plain(_FIELD.sub("", text)) for text in texts]
            english = " ".join(map(_plain, card.title["en"].lower().split()))
            looked[card.id] = (card.section, english, plain, [spelled(text) for text in plain])
        return looked


def _plain(text: str) -> str:
    """The text without punctuation, except for the dot of a section."""
    return "".join(c for c in text if c.isalnum() or c == ".")


def _rank(word: str, section: str, english: str, texts: list[str], spellings: list[tuple[str, ...]]) -> int | None:
    """How well a card matches a word, 0 best; None: not at all."""
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
        """(character, ways) for each character in ``query``, in its order; or for each whose initials begin with it."""
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
    """Phrases that the recogniser listens for. ``of``: the side that says them. ``not_in``: longer phrases that contain
    one of them and do not count."""

    of: Side
    phrases: tuple[str, ...]
    not_in: tuple[str, ...] = ()


# ---- the entries of the files --------------------------------------------------------------------------------------
class Bilingual(Words):
    zh: str
    en: str


class SayWords(Words):
    text: str
    case: Bilingual | None = Field(None, alias="for")
    needs: Names = ()
    promise: Annotated[Duration, between("5s", "10m", "Callers left alone longer hang up")] | None = None

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
            raise ValueError(f"unknown field {{{name}}}|{like(name, FIELDS)}")
    return names


def _say(value: Any) -> Any:
    """Accept a plain text in place of a mapping with `text`."""
    return value if isinstance(value, dict) else {"text": value}


Says = Annotated[tuple[Annotated[SayWords, BeforeValidator(_say)], ...], BeforeValidator(listed)]
Steps = Annotated[tuple[Bilingual, ...], BeforeValidator(listed)]


class OtherWords(Words):
    """The parts that a phrase set replaces."""

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
    """The words for each field that is not known, by phrase set."""

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
            faults.append(lines.fault((GAPS, field_), f"unknown field {{{field_}}}", like(field_, FIELDS)))
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
    """The words for each field that is not known, by phrase set, and the faults in them."""
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
                faults.append(lines.fault(path, f"{character} is listed twice", "Keep one of the two"))
            ways[character] = named
            for way in named:
                if not way.endswith(character):
                    faults.append(lines.fault(path, f"{way!r} does not end with {character}", f"e.g. ……的{character}"))
                if way in words.never:
                    faults.append(lines.fault(path, f"{way!r} is listed under `never`", "Find a kinder one"))
    _refuse(faults)
    return Characters(ways)


def read_spoken(text: str, file: str) -> dict[str, Group]:
    """The groups of phrases for the recogniser. Raises Rejected."""
    lines, data = _mapping(text, file, "phrases", "Write a group's name, and `of:` and `phrases:` below it")
    words, faults = _each(lines, data, GroupWords, r"[a-z][a-z0-9_]*")
    _refuse(faults)
    return {name: Group(group.of, group.phrases, group.not_in) for name, group in words.items()}


def _mapping(text: str, file: str, what: str, remedy: str) -> tuple[YamlDocument, dict]:
    lines = YamlDocument(text, file)
    if not isinstance(lines.data, dict):
        raise Rejected([Fault(file, 1, f"the file has no {what}", remedy)])
    return lines, lines.data


def _each(lines: YamlDocument, entries: dict, model: type[BaseModel], names: str) -> tuple[dict[str, Any], list[Fault]]:
    """The entries of a mapping that are a valid ``model``, and the faults in the others."""
    words, faults = {}, []
    for name, entry in entries.items():
        if not re.fullmatch(names, str(name)) or name in MOMENTS:
            remedy = f"Use another one, of the form {names}"
            faults.append(lines.fault((name,), f"{name!r} cannot be a name here", remedy))
        try:
            words[str(name)] = model.model_validate(entry)
        except ValidationError as error:
            faults += lines.faults(error, model, (name,), SEE)
    return words, faults


def _refuse(faults: list[Fault]) -> None:
    if faults:
        raise Rejected(sorted(dict.fromkeys(faults), key=lambda fault: fault.line))
