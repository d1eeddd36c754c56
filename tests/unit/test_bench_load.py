"""The pure parts of the load benchmark."""

from __future__ import annotations

import io
import json
import shutil
import socket
import time
import uuid
from datetime import datetime

import numpy as np
import pytest
from bench.load import assist_alone, event_replay, only_frames, talks, through_asterisk
from bench.load.callers import (
    FRAME,
    NOISE_DBOV,
    SOFT_DBOV,
    SPEECH_DBOV,
    THIRDS,
    Kind,
    frames_of,
    sounds,
    spread,
    without_gaps,
)
from bench.load.event_replay import Call
from bench.load.figures import Figure, at_least, at_most, percentile, ratios
from bench.load.machine import Machine
from bench.load.sipp import Group, group
from bench.load.table import number, show, write_json
from bench.load.through_asterisk import BY_HAND, HEARLINE, ONLY_FRAMES, OWN_MEANS, Run, by_hand_calls, course_ms
from bench.load.through_asterisk import figures as asterisk_figures
from bench.load.worker_alone import Rung, figures, memory_per_call, on_time
from rich.console import Console

from hearline.assist.calls.channel_graph import ChannelGraph
from hearline.audio.level.p56 import active_speech_level, rms_dbov
from hearline.media.frames import AUDIO_HEADER, MESSAGE_BYTES
from hearline.media.worker_protocol import NO_BEAT
from hearline.pbx.ami_messages import parse

MACHINE = Machine("CPU", 2, "6.1", "3.11", "2.0", "Asterisk 22", 0.1, 0.123)


@pytest.fixture(scope="module")
def heard():
    return sounds()


def test_callers_have_the_levels_they_are_said_to_have(heard):
    assert active_speech_level(heard[Kind.SPEAKING], 8_000).active_dbov == pytest.approx(SPEECH_DBOV, abs=1)
    assert active_speech_level(heard[Kind.SOFT], 8_000).active_dbov == pytest.approx(
        SOFT_DBOV, abs=2
    )  # the noise is near
    assert rms_dbov(heard[Kind.SILENT]) == pytest.approx(NOISE_DBOV, abs=0.5)
    assert all(len(samples) % FRAME == 0 for samples in heard.values())


def test_who_talks_all_the_time_has_no_long_gaps():
    rng = np.random.default_rng(0)
    word, gap = rng.normal(0, 3_000, 8_000).astype(np.int16), np.zeros(16_000, np.int16)
    cut = without_gaps(np.concatenate([gap, word, gap, word, gap]))
    assert len(cut) / 8 == pytest.approx(2 * 1_000 + 3 * 300, abs=60)
    assert len(without_gaps(word)) == len(word)


def test_frames_are_whole_and_begin_with_what_goes_before():
    frames = frames_of(np.arange(2 * FRAME, dtype=np.int16), b"abc")
    assert [len(frame) for frame in frames] == [323, 323]
    assert frames[1][3:5] == (160).to_bytes(2, "little")


def test_callers_are_mixed_evenly_and_begin_anywhere():
    crowd = spread(THIRDS, 300, dict.fromkeys(Kind, 1_000))
    assert [sum(kind is one for kind, _ in crowd) for one in THIRDS] == [100, 100, 100]
    assert len({offset for _, offset in crowd}) > 200
    assert crowd == spread(THIRDS, 300, dict.fromkeys(Kind, 1_000)), "every run has the same callers"


def test_bars():
    assert Figure("", "", "", [900, 1_000, 1_100], at_least(1_000)).met
    assert Figure("", "", "", [0.4, 0.6, 0.6], at_most(0.5)).met is False
    assert Figure("", "", "", [1]).met is None
    assert str(at_most(0.5)) == "≤ 0.5" and str(at_least(1_000)) == "≥ 1,000"


def test_statistics():
    assert ratios([2, 9], [4, 3]) == [0.5, 3]
    assert percentile(range(1_000), 0.999) == 999
    assert percentile([], 0.5) == 0
    assert [number(v) for v in (1_400, 12.345, 0.01234, 20_317.6)] == ["1,400", "12.3", "0.0123", "20,318"]


def test_frames_of_skipped_time_are_late():
    last = NO_BEAT.__class__(**{**vars(NO_BEAT), "calls": 10, "frames": 900, "late_20": 90, "skipped_ms": 200})
    assert on_time(NO_BEAT, last) == pytest.approx(1 - 190 / 1_000)


def rung(calls: int, on_time: float = 1.0, rss: int = 0) -> Rung:
    return Rung(calls, on_time, 1.0, 0.5, rss, 21.0, 0.0, 9.0, 5.0)


def test_the_highest_rung_that_was_on_time_counts():
    climbs = [[rung(100, rss=50_000), rung(1_000, rss=95_000), rung(1_200, 0.9)], [rung(100), rung(1_000, 0.99)]]
    by_name = {figure.what: figure for figure in figures("", climbs, at_least(1_000))}
    assert by_name["calls with 99.9 % of frames on time"].values == [1_000, 100]
    assert by_name["memory per further call"].values == [50]
    assert memory_per_call(rung(100, rss=50_000), rung(200, rss=60_000)) == 100


