"""The Hearline server: the FastAGI door, its media worker, the flows and the status page, in one place.

Asterisk ─AGI─▶ scripts ─announce─▶ line (worker process) ─result─▶ scripts ─variables─▶ dialplan
"""

from __future__ import annotations

import functools
import json
import logging
import threading
import time

from hearline.core.peers import parse_networks
from hearline.core.settings import Settings, address
from hearline.media.worker_pool import WorkerPool
from hearline.media.worker_protocol import Finished
from hearline.pbx.fastagi import FastAgiServer
from hearline.server.assist_process import AssistProcess
from hearline.server.flow_store import FlowStore
from hearline.server.scripts import alive, hotline
from hearline.server.service_manager import keep_beating, notify
from hearline.server.status import serve_status
from hearline.store import records
from hearline.store.earlier_calls import EarlierCalls
from hearline.store.record_writer import RecordWriter

log = logging.getLogger(__name__)

LOOK_S = 1.0
ENDING = 500  # AGI sessions of calls that the workers are done with, or refuse
WRITE_S = 3.0  # for the last records, when the server stops


class Door:
    """Start with ``start`` (or as a context manager), end with ``stop``."""

    def __init__(self, settings: Settings, always_open: bool = False) -> None:
        self.flows = FlowStore(settings.flows, settings.sounds, settings.zone)
        self._records = records.Records(settings.state / "calls", settings.calendar)
        self._writer = RecordWriter()
        self._earlier = EarlierCalls(settings.state / "callers", settings.earlier_calls_days)
        media = address(settings.media)
        self.line = WorkerPool(media, settings.workers, settings.allow, settings.sounds, self._keep_record)
        scripts = {
            "hotline": functools.partial(
                hotline.serve,
                flows=self.flows,
                line=self.line,
                lost=self._note_lost_media,
                over=self._note_call,
                always_open=always_open,
            ),
            "alive": functools.partial(alive.serve, line=self.line),
        }
        self._agi_address = address(settings.agi)
        self._scripts, self._networks = scripts, parse_networks(settings.allow)
        self._status_address = address(settings.status)
        self._assist = AssistProcess(settings) if settings.ami else None
        self._stopping = threading.Event()

    def start(self) -> None:
        """Raises WorkerDown or OSError (an address in use)."""
        self._records.folder.mkdir(parents=True, exist_ok=True)
        self._writer.start()
        self._earlier.start()
        self.line.start()
        self._prepare()
        where = self._agi_address
        try:
            sessions = {"hotline": self.line.capacity + ENDING}
            self._agi = FastAgiServer(where, self._scripts, self._networks, sessions)
            where = self._status_address
            self._status = serve_status(where, self.line, self.flows, self._assist)
        except OSError as error:
            self.line.stop()
            raise OSError(f"cannot listen on {where[0]}:{where[1]}: {error.strerror}") from None
        if self._assist:
            self._assist.start()
        self._agi.serve_in_thread()
        threading.Thread(target=self._look_after_flows, name="flows", daemon=True).start()

    def accepts(self) -> bool:
        """Are new calls taken?"""
        return self._agi.accepts

    def stop(self) -> None:
        self._stopping.set()
        self._agi.shutdown()
        self._agi.server_close()
        self._status.shutdown()
        self._status.server_close()
        if self._assist:
            self._assist.stop()
        self.line.stop()
        self._writer.close(WRITE_S)
        self._earlier.close()

    def _look_after_flows(self) -> None:
        """A broken edit is told at once, not only when the next call comes."""
        while not self._stopping.wait(LOOK_S):
            try:
                if self.flows.refresh():
                    self._prepare()
            except Exception:
                log.exception("the flows could not be looked after")

    def _prepare(self) -> None:
        self.line.prepare([flow.plan for flow in self.flows.flows.values()])

    def _keep_record(self, finished: Finished) -> None:
        """One JSON file a call, by day: the timeline, no personal data."""
        record = {"call": finished.uuid, "channel": finished.channel, "heard": finished.heard, **finished.timeline}
        file = self._records.file(finished.uuid)
        self._writer.later(lambda: records.write(file, record))

    def _note_call(self, env: dict[str, str], finished: Finished) -> None:
        """For the next time that this caller calls. A number that is not told is no number."""
        number = env.get("agi_callerid", "")
        self._earlier.note(
            env.get("agi_uniqueid", finished.uuid),
            who=self._earlier.who("" if number == "unknown" else number),
            at=time.time() - finished.timeline.get("duration_ms", 0) / 1_000,
            heard=finished.heard,
            ended=finished.outcome,
        )

    def _note_lost_media(self, call: str) -> None:
        """The media connection broke, but the caller stayed and went to the queue: the record must say so."""

        def write() -> None:
            for file in self._records.find(call):
                records.write(file, json.loads(file.read_text("utf-8")) | {"outcome": "queue:lost_media"})

        self._writer.later(write)


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
