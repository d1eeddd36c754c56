"""The engine in virtual time: the standard's sequences to the ms, and properties that hold for any events."""

from __future__ import annotations

from pathlib import Path
from shutil import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hearline.call import engine as e
from hearline.call.plan import Plan, Verdict
from hearline.server.flow_store import load_flow
from virtual_call import PROMPT_MS, VirtualCall

REPO = Path(__file__).resolve().parents[2]
P = PROMPT_MS
SOFT, LOUD = Verdict.TOO_SOFT, Verdict.SPEECH


# ---- §1.2 ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("flow", ["hotline", "training", "travel"])
def test_silence_goes_through_every_step_on_time(call, flow):
    expected, t = [], 0
    for prompt in ("opening", "noinput-1", "noinput-2", "noinput-goodbye"):
        expected.append((t, prompt))
        t += P + 3_000
    assert call(flow).run().log == [*expected, (t - 3_000 + 2_000, "hangup:noinput")]


def test_national_profile_waits_five_seconds(call):
    log = call("national").run().log
    starts = [at for at, _ in log]
    assert [b - a for a, b in zip(starts, starts[1:])] == [P + 5_000] * 4


def test_elder_profile_never_hangs_up_on_silence(call):
    log = call("elder").run().log
    assert [what for _, what in log] == ["opening", "noinput-1", "noinput-2", "queue:care"]
    assert log[-1][0] == 3 * (P + 7_000)


# ---- §1.4 ------------------------------------------------------------------------------------------------------------
def test_a_nuisance_call_is_asked_and_then_let_go(call):
    assert call("nuisance").run().log == [
        (0, "nuisance-1"), (P + 3_000, "nuisance-goodbye"), (2 * P + 5_000, "hangup:nuisance")
    ]  # fmt: skip


@pytest.mark.parametrize("verdict", [LOUD, SOFT])
def test_who_speaks_is_heard_out_and_asked_once_more(call, verdict):
    log = call("nuisance").speak(P + 1_000, 30_000, verdict).run().log
    assert log[1:] == [
        (P + 32_100, "nuisance-1"), (2 * P + 35_100, "nuisance-goodbye"), (3 * P + 37_100, "hangup:nuisance")
    ]  # fmt: skip
    twice = call("nuisance").speak(P + 1_000, 30_000, verdict).speak(P + 33_100, 20_000, verdict).run().log
    assert twice[2:] == [
        (P + 33_250, "stop"), (P + 54_200, "nuisance-goodbye"), (2 * P + 56_200, "hangup:nuisance")
    ]  # fmt: skip


@pytest.mark.parametrize("into", [1_000, P + 1_000])
def test_who_speaks_into_the_goodbye_or_the_pause_is_heard_out(call, into):
    began = P + 3_000 + into
    log = call("nuisance").speak(began, 20_000).run().log
    assert log[-1] == (began + 20_000 + 1_100 + 2_000, "hangup:nuisance")
    assert "nuisance-goodbye" not in [what for at, what in log if at > began]


def test_who_had_talked_on_into_a_prompt_and_stops_hears_it_to_its_end(call):
    """A minute without a pause is long enough: they are asked, as nobody else can be."""
    virtual = call("nuisance").at(1_000, e.SpeechStarted())
    virtual.at(61_400, e.SpeechEnded(Verdict.SPEECH, 700)).at(61_400, e.Heard(Verdict.SPEECH)).run()
    assert virtual.log[2:] == [
        (61_000, "nuisance-1"), (61_000 + P + 3_000, "nuisance-goodbye"), (61_000 + 2 * P + 5_000, "hangup:nuisance"),
    ]  # fmt: skip


def test_a_nuisance_caller_who_never_stops_is_let_go_within_the_limit(call):
    virtual = call("nuisance")
    for at in range(1_000, 280_000, 61_000):
        virtual.speak(at, 60_900)
    assert virtual.run().log[-1][1] == "hangup:nuisance"


