"""The id of a call: its shape, its uniqueness, the treatment of ids from outside, and where it appears."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import random
import re
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from hearline.assist.calls.channel_graph import ChannelGraph
from hearline.call.entry import Entry, dialled_number, trunk_of
from hearline.cli.app import app
from hearline.core import ids
from hearline.core.ids import is_call_id, is_site, new_call_id, site_from
from hearline.core.logs import FORMAT, CallNamer, about_call, name_call
from hearline.core.settings import Settings
from hearline.media.worker_protocol import Beat, CallSummary, Finished, Watch
from hearline.phone.picture import _title
from hearline.server.door import _record
from hearline.server.scripts import hotline
from hearline.server.status import _public
from hearline.store.earlier_calls import EarlierCalls
from test_gain import OneCall, Pbx
from test_worker import announce, connected, line, ticks  # noqa: F401

AT = datetime(2026, 11, 29, 8, 30, 15, 123_456, UTC)
CALL = "20261129-083015123-482139075-shanghai"
CLAIMS = [
    "",
    "../../etc/passwd",
    "20261129-083015123-482139075",
    "20261129-083015123-482139075-",
    "20261129-083015123-482139075-Shanghai",
    "20261129-083015123-482139075-sh/../x",
    "20261129-083015123-482139075-sh\n",
    "20261129-083015123-482139075-sh%d",
    "20261329-083015123-482139075-sh",
    "20261129-253015123-482139075-sh",
    "20261129-083015123-482139075-" + "s" * 32,
    "２０261129-083015123-482139075-sh",
    "3f2a1d30-1111-4222-8333-444455556666",
]
DIALPLAN = Path(__file__).resolve().parents[2] / "docker/asterisk/etc/hearline.conf.j2"


# ---- the id ----------------------------------------------------------------------------------------------------------
def test_it_tells_when_and_where_and_sorts_by_time():
    call = new_call_id("sh-1", AT)
    assert re.fullmatch(r"20261129-083015123-\d{9}-sh-1", call) and is_call_id(call)
    assert new_call_id("sh-1", AT.astimezone().replace())[:18] == call[:18], "in UTC, whatever the zone"
    later = [new_call_id("a", AT + timedelta(milliseconds=7 * n)) for n in range(200)]
    assert sorted(later) == later


def test_a_million_calls_over_restarts_and_two_asterisks_of_a_site_have_an_id_each(monkeypatch):
    """200 calls a second at each, a restart every minute; half of them while the clock is put back to the first."""
    monkeypatch.setattr(ids.secrets, "randbelow", random.Random(20261129).randrange)
    made = set()
    for run in range(42):
        began = AT + timedelta(minutes=run % 21)
        for call in range(12_000):
            at = began + timedelta(milliseconds=5 * call)
            made |= {new_call_id("shanghai", at), new_call_id("shanghai", at)}
    assert len(made) == 42 * 12_000 * 2


@pytest.mark.parametrize("claim", CLAIMS)
def test_what_is_shaped_otherwise_is_none_of_ours(claim):
    assert not is_call_id(claim)


def test_the_dialplan_takes_what_we_take_and_nothing_that_a_file_cannot_be_called():
    [shape] = re.findall(r'REGEX\("(.+?)" \$\{HEARLINE_CALL\}\)', DIALPLAN.read_text("utf-8"))
    assert (
        re.search(shape, CALL) and re.search(shape, new_call_id("a", AT)) and re.search(shape, new_call_id("a-1", AT))
    )
    taken = [claim for claim in CLAIMS if re.search(shape.replace("$", r"\Z"), claim)]
    assert all(re.fullmatch("[-0-9a-z]+", claim) for claim in taken)


# ---- sites -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("host", "site"),
    [
        ("box7", "box7"),
        ("Box_7.example.org", "box-7"),
        ("-x-", "x"),
        ("热线", "site"),
        ("", "site"),
        ("a" * 40, "a" * 31),
    ],
)
def test_without_a_name_a_site_is_called_as_its_machine(host, site):
    assert site_from(host) == site and is_site(site)


def test_a_sites_name_must_be_fit_for_ids(monkeypatch):
    assert is_site(Settings().site)
    monkeypatch.setenv("HEARLINE_SITE", "sh-1")
    assert Settings().site == "sh-1"
    for name in ("Shanghai 1", "sh/1", "-sh", "sh-", "a" * 32):
        monkeypatch.setenv("HEARLINE_SITE", name)
        with pytest.raises(ValidationError, match="not a valid site name: use small letters"):
            Settings()
        with pytest.raises(ValueError, match="not a valid site name"):
            new_call_id(name, AT)


# ---- how a call came -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("channel", "trunk"),
    [
        ("PJSIP/my-carrier-0000002a", "PJSIP/my-carrier"),
        ("PJSIP/13800005678-0000002a", "PJSIP/****5678"),
        ("Local/13800005678@from-internal-00000001;2", "Local"),
        ("DAHDI/i1/13800005678-2", "DAHDI"),
        ("", ""),
    ],
)
def test_a_trunk_is_told_and_no_caller(channel, trunk):
    assert trunk_of(channel) == trunk


def test_what_was_dialled_is_a_number_or_nothing():
    assert [dialled_number(x) for x in ("95160", "+8695160", "s", "", "9\r\n5", "<b>")] == [
        "95160",
        "+8695160",
        *[""] * 4,
    ]


# ---- a claim at the AGI script ---------------------------------------------------------------------------------------
class Noted(OneCall):
    """Remembers with which entry it was announced."""

    def announce(self, plan, begin, channel, entry):
        self.entry = entry
        return self


def served(flows, claim: str) -> tuple[Entry, Pbx]:
    pbx, call = Pbx(), Noted("queue:care", 0)
    pbx.set.append(("HEARLINE_CALL", claim))
    hotline.serve(pbx, flows, call, lost=pytest.fail, site="shanghai")
    return call.entry, pbx


def test_the_call_is_announced_under_the_id_that_the_dialplan_made(flows, caplog):
    entry, pbx = served(flows, CALL)
    assert (entry.call, entry.site, entry.flow, entry.dialled) == (CALL, "shanghai", "hotline", "8001")
    assert entry.trunk == "PJSIP/x" and abs((datetime.now(UTC) - entry.began_at).total_seconds()) < 5
    assert "__HEARLINE_CALL" not in dict(pbx.set) and not caplog.records


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_claim_that_is_no_id_is_replaced_and_logged(flows, caplog, claim):
    entry, pbx = served(flows, claim)
    assert is_call_id(entry.call) and entry.call.endswith("-shanghai")
    assert dict(pbx.set)["__HEARLINE_CALL"] == entry.call, "whoever comes later has the same"
    assert "without a valid id" in caplog.text and (not claim or claim not in caplog.text)


# ---- a claim in agent assist -----------------------------------------------------------------------------------------
def caller(name: str, claim: str) -> dict[str, str]:
    told = f"HEARLINE_CALLER={name}\nHEARLINE_QUEUE=care\nHEARLINE_CALL={claim}"
    return {"Event": "BridgeEnter", "Channel": name, "BridgeUniqueid": "b", "ChanVariable": told}


@pytest.mark.parametrize(("claim", "known"), [(CALL, True), *((claim, False) for claim in CLAIMS if "\n" not in claim)])
def test_a_caller_without_an_id_has_one_for_as_long_as_the_channel_is_there(claim, known):
    made = iter(["made-1", "made-2"])
    graph = ChannelGraph(lambda: next(made))
    agent = {"Event": "BridgeEnter", "Channel": "PJSIP/a-2", "BridgeUniqueid": "b"}
    agent["ChanVariable"] = "HEARLINE_AGENT=PJSIP/a-2"

    def told(name: str) -> str:
        graph.hear(caller(name, claim))
        graph.hear(agent)
        [talk] = graph.talks()
        return talk.call

    assert told("PJSIP/x-1") == (CALL if known else "made-1")
    graph.hear({"Event": "Rename", "Channel": "PJSIP/x-1", "Newname": "PJSIP/x-3"})
    assert told("PJSIP/x-3") == (CALL if known else "made-1")
    graph.hear({"Event": "Hangup", "Channel": "PJSIP/x-3"})
    assert told("PJSIP/x-3") == (CALL if known else "made-2"), "a name that comes again is another call"


# ---- records ---------------------------------------------------------------------------------------------------------
def finished(outcome: str, dialled: str = "95160") -> Finished:
    entry = Entry(CALL, "shanghai", AT, "hotline", dialled, "PJSIP/carrier")
    timeline = {"outcome": outcome, "duration_ms": 6_877, "level_dbov": -26.1, "gain_db": 0, "events": []}
    return Finished("a secret", "PJSIP/carrier-1", outcome, "normal", timeline, {"agent": "7"}, entry)


def test_a_record_tells_when_where_and_by_what_the_call_came_and_to_which_queue_it_went():
    assert _record(finished("queue:care")) == {
        "call": CALL,
        "site": "shanghai",
        "began_at": "2026-11-29T08:30:15.123+00:00",
        "flow": "hotline",
        "dialled": "95160",
        "trunk": "PJSIP/carrier",
        "channel": "PJSIP/carrier-1",
        "heard": "normal",
        "queue": "care",
        "queued_at": "2026-11-29T08:30:22.000+00:00",
        "outcome": "queue:care",
        "duration_ms": 6_877,
        "level_dbov": -26.1,
        "gain_db": 0,
        "events": [],
    }


def test_who_goes_to_no_queue_or_back_to_theirs_has_none_in_the_record():
    assert (record := _record(finished("hangup:noinput")))["queue"] is None and record["queued_at"] is None
    assert (record := _record(finished("queue:care", "")))["queue"] is None and record["queued_at"]


def test_old_records_of_talks_count_beside_new_ones(tmp_path):
    hints = {"at_ms": 9, "event": "hints", "counts": {"answering": {"shown": 1}}}
    old = {"talk": "3f2a1d30-1111-4222-8333-444455556666", "caller": "PJSIP/x-1", "events": [hints]}
    new = {"call": CALL, "talk": 2, "queue": "care", "caller": "PJSIP/x-1", "events": [hints]}
    for name, record in (("3f2a1d30-1111-4222-8333-444455556666", old), (f"{CALL}.2", new)):
        (tmp_path / f"{name}.json").write_text(json.dumps(record))
    lines = CliRunner().invoke(app, ["hints", "report", "--json", str(tmp_path)]).output.splitlines()
    assert [row["shown"] for row in map(json.loads, lines) if row["rule"] == "answering"] == [2]


def test_earlier_calls_from_before_there_were_ids_are_told_of(tmp_path):
    calls = EarlierCalls(tmp_path)
    for call, at in (("1732500000.12", AT.timestamp() - 60), (CALL, AT.timestamp())):
        calls.note(call, who=calls.who("13800005678"), at=at, heard="normal")
    calls.close()
    assert len(calls.of(calls.who("13800005678"))) == 2
    assert [one.at for one in calls.of(calls.who("13800005678"), besides=CALL)] == [AT.timestamp() - 60]


def test_a_pictures_title_names_the_call_where_it_has_an_id():
    old = {"outcome": "queue:care"}
    assert CALL in _title("speaks", old | {"call": CALL}, [], 9_000)[1] and CALL not in _title("", old, [], 9_000)[1]


# ---- logs ------------------------------------------------------------------------------------------------------------
@pytest.fixture
def logged():
    """(a logger, what it wrote)."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(logging.Formatter(FORMAT.removeprefix("%(asctime)s ")))
    handler.addFilter(CallNamer())
    logger = logging.Logger("room")
    logger.addHandler(handler)
    return logger, out


