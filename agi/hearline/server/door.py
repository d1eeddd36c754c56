"""The Hearline server: puts together FastAGI, the media workers, the flows, the status page and the child processes.

Asterisk ─AGI─▶ scripts ─announce─▶ line (worker process) ─result─▶ scripts ─variables─▶ dialplan
"""

from __future__ import annotations

import functools
import logging
import os
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from hearline.call.entry import utc
from hearline.core.channel_names import shown
from hearline.core.files import hold
from hearline.core.logs import shielded
from hearline.core.peers import parse_networks
from hearline.core.settings import Settings, address
from hearline.media.worker_client import WorkerDown
from hearline.media.worker_pool import WorkerPool
from hearline.media.worker_protocol import Finished
from hearline.pbx.fastagi import FastAgiServer
from hearline.server.child_process import ChildProcess
from hearline.server.flow_store import Flows, FlowStore
from hearline.server.scripts import alive, hotline
from hearline.server.service_manager import keep_beating, notify
from hearline.server.status import serve_status
from hearline.sounds.prompt_store import PromptStore, prompt_keys
from hearline.store.call_events import TIMELINE, Caller, CallEvent, Enqueued, Visit, body_of, kind_of
from hearline.store.earlier_calls import EarlierCalls
from hearline.store.records import Kept, Records
from hearline.store.spool.appender import Appender
from hearline.store.writer import Writer
from hearline.yamlfiles.watched import Watcher

log = logging.getLogger(__name__)

ENDING = 500  # further AGI sessions, for calls that the workers have finished or refused
SETTLE_S = 2.0  # for the AGI scripts to end when the server stops
CALLERS_S = 1.0  # to report the last callers when the server stops
UNREPORTED = "a visit to the IVR was not reported to the ledger"
LOST = "queue:lost_media"  # the outcome of a visit whose media connection broke
FILES_S = 3.0  # for reading the flows and their prompts; after that, calls are accepted and go to the queue


