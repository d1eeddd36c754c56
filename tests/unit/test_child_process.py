"""A process beside the door, and what operators see of it. The process is a stand-in."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import urllib.request
from dataclasses import replace

import pytest

from hearline.assist.playback.volumes import Volumes
from hearline.assist.selftest.whisper_permission import AssistStatus
from hearline.core.settings import Settings
from hearline.server import child_process
from hearline.server.assist import Service
from hearline.server.child_process import ChildProcess
from hearline.server.flow_store import read_flows
from hearline.server.status import serve_status
from hearline.sounds.prompt_store import PromptStore
from hearline.store.accounts import Accounts
from hearline.web.sessions import Sessions
from hearline.yamlfiles.watched import Watcher

GOOD = AssistStatus(connected=True, asterisk="22.10.1", whispers=True, why="a whispered tone is 88 dB softer")

TASKS = {"Legs.keep": 1, "RequestHandler.start": 3}


@pytest.fixture
def assist(tmp_path, monkeypatch):
    """It begins with half a line, tells how it stands, twice, and ends with its standard input."""
    program = tmp_path / "python"
    told = [standing.as_line().decode().strip() for standing in (AssistStatus(), GOOD)]
    lines = "".join(f"echo '{line}' >&0\n" for line in ('{"half', *told, json.dumps({"tasks": TASKS})))
    program.write_text(f"#!/bin/sh\n{lines}exec cat >/dev/null\n")
    program.chmod(0o755)
    monkeypatch.setattr(child_process.sys, "executable", str(program))
    monkeypatch.setattr(child_process, "RESTART_S", (0.05,))
    assist = ChildProcess("hearline.server.assist", "agent assist", Settings(state=tmp_path))
    assist.start()
    yield assist
    assist.stop()


def until(condition) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_it_told_last_stands_until_it_has_ended(assist):
    until(lambda: assist.tasks == TASKS)
    assert assist.standing["whispers"] and assist.standing["asterisk"] == "22.10.1"
    os.kill(assist._process.pid, signal.SIGKILL)
    until(lambda: not assist.standing and not assist.tasks)
    until(lambda: assist.restarts == 1 and assist.standing.get("whispers"))


def test_one_that_hangs_is_replaced(tmp_path, monkeypatch, caplog):
    """It beats for a while, then says nothing more and does not end."""
    program = tmp_path / "python"
    told = GOOD.as_line().decode().strip()
    program.write_text(f"#!/bin/sh\necho '{told}' >&0\nfor i in 1 2 3; do sleep 0.3; echo >&0; done\nexec sleep 600\n")
    program.chmod(0o755)
    monkeypatch.setattr(child_process.sys, "executable", str(program))
    assist = ChildProcess("hearline.server.assist", "agent assist", Settings(state=tmp_path), hung_s=0.7)
    assist.start()
    try:
        until(lambda: assist.standing)
        first, began = assist._process.pid, time.monotonic()
        until(lambda: not assist.standing)
        assert time.monotonic() - began >= 0.9, "not while it beats"
        until(lambda: assist.restarts == 1 and assist.standing)
        assert assist._process.pid != first and "has been silent" in caplog.text
    finally:
        assist.stop()


def test_one_that_never_says_a_word_is_replaced(tmp_path, monkeypatch, caplog):
    program = tmp_path / "python"
    told = GOOD.as_line().decode().strip()
    stuck = tmp_path / "stuck"
    stuck.touch()
    program.write_text(f"#!/bin/sh\nif rm {stuck}; then exec sleep 600; fi\necho '{told}' >&0\nexec cat >/dev/null\n")
    program.chmod(0o755)
    monkeypatch.setattr(child_process.sys, "executable", str(program))
    monkeypatch.setattr(child_process, "RESTART_S", (0.05,))
    assist = ChildProcess("hearline.server.assist", "agent assist", Settings(state=tmp_path), first_s=0.7)
    assist.start()
    try:
        until(lambda: assist.restarts == 1 and assist.standing)
        assert "has been silent" in caplog.text
    finally:
        assist.stop()


@pytest.mark.parametrize("name", ["volumes.json", "signed-out.json", "secret"])
def test_a_pipe_in_the_place_of_a_file_holds_up_no_start(tmp_path, name):
    """Nobody ever writes into it, so a plain read would wait for good."""
    os.mkfifo(tmp_path / name)

    def start() -> None:
        Volumes(tmp_path / "volumes.json")
        Sessions(Accounts(tmp_path / "pins.json"))
        if name == "secret":
            settings = Settings(state=tmp_path, ami="127.0.0.1:1", ami_secret_file=tmp_path / "secret")
            with pytest.raises(OSError, match="not a regular file"):
                Service(settings, lambda _line: None)

    starting = threading.Thread(target=start, daemon=True)
    starting.start()
    starting.join(10)
    assert not starting.is_alive()


def test_it_ends_with_us(assist):
    until(lambda: assist.standing)
    assist.stop()
    assert assist._process.returncode is not None and assist.standing == {}


class NoLines(list):
    """The status page of a server without media workers."""

    well, refused = True, 0


NOTES = {"china": "china.yaml:1: 2027 is missing"}


@pytest.mark.parametrize(
    ("standing", "figures"),
    [
        (GOOD, (1, 1, 1)),
        (AssistStatus(True, "22.10.1", True, "", "because of simple_bridge"), (1, 1, 0)),
        (AssistStatus(True, "22.10.1", False, "the caller would hear a whisper"), (1, 0, 0)),
        (None, (0, 0, 0)),
    ],
)
def test_operators_see_whether_agents_are_whispered_to(tmp_path, standing, figures):
    assist = ChildProcess("hearline.server.assist", "agent assist", Settings(state=tmp_path))
    page = ChildProcess("hearline.server.page", "the agents' page", Settings(state=tmp_path))
    page.standing = {"sign_ins": {"right": 3, "wrong": 1_000}} if standing else {}
    assist.standing = json.loads(standing.as_line()) if standing else {}
    assist.tasks = page.tasks = TASKS
    flows = read_flows(Settings())
    flows.value = replace(flows.value, notes=NOTES)
    with serve_status(("127.0.0.1", 0), NoLines(), flows, PromptStore(tmp_path), Watcher({}), assist, page) as server:

        def get(path: str) -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}{path}", timeout=5) as answer:
                return answer.read().decode()

        ready = json.loads(get("/ready"))
        assert ready["calendars_to_look_at"] == NOTES
        assert "hearline_calendars_to_look_at 1.0" in get("/metrics")
        assert "hearline_page_certificate_days" not in get("/metrics"), "the page has no TLS"
        page.standing = page.standing | {"certificate_ends": time.time() + 10.5 * 86_400}
        metrics = dict(line.rsplit(" ", 1) for line in get("/metrics").splitlines() if not line.startswith("#"))
        server.shutdown()
    assert ready["ready"] and ready["assist"] == assist.standing
    names = ("hearline_assist_connected", "hearline_whispers_allowed", "hearline_whispers_over_silence")
    assert tuple(float(metrics[name]) for name in names) == figures
    signs = [
        float(metrics[f'hearline_sign_ins_total{{result="{one}"}}']) for one in ("right", "wrong", "refused", "busy")
    ]
    assert signs == ([3, 1_000, 0, 0] if standing else [0, 0, 0, 0])
    assert 10.4 < float(metrics["hearline_page_certificate_days"]) < 10.6
    for process in ("assist", "page"):
        assert metrics[f'hearline_{process}_tasks{{task="RequestHandler.start"}}'] == "3.0"
        assert metrics[f"hearline_{process}_restarts_total"] == "0.0"
