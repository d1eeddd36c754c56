"""An agent's page goes in the middle of a talk, and comes back: who it is then, and who has music meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from hearline.assist.calls.channel_graph import ChannelGraph, ConnectedParties, page_of
from hearline.assist.calls.comeback import ALONE_MS, COPIED, LostPages, comes_back, equip
from hearline.pbx.confirm import Unconfirmed

CALLER, PAGE, AGAIN = "PJSIP/trunk-00000001", "PJSIP/web-8016-00000002", "PJSIP/web-8016-00000007"
DESK, OTHER = "PJSIP/agent-8017-00000003", "PJSIP/web-8017-00000004"


def talk(*agents: str, holder: str = "") -> ConnectedParties:
    return ConnectedParties(CALLER, agents, "care", "normal", holder=holder)


@pytest.mark.parametrize(
    ("channel", "agent"),
    [(PAGE, "8016"), (DESK, ""), ("PJSIP/web-shop-00000001", ""), ("Local/web-8016@hearline-ring-00000001;1", "")],
)
def test_whose_page_a_channel_is(channel, agent):
    assert page_of(channel) == agent


# ---- music -----------------------------------------------------------------------------------------------------------
def test_the_caller_is_alone_while_nothing_comes_from_the_page():
    pages = LostPages()
    assert not pages.hear(PAGE, ALONE_MS - 100) and not pages.alone(talk(PAGE))
    assert pages.hear(PAGE, ALONE_MS) and pages.alone(talk(PAGE))
    assert not pages.hear(PAGE, ALONE_MS + 100), "nothing new"
    assert pages.hear(PAGE, 0) and not pages.alone(talk(PAGE))


def test_a_desk_phone_may_be_silent():
    pages = LostPages()
    assert not pages.hear(DESK, 60_000) and not pages.alone(talk(DESK))


def test_nobody_is_alone_with_another_agent_or_on_hold_or_with_nobody():
    pages = LostPages()
    pages.hear(PAGE, ALONE_MS)
    assert not pages.alone(talk(PAGE, DESK)) and not pages.alone(talk(PAGE, OTHER))
    assert not pages.alone(talk(PAGE, holder=PAGE)) and pages.alone(talk(PAGE, holder=CALLER))
    assert not pages.alone(talk())
    pages.hear(OTHER, ALONE_MS)
    assert pages.alone(talk(PAGE, OTHER))


def test_a_page_that_has_taken_its_call_back_is_another_channel():
    pages = LostPages()
    pages.hear(PAGE, ALONE_MS)
    assert not pages.alone(talk(AGAIN))
    pages.follow([talk(AGAIN)])
    assert not pages.alone(talk(PAGE)), "forgotten"


# ---- who it is -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("before", "now", "found"),
    [
        ((PAGE,), (AGAIN,), [(PAGE, AGAIN)]),
        ((PAGE, DESK), (DESK, AGAIN), [(PAGE, AGAIN)]),
        ((PAGE,), (DESK,), []),
        ((PAGE,), (PAGE, AGAIN), []),
        ((), (AGAIN,), []),
    ],
)
def test_the_same_phone_in_the_same_talk_is_the_same_agent(before, now, found):
    assert comes_back(talk(*before), talk(*now)) == found


def event(kind: str, channel: str, **more: str) -> dict[str, str]:
    ours = f"HEARLINE_CALLER={CALLER}\nHEARLINE_QUEUE=care\nHEARLINE_AGENT={channel if channel == PAGE else ''}"
    return {"Event": kind, "Channel": channel, "ChanVariable": "" if channel == AGAIN else ours, **more}


def seen(board: ChannelGraph, *events: dict[str, str]) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """The agents, and those who consult, after each of these events."""
    found = []
    for told in events:
        board.hear(told)
        [now] = board.talks()
        found.append((now.agents, now.consulting))
    return found


@pytest.fixture
def board() -> ChannelGraph:
    board = ChannelGraph()
    board.hear({"Event": "QueueMember", "StateInterface": "PJSIP/web-8016", "Name": "8016"})
    board.hear(event("Newchannel", PAGE, Uniqueid="1.2", ChannelStateDesc="Down"))
    for channel in (CALLER, PAGE):
        board.hear(event("BridgeEnter", channel, BridgeUniqueid="b1"))
    return board


def comes(exten: str) -> dict[str, str]:
    return event("Newchannel", AGAIN, Uniqueid="1.7", ChannelStateDesc="Ring", Exten=exten)


LEAVES = event("BridgeLeave", PAGE, BridgeUniqueid="b1")
ENTERS = event("BridgeEnter", AGAIN, BridgeUniqueid="b1", SwapUniqueid="1.2")


def test_the_agent_is_never_away_nor_twice_there_when_the_page_takes_its_call_back(board):
    """As a real Asterisk 22.10 told it."""
    assert seen(board, comes("8016"), LEAVES, ENTERS, event("Hangup", PAGE)) == [
        ((PAGE,), ()), ((PAGE,), ()), ((AGAIN,), ()), ((AGAIN,), ()),
    ]  # fmt: skip


def test_a_hold_of_the_lost_page_is_over(board):
    board.hear(event("Hold", PAGE))
    seen(board, comes("8016"), LEAVES, ENTERS)
    assert board.talks()[0].holder == ""


def test_the_agent_is_known_without_the_queues_too(board):
    board.hear({"Event": "QueueMember", "StateInterface": "PJSIP/web-8016", "Name": ""})
    assert seen(board, comes("8016"), LEAVES, ENTERS)[-1] == ((AGAIN,), ())


def test_a_page_that_comes_too_late_takes_nothing(board):
    assert seen(board, comes("8016"), event("Hangup", AGAIN), LEAVES) == [((PAGE,), ()), ((PAGE,), ()), ((), ())]


def test_a_call_to_somebody_else_is_a_consultation(board):
    assert seen(board, comes("8017")) == [((PAGE,), (PAGE,))]


# ---- what it needs ---------------------------------------------------------------------------------------------------
class Asterisk:
    def __init__(self, connected: str = AGAIN) -> None:
        self.connected, self.set = connected, {}

    async def ask_list(self, action: str, Channel: str) -> list[dict[str, str]]:
        return [{"Channel": Channel, "ConnectedChannel": self.connected}]

    async def ask(self, action: str, Channel: str, Variable: str, Value: str = "") -> dict[str, str]:
        if action == "Setvar":
            self.set[Channel, Variable] = Value
        return {"Value": CALLER if Variable == "HEARLINE_CALLER" else f"{Variable} of {Channel}"}


def test_the_new_channel_gets_what_the_dialplan_gave_the_old_one():
    ami = Asterisk()
    asyncio.run(equip(ami, CALLER, AGAIN))
    assert {channel for channel, _ in ami.set} == {AGAIN}
    assert ami.set[AGAIN, "HEARLINE_AGENT"] == AGAIN and ami.set[AGAIN, "HEARLINE_CALLER"] == CALLER
    assert ami.set[AGAIN, "HEARLINE_CALL"] == f"HEARLINE_CALL of {CALLER}"
    assert {name for _, name in ami.set} == {*COPIED, "HEARLINE_AGENT"}


def test_nothing_is_given_to_a_channel_that_is_not_with_the_caller():
    ami = Asterisk(connected=DESK)
    with pytest.raises(Unconfirmed):
        asyncio.run(equip(ami, CALLER, AGAIN))
    assert not ami.set
