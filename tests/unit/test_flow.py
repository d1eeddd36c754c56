"""Flow files: what is accepted, what is rejected, and whether the message helps."""

from __future__ import annotations

import os
import shutil
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from hearline.audio.settings import DEFAULT, ONSET_EVIDENCE
from hearline.call.flow import FlowError, read_flow, read_profiles
from hearline.call.plan import End, Goto
from hearline.server.flow_store import FlowStore, load_flow, prompts_of

REPO = Path(__file__).resolve().parents[2]
PROFILES = read_profiles((REPO / "ivr_flows/profiles.yaml").read_text(), "profiles.yaml")
PROMPTS = prompts_of(REPO / "sounds")
GOOD = """\
number: "100"
queue: care
begin: hello
always: {speech: queue, key: queue}
steps:
  hello:
    play: opening
    on: {noinput: bye}
  bye:
    play: noinput-goodbye
    wait: 2s
    on:
      noinput: hangup:noinput
"""


def read(text: str):
    return read_flow(text, "f.yaml", "f", PROFILES, PROMPTS)


def faults(text: str) -> list[str]:
    with pytest.raises(FlowError) as caught:
        read(text)
    return [str(fault) for fault in caught.value.faults]


def test_a_good_flow_is_settled():
    plan = read(GOOD).plan
    assert plan.steps["hello"].on["noinput"] == Goto("bye")
    assert plan.steps["hello"].wait_ms == 3_000
    assert plan.steps["bye"].wait_ms == 2_000
    assert plan.steps["bye"].on == {
        "speech": End("queue:care"),
        "key": End("queue:care"),
        "noinput": End("hangup:noinput"),
    }


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("play: opening", "play: openning", 7, "Did you mean 'opening'"),
        ("noinput: bye", "noinput: by", 8, "Did you mean 'bye'"),
        ("begin: hello", "begin: helo", 3, "Did you mean 'hello'"),
        ("wait: 2s", "wait: 2", 11, "3s"),
        ("wait: 2s", "wait: 2 sec", 11, "3s"),
        ("queue: care", "queue: care home", 2, "letters, digits"),
        ("queue: care", "queue: h", 2, "at least two letters"),
        ("queue: care", "queue: _care", 2, "beginning with a letter or a digit"),
        ("    play: opening", "    plays: opening", 7, "Did you mean 'play'"),
        ("      noinput: hangup:noinput", "      speech: queue", 12, "Add `noinput: …`"),
        ("queue: care", "phrases: lanzi", 2, "Did you mean 'lanzhi'"),
        ("queue: care", "profile: elders", 2, "Did you mean 'elder'"),
        ("queue: care", "timers: {noinput_timeout: 3}", 2, "number with its unit"),
        ("queue: care", "timers: {noinput_timeout: 0s}", 2, "needs time to speak"),
        ("queue: care", "timers: {limit: 30m}", 2, "from 10s to 14m"),
        ("queue: care", "timers: {line_gain: 9}", 2, "9 dB, or 0 dB for none"),
        ("queue: care", "timers: {line_gain: 1.5 dB}", 2, "whole decibels"),
        ("queue: care", "timers: {line_gain: 20 dB}", 2, "from 0 dB to 15 dB"),
        ("wait: 2s", "wait: line_gain", 11, "neither a duration nor a timer"),
        ("wait: 2s", "wait: speech_ends_after", 11, "neither a duration nor a timer"),
        ("queue: care", "timers: {too_soft_below: -38}", 2, "with the unit: -38 dBov"),
        ("queue: care", "timers: {too_soft_below: -38 dB}", 2, "with the unit: -38 dBov"),
        ("queue: care", "timers: {too_soft_below: 38 dBov}", 2, "from -60 dBov to -26 dBov"),
        ("queue: care", "timers: {too_soft_below: -30 dBov}", 2, "write `normal_from: -30 dBov` or more"),
        ("queue: care", "timers: {normal_from: -39 dBov}", 2, "write `normal_from: -38 dBov` or more"),
        ("queue: care", "timers: {speech_ends_after: 5s}", 2, "from 300ms to 2s"),
        ("queue: care", "timers: {speech_certainty: hihg}", 2, "Did you mean 'high'"),
        ("queue: care", "queue: care\nqueue: two", 3, "second time"),
        ("queue: care", 'hours: {open: "8-21", closed: bye}', 2, "08:00-21:00"),
        ("queue: care", 'hours: {open: "08:00-21:00", closed: by}', 2, "Did you mean 'bye'"),
        ("steps:", "steps: [", 5, "Check indentation"),
        ("wait: 2s", "bargein: loudly", 11, "loud"),
        ("{noinput: bye}", "{noinput: hangup:noinput}", 9, "never reached"),
        ('number: "100"', "number: 0100", 1, "quotes"),
    ],
)
def test_a_fault_names_file_line_and_remedy(old, new, line, says):
    assert old in GOOD
    found = faults(GOOD.replace(old, new))
    assert any(f.startswith(f"f.yaml:{line}: ") and says in f for f in found), found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "just words",
        "- a\n- b",
        "begin: a",
        "\t",
        "steps: {}\nbegin: x",
        "a: &x [*x]",
        "begin: a\nsteps: {a: null}",
        "begin: a\nsteps: 3",
        "? [1, 2]\n: 3",
    ],
)
def test_nonsense_is_rejected_not_crashed_on(text):
    assert all(fault.startswith("f.yaml:") for fault in faults(text))


