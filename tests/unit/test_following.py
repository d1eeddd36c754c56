"""Following a live call: the worker's reports, their way over HTTP, and the output of `hearline listen --call`."""

from __future__ import annotations

import http.client
import json
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from audio_corpus import CLIPS, over_a_line, speech
from hearline.audio.hearing import Hearing
from hearline.audio.settings import CallSettings
from hearline.audio.vad.snapshots import Snapshot
from hearline.media.followers import MOST, Followers
from hearline.media.worker import WATCH_TICKS
from hearline.media.worker_client import WorkerDown
from hearline.media.worker_protocol import CallSummary, Ears, Finished, Follow
from hearline.server.status import _ears, _public, matching, serve_status
from hearline.sounds.prompt_store import PromptStore
from hearline.yamlfiles.watched import Watcher
from test_listen import run
from test_worker import announce, connected, line, ticks  # noqa: F401


# ---- the worker ------------------------------------------------------------------------------------------------------
def told(door) -> list[Ears]:
    return [message for message in door.received() if isinstance(message, Ears)]


def say(peer, samples: np.ndarray) -> None:
    for at in range(0, len(samples) - 159, 160):
        peer.sendall(b"\x10\x01\x40" + samples[at : at + 160].tobytes())


def test_only_a_followed_call_is_told_of_and_only_for_a_while(line, flows):  # noqa: F811
    worker, door, _ = line
    call, other = announce(flows), announce(flows)
    connected(line, call), connected(line, other)
    asked = []
    hearing, worker._detector.hearing = worker._detector.hearing, lambda slot: asked.append(slot) or hearing(slot)
    ticks(worker, 20)
    assert told(door) == [] and asked == []

    door.send(Follow(call.uuid))
    door.send(Follow("nobody"))
    ticks(worker, WATCH_TICKS + 20)
    seen = told(door)
    assert {ears.row.uuid for ears in seen} == {call.uuid} and len(set(asked)) == 1
    assert len(seen) == len(asked) == pytest.approx(WATCH_TICKS / 5, abs=1), (
        "ten a second, and none when it has expired"
    )
    assert {len(ears.look.levels_dbov) for ears in seen[1:]} == {5}
    assert [b.look.at_ms - a.look.at_ms for a, b in zip(seen, seen[1:])] == [100] * (len(seen) - 1)
    assert seen[0].row.step == "opening" and worker._followed == {}


