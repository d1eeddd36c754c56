"""What an agent's page is told, without a browser."""

from __future__ import annotations

import json
import socket
import threading
import urllib.request
from http.client import HTTPResponse
from typing import Any

from hearline.pbx.config import Account
from world import World


class Page:
    """An agent who is signed in. ``told``: every state that the page was told while open (``with``)."""

    def __init__(self, world: World, account: Account) -> None:
        self._url = f"http://{world.stack.running.page}"
        self._cookie = ""
        with self._asked("/api/sign-in", {"agent": account.number, "pin": account.pin}) as answer:
            self._cookie = answer.headers["Set-Cookie"].partition(";")[0]
        self.told: list[dict] = []

    @property
    def calls(self) -> list[dict]:
        """Every state of a call in `told`."""
        return [told["call"] for told in self.told if told["call"]]

    def state(self) -> dict:
        """The agent's state, as a page that opens now is told it. An agent has four pages; the oldest makes room."""
        with self._asked("/api/events") as news:
            for line in news:
                if "state" in (told := _told(line)):
                    return told
        raise AssertionError("the page was told nothing")

    def post(self, what: str, **told: Any) -> dict:
        """Do what the page does: its answer."""
        with self._asked(f"/api/{what}", told) as answer:
            return json.load(answer)

    def __enter__(self) -> Page:
        self._news = self._asked("/api/events", timeout_s=30)
        self._reading = threading.Thread(target=self._read)
        self._reading.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._news.fp:
            self._news.fp.raw._sock.shutdown(socket.SHUT_RDWR)  # `close` would wait for whoever reads
        self._reading.join(5)
        self._news.close()

    def _read(self) -> None:
        try:
            for line in self._news:
                if "state" in (told := _told(line)):
                    self.told.append(told)
        except (OSError, ValueError):
            pass  # closed

    def _asked(self, path: str, told: dict | None = None, timeout_s: float = 5) -> HTTPResponse:
        headers = {"Content-Type": "application/json", "Origin": self._url, "Cookie": self._cookie}
        data = None if told is None else json.dumps(told).encode()
        return urllib.request.urlopen(urllib.request.Request(f"{self._url}{path}", data, headers), timeout=timeout_s)


def _told(line: bytes) -> dict:
    return json.loads(line.removeprefix(b"data:")) if line.startswith(b"data:") else {}