@pytest.mark.parametrize(("text", "gain_db"), [("9 dB", 9), ("12dB", 12), ("0 dB", 0)])
def test_how_far_a_line_is_raised(text, gain_db):
    assert read(GOOD).plan.max_gain_db == 9, "the profile's"
    assert read(GOOD.replace("queue: care", f"timers: {{line_gain: {text}}}")).plan.max_gain_db == gain_db


def test_what_the_ears_go_by():
    def ears(timers: str) -> tuple:
        plan = read(GOOD.replace("queue: care", f"timers: {{{timers}}}")).plan
        return plan.too_soft_dbov, plan.normal_dbov, plan.speech_ends_ms, plan.speech_certainty

    as_measured = (DEFAULT.too_soft_dbov, DEFAULT.normal_dbov, DEFAULT.stop_ms, "normal")
    assert ears("") == as_measured and ONSET_EVIDENCE["normal"] == DEFAULT.onset_evidence
    own = "too_soft_below: -42 dBov, normal_from: −40dBov, speech_ends_after: 1.2s, speech_certainty: high"
    assert ears(own) == (-42, -40, 1_200, "high")
    assert ears("too_soft_below: -35 dBov") == (-35, *as_measured[1:]), "without hysteresis"


def test_what_a_single_sound_means_is_a_setting():
    assert read(GOOD).plan.on_sound == "person", "as the service standard has it"
    assert read(GOOD.replace("queue: care", "timers: {on_sound: countdown}")).plan.on_sound == "countdown"
    assert "on_sound" in faults(GOOD.replace("queue: care", "timers: {on_sound: countdwon}"))[0]


def test_a_profile_may_speak_of_the_ears(folder):
    flows = store_of(folder)
    plans = {name: flow.plan for name, flow in flows.flows.items()}
    assert {name: plan.speech_ends_ms for name, plan in plans.items() if plan.speech_ends_ms != 700} == {"elder": 1_000}
    assert all(plan.speech_ends_ms <= plan.turn_pause_ms for plan in plans.values()), "no turn is prolonged by it"
    _edit(folder / "profiles.yaml", "speech_ends_after: 1s", "too_soft_below: -30 dBov\n  normal_from: -33 dBov")
    flows.refresh()
    assert "normal_from is -33 dBov, under too_soft_below" in flows.rejected["profiles.yaml"]
    lines = (folder / "profiles.yaml").read_text().splitlines()
    assert f"profiles.yaml:{lines.index('  normal_from: -33 dBov') + 1}: " in flows.rejected["profiles.yaml"]
    _edit(folder / "profiles.yaml", "-33 dBov", "-30 dBov")
    assert flows.refresh() and flows.flows["elder"].plan.too_soft_dbov == -30
    assert flows.flows["hotline"].plan == plans["hotline"]


