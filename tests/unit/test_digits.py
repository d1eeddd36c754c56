"""Keys that a step collects: in the flow file, in virtual time, and the places where their digits must never appear."""

from __future__ import annotations

import itertools
import json
import logging
import pickle
import re
import socket
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hearline.call import engine as e
from hearline.call.flow import read_flow
from hearline.call.plan import Cause, Collect, End, Goto, Verdict
from hearline.call.timeline import MOST_EVENTS, Timeline
from hearline.media.audiosocket import MOST_KEYS, AudioSocketLeg
from hearline.media.simulate import simulate
from hearline.media.worker_protocol import Beat, Ears, Finished, Follow, Watch
from hearline.phone.picture import _noticed_labels
from hearline.server.status import _ears
from test_flow import PROFILES, PROMPTS, REPO, faults, read
from test_gain import OneCall, Pbx
from test_worker import announce, connected, line, ticks  # noqa: F401
from virtual_call import PROMPT_MS, VirtualCall

LARGEST_RECORD = 256 * 1024  # bytes
P = PROMPT_MS
SURVEY = """\
begin: rate
always: {key: queue, speech: stay}
steps:
  rate:
    play: opening
    bargein: key
    collect: &rating {name: rating, match: 1-5, personal: no}
    on: {collected: agent, nomatch: rate_again, noinput: rate_again}
  rate_again:
    play: noinput-1
    bargein: key
    collect: *rating
    on: {collected: agent, nomatch: "hangup:unrated", noinput: "hangup:unrated"}
  agent:
    play: noinput-2
    bargein: any
    collect: {name: agent, minlength: 4, maxlength: 4}
    on: {collected: thanks, "0": operator, nomatch: stay, noinput: thanks, speech: queue:spoke}
  operator:
    wait: 5s
    on: {noinput: queue, key: queue:pressed}
  thanks:
    play: noinput-goodbye
    wait: 2s
    on: {noinput: hangup:rated, key: stay}
"""
MENU = """\
begin: menu
steps:
  menu:
    play: opening
    collect: choice
    on: {1: queue:one, "22": queue:two, "3": queue:three, "33": queue:thirty, "*": menu, nomatch: queue, noinput: queue}
"""


def survey() -> VirtualCall:
    return VirtualCall(read(SURVEY).plan)


def at_agent(pressed: str = "") -> VirtualCall:
    """Rated at 1,000 ms, so that the question for the agent's number plays from then on; then keys from 2,000 ms on."""
    return survey().press(1_000, "5").press(2_000, pressed)


# ---- what a flow file says -------------------------------------------------------------------------------------------
def test_what_is_not_said_follows_from_what_matches():
    plan = read(SURVEY).plan
    assert plan.steps["rate"].collect == Collect("rating", 1, spans=(("1", "5"),), personal=False)
    assert plan.steps["agent"].collect == Collect("agent", 4, 4, choices={"0": Goto("operator")})
    assert Cause.KEY not in plan.steps["agent"].on and plan.steps["operator"].on[Cause.KEY] == End("queue:pressed")
    assert plan.steps["thanks"].collect is None and plan.collects == ["agent", "rating"]
    menu = read(MENU).plan.steps["menu"].collect
    assert (menu.max_length, menu.spans) == (2, ()) and list(menu.choices) == ["1", "22", "3", "33", "*"]


@pytest.mark.parametrize(
    ("match", "yes", "no"),
    [
        ("1-5", ["1", "5"], ["0", "6", "11", "*"]),
        ("[1-5, 9]", ["3", "9"], ["6", "8"]),
        ("1000–8999", ["1000", "4711", "8999"], ["0999", "9000", "100", "10000"]),
        ('"0001-0999"', ["0001", "0999"], ["1000", "1", "0000"]),
        ('[7, "*1", 10-12]', ["7", "*1", "10"], ["*", "13"]),
    ],
)
def test_what_matches(match, yes, no):
    collect = read(SURVEY.replace("match: 1-5", f"match: {match}")).plan.steps["rate"].collect
    assert [keys for keys in yes + no if collect.matches(keys)] == yes
    assert collect.max_length == max(map(len, yes))


