"""Reads the hints' files in ``ivr_flows/hints``, and reads them again when one has changed. A broken edit is rejected,
and the version loaded before stays in force."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from hearline.assist.hints.cards import Cards, Characters, Group, read_cards, read_characters, read_spoken
from hearline.assist.hints.rules import Rules, read_rules
from hearline.core.files import read_text
from hearline.yamlfiles.checked import Fault, Rejected
from hearline.yamlfiles.watched import Watched

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
        """The cards of a phrase set; those of the first set if this one is unknown."""
        return self.cards.get(phrases) or next(iter(self.cards.values()))


def load_book(folder: Path, whispers: Collection[str] | None = None) -> HintBook:
    """Read the four files of a folder.

    Args:
        folder: usually ``ivr_flows/hints``.
        whispers: the ids of the whispers that have recordings; None: accept any id.

    Raises:
        Rejected: with every fault in every file. A missing file is a fault, too.
    """
    faults: list[Fault] = []

    def read(name: str, reader, *more):
        try:
            return reader(read_text(folder / name), str(folder / name), *more)
        except Rejected as error:
            faults.extend(error.faults)
        except OSError as error:
            remedy = "Make it exist and readable"
            faults.append(Fault(str(folder / name), 0, f"cannot be read: {error.strerror}", remedy))
        except UnicodeDecodeError:
            faults.append(Fault(str(folder / name), 1, "not UTF-8 text", "Save the file as UTF-8"))
        return None

    cards = read(CARDS, read_cards)
    spoken = read(SPOKEN, read_spoken)
    characters = read(CHARACTERS, read_characters)
    rules = None
    if cards is not None and spoken is not None:  # without them every card that a rule names would be a fault
        rules = read(RULES, read_rules, next(iter(cards.values())).by_id, spoken, whispers)
    if faults:
        raise Rejected(faults)
    return HintBook(rules, cards, characters, spoken)


class HintStore(Watched[HintBook | None]):
    """The hints of a folder. An edit counts within a second, for the talks that begin afterwards.

    Args:
        whispers: returns the ids of the whispers that have recordings now; None: accept any id.
        beside: further files on which the whispers depend.
    """

    def __init__(
        self,
        folder: Path,
        whispers: Callable[[], Collection[str] | None] = lambda: None,
        beside: Collection[Path] = (),
    ) -> None:
        files = [*(folder / name for name in FILES), *beside]
        super().__init__("the hints", lambda: files, lambda _: load_book(folder, whispers()), None)
        self.refresh()

    @property
    def book(self) -> HintBook | None:
        """The hints in force; None until a valid version has been read."""
        return self.value

    @property
    def rejected(self) -> str:
        """Why the newest edit was rejected; '' if it is in force."""
        return self.fault
