"""One call, one id: from the dialplan through queue, talks and transfers into every record and log line about it."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime

import pytest

from agents_page import Page
from hearline.core.ids import is_call_id
from hearline.phone.heard import find_prompts
from test_live_keys import CODES, PROMPTS, press
from test_transfers import QUEUE, Floor, names
from world import Phones, Scenario, until

CLAIMS = {"8198": "../../../tmp/x", "8199": "20261129-083015123-482139075-elsewhere"}


@pytest.fixture(scope="module", autouse=True)
def assist_is_up(world):
    until(lambda: world.stack.get("/ready")["assist"].get("whispers"), 20)


@pytest.fixture
def claims(world):
    """Numbers of a dialplan before ours, which sets the id by what came from outside."""
    for number, claim in CLAIMS.items():
        world.stack.console(f"dialplan add extension {number},1,Set,__HEARLINE_CALL={claim} into hearline-phones")
        world.stack.console(f"dialplan add extension {number},2,Goto,hearline,8001,1 into hearline-phones")
    yield
    for number in CLAIMS:
        world.stack.console(f"dialplan remove extension {number}@hearline-phones")


def ids_on_channels(world) -> set[str]:
    """Of all channels of calls that are in a talk."""
    found = set()
    for line in world.channels():
        if not line[0].startswith("AudioSocket/"):
            shown = world.stack.console(f"core show channel {line[0]}")
            found.add(next(iter(re.findall(r"HEARLINE_CALL=(\S+)", shown)), f"none on {line[0]}"))
    return found


def test_one_id_through_ivr_queue_agents_and_transfers(world, claims):
    """The caller is passed on to a colleague, and by the colleague to the queue. Another dialplan claims ids."""
    pages = {account.name: Page(world, account) for account in world.agents[:2]}
    agents = [world.agent(index, hangup_after_ms=None, lines=2) for index in range(2)]
    scenarios = {
        "one": Scenario(keys=((1_500, "1"),), max_ms=60_000),
        "forged": Scenario(number="8198", hangup_at_ms=2_000),
        "known": Scenario(number="8199", hangup_at_ms=2_000),
    }
    script, used = world.script(scenarios, agents)
    said = world.stack.home / "log" / "hearline.log"
    with Phones(script) as phones:
        floor, talked = Floor(world, phones), []
        talked.append(floor.takes(used["one"]))
        shown = [pages[talked[-1]].state()["call"]["id"]]
        on_channels = [ids_on_channels(world)]
        [leg, _] = [line[0] for line in world.channels() if line[0].startswith("AudioSocket/")]
        world.stack.console(f"channel request hangup {leg}")
        until(lambda: f" hearline.assist.calls.legs: call {shown[0]}: the leg on " in said.read_text(), 3)
        [other] = pages.keys() - set(talked)
        for to in (other, QUEUE):
            since = len(phones.events)
            floor.act(talked[-1], "transfer", to, until_told="disconnected")
            talked.append(floor.takes(used["one"], since))
            shown.append(pages[talked[-1]].state()["call"]["id"])
            on_channels.append(ids_on_channels(world))
        phones.hang_up(talked[-1])
        phones.wait(20)
    [call] = {*shown}
    assert is_call_id(call) and on_channels == [{call}] * 3
    records = {name: world.timelines()[account] for name, account in used.items()}
    record = records["one"]
    settings = world.stack.settings
    assert (record["call"], record["site"], record["queue"]) == (call, settings.site, "care")
    assert (record["flow"], record["dialled"], record["trunk"]) == ("hotline", "8001", f"PJSIP/{used['one']}")
    came, queued = (datetime.fromisoformat(record[name]) for name in ("began_at", "queued_at"))
    assert 0 <= came.timestamp() - datetime.strptime(call[:18], "%Y%m%d-%H%M%S%f").replace(tzinfo=UTC).timestamp() < 1
    assert (queued - came).total_seconds() * 1_000 == record["duration_ms"]
    [talk] = until(lambda: kept(settings.state / "talks", [f"{call}.json"]), 5)
    stints = [event["agents"] for event in talk["events"] if event["event"] in ("joined", "agents") and event["agents"]]
    assert (talk["call"], talk["talk"]) == (call, 1) and [names(stint) for stint in stints] == [[a] for a in talked]
    sql = "SELECT ended, agent FROM calls WHERE call = ?"
    with closing(sqlite3.connect(f"file:{settings.state}/callers/calls.sqlite?mode=ro", uri=True)) as database:
        rows = until(lambda: database.execute(sql, (call,)).fetchall(), 3)
    assert rows == [("queue:care", talked[-1].removeprefix("agent-"))]
    assert is_call_id(records["forged"]["call"]) and records["known"]["call"] == CLAIMS["8199"]
    assert kept(settings.state / "calls", [f"{records[name]['call']}.json" for name in used])
    assert "an id that is not valid here" in (world.stack.home / "log" / "messages").read_text()


def test_a_second_visit_and_a_call_that_is_handed_over_keep_the_id(world):
    """One caller is handed over to the nuisance flow by a key, another to a colleague who was asked first."""
    began, key = time.time(), ((1_500, "1"),)
    agents = [world.agent(index, hangup_after_ms=None, lines=2) for index in range(3)]
    scenarios = {"nuisance": Scenario(keys=key, max_ms=60_000), "handed": Scenario(keys=key, max_ms=60_000)}
    script, used = world.script(scenarios, agents)
    with Phones(script) as phones:
        floor = Floor(world, phones)
        bothered, first = floor.takes(used["nuisance"]), floor.takes(used["handed"])
        [second] = {agent["name"] for agent in agents} - {bothered, first}
        press(phones, bothered, CODES["nuisance"])
        floor.act(first, "consult", second, until_told="answered")
        floor.act(first, "hand_over", until_told="transferred")
        until(lambda: any(line[5] == "ChanSpy" and second in line[6] for line in world.channels()), 8)
        time.sleep(1.0)
        phones.hang_up(second)
        calls = world.calls(phones.wait(40), used, scenarios)
    heard = [found.id for found in find_prompts(calls["nuisance"].recording, PROMPTS) if found.complete > 0.9]
    assert heard == ["nuisance-1", "nuisance-goodbye"]
    visits = {name: record for name, record in world.timelines_by_call().items() if record["channel"]}
    ids = {name: [v for v in visits if visits[v]["channel"].startswith(f"PJSIP/{used[name]}-")] for name in used}
    [handed] = ids["handed"]
    call = min(ids["nuisance"], key=len)
    assert is_call_id(call) and sorted(ids["nuisance"]) == [call, f"{call}.2"] and is_call_id(handed)
    assert [(visits[v]["call"], visits[v]["outcome"]) for v in (call, f"{call}.2")] == [
        (call, "queue:care"), (call, "hangup:nuisance")
    ]  # fmt: skip

    def talks() -> dict[str, list[dict]] | None:
        files = (world.stack.settings.state / "talks").glob("*/*.json")
        found = [json.loads(file.read_text("utf-8")) for file in files if file.stat().st_mtime >= began]
        of = {one: [talk for talk in found if talk["call"] == one] for one in (call, handed)}
        return of if all(of.values()) and sum(map(len, of.values())) == len(found) else None

    of = until(talks, 5)
    stints = [event["agents"] for talk in of[handed] for event in talk["events"] if event["event"] == "agents"]
    assert [second] in [names(stint) for stint in stints], "the colleague's part of the call is under its id too"


def kept(folder, names: list[str]) -> list[dict] | None:
    """The records of these names, once they are there."""
    files = [next(folder.glob(f"*/{name}"), None) for name in names]
    return all(files) and [json.loads(file.read_text("utf-8")) for file in files]
