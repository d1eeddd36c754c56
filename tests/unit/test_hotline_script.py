"""The AGI script of a hotline call, without Asterisk: what it asks for, and what it passes on about the caller."""

from __future__ import annotations

import contextlib
import json
import shutil
from datetime import UTC, datetime

import pytest
from asterisk.agi import AGIAppError, AGIHangup

from hearline.call.entry import Entry
from hearline.core.settings import Settings
from hearline.media.worker_protocol import Finished
from hearline.pbx.config import PRESENTATION
from hearline.server.door import Door
from hearline.server.flow_store import FlowStore, read_flows
from hearline.server.scripts import hotline

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
NUMBER = "13800005678"
CALL = "20261129-083015123-482139075-shanghai"


class Pbx:
    """What the script says to Asterisk. ``presentation``: of the caller's number; an exception is raised."""

    local_host = "127.0.0.1"

    def __init__(self, presentation: str | Exception = "allowed_not_screened", dialled: str = "8001") -> None:
        self.env = {"agi_extension": dialled, "agi_channel": "PJSIP/x-1", "agi_callerid": NUMBER, "agi_uniqueid": "1.1"}
        self.set: dict[str, str] = {}
        self._presentation = presentation

    def patience(self, _seconds):
        return contextlib.nullcontext()

    def appexec(self, *_): ...

    def set_variable(self, name: str, value: str) -> None:
        self.set[name] = value

    def get_variable(self, name: str) -> str:
        if name in (known := {"HEARLINE_FLOW": "", "HEARLINE_CALL": CALL}):
            return known[name]
        assert name == PRESENTATION
        if isinstance(self._presentation, Exception):
            raise self._presentation
        return self._presentation


class OneCall:
    """A line whose only call goes to the queue."""

    address, uuid = ("127.0.0.1", 9092), "u"

    def announce(self, *_):
        return self

    def wait(self, _seconds):
        return Finished("u", "PJSIP/x-1", "queue:care", "normal", {"gain_db": 0})

    def withdraw(self, _visit): ...


def kept_of(flows: FlowStore, pbx: Pbx) -> list[tuple[str, str]]:
    """(call, caller's number) that were handed on."""
    kept = []
    hotline.serve(pbx, flows, OneCall(), lambda *_: None, lambda call, number, _result: kept.append((call, number)))
    return kept


@pytest.mark.parametrize("presentation", ["allowed", "allowed_not_screened", "allowed_passed_screen"])
def test_a_number_that_may_be_seen_is_kept(flows, presentation):
    assert kept_of(flows, Pbx(presentation)) == [(CALL, NUMBER)]


@pytest.mark.parametrize(
    "presentation", ["prohib", "prohib_not_screened", "prohib_passed_screen", "unavailable", "", AGIAppError("no such")]
)
def test_nothing_is_kept_under_a_withheld_number(flows, presentation):
    pbx = Pbx(presentation)
    assert kept_of(flows, pbx) == [(CALL, "")]
    assert pbx.set["HEARLINE_RESULT"] == "queue", "the call goes its way"


def test_a_caller_who_hangs_up_while_asterisk_is_asked_is_gone(flows):
    with pytest.raises(AGIHangup):
        kept_of(flows, Pbx(AGIHangup("gone")))


def test_a_number_whose_flow_is_not_loaded_goes_to_the_queue(tmp_path, caplog):
    """An empty HEARLINE_RESULT is what the dialplan takes for that."""
    folder = shutil.copytree(Settings().flows, tmp_path / "flows")
    (folder / "hotline.yaml").write_text("steps: [", "utf-8")
    flows = read_flows(Settings(flows=folder))
    pbx = Pbx(dialled="95160")
    assert kept_of(flows, pbx) == [] and pbx.set == {}
    assert "hotline.yaml is not loaded" in caplog.text


# ---- the connection breaks -------------------------------------------------------------------------------------------
class Broken(OneCall):
    """A line whose only call breaks off."""

    def __init__(self, result: Finished | None) -> None:
        self.result = result

    def wait(self, _seconds):
        return self.result


class StillThere(Pbx):
    def get_variable(self, name: str) -> str:
        return "care" if name == "HEARLINE_QUEUE" else super().get_variable(name)


REPORTED = Finished("u", "PJSIP/x-1", "hangup:caller", "unknown", {"duration_ms": 1}, entry=Entry(CALL, "s", NOON, "f"))


@pytest.mark.parametrize("result", [None, REPORTED], ids=["killed", "ended"])
def test_the_record_of_who_stays_on_a_broken_line_says_the_queue(flows, tmp_path, result):
    door = Door(Settings(state=tmp_path, ami=""))
    if result:
        door._keep_record(result)
    hotline.serve(StillThere(), flows, Broken(result), door._note_lost_media)
    assert door._records.settle()
    door._records.close()
    [file] = (tmp_path / "calls").rglob("*.json")
    record = json.loads(file.read_text())
    assert (record["outcome"], record["queue"], record["call"]) == ("queue:lost_media", "care", CALL)
    assert record["queued_at"] and record["duration_ms"] >= 0
