"""Permission to whisper: the levels of the test tone and what follows from them. Asterisk and the line are
stand-ins."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import numpy as np
import pytest

import virtual_time
from hearline.assist.selftest.whisper_permission import AssistStatus, WhisperPermission, unheard_over_silence
from hearline.assist.selftest.whisper_selftest import TONE_DBOV, Found, NotTried, WhisperSelfTest, found
from hearline.audio.vad.detector import Detector
from hearline.audio.vad.tones import tone, tone_dbov
from hearline.media.worker_client import PendingCall, WorkerDown
from hearline.media.worker_protocol import LegReport
from hearline.pbx.ami import AmiDown
from hearline.pbx.chanspy import audiosocket, audiosocket_name

SILENT = -100.0


# ---- the tone ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dbov", [-12.0, -40.0, -72.0])
def test_a_tone_has_its_level_whatever_else_is_there(dbov):
    samples = tone(1_000, dbov, 100)
    assert tone_dbov(samples, 1_000) == pytest.approx(dbov, abs=0.5)
    assert tone_dbov(samples + tone(700, -12.0, 100), 1_000) == pytest.approx(dbov, abs=0.5)
    assert tone_dbov(tone(700, -12.0, 100), 1_000) < -90


def test_the_ears_tell_the_level_of_a_tone_over_the_last_100_ms():
    ears, frames = Detector(1), tone(1_000, -12.0, 100).reshape(5, 1, 160)
    ears.open(0)
    levels = []
    for frame in (*frames, *np.zeros_like(frames)):
        ears.step(frame, np.ones(1, bool))
        levels.append(ears.tone_dbov(0, 1_000))
    assert levels[4] == pytest.approx(-12.0, abs=0.1) and levels[9] == SILENT
    assert levels[0] < levels[1] < levels[2] < levels[3]


# ---- what its levels tell ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("agent", "caller", "leaks", "fault"),
    [
        ([-12.0] * 10, [SILENT] * 10, False, ""),
        ([-15.0, *[-12.0] * 9], [-72.0] * 10, False, ""),
        ([-12.0] * 10, [*[SILENT] * 9, -71.9], True, "the caller would hear a whisper"),
        ([-12.0] * 10, [-12.0] * 10, True, "the caller would hear a whisper"),
        ([SILENT] * 30, [SILENT] * 30, False, "an agent would not hear a whisper"),
        ([-30.0] * 30, [SILENT] * 30, False, "an agent would not hear a whisper"),
        ([SILENT] * 20 + [-12.0] * 10, [SILENT] * 30, False, ""),
    ],
)
def test_whispers_need_an_agent_who_hears_them_and_a_caller_60_db_below(agent, caller, leaks, fault):
    what = found(agent, caller)
    assert what.leaks is leaks
    assert what.fault.startswith(fault) and bool(what.fault) is bool(fault)


@pytest.mark.parametrize(("agent", "caller"), [([], [SILENT] * 10), ([-12.0] * 10, []), ([-12.0] * 10, [SILENT] * 9)])
def test_an_end_that_was_not_there_proves_nothing(agent, caller):
    with pytest.raises(NotTried):
        found(agent, caller)


# ---- the loop call -------------------------------------------------------------------------------------------------
@dataclass
class Loop:
    """Asterisk and the media worker in one: ends that have come hear what is said into the others.

    Args:
        joined: do the two ends hear each other?
        agent_db, caller_db: the whisper's gain towards the two ends.
    """

    joined: bool = True
    agent_db: float = 0.0
    caller_db: float = SILENT
    refuses: type[Exception] | None = None
    comes: bool = True
    ends: list[PendingCall] = field(default_factory=list)
    sounding: set[str] = field(default_factory=set)
    asked: list[dict[str, str]] = field(default_factory=list)
    withdrawn: list[PendingCall] = field(default_factory=list)

    def announce(self, plan, channel="", tone_hz=None) -> PendingCall:
        if self.refuses is WorkerDown:
            raise WorkerDown("the media worker does not answer")
        self.ends.append(PendingCall(f"end-{len(self.ends)}", ("127.0.0.1", 9192)))
        return self.ends[-1]

    def withdraw(self, visit: PendingCall) -> None:
        self.withdrawn.append(visit)

    def say(self, uuid: str, pcm: bytes) -> None:
        (self.sounding.add if pcm else self.sounding.discard)(uuid)

    async def ask(self, action: str, **headers: str) -> dict[str, str]:
        if self.refuses is AmiDown:
            raise AmiDown("no connection")
        assert action == "Originate"
        self.asked.append(headers)
        return {"Response": "Success"}

    def levels(self) -> dict[str, float]:
        """By end, as ten times a second."""
        caller, agent, whisper = (end.uuid for end in self.ends[-3:])
        at_agent = TONE_DBOV + self.agent_db if whisper in self.sounding else SILENT
        at_caller = TONE_DBOV + self.caller_db if whisper in self.sounding else SILENT
        if self.joined and agent in self.sounding:
            at_caller = TONE_DBOV
        return {caller: max(at_caller, SILENT), agent: max(at_agent, SILENT), whisper: SILENT}


def run(loop: Loop) -> Found:
    async def both() -> Found:
        call = WhisperSelfTest(loop, loop)
        trying = asyncio.create_task(call.run())
        while not trying.done():
            await asyncio.sleep(0.1)
            if loop.comes and len(loop.ends) >= 3:
                for uuid, level in loop.levels().items():
                    call.hear(LegReport(uuid, 100, (), level))
        return trying.result()

    return virtual_time.run(both())


@pytest.mark.parametrize(
    ("loop", "below_db"), [(Loop(), 88.0), (Loop(caller_db=-59.0), 59.0), (Loop(caller_db=0.0), 0.0)]
)
def test_the_loop_call_finds_how_far_the_caller_is_below(loop, below_db):
    assert run(loop).below_db == pytest.approx(below_db)


def test_it_whispers_as_in_a_talk_and_leaves_nothing_behind():
    loop = Loop()
    run(loop)
    caller, agent, whisper = loop.ends
    assert [(asked["Channel"], asked["Application"], asked["Data"]) for asked in loop.asked] == [
        (audiosocket(caller), "Dial", audiosocket(agent)),
        (audiosocket(whisper), "ChanSpy", f"{audiosocket_name(agent)},qoESuw"),
    ]
    assert loop.withdrawn == loop.ends


@pytest.mark.parametrize(
    "loop", [Loop(joined=False), Loop(comes=False), Loop(refuses=AmiDown), Loop(refuses=WorkerDown)]
)
def test_ends_that_do_not_come_or_do_not_hear_each_other_prove_nothing(loop):
    with pytest.raises(NotTried):
        run(loop)
    assert loop.withdrawn == loop.ends


# ---- the permit ----------------------------------------------------------------------------------------------------
class Asterisk:
    """What it says of itself."""

    def __init__(self, version: str = "22.10.1", began: str = "08:00:00", bridges: tuple[str, ...] = ("softmix",)):
        self.version, self.began, self.bridges = version, began, bridges

    async def ask(self, action: str) -> dict[str, str]:
        return {
            "CoreSettings": {"AsteriskVersion": self.version},
            "CoreStatus": {"CoreStartupDate": "2026-11-25", "CoreStartupTime": self.began},
        }[action]

    async def ask_list(self, action: str) -> list[dict[str, str]]:
        return [{"BridgeTechnology": name, "BridgeSuspended": "No"} for name in self.bridges]


class Tried:
    """Finds what it is told to, in turn; the last again and again."""

    def __init__(self, *results: Found | Exception) -> None:
        self.results, self.at = list(results), []

    async def run(self) -> Found:
        self.at.append(asyncio.get_running_loop().time())
        result = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        if isinstance(result, Exception):
            raise result
        return result


GOOD, LEAK, DEAF = Found(-12.0, SILENT), Found(-12.0, -40.0), Found(SILENT, SILENT)


def after(tried: Tried, *logins: Asterisk) -> list[AssistStatus]:
    """What is told when these Asterisks were logged into, one after the other, and a while has passed after each."""

    async def go() -> list[AssistStatus]:
        told: list[AssistStatus] = []
        asterisk = Asterisk()
        permitted = WhisperPermission(asterisk, tried, told.append)
        keeping = asyncio.create_task(permitted.keep())
        for login in logins:
            vars(asterisk).update(vars(login))
            await permitted.logged_in()
            await asyncio.sleep(3_600)
            assert permitted.allowed is told[-1].whispers
            permitted.logged_out()
        keeping.cancel()
        return told

    return virtual_time.run(go())


def test_nobody_is_whispered_to_before_the_tone_was_tried():
    first, second, last = after(Tried(GOOD), Asterisk())
    assert (first.whispers, first.why) == (False, "not tried yet")
    assert second.whispers and "88 dB softer" in second.why
    assert not last.connected


def test_a_leak_stands_until_there_is_another_asterisk():
    tried = Tried(LEAK, GOOD)
    told = after(tried, Asterisk(), Asterisk(), Asterisk(began="09:00:00"))
    assert len(tried.at) == 2
    assert [standing.whispers for standing in told if standing.connected] == [False, False, False, False, True]
    assert "the caller would hear a whisper, 28 dB below" in told[1].why


@pytest.mark.parametrize("fails", [NotTried("the loop call broke"), DEAF])
def test_what_was_not_found_out_is_tried_again(fails):
    tried = Tried(*[fails] * 5, GOOD)
    told = after(tried, Asterisk())
    assert np.diff(tried.at).tolist() == [1, 5, 15, 60, 60] and told[-1].whispers
    assert not told[1].whispers and told[1].why


def test_the_same_asterisk_is_not_tried_again_and_another_one_is():
    tried = Tried(GOOD)
    told = after(tried, Asterisk(), Asterisk(), Asterisk("22.11.0"))
    assert len(tried.at) == 2
    assert [standing.whispers for standing in told if standing.connected] == [False, True, True, False, True]


@pytest.mark.parametrize(
    ("version", "bridges", "heard"),
    [
        ("22.10.1+dfsg", ("holding_bridge", "softmix"), True),
        ("22.10.1+dfsg", ("holding_bridge", "simple_bridge", "softmix"), False),
        ("22.10.1", ("native_rtp", "softmix"), False),
        ("22.11.0", ("simple_bridge", "native_rtp", "softmix"), True),
        ("23.4.1", ("simple_bridge",), False),
        ("23.5.0", ("simple_bridge",), True),
        ("", ("simple_bridge",), False),
    ],
)
def test_a_bridge_of_two_swallows_whispers_over_silence_until_22_11(version, bridges, heard):
    at_work = [{"BridgeTechnology": name, "BridgeSuspended": "No"} for name in bridges]
    told = unheard_over_silence(version, at_work)
    assert (told == "") is heard
    assert heard or "hearline-bridges.conf" in told
    suspended = [bridge | {"BridgeSuspended": "Yes"} for bridge in at_work]
    assert unheard_over_silence(version, suspended) == ""
