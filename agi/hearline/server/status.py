"""The server's status over HTTP, on loopback: whether it is alive and ready, its metrics, its live calls.

/live  /ready  /metrics (Prometheus)  /calls (JSON, no personal data)
/calls/ID/ears (a line of JSON ten times a second until the call is over, no personal data)
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from hearline.core.channel_names import shown
from hearline.media.worker_client import WorkerClient, WorkerDown
from hearline.media.worker_pool import WorkerPool
from hearline.media.worker_protocol import NO_BEAT, Beat, CallSummary, Ears
from hearline.server.child_process import ChildProcess
from hearline.server.flow_store import FlowStore
from hearline.sounds.prompt_store import PromptStore
from hearline.web.sign_in import RESULTS
from hearline.yamlfiles.watched import Watcher

STUCK_S = 5.0  # a client that reads nothing for this long is dropped
SHUT_S = 0.1  # the longest that the server takes to notice that it must stop


class _Figures:
    """The metrics, read when they are requested."""

    def __init__(
        self,
        lines: WorkerPool,
        flows: FlowStore,
        prompts: PromptStore,
        watcher: Watcher,
        assist: ChildProcess | None,
        page: ChildProcess | None,
        ledger: ChildProcess | None,
    ) -> None:
        self._lines, self._flows, self._prompts, self._watcher = lines, flows, prompts, watcher
        self._assist, self._page, self._ledger = assist, page, ledger

    def collect(self) -> Iterable[Metric]:
        gauge, counter = GaugeMetricFamily, CounterMetricFamily
        yield gauge("hearline_ready", "1 while a media worker is heard", value=int(self._lines.well))
        yield gauge("hearline_flows_rejected", "flow files that were rejected", value=len(self._flows.rejected))
        yield gauge(
            "hearline_flows_not_loaded",
            "flow files without any version in force: calls to their numbers go straight to the queue",
            value=len(self._flows.value.not_loaded),
        )
        yield gauge("hearline_prompts_unreadable", "recordings that cannot be read", value=len(self._prompts.faults))
        yield gauge(
            "hearline_files_stuck_seconds",
            "how long the disk of the flows or prompts has not answered; edits do not count meanwhile",
            value=(self._watcher.stuck or ("", 0.0))[1],
        )
        looks = len(self._flows.notes)
        yield gauge("hearline_calendars_to_look_at", "calendars in use with a missing or guessed year", value=looks)
        yield counter("hearline_calls_refused", "calls that no worker could take", value=self._lines.refused)
        if self._assist:
            standing = self._assist.standing
            yield counter("hearline_assist_restarts", "restarts of agent assist", value=self._assist.restarts)
            yield gauge(
                "hearline_assist_connected",
                "1 while agent assist reaches Asterisk's manager interface",
                value=standing.get("connected", 0),
            )
            yield gauge(
                "hearline_whispers_allowed",
                "1 while whispers are allowed, because a test has shown that callers do not hear them",
                value=standing.get("whispers", 0),
            )
            yield gauge(
                "hearline_whispers_over_silence",
                "1 while whispers are heard even if the caller's phone sends nothing",
                value=bool(standing.get("whispers")) and not standing.get("silent_callers"),
            )
            yield _tasks("hearline_assist_tasks", "asyncio tasks of agent assist", self._assist)
        if self._page:
            yield counter("hearline_page_restarts", "restarts of the agents' page", value=self._page.restarts)
            signs = CounterMetricFamily("hearline_sign_ins", "sign-ins at the agents' page", labels=["result"])
            for result in RESULTS:
                signs.add_metric([result], self._page.standing.get("sign_ins", {}).get(result, 0))
            yield signs
            if (ends := self._page.standing.get("certificate_ends")) is not None:
                yield gauge(
                    "hearline_page_certificate_days",
                    "days until the certificate of the agents' page ends",
                    value=max(0.0, (ends - time.time()) / 86_400),
                )
            yield _tasks("hearline_page_tasks", "asyncio tasks of the agents' page", self._page)
        if self._ledger:
            standing = self._ledger.standing
            yield counter("hearline_ledger_restarts", "restarts of the ledger", value=self._ledger.restarts)
            yield counter(
                "hearline_ledger_records", "records taken into the ledger's database", value=standing.get("taken_in", 0)
            )
            yield gauge(
                "hearline_ledger_backlog_bytes",
                "size of what waits in the spools",
                value=standing.get("backlog_bytes", 0),
            )
            yield gauge(
                "hearline_ledger_trouble",
                "1 while the ledger's database takes nothing",
                value=int(bool(standing.get("trouble", "not there"))),
            )
            yield _tasks("hearline_ledger_tasks", "asyncio tasks of the ledger", self._ledger)
        beats = [(line, line.beat or NO_BEAT) for line in self._lines]

        def each(kind: type, name: str, what: str, value: Callable[[WorkerClient, Beat], float]) -> Metric:
            family = kind(name, what, labels=["worker"])
            for number, (line, beat) in enumerate(beats):
                family.add_metric([str(number)], value(line, beat))
            return family

        yield each(counter, "hearline_worker_restarts", "media workers replaced", lambda line, _: line.restarts)
        yield each(gauge, "hearline_calls", "calls in the IVR now", lambda _, beat: beat.calls)
        yield each(counter, "hearline_frames_sent", "frames of 20 ms sent to callers", lambda _, beat: beat.frames)
        yield each(
            counter, "hearline_frames_late_20ms", "frames sent over 20 ms after their deadline", lambda _, b: b.late_20
        )
        yield each(
            counter, "hearline_frames_late_40ms", "frames sent over 40 ms after their deadline", lambda _, b: b.late_40
        )
        yield each(
            counter, "hearline_frames_not_taken", "frames that Asterisk did not read in time", lambda _, b: b.lost_out
        )
        yield each(
            counter,
            "hearline_frames_shed",
            "frames heard without the speech network, because the tick was late",
            lambda _, beat: beat.shed,
        )
        yield each(
            counter, "hearline_skipped_seconds", "time given up by a starved tick", lambda _, b: b.skipped_ms / 1_000
        )
        yield each(
            counter, "hearline_connections_refused", "AudioSocket connections refused", lambda _, beat: beat.refused
        )
        yield each(gauge, "hearline_busy_ratio", "share of the time taken by the ticks", lambda line, _: line.busy)
        yield each(
            gauge,
            "hearline_worst_lateness_seconds",
            "worst lateness of a tick in the last two minutes",
            lambda line, _: max(line.worst_ms, default=0.0) / 1_000,
        )
        yield each(
            gauge,
            "hearline_most_work_seconds",
            "most CPU time of a tick in the last two minutes",
            lambda line, _: max(line.work_ms, default=0.0) / 1_000,
        )


def _tasks(name: str, what: str, child: ChildProcess) -> Metric:
    family = GaugeMetricFamily(name, what, labels=["task"])
    for task, count in child.tasks.items():
        family.add_metric([task], count)
    return family


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    timeout = STUCK_S  # a client that requests nothing is dropped, too

    def handle(self) -> None:
        try:
            super().handle()
        except TimeoutError:
            pass

    def setup(self) -> None:
        super().setup()
        self.wfile.write = self._write  # type: ignore[assignment, method-assign]

    def _write(self, data: bytes) -> int:
        """Write, and treat a client that stops reading as gone."""
        self.connection.settimeout(STUCK_S)
        try:
            self.connection.sendall(data)
        except TimeoutError:
            raise BrokenPipeError from None
        return len(data)

    def log_message(self, *_: object) -> None:
        pass


def matching(rows: Sequence[CallSummary], wanted: str) -> list[CallSummary]:
    """The live calls that ``wanted`` may mean: a call's id, a part of it after a dash, or the channel's name, also as
    it is shown."""
    exact = [row for row in rows if wanted in (row.call, row.channel, shown(row.channel))]
    return exact or [row for row in rows if f"-{wanted}" in f"-{row.call}"]


def _public(row: CallSummary) -> dict[str, Any]:
    """A call as it is shown: by its id, without the secret UUID of its media connection."""
    public = asdict(row) | {"channel": shown(row.channel)}
    return {"call": public.pop("call")} | {name: value for name, value in public.items() if name != "uuid"}


def _ears(call: str, messages: Generator) -> Iterator[bytes]:
    """A line of JSON for every snapshot, and a last one with the outcome of the call."""
    outcome = heard = None
    with closing(messages):
        for message in messages:
            if isinstance(message, Ears):
                row = message.row
                of_flow = {"flow": row.flow, "step": row.step, "flow_state": row.state, "timer_ms": row.timer_ms}
                of_flow |= {"prompt": row.prompt, "prompt_at_ms": row.prompt_at_ms}
                judged_by = {"gain_db": row.gain_db, "ears": asdict(row.ears)}
                yield _json(
                    {"call": call, "channel": shown(row.channel), **of_flow, **message.look.as_dict(), **judged_by}
                )
            else:
                outcome, heard = message.outcome, message.heard
    yield _json({"call": call, "over": True, "outcome": outcome, "heard": heard})


def _json(body: dict) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode() + b"\n"


def serve_status(
    address: tuple[str, int],
    line: WorkerPool,
    flows: FlowStore,
    prompts: PromptStore,
    watcher: Watcher,
    assist: ChildProcess | None = None,
    page: ChildProcess | None = None,
    ledger: ChildProcess | None = None,
) -> WSGIServer:
    """Serve in a thread of its own; the port is the server's ``server_port``."""
    registry = CollectorRegistry()
    registry.register(_Figures(line, flows, prompts, watcher, assist, page, ledger))
    metrics = make_wsgi_app(registry)

    def answer(environ: dict, start_response: Callable) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "/")
        if path == "/metrics":
            return metrics(environ, start_response)
        status, body = "200 OK", dict[str, Any]()
        if path == "/live":
            body = {"live": True}
        elif path == "/ready":
            missing = sorted(flows.value.not_loaded)
            ready = line.well and not missing
            status = "200 OK" if ready else "503 Service Unavailable"
            body = {
                "ready": ready,
                "flows_not_loaded": missing,
                "rejected_flows": flows.rejected,
                "calendars_to_look_at": flows.notes,
            }
            if faults := prompts.faults:
                body["unreadable_prompts"] = faults
            if stuck := watcher.stuck:
                body["files_stuck"] = {"what": stuck[0], "seconds": round(stuck[1])}
            if assist:  # calls do not need it, so it does not affect `ready`
                body["assist"] = assist.standing
            if ledger:
                body["ledger"] = ledger.standing
        elif path == "/calls":
            body = {"calls": [_public(row) for row in line.rows()]}
        elif path.startswith("/calls/") and path.endswith("/ears"):
            wanted = path.removeprefix("/calls/").removesuffix("/ears")
            rows = line.rows()
            found = matching(rows, wanted)
            if len(found) == 1:
                try:
                    messages = line.follow(found[0].uuid)
                except WorkerDown as error:
                    status, body = "503 Service Unavailable", {"error": str(error)}
                else:
                    start_response(status, [("Content-Type", "application/x-ndjson; charset=utf-8")])
                    return _ears(found[0].call, messages)
            else:
                status = "409 Conflict" if found else "404 Not Found"
                what = f"{len(found)} calls in the IVR match" if found else "no call in the IVR matches"
                body = {"error": f"{what} {wanted!r}", "calls": [_public(row) for row in found or rows]}
        else:
            status, body = "404 Not Found", {"known": ["/live", "/ready", "/metrics", "/calls", "/calls/ID/ears"]}
        start_response(status, [("Content-Type", "application/json; charset=utf-8")])
        return [json.dumps(body, ensure_ascii=False).encode()]

    server = make_server(*address, answer, server_class=_Server, handler_class=_Quiet)
    threading.Thread(target=server.serve_forever, args=(SHUT_S,), name="status", daemon=True).start()
    return server