def test_all_faults_are_told_at_once():
    text = GOOD.replace("play: opening", "play: nix").replace("wait: 2s", "wait: soon")
    assert len(faults(text)) == 2


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ("steps:\n  hello: {wait: 0s, on: {noinput: hello}}\n", "step 'hello' neither plays anything nor waits"),
        (
            "timers: {max_speech: 0s}\nsteps:\n  hello: {play: opening, on: {noinput: queue}}\n",
            "it must be from 1s to 14m",
        ),
        ("steps:\n  hello: {wait: " + 400 * "9" + "s, on: {noinput: queue}}\n", "is neither a duration nor a timer"),
        (
            "title: {zh: !!timestamp 2026-02-30, en: x}\nsteps:\n  hello: {play: opening, on: {noinput: queue}}\n",
            "day is out of range",
        ),
    ],
)
def test_what_would_never_end_or_cannot_be_read_is_a_fault_of_its_line(tmp_path, steps, says):
    """And costs neither the other flows nor the next start."""
    folder = shutil.copytree(REPO / "ivr_flows", tmp_path / "flows")
    (folder / "bad.yaml").write_text("begin: hello\nqueue: care\n" + steps, "utf-8")
    with pytest.raises(FlowError, match=says) as told:
        load_flow(folder / "bad.yaml", folder, REPO / "sounds")
    assert all(fault.line > 2 for fault in told.value.faults)
    store = store_of(folder)
    assert "hotline" in store.flows and says in store.rejected["bad.yaml"]


def test_a_call_that_begins_with_a_prompt_that_the_set_lacks_begins_with_its_wait():
    text = GOOD.replace("queue: care", "queue: care\nphrases: training").replace("play: opening", "play: low-move")
    plan = read(text).plan
    assert plan.steps["hello"].prompt is None and plan.steps["hello"].wait_ms and "low-move" not in plan.prompts


def test_a_circle_of_steps_without_prompts_is_found():
    text = GOOD.replace("phrases", "").replace("queue: care", "queue: care\nphrases: training")
    text = text.replace("play: opening", "play: low-move").replace("noinput: bye", "noinput: again")
    text += "  again: {play: low-move, on: {noinput: hello}}\n"
    assert any("leads back to itself" in fault for fault in faults(text))


def test_a_plan_names_only_prompts_that_exist(flows):
    for flow in flows.flows.values():
        for prompt in flow.plan.prompts:
            assert (REPO / "sounds" / flow.plan.language / flow.plan.phrases / f"{prompt}.wav").exists()
    assert "move" not in flows.flows["travel"].plan.steps


@pytest.mark.parametrize(
    ("clock", "step"),
    [("07:59:59", "closed"), ("08:00:00", "opening"), ("20:59:59", "opening"), ("21:00:00", "closed")],
)
def test_hours(flows, clock, step):
    now = datetime.fromisoformat(f"2026-10-01T{clock}").replace(tzinfo=ZoneInfo("Asia/Shanghai"))
    assert flows.flows["hotline"].begin_at(now) == step


def test_numbers_find_their_flow(flows):
    assert flows.for_number("95160")[0].name == "hotline"
    assert flows.for_number("8003")[0].name == "travel"
    assert flows.for_number("8003")[1], "a test number is open at any hour"
    assert flows.for_number("12345")[0].name == "hotline", "nobody is turned away for a number"
    used = [n for f in flows.flows.values() for n in (f.words.number, f.words.test_number) if n]
    assert len(used) == len(set(used))


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(REPO / "ivr_flows", tmp_path / "flows")
    return tmp_path / "flows"


def store_of(folder, **how) -> FlowStore:
    store = FlowStore(folder, REPO / "sounds", **how)
    store.refresh()
    return store


def asked(store: FlowStore, number: str):
    """The flow for a number, after the watching thread has looked."""
    store.refresh()
    return store.for_number(number)[0]