def test_a_bar_that_was_not_tried_is_not_missed():
    assert figures("", [[rung(100), rung(200)]], at_least(1_000))[0].bar is None


def test_table_and_json_say_the_same(tmp_path):
    found = [Figure("Part", "calls", "calls", [990, 1_010, 1_020], at_least(1_000), "a note")]
    out = io.StringIO()
    show(MACHINE, found, 3, Console(file=out))
    for text in ("CPU, 2 cores", "Asterisk 22", "12.3 %", "Part", "990", "1,010", "1,020", "≥ 1,000", "met a note"):
        assert text in out.getvalue()
    write_json(tmp_path / "f.json", MACHINE, found, 3)
    (figure,) = json.loads((tmp_path / "f.json").read_text())["figures"]
    assert (figure["median"], figure["met"], figure["values"]) == (1_010, True, [990, 1_010, 1_020])


def run(way, own_cpu: float, silent_ended: int = 10, speaking_ended: int = 0) -> Run:
    ended = {Kind.SILENT: [course_ms() + 60] * silent_ended, Kind.SPEAKING: [9_000.0] * speaking_ended, Kind.SOFT: []}
    groups = tuple(Group(kind, 10, 0, of) for kind, of in ended.items())
    return Run(way, 30, 30, 2.0, own_cpu, 200.0, 60.0, groups, 9, "Asterisk 22")


def test_calls_are_judged_by_who_was_hung_up_on():
    assert run(HEARLINE, 1.0).judged_rightly == 1
    assert run(HEARLINE, 1.0, silent_ended=5, speaking_ended=5).judged_rightly == 0.5
    assert run(HEARLINE, 1.0).soft_kept == 1
    assert run(HEARLINE, 1.0).over_ms == pytest.approx([60] * 10)


def test_a_silent_call_lasts_as_long_as_its_prompts_and_waits():
    assert course_ms() == pytest.approx(200 + 3_600 + 5_280 + 4_380 + 4_380 + 3 * 3_000 + 2_000, abs=3_000)


def test_ways_are_compared_by_the_cpu_of_their_own_processes():
    cpu = {HEARLINE: 0.9, ONLY_FRAMES: 0.4, BY_HAND: 9.0, OWN_MEANS: 0.0}
    by_name = {figure.what: figure for figure in asterisk_figures({way: [run(way, cpu[way])] for way in cpu})}
    least = by_name["Hearline against a C program that only reads and writes"]
    assert (least.values, str(least.bar), least.met) == ([pytest.approx(2.25)], "≤ 2.5", True)
    half, tenth = by_name["Hearline against Asterisk in the same calls"], by_name["Hearline against the EAGI processes"]
    assert (half.values, half.met, half.note) == ([0.45], None, "no bar, but a wish: ≤ 0.5")
    assert (tenth.values, tenth.met) == ([pytest.approx(0.1)], None)


def test_nobody_is_judged_by_a_program_that_hears_nobody():
    found = [f for f in asterisk_figures({w: [run(w, 1.0)] for w in (HEARLINE, ONLY_FRAMES, BY_HAND, OWN_MEANS)})]
    judged = {
        f.part.split(":")[1].split(",")[0].strip() for f in found if f.what == "silent and speaking judged rightly"
    }
    assert judged == {HEARLINE.name, BY_HAND.name, OWN_MEANS.name}
    assert "judged" not in str(run(ONLY_FRAMES, 1.0))


def test_silent_calls_last_equally_long_whoever_hangs_up():
    assert ONLY_FRAMES.stay_ms(Kind.SILENT) == pytest.approx(course_ms(), abs=1)
    assert ONLY_FRAMES.stay_ms(Kind.SPEAKING) == HEARLINE.stay_ms(Kind.SPEAKING) == HEARLINE.stay_ms(Kind.SILENT)


def test_without_a_compiler_the_c_program_is_left_out(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(through_asterisk, "run", lambda way, *_: run(way, 1.0))
    told: list[str] = []
    found, _ = through_asterisk.measure(30, 1, told.append)
    assert "left out, there is no C compiler (cc)" in told[0]
    assert not [figure for figure in found if ONLY_FRAMES.name in figure.part + figure.what]
    assert [figure for figure in found if figure.what == "Hearline against the EAGI processes"]


@pytest.fixture(scope="module")
def c_program(tmp_path_factory):
    if not shutil.which("cc"):
        pytest.skip("there is no C compiler")
    return only_frames.compiled(tmp_path_factory.mktemp("c"))


def test_the_c_program_sends_a_silent_frame_every_20_ms_to_everybody(c_program):
    began = time.monotonic()
    with only_frames.serving(c_program, ("127.0.0.1", 0)) as (_, address):
        callers = [socket.create_connection(address, timeout=10) for _ in range(3)]
        for caller in callers:
            caller.sendall(b"\x01\x00\x10" + uuid.uuid4().bytes + AUDIO_HEADER + bytes(MESSAGE_BYTES - 3))
        heard = [caller.makefile("rb").read(10 * MESSAGE_BYTES) for caller in callers]
        took_s = time.monotonic() - began
        assert heard == 3 * [10 * (AUDIO_HEADER + bytes(MESSAGE_BYTES - 3))]
        assert took_s >= 10 * 0.020, "never before a frame's time, also after the program was late"
        for caller in callers:
            caller.close()


def test_the_c_program_ends_a_connection_with_its_peer_and_itself_with_its_pipe(c_program):
    with only_frames.serving(c_program, ("127.0.0.1", 0)) as (process, address):
        leaving, staying = (socket.create_connection(address, timeout=10) for _ in range(2))
        leaving.shutdown(socket.SHUT_WR)
        while leaving.recv(MESSAGE_BYTES):
            pass
        assert staying.recv(MESSAGE_BYTES).startswith(AUDIO_HEADER)
    assert process.returncode == 0
    while staying.recv(MESSAGE_BYTES):
        pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)
    leaving.close()
    staying.close()