def test_a_line_names_its_call_and_no_other_does(logged):
    logger, out = logged
    name_call("")  # whatever ran here before
    logger.warning("before")
    with about_call(CALL):
        logger.warning("of the call")

        async def later() -> None:
            logger.warning("of its task")

        asyncio.run(later())
        thread = threading.Thread(target=lambda: logger.warning("of another thread"))
        thread.start()
        thread.join()
    logger.warning("after")

    def session() -> None:
        name_call(CALL)
        logger.warning("of its session")

    thread = threading.Thread(target=session)
    thread.start()
    thread.join()
    logger.warning("last")
    assert out.getvalue().splitlines() == [
        "WARNING room: before",
        f"WARNING room: call {CALL}: of the call",
        f"WARNING room: call {CALL}: of its task",
        "WARNING room: of another thread",
        "WARNING room: after",
        f"WARNING room: call {CALL}: of its session",
        "WARNING room: last",
    ]


# ---- through the media worker ----------------------------------------------------------------------------------------
def test_the_worker_shows_a_call_by_its_id_and_hands_its_entry_back(line, flows):  # noqa: F811
    worker, door, _ = line
    entry = Entry(CALL, "shanghai", AT, "hotline", "95160", "PJSIP/carrier")
    peer = connected(line, replace(announce(flows), entry=entry))
    door.send(Watch())
    ticks(worker, 20)
    peer.sendall(b"\x00\x00\x00")
    time.sleep(0.01)
    ticks(worker, 3)
    told = list(door.received())
    assert {row.call for beat in told if isinstance(beat, Beat) for row in beat.rows or ()} == {CALL}
    [over] = [message for message in told if isinstance(message, Finished)]
    assert over.entry == entry and _record(over)["call"] == CALL


def test_what_is_shown_of_a_live_call_lets_nobody_in():
    row = CallSummary("a secret", "PJSIP/x-1", "hotline", "opening", "playing", 0, None, None, None, call=CALL)
    assert _public(row)["call"] == CALL and "a secret" not in json.dumps(_public(row))