def _edit(file, old, new):
    before = file.stat()
    file.write_text(file.read_text().replace(old, new))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))  # however coarse the file system's clock


def test_an_edit_counts_from_the_next_call_and_a_broken_one_does_not(folder, caplog):
    store = store_of(folder)
    file = folder / "hotline.yaml"
    _edit(file, "play: opening", "play: noinput-1")
    assert asked(store, "95160").plan.steps["opening"].prompt == "noinput-1"
    _edit(file, "play: noinput-1\n", "play: noinput-9\n")
    assert asked(store, "95160").plan.steps["opening"].prompt == "noinput-1", "the old one stays"
    assert "noinput-9" in caplog.text and "hotline.yaml:" in caplog.text
    assert "hotline.yaml" in store.rejected
    _edit(file, "noinput-9", "opening")
    assert asked(store, "95160").plan.steps["opening"].prompt == "opening"
    assert store.rejected == {}


def test_a_fault_in_the_flow_that_others_are_like_is_told_where_it_stands(folder):
    store = store_of(folder)
    _edit(folder / "hotline.yaml", "play: noinput-1", "play: noinput-9")
    assert asked(store, "8003").plan.steps["connected"].prompt == "noinput-1", "the old one stays"
    lines = (folder / "hotline.yaml").read_text().splitlines()
    line = next(i for i, text in enumerate(lines, 1) if "noinput-9" in text)
    for name in ("hotline.yaml", "travel.yaml"):
        assert f"hotline.yaml:{line}: " in store.rejected[name]


def test_a_number_belongs_to_one_flow(folder):
    (folder / "other.yaml").write_text('like: hotline\nnumber: "+95160"\n')
    store = store_of(folder)
    assert "95160 belongs to hotline.yaml" in store.rejected["other.yaml"]
    assert asked(store, "+95160").name == "hotline"


def test_a_flow_can_be_asked_for_by_its_name(folder):
    store = store_of(folder)
    assert store.named("nuisance").plan.begin == "business"
    with pytest.raises(LookupError, match="the flow 'nuisanse' is not loaded"):
        store.named("nuisanse")


def test_a_profile_of_ones_own_comes_with_its_timers(folder):
    _edit(folder / "hotline.yaml", "queue: care", "queue: care\ntimers: {noinput_timeout: 4s}")
    flows = store_of(folder).flows
    waits = {name: flow.plan.steps["opening"].wait_ms for name, flow in flows.items() if name != "nuisance"}
    assert waits == {"hotline": 4_000, "travel": 4_000, "training": 4_000, "national": 5_000, "elder": 7_000}


def test_a_fault_that_holds_for_every_step_is_told_once():
    found = faults(GOOD.replace("key: queue}", "key: quue}"))
    assert len(found) == 1 and "Did you mean 'queue'" in found[0]


def test_broken_profiles_keep_everything(folder):
    store = store_of(folder)
    _edit(folder / "profiles.yaml", "3s", "three")
    assert asked(store, "95160").plan.steps["opening"].wait_ms == 3_000
    assert "profiles.yaml" in store.rejected


def test_profiles_must_be_complete():
    with pytest.raises(FlowError, match="p.yaml:1: .*leaves out 'limit'"):
        read_profiles(
            "a: {noinput_timeout: 3s, hangup_pause: 2s, move_time: 1s, turn_pause: 1s, max_speech: 9s, "
            "line_gain: 9 dB, on_silence: hangup}",
            "p.yaml",
        )


def test_a_flow_elsewhere_borrows_the_shipped_profiles(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(GOOD)
    assert load_flow(file, REPO / "ivr_flows", REPO / "sounds").plan.flow == "mine"
    file.write_text("like: hotline\nphrases: travel\n")
    assert load_flow(file, REPO / "ivr_flows", REPO / "sounds").plan.phrases == "travel"
    file.write_text("like: nothing\n")
    with pytest.raises(FlowError, match="mine.yaml:1: "):
        load_flow(file, REPO / "ivr_flows", REPO / "sounds")
