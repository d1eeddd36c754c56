"""The current talks: hints, gain, transfers and other actions for each, and its record."""

from __future__ import annotations

import asyncio
import logging
import math
import re
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from hearline.assist.calls.channel_graph import Answer, ConnectedParties
from hearline.assist.calls.comeback import comes_back, equip
from hearline.assist.calls.legs import Leg
from hearline.assist.calls.playing import Playing
from hearline.assist.hints import events as e
from hearline.assist.hints.engine import Holds
from hearline.assist.hints.events import Key, Side
from hearline.assist.hints.hint_store import HintStore
from hearline.assist.hints.runner import HintRunner
from hearline.audio.hearing import Heard, Hearing, SpeechEnded, SpeechStarted
from hearline.audio.level.gain import gain_factor, line_gain_db, verdict_when_raised
from hearline.core.channel_names import shown
from hearline.core.logs import about_call
from hearline.media.monitor_session import SoundCame
from hearline.media.transport import FRAME_MS
from hearline.media.worker_protocol import LegReport
from hearline.pbx.ami import Ami, AmiDown, AmiRefused
from hearline.pbx.confirm import Unconfirmed, confirm, transfer_context
from hearline.store.records import Kept, Records

log = logging.getLogger(__name__)

MOST_GAIN_DB = 9
LEAST_SPEECH_MS = 2_000  # a level that rests on less speech is not acted on
LEAST_CHANGE_DB = 3  # smaller corrections after every sentence would make the level waver
RING_S = 5.0  # from one ring to the next
WHISPER_S = 3.0  # length of the whisper before the join, which the queue counts as ringing
MOST_EVENTS = 5_000  # of a talk; one of an hour has some hundreds
VOLUME = "VOLUME(RX)"
EXTENSION = re.compile(r"[0-9A-Za-z*#+_.-]{1,79}")


@dataclass(frozen=True)
class HelpCall:
    """An agent's request for a supervisor. ``by``, ``coming``: work numbers of the agent and of the supervisor who
    accepted, '' until one does. ``at``: s since 1970."""

    by: str
    at: float
    coming: str = ""


@dataclass
class TalkSession:
    """One caller's talk, whoever they are connected with."""

    parties: ConnectedParties
    began: float = field(default_factory=time.monotonic)  # s
    began_at: datetime = field(default_factory=partial(datetime.now, UTC))
    call: str = ""  # the call's id
    answered_by: tuple[str, ...] = ()  # channels
    gains_db: dict[str, int] = field(default_factory=dict)  # by channel, where known
    listened_to: set[str] = field(default_factory=set)  # channels
    runners: dict[str, HintRunner] = field(default_factory=dict)  # by the agent's channel
    holds: Holds = Holds()
    help: HelpCall | None = None
    left_first: Side | None = None  # the side that hung up first
    handed_over: bool = False  # the agent is free, and the caller hears the prompts for nuisance calls
    played: dict[Key, int] = field(default_factory=dict)  # how often the caller has heard a key's prompt to its end
    playing: Playing | None = None  # the prompt that a key started last; it may be over
    hears: Key | None = None  # the key whose prompt the caller hears now
    callback: bool = False  # an agent has marked the call for a callback
    kept: Kept | None = None  # the record in the store, once the talk is over
    events: list[dict[str, Any]] = field(default_factory=list)  # after `MOST_EVENTS`, only the last of each kind
    left_out: int = 0  # events
    changed: Callable[[TalkSession], None] = lambda _talk: None
    recorded: Callable[[str, dict[str, Any]], None] = lambda _call, _what: None

    @property
    def now_ms(self) -> int:
        return round((time.monotonic() - self.began) * 1_000)

    def add(self, event: str, **what: object) -> None:
        """Add an event to the record. ``channel`` and ``agents`` are names of channels, and recorded as they may be
        shown."""
        if isinstance(channel := what.get("channel"), str):
            what["channel"] = shown(channel)
        if isinstance(agents := what.get("agents"), tuple):
            what["agents"] = tuple(map(shown, agents))
        added = {"at_ms": self.now_ms, "event": event, **what}
        if len(self.events) >= MOST_EVENTS:
            others = [one for one in self.events[MOST_EVENTS:] if one["event"] != event]
            self.left_out += len(self.events) - MOST_EVENTS - len(others)
            self.events[MOST_EVENTS:] = others
        self.events.append(added)
        self.changed(self)
        self.recorded(self.call, added)

    def work_number(self, channel: str) -> str:
        """The work number of the agent on this channel; '' if no queue has reported it."""
        of_answer = self.parties.answer.agent_id if channel in self.answered_by else ""
        return self.parties.number(channel) or of_answer

    def tell(self, event: e.Event) -> None:
        """Pass an event to the hints of all agents in this talk."""
        for runner in self.runners.values():
            runner.hear(event)

    def record(self) -> dict[str, Any]:
        """The record for the store, without personal data."""
        return {
            "call": self.call,
            "talk": 0,  # the number of this talk in the call, which is set when the record is written
            "queue": self.parties.queue,
            "caller": shown(self.parties.caller),
            "began_at": self.began_at.isoformat(timespec="milliseconds"),
            "holds": {
                "count": self.holds.count,
                "not_asked": self.holds.not_asked,
                "total_ms": self.holds.total_ms,
                "longest_ms": self.holds.longest_ms,
                "longest_by": self.holds.longest_by,
            },
            "events": list(self.events),  # a copy, since more events may come while it is written
            **({"left_out": self.left_out} if self.left_out else {}),
        }


