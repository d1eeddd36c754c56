"""A caller withholds the number, but the trunk is trusted and sends it anyway: no agent sees it, and nothing of it is
kept."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing

import pytest

from agents_page import Page
from hearline.core.numbers import masked
from hearline.store.earlier_calls import EarlierCalls
from raw_sip import RawCall
from world import Phones, Scenario, World, until

WITHHELD, SHOWN = "8198", "8199"  # what is dialled; both lead to the hotline's test number
DIALPLAN = (
    f"{WITHHELD},1,Set(CALLERID(num-pres)=prohib_passed_screen)",
    f"{WITHHELD},2,Goto(8001,1)",
    f"{SHOWN},1,Set(CALLERID(num-pres)=allowed_passed_screen)",
    f"{SHOWN},2,Goto(8001,1)",
)
NUMBER, TRUNK_HOST = "13911117777", "127.0.0.3"
TRUNK = f"""
[trunk-that-tells](phone)
context = hearline-phones
trust_id_inbound = yes
dtmf_mode = info
[trunk-that-tells]
type = identify
endpoint = trunk-that-tells
match = {TRUNK_HOST}
"""
PRIVATE = ("Privacy: id", f"P-Asserted-Identity: <sip:{NUMBER}@{TRUNK_HOST}>")


@pytest.fixture(scope="module")
def dialplan(world: World):
    for line in DIALPLAN:
        world.stack.console(f"dialplan add extension {line} into hearline-phones")
    yield
    for number in (WITHHELD, SHOWN):
        world.stack.console(f"dialplan remove extension {number}@hearline-phones")


@pytest.mark.parametrize(("dialled", "who"), [(WITHHELD, 1), (SHOWN, 2)])
def test_a_withheld_number_is_neither_shown_nor_kept(world, dialplan, dialled, who):
    agent = world.agent(who, answer_after_ms=1_500, hangup_after_ms=4_000)
    with Page(world, world.agents[who]) as page:
        call = world.place({"caller": Scenario(dialled, keys=((1_000, "1"),))}, [agent], timeout=60)["caller"]
        mine = until(lambda: [told for told in page.calls if told["id"] == call.timeline["call"]], 5)
    assert call.outcome == "queue:care" and len(call.agents) == 1
    number = next(caller.number for caller in world.stack.accounts()[0] if caller.name == call.account)
    seen = {(told["number"], told["withheld"]) for told in mine}
    earlier = EarlierCalls(world.stack.settings.state / "callers")
    if dialled == WITHHELD:
        assert seen == {("", True)} and earlier.of(earlier.who(number)) == []
    else:
        assert seen == {(masked(number), False)} and until(lambda: earlier.of(earlier.who(number)), 5)


def test_of_a_number_that_privacy_withholds_nothing_is_left(world):
    """The trunk says who calls, and that nobody may know. The agent writes a note; then all that we and Asterisk have
    kept is searched."""
    agent, began = world.agents[3], time.time()
    script, _ = world.script({}, [world.agent(3, hangup_after_ms=None, max_answers=1)])
    with world.endpoints(TRUNK), Page(world, agent) as page, Phones(script) as phones:
        with RawCall(world.stack.sip, "8001", "anonymous", host=TRUNK_HOST, headers=PRIVATE) as caller:
            assert caller.place() == 200
            [channel] = until(lambda: [c[0] for c in world.channels() if c[0].startswith("PJSIP/trunk-that-tells")], 3)
            shown = world.stack.console(f"core show channel {channel}")
            assert f"Caller ID: {NUMBER}" in shown, "Asterisk knows it"
            time.sleep(1.0)
            caller.press("1")
            phones.wait_for("answered", agent.name)
            talking = until(lambda: page.told[-1]["state"] == "talking" and page.told[-1]["call"], 8)
            assert page.post("note", call=talking["id"], note={"matter": "想了解护理床"}) == {"kept": True}
            time.sleep(1.0)
        phones.wait(15)
    mine = [told for told in page.calls if told["id"] == talking["id"]]
    assert {(told["number"], told["withheld"]) for told in mine} == {("", True)}
    state, call = world.stack.settings.state, talking["id"]
    for folder in ("calls", "talks"):
        [record] = until(lambda: list((state / folder).glob(f"*/{call}.json")), 5)  # noqa: B023
        assert json.loads(record.read_text("utf-8"))["call"] == call and record.stat().st_mtime >= began
    with closing(sqlite3.connect(f"file:{state}/callers/calls.sqlite?mode=ro", uri=True)) as database:
        sql = "SELECT who, agent, note FROM calls WHERE call = ?"
        [(who, by, note)] = until(lambda: database.execute(sql, (call,)).fetchall(), 5)
    assert not who and by == agent.number and "护理床" in note
    earlier = EarlierCalls(state / "callers")
    assert earlier.of(earlier.who(NUMBER)) == []
    files = [file for file in state.rglob("*") if file.is_file() and not file.is_relative_to(world.stack.home / "etc")]
    assert {"hearline.log", "messages", "calls.sqlite", f"{call}.json"} <= {file.name for file in files}
    told = [str(file) for file in files if NUMBER.encode() in file.read_bytes()]
    assert told == []
