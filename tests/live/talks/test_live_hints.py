"""Hints on real calls: which come, when, and who hears them. Each rule that fires by itself has one conversation in
which it must fire, and a similar one in which it must not. Times and whispers are judged by the phones, cards by the
talk's record."""

from __future__ import annotations

import heapq
import itertools
import json
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from hearline.audio.wav import read_wav
from hearline.phone.heard import find_prompts
from hearline.phone.judge import prompts_of
from world import RATE, SOUNDS, SPEECH, Phones, Scenario

WHISPERS = prompts_of(SOUNDS / "zh" / "hints")
ASK, HERE, WEI, LONG, LOUDER = "caller-ask", "caller-here", "caller-wei", "caller-long", "caller-louder"
GREETING, REPLY = "agent-greeting", "agent-reply"
LENGTH_S = {path.stem: read_wav(path).size / RATE for path in SPEECH.glob("*.wav")}
KEY_MS = 1_500  # leads on at once to the queue
JOINED_S = 3.3  # after the agent's answer: the whisper before the join has ended
TOO_SOFT_DB = -28.0  # on −23 dBov: raising the line by 9 dB is not enough
RAISED_DB = -16.0  # here it is
LATE_MS = 400


@dataclass(frozen=True)
class Step:
    """What a side does, ``at`` s after the join: says a sentence, or ``hold``, ``unhold``, ``hangup``."""

    at: float
    side: str
    do: str
    gain_db: float = 0.0


def caller(at: float, do: str, gain_db: float = 0.0) -> Step:
    return Step(at, "caller", do, gain_db)


def agent(at: float, do: str, gain_db: float = 0.0) -> Step:
    return Step(at, "agent", do, gain_db)


CONVERSATIONS = {
    # Four at once, answered in time.
    "long turn": (
        agent(0.3, GREETING), caller(6, LONG), caller(17.9, LOUDER), caller(21.9, ASK), caller(25.4, ASK),
        caller(41.5, "hangup"),
    ),
    "acknowledged": (
        agent(0.3, GREETING), caller(6, LONG), agent(15, HERE), caller(17.9, LOUDER), caller(21.9, ASK),
        caller(25.4, ASK), caller(36, HERE), caller(37.8, "hold"), caller(39.8, "unhold"), caller(41, "hangup"),
    ),
    "long hold": (
        agent(0.3, GREETING), agent(6.4, "hold"), agent(33.4, "unhold"), agent(34, GREETING), caller(40.5, "hangup"),
    ),
    "short holds": (
        agent(0.3, GREETING), agent(9, "hold"), agent(11, "unhold"), agent(12.5, "hold"), agent(14.5, "unhold"),
        agent(16, "hold"), agent(36, "unhold"), caller(38, "hangup"),
    ),
    # Four who had to wait for them.
    "soft caller": (
        caller(0.5, ASK, TOO_SOFT_DB), caller(3.6, ASK, TOO_SOFT_DB), caller(6.7, ASK, TOO_SOFT_DB), caller(11, LOUDER),
        caller(17, LONG), agent(18.5, REPLY), agent(25, GREETING), agent(33.5, "hangup"),
    ),
    "normal caller": (
        caller(0.5, ASK), caller(3.6, ASK), caller(6.7, ASK), caller(11, LOUDER),
        caller(17, LONG), agent(18.5, REPLY), agent(28.7, GREETING), caller(35, "hangup"),
    ),
    "soft agent": (
        agent(0.5, REPLY, TOO_SOFT_DB), caller(8, HERE), agent(12, REPLY), agent(16.9, REPLY), agent(21.8, REPLY),
        agent(26.7, REPLY), caller(33, "hangup"),
    ),
    "raised agent": (
        agent(0.5, REPLY, RAISED_DB), caller(8, HERE), agent(12, REPLY), agent(16.9, REPLY), caller(20, WEI),
        agent(21.8, REPLY), agent(26.7, REPLY), caller(33, "hangup"),
    ),
}  # fmt: skip
IN_TIME = ("long turn", "acknowledged", "long hold", "short holds")