def test_asking_again_goes_on_without_a_gap(line, flows):  # noqa: F811
    worker, door, _ = line
    call = announce(flows)
    connected(line, call)
    ticks(worker, 1)
    for _ in range(4):
        door.send(Follow(call.uuid))
        ticks(worker, WATCH_TICKS // 2)
    levels = [level for ears in told(door) for level in ears.look.levels_dbov]
    assert len(levels) == pytest.approx(4 * WATCH_TICKS // 2, abs=5)


def test_what_the_caller_says_is_seen(line, flows):  # noqa: F811
    worker, door, _ = line
    call = announce(flows)
    peer = connected(line, call)
    ticks(worker, 1)
    door.send(Follow(call.uuid))
    ticks(worker, 5)
    said = over_a_line(np.concatenate([speech(CLIPS[1], -26), np.zeros(8_000)]))
    for at in range(0, len(said) - 159, 160):
        say(peer, said[at : at + 160])
        if at % 8_000 == 0:
            door.send(Follow(call.uuid))
        ticks(worker, 1)
        time.sleep(0.0005)
    seen = told(door)
    assert {"QUIET", "SPEAKING", "STOPPING"} <= {ears.look.state for ears in seen}
    assert seen[0].look.hearing.verdict == "no_signal" and seen[-1].look.hearing.verdict == "speech"
    assert seen[-1].look.hearing.active_level_dbov == pytest.approx(-26, abs=2)
    assert max(level for ears in seen for level in ears.look.levels_dbov) > -30
    assert any(ears.look.events for ears in seen)


def test_a_call_that_ends_while_it_is_followed(line, flows):  # noqa: F811
    worker, door, _ = line
    call = announce(flows)
    peer = connected(line, call)
    ticks(worker, 1)
    door.send(Follow(call.uuid))
    ticks(worker, 6)
    peer.close()
    ticks(worker, 10)
    messages = list(door.received())
    kinds = [type(message) for message in messages]
    assert Finished in kinds and Ears not in kinds[kinds.index(Finished) :]
    assert worker._followed == {} and worker._calls == {}


def test_following_that_fails_does_not_harm_the_call(line, flows, caplog):  # noqa: F811
    worker, door, _ = line
    call = announce(flows)
    connected(line, call)
    ticks(worker, 1)
    door.send(Follow(call.uuid))
    ticks(worker, 1)
    worker._row = None
    ticks(worker, 10)
    assert worker._followed == {} and len(worker._calls) == 1
    assert "cannot be followed" in caplog.text


# ---- the door --------------------------------------------------------------------------------------------------------
NOBODY = Hearing("no_signal", "comfort_noise", False, None, None, -60.0, 0, None, 0.0, 0.1)
LOOK = Snapshot(1_000, (-60.0,) * 5, "QUIET", NOBODY)
PATIENT = CallSettings(too_soft_dbov=-42.0, normal_dbov=-40.0)
ROW = CallSummary(
    "3f2a0000-0000", "PJSIP/trunk-01", "hotline", "opening", "playing", 1_000, None, None, None, 9, PATIENT,
    "20261129-083015123-111122222-sh",
)  # fmt: skip
FINISHED = Finished(ROW.uuid, ROW.channel, "queue:care", "normal", {})


def test_the_end_of_a_call_ends_its_following():
    followers, asked = Followers(), []
    told = followers.follow("a", lambda: not asked.append(1))
    threading.Timer(0.05, lambda: [followers.tell("a", Ears(ROW, LOOK)), followers.tell("a", FINISHED)]).start()
    assert list(told) == [Ears(ROW, LOOK), FINISHED]
    assert asked and not followers._queues


def test_a_call_that_is_gone_without_a_word_ends_its_following():
    assert list(Followers().follow("a", lambda: False)) == []


def test_one_who_does_not_read_holds_up_nobody():
    followers = Followers()
    slow, quick = followers.follow("a", lambda: True), followers.follow("a", lambda: True)
    for one in (slow, quick):
        threading.Timer(0.1, lambda: followers.tell("a", Ears(ROW, LOOK))).start()
        next(one)
    for _ in range(500):
        followers.tell("a", Ears(ROW, LOOK))
        next(quick)
    slow.close(), quick.close()
    assert not followers._queues


# ---- over HTTP, and the command --------------------------------------------------------------------------------------
class FakeLine:
    """As much of a Line as the status page asks of it for a call that is followed."""

    well, beat = True, None

    def __init__(self, looks: list[Snapshot], end: Finished | None = FINISHED, others: int = 0) -> None:
        self.looks, self.end, self.others = looks, end, others
        self.closed = threading.Event()
        self.pause_s = 0.0

    def rows(self) -> list[CallSummary]:
        others = range(self.others)
        return [
            ROW,
            *(replace(ROW, call=f"20261129-083015124-11113333{n}-sh", channel=f"PJSIP/trunk-1{n}") for n in others),
        ]

    def follow(self, uuid: str):
        if self.others >= MOST:
            raise WorkerDown("too many calls are being followed; stop following another one first")
        return self._follow()

    def _follow(self):
        try:
            for look in self.looks:
                yield Ears(ROW, look)
                time.sleep(self.pause_s)
            if self.end:
                yield self.end
        finally:
            self.closed.set()


@pytest.fixture
def served(flows, monkeypatch):
    """Serve the status page for a line. → its address."""
    servers = []

    def serve(line) -> str:  # noqa: F811
        server = serve_status(("127.0.0.1", 0), line, flows, PromptStore(Path()), Watcher({}))
        servers.append(server)
        monkeypatch.setenv("HEARLINE_STATUS", f"127.0.0.1:{server.server_port}")
        return f"127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def spoken(count: int = 30) -> list[Snapshot]:
    return [replace(LOOK, at_ms=100 * (n + 1), levels_dbov=(-60.0 + n,) * 5) for n in range(count)]


def test_a_call_is_meant_by_its_id_a_part_of_it_or_its_channel():
    rows = FakeLine([], others=2).rows()
    for wanted in (ROW.call, "11112", "083015123", ROW.channel):
        assert matching(rows, wanted) == [rows[0]]
    assert matching(rows, "1111") == matching(rows, "20261129-0830") == matching(rows, "sh") == rows
    assert matching(rows, "zz") == matching(rows, "-") == matching(rows, "22222") == []


def test_a_number_in_a_channels_name_is_not_shown():
    row = replace(ROW, channel="Local/13800005678@call-back-00000007;2")
    seen = _public(row)
    assert seen["channel"] == "Local/****5678@call-back-00000007;2" and "13800005678" not in str(seen)
    assert matching([row], seen["channel"]) == [row], "a call is found by what is shown"
    [look, _] = _ears(row.call, (one for one in [Ears(row, LOOK)]))
    assert json.loads(look)["channel"] == seen["channel"]


@pytest.mark.parametrize("wanted", [ROW.call, "1111", ROW.channel])
def test_json_lines_until_the_call_is_over(served, wanted):
    served(FakeLine(spoken()))
    answer = run("--call", wanted, "--json")
    assert answer.exit_code == 0
    *looks, over = map(json.loads, answer.stdout.splitlines())
    assert [look["at_ms"] for look in looks] == [100 * n for n in range(1, 31)]
    assert looks[0] == {
        "call": ROW.call,
        "channel": ROW.channel,
        "flow": "hotline",
        "step": "opening",
        "flow_state": "playing",
        "timer_ms": None,
        "prompt": "",
        "prompt_at_ms": None,
        "at_ms": 100,
        "levels_dbov": [-60.0] * 5,
        "state": "QUIET",
        "verdict": "no_signal",
        "reason": "comfort_noise",
        "final": False,
        "active_level_dbov": None,
        "active_level_error_db": None,
        "noise_level_dbov": -60.0,
        "speech_ms": 0,
        "speech_onset_ms": None,
        "clipping": 0.0,
        "max_p_recent": 0.1,
        "far": None,
        "events": [],
        "gain_db": 9,
        "ears": {
            "too_soft_dbov": -42.0,
            "normal_dbov": -40.0,
            "stop_ms": 700,
            "onset_evidence": 8.0,
            "sign_of_life": True,
        },
    }
    assert over == {"call": ROW.call, "over": True, "outcome": "queue:care", "heard": "normal"}


def test_people_see_it_and_where_it_went(served):
    served(FakeLine(spoken()))
    answer = run("--call", "1111")
    assert answer.exit_code == 0
    for words in ("PJSIP/trunk-01", "opening", "QUIET", "comfort_noise", "−31.0", "raised by 9 dB", "queue:care"):
        assert words in answer.stdout
    assert answer.stdout.splitlines()[-1].startswith("the call has left the IVR"), "a line of its own"


def test_the_picture_of_what_was_seen(served, tmp_path):
    served(FakeLine(spoken()))
    assert run("--call", "1111", "--json", "--png", tmp_path / "seen.png").exit_code == 0
    assert run("--call", "1111", "--json", "--png", tmp_path / "folder").exit_code == 0
    for picture in (tmp_path / "seen.png", tmp_path / "folder" / f"{ROW.call}.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_picture_tells_the_last_verdict_on_speech_and_where_the_call_went(served, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("hearline.pictures.ears.save", lambda path, *what: drawn.append(what))
    soft = replace(NOBODY, verdict="too_soft", reason="soft", speech_ms=900, active_level_dbov=-44.0)
    served(FakeLine([spoken(1)[0], replace(LOOK, at_ms=200, hearing=soft), replace(LOOK, at_ms=300)]))
    assert run("--call", "1111", "--json", "--png", tmp_path / "seen.png").exit_code == 0
    [(heard, settings)] = drawn
    assert (heard.hearing, heard.start_ms, heard.end_ms) == (soft, 0, 300)
    assert settings == PATIENT, "its lines are those that the call was judged by"
    assert heard.marks == [(100, "opening")] and heard.name.endswith("→ queue:care")


def test_no_such_call_lists_the_live_ones(served):
    served(FakeLine([], others=1))
    answer = run("--call", "-", "--json")
    assert answer.exit_code == 1 and answer.stdout == ""
    assert "no call" in answer.stderr and ROW.call in answer.stderr and "PJSIP/trunk-10" in answer.stderr
    ambiguous = run("--call", "1111")
    assert ambiguous.exit_code == 1 and "2 calls" in ambiguous.stderr


def test_more_than_may_follow_are_told_so(served):
    served(FakeLine([], others=MOST))
    answer = run("--call", ROW.call)
    assert answer.exit_code == 1 and "too many calls are being followed" in answer.stderr


def test_a_call_of_which_nobody_knows_the_end(served):
    served(FakeLine(spoken(3), end=None))
    answer = run("--call", "1111", "--json")
    assert answer.exit_code == 0
    assert json.loads(answer.stdout.splitlines()[-1]) == {
        "call": ROW.call,
        "over": True,
        "outcome": None,
        "heard": None,
    }


def test_no_server_there(monkeypatch):
    answer = run("--call", "a", "--server", "127.0.0.1:9")
    assert answer.exit_code == 1 and "no server at 127.0.0.1:9" in answer.stderr and "--server" in answer.stderr
    wrong = run("--call", "a", "--server", "nonsense")
    assert wrong.exit_code == 1 and "--server" in wrong.stderr and "HOST:PORT" in wrong.stderr


def test_a_console_that_leaves_is_noticed(served):
    line = FakeLine(spoken(10_000))  # noqa: F811
    line.pause_s = 0.01
    host, port = served(line).split(":")
    console = http.client.HTTPConnection(host, int(port), timeout=5)
    console.request("GET", "/calls/1111/ears")
    assert json.loads(console.getresponse().readline())["call"] == ROW.call
    console.sock and console.sock.close()
    console.close()
    assert line.closed.wait(3)


def test_a_console_that_hangs_is_let_go(served, monkeypatch, capsys):
    monkeypatch.setattr("hearline.server.status.STUCK_S", 0.3)
    line = FakeLine(spoken(50_000))  # noqa: F811
    host, port = served(line).split(":")
    console = http.client.HTTPConnection(host, int(port), timeout=5)
    console.request("GET", "/calls/1111/ears")
    assert line.closed.wait(5)
    console.close()
    assert "Traceback" not in capsys.readouterr().err
