"""A call through the box's own dialplan: a Local channel that says nothing, as seen by the server."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from hearline.core.ids import new_call_id
from hearline.pbx.ami import Message

LONGEST_S = 45
LOOK_S = 0.1

Row = dict[str, Any]
"""A call in the server's list of live calls."""


class Asks(Protocol):
    def ask(self, action: str, **headers: str | list[str]) -> Message: ...


class Trial:
    """One call.

    Args:
        manager: Asterisk's manager interface.
        rows: returns the server's live calls.
        where: NUMBER@CONTEXT.
        site: see `core.ids`.
    """

    def __init__(self, manager: Asks, rows: Callable[[], list[Row]], where: str, site: str) -> None:
        self._manager, self._rows, self.where = manager, rows, where
        self._id = new_call_id(site, datetime.now(UTC))
        self._channel = f"doctor-{int(time.time())}.{random.randrange(10, 100)}"

    def place(self) -> None:
        """Raises AmiDown, AmiRefused."""
        self._manager.ask(
            "Originate",
            Channel=f"Local/{self.where}/n",
            ChannelId=self._channel,
            OtherChannelId=f"{self._channel}2",
            Application="Wait",
            Data=str(LONGEST_S),
            Variable=[f"__HEARLINE_CALL={self._id}"],
            Async="true",
        )

    def row(self) -> Row | None:
        """The call in the server's list; None if it is not there. Raises OSError, ValueError."""
        return next((row for row in self._rows() if row["call"] == self._id), None)

    def hang_up(self) -> None:
        """Raises AmiDown, AmiRefused: it is over already."""
        self._manager.ask("Hangup", Channel=self._channel)

    def wait(self, condition: Callable[[Row | None], bool], seconds: float) -> Row | None:
        """Wait until the row meets a condition, and return it. Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while not condition(row := self.row()):
            if time.monotonic() > deadline:
                raise TimeoutError
            time.sleep(LOOK_S)
        return row