def test_a_c_program_that_ends_too_early_is_noticed(c_program):
    with (
        pytest.raises(RuntimeError, match="before its time"),
        only_frames.serving(c_program, ("127.0.0.1", 0)) as (p, _),
    ):
        p.kill()


def test_a_talk_is_heard_when_the_sound_of_both_sides_has_come(tmp_path):
    def keep(name: str, *sounds: tuple[str, int]) -> None:
        told = [{"event": "joined", "at_ms": 0}, *({"event": "sound", "side": s, "at_ms": ms} for s, ms in sounds)]
        talk = {"caller": name, "began_at": "2026-11-25T08:00:00.010+00:00", "events": told}
        (tmp_path / "day").mkdir(exist_ok=True)
        (tmp_path / "day" / f"{name}.json").write_text(json.dumps(talk))

    joined = datetime.fromisoformat("2026-11-25T08:00:00+00:00").timestamp()
    keep("both", ("caller", 120), ("agent", 140), ("agent", 9_000))
    keep("one", ("caller", 120))
    keep("unknown", ("caller", 120), ("agent", 140))
    found = talks.heard_ms(tmp_path, {"both": joined, "one": joined})
    assert found == [pytest.approx(150, abs=1)]


def test_a_slow_leg_and_a_stray_channel_miss_their_bars():
    def missed(heard_ms: list[float], channels: int = 0) -> set[str]:
        one = talks.Run(3, 0, heard_ms, 3, 10.0, 5.0, channels, 0, 0, 0)
        return {figure.what for figure in talks.figures([one]) if figure.met is False}

    assert missed([100.0, 200.0, 300.0]) == set()
    assert missed([100.0, 200.0]) == {"both sides are listened to"}
    assert missed([100.0, 200.0, 501.0]) == {"the same, 99 % of them", "the same, the last"}
    assert missed([100.0, 200.0, 300.0], channels=1) == {"channels left afterwards"}


def test_only_so_many_scripts_as_the_machine_can_carry():
    assert by_hand_calls(run(BY_HAND, 9.0), 30) <= 30
    assert by_hand_calls(run(BY_HAND, 9_000.0), 300) == 3
    assert by_hand_calls(run(BY_HAND, 0.1), 10_000) <= BY_HAND.a_second * course_ms() / 1_000


def test_what_sipp_tells(tmp_path):
    (tmp_path / "stat.csv").write_text("SuccessfulCall(C);FailedCall(C)\n1;0\n9;1\n")
    (tmp_path / "caller_7_rtt.csv").write_text("Date_ms;response_time_ms;rtd_no\n1;28612.000;1\n2;28700;1\n")
    assert group(tmp_path, Kind.SILENT) == Group(Kind.SILENT, 10, 1, [28_612.0, 28_700.0])


# ---- agent assist alone ----------------------------------------------------------------------------------------------
def test_events_that_are_told_again_make_the_talks_they_are_said_to_make():
    """Taken down from a real Asterisk: a caller comes, waits, is joined with an agent, and leaves."""
    graph, call = ChannelGraph(), Call(7, 3)
    for _, text in call.texts("arrives"):
        graph.hear(parse(text.encode()))
    [talk] = graph.talks()
    assert (talk.caller, talk.agents, talk.queue) == (call.names["caller"], (call.names["agent"],), "care")
    assert talk.number(talk.agents[0]) == "10003" and talk.others == ()
    for _, text in [*call.texts("leg", spy="AudioSocket/127.0.0.1:1-x"), *call.texts("leaves")]:
        graph.hear(parse(text.encode()))
    assert graph.talks() == [] and graph._members == {} and graph._ids.keys() <= {"AudioSocket/127.0.0.1:1-x"}


def test_agent_assist_is_measured_alone(monkeypatch):
    monkeypatch.setattr(event_replay, "FIRST_LEAVES_S", 2.0)
    run = assist_alone.run(callers=6, seconds=1.0)
    assert run.legs == 6 and run.core > 0 and run.rss_kb > 10_000
