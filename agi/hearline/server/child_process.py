"""A child process of the door: starts it, watches it, and starts it again if it ends or hangs. Keeps the status that it
reports, for operators. `child` is the other end."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import Any

from hearline.core.settings import Settings

log = logging.getLogger(__name__)

RESTART_S = (0.5, 1.0, 2.0, 5.0)  # waits before a restart; the last one is repeated
LASTED_S = 30.0  # after a process that ran this long, the waits begin anew
STOP_S = 3.0
BEAT_S = 1.0  # the child's event loop sends a beat this often
HUNG_S = 10.0  # a child that has been silent for this long hangs; counted from its first word
FIRST_S = 30.0  # for the first word: importing takes a while, on a machine that has just started
LOOK_S = 0.5
BEAT = b"\n"
TASKS = "tasks"  # the key of a line that counts tasks


class ChildProcess:
    """Runs a module as a process that ends with ours: its standard input is a socket, and it ends when our end closes,
    however our process ends.

    Args:
        module: its dotted name.
        name: its name in messages.
        hung_s: the process is replaced when it has been silent for this long.
        first_s: the same, before its first word.

    ``standing``: the last status that it reported; empty before the first one, and after it has ended or hung.
    ``tasks``: the number of its asyncio tasks, by the name of their coroutine.
    """

    def __init__(
        self, module: str, name: str, settings: Settings, hung_s: float = HUNG_S, first_s: float = FIRST_S
    ) -> None:
        self._module, self._name, self._settings = module, name, settings
        self._hung_s, self._first_s = hung_s, first_s
        self._stopping = threading.Event()
        self._process: subprocess.Popen | None = None
        self._link: socket.socket | None = None
        self._thread = threading.Thread(target=self._watch, name=self._module.rpartition(".")[2], daemon=True)
        self.restarts = 0
        self.standing: dict[str, Any] = {}
        self.tasks: dict[str, int] = {}

    def start(self) -> None:
        """Raises OSError."""
        self._spawn()
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        with suppress(OSError):  # already closed, between two processes
            self._link.shutdown(socket.SHUT_RDWR)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join()
        self._link.close()

    def _spawn(self) -> None:
        given = self._settings.model_dump_json()
        command = [sys.executable, "-m", self._module, given]
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(command, stdin=theirs.fileno())
            except OSError:
                ours.close()
                raise
        self._link = ours

    def _listen(self) -> None:
        """Read its lines until it ends or hangs. Time in which our own process did not run is not its silence."""
        unread, silent_s, most_s, looked = b"", 0.0, self._first_s, time.monotonic()
        self._link.settimeout(LOOK_S)
        with suppress(OSError):
            while silent_s <= most_s:
                try:
                    data = self._link.recv(65_536)
                except TimeoutError:
                    data = None
                away, looked = time.monotonic() - looked, time.monotonic()
                if data is None:
                    silent_s += min(away, 2 * LOOK_S)
                    continue
                if not data:
                    break
                silent_s, most_s = 0.0, self._hung_s
                *lines, unread = (unread + data).split(b"\n")
                for line in filter(None, lines):
                    with suppress(ValueError):  # half a line: the next one is whole
                        message = json.loads(line)
                        if TASKS in message:
                            self.tasks = message[TASKS]
                        else:
                            self.standing = message
        self.standing, self.tasks = {}, {}
        if self._process.poll() is None and not self._stopping.is_set() and silent_s > most_s:
            log.error("%s has been silent for %.0f s and is killed", self._name, most_s)
            self._process.kill()

    def _watch(self) -> None:
        tries = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            self._listen()
            self._process.wait()
            if self._stopping.is_set():
                return
            tries = 0 if time.monotonic() - began > LASTED_S else tries + 1
            log.error("%s has ended; it is started again, and calls go on without it meanwhile", self._name)
            self._link.close()
            while not self._stopping.wait(RESTART_S[min(tries, len(RESTART_S) - 1)]):
                try:
                    self._spawn()
                except OSError as error:
                    log.error("%s cannot be started: %s", self._name, error)
                    continue
                self.restarts += 1
                break