_DIGITS = st.text("012", min_size=1, max_size=3)
_SPANS = st.tuples(_DIGITS, _DIGITS).filter(lambda ends: len(ends[0]) == len(ends[1])).map(sorted).map(tuple)
EVERY_INPUT = ["".join(keys) for size in (1, 2, 3) for keys in itertools.product("0123", repeat=size)]


@settings(max_examples=200, deadline=None)
@given(spans=st.lists(_SPANS, max_size=3).map(tuple), chosen=st.sets(_DIGITS, max_size=3))
def test_an_input_is_whole_when_no_longer_one_could_match(spans, chosen):
    collect = Collect("x", 3, spans=spans, choices=dict.fromkeys(chosen, End("queue:care")))
    matching = {keys for keys in EVERY_INPUT if collect.matches(keys)}
    assert chosen <= matching and all(low in matching and high in matching for low, high in spans)
    for keys in EVERY_INPUT:
        grows = any(longer != keys and longer.startswith(keys) for longer in matching)
        assert collect.is_whole(keys) == (len(keys) == 3 or (keys in matching and not grows))


def test_the_wait_for_the_next_key_is_the_steps_the_flows_or_the_profiles():
    def ms(text: str) -> int:
        return read(text).plan.steps["agent"].collect.interdigit_ms

    assert ms(SURVEY) == 3_000 and ms("profile: elder\n" + SURVEY) == 5_000
    assert ms("timers: {interdigittimeout: 4s}\n" + SURVEY) == 4_000
    assert ms(SURVEY.replace("minlength: 4", "interdigittimeout: 2s, minlength: 4")) == 2_000


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("match: 1-5", "match: 1..5", 7, "1-5, [1-5, 9], 1000-8999"),
        ("match: 1-5", "match: 5-1", 7, "Write 1-5"),
        ("match: 1-5", "match: 0-10", 7, "a range for each length: [0-9, 10-12]"),
        ("match: 1-5", "match: 011", 7, '011 is the number 9 in YAML. If these are digits put them in quotes: "011"'),
        ("match: 1-5", "match: 1:30", 7, "1:30 is the number 90"),
        ("match: 1-5", "match: 1.5", 7, "cannot be keyed in"),
        ("match: 1-5", "match: ~", 7, "cannot be keyed in"),
        ("match: 1-5", "match: 10-12, maxlength: 1", 7, "Write `maxlength: 2`"),
        ("match: 1-5", "maxlength: 0", 7, "from 1 to 32"),
        ("match: 1-5", "maxlength: 33", 7, "from 1 to 32"),
        ("match: 1-5", "maxlength: four", 7, "Write a whole number"),
        ("match: 1-5", "maxlenght: 4", 7, "Did you mean 'maxlength'"),
        ("match: 1-5, ", "", 7, "Add `maxlength: …`, or `match: …`"),
        ("maxlength: 4}", "maxlength: 3}", 17, "minlength is more than maxlength, 3"),
        ("name: rating", "name: Rating!", 7, "small letters"),
        ("{name: rating, ", "{", 7, "Add a line `name: …`"),
        ("personal: no", "personal: false", 7, "no, yes"),
        ("maxlength: 4}", "maxlength: 4, termchar: \"9\"}", 17, '"" for none'),
        ("maxlength: 4}", "maxlength: 4, termchar: }", 17, 'Write "#" in quotes'),
        ("maxlength: 4}", "maxlength: 4, interdigittimeout: 3}", 17, "3s, 500ms or 2m"),
        ('"0": operator', '"#": operator', 18, 'Add `termchar: ""`'),
        ('"0": operator', '"00000": operator', 18, "Write `maxlength: 5`"),
        ('"0": operator', '"0": oprator', 18, "Did you mean 'operator'"),
        ('"0": operator', '"0": stay', 18, "Name a step or an end"),
        ('"0": operator', "00: operator", 18, 'put them in quotes: "00"'),
        ('"0": operator', "0-3: operator", 18, "neither a cause nor keys"),
        ('"0": operator', '"0": operator, key: thanks', 18, "Write `collected`, or the keys themselves"),
        ("collected: thanks, ", "", 18, "Add `collected: …` under its `on:`"),
        ("nomatch: stay, ", "", 18, "Add `nomatch: …` under its `on:`"),
        ("bargein: any", "bargein: none", 16, "a step of its own before this one"),
        ("key: queue:pressed", '"1": queue', 21, "Add `collect: NAME`"),
        ("key: queue:pressed", "nomatch: queue", 21, "Add `collect: NAME`"),
        ("always: {", 'always: {"1": queue, ', 2, "not one of the choices"),
    ],
)  # fmt: skip
def test_a_fault_names_line_and_remedy(old, new, line, says):  # noqa: F811
    assert old in SURVEY
    found = faults(SURVEY.replace(old, new))
    assert any(fault.startswith(f"f.yaml:{line}: ") and says in fault for fault in found), found


