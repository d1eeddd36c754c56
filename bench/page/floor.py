"""Agents at their desks without telephones: agent assist's states, talks, hints and interface, and the page, in a
separate thread. Tests and benchmarks play Asterisk and the ears."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from hearline.assist.calls.agent_states import AgentState, AgentStates, Caller, Part
from hearline.assist.calls.channel_graph import Answer, ConnectedParties
from hearline.assist.calls.legs import Leg
from hearline.assist.calls.sessions import TalkSessions
from hearline.assist.hints.events import Key, Side
from hearline.assist.hints.hint_store import HintStore
from hearline.assist.interface.interface import Interface
from hearline.assist.interface.snapshots import Names, Snapshots
from hearline.assist.playback.keys import Keys
from hearline.assist.playback.recordings import Recordings
from hearline.assist.playback.volumes import Volumes
from hearline.assist.playback.whispers import Whispers
from hearline.audio.hearing import Heard, Hearing, SpeechEnded, SpeechStarted
from hearline.core.calendar import Calendar
from hearline.core.ids import new_call_id
from hearline.core.settings import Settings, socket_of, trial_file
from hearline.core.zones import DEFAULT_ZONE, zone_named
from hearline.media.worker_client import PendingCall
from hearline.media.worker_protocol import LegReport
from hearline.ops.provision import set_up_trial
from hearline.pbx.config import Account
from hearline.server.hotline import HotlineReader
from hearline.store.accounts import Accounts, Role, accounts_file
from hearline.store.audit import AuditLog
from hearline.store.earlier_calls import EarlierCall, EarlierCalls
from hearline.store.records import Records
from hearline.web.agent.app import Page
from hearline.web.entrance import Entrance
from hearline.web.try_it.app import Trial
from hearline.web.try_it.relay import CallRelay
from hearline.wire.assist_client import AssistClient
from hearline.wire.http_server import HttpServer
from hearline.wire.tls import Tls

REPO = Path(__file__).resolve().parents[2]
HINTS = REPO / "ivr_flows" / "hints"
PIN = "271828"
NAMES = Names({"brand": "蓝智慧养老", "hotline": "95160"}, {"care": "养老热线"})
TEAM = "care"
JUST_NOW_S = 30.0
MARKS = (Key.CALLBACK, Key.SUPERVISOR)
"""Keys that only mark the talk, and so need no Asterisk."""


class _NoAsterisk:
    """Stands in for the manager interface; raises no line."""

    async def ask(self, _action: str, **_headers: str) -> dict[str, str]:
        return {"Response": "Success", "Value": ""}


@cache
def _recordings() -> Recordings:
    return Recordings(REPO / "sounds")


class Floor:
    """A context manager. All methods can be called from any thread; times are in s.

    Args:
        folder: the server's state folder.
        agents: work numbers; all have the same PIN, `PIN`.
        hints: the folder of the rules and cards.
        tls: for the page over https.
    """

    def __init__(
        self,
        folder: Path,
        agents: tuple[str, ...] = ("8016", "8017"),
        hints: Path = HINTS,
        tls: Tls | None = None,
    ) -> None:
        self.folder, self.agents, self._hints, self._tls = folder, agents, hints, tls
        self.port = _free_port()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/"
        self.asterisk_up = self.whispers_allowed = True
        self.keeps: bool | None = True  # whether agents' notes are saved; None: not known yet
        self.earlier: list[EarlierCall] = []
        self.status: tuple[str, int] = ("127.0.0.1", 9)  # of the server, for "Try it": nobody listens there
        self.try_it = "off"
        self._parties: dict[str, ConnectedParties] = {}  # by agent
        self._ringing: set[str] = set()
        self._supervisors: set[str] = set()
        self._count = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="floor", daemon=True)

    def __enter__(self) -> Floor:
        self.accounts = Accounts(accounts_file(self.folder / "state"), cost=2**14)
        self.audit = AuditLog(self.folder / "state" / "audit")
        self.sign_ins: Counter[str] = Counter()
        for agent in self.agents:
            self.accounts.set_pin(agent, PIN, team=TEAM)
        self._thread.start()
        self.do(self._begin)
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._wait(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def do(self, what: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function in the server's thread, and return its result."""

        async def run() -> Any:
            return what(*arguments)

        return self._wait(run())

    def _wait(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    def _begin(self) -> None:
        state, calendar = self.folder / "state", Calendar(zone_named(DEFAULT_ZONE))
        self.index = EarlierCalls(state / "callers")
        self.book = HintStore(self._hints)
        self.kept: list[tuple] = []
        self.states = AgentStates(
            self.index.who,
            calendar,
            look_up=self._look_up,
            keep=self._keep,
        )
        keys = Keys(
            None, None, None, lambda *_: None, lambda *_: None, lambda one: self.interface.supervisor_there(one)
        )
        self.records = Records(state / "talks", calendar)
        self.talks = TalkSessions(
            _NoAsterisk(),
            self.book,
            lambda *_: True,
            self.records,
            lambda talk, channel, key: keys.press(talk, channel, key) if key in MARKS else None,
            lambda talk: self.states.see(talk),
        )
        self._working = self._loop.create_task(self.talks.work())
        self._serving: list[asyncio.Task] = []

    async def _end(self) -> None:
        self._working.cancel()
        self.index.close()

    def _make_interface(self) -> Interface:
        volumes = Volumes(self.folder / "state" / "page" / "volumes.json")
        snapshots = Snapshots(
            self.states,
            lambda: self.book.book,
            lambda: NAMES,
            volumes,
            Whispers(_recordings()).pcm,
            self.accounts,
            lambda: self.asterisk_up,
            lambda: self.whispers_allowed,
        )
        where = socket_of(self.folder / "state")
        self.interface = Interface(where, self.states, self.talks, snapshots, volumes, self.accounts)
        return self.interface

    def _look_up(self, caller: Caller) -> None:
        self._loop.call_soon(lambda: self.states.know_earlier(caller.id, list(self.earlier)))

    def _keep(self, state: AgentState, _part: Part) -> Future[bool]:
        """Saved, not saved, or not known yet, according to ``keeps``."""
        if self.keeps:
            self.kept.append((state.agent, state.state, state.outcome, state.note and state.note.matter))
        kept: Future[bool] = Future()
        if self.keeps is not None:
            kept.set_result(self.keeps)
        return kept

    def _make_page(self) -> Page:
        entrance = Entrance(self.accounts, self.audit, "127.0.0.0/8", self.sign_ins)
        trial = self._make_trial()
        self.page = Page(self._client, entrance, "127.0.0.1:9" if trial else "", trial)
        return self.page

    def _make_trial(self) -> Trial | None:
        """What "Try it" needs, if it is to be on: set ``try_it`` and ``status`` before the floor opens."""
        if self.try_it == "off":
            return None
        state = self.folder / "state"
        settings = Settings(flows=REPO / "ivr_flows", sounds=REPO / "sounds", state=state)
        self.visits = Records(state / "calls", settings.calendar)
        set_up_trial(state, [Account(f"agent-{self.agents[0]}", self.agents[0], "", PIN)])
        return Trial(
            mode=self.try_it,
            hotline=HotlineReader(settings).read,
            relay=CallRelay(self.status, self._client, self.visits),
            sounds=REPO / "sounds" / "zh" / "callers",
            set_up=trial_file(state),
            accounts=self.accounts,
        )

    def be_supervisor(self, number: str, yes: bool = True) -> None:
        """Whether this agent is a supervisor of all others."""
        self.accounts.set_role(number, Role.SUPERVISOR if yes else Role.AGENT)
        (self._supervisors.add if yes else self._supervisors.discard)(number)

    # ---- the server -------------------------------------------------------------------------------------------------
    def open(self) -> None:
        """Serve interface and page, from the beginning: as after a restart."""

        def begin() -> list[asyncio.Task]:
            self._client = AssistClient(socket_of(self.folder / "state"))
            where = "127.0.0.1", self.port
            page = HttpServer("the agents' page", "HEARLINE_PAGE", where, self._make_page, self._tls)
            return [self._loop.create_task(one.run()) for one in (self._make_interface(), page)]

        self._serving = self.do(begin)
        deadline, interface_at = time.monotonic() + 5, str(socket_of(self.folder / "state"))
        while time.monotonic() < deadline:
            with socket.socket() as page, socket.socket(socket.AF_UNIX) as interface:
                if (page.connect_ex(("127.0.0.1", self.port)), interface.connect_ex(interface_at)) == (0, 0):
                    return
            time.sleep(0.02)
        raise TimeoutError("the page's server did not start listening")

    @property
    def closed(self) -> bool:
        return not self._serving

    def close(self) -> None:
        if self.closed:
            return

        async def end() -> None:
            for task in reversed(self._serving):
                task.cancel()
            await asyncio.wait(self._serving)
            await self._client.close()

        self._wait(end())
        self._serving = []

    def hang(self, seconds: float) -> None:
        """Block the server completely for this time."""
        self._loop.call_soon_threadsafe(time.sleep, seconds)

    # ---- what happens -----------------------------------------------------------------------------------------------
    def ring(
        self,
        agent: str,
        number: str = "13800005678",
        heard: str = "normal",
        wait_s: float = 12.0,
        phrases: str = "lanzhi",
        came_s: float = 0.0,
        call: str = "",
    ) -> str:
        """A call from a caller rings at this agent's phone. Returns the caller's channel."""
        self._count += 1
        caller = f"PJSIP/trunk-{self._count:08x}"
        call = call or new_call_id("bench", datetime.now(UTC))
        variables = {
            "HEARLINE_CALL": call,
            "HEARLINE_CALLER": caller,
            "HEARLINE_QUEUE": "care",
            "HEARLINE_HEARD": heard,
            "HEARLINE_QUEUED_AT": f"{time.time() - wait_s:.0f}",
            "HEARLINE_PHRASES": f"zh/{phrases}",
            "HEARLINE_CAME_AT": f"{time.time() - (came_s or wait_s):.0f}",
        }
        event = {
            "Event": "AgentCalled",
            "Channel": caller,
            "Uniqueid": f"1732500000.{self._count}",
            "CallerIDNum": number,
            "MemberName": agent,
            "Interface": f"Local/agent-{agent}@hearline-ring/n",
            "DestChannel": f"Local/agent-{agent}@hearline-ring-{self._count:08x};1",
            "ChanVariable": "\n".join(f"{name}={value}" for name, value in variables.items()),
        }
        self.do(self.states.hear, event)
        self._parties[agent] = ConnectedParties(
            caller,
            (f"PJSIP/agent-{agent}-{self._count:08x}",),
            "care",
            heard,
            answer=Answer(agent, wait_s, 3.0),
            numbers=(agent,),
            call=call,
        )
        self._ringing.add(agent)
        return caller

    def stop_ringing(self, agent: str) -> None:
        self._parties.pop(agent, None)
        self._ringing.discard(agent)
        self.do(self.states.hear, {"Event": "AgentRingNoAnswer", "MemberName": agent})

    def join(self, agent: str, **how: Any) -> None:
        """The agent answers. If no call is ringing, one comes at once."""
        if agent not in self._ringing:
            self.ring(agent, **how)
        self._ringing.discard(agent)
        self.do(self._follow)

    def clear(self) -> None:
        """Make everybody idle again, with the page served."""
        if self.closed:
            self.open()
        self.asterisk_up = self.whispers_allowed = self.keeps = True
        for agent in list(self._supervisors):
            self.be_supervisor(agent, False)
        self.earlier = []
        self._ringing.clear()
        self._parties.clear()
        self.do(self._follow)
        for agent in self.agents:
            self.do(self.states.hear, {"Event": "AgentRingNoAnswer", "MemberName": agent})
            self.do(self.states.done, agent)

    def pass_on(self, agent: str, to: str) -> None:
        """The agent transfers the caller, whose call then rings at a colleague's phone."""
        before = self._parties.pop(agent)
        self.do(self._follow)
        channel = f"PJSIP/agent-{to}-{self._count:08x}"
        self._parties[to] = replace(before, agents=(channel,), numbers=(to,))
        self._ringing.add(to)
        about = {"HEARLINE_CALLER": before.caller, "HEARLINE_QUEUE": "care", "HEARLINE_HEARD": before.heard}
        event = {
            "Event": "AgentCalled",
            "Channel": before.caller,
            "MemberName": to,
            "DestChannel": channel,
            "ChanVariable": "\n".join(f"{name}={value}" for name, value in about.items()),
            "Uniqueid": self.states.of(agent).caller.id,
        }
        self.do(self.states.hear, event)

    def hold(self, agent: str, by: Side | None = Side.AGENT) -> None:
        """Put the call on hold; with ``by`` None, end the hold."""
        parties = self._parties[agent]
        holder = {Side.AGENT: parties.agents[0], Side.CALLER: parties.caller}.get(by, "")
        self._parties[agent] = replace(parties, holder=holder)
        self.do(self._follow)

    def hang_up(self, agent: str, by: Side = Side.CALLER) -> None:
        parties = self._parties.pop(agent)
        self.do(self.talks.leaves, parties.caller if by is Side.CALLER else parties.agents[0])
        self.do(self._follow)

    def _follow(self) -> None:
        connected = [c for agent, c in self._parties.items() if agent not in self._ringing]
        self.talks.follow(connected)
        self.states.follow(connected, self.talks.of)

    def hear(self, agent: str, side: Side, dbov: float = -60.0, *events: object) -> None:
        """Report something that the ears hear on one side."""
        self.do(self.hear_now, agent, side, dbov, *events)

    def hear_now(self, agent: str, side: Side, dbov: float = -60.0, *events: object) -> None:
        """The same; call it in the server's thread."""
        parties = self._parties[agent]
        channel = parties.caller if side is Side.CALLER else parties.agents[0]
        leg = Leg(channel, side, parties.caller, PendingCall("leg", ("127.0.0.1", 1)), 0.0)
        message = LegReport("leg", 1_000, events, dbov)
        self.talks.hear(leg, message)
        self.states.hear_level(leg, message)

    def speaks(self, agent: str, side: Side, dbov: float = -24.0) -> None:
        self.hear(agent, side, dbov, SpeechStarted(1_000, 1_000))

    def stops(self, agent: str, side: Side) -> None:
        self.hear(agent, side, -62.0, SpeechEnded(2_000, 2_000))

    def too_soft(self, agent: str, side: Side = Side.CALLER) -> None:
        """A turn of 2 s that is too soft even on the raised line."""
        self.hear(agent, side, -53.0, Heard(5_000, too_soft_hearing()))

    def record(self) -> dict[str, Any]:
        """The record of the only talk."""
        self.records.settle()
        [file] = (self.folder / "state" / "talks").glob("*/*.json")
        return json.loads(file.read_text("utf-8"))


def too_soft_hearing() -> Hearing:
    return Hearing("too_soft", "soft", True, -53.0, 1.0, -70.0, 2_000, 0, 0.0, 0.9)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
