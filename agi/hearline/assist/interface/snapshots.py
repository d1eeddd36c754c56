"""Snapshots as plain objects that can be sent: one agent's whole state, all agents in brief, the cards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hearline.assist.calls.agent_states import Activity, AgentState, AgentStates
from hearline.assist.hints.cards import ASK, Card, Cards
from hearline.assist.hints.hint_store import HintBook
from hearline.assist.playback.volumes import Volumes
from hearline.assist.playback.whispers import as_wav
from hearline.sounds.manifest import MANIFEST_NAME, load_manifest
from hearline.store.accounts import Accounts, Role, may_see
from hearline.wire.answers import Refused
from hearline.yamlfiles.watched import Watched

CLOSING = "closing-"  # the cards of service standard 2.23, one for each outcome
MOST_CHARACTERS = 20


@dataclass(frozen=True)
class Names:
    """Names from the sounds' manifest. ``fields``: for the cards' ``{brand}`` and ``{hotline}``. ``queues``: each
    queue's name in Chinese."""

    fields: Mapping[str, str] = field(default_factory=dict)
    queues: Mapping[str, str] = field(default_factory=dict)


def watched_names(sounds: Path) -> Watched[Names]:
    """The names in the manifest of these sounds, read now, and again whenever it has changed."""

    def read(_: Names) -> Names:
        manifest = load_manifest(sounds)
        return Names({"brand": manifest.brand, "hotline": manifest.hotline}, manifest.queue_names("zh"))

    names = Watched("the names on the agents' page", lambda: [sounds / MANIFEST_NAME], read, Names())
    names.refresh()
    return names


