"""Raising a soft caller's line: how far, which lines are not raised, and what happens if Asterisk cannot do it."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from pathlib import Path

import numpy as np
import pytest
from asterisk.agi import AGIAppError, AGIHangup
from hypothesis import given
from hypothesis import strategies as st

from audio_corpus import CLIPS, RATE, call, speech, street, white
from hearline.audio.hearing import Hearing
from hearline.audio.level.gain import NOISE_LIMIT_DBOV, NOMINAL_DBOV, gain_factor, line_gain_db, verdict_when_raised
from hearline.audio.settings import DEFAULT
from hearline.media.simulate import simulate
from hearline.media.worker_protocol import Finished
from hearline.pbx.config import PRESENTATION
from hearline.server.scripts import hotline

SOUNDS = Path(__file__).resolve().parents[2] / "sounds"
MAX_DB = 9


def heard(level_dbov: float | None, noise_dbov: float = -65.0, speech_ms: int = 2_500, final: bool = True) -> Hearing:
    """A hearing as the detector would give it, without its hysteresis."""
    if level_dbov is None:
        verdict, speech_ms = ("noise", "noise"), 0
    else:
        verdict = ("too_soft", "soft") if level_dbov < DEFAULT.too_soft_dbov else ("speech", "normal")
    return Hearing(*verdict, final, level_dbov, 1.0, noise_dbov, speech_ms, 0 if speech_ms else None, 0.0, 0.9)


# ---- how far -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("level_dbov", "noise_dbov", "gain_db"),
    [
        (-23.0, -65.0, 0),
        (-35.0, -65.0, 0),  # normal
        (-35.1, -65.0, 9),
        (-42.0, -65.0, 9),
        (-60.0, -65.0, 9),
        (-42.0, -52.5, 7),  # the noise would come over −45 dBov
        (-42.0, -45.0, 0),
        (-42.0, -40.0, 0),
    ],
)
def test_a_soft_speaker_is_raised_as_far_as_it_is_useful(level_dbov, noise_dbov, gain_db):
    assert line_gain_db(heard(level_dbov, noise_dbov), MAX_DB) == gain_db


def test_nobody_is_raised_beyond_the_nominal_level():
    assert line_gain_db(heard(-36.5), 15) == 10


@pytest.mark.parametrize(
    ("level_dbov", "verdict"), [(-36.0, "speech"), (-42.0, "speech"), (-47.0, "speech"), (-47.1, "too_soft")]
)
def test_only_who_is_still_too_soft_is_asked_to_speak_up(level_dbov, verdict):
    hearing = heard(level_dbov)
    assert verdict_when_raised(hearing, line_gain_db(hearing, MAX_DB)) == verdict


def test_without_gain_the_ears_have_the_last_word():
    """Theirs is a hysteresis, too: who was too soft may be judged so up to −35 dBov."""
    still = dataclasses.replace(heard(-36.0), verdict="too_soft", reason="soft")
    assert verdict_when_raised(still, 0) == "too_soft"


levels = st.floats(-100, 0)
hearings = st.builds(
    heard,
    level_dbov=st.none() | levels,
    noise_dbov=levels,
    speech_ms=st.integers(0, 20_000),
    final=st.booleans(),
)


@given(hearings, st.integers(0, 15))
def test_whatever_was_heard_the_limits_hold(hearing, max_gain_db):
    gain_db = line_gain_db(hearing, max_gain_db)
    level_dbov = hearing.active_level_dbov
    assert isinstance(gain_db, int) and 0 <= gain_db <= max_gain_db
    if gain_db:
        assert hearing.speech_ms and level_dbov < DEFAULT.normal_dbov
        assert level_dbov + gain_db <= NOMINAL_DBOV
        assert hearing.noise_level_dbov + gain_db <= NOISE_LIMIT_DBOV
    raised = verdict_when_raised(hearing, gain_db)
    assert raised == hearing.verdict or (hearing.verdict, raised) == ("too_soft", "speech")


@given(levels, levels, levels)
def test_the_softer_caller_is_never_raised_less(one, other, noise_dbov):
    soft, loud = sorted((one, other))
    assert line_gain_db(heard(soft, noise_dbov), MAX_DB) >= line_gain_db(heard(loud, noise_dbov), MAX_DB)


# ---- in a call ---------------------------------------------------------------------------------------------------
def run(flows, *said: tuple[float, float], background=None, **plan):
    """Run the hotline; ``said`` holds (s, dBov) of a sentence."""
    line = np.zeros(60 * RATE) if background is None else background
    for at_s, dbov in said:
        clip = speech(CLIPS[2], dbov)
        line[round(at_s * RATE) : round(at_s * RATE) + clip.size] += clip
    settled = dataclasses.replace(flows.flows["hotline"].plan, **plan)
    pcm = np.clip(np.rint(line * 32768), -32768, 32767).astype(np.int16)
    timeline, _ = simulate(settled, None, pcm, SOUNDS)
    return timeline


def events(timeline, kind: str, field: str) -> list:
    return [event[field] for event in timeline.events if event["event"] == kind]


def test_a_soft_caller_is_raised_and_not_asked(flows):
    record = run(flows, (4.5, -42.0))
    assert record.outcome == "queue:care" and record.as_dict()["gain_db"] == 9
    assert events(record, "prompt_start", "prompt") == ["opening"]
    assert events(record, "gain", "gain_db") == [9]
    assert events(record, "gain", "level_dbov")[0] == pytest.approx(-42, abs=3), "as it came, before the gain"
    assert set(events(record, "verdict", "verdict")) == {"too_soft"}, "the ears say what came"
    assert events(record, "route", "heard") == ["normal"]


def test_a_flow_may_do_without(flows):
    record = run(flows, (4.5, -42.0), max_gain_db=0)
    assert record.outcome == "hangup:too_soft" and record.gain_db == 0 and not events(record, "gain", "gain_db")


def test_a_profile_says_from_where_on_a_caller_is_too_soft(flows):
    """And with it who is raised: nobody who is normal."""
    own = {"too_soft_dbov": -48, "normal_dbov": -46}
    record = run(flows, (4.5, -42.0), **own)
    assert record.outcome == "queue:care" and record.gain_db == 0
    assert set(events(record, "verdict", "verdict")) == {"speech"}
    assert run(flows, (4.5, -42.0), max_gain_db=0, **own).outcome == "queue:care"
    assert run(flows, (4.5, -30.0), max_gain_db=0, too_soft_dbov=-26, normal_dbov=-26).outcome == "hangup:too_soft"


def test_a_profile_says_when_speech_has_ended(flows):
    """Two words, 0.85 s apart: one speech for the elder, two for others; and one turn for both, see turn_pause."""
    word = speech(CLIPS[0], -24)[2_000:4_800]
    line = np.concatenate([np.zeros(4 * RATE), word, np.zeros(round(0.85 * RATE)), word, np.zeros(4 * RATE)])
    pcm = np.rint(line * 32768).astype(np.int16)
    for name, ends in (("hotline", 2), ("elder", 1)):
        record, _ = simulate(flows.flows[name].plan, None, pcm, SOUNDS)
        assert len(events(record, "speech_end", "end_ms")) == ends
        assert len(events(record, "turn_end", "step")) == 1 and record.outcome.startswith("queue")


def test_who_is_too_soft_even_so_is_asked_and_the_last_speech_decides(flows):
    record = run(flows, (4.5, -52.0), (15.0, -24.0))
    assert record.outcome == "queue:care"
    assert events(record, "prompt_start", "prompt") == ["opening", "low-1"]
    assert events(record, "gain", "gain_db") == [9, 0] and record.gain_db == 0
    assert events(record, "route", "heard") == ["low"]


def test_a_normal_caller_is_left_alone(flows):
    record = run(flows, (4.5, -26.0))
    assert record.outcome == "queue:care" and record.gain_db == 0 and not events(record, "gain", "gain_db")


@pytest.mark.parametrize("noise", [street(60, -44, seed=3), white(60, -50)], ids=["street", "comfort noise"])
def test_noise_alone_is_never_raised(flows, noise):
    record = run(flows, background=noise)
    assert record.gain_db == 0 and not events(record, "gain", "gain_db")


def test_a_noisy_line_is_raised_less(flows):
    record = run(flows, (4.5, -42.0), background=call(np.zeros(0), 60, 0, -50.0))
    assert events(record, "gain", "gain_db")[-1] == pytest.approx(5, abs=1)


# ---- on the channel ----------------------------------------------------------------------------------------------
class Pbx:
    """What the script tells Asterisk. ``failure`` is raised by VOLUME; without func_volume it reads as nothing."""

    def __init__(self, failure: Exception | None = None, loaded: bool = True) -> None:
        self.env, self.local_host = {"agi_extension": "8001", "agi_channel": "PJSIP/x-1"}, "127.0.0.1"
        self.set: list[tuple[str, str]] = []
        self._failure, self._loaded = failure, loaded

    def patience(self, _seconds):
        return contextlib.nullcontext()

    def appexec(self, *_): ...

    def set_variable(self, name: str, value: str) -> None:
        if name == "VOLUME(RX)" and self._failure:
            raise self._failure
        self.set.append((name, value))

    def get_variable(self, name: str) -> str:
        if name == PRESENTATION:
            return "allowed"
        return dict(self.set).get(name, "") if self._loaded else ""


class OneCall:
    """A line whose only call ends as told."""

    address, uuid = ("127.0.0.1", 9092), "u"

    def __init__(self, outcome: str, gain_db: int) -> None:
        self._result = Finished("u", "PJSIP/x-1", outcome, "normal", {"gain_db": gain_db})

    def announce(self, *_):
        return self

    def wait(self, _seconds):
        return self._result

    def withdraw(self, _visit): ...


def serve(flows, pbx: Pbx, outcome: str, gain_db: int) -> dict[str, str]:
    hotline.serve(pbx, flows, OneCall(outcome, gain_db), lost=lambda _: pytest.fail("nothing was lost"))
    return dict(pbx.set)


def test_asterisk_is_given_a_factor_before_the_queue(flows):
    pbx = Pbx()
    assert float(serve(flows, pbx, "queue:care", 9)["VOLUME(RX)"]) == pytest.approx(gain_factor(9), abs=0.001)
    names = [name for name, _ in pbx.set]
    assert names[-1] == "HEARLINE_RESULT", "whatever breaks before it, the caller reaches the queue"


@pytest.mark.parametrize(("outcome", "gain_db"), [("queue:care", 0), ("hangup:too_soft", 9), ("message", 9)])
def test_other_lines_are_left_alone(flows, outcome, gain_db):
    assert "VOLUME(RX)" not in serve(flows, Pbx(), outcome, gain_db)


@pytest.mark.parametrize(
    ("pbx", "why"), [(Pbx(AGIAppError("failed")), "AGIAppError"), (Pbx(loaded=False), "func_volume")]
)
def test_a_line_that_cannot_be_raised_costs_nobody_the_call(flows, pbx, why, caplog):
    with caplog.at_level(logging.WARNING):
        assert serve(flows, pbx, "queue:care", 9)["HEARLINE_RESULT"] == "queue"
    assert why in caplog.text


def test_a_caller_who_hangs_up_meanwhile_is_gone(flows):
    pbx = Pbx(AGIHangup("gone"))
    with pytest.raises(AGIHangup):
        serve(flows, pbx, "queue:care", 9)
    assert "HEARLINE_RESULT" not in dict(pbx.set)