@pytest.mark.parametrize("into", [100, P + 1_000, P + 4_000, 2 * P + 4_900])
def test_a_nuisance_callers_key_leads_to_a_person(call, into):
    assert call("nuisance").at(into, e.Key()).log[-1] == (into, "queue:care")


# ---- the caller is there ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("into", [100, P + 100, P + 2_900, 2 * P + 3_500, 3 * P + 9_100, 4 * P + 9_900])
def test_speech_at_any_moment_stops_the_countdown(call, into):
    """In the opening, in a wait, in prompt 2, in the goodbye and in the 2 s pause."""
    virtual = call().speak(into, 800).run()
    assert virtual.finish.outcome == "queue:care"
    assert virtual.log[-1][0] == into + 800 + 1_100, "the turn's end is 1.1 s after the last word"
    assert all(at <= into + 150 for at, what in virtual.log[:-1]), "nothing new is played after the caller spoke"


@pytest.mark.parametrize("into", [0, 100, P + 10, 3 * P + 9_500, 4 * P + 10_990])
def test_a_key_at_any_moment_leads_on_at_once(call, into):
    virtual = call().at(into, e.Key())
    assert (virtual.finish.outcome, virtual.finish.heard) == ("queue:care", "key")
    assert virtual.log[-1][0] == into


def test_speech_stops_the_prompt(call):
    log = call().speak(1_000, 500).run().log
    assert log[:2] == [(0, "opening"), (1_150, "stop")]


def test_a_pause_for_breath_does_not_end_the_turn(call):
    virtual = call().speak(5_000, 1_500)
    virtual.speak(7_300, 1_000).run()  # 800 ms after the first words: before the turn's end
    assert virtual.log[-1] == (9_400, "queue:care")


def test_endless_talk_is_taken_to_a_person(call):
    virtual = call().at(5_000, e.SpeechStarted()).run()
    assert virtual.log[-1] == (5_000 + 15_000, "queue:care")


@pytest.mark.parametrize("moment", [0, 2_000, P + 1_000, P + 3_000, 4 * P + 10_500])
def test_hanging_up_ends_the_call_at_once(call, moment):
    virtual = call().at(moment, e.HungUp())
    assert virtual.finish.outcome == "hangup:caller"
    assert virtual.engine.deadline is None


def test_what_the_agent_is_told(call):
    assert call().speak(P + 500, 1_200).run().finish.heard == "normal"
    assert call().speak(P + 3_500, 1_200).run().finish.heard == "silent1"
    assert call().speak(2 * P + 6_500, 1_200).run().finish.heard == "silent2"
    assert call().speak(P + 500, 1_200, SOFT).speak(2 * P + 5_000, 2_000, LOUD).run().finish.heard == "low"
    soft_then_a_key = call().speak(P + 500, 1_200, SOFT).at(2 * P + 5_000, e.Key())
    assert soft_then_a_key.finish.heard == "low", "`key` is only for those who did not speak"


# ---- §1.3 ------------------------------------------------------------------------------------------------------------
def test_too_soft_then_louder_reaches_the_queue(call):
    virtual = call().speak(P + 500, 2_000, SOFT)
    virtual.run_to(P + 3_700)
    assert virtual.log[-1] == (P + 500 + 2_000 + 1_100, "low-1")
    answer = virtual.log[-1][0] + P + 400
    virtual.speak(answer, 1_500, LOUD).run()
    assert virtual.log[-1] == (answer + 2_600, "queue:care")


def test_too_soft_throughout(call):
    virtual, asked = call(), []
    virtual.speak(P + 500, 2_000, SOFT)
    for _ in range(3):
        virtual.run_to(virtual.now + 500)
        asked.append(virtual.log[-1][1])
        virtual.speak(virtual.log[-1][0] + P + 500, 2_000, SOFT)
    virtual.run()
    assert asked == ["low-1", "low-2", "low-move"]
    assert virtual.log[-2][1] == "low-goodbye"
    assert virtual.log[-1] == (virtual.log[-2][0] + P + 2_000, "hangup:too_soft")


