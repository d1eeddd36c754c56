"""What is done for those who talk, and what is kept of it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field

import pytest

from hearline.assist.legs import Leg
from hearline.assist.spying import Side
from hearline.assist.switchboard import Conversation
from hearline.assist.talks import Talks
from hearline.audio.hearing import Heard, Hearing
from hearline.line.control import Overheard
from hearline.line.workers import Visit
from hearline.pbx.ami import AmiRefused

CALLER, AGENT, SECOND = "PJSIP/trunk-1", "PJSIP/agent-8016-2", "PJSIP/agent-8017-3"


@dataclass
class Asked:
    """Stands where Asterisk's manager interface stands, and remembers what it was asked."""

    refuses: bool = False
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def ask(self, action: str, **headers: str) -> dict[str, str]:
        assert (action, headers["Variable"]) == ("Setvar", "VOLUME(RX)")
        self.asked.append((headers["Channel"], headers["Value"]))
        if self.refuses:
            raise AmiRefused("No such channel")
        return {"Response": "Success"}


def turn(level_dbov: float, speech_ms: int = 2_000, noise_dbov: float = -70.0) -> Overheard:
    verdict, reason = ("too_soft", "soft") if level_dbov < -38 else ("speech", "normal")
    hearing = Hearing(verdict, reason, True, level_dbov, 1.0, noise_dbov, speech_ms, 0, 0.0, 0.9)
    return Overheard("leg", 5_000, (Heard(5_000, hearing),), level_dbov)


def leg(channel: str, side: Side) -> Leg:
    return Leg(channel, side, CALLER, Visit("leg", ("127.0.0.1", 1)), 0.0)


@pytest.fixture
def ami() -> Asked:
    return Asked()


@pytest.fixture
def talks(ami, tmp_path) -> Talks:
    talks = Talks(ami, tmp_path / "talks")
    talks.follow([Conversation(CALLER, (AGENT,), "care", "normal")])
    return talks


def hear(talks: Talks, *turns: Overheard, channel: str = AGENT, side: Side = Side.AGENT) -> None:
    """These turns, each worked on before the next."""

    async def run() -> None:
        working = asyncio.create_task(talks.work())
        for message in turns:
            talks.hear(leg(channel, side), message)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        working.cancel()

    asyncio.run(run())


def record(tmp_path) -> dict:
    [file] = (tmp_path / "talks").glob("*/*.json")
    return json.loads(file.read_text("utf-8"))


def events(tmp_path) -> list[str]:
    return [event["event"] for event in record(tmp_path)["events"]]


def test_a_soft_agent_is_raised_and_a_normal_one_is_not(talks, ami):
    hear(talks, turn(-25.0))
    assert ami.asked == []
    hear(talks, turn(-42.0))
    assert ami.asked == [(AGENT, "2.818")]


def test_a_line_that_needs_no_gain_any_more_is_put_back(talks, ami):
    hear(talks, turn(-42.0), turn(-25.0))
    assert [value for _, value in ami.asked] == ["2.818", "1.000"]


def test_a_little_more_or_less_is_left_alone(talks, ami):
    hear(talks, turn(-35.5), turn(-36.0), turn(-37.0), turn(-38.0))
    assert len(ami.asked) == 1


def test_a_word_is_too_short_to_judge_by(talks, ami):
    hear(talks, turn(-45.0, speech_ms=600))
    assert ami.asked == []


def test_a_callers_line_is_not_touched_here(talks, ami):
    hear(talks, turn(-45.0), channel=CALLER, side=Side.CALLER)
    assert ami.asked == []


def test_what_asterisk_refused_is_tried_again_with_the_next_turn(talks, ami):
    ami.refuses = True
    hear(talks, turn(-42.0))
    ami.refuses = False
    hear(talks, turn(-42.0))
    assert [value for _, value in ami.asked] == ["2.818", "2.818"]


def test_a_second_agent_has_a_gain_of_their_own(talks, ami):
    talks.follow([Conversation(CALLER, (AGENT, SECOND), "care", "normal")])
    hear(talks, turn(-42.0))
    hear(talks, turn(-42.0), channel=SECOND)
    assert [channel for channel, _ in ami.asked] == [AGENT, SECOND]


def test_the_record_of_a_talk(talks, tmp_path):
    hear(talks, turn(-42.0))
    talks.follow([Conversation(CALLER, (AGENT,), "care", "normal", on_hold=True)])
    talks.follow([Conversation(CALLER, (SECOND,), "care", "normal")])
    talks.follow([])
    assert events(tmp_path) == ["joined", "agent_gain", "hold", "agents", "unhold", "ended"]
    assert record(tmp_path)["events"][0]["queue"] == "care"


def test_a_leg_of_a_talk_that_is_over_is_no_matter(talks, ami):
    talks.follow([])
    hear(talks, turn(-42.0))
    assert ami.asked == []


def test_a_record_that_cannot_be_written_costs_nothing(ami, tmp_path):
    (tmp_path / "talks").write_text("no folder")
    talks = Talks(ami, tmp_path / "talks")
    talks.follow([Conversation(CALLER, (AGENT,), "care", "normal")])
    talks.follow([])
