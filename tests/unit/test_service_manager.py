"""The notifications to systemd, received on a socket like systemd's."""

from __future__ import annotations

import os
import socket
import threading

import pytest

from hearline.server.service_manager import keep_beating, notify, watchdog_s


@pytest.fixture(params=["path", "abstract"])
def systemd(request, tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        name = str(tmp_path / "notify") if request.param == "path" else f"@hearline-test-{os.getpid()}"
        heard.bind(name.replace("@", "\0", 1))
        heard.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        yield heard


def test_it_is_told_that_the_server_is_ready(systemd):
    notify("READY=1")
    assert systemd.recv(100) == b"READY=1"


def test_without_systemd_nobody_is_told(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/at/all")
    notify("READY=1")


def test_beats_stop_when_no_calls_are_taken(systemd, monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "60000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    alive, stop = threading.Event(), threading.Event()
    alive.set()
    thread = threading.Thread(target=keep_beating, args=(alive.is_set, stop))
    thread.start()
    assert systemd.recv(100) == b"WATCHDOG=1"
    alive.clear()
    systemd.settimeout(0.2)
    with pytest.raises(TimeoutError):
        for _ in range(3):
            systemd.recv(100)  # what was on its way
    stop.set()
    thread.join(5)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [
        ("10000000", "", 10.0),
        ("10000000", str(os.getpid()), 10.0),
        ("10000000", "1", 0.0),
        ("", "", 0.0),
        ("x", "", 0.0),
    ],
    ids=["any process", "this process", "another process", "no time", "not a number"],
)
def test_whether_it_watches(monkeypatch, usec, pid, seconds):
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.setenv("WATCHDOG_PID", pid)
    assert watchdog_s() == seconds