def test_a_number_without_quotes_has_its_line():
    [fault] = faults(SURVEY.replace('"0": operator', "\n      0: nowhere"))
    assert fault.startswith("f.yaml:19: 'nowhere' is neither")


def test_the_example_of_the_docs_is_sound():
    blocks = re.findall(r"```yaml\n(.*?)```", (REPO / "docs" / "flows.md").read_text("utf-8"), re.S)
    text = next(block for block in blocks if "collect:" in block)
    ours = {prompt: "…" for prompt in re.findall(r"play: ([\w-]+)", text)}
    prompts = {which: dict(known) | ours for which, known in PROMPTS.items()}
    plan = read_flow(text, "f.yaml", "f", PROFILES, prompts).plan
    assert plan.steps["rating"].collect == plan.steps["rating_again"].collect
    assert (plan.steps["rating"].collect.personal, plan.steps["agent"].collect.personal) == (False, True)
    assert VirtualCall(plan).press(1_000, "51024#").run().finish.outcome == "queue:care"
    assert VirtualCall(plan).press(1_000, "50#").run().finish.outcome == "hangup:rated"


# ---- in virtual time -------------------------------------------------------------------------------------------------
def test_a_rating_by_key_during_the_prompt_leads_on_at_once():
    virtual = survey().press(1_000, "4")
    assert virtual.log == [(0, "opening"), (1_000, "stop"), (1_000, "noinput-2")]
    assert virtual.keyed == [(1_000, "4", True)]


@pytest.mark.parametrize("key", ["0", "7", "*", "#"])
def test_another_key_is_no_match_and_the_question_is_asked_in_other_words(key):
    virtual = survey().press(P + 1_000, key)
    assert virtual.log[-1] == (P + 1_000, "noinput-1")
    assert virtual.keyed == [(P + 1_000, "" if key == "#" else key, False)], "a terminator alone is no silence"
    assert virtual.press(P + 5_000, "9").log[-1][1] == "hangup:unrated"


def test_a_key_that_no_phone_has_is_none():
    assert survey().press(1_000, "A").log == [(0, "opening")]
    anybody = VirtualCall(read(SURVEY).plan, "operator").press(100, "A")
    assert anybody.log == [(100, "queue:pressed")], "but it tells that somebody is here"


def test_no_key_is_no_input():
    virtual = survey().run()
    assert virtual.log[1:] == [(P + 3_000, "noinput-1"), (2 * P + 6_000, "hangup:unrated")]
    assert virtual.keyed == []


@pytest.mark.parametrize(
    ("pressed", "keys", "matched", "at"),
    [
        ("1024", "1024", True, 2_900),
        ("1024#", "1024", True, 2_900),
        ("102#", "102", False, 2_900),
        ("102", "102", False, 2_600 + 3_000),
        ("10*4", "10*4", False, 2_900),
        ("0#", "0", True, 2_300),
        ("0", "0", True, 2_000 + 3_000),
    ],
)
def test_a_number_ends_with_its_last_key_a_terminator_or_a_pause(pressed, keys, matched, at):
    virtual = at_agent(pressed)
    virtual.run_to(7_000)
    assert virtual.keyed[1:] == [(at, keys, matched)]
    assert virtual.log[3] == (2_000, "stop"), "the first key cuts the prompt"


