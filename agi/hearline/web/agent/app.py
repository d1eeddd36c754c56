"""The agent's page over HTTP: its files, signing in, the stream of news, and what the agent does.

Every action names the call that it is meant for; one that is over by now is refused (409), so that a click on what was
on the screen a moment ago never reaches the next caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

from hearline.assist.calls.agent_states import Activity, AgentState, AgentStates
from hearline.assist.calls.sessions import TalkSessions
from hearline.assist.hints import events as e
from hearline.assist.hints.cards import ASK, Card, Cards
from hearline.assist.hints.hint_store import HintBook
from hearline.assist.playback.volumes import LOUDEST_DB, SOFTEST_DB, Volumes
from hearline.assist.playback.whispers import as_wav
from hearline.web.access import WHO, routes
from hearline.web.administration import Administration
from hearline.web.answers import HEADERS, Refused, told_by
from hearline.web.entrance import Entrance
from hearline.web.feed import Feed

STATIC = Path(__file__).parent.parent / "static"
MOST_BODY = 16 * 1024  # bytes
KEPT_S = 3.0  # so long we wait for a note to be kept; then it is not, as far as the page is told
PROMISES_MS = range(5_000, 600_001)
CLOSING = "closing-"  # the cards of section 2.23: an outcome each


class Page:
    """What the handlers need, and the handlers.

    Args:
        book: the hints as they are now; None: there are none.
        fields: what fills the cards' ``{brand}`` and ``{hotline}``.
        queues: how each queue is called in Chinese.
        sound: a whisper's 16-bit samples at 8 kHz, by its id and so many dB louder; raises OSError, ValueError.
        asterisk: is Asterisk's manager interface there?
        allowed: may agents be whispered to?
    """

    def __init__(
        self,
        desks: AgentStates,
        talks: TalkSessions,
        book: Callable[[], HintBook | None],
        volumes: Volumes,
        sound: Callable[[str, int], bytes],
        entrance: Entrance,
        fields: dict[str, str],
        queues: dict[str, str],
        asterisk: Callable[[], bool],
        allowed: Callable[[], bool],
    ) -> None:
        self._desks, self._talks, self._book, self._volumes, self._sound = desks, talks, book, volumes, sound
        self._entrance, self._fields, self._queues = entrance, fields, queues
        self._asterisk, self._allowed = asterisk, allowed
        self.feed = Feed(self._view, lambda agent: desks.of(agent).levels(), HEADERS)
        desks.changed, desks.levels = self.feed.changed, self.feed.levels_changed

    def app(self) -> web.Application:
        handlers = {
            **self._entrance.handlers(),
            **Administration(self._entrance).handlers(),
            ("GET", "/"): self._index,
            ("GET", "/api/events"): self._events,
            ("GET", "/api/phrases"): self._phrases,
            ("GET", "/api/characters"): self._characters,
            ("GET", "/api/hold-whisper"): self._hold_whisper,
            ("POST", "/api/press"): self._press,
            ("POST", "/api/card"): self._card,
            ("POST", "/api/call-up"): self._call_up,
            ("POST", "/api/outcome"): self._outcome,
            ("POST", "/api/note"): self._note,
            ("POST", "/api/promise"): self._promise,
            ("POST", "/api/coming"): self._coming,
            ("POST", "/api/done"): self._done,
            ("POST", "/api/volume"): self._volume,
        }
        app = web.Application(middlewares=[self._entrance.guard], client_max_size=MOST_BODY)
        app.add_routes([*routes(handlers, self._entrance.who), web.static("/static", STATIC)])
        return app

    def close(self) -> None:
        """End all streams, and what signing in has begun."""
        self.feed.close()
        self._entrance.close()

    @staticmethod
    def _agent(request: web.Request) -> str:
        """Who is signed in."""
        return request[WHO].number

    async def _desk(self, request: web.Request, *states: Activity) -> tuple[AgentState, dict[str, Any]]:
        """The desk that an action is meant for, and what the page sent."""
        desk, told = self._desks.of(self._agent(request)), await told_by(request)
        if desk.state not in states or desk.caller is None or told.get("call") != desk.caller.id:
            raise Refused(409, "call_over")
        return desk, told

    async def _index(self, _request: web.Request) -> web.StreamResponse:
        return web.FileResponse(STATIC / "index.html")

    # ---- what is seen -----------------------------------------------------------------------------------------------
    async def _events(self, request: web.Request) -> web.StreamResponse:
        """One's own desk, or that of the ``agent`` whom one may see."""
        whose = self._entrance.seen(request)
        still = partial(self._entrance.still_sees, request, whose)
        return await self.feed.serve(request, whose.number, still, by=self._agent(request))

    def _view(self, agent: str) -> dict[str, Any]:
        desk = self._desks.of(agent)
        view, cards = desk.view(self._desks.now(), self._desks.today()), self._cards(desk)
        card = cards.by_id.get(view["card"]["id"]) if view["card"] else None
        view["card"] = view["card"] | self._words(card, agent) if card else None
        if view["call"]:
            view["call"]["queue_zh"] = self._queues.get(view["call"]["queue"])
        supervisors = self._desks.supervisors
        asking = self._desks.asking() if agent in supervisors else []
        view["outcomes"] = [self._words(one, agent) for one in self._closings(desk)]
        return view | {
            "gaps": cards.gaps,
            "phrases": desk.caller.phrases if desk.caller else "",
            "supervisors": bool(self.supervisors_there(agent)) if supervisors else None,
            "asking": [asks | {"queue_zh": self._queues.get(asks["queue"])} for asks in asking],
            "asterisk": self._asterisk(),
            "whispers_allowed": self._allowed(),
            "volume_db": self._volumes.of(agent),
        }

    def supervisors_there(self, besides: str = "") -> frozenset[str]:
        """The supervisors who have the page open, besides the one with this work number."""
        return frozenset(one for one in self._desks.supervisors if one != besides and self.feed.pages(one))

    def _cards(self, desk: AgentState) -> Cards:
        book = self._book()
        return book.cards_of(desk.caller.phrases if desk.caller else "") if book else Cards({})

    def _closings(self, desk: AgentState) -> list[Card]:
        return [card for card in self._cards(desk).by_id.values() if card.id.startswith(CLOSING)]

    def _words(self, card: Card, agent: str) -> dict[str, Any]:
        """A card; what only the agent can fill in stays open."""
        book = self._book()
        titles = {one.id: one.title for one in (book.cards_of("").by_id.values() if book else ())}
        card = card.filled(self._fields | {"agent_id": agent})
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
        """By card: the rule that calls it up, the first one."""
        book = self._book()
        return (
            {rule.card: rule.name for rule in reversed(list(book.rules.by_name.values())) if rule.card} if book else {}
        )

    async def _phrases(self, request: web.Request) -> web.StreamResponse:
        """All cards in the order of their sections; with ``q`` those that it finds, the best first."""
        agent = self._agent(request)
        cards, rules = self._cards(self._desks.of(agent)), self._rules()
        query = request.query.get("q", "")[:100]
        found = cards.search(query) if query.strip() else [c for of in cards.by_section().values() for c in of]
        return web.json_response(
            {"phrases": [self._words(card, agent) | {"rule": rules.get(card.id)} for card in found]}
        )

    async def _characters(self, request: web.Request) -> web.StreamResponse:
        self._agent(request)
        book = self._book()
        found = book.characters.find(request.query.get("q", "")[:20]) if book else []
        return web.json_response(
            {"characters": [{"character": c, "ask": [ASK.format(way=way) for way in ways]} for c, ways in found[:20]]}
        )

    async def _hold_whisper(self, request: web.Request) -> web.StreamResponse:
        """What is whispered just now to a phone that holds, and so does not play it, as loud as the agent wants it."""
        agent = self._agent(request)
        if (said := self._desks.of(agent).hold_whisper) is None:
            raise Refused(404, "nothing_said")
        level_db = said.level_db + self._volumes.of(agent)
        pcm = await asyncio.to_thread(self._sound, said.whisper, level_db)
        return web.Response(body=as_wav(pcm), content_type="audio/wav")

    # ---- what the agent does ----------------------------------------------------------------------------------------
    async def _press(self, request: web.Request) -> web.StreamResponse:
        desk, told = await self._desk(request, Activity.TALKING)
        if told.get("key") not in list(e.Key):
            raise Refused(400, "unknown", known=list(e.Key))
        self._talks.press(desk.channel, e.Key(told["key"]))
        return web.json_response({})

    async def _card(self, request: web.Request) -> web.StreamResponse:
        """``did``: used or dismissed."""
        desk, told = await self._desk(request, Activity.TALKING, Activity.AFTER)
        event = {"used": e.CardUsed, "dismissed": e.CardDismissed}.get(told.get("did"))
        if event is None or not isinstance(told.get("card"), str):
            raise Refused(400, "unknown")
        if desk.state is Activity.TALKING:
            self._talks.tell_agent(desk.channel, event(told["card"]))
        else:
            self._desks.put_away(desk)
        return web.json_response({})

    async def _call_up(self, request: web.Request) -> web.StreamResponse:
        desk, told = await self._desk(request, Activity.TALKING)
        self._talks.tell_agent(desk.channel, e.CalledUp(str(told.get("rule", ""))))
        return web.json_response({})

    async def _outcome(self, request: web.Request) -> web.StreamResponse:
        """Into the talk's record; while they still talk the closing phrase comes with it."""
        desk, told = await self._desk(request, Activity.TALKING, Activity.AFTER)
        card = next((card for card in self._closings(desk) if card.id == told.get("outcome")), None)
        if card is None:
            raise Refused(400, "unknown")
        outcome = card.id.removeprefix(CLOSING)
        self._talks.add_to(desk.talk, "outcome", outcome=outcome, agent=desk.agent)
        self._desks.pick(desk, outcome)
        rule = next((rule for rule in self._book().rules.by_name.values() if rule.card == card.id), None)
        if rule and desk.state is Activity.TALKING:
            self._talks.tell_agent(desk.channel, e.CalledUp(rule.name))
        return web.json_response({})

    async def _note(self, request: web.Request) -> web.StreamResponse:
        """What the agent has changed of the ``note`` of this call, or of the one before: the next one may ring while
        the agent still writes. The answer's ``kept`` is true only if it is kept by now."""
        agent, told = self._agent(request), await told_by(request)
        last = self._desks.last_of(agent)
        if last and last.caller.id == told.get("call"):
            desk = last
        else:
            desk, _ = await self._desk(request, Activity.TALKING, Activity.AFTER)
        if not isinstance(told.get("note"), dict):
            raise Refused(400, "unknown")
        try:
            kept = asyncio.wrap_future(self._desks.write_note(desk, told["note"]))
        except ValueError:
            raise Refused(400, "too_long") from None
        await asyncio.wait([kept], timeout=KEPT_S)
        return web.json_response({"kept": kept.done() and kept.result()})

    async def _promise(self, request: web.Request) -> web.StreamResponse:
        """The wait that the caller was promised, ``ms``: the hold clock counts down to it."""
        desk, told = await self._desk(request, Activity.TALKING)
        if isinstance(told.get("ms"), bool) or told.get("ms") not in PROMISES_MS:
            raise Refused(400, "unknown")
        self._talks.promise(desk.talk, told["ms"], desk.agent)
        return web.json_response({})

    async def _coming(self, request: web.Request) -> web.StreamResponse:
        """A supervisor comes to the ``agent`` who asked for one in this ``call``."""
        supervisor, told = self._agent(request), await told_by(request)
        if supervisor not in self._desks.supervisors:
            raise Refused(403, "unknown")
        asked = [(asks["agent"], asks["call"]) for asks in self._desks.asking()]
        if (told.get("agent"), told.get("call")) not in asked:
            raise Refused(409, "call_over")
        desk = self._desks.of(told["agent"])
        self._talks.come(desk.talk, supervisor)
        return web.json_response({})

    async def _done(self, request: web.Request) -> web.StreamResponse:
        desk, _ = await self._desk(request, Activity.AFTER)
        self._desks.done(desk.agent)
        return web.json_response({})

    async def _volume(self, request: web.Request) -> web.StreamResponse:
        agent, told = self._agent(request), await told_by(request)
        db = told.get("db")
        if isinstance(db, bool) or not isinstance(db, int) or not SOFTEST_DB <= db <= LOUDEST_DB:
            raise Refused(400, "unknown", softest=SOFTEST_DB, loudest=LOUDEST_DB)
        await asyncio.to_thread(self._volumes.set, agent, db)
        self.feed.changed(agent)
        return web.json_response({})
