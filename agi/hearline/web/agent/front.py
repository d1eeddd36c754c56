"""What the agents' page is told by the rest of agent assist, and what it looks up by itself. Nothing that goes wrong
here may reach hints or legs."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future

from hearline.assist.calls.agent_states import Activity, AgentState, AgentStates, Caller
from hearline.assist.calls.channel_graph import ConnectedParties
from hearline.assist.calls.legs import Leg
from hearline.assist.calls.sessions import TalkSession, TalkSessions
from hearline.assist.hints.hint_store import HintStore
from hearline.assist.playback.volumes import Volumes
from hearline.assist.playback.whispers import Whispers
from hearline.core.settings import Settings, address
from hearline.media.worker_protocol import LegReport
from hearline.pbx.ami import Message
from hearline.sounds.manifest import load_manifest
from hearline.store.accounts import Accounts
from hearline.store.audit import AuditLog
from hearline.store.earlier_calls import EarlierCalls
from hearline.web.agent.app import Page
from hearline.web.entrance import Entrance
from hearline.web.server import PageServer

log = logging.getLogger(__name__)


class Front:
    """``run`` until cancelled; then ``close``. ``sign_ins``: how many there were, by result.

    Args:
        number: the work number of whose channel this is.
        talks: called when the page is first needed.
        asterisk: is Asterisk's manager interface there?
        allowed: may agents be whispered to?
    """

    def __init__(
        self,
        settings: Settings,
        accounts: Accounts,
        hints: HintStore | None,
        volumes: Volumes,
        whispers: Whispers,
        number: Callable[[str], str],
        talks: Callable[[], TalkSessions],
        asterisk: Callable[[], bool],
        allowed: Callable[[], bool],
    ) -> None:
        self._settings, self._accounts, self._hints = settings, accounts, hints
        self._volumes, self._whispers = volumes, whispers
        self._talks, self._asterisk, self._allowed = talks, asterisk, allowed
        self._audit = AuditLog(settings.state / "audit", settings.audit_days)
        self._earlier = EarlierCalls(settings.state / "callers", settings.earlier_calls_days, settings.home)
        self._calendar = settings.calendar
        supervisors = {number.strip() for number in settings.supervisors.split(",")} - {""}
        self._desks = AgentStates(
            self._earlier.who,
            self._calendar,
            number,
            self._look_up,
            self._meet_agent,
            self._keep,
            supervisors=supervisors,
            trouble_days=settings.trouble_days,
            home=settings.home,
        )
        self._served: Page | None = None
        self._looking: set[asyncio.Task] = set()
        self.sign_ins: Counter[str] = Counter()
        self._server = PageServer(address(settings.page), self._page, self._what_matters)

    def _what_matters(self) -> object:
        return self._asterisk(), self._allowed(), self._served and self._served.supervisors_there()

    def supervisor_there(self, besides: str) -> bool:
        """Has any supervisor the page open, besides the agent with this work number?"""
        return bool(self._served and self._served.supervisors_there(besides))

    async def run(self) -> None:
        await self._server.run()

    def close(self) -> None:
        self._earlier.close()
        self._audit.close()

    def _page(self) -> Page:
        entrance = Entrance(self._accounts, self._audit, self._settings.proxies, self.sign_ins)
        sounds = load_manifest(self._settings.sounds)
        self._served = Page(
            self._desks,
            self._talks(),
            lambda: self._hints.book if self._hints else None,
            self._volumes,
            self._whispers.pcm,
            entrance,
            {"brand": sounds.brand, "hotline": sounds.hotline},
            sounds.queue_names("zh"),
            self._asterisk,
            self._allowed,
        )
        return self._served

    # ---- what it is told --------------------------------------------------------------------------------------------
    def reset(self, channels: Iterable[Message]) -> None:
        """After every login to Asterisk."""
        self._tell(self._desks.reset, channels)

    def hear(self, event: Message) -> None:
        self._tell(self._desks.hear, event)

    def follow(self, conversations: Iterable[ConnectedParties], talk_of: Callable[[str], TalkSession | None]) -> None:
        self._tell(self._desks.follow, conversations, talk_of)

    def see(self, talk: TalkSession) -> None:
        self._tell(self._desks.see, talk)

    def hear_level(self, leg: Leg, message: LegReport) -> None:
        self._tell(self._desks.hear_level, leg, message)

    @staticmethod
    def _tell(tell: Callable[..., None], *what: object) -> None:
        try:
            tell(*what)
        except Exception:
            log.exception("the agents' page may show less than there is")

    # ---- what it looks up and keeps ---------------------------------------------------------------------------------
    def _look_up(self, caller: Caller) -> None:
        async def look() -> None:
            found = await asyncio.to_thread(self._earlier.of, caller.who, caller.id)
            self._desks.know_earlier(caller.id, found)

        self._in_the_background(look())

    def _meet_agent(self, agent: str) -> None:
        async def look() -> None:
            today = self._desks.today()
            since = self._calendar.day_begins(today).timestamp()
            count = await asyncio.to_thread(self._earlier.left_first, agent, since)
            self._desks.know_left_first(agent, today, count)

        self._in_the_background(look())

    def _in_the_background(self, look: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(look)
        self._looking.add(task)
        task.add_done_callback(self._looking.discard)

    def _keep(self, desk: AgentState) -> Future[bool]:
        """What the agent's talk was, for the next time that this caller calls. Returns whether it is kept."""
        known = {
            "who": desk.caller.who,
            "at": desk.began,
            "heard": desk.caller.heard,
            "agent": desk.agent,
            "talk_s": round(desk.since - desk.began, 1) if desk.state is Activity.AFTER else None,
            "left_first": desk.left_first,
            "outcome": desk.outcome,
            "note": desk.note.to_keep().as_text() if desk.note else None,
        }
        return self._earlier.note(desk.caller.id, **{name: value for name, value in known.items() if value is not None})