FAR_FLOW = """
like: hotline
steps:
  opening: {play: opening, on: {noinput: connected, far: handset}}
  handset: {play: speakerphone, on: {noinput: queue}}
"""


@pytest.mark.parametrize("verdict", [LOUD, SOFT])
def test_who_is_far_from_the_telephone_is_led_there_where_the_flow_says_so(flows, tmp_path, verdict):
    """§1.3: a cause of its own, off by default; asked once, for the next step has no `far`."""
    for file in ("hotline.yaml", "profiles.yaml"):
        copy(REPO / "ivr_flows" / file, tmp_path)
    (tmp_path / "far.yaml").write_text(FAR_FLOW, "utf-8")
    plan = load_flow(tmp_path / "far.yaml", tmp_path, REPO / "sounds").plan

    def far_call(plan: Plan, far: bool) -> list[str]:
        call = VirtualCall(plan)
        for begins in (5_000, 16_000):  # in the wait after each prompt
            call.at(begins, e.SpeechStarted()).at(begins + 5_000, e.Heard(verdict, far))
            call.at(begins + 6_000, e.SpeechEnded(verdict, 700, far))
            call.run_to(begins + 8_000)
        return [what for _, what in call.log]

    otherwise = "queue:care" if verdict is LOUD else "low-1"
    assert far_call(plan, True)[:3] == ["opening", "speakerphone", otherwise]
    assert far_call(plan, False)[:2] == ["opening", otherwise]
    assert far_call(flows.flows["hotline"].plan, True)[:2] == ["opening", otherwise]


def test_a_set_without_low_move_goes_straight_to_its_goodbye(call):
    virtual = call("training").speak(P + 500, 2_000, SOFT).run()
    assert [what for _, what in virtual.log] == ["opening", "low-1", "low-2", "low-goodbye", "hangup:too_soft"]


def test_soft_talk_does_not_cut_off_the_request_to_speak_up(call):
    virtual = call().speak(P + 500, 2_000, SOFT)
    virtual.run_to(P + 3_700)
    asked = virtual.log[-1][0]
    virtual.at(asked + 500, e.SpeechStarted()).at(asked + 1_500, e.Heard(SOFT)).at(
        asked + 2_500, e.SpeechEnded(SOFT, 700)
    )
    virtual.run_to(asked + P + 2_900)
    assert "stop" not in [what for _, what in virtual.log]
    virtual.run_to(asked + P + 3_000)
    assert virtual.log[-1] == (asked + P + 3_000, "low-2")


def test_loud_talk_does(call):
    virtual = call().speak(P + 500, 2_000, SOFT)
    virtual.run_to(P + 3_700)
    asked = virtual.log[-1][0]
    virtual.at(asked + 500, e.SpeechStarted()).at(asked + 1_500, e.Heard(LOUD))
    assert virtual.log[-1] == (asked + 1_500, "stop")
    virtual.at(asked + 2_700, e.SpeechEnded(LOUD, 700)).run()
    assert virtual.log[-1] == (asked + 2_000 + 1_100, "queue:care")


@pytest.mark.parametrize("begins", [1_500, 300, 100, 20])
def test_an_answer_that_begins_under_the_request_and_ends_after_it_counts(call, begins):
    virtual = call().speak(P + 500, 2_000, SOFT)
    virtual.run_to(P + 3_700)
    asked_until = virtual.log[-1][0] + P
    virtual.speak(asked_until - begins, 900, LOUD).run()
    assert virtual.log[-1][1] == "queue:care"
    assert "low-2" not in [what for _, what in virtual.log]


