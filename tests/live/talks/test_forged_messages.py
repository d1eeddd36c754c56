"""Line breaks in the dialled number, or in the caller's, become forged messages of Asterisk. Somebody calls with such
INVITEs while two others talk: nobody is moved, nothing forged is recorded, and the two keep hearing each other."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from urllib.parse import quote

import pytest

from hearline.audio.wav import read_wav
from hearline.phone.judge import presence
from hearline.phone.run import Phones
from raw_sip import RawCall
from world import SPEECH, Scenario, until

TRUNK_HOST = "127.0.0.2"
TRUNK = f"""
[trunk-that-trusts](phone)
context = hearline-phones
trust_id_inbound = yes
[trunk-that-trusts]
type = identify
endpoint = trunk-that-trusts
match = {TRUNK_HOST}
"""
ASKS, GREETS = "caller-ask", "agent-greeting"


@dataclass
class Talk:
    """Who is attacked. Asterisk keeps 79 characters of a number."""

    caller: str
    agent: str

    def forgeries(self) -> list[str]:
        """A key, a hang-up and another name, each with what is left of the real message at its end."""
        return [
            self.key,
            f"1\r\n\r\nEvent: Hangup\r\nChannel: {self.agent}\r\nX: ",
            f"1\r\n\r\nEvent: Rename\r\nChannel: {self.caller}\r\nNewname: x\r\nX: ",
        ]

    @property
    def key(self) -> str:
        return f"1\r\nUserEvent: HearlineKey\r\nKey: nuisance\r\nChannel: {self.agent}"


def where(world) -> dict[str, str]:
    """The application and data of each phone's channel, by its name."""
    return {line[0]: f"{line[5]} {line[12]}" for line in world.channels() if line[0].startswith("PJSIP/")}


def attack(world, text: str, **how) -> None:
    """Call from a trunk with this as the caller's number, or from an account with this as what is dialled."""
    if "account" in how:
        call = RawCall(world.stack.sip, quote(text, safe=""), how["account"][0], how["account"])
    else:
        call = RawCall(world.stack.sip, "600", quote(text, safe=""), host=TRUNK_HOST)
    with call:
        assert call.place() == 200 or "account" in how  # a dialplan need not let such a number in
        time.sleep(0.6)


@pytest.fixture(scope="module")
def run(world):
    """Two talk while all of it comes; each says something before and after."""
    began = time.time()
    script, used = world.script(
        {"victim": Scenario(keys=((1_500, "1"),), max_ms=90_000)}, [world.agent(0, hangup_after_ms=None)]
    )
    with world.endpoints(TRUNK), Phones(script) as phones:
        agent_name = world.agents[0].name
        phones.wait_for("answered", agent_name)
        until(lambda: world.stack.console("core show channels concise").count("ChanSpy") == 2, 10)
        before = {name.split("-00")[0]: name for name in where(world)}
        talk = Talk(before[f"PJSIP/{used['victim']}"], before[f"PJSIP/{agent_name}"])
        was = where(world)
        attack(world, talk.key, account=world.account())
        for text in talk.forgeries():
            assert len(text) < 80
            attack(world, text)
        time.sleep(2)
        now = where(world)
        said = time.monotonic()
        phones.say("victim", SPEECH / f"{ASKS}.wav")
        phones.say(agent_name, SPEECH / f"{GREETS}.wav")
        time.sleep(6)
        phones.hang_up(agent_name)
        results = phones.wait(30)
    files = (world.stack.settings.state / "talks").glob("*/*.json")
    until(lambda: [f for f in files if f.stat().st_mtime >= began] or True, 5)
    time.sleep(1)
    records = [
        json.loads(f.read_text("utf-8"))
        for f in (world.stack.settings.state / "talks").glob("*/*.json")
        if f.stat().st_mtime >= began
    ]
    [mine] = [record for record in records if record["caller"] == talk.caller]
    heard = {
        "victim": read_wav(results["victim"].call.recording)[-12 * 8_000 :],
        "agent": read_wav(results[agent_name].calls[0].recording)[-12 * 8_000 :],
    }
    return {"was": was, "now": now, "record": mine, "heard": heard, "talk": talk, "said": said, "records": records}


def test_nobody_is_moved(run):
    talk = run["talk"]
    assert run["now"] == run["was"], "the same channels do the same as before"
    assert {talk.caller, talk.agent} == set(run["now"])


def test_the_two_hear_each_other(run):
    assert presence(run["heard"]["agent"], read_wav(SPEECH / f"{ASKS}.wav")).above_chance_db > 10
    assert presence(run["heard"]["victim"], read_wav(SPEECH / f"{GREETS}.wav")).above_chance_db > 10


def test_nothing_of_it_is_in_the_talks_record(run):
    kinds = [event["event"] for event in run["record"]["events"]]
    assert not {"key", "handed_over", "hand_over_failed", "transferred", "prompt_start"} & set(kinds), kinds
    assert kinds.count("joined") == 1 and kinds.count("leg") == 2, "the listening legs stay, too"
    assert [e["side"] for e in run["record"]["events"] if e["event"] == "hung_up"] == ["agent"]


def test_what_was_tampered_with_is_named_in_the_log_and_nobodys_number(run, world):
    log = (world.stack.home / "log" / "hearline.log").read_text("utf-8")
    assert "were tampered with" in log
    assert "HearlineKey" not in log


def test_asterisk_gives_all_that_is_needed(run, world):
    assert world.stack.get("/ready")["assist"]["missing"] == []


# ---- AGI -------------------------------------------------------------------------------------------------------------
def notes(world) -> set[str]:
    """The unique ids under which calls are remembered."""
    found = set()
    for file in world.stack.settings.state.rglob("*.sqlite*"):
        with suppress(sqlite3.Error), closing(sqlite3.connect(file)) as database:
            found |= {row[0] for row in database.execute("SELECT call FROM calls")}
    return found


@pytest.mark.parametrize(
    "more", ["agi_network_script: alive", "agi_uniqueid: 7.7\nagi_channel: x", "\n200 result=1 (x)"]
)
def test_what_is_dialled_gets_the_ivr_like_everything_else(world, more):
    account = world.account()
    with RawCall(world.stack.sip, quote(f"8001\n{more}", safe=""), account[0], account) as call:
        if call.place() != 200:
            return  # the dialplan does not let such a number in
        mine = f"PJSIP/{account[0]}-"
        until(lambda: [c for c in world.stack.get("/calls")["calls"] if c["channel"].startswith(mine)], 4)
        time.sleep(0.5)
    until(lambda: not world.stack.get("/calls")["calls"], 5)
    time.sleep(0.5)
    assert not {"7.7", "x"} & notes(world)