def test_the_wait_for_the_next_key_runs_from_the_last_one():
    virtual = at_agent().press(2_000, "1024", every_ms=2_980)
    assert virtual.keyed[1:] == [(2_000 + 3 * 2_980, "1024", True)]
    virtual = at_agent().press(2_000, "10", every_ms=3_001)
    assert virtual.keyed[1:] == [(5_000, "1", False)] and virtual.engine.timer == 5_001 + 3_000


def test_keys_of_a_practised_hand_go_on_into_the_next_step():
    virtual = survey().press(100, "51024#", every_ms=80)
    assert virtual.keyed == [(100, "5", True), (420, "1024", True)]
    assert virtual.log[-1] == (420, "noinput-goodbye"), "and the late terminator is nobody's"


def test_a_number_that_is_too_long_is_one_wrong_answer():
    plan = read(SURVEY.replace("nomatch: stay", "nomatch: rate_again").replace("maxlength: 4", "match: 1000-4999")).plan
    virtual = VirtualCall(plan, "agent").press(100, "513890", every_ms=900)
    assert virtual.keyed == [(2_800, "5138", False)] and virtual.log[-1] == (2_800, "noinput-1")
    assert virtual.press(5_601, "4").keyed[1:] == [(5_601, "4", True)], "more than a second after the last key"
    assert survey().press(1_000, "95").keyed[1:] == [(1_300, "5", True)], "a slip of one key is put right at once"


def test_a_terminator_after_the_last_key_is_nobodys():
    plan = read(SURVEY.replace("collected: thanks", "collected: operator")).plan
    assert VirtualCall(plan, "agent").press(100, "1024#").log[-1][1] != "queue:pressed"
    for pressed, at in (("1024##", 1_600), ("10245", 1_300)):  # once, and the terminator alone
        assert VirtualCall(plan, "agent").press(100, pressed).log[-1] == (at, "queue:pressed")
    late = VirtualCall(plan, "agent").press(100, "1024").press(4_001, "#")
    assert late.log[-1] == (4_001, "queue:pressed")
    slow = VirtualCall(plan, "agent").press(100, "102").press(4_000, "#")
    assert slow.keyed == [(3_700, "102", False)], "nor after a pause"


def test_a_key_before_the_question_is_no_answer_to_it():
    notice = "  notice: {play: low-1, wait: 0s, bargein: none, on: {noinput: rate}}\n"
    virtual = VirtualCall(read(SURVEY.replace("begin: rate", "begin: notice") + notice).plan).press(P - 100, "5").run()
    assert virtual.keyed == [] and virtual.log[-1][1] == "hangup:unrated"


def test_as_soon_as_no_longer_input_could_match_it_is_complete():
    plan = read(MENU).plan
    assert VirtualCall(plan).press(100, "1").log[-1] == (100, "queue:one")
    assert VirtualCall(plan).press(100, "22").log[-1] == (400, "queue:two")
    assert VirtualCall(plan).press(100, "33").log[-1] == (400, "queue:thirty")
    assert VirtualCall(plan).press(100, "3").run().log[-1] == (3_100, "queue:three"), "33 might follow"
    assert VirtualCall(plan).press(100, "*").log[-1] == (100, "opening")


def test_who_speaks_while_keying_has_keyed():
    virtual = at_agent().press(2_000, "10").at(2_400, e.SpeechStarted()).press(2_900, "2")
    virtual.at(3_300, e.Heard(Verdict.SPEECH)).at(3_500, e.SpeechEnded(Verdict.SPEECH, 700)).press(5_800, "4")
    assert virtual.keyed[1:] == [(5_800, "1024", True)]
    assert virtual.log[-1] == (5_800, "noinput-goodbye")


def test_who_spoke_before_the_first_key_has_keyed_too():
    spoken = at_agent().speak(2_000, 1_000)
    assert spoken.engine.state is e.State.TURN_PAUSE
    assert spoken.press(4_000, "1024").keyed[1:] == [(4_900, "1024", True)]
    assert at_agent().speak(2_000, 1_000).run().finish.outcome == "queue:spoke", "without a key, speech is what it is"


