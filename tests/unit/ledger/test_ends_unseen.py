"""Contacts whose callers left while agent assist was down."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from hearline.core.settings import Settings
from hearline.figures.counting import Counting
from hearline.figures.ends_unseen import LATE_MS, EndsUnseen
from hearline.store.call_events import CALLS, Caller, Enqueued, Joined, body_of, kind_of
from hearline.store.ledger.intake import Intake
from hearline.store.ledger.tables import contact
from hearline.store.spool.appender import Appender

BEGAN = 1_795_941_015_123
WAITS, TALKS, STAYS, ELSEWHERE = (
    f"20261129-083015123-{number}-{site}"
    for number, site in ((100_000_001, "site"), (100_000_002, "site"), (100_000_003, "site"), (100_000_004, "other"))
)


@pytest.fixture
def ends(tmp_path, ledger):
    """Takes in events, then what agent assist says after a restart; returns (ended, how) by call."""
    folder = tmp_path / "spool"
    own, assist = Appender(folder / "ledger"), Appender(folder / "assist")
    intake = Intake(folder, ledger, Counting(lambda _flow: Settings().calendar), EndsUnseen(own))

    def ends(*said, back=BEGAN + 60_000):
        for call, at, event in said:
            assert assist.append(call, kind_of(event), body_of(event), at).result(5)
        assert assist.append("", CALLS, {"site": "site", "calls": [STAYS]}, back).result(5)
        while intake.take_in():
            pass
        with ledger.transaction() as connection:
            return {row.call: (row.ended, row.ended_as) for row in connection.execute(select(contact))}

    yield ends
    intake.close()
    own.close()
    assist.close()


def test_whoever_is_gone_when_agent_assist_is_back_has_ended(ends):
    back = BEGAN + 60_000
    assert ends(
        (WAITS, BEGAN, Enqueued("care")),
        (TALKS, BEGAN, Enqueued("care")),
        (TALKS, BEGAN + 20_000, Joined("8016")),
        (STAYS, BEGAN, Enqueued("care")),
        (ELSEWHERE, BEGAN, Enqueued("care")),
    ) == {
        WAITS: (back, "abandoned"), TALKS: (back, "answered"), STAYS: (None, ""), ELSEWHERE: (None, ""),
    }  # fmt: skip


def test_a_call_that_has_only_just_come_may_be_there(ends):
    assert ends((WAITS, BEGAN, Caller()), back=BEGAN + LATE_MS - 1) == {WAITS: (None, "")}


def test_it_may_be_said_again(ends):
    ends((WAITS, BEGAN, Enqueued("care")))
    assert ends(back=BEGAN + 90_000) == {WAITS: (BEGAN + 60_000, "abandoned")}
