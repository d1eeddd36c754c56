"""The process of agent assist: takes Asterisk's events, keeps the legs, and helps agents in their talks. It has its own
media worker. If it fails, calls are unaffected.

    AMI events → channel graph → connected parties → legs → ears → talk sessions → AMI actions
                                                                    └──→ agents' states → interface → pages
    agents' keys → talk sessions → keys → prompts to the caller
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hearline.assist.calls.agent_states import AgentStates
from hearline.assist.calls.call_reports import CallReports
from hearline.assist.calls.channel_graph import CALLER, ChannelGraph, call_of, page_of
from hearline.assist.calls.comeback import LostPages
from hearline.assist.calls.legs import Leg, Legs
from hearline.assist.calls.member_lookup import MemberLookup
from hearline.assist.calls.phone_keeper import PhoneKeeper
from hearline.assist.calls.queue_members import MEMBERS, QueueMembers
from hearline.assist.calls.sessions import TalkSessions
from hearline.assist.calls.web_phones import WebPhones
from hearline.assist.hints.events import Key
from hearline.assist.hints.hint_store import HintStore
from hearline.assist.interface.agents import Agents
from hearline.assist.interface.interface import Interface, no_phone
from hearline.assist.interface.snapshots import Snapshots, watched_names
from hearline.assist.playback.hold_music import HoldMusic
from hearline.assist.playback.keys import Keys
from hearline.assist.playback.prompts import Prompter, Prompts
from hearline.assist.playback.recordings import Recordings
from hearline.assist.playback.volumes import Volumes
from hearline.assist.playback.whispers import Whispers
from hearline.assist.selftest.ami_rights import AmiRights
from hearline.assist.selftest.whisper_permission import AssistStatus, WhisperPermission
from hearline.assist.selftest.whisper_selftest import WhisperSelfTest
from hearline.assist.speech.recognition import Recognition
from hearline.core.files import read_text
from hearline.core.ids import new_call_id
from hearline.core.logs import about_call, shielded
from hearline.core.settings import Settings, address, socket_of
from hearline.media.worker_client import WorkerClient, WorkerDown
from hearline.media.worker_protocol import LegReport
from hearline.pbx.ami import Ami, AmiDown, AmiRefused, Message, variables
from hearline.pbx.ami_messages import proof_of
from hearline.pbx.config import KEY_EVENT
from hearline.server.child import run_child
from hearline.sounds.manifest import MANIFEST_NAME
from hearline.store.accounts import Accounts, accounts_file
from hearline.store.call_events import CALLS, TIMELINE, CallEvent, body_of, kind_of
from hearline.store.records import Records
from hearline.store.spool.appender import Appender
from hearline.yamlfiles.watched import LOOK_S, Watcher

log = logging.getLogger(__name__)

KEYS = frozenset(Key)  # see hearline-features.conf
HARMLESS = ("BridgeDestroy", "DeviceStateChange", "QueueMemberPause")  # even if forged: only reasons to ask Asterisk
LESS = "what happens in a call was not reported to the ledger"
TRANSFERERS = {"BlindTransfer": ("blind", "Transferer"), "AttendedTransfer": ("attended", "OrigTransferer")}


class Service:
    """``run`` serves until cancelled.

    Args:
        tell: passes a line to the parent process: the status, whenever it changes.
    """

    def __init__(self, settings: Settings, tell: Callable[[bytes], None]) -> None:
        self._settings, self._tell = settings, tell
        self._graph = ChannelGraph(self._new_call_id)
        secret = read_text(settings.ami_secret_file).strip()
        where = address(settings.ami)
        self._ami = Ami(
            where,
            settings.ami_user,
            secret,
            self._on_event,
            self._take_stock,
            self._on_down,
            self._vouch,
            self._prepare,
        )
        self._members = QueueMembers()
        self._lookup = MemberLookup(self._ami, self._members, self._member_found)
        self._proof = proof_of(secret)
        self._line = WorkerClient(settings.legs, settings.allow, on_reports=self._from_the_worker)
        recordings = Recordings(settings.sounds)
        self._whispers = Whispers(recordings, settings.whisper_tick)
        self._prompter = Prompter(self._ami, self._line)
        self._lost_pages = LostPages()
        self._hold_music = HoldMusic(self._prompter, recordings, self._lost_pages.alone)
        hints = HintStore(settings.flows / "hints", self._whispers.known, [settings.sounds / MANIFEST_NAME])
        accounts, names = Accounts(accounts_file(settings.state)), watched_names(settings.sounds)
        looks = {"sounds": recordings.look, "hints": hints.look, "accounts": accounts.watched.look, "names": names.look}
        self._watcher = Watcher(looks)
        self._volumes = Volumes(settings.state / "page" / "volumes.json")
        self._agents = Agents(settings, self._graph.number)
        prompts = Prompts(recordings)
        keys = Keys(self._ami, prompts, self._prompter, self._say, self._confirm, self._supervisor_there)
        self._records = Records(settings.state / "talks", settings.calendar, also=self._report_timeline)
        self._spool = Appender(settings.spool / "assist")
        self._reports = CallReports(self._report, self._graph.call, self._graph.number)
        self._talks = TalkSessions(self._ami, hints, self._whisper, self._records, keys.press, self._agents.see)
        self._legs = Legs(self._ami, self._line, self._overheard)
        self._selftest = WhisperSelfTest(self._ami, self._line)
        self._permission = WhisperPermission(self._ami, self._selftest, self._told)
        states = self._agents.states
        states.call = self._graph.call
        snapshots = Snapshots(
            states,
            lambda: hints.book,
            lambda: names.value,
            self._volumes,
            self._whispers.pcm,
            accounts,
            lambda: self._ami.up,
            lambda: self._permission.allowed,
        )
        phones = WebPhones(lambda agent: states.changed(agent))
        snapshots.phone = phones.view
        self._phones = PhoneKeeper(self._ami, phones, lambda: accounts.watched.value) if settings.phone else None
        password = self._phones.password if self._phones else no_phone
        socket = socket_of(settings.state)
        self._interface = Interface(socket, states, self._talks, snapshots, self._volumes, accounts, password)
        self._report_too(states)
        self._hints, self._status = hints, AssistStatus()
        self._rights = AmiRights(self._ami, self._line, secret, self._permission.lacks, self._lookup.without_phone)
        self._lookup.open_changed = self._rights.check
        self._recognition = None
        if settings.recogniser_model:
            model, most = settings.recogniser_model, settings.recogniser_legs
            self._recognition = Recognition(model, most, hints, self._legs, self._line.pass_on, self._talks.spoken)

    def _new_call_id(self) -> str:
        call = new_call_id(self._settings.site, datetime.now(UTC))
        with about_call(call):
            log.warning(
                "a caller came without a valid call id, or with another caller's, and gets this one: is HEARLINE_CALL "
                "among manager.conf's channelvars?"
            )
        return call

    def _report_too(self, states: AgentStates) -> None:
        """Have the ledger know as well what the interface is told."""
        changed, recorded = states.changed, self._talks.recorded

        def changed_too(agent: str) -> None:
            changed(agent)
            with shielded(log, LESS):
                self._reports.see(states.of(agent))

        def recorded_too(call: str, event: dict[str, Any]) -> None:
            recorded(call, event)
            with shielded(log, LESS):
                self._reports.recorded(call, event)

        states.changed, self._talks.recorded = changed_too, recorded_too

    def _report(self, call: str, event: CallEvent, at_ms: int) -> None:
        self._spool.append(call, kind_of(event), body_of(event), at_ms)

    def _report_timeline(self, call: str, record: Mapping[str, Any]) -> None:
        with shielded(log, LESS):
            self._spool.append(call, TIMELINE, record, round(time.time() * 1_000), spare=True)

    def _told(self, status: AssistStatus) -> None:
        """Report the status: Asterisk's part, and the rest."""
        self._status = self._with_the_rest(status)
        self._tell(self._status.as_line())

    def _with_the_rest(self, status: AssistStatus) -> AssistStatus:
        """The status with what concerns our files and the recogniser."""
        stuck, _ = self._watcher.stuck or ("", 0.0)
        failed = self._recognition.failed if self._recognition else ""
        return replace(status, rejected_hints=self._hints.rejected, files_stuck=stuck, no_recogniser=failed)

    async def _tell_of_the_rest(self) -> None:
        while True:
            if self._with_the_rest(self._status) != self._status:
                self._told(self._status)
            await asyncio.sleep(LOOK_S)

    def _whisper(self, channel: str, what: tuple[str, int] | None) -> bool:
        if what is None:
            return self._say(channel, b"")
        whisper, level_db = what
        level_db += self._volumes.of(self._graph.number(channel))
        return self._say(channel, self._whispers.pcm(whisper, level_db))

    def _confirm(self, channel: str, whisper: str) -> None:
        self._whisper(channel, (whisper, 0))

    def _supervisor_there(self, agent: str) -> bool:
        return self._interface.supervisor_there(agent)

    def _say(self, channel: str, pcm: bytes) -> bool:
        """Play 16-bit samples at 8 kHz to the agent on this channel alone. Returns True if they are played."""
        leg = self._legs.on(channel)
        if leg is None or (pcm and not self._permission.allowed):
            return False
        self._line.say(leg.media.uuid, pcm)
        return True

    async def run(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            await asyncio.to_thread(self._line.start)
        except WorkerDown as error:
            log.error("%s (HEARLINE_LEGS says where it listens)", error)
            return
        self._watcher.start()
        self._records.start()
        self._spool.start()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._ami.run())
                tasks.create_task(self._legs.keep())
                tasks.create_task(self._talks.work())
                tasks.create_task(self._permission.keep())
                tasks.create_task(self._rights.keep())
                tasks.create_task(self._interface.run())
                tasks.create_task(self._tell_of_the_rest())
                if self._phones:
                    tasks.create_task(self._phones.keep())
                if self._recognition:
                    tasks.create_task(self._recognition.keep())
        finally:
            self._watcher.stop()
            self._legs.let_go()
            await asyncio.to_thread(self._line.stop)
            await asyncio.to_thread(self._agents.close)
            await asyncio.to_thread(self._records.close)
            await asyncio.to_thread(self._spool.close)

    async def _take_stock(self) -> None:
        """Take stock after a login: calls may have come, ended or moved meanwhile."""
        await self._rights.require("reporting")
        try:
            await self._lookup.take_all()
        except (AmiRefused, AmiDown) as error:
            log.warning("cannot list the queues' members, so an agent's phone is known only once it rings: %s", error)
        channels = await self._ami.ask_list("CoreShowChannels")
        self._graph.reset(channels, await self._ami.ask_list("BridgeList"))
        for channel in self._graph.connected():
            if await self._holds(channel):
                self._graph.hear({"Event": "Hold", "Channel": channel})
        self._agents.reset(channels)
        with shielded(log, LESS):
            self._reports.reset(channels)
            here = sorted({call_of(variables(channel)) for channel in channels} - {""})
            self._spool.append("", CALLS, {"site": self._settings.site, "calls": here}, round(time.time() * 1_000))
        self._changed()
        if self._phones:
            self._phones.logged_in()
        await self._permission.logged_in()
        if not self._ami.up:
            self._rights.check()

    def _member_found(self, told: Message) -> None:
        if self._graph.hear(told) and self._ami.up:  # at a login, the channels are not known yet
            self._changed()

    async def _holds(self, channel: str) -> bool:
        """True if this phone has put the other on hold. Only PJSIP can be asked; of other channels, only holds that
        begin after the login are known."""
        try:
            return (await self._ami.ask("Getvar", Channel=channel, Variable="CHANNEL(rtp,hold)")).get("Value") == "1"
        except (AmiRefused, AmiDown):  # it has just hung up
            return False

    def _on_down(self) -> None:
        self._permission.logged_out()

    async def _prepare(self, event: Message) -> None:
        await self._lookup.before(event)

    def _on_event(self, event: Message) -> None:
        self._rights.hear(event)
        if self._phones:
            self._phones.hear(event)
        for told in self._members.translate(event):
            self._take_in(told)

    def _take_in(self, event: Message) -> None:
        channel = event.get("Channel", "")
        if event["Event"] in ("HangupRequest", "SoftHangupRequest"):
            if event["Event"] == "HangupRequest" or not page_of(channel):  # a lost page has not hung up
                self._talks.leaves(channel)
        elif event["Event"] in TRANSFERERS:
            self._transferred(event)
        elif event["Event"] == "UserEvent":
            self._key_pressed(channel, event)
        moved = self._graph.hear(event)
        self._agents.hear(event)  # after the graph, which knows the calls' ids
        with shielded(log, LESS):
            self._reports.hear(event)
        if moved:
            self._changed()

    async def _vouch(self, event: Message) -> bool:
        """Check an event that came without proof, by asking Asterisk. Returns True if it is true. Raises AmiDown."""
        try:
            match event["Event"]:
                case "Rename":
                    known = self._graph.unique_id(event["Channel"])
                    return not known or known == event["Uniqueid"] == await self._unique_id(event["Newname"])
                case kind if kind in MEMBERS:
                    return await self._lookup.is_true(event)
        except (AmiRefused, KeyError, ValueError):
            return False
        return event["Event"] in HARMLESS

    async def _unique_id(self, channel: str) -> str:
        return (await self._ami.ask("Getvar", Channel=channel, Variable="UNIQUEID")).get("Value", "")

    def _key_pressed(self, channel: str, event: Message) -> None:
        proven = hmac.compare_digest(event.get("Proof", "").encode(), self._proof.encode())
        if event.get("UserEvent") == KEY_EVENT and event.get("Key") in KEYS and proven:
            self._talks.press(channel, Key(event["Key"]))

    def _transferred(self, event: Message) -> None:
        how, who = TRANSFERERS[event["Event"]]
        caller, by = variables(event, who).get(CALLER, ""), event.get(f"{who}Channel", "")
        match how, event.get("Result"):
            case _, "Success":
                self._talks.transferred(caller, by, how)
            case "blind", "Fail":
                self._talks.pass_on(caller, by, event.get("Context", ""), event.get("Extension", ""))

    def _changed(self) -> None:
        connected = self._graph.talks()
        self._talks.follow(connected)
        self._legs.want(connected)
        self._lost_pages.follow(connected)
        self._hold_music.follow(connected)
        with shielded(log, LESS):  # before the agents, whose work after the call begins now
            self._reports.follow(connected)
        self._agents.follow(connected, self._talks.of)

    def _overheard(self, leg: Leg, message: LegReport) -> None:
        self._talks.hear(leg, message)
        self._agents.hear_level(leg, message)
        if self._lost_pages.hear(leg.channel, message.missing_ms):
            self._hold_music.follow(self._graph.talks())

    def _from_the_worker(self, reports: Sequence[LegReport]) -> None:
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._heard, reports)

    def _heard(self, reports: Sequence[LegReport]) -> None:
        for report in reports:
            if not self._legs.hear(report):
                self._prompter.hear(report)
                self._selftest.hear(report)


def main() -> None:
    """Entry of the assist process; started by ``hearline serve``, not by people."""
    run_child(lambda settings, tell: Service(settings, tell).run())


if __name__ == "__main__":
    main()
