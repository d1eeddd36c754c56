"""The answer to the guard's question, on which every call in the IVR depends."""

from __future__ import annotations

import time

import pytest

from hearline.server.scripts import alive


class Line:
    """Its worker is heard `after` so many questions; None: never."""

    def __init__(self, after: int | None) -> None:
        self._after, self._asked = after, 0

    @property
    def well(self) -> bool:
        self._asked += 1
        return self._after is not None and self._asked > self._after


class Agi:
    def __init__(self) -> None:
        self.told: dict[str, str] = {}

    def set_variable(self, name: str, value: str) -> None:
        self.told[name] = value


@pytest.mark.parametrize(
    ("after", "answer"),
    [(0, "yes"), (3, "yes"), (None, "no")],
    ids=["heard", "what it said is still to be read", "not heard at all"],
)
def test_a_worker_is_given_a_moment_to_be_heard(after, answer):
    agi, began = Agi(), time.monotonic()
    alive.serve(agi, Line(after))
    assert agi.told == {"HEARLINE_ALIVE": answer}
    if after is None:
        assert time.monotonic() - began >= alive.PATIENCE_S