@pytest.mark.parametrize(
    ("always", "bargein"),
    [("{key: queue}", "key"), ("{speech: stay}", "any"), ("{too_soft: thanks}", "any")],
)
def test_what_collects_keys_hears_speech_where_the_flow_speaks_of_it(always, bargein):
    text = SURVEY.replace("    bargein: key\n", "").replace("{key: queue, speech: stay}", always)
    steps = read(text).plan.steps
    assert (steps["rate"].bargein, steps["agent"].bargein, steps["operator"].bargein) == (bargein, "any", "any")


def test_bargein_key_hears_keys_alone():
    virtual = survey().at(500, e.SpeechStarted()).at(1_600, e.Heard(Verdict.SPEECH))
    assert virtual.log == [(0, "opening")] and virtual.engine.state is e.State.PLAYING
    virtual.run_to(P)
    virtual.maybe = True
    virtual.run_to(P + 3_000)
    assert virtual.log[-1] == (P + 3_000, "noinput-1"), "a television does not hold up the question"


def test_after_no_match_stay_waits_anew():
    virtual = at_agent("12#")
    assert virtual.engine.state is e.State.WAITING and virtual.engine.timer == 2_600 + 3_000
    assert virtual.press(3_000, "1024").keyed[1:] == [(2_600, "12", False), (3_900, "1024", True)]


@pytest.mark.parametrize("pressed", ["", "10", "1024"])
def test_a_hang_up_in_the_middle(pressed):
    virtual = at_agent(pressed).at(3_000, e.HungUp())
    assert virtual.log[-1] == (3_000, "hangup:caller") and virtual.engine._keys == ""
    assert [keys for _, keys, _ in virtual.keyed] == ["5", "1024"][: 1 + (pressed == "1024")], "half a number is none"
    assert virtual.engine.handle(e.Key("1"), 3_000) == []


