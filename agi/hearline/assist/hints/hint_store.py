"""Everything that hints need, read from ``ivr_flows/hints``, and again when a file has changed. A broken edit is
rejected, and what was loaded before stays."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from hearline.assist.hints.cards import Cards, Characters, Group, read_cards, read_characters, read_spoken
from hearline.assist.hints.rules import Rules, read_rules
from hearline.yamlfiles.checked import Fault, Rejected, stamp

log = logging.getLogger(__name__)

RULES, CARDS, CHARACTERS, SPOKEN = "rules.yaml", "cards.yaml", "characters.yaml", "spoken.yaml"
FILES = (RULES, CARDS, CHARACTERS, SPOKEN)


@dataclass(frozen=True)
class HintBook:
    """``cards`` by phrase set, ``spoken`` by group."""

    rules: Rules
    cards: Mapping[str, Cards]
    characters: Characters
    spoken: Mapping[str, Group]

    def cards_of(self, phrases: str) -> Cards:
        """The cards of a phrase set; the file's own where it knows no such set."""
        return self.cards.get(phrases) or next(iter(self.cards.values()))


def load_book(folder: Path, whispers: Collection[str] | None = None) -> HintBook:
    """Read the four files of a folder.

    Args:
        folder: usually ``ivr_flows/hints``.
        whispers: the ids of the whispers that were recorded; None: take any.

    Raises:
        Rejected: with every fault of every file; a missing one is a fault as well.
    """
    faults: list[Fault] = []

    def read(name: str, reader, *more):
        try:
            return reader((folder / name).read_text("utf-8"), str(folder / name), *more)
        except Rejected as error:
            faults.extend(error.faults)
        except OSError as error:
            faults.append(Fault(str(folder / name), 0, f"cannot be read: {error.strerror}", "It must be there"))
        except UnicodeDecodeError:
            faults.append(Fault(str(folder / name), 1, "not UTF-8 text", "Save the file as UTF-8"))
        return None

    cards = read(CARDS, read_cards)
    spoken = read(SPOKEN, read_spoken)
    characters = read(CHARACTERS, read_characters)
    rules = None
    if cards is not None and spoken is not None:  # else every card that a rule names would be a fault
        rules = read(RULES, read_rules, next(iter(cards.values())).by_id, spoken, whispers)
    if faults:
        raise Rejected(faults)
    return HintBook(rules, cards, characters, spoken)


class HintStore:
    """The hints of a folder; asked at every join, so an edit counts from the next conversation on.

    ``rejected``: why the newest edit was not taken; '' where it was. Raises Rejected where the very first is broken.
    """

    def __init__(self, folder: Path, whispers: Collection[str] | None = None) -> None:
        self._folder, self._whispers = folder, whispers
        self._lock = threading.Lock()
        self._stamp = self._look()
        self._book = load_book(folder, whispers)
        self.rejected = ""

    @property
    def book(self) -> HintBook:
        """What holds now. Never raises for a bad file."""
        with self._lock:
            if (seen := self._look()) != self._stamp:
                self._stamp = seen
                self._read_again()
            return self._book

    def _look(self) -> tuple:
        return stamp(self._folder / name for name in FILES)

    def _read_again(self) -> None:
        try:
            self._book, self.rejected = load_book(self._folder, self._whispers), ""
            log.info("hints read: %d rules", len(self._book.rules.by_name))
        except Rejected as error:
            self.rejected = str(error)
            log.error("the hints' edit is rejected, what was loaded before stays: %s", error)
