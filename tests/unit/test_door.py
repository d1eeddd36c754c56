"""The server as a whole, without Asterisk: calls while a disk does not answer."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
import urllib.error
import urllib.request

import pytest

from hearline.core.settings import Settings
from hearline.server import door
from hearline.server.door import Door
from hearline.server.flow_store import FlowStore
from hearline.store.earlier_calls import EarlierCalls
from hearline.yamlfiles import watched

CALL = {
    "CHANNEL(name)": "Test/1",
    "UNIQUEID": "1.1",
    "EXTEN": "95160",
    "HEARLINE_CALL": "20261129-083015123-482139075-shanghai",
}


def asked(server: Door, path: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server._status.server_port}{path}", timeout=3) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode()


def call(server: Door) -> list[str]:
    """What is asked of Asterisk in a call, up to the end or to AudioSocket; an end without HEARLINE_RESULT leads to the
    queue."""
    asked = []
    with socket.create_connection(("127.0.0.1", server._agi.server_address[1]), timeout=3) as asterisk:
        asterisk.sendall(b"agi_network_script: hotline\n\n")
        for line in asterisk.makefile("r"):
            if not (found := re.fullmatch(r'GET FULL VARIABLE "(.*)"\n', line)):
                return [*asked, line.split()[0]]
            asked += re.findall(r"\$\{(.*?)\}", found[1])
            told = re.sub(r"\$\{(.*?)\}", lambda name: CALL.get(name[1], ""), found[1])
            asterisk.sendall(f"200 result=1 ({told})\n".encode())
    return asked


@pytest.fixture
def hanging(tmp_path, monkeypatch):
    """A server whose flows lie on a disk that does not answer, and what makes it answer."""
    goes_on, look = threading.Event(), FlowStore._stamp
    monkeypatch.setattr(FlowStore, "_stamp", lambda store: (goes_on.wait(30), look(store))[1])
    monkeypatch.setattr(door, "FILES_S", 0.3)
    monkeypatch.setattr(watched, "STUCK_S", 0.3)
    nowhere = dict.fromkeys(("agi", "media", "status"), "127.0.0.1:0")
    server = Door(Settings(state=tmp_path, ami="", **nowhere))
    server.start()
    yield server, goes_on
    goes_on.set()
    server.stop()


def test_a_disk_that_does_not_answer_sends_callers_to_the_queue_and_says_so(hanging):
    server, goes_on = hanging
    began = time.monotonic()
    assert call(server)[-1] == "HEARLINE_FLOW", "then it is over"
    assert time.monotonic() - began < 1
    ready = json.loads(asked(server, "/ready"))
    assert ready["ready"] is False and ready["flows_not_loaded"] == ["hotline.yaml"]
    assert ready["files_stuck"]["what"] == "flows"
    figures = dict(line.rsplit(" ", 1) for line in asked(server, "/metrics").splitlines() if not line.startswith("#"))
    assert float(figures["hearline_files_stuck_seconds"]) >= 0.3 and figures["hearline_flows_not_loaded"] == "1.0"
    goes_on.set()
    while not json.loads(asked(server, "/ready"))["ready"]:
        assert time.monotonic() - began < 10
        time.sleep(0.05)
    assert "files_stuck" not in json.loads(asked(server, "/ready"))
    assert call(server)[-2:] == ["CALLERID(num-pres)", "EXEC"]


def test_a_call_does_not_wait_for_the_key_of_the_callers_hashes(tmp_path, monkeypatch):
    goes_on = threading.Event()
    monkeypatch.setattr(EarlierCalls, "who", lambda *_: (goes_on.wait(30), "")[1])
    nowhere = dict.fromkeys(("agi", "media", "status"), "127.0.0.1:0")
    server = Door(Settings(state=tmp_path, **nowhere))
    server.start()
    try:
        began = time.monotonic()
        assert call(server)[-1] == "EXEC"
        assert time.monotonic() - began < 3
    finally:
        goes_on.set()
        server.stop()
