"""What `hearline doctor` asks of the machine and of the server, asked for real."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace

import pytest

from hearline.core.peers import parse_networks
from hearline.core.settings import Settings
from hearline.doctor.machine_facts import Machine
from hearline.doctor.manager_link import ManagerLink
from hearline.doctor.server_link import ServerLink
from hearline.pbx.ami import AmiDown, AmiRefused
from hearline.pbx.console import ConsoleUnavailable, console_of
from hearline.pbx.fastagi import FastAgiServer
from hearline.server.scripts import alive


@contextmanager
def serving(networks: str, well: bool = True) -> Iterator[tuple[str, int]]:
    """The address of a server that answers the guard's question."""
    scripts = {"alive": lambda session: alive.serve(session, SimpleNamespace(well=well))}
    server = FastAgiServer(("127.0.0.1", 0), scripts, parse_networks(networks))
    server.serve_in_thread()
    try:
        yield server.server_address
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(("well", "said"), [(True, "yes"), (False, "no")])
def test_the_guards_question_is_answered(well, said):
    with serving("127.0.0.0/8", well) as where:
        assert ServerLink().alive(where) == said


def test_a_server_that_does_not_let_us_in_says_nothing():
    with serving("192.0.2.0/24") as where:
        said = ""
        with suppress(ConnectionError):
            said = ServerLink().alive(where)
        assert said == ""


def test_who_listens_on_a_port_is_known():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert Machine().listeners()[server.getsockname()[1]] == os.getpid()
    [own] = [process for process in Machine().processes() if process.pid == os.getpid()]
    assert own.parent == os.getppid() and own.program.startswith("py")


def test_permissions_are_read_for_any_user(tmp_path):
    file = tmp_path / "file"
    file.touch()
    other = file.stat().st_uid + 4_711
    for mode, may in ((0o604, True), (0o660, False)):
        file.chmod(mode)
        assert Machine().lets(other, file, os.R_OK) is may


def test_own_limits_and_clock_can_be_read(tmp_path):
    machine = Machine()
    assert machine.descriptors(os.getpid()) >= 64
    assert machine.runs_ahead(os.getpid()) in (True, False)
    assert machine.clock_is_set() in (True, False)
    assert machine.free_bytes(tmp_path / "not" / "there") > 0
    assert machine.environment(os.getpid())
    assert machine.offset_minutes("Asia/Shanghai") == 480


def test_a_machine_without_asterisk_has_no_console(tmp_path, monkeypatch):
    monkeypatch.setattr("hearline.pbx.console.PLACES", str(tmp_path))
    with pytest.raises(ConsoleUnavailable, match="no program"):
        console_of(tmp_path)("core show version")
    program = tmp_path / "asterisk"
    program.write_text("#!/bin/sh\necho 'Unable to connect to remote asterisk' >&2; exit 1\n")
    program.chmod(0o755)
    with pytest.raises(ConsoleUnavailable, match="Unable to connect"):
        console_of(tmp_path)("core show version")
    program.write_text('#!/bin/sh\necho "$@"\n')
    assert console_of(tmp_path)("core show version") == f"-C {tmp_path}/asterisk.conf -rx core show version\n"


# ---- the manager interface -------------------------------------------------------------------------------------------
def _manager(answer: str) -> tuple[socket.socket, Settings]:
    """A manager interface that accepts a challenge, and gives this answer to all else."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        line, _ = server.accept()
        with line, line.makefile("rwb", 0) as lines:
            lines.write(b"Asterisk Call Manager/11.0.0\r\n")
            action, number = "", ""
            while raw := lines.readline():
                name, _, value = raw.decode().strip().partition(": ")
                action = value if name == "Action" else action
                number = value if name == "ActionID" else number
                if not name:
                    said = "Success\r\nChallenge: 1" if action == "Challenge" else answer
                    lines.write(f"Response: {said}\r\nActionID: {number}\r\n\r\n".encode())

    threading.Thread(target=serve, daemon=True).start()
    return server, Settings(ami=f"127.0.0.1:{server.getsockname()[1]}")


def test_the_manager_interface_is_asked():
    server, settings = _manager("Success\r\nPing: Pong")
    with server:
        link = ManagerLink(settings, "secret")
        assert link.ask("Ping")["Ping"] == "Pong"
        link.close()
    assert "manager" not in [thread.name for thread in threading.enumerate()]


def test_a_refused_login_says_why():
    server, settings = _manager("Error\r\nMessage: Authentication failed")
    with server:
        link = ManagerLink(settings, "secret")
        for _ in range(2):
            with pytest.raises(AmiRefused, match="Authentication failed"):
                link.ask("Ping")
        link.close()


def test_a_manager_interface_that_is_not_there_is_down():
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = server.getsockname()[1]
    link = ManagerLink(Settings(ami=f"127.0.0.1:{where}"), "secret")
    with pytest.raises((AmiDown, OSError)):
        link.ask("Ping")
    link.close()


@contextmanager
def somebody_else(says: bytes, every_s: float) -> Iterator[str]:
    """The address of a program that says the same again and again, whatever it is asked."""
    over = threading.Event()

    def talk(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while not over.wait(every_s):
                connection.sendall(says)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=talk, args=(server.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        over.set()
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("says", [b"HTTP/1.1 200 OK\r\nX: y\r\n", b"x", b"GET VARIABLE x\n", b"SSH-2.0-x\r\n", b""])
def test_whoever_else_answers_is_named_in_time(says, monkeypatch):
    monkeypatch.setattr("hearline.doctor.server_link.PATIENCE_S", 0.4)
    with somebody_else(says, 0.1) as where:
        host, port = where.split(":")
        for ask in (
            lambda: ServerLink().get(where, "/ready"),
            lambda: ServerLink().status_of(f"http://{where}/"),
            lambda: ServerLink().alive((host, int(port))),
        ):
            began = time.monotonic()
            with pytest.raises((OSError, ValueError)) as error:
                ask()
            assert str(error.value) and time.monotonic() - began < 1.5


@pytest.mark.parametrize("says", [b"Asterisk Call Manager/10\r\n", b""])
def test_a_manager_interface_that_hangs_is_named(says, monkeypatch):
    monkeypatch.setattr("hearline.doctor.manager_link.PATIENCE_S", 0.3)
    monkeypatch.setattr("hearline.pbx.ami.ANSWER_S", 0.3, raising=False)
    with somebody_else(says, 0.1) as where, pytest.raises(AmiDown, match="does not answer"):
        ManagerLink(Settings(ami=where), "secret").ask("Ping")