COMES = {  # rule: (where it must come, where it must not)
    "answered_late": ("soft caller", "long turn"),
    "caller_too_soft": ("soft caller", "normal caller"),
    "caller_silent": ("soft agent", "raised agent"),
    "agent_too_soft": ("soft agent", "raised agent"),
    "listening": ("long turn", "acknowledged"),
    "interrupting": ("soft caller", "normal caller"),
    "before_hold": ("long hold", "acknowledged"),  # there it is the caller who holds
    "during_hold": ("long hold", "short holds"),
    "after_hold": ("long hold", "acknowledged"),
    "cannot_answer": ("short holds", "long hold"),
    "nothing_more": ("long turn", "acknowledged"),
    "hung_up_first": ("soft caller", "normal caller"),
}


@dataclass
class Talk:
    """A conversation as it went. ``done``: when each step was done, monotonic s."""

    record: dict
    done: dict[Step, float]
    caller_heard: Path
    agent_heard: Path

    def shown(self, rule: str) -> list[float]:
        """When its card came, on the phones' clock (monotonic s)."""
        began = datetime.fromisoformat(self.record["began_at"]).timestamp() - time.time() + time.monotonic()
        cards = (e for e in self.record["events"] if e["event"] == "show_card" and e["rule"] == rule)
        return [began + card["at_ms"] / 1_000 for card in cards]

    def ended(self, side: str, do: str, which: int = 0) -> float:
        """When a side had said that, or done it; ``which`` of several times."""
        steps = [step for step in self.done if (step.side, step.do) == (side, do)]
        return self.done[steps[which]] + LENGTH_S.get(do, 0.0)


def perform(phones: Phones, callers: dict[str, str]) -> tuple[dict[str, dict[Step, float]], dict[str, tuple[str, int]]]:
    """Let every conversation take its course as soon as its caller is joined with an agent; ``callers``: their
    accounts, by conversation. Returns when each step was done, and which agent it was in which of their calls."""
    done: dict[str, dict[Step, float]] = {name: {} for name in callers}
    with_whom: dict[str, tuple[str, int]] = {}
    ringing: dict[tuple[str, int], str] = {}
    agenda: list = []
    order, seen, deadline = itertools.count(), 0, time.monotonic() + 120
    while len(with_whom) < len(callers) or agenda:
        assert time.monotonic() < deadline, with_whom
        for event in phones.events[seen:]:
            seen += 1
            who = event["phone"], event["call"]
            if event["event"] == "ringing" and "remote" in event:
                ringing[who] = next(name for name, account in callers.items() if account in event["remote"])
            elif event["event"] == "answered" and who in ringing:
                name = ringing[who]
                with_whom[name] = who
                for step in CONVERSATIONS[name]:
                    heapq.heappush(agenda, (event["at"] + JOINED_S + step.at, next(order), name, step))
        while agenda and agenda[0][0] <= time.monotonic():
            _, _, name, step = heapq.heappop(agenda)
            _do(phones, step, name if step.side == "caller" else with_whom[name][0])
            done[name][step] = time.monotonic()
        time.sleep(0.01)
    return done, with_whom


def _do(phones: Phones, step: Step, phone: str) -> None:
    if step.do == "hangup":
        phones.hang_up(phone)
    elif step.do in ("hold", "unhold"):
        phones.act(phone, step.do)
    else:
        phones.say(phone, SPEECH / f"{step.do}.wav", step.gain_db)