class Door:
    """Start with ``start`` (or as a context manager), end with ``stop``."""

    def __init__(self, settings: Settings, always_open: bool = False) -> None:
        self._settings = settings
        self._records = Records(settings.state / "calls", settings.calendar)
        self._spool = Appender(settings.spool / "door")
        self._callers = Writer("callers")
        self._earlier = EarlierCalls(settings.state / "callers", settings.earlier_calls_days, settings.home)
        media = address(settings.media)
        self.line = WorkerPool(media, settings.workers, settings.allow, self._keep_record)
        self.prompts = PromptStore(settings.sounds, self.line.load)
        self.flows = FlowStore(settings.flows, settings.sounds, settings.zone, home=settings.home)
        self.flows.prepare = self._prepare
        self.watcher = Watcher({"flows": self.flows.look, "prompts": self.prompts.look})
        scripts = {
            "hotline": functools.partial(
                hotline.serve,
                site=settings.site,
                flows=self.flows,
                line=self.line,
                lost=self._note_lost_media,
                over=self._note_call,
                begun=self._note_caller,
                always_open=always_open,
            ),
            "alive": functools.partial(alive.serve, line=self.line),
        }
        self._agi_address = address(settings.agi)
        self._scripts, self._networks = scripts, parse_networks(settings.allow)
        self._status_address = address(settings.status)
        self._assist = self._page = None
        self._ledger = ChildProcess("hearline.server.ledger", "the ledger", settings)
        if settings.ami:
            self._assist = ChildProcess("hearline.server.assist", "agent assist", settings)
            self._page = ChildProcess("hearline.server.page", "the agents' page", settings)

    def start(self) -> None:
        """Raises WorkerDown or OSError (an address, or the folder of the state, in use)."""
        self._settings.state.mkdir(parents=True, exist_ok=True)
        try:
            self._held = hold(self._settings.state / ".server.lock")
        except BlockingIOError:
            raise OSError(f"HEARLINE_STATE: another server uses {self._settings.state}; give each its own") from None
        self._records.folder.mkdir(parents=True, exist_ok=True)
        self._records.start()
        self._spool.start()
        self._callers.start()
        self._earlier.start()
        if not self.watcher.start(FILES_S):
            log.error("the flows cannot be read just now: calls go straight to the queue until they can")
        try:
            self.line.start()
        except WorkerDown as error:
            raise WorkerDown(f"{error} (HEARLINE_MEDIA says where it listens)") from None
        setting, where = "HEARLINE_AGI", self._agi_address
        try:
            sessions = {"hotline": self.line.capacity + ENDING}
            self._agi = FastAgiServer(where, self._scripts, self._networks, sessions)
            setting, where = "HEARLINE_STATUS", self._status_address
            beside = self._assist, self._page, self._ledger
            self._status = serve_status(where, self.line, self.flows, self.prompts, self.watcher, *beside)
        except OSError as error:
            self.line.stop()
            raise OSError(f"{setting}: cannot listen on {where[0]}:{where[1]}: {error.strerror}") from None
        for child in filter(None, (self._assist, self._page, self._ledger)):
            child.start()
        self._agi.serve_in_thread()

    def accepts(self) -> bool:
        """True while new calls are accepted."""
        return self._agi.accepts

    def stop(self) -> None:
        """Send the callers in the IVR to the queue, and end. What takes longer comes afterwards: the guard would notice
        meanwhile that nobody answers, and take the callers from the scripts, which then could not record where they
        went."""
        self._agi.shutdown()
        self._agi.server_close()
        self.line.stop()
        if not self._agi.settle(SETTLE_S):
            log.warning("not all AGI scripts have ended: some callers' records do not say where they went")
        self.watcher.stop()
        self._status.shutdown()
        self._status.server_close()
        for child in filter(None, (self._page, self._assist)):
            child.stop()
        self._callers.close(CALLERS_S)
        self._spool.close()
        self._ledger.stop()
        self._records.close()
        self._earlier.close()
        os.close(self._held)

    def _prepare(self, flows: Flows) -> None:
        """Load the flows' prompts into the workers, before a call can use the flows."""
        self.prompts.want(key for flow in flows.by_name.values() for key in prompt_keys(flow.plan).values())

    def _keep_record(self, finished: Finished) -> None:
        """Write one JSON file for each visit of a call to the IVR, by day: the timeline, no personal data."""
        record = _record(finished)
        self._records.write(Kept(finished.entry.call), record)
        with shielded(log, UNREPORTED):
            self._report_visit(finished, record)

    def _note_caller(self, call: str, number: str) -> None:
        """Report for the ledger who calls, as far as the caller shows it. Another thread does it: the key of the hash
        is on a disk, which may hang, and the caller must not wait for it."""
        at_ms = _ms(datetime.now(UTC))
        self._callers.later(lambda: self._report(call, Caller(self._earlier.who(number)), at_ms), call)

    def _report_visit(self, finished: Finished, record: dict[str, Any]) -> None:
        """Report for the ledger that a visit to the IVR is over, and its timeline."""
        entry = finished.entry
        began = _ms(entry.began_at)
        ended = began + finished.timeline["duration_ms"]
        visit = Visit(
            began, entry.flow, finished.outcome or "", finished.heard, record["level_dbov"], entry.trunk, entry.dialled
        )
        self._report(entry.call, visit, ended)
        if record["queue"]:
            self._report(entry.call, Enqueued(record["queue"], "ivr"), ended)
        self._spool.append(entry.call, TIMELINE, record, ended, spare=True)

    def _report(self, call: str, event: CallEvent, at_ms: int) -> None:
        self._spool.append(call, kind_of(event), body_of(event), at_ms)

    def _note_call(self, call: str, number: str, finished: Finished) -> None:
        """Store the call for the caller's next one. ``number``: '' if the caller withholds it."""
        self._earlier.note(
            call,
            number=number,
            at=time.time() - finished.timeline.get("duration_ms", 0) / 1_000,
            heard=finished.heard,
            ended=finished.outcome,
        )

    def _note_lost_media(self, finished: Finished, queue: str) -> None:
        """The media connection broke, but the caller stayed and went to the queue. Amend the record, or write one: a
        worker that was killed has reported nothing."""
        entry, now = finished.entry, datetime.now(UTC)
        lost = Visit(_ms(entry.began_at), entry.flow, LOST, finished.heard, None, entry.trunk, entry.dialled)
        with shielded(log, UNREPORTED):
            self._report(entry.call, lost, _ms(now))
        went = {"outcome": LOST, "queue": queue, "queued_at": utc(now)}
        if finished.outcome is not None:
            self._records.amend(entry.call, **went)
            return
        known = {"channel": shown(finished.channel), "heard": finished.heard}
        ms = max(0, round((now - entry.began_at).total_seconds() * 1_000))
        timeline = finished.timeline or {"duration_ms": ms, "gain_db": 0, "events": [], "level_dbov": None}
        self._records.write(Kept(entry.call), {**entry.as_dict(), **known, **timeline, **went})


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000)


def _record(finished: Finished) -> dict[str, Any]:
    """The record of a visit. ``queue``, ``queued_at``: the queue to which the IVR sent the caller, and when. A call
    without a dialled number was handed over by an agent, and goes back to its former queue, which only Asterisk
    knows."""
    entry, timeline = finished.entry, finished.timeline
    kind, _, queue = finished.outcome.partition(":")
    queued = kind == "queue"
    ended_at = entry.began_at + timedelta(milliseconds=timeline["duration_ms"])
    return {
        **entry.as_dict(),
        "channel": shown(finished.channel),
        "heard": finished.heard,
        "queue": queue if queued and entry.dialled else None,
        "queued_at": utc(ended_at) if queued else None,
        **timeline,
    }


def serve_until(settings: Settings, stop: threading.Event, always_open: bool = False) -> None:
    """Run the server until ``stop`` is set."""
    server = Door(settings, always_open)
    server.start()
    log.info(
        "ready: AGI on %s, media on %s (%d workers), status on %s",
        settings.agi,
        settings.media,
        settings.workers,
        settings.status,
    )
    notify("READY=1")
    threading.Thread(target=keep_beating, args=(server.accepts, stop), name="watchdog", daemon=True).start()
    try:
        stop.wait()
    finally:
        notify("STOPPING=1")
        server.stop()