def test_a_sound_in_the_goodbye_or_the_pause_after_it_is_somebody(call):
    virtual = call()
    virtual.run_to(3 * P + 9_000 + 100)
    virtual.line = Verdict.NOISE
    virtual.run()
    assert virtual.log[-1][1] == "queue:care"


def test_a_noisy_line_ends_with_a_person_not_with_a_goodbye(call):
    virtual = call()
    virtual.line = Verdict.NOISE
    virtual.run()
    assert [what for _, what in virtual.log] == ["opening", "noinput-1", "noinput-2", "queue:care"]
    assert virtual.finish.heard == "noise"


def test_something_like_speech_at_the_deadline_is_waited_for_once(call):
    virtual = call()
    virtual.maybe = True
    virtual.run_to(P + 3_599)
    assert virtual.log == [(0, "opening")]
    virtual.run_to(P + 3_600)
    assert virtual.log[-1] == (P + 3_600, "noinput-1")


def test_closed_hours_offer_a_message_and_hear_nothing_else(call):
    virtual = call("hotline", "closed").at(500, e.Key()).speak(1_000, 500).run()
    assert virtual.log == [(0, "closed"), (P, "message")]


# ---- any events at all -----------------------------------------------------------------------------------------------
_events = st.one_of(
    st.just(e.SpeechStarted()),
    st.sampled_from([e.Heard(SOFT), e.Heard(LOUD)]),
    st.just(e.Key()),
    st.just(e.HungUp()),
    st.builds(e.SpeechEnded, st.sampled_from([SOFT, LOUD]), st.integers(0, 2_000)),
    st.builds(e.PromptEnded, st.integers(0, 9)),
)
_stories = st.lists(st.tuples(st.integers(0, 6_000), _events), max_size=60)


@settings(max_examples=400, deadline=None)
@given(
    story=_stories,
    name=st.sampled_from(["hotline", "training", "travel", "national", "elder"]),
    line=st.sampled_from([Verdict.NO_SIGNAL, Verdict.NOISE]),
    maybe=st.booleans(),
)
def test_every_call_ends_and_no_timer_fires_early(flows, story, name, line, maybe):
    plan = flows.flows[name].plan
    virtual = VirtualCall(plan)
    virtual.line, virtual.maybe = line, maybe
    for pause, event in story:
        if virtual.finish:
            break
        deadline = virtual.engine.deadline
        early = virtual.engine.due(max(virtual.now, deadline - 1) if virtual.now < deadline else virtual.now - 1, line)
        assert early == [], "a timer fired before its time"
        virtual.at(virtual.now + pause, event)
    virtual.run()
    assert virtual.finish is not None
    assert virtual.now <= plan.limit_ms, "the limit holds whatever happens"
    kind = virtual.finish.outcome.partition(":")[0]
    assert kind in ("queue", "hangup", "message")
    if name == "elder":
        assert virtual.finish.outcome in ("queue:care", "hangup:caller"), "an elder is never sent away"
    assert virtual.engine.handle(e.Key(), virtual.now) == [], "nothing happens after the end"


@settings(max_examples=200, deadline=None)
@given(story=_stories)
def test_only_a_caller_who_said_nothing_is_told_that_nothing_is_heard(flows, story):
    virtual = VirtualCall(flows.flows["hotline"].plan)
    spoke = False
    for pause, event in story:
        virtual.run_to(virtual.now + pause)
        if virtual.finish:
            break
        if isinstance(event, e.SpeechStarted | e.Key):
            spoke = True
            before = [what for _, what in virtual.log]
            virtual.at(virtual.now, event)
            assert virtual.engine.state in ("speaking", "ended") or "low-1" in before or "closed" in before
        else:
            virtual.at(virtual.now, event)
    virtual.run()
    if not spoke and not any(isinstance(ev, e.Heard | e.SpeechEnded | e.HungUp) for _, ev in story):
        assert virtual.finish.outcome == "hangup:noinput"