class Snapshots:
    """Makes snapshots on request.

    Args:
        book: returns the hints in force; None if there are none.
        sound: returns a whisper's 16-bit samples at 8 kHz, by its id and a gain in dB; raises OSError, ValueError.
        asterisk: returns True while Asterisk's manager interface is connected.
        allowed: returns True while agents may be whispered to.

    ``present`` tells whether a person has their page open; ``phone`` returns the state of their phone in it, None if
    they are offered none.
    """

    def __init__(
        self,
        states: AgentStates,
        book: Callable[[], HintBook | None],
        names: Callable[[], Names],
        volumes: Volumes,
        sound: Callable[[str, int], bytes],
        accounts: Accounts,
        asterisk: Callable[[], bool],
        allowed: Callable[[], bool],
    ) -> None:
        self._states, self._book, self._names, self._volumes, self._sound = states, book, names, volumes, sound
        self._accounts, self.asterisk, self.allowed = accounts, asterisk, allowed
        self.present: Callable[[str], bool] = lambda _person: False
        self.phone: Callable[[str], dict[str, Any] | None] = lambda _person: None

    # ---- agents -----------------------------------------------------------------------------------------------------
    def agent(self, number: str) -> dict[str, Any]:
        """Everything that this agent's page shows, except the levels."""
        state = self._states.of(number)
        view, cards = state.view(self._states.now(), self._states.today()), self._cards(state)
        card = cards.by_id.get(view["card"]["id"]) if view["card"] else None
        view["card"] = view["card"] | self._words(card, number) if card else None
        if view["call"]:
            view["call"]["queue_zh"] = self._names().queues.get(view["call"]["queue"])
        view["outcomes"] = [self._words(one, number) for one in self._closings(state)]
        return view | {
            "gaps": cards.gaps,
            "phrases": state.caller.phrases if state.caller else "",
            "supervisors": self.supervisor_there(number),
            "asking": self.asking(number),
            "asterisk": self.asterisk(),
            "whispers_allowed": self.allowed(),
            "volume_db": self._volumes.of(number),
            "phone": self.phone(number),
        }

    def levels(self, number: str) -> dict[str, Any]:
        """The present levels of caller and agent."""
        return self._states.of(number).levels()

    def standing(self) -> dict[str, Any]:
        """The status that concerns everybody."""
        return {"asterisk": self.asterisk(), "whispers_allowed": self.allowed()}

    def everybody(self) -> dict[str, Any]:
        """All agents in brief, and the status that concerns everybody."""
        return self.standing() | {"agents": [brief(state) for state in self._states.all()]}

    # ---- supervisors ------------------------------------------------------------------------------------------------
    def supervisor_there(self, number: str) -> bool | None:
        """True if a supervisor of this agent's team, other than themselves, has the page open; None if the team has
        none."""
        whose = self._accounts.of(number)
        theirs = [
            account.number
            for account in self._accounts.watched.value.values()
            if account.role is Role.SUPERVISOR and account.number != number and may_see(account, whose)
        ]
        return any(map(self.present, theirs)) if theirs else None

    def asking(self, number: str) -> list[dict[str, Any]]:
        """The requests for a supervisor that this person may accept; the longest wait first."""
        who = self._accounts.of(number)
        if who is None or who.role is not Role.SUPERVISOR:
            return []
        others = [one for one in self._states.asking() if one["agent"] != number]
        asking = [one for one in others if may_see(who, self._accounts.of(one["agent"]))]
        return [one | {"queue_zh": self._names().queues.get(one["queue"])} for one in asking]

    # ---- cards ------------------------------------------------------------------------------------------------------
    def phrases(self, number: str, query: str) -> list[dict[str, Any]]:
        """All cards in the order of their sections, or those that match the query, the best first."""
        cards, rules = self._cards(self._states.of(number)), self._rules()
        found = cards.search(query) if query.strip() else [c for of in cards.by_section().values() for c in of]
        return [self._words(card, number) | {"rule": rules.get(card.id)} for card in found]

    def characters(self, query: str) -> list[dict[str, Any]]:
        """The characters that match the query, and the questions to ask about each."""
        book = self._book()
        found = book.characters.find(query) if book else []
        return [{"character": c, "ask": [ASK.format(way=way) for way in ways]} for c, ways in found[:MOST_CHARACTERS]]

    def closing(self, state: AgentState, card: object) -> tuple[str, str] | None:
        """The outcome of this closing card, and the rule that shows it ('' if none does); None if ``card`` is not a
        closing card of this call."""
        found = next((one for one in self._closings(state) if one.id == card), None)
        return found and (found.id.removeprefix(CLOSING), self._rules().get(found.id, ""))

    def _cards(self, state: AgentState) -> Cards:
        book = self._book()
        return book.cards_of(state.caller.phrases if state.caller else "") if book else Cards({})

    def _closings(self, state: AgentState) -> list[Card]:
        return [card for card in self._cards(state).by_id.values() if card.id.startswith(CLOSING)]

    def _words(self, card: Card, number: str) -> dict[str, Any]:
        """A card's words for this agent. Fields that only the agent knows stay as they are."""
        book = self._book()
        titles = {one.id: one.title for one in (book.cards_of("").by_id.values() if book else ())}
        card = card.filled({**self._names().fields, "agent_id": number})
        return {
            "id": card.id,
            "section": card.section,
            "title": card.title,
            "say": [
                {"text": said.text, "for": said.case, "needs": said.needs, "promise_ms": said.promise_ms}
                for said in card.say
            ],
            "do": card.do,
            "know": card.know,
            "avoid": card.avoid,
            "never": card.never,
            "first": card.first,
            "keys": card.keys,
            "next": [{"title": titles[name], "rule": self._rules().get(name)} for name in card.next],
        }

    def _rules(self) -> dict[str, str]:
        """The first rule that shows each card, by card."""
        book = self._book()
        return (
            {rule.card: rule.name for rule in reversed(list(book.rules.by_name.values())) if rule.card} if book else {}
        )

    # ---- sounds -----------------------------------------------------------------------------------------------------
    async def hold_whisper(self, number: str) -> bytes:
        """A WAV file of the whisper that this agent's phone does not play because it holds, at the agent's volume.
        Raises Refused."""
        if (said := self._states.of(number).hold_whisper) is None:
            raise Refused(404, "nothing_said")
        return as_wav(await asyncio.to_thread(self._sound, said.whisper, said.level_db + self._volumes.of(number)))


def brief(state: AgentState) -> dict[str, Any]:
    """An agent's activity, with nothing about the caller but the call's id."""
    busy = state.caller is not None and state.state is not Activity.IDLE
    return {
        "agent": state.agent,
        "state": state.state,
        "since": round(state.since * 1_000),
        "call": state.caller.id if busy else "",
        "queue": state.caller.queue if busy else "",
    }