class TalkSessions:
    """Follows the talks. ``work`` must run beside it: it carries out the requests to Asterisk.

    Args:
        hints: the rules; None: no hints.
        whisper: plays the whisper (id, level in dB) to the agent on a channel; None stops it. Returns True if it is
            played.
        kept: the records, one JSON file per talk, by day; no personal data.
        do: carries out a key, given the talk, the agent's channel and the key.
        changed: called with a talk when something that its agents see has changed.

    ``recorded`` is called with the call's id and each event that is added to a talk's record.
    """

    def __init__(
        self,
        ami: Ami,
        hints: HintStore | None,
        whisper: Callable[[str, tuple[str, int] | None], bool],
        kept: Records,
        do: Callable[[TalkSession, str, Key], None] = lambda *_: None,
        changed: Callable[[TalkSession], None] = lambda _talk: None,
    ) -> None:
        self._ami, self._hints, self._whisper, self._records, self._do = ami, hints, whisper, kept, do
        self._changed = changed
        self.recorded: Callable[[str, dict[str, Any]], None] = lambda _call, _what: None
        self._talks: dict[str, TalkSession] = {}  # by the caller's channel
        self._to_do: asyncio.Queue[tuple[str, Callable[[], Awaitable[None]]]] = asyncio.Queue()  # with the call's id

    # ---- talks begin, change and end --------------------------------------------------------------------------------
    def follow(self, connected: Iterable[ConnectedParties]) -> None:
        """Take over all parties that are connected now: begin, update and end talks accordingly."""
        present = {parties.caller: parties for parties in connected}
        for caller in self._talks.keys() - present.keys():
            self._end(self._talks.pop(caller))
        for caller, parties in present.items():
            talk = self._talks.get(caller)
            if talk is None:
                if parties.agents:
                    self._begin(parties)
            elif talk.handed_over and not parties.agents:  # a caller who comes back to an agent begins another talk
                self._end(self._talks.pop(caller))
            elif parties != talk.parties:
                with about_call(talk.call):
                    self._moved(talk, parties)

    def _begin(self, parties: ConnectedParties) -> None:
        call = parties.call
        with about_call(call):
            talk = TalkSession(
                parties,
                call=call,
                answered_by=parties.agents,
                changed=self._changed,
                recorded=lambda call, what: self.recorded(call, what),
            )
            self._talks[parties.caller] = talk
            talk.add(
                "joined",
                queue=parties.queue,
                heard=parties.heard,
                agents=parties.agents,
                picked_up=parties.picked_up,
            )
            self._run_hints(talk, parties.picked_up)
            if parties.holder:
                self._hold(talk, picked_up=True)

    def _moved(self, talk: TalkSession, now: ConnectedParties) -> None:
        before, talk.parties = talk.parties, now
        if now.agents != before.agents:
            talk.add("agents", agents=now.agents)
            for old, new in comes_back(before, now):
                self._come_back(talk, old, new)
            if set(before.agents) - set(now.agents):
                talk.tell(e.SpeechEnded(Side.AGENT))  # the agent may have left in the middle of a word
            self._run_hints(talk)
        for agent in now.agents:
            if (agent in now.consulting) != (agent in before.consulting):
                self._consults(talk, agent, agent in now.consulting)
        if talk.help and talk.help.by not in map(talk.work_number, now.agents):
            talk.help = None  # the agent who asked has left
        if now.holder != before.holder:
            if before.holder:
                self._unhold(talk)
            if now.holder:
                self._hold(talk)
        self._changed(talk)

    def _come_back(self, talk: TalkSession, old: str, new: str) -> None:
        """The agent's phone was lost and has taken the call back: it is the same agent in the same talk, with the same
        hints and the same gain."""
        talk.add("came_back", channel=new)
        talk.answered_by = tuple(new if channel == old else channel for channel in talk.answered_by)
        if runner := talk.runners.pop(old, None):
            talk.runners[new] = runner
            runner.move(partial(self._whisper, new))
        gain = talk.gains_db[new] = talk.gains_db.get(old, 0)
        self._to_do.put_nowait((talk.call, partial(self._equip, talk, new, gain)))

    def _hold(self, talk: TalkSession, picked_up: bool = False) -> None:
        by, number = talk.parties.held_by, talk.work_number(talk.parties.holder)
        talk.holds = talk.holds.began(talk.now_ms, number or str(by))
        talk.add("hold", by=by)
        talk.tell(e.Hold(by, number, picked_up))

    def _unhold(self, talk: TalkSession) -> None:
        talk.holds = talk.holds.ended(talk.now_ms)
        talk.add("unhold")
        talk.tell(e.Unhold())

    def _consults(self, talk: TalkSession, agent: str, begins: bool) -> None:
        """An agent has called a third party, as at the start of an attended transfer, or has ended that call."""
        talk.add("transfer_began" if begins else "transfer_given_up", channel=agent)
        if runner := talk.runners.get(agent):
            runner.hear(e.TransferBegan() if begins else e.TransferGivenUp())

    def transferred(self, caller: str, by: str, how: str) -> None:
        """The agent on the channel ``by`` has transferred the caller. ``how``: ``blind`` or ``attended``."""
        if talk := self._talks.get(caller):
            talk.add("transferred", channel=by, how=how)
            if how == "blind" and (runner := talk.runners.get(by)):
                runner.hear(e.TransferBegan())

    def pass_on(self, caller: str, by: str, context: str, exten: str) -> None:
        """Carry out a blind transfer that failed in Asterisk. Asterisk looks up the agent's peer in the bridge, which a
        softmix bridge does not provide (`ast_bridge_peer`, up to 22.10 at least). So we redirect the caller ourselves,
        after Asterisk has confirmed that the two are connected and that this agent's transfers go to that context."""
        talk = self._talks.get(caller)
        if talk and talk.parties.agents == (by,):
            self._to_do.put_nowait((talk.call, partial(self._pass_on, talk, by, context, exten)))

    def leaves(self, channel: str) -> None:
        """The party on this channel hangs up. Of several agents only the last one ends the call. Hang-ups between a
        caller and an outside party are not recorded."""
        for talk in self._talks.values():
            here = talk.parties
            if here.others and not here.agents:
                continue
            last = channel == here.caller or here.agents == (channel,)
            if last and talk.left_first is None and not talk.handed_over:
                talk.left_first = Side.CALLER if channel == here.caller else Side.AGENT
                talk.add("hung_up", side=talk.left_first)
                talk.tell(e.HungUp(talk.left_first))

    def _run_hints(self, talk: TalkSession, picked_up: bool = False) -> None:
        """Keep one hint runner for each agent who is in the talk."""
        parties = talk.parties
        for channel in talk.runners.keys() - set(parties.agents):
            self._dismiss(talk, channel)
        book = self._hints and self._hints.book
        if book is None:
            return
        for channel in parties.agents:
            if channel not in talk.runners:
                joined = _joined(parties, channel, picked_up, channel in talk.answered_by)
                rules = book.rules
                talk.runners[channel] = HintRunner(
                    rules, joined, partial(self._whisper, channel), partial(self._note_hint, talk)
                )

    def _dismiss(self, talk: TalkSession, channel: str) -> None:
        runner = talk.runners.pop(channel)
        runner.close()
        talk.add("hints", counts=runner.figures.by_rule)

    @staticmethod
    def _note_hint(talk: TalkSession, action: e.Action) -> None:
        noted = e.as_dict(action)
        if isinstance(action, e.NotAsked):
            talk.holds = replace(talk.holds, not_asked=talk.holds.not_asked + 1)
        talk.add(noted.pop("action"), **noted)

    # ---- what an agent does ----------------------------------------------------------------------------------------
    def of(self, caller: str) -> TalkSession | None:
        """The talk of the caller on this channel; None if there is none."""
        return self._talks.get(caller)

    def press(self, channel: str, key: Key) -> None:
        """The agent on this channel has pressed a key, on the phone or on the page. Does nothing if the talk on this
        channel is over."""
        for talk in self._talks.values():
            if channel in talk.parties.agents and not talk.handed_over:
                talk.add("key", key=key, by=talk.work_number(channel))
                if channel in talk.runners:
                    talk.runners[channel].hear(e.KeyPressed(key))
                with about_call(talk.call):
                    self._do(talk, channel, key)
                self._changed(talk)

    def promise(self, talk: TalkSession, ms: int, by: str) -> None:
        """The agent with this work number has promised the caller a hold of this length, for the present hold or the
        next one."""
        talk.holds = replace(talk.holds, promised_ms=ms)
        talk.add("promised", ms=ms, by=by)

    def come(self, talk: TalkSession, supervisor: str) -> None:
        """The supervisor with this work number accepts the agent's request; the first one to accept counts."""
        if talk.help and not talk.help.coming:
            talk.help = replace(talk.help, coming=supervisor)
            talk.add("supervisor_coming", by=supervisor)

    def not_coming(self, talk: TalkSession) -> None:
        """Whoever accepted the request can no longer come: it is open again."""
        if talk.help and talk.help.coming:
            talk.add("supervisor_not_coming", by=talk.help.coming)
            talk.help = replace(talk.help, coming="")
            talk.changed(talk)

    def tell_agent(self, channel: str, event: e.Event) -> None:
        """Pass an event to the hints of the agent on this channel only."""
        for talk in self._talks.values():
            if runner := talk.runners.get(channel):
                runner.hear(event)

    def add_to(self, talk: TalkSession, event: str, **what: object) -> None:
        """Add an event to the record of a talk, whether it goes on or is over. Does nothing if it only repeats the last
        one of its kind."""
        last = next((one for one in reversed(talk.events) if one["event"] == event), None)
        if last and last == {"at_ms": last["at_ms"], "event": event, **what}:
            return
        talk.add(event, **what)
        if talk.kept:
            self._records.write(talk.kept, talk.record())

    # ---- what is heard ----------------------------------------------------------------------------------------------
    def hear(self, leg: Leg, message: LegReport) -> None:
        """Take in a report of a leg."""
        talk = self._talks.get(leg.caller)
        if talk is None:
            return
        if message.at_ms == 0:
            talk.tell(e.SpeechEnded(leg.side))  # the leg before this one may have broken in the middle of a word
        if message.at_ms == 0 or leg.channel not in talk.listened_to:
            talk.listened_to.add(leg.channel)
            talk.add("leg", side=leg.side, channel=leg.channel)
            self._to_do.put_nowait((talk.call, partial(self._ask_gain, talk, leg.channel)))
        for event in message.events:
            match event:
                case SoundCame():
                    talk.add("sound", side=leg.side, channel=leg.channel)
                case SpeechStarted(at_ms, onset_ms):
                    talk.tell(e.SpeechStarted(leg.side, _frames(at_ms - onset_ms)))
                case SpeechEnded(at_ms, end_ms):
                    talk.tell(e.SpeechEnded(leg.side, _frames(at_ms - end_ms)))
                case Heard(hearing=hearing):
                    self._judge(talk, leg, hearing)

    def spoken(self, leg: Leg, group: str) -> None:
        """A recogniser heard a phrase of this group on a leg."""
        if talk := self._talks.get(leg.caller):
            talk.add("spoken", side=leg.side, group=group)
            talk.tell(e.Spoken(group, leg.side))

    def _judge(self, talk: TalkSession, leg: Leg, hearing: Hearing) -> None:
        """Judge the level of a side. A soft agent's line is raised first, and the hints see the level as raised. A soft
        caller's line was raised by the IVR, as far as the flow's profile allows. The ears hear the line before its
        gain, so a gain does not change the next verdict."""
        level = hearing.active_level_dbov
        if level is None:
            return
        gain = talk.gains_db.get(leg.channel)
        if leg.side is Side.AGENT and gain is not None and hearing.speech_ms >= LEAST_SPEECH_MS:
            needed = line_gain_db(hearing, MOST_GAIN_DB)
            if abs(needed - gain) >= LEAST_CHANGE_DB:
                gain = talk.gains_db[leg.channel] = needed
                talk.add("agent_gain", channel=leg.channel, gain_db=gain, level_dbov=round(level, 1))
                self._to_do.put_nowait((talk.call, partial(self._set_gain, talk, leg.channel, gain)))
        too_soft = verdict_when_raised(hearing, gain or 0) == "too_soft"
        talk.tell(e.LevelHeard(leg.side, too_soft, round(level, 1) + (gain or 0), hearing.speech_ms))

    # ---- requests to Asterisk ---------------------------------------------------------------------------------------
    async def work(self) -> None:
        """Carry out requests to Asterisk, until cancelled. Each has its own task, so that no call waits for another."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                call, do = await self._to_do.get()
                tasks.create_task(self._work_on(call, do))

    @staticmethod
    async def _work_on(call: str, do: Callable[[], Awaitable[None]]) -> None:
        with about_call(call):
            try:
                await do()
            except Exception:
                log.exception("a request to Asterisk failed for a talk; the talk goes on")

    async def _pass_on(self, talk: TalkSession, by: str, context: str, exten: str) -> None:
        caller = talk.parties.caller
        try:
            await confirm(self._ami, caller, by)
            if not EXTENSION.fullmatch(exten) or context != await transfer_context(self._ami, by):
                raise Unconfirmed("this agent's transfers do not go to that context")
            await self._ami.ask("Setvar", Channel=caller, Variable="BLINDTRANSFER", Value=by)
            await self._ami.ask("Redirect", Channel=caller, Context=context, Exten=exten, Priority="1")
        except (AmiDown, AmiRefused, ValueError) as error:
            log.warning("a caller was not transferred and stays with the agent: %s", error)
        else:
            self.transferred(caller, by, "blind")

    async def _ask_gain(self, talk: TalkSession, channel: str) -> None:
        """Ask for a line's present gain: the IVR may have raised it, or we before a restart."""
        try:
            factor = (await self._ami.ask("Getvar", Channel=channel, Variable=VOLUME)).get("Value", "")
            talk.gains_db.setdefault(channel, _decibels(factor))
        except (AmiDown, AmiRefused) as error:
            log.warning("cannot read a line's gain: %s", error)

    async def _equip(self, talk: TalkSession, channel: str, gain_db: int) -> None:
        if gain_db:
            await self._set_gain(talk, channel, gain_db)
        try:
            await equip(self._ami, talk.parties.caller, channel)
        except (AmiDown, AmiRefused, ValueError) as error:
            log.warning("an agent is back in a talk, but whom they call about it will not be told: %s", error)

    async def _set_gain(self, talk: TalkSession, channel: str, gain_db: int) -> None:
        try:
            await confirm(self._ami, talk.parties.caller, channel)
            await self._ami.ask("Setvar", Channel=channel, Variable=VOLUME, Value=f"{gain_factor(gain_db):.3f}")
        except (AmiDown, AmiRefused) as error:
            log.warning("a line could not be raised: %s", error)
            talk.gains_db[channel] = 0
            talk.add("gain_refused", channel=channel)

    def _end(self, talk: TalkSession) -> None:
        if talk.playing:
            talk.playing.task.cancel()
        for channel in list(talk.runners):
            self._dismiss(talk, channel)
        if talk.holds.since_ms is not None:
            talk.holds = talk.holds.ended(talk.now_ms)
        talk.add("ended")
        talk.kept = Kept(talk.call, number_as="talk")
        self._records.write(talk.kept, talk.record())


def _joined(parties: ConnectedParties, agent: str, picked_up: bool, first: bool) -> e.Joined:
    """How the talk begins for this agent: answered from the queue (also in place of a colleague whose phone rang), or
    transferred by another agent."""
    answer, number = parties.answer, parties.number(agent)
    if number and number != answer.agent_id:
        answer = replace(answer, agent_id=number) if first else Answer(number)
    return e.Joined(
        queue=parties.queue,
        wait_s=answer.wait_s,
        rang=1 + int(max(0.0, answer.ring_s - WHISPER_S) // RING_S),
        heard=parties.heard or "unknown",
        agent_id=answer.agent_id,
        picked_up=picked_up,
    )


def _frames(ms: int) -> int:
    return max(0, ms) // FRAME_MS * FRAME_MS


def _decibels(factor: str) -> int:
    """``VOLUME(RX)`` in whole dB; 0 if it is not set."""
    try:
        value = float(factor)
    except ValueError:
        return 0
    return round(20 * math.log10(value)) if value > 0 else 0
