"""Agent assist beside the server: its process is started, watched, and started again; and what it tells is kept for
operators."""

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

RESTART_S = (0.5, 1.0, 2.0, 5.0)  # the last again and again
LASTED_S = 30.0  # one that ran for so long is started again at once
STOP_S = 3.0


class AssistProcess:
    """`hearline.server.assist` as a process that lives as long as we do: its standard input is a socket, and it ends
    when our end of that closes, however we end.

    ``standing``: what it last told, see ``permit.Standing``; nothing before it has, and when it has ended.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = threading.Event()
        self._process: subprocess.Popen | None = None
        self._link: socket.socket | None = None
        self._thread = threading.Thread(target=self._watch, name="assist", daemon=True)
        self.restarts = 0
        self.standing: dict[str, Any] = {}

    def start(self) -> None:
        """Raises OSError."""
        self._spawn()
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        with suppress(OSError):  # closed already, between two of them
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
        command = [sys.executable, "-m", "hearline.server.assist", given]
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(command, stdin=theirs)
            except OSError:
                ours.close()
                raise
        self._link = ours

    def _listen(self) -> None:
        """Until it has ended."""
        with self._link.makefile("rb") as lines, suppress(OSError, ValueError):
            for line in lines:
                self.standing = json.loads(line)
        self.standing = {}

    def _watch(self) -> None:
        tries = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            self._listen()
            self._process.wait()
            if self._stopping.is_set():
                return
            tries = 0 if time.monotonic() - began > LASTED_S else tries + 1
            log.error("agent assist has ended; it is started again, calls go on without it meanwhile")
            self._link.close()
            while not self._stopping.wait(RESTART_S[min(tries, len(RESTART_S) - 1)]):
                try:
                    self._spawn()
                except OSError as error:
                    log.error("agent assist cannot be started: %s", error)
                    continue
                self.restarts += 1
                break