@pytest.fixture(scope="module")
def talks(world) -> dict[str, Talk]:
    began = time.time()
    agents = [world.agent(i, hangup_after_ms=None) for i in range(4)]
    scenarios = {
        name: Scenario(keys=((KEY_MS, "1"),), start_ms=0 if name in IN_TIME else 2_000, max_ms=120_000)
        for name in CONVERSATIONS
    }
    script, used = world.script(scenarios, agents)
    with Phones(script) as phones:
        done, with_whom = perform(phones, used)
        results = phones.wait(20)
    folder = world.stack.settings.state / "talks"

    def records() -> dict[str, dict]:
        found = [json.loads(f.read_text("utf-8")) for f in folder.glob("*/*.json") if f.stat().st_mtime >= began]
        return {talk["caller"].split("/")[1].split("-")[0]: talk for talk in found}

    deadline = time.monotonic() + 5
    while len(records()) < len(used):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    told = records()
    return {
        name: Talk(
            told[account],
            done[name],
            results[name].call.recording,
            results[with_whom[name][0]].calls[with_whom[name][1] - 1].recording,
        )
        for name, account in used.items()
    }


# ---- each rule that fires by itself ----------------------------------------------------------------------------------
@pytest.mark.parametrize("rule", COMES)
def test_it_comes_where_it_must_and_only_there(talks, rule):
    where, where_not = COMES[rule]
    assert talks[where].shown(rule)
    assert not talks[where_not].shown(rule)


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_every_talk_begins_with_the_greeting(talks, name):
    assert talks[name].shown("answering" if name in IN_TIME else "answered_late")


@pytest.mark.realtime
@pytest.mark.parametrize(
    ("rule", "name", "after", "seconds"),
    [
        ("caller_silent", "short holds", ("agent", GREETING), 3),
        ("caller_silent", "soft agent", ("agent", REPLY, 1), 15 - LENGTH_S[REPLY]),  # explains to somebody silent
        ("listening", "long turn", ("caller", LONG), 20 - LENGTH_S[LONG]),
        ("interrupting", "soft caller", ("agent", GREETING), 1.7 - LENGTH_S[GREETING]),  # the ears' 0.7 s to be sure
        ("before_hold", "long hold", ("agent", "hold"), 0),
        ("during_hold", "long hold", ("agent", "hold"), 25),
        ("after_hold", "long hold", ("agent", "unhold"), 0),
        ("cannot_answer", "short holds", ("agent", "hold", 2), 0),
        ("nothing_more", "long turn", ("caller", ASK, 1), 10),
    ],
)
def test_it_comes_in_time(talks, rule, name, after, seconds):
    [shown, *_] = talks[name].shown(rule)
    assert (shown - talks[name].ended(*after) - seconds) * 1_000 == pytest.approx(0, abs=LATE_MS)


# ---- who hears what --------------------------------------------------------------------------------------------------
WHISPERED = {"soft caller": ["caller-too-soft", "let-them-speak"], "soft agent": ["agent-too-soft"]}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_the_agent_hears_the_whisper_and_the_caller_does_not(talks, name):
    """While a phone holds it plays nothing of what it is sent: there is only the card."""
    heard = find_prompts(read_wav(talks[name].agent_heard), WHISPERS)
    assert [whisper.id for whisper in heard if whisper.complete > 0.5] == WHISPERED.get(name, [])
    assert not [w for w in find_prompts(read_wav(talks[name].caller_heard), WHISPERS) if w.complete > 0.1]


# ---- holds, and who hung up ------------------------------------------------------------------------------------------
@pytest.mark.realtime
def test_holds_are_counted_and_the_longest_has_a_name(talks):
    holds = talks["short holds"].record["holds"]
    assert holds["count"] == 3
    assert holds["longest_by"] in ("8016", "8017", "8018", "8019")
    assert holds["longest_ms"] == pytest.approx(20_000, abs=LATE_MS)
    assert holds["total_ms"] == pytest.approx(24_000, abs=2 * LATE_MS)


def test_a_callers_hold_is_no_hold_of_the_agents(talks):
    holds = talks["acknowledged"].record["holds"]
    assert (holds["count"], holds["longest_by"]) == (0, "caller")


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_who_hung_up_first_is_told(talks, name):
    ended = [event["side"] for event in talks[name].record["events"] if event["event"] == "hung_up"]
    assert ended == [next(step.side for step in CONVERSATIONS[name] if step.do == "hangup")]
