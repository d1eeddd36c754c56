"""Agent assist beside the server: its process is started, watched, and started again."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time

from hearline.settings import Settings

log = logging.getLogger(__name__)

RESTART_S = (0.5, 1.0, 2.0, 5.0)  # the last again and again
LASTED_S = 30.0  # one that ran for so long is started again at once
STOP_S = 3.0


class AssistProcess:
    """`hearline.assist.service` as a process that lives as long as we do: it ends when our end of its standard input
    closes, however we end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = threading.Event()
        self._process: subprocess.Popen | None = None
        self._thread = threading.Thread(target=self._watch, name="assist", daemon=True)
        self.restarts = 0

    def start(self) -> None:
        """Raises OSError."""
        self._spawn()
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._process.stdin.close()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join()

    def _spawn(self) -> None:
        given = self._settings.model_dump_json()
        command = [sys.executable, "-m", "hearline.assist.service", given]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE)

    def _watch(self) -> None:
        tries = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            self._process.wait()
            if self._stopping.is_set():
                return
            tries = 0 if time.monotonic() - began > LASTED_S else tries + 1
            log.error("agent assist has ended; it is started again, calls go on without it meanwhile")
            self._process.stdin.close()
            while not self._stopping.wait(RESTART_S[min(tries, len(RESTART_S) - 1)]):
                try:
                    self._spawn()
                except OSError as error:
                    log.error("agent assist cannot be started: %s", error)
                    continue
                self.restarts += 1
                break