def test_the_limit_holds_while_keys_are_pressed():
    plan = replace(read(SURVEY).plan, limit_ms=10_000)
    virtual = VirtualCall(plan, "agent")
    for at in range(500, 9_990, 500):
        virtual.press(at, "12#"[at // 500 % 3])
    assert virtual.run().log[-1] == (10_000, "queue:care")


def test_what_the_agent_is_told_of_a_caller_who_keyed():
    assert at_agent("0#").press(3_000, "1").finish.heard == "key"
    assert VirtualCall(read(MENU).plan).press(100, "1").finish.heard == "key"


_events = st.one_of(
    st.just(e.SpeechStarted()),
    st.sampled_from([e.Heard(Verdict.TOO_SOFT), e.Heard(Verdict.SPEECH)]),
    st.builds(e.SpeechEnded, st.sampled_from([Verdict.TOO_SOFT, Verdict.SPEECH, None]), st.integers(0, 2_000)),
    st.builds(e.Key, st.sampled_from("0123456789*#A")),
    st.builds(e.Key, st.sampled_from("15#")),
    st.builds(e.PromptEnded, st.integers(0, 9)),
    st.just(e.HungUp()),
)


@settings(max_examples=300, deadline=None)
@given(
    story=st.lists(st.tuples(st.sampled_from([0, 20, 300, 3_000, 3_001, 6_000]), _events), max_size=60),
    menu=st.booleans(),
)
def test_whatever_happens_keys_are_counted_once_and_every_call_ends(story, menu):
    plan = read(MENU if menu else SURVEY).plan
    virtual = VirtualCall(plan)  # which asserts that timers and keys are where they should be
    pressed = ""
    for pause, event in story:
        virtual.at(virtual.now + pause, event)
        if isinstance(event, e.Key):
            pressed += event.digit
    virtual.run()
    assert virtual.finish is not None and virtual.now <= plan.limit_ms
    rest = iter(pressed)
    assert all(key in rest for _, keys, _ in virtual.keyed for key in keys), "in order, none twice"
    for _, keys, matched in virtual.keyed:
        assert len(keys) <= 4 and (not matched or keys)


@pytest.mark.parametrize("state", e.State)
def test_what_a_state_does_not_act_on_changes_nothing(state):
    every = [e.PromptEnded(1), e.SpeechStarted(), e.Heard(Verdict.SPEECH), e.SpeechEnded(Verdict.SPEECH), e.Key("1")]
    ways = {
        e.State.PLAYING: lambda: at_agent(),
        e.State.WAITING: lambda: at_agent("1#"),
        e.State.SPEAKING: lambda: at_agent().at(2_000, e.SpeechStarted()),
        e.State.TURN_PAUSE: lambda: at_agent().speak(2_000, 500),
        e.State.COLLECTING: lambda: at_agent("1"),
        e.State.ENDED: lambda: at_agent().at(2_000, e.HungUp()),
    }
    for event in every:
        virtual = ways[state]()
        assert virtual.engine.state is state
        if type(event) not in e.ACTS_ON[state]:
            before = vars(virtual.engine) | {"_talking": None}
            assert virtual.engine.handle(event, virtual.now) == []
            assert vars(virtual.engine) | {"_talking": None} == before
    if state is not e.State.ENDED:
        assert ways[state]().at(10_000 if state is e.State.ENDED else ways[state]().now, e.HungUp()).finish is not None


# ---- nothing of it comes to light ------------------------------------------------------------------------------------
SECRET = "7294"


def run(text: str, flows, *presses: tuple[int, str], **more) -> Timeline:
    keys = [(at + 300 * number, key) for at, pressed in presses for number, key in enumerate(pressed)]
    timeline, _ = simulate(read(text).plan, None, np.zeros(0, np.int16), flows._sounds, keys=keys, **more)
    return timeline


def test_the_record_tells_how_many_and_the_digits_only_of_what_is_not_personal(flows):
    timeline = run(SURVEY, flows, (1_000, "9"), (3_000, "4"), (5_000, SECRET + "#")).as_dict()
    kept = [{k: v for k, v in event.items() if k != "at_ms"} for event in timeline["events"] if "name" in event]
    assert kept == [
        {"event": "nomatch", "name": "rating", "count": 1},
        {"event": "collected", "name": "rating", "count": 1, "digits": "4"},
        {"event": "collected", "name": "agent", "count": 4},
    ]
    assert timeline["outcome"] == "hangup:rated"
    assert SECRET not in json.dumps(timeline)
    assert [set(event) for event in timeline["events"] if event["event"] == "key"] == [{"at_ms", "event"}] * 7


def test_a_picture_tells_as_much_as_the_record(flows):
    timeline = run(SURVEY, flows, (1_000, "9"), (3_000, "4"), (5_000, SECRET)).as_dict()
    labels = [label.text for label in _noticed_labels(timeline["events"])]
    assert [text for text in labels if text == "key"] == ["key"] * 6
    assert [text for text in labels if ": " in text] == ["rating: 1 key, no match", "rating: 4", "agent: 4 keys"]
    assert not any(digits in text for text in labels for digits in (SECRET, "9"))


def test_the_last_key_before_the_hang_up_counts(flows):
    timeline = run(SURVEY, flows, (1_000, "4"), hangup_ms=1_000).as_dict()
    assert [event["event"] for event in timeline["events"]][-2:] == ["prompt_stop", "hangup"]
    assert {"at_ms": 1_000, "event": "collected", "name": "rating", "count": 1, "digits": "4"} in timeline["events"]
    assert timeline["outcome"] == "hangup:caller"


def test_a_flood_of_keys_leaves_a_record_of_a_reasonable_size(flows):
    """More than a hand can press in 14 minutes, in a flow that takes no notice, and in one that goes round."""
    takes_no_notice = SURVEY.replace("wait: 2s", "wait: 1m")
    goes_round = SURVEY.replace("key: stay}", "key: rate}").replace('nomatch: "hangup:unrated"', "nomatch: rate")
    for text in (takes_no_notice, goes_round):
        plan = replace(read(text).plan, limit_ms=30_000)
        keys = [(at, "#" if at % 40 else "7") for at in range(0, 29_000, 20) for _ in range(10)]
        timeline, _ = simulate(plan, "thanks", np.zeros(0, np.int16), flows._sounds, keys=keys, drop_silence=True)
        record = timeline.as_dict()
        assert len(record["events"]) == MOST_EVENTS + 1 and record["left_out"] > 10_000
        assert record["events"][-1]["event"] in ("route", "hangup") and record["outcome"]
        assert len(pickle.dumps(Finished("u", "c", record["outcome"], "key", record))) < LARGEST_RECORD


def test_a_record_of_the_longest_events_is_of_a_reasonable_size():
    timeline = Timeline()
    for number in range(MOST_EVENTS + 1):
        timeline.add(
            800_000.4 + number, "verdict", verdict="no_signal", reason=f"reason-{number}", level_dbov=-number / 10,
            level_error_db=number / 10, noise_dbov=-number / 7,
        )  # fmt: skip
    assert len(pickle.dumps(timeline.as_dict())) < LARGEST_RECORD


def test_more_keys_than_a_hand_presses_are_not_kept():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        leg = AudioSocketLeg(ours)
        leg.take(b"".join(b"\x03\x00\x01" + bytes([key]) for key in b"\x00 x1\xffD*" * 9))
        assert leg.keys() == ("1D*" * 9)[:MOST_KEYS] and leg.keys() == ""


def test_nothing_that_may_be_logged_shows_a_digit():
    finished = Finished("u", "c", "queue:care", "key", {}, {"agent": SECRET})
    shown = f"{finished!r} {e.Key('7')!r} {e.Keyed(Collect('agent', 4), SECRET, True)!r}"
    assert "7" not in shown and SECRET not in shown


def test_on_the_line_digits_reach_the_door_and_nothing_else(line, flows, caplog):  # noqa: F811
    """Through the worker, on a socket, while somebody looks at the live calls and somebody follows this one."""
    worker, door, _ = line
    caplog.set_level(logging.DEBUG)
    call = replace(announce(flows), plan=read(SURVEY).plan, begin="agent")
    peer = connected(line, call)
    ticks(worker, 1)
    door.send(Watch())
    door.send(Follow(call.uuid))
    for key in SECRET:
        peer.sendall(b"\x03\x00\x01" + key.encode())
        time.sleep(0.01)
        ticks(worker, 5)
    told = list(door.received())
    ticks(worker, 20)
    peer.sendall(b"\x00\x00\x00")
    time.sleep(0.01)
    ticks(worker, 3)
    told += list(door.received())
    [finished] = [message for message in told if isinstance(message, Finished)]
    assert finished.collected == {"agent": SECRET} and finished.outcome == "hangup:caller"
    assert "collecting" in {message.row.state for message in told if isinstance(message, Ears)}
    assert any(isinstance(message, Beat) and message.rows for message in told)
    followed = b"".join(_ears(call.uuid, (message for message in told if isinstance(message, Ears | Finished))))
    other = [replace(message, collected={}) if message is finished else message for message in told]
    shown = followed.decode() + caplog.text + json.dumps(finished.timeline) + repr(told)
    assert not re.search(f"{SECRET}|'[0-9]'", shown)
    assert SECRET.encode() not in b"".join(map(pickle.dumps, other))


# ---- to the dialplan -------------------------------------------------------------------------------------------------
def test_the_dialplan_is_told_each_field_before_the_result(flows, monkeypatch):
    from hearline.server.scripts import hotline

    flow = read(SURVEY)
    monkeypatch.setattr(flows, "for_number", lambda _: (flow, True))

    def told(collected: dict[str, str]) -> dict[str, str]:
        call, pbx = OneCall("queue:care", 0), Pbx()
        call._result = replace(call._result, collected=collected)
        heard = []
        hotline.serve(
            pbx, flows, call, lost=pytest.fail, over=lambda _call, _number, result: heard.append(result.collected)
        )
        assert heard == [collected]
        assert pbx.set[-1] == ("HEARLINE_RESULT", "queue")
        return {name: value for name, value in pbx.set if "COLLECTED" in name}

    assert told({"agent": "0042"}) == {"HEARLINE_COLLECTED_AGENT": "0042", "HEARLINE_COLLECTED_RATING": ""}
    assert told({}) == {"HEARLINE_COLLECTED_AGENT": "", "HEARLINE_COLLECTED_RATING": ""}, "what was left is cleared"
