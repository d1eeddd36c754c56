"""Who talks with whom, derived from Asterisk's events. The sequences were recorded from a real Asterisk 22.10."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearline.assist.calls.channel_graph import ChannelGraph, other_half
from hearline.assist.hints.events import Side
from hearline.pbx.ami_messages import parse, variables
from hearline.pbx.chanspy import spy_data

CALLER, AGENT, SECOND = "PJSIP/trunk-00000001", "PJSIP/agent-8016-00000002", "PJSIP/agent-8017-00000003"
ONE, TWO = "Local/agent-8016@hearline-ring-00000001;1", "Local/agent-8016@hearline-ring-00000001;2"
VARS = f"HEARLINE_CALLER={CALLER}\nHEARLINE_QUEUE=care\nHEARLINE_HEARD=normal"


def event(kind: str, channel: str, **more: str) -> dict[str, str]:
    return {"Event": kind, "Channel": channel, "ChanVariable": variables_of(channel), **more}


def variables_of(channel: str) -> str:
    """What Asterisk adds to an event of this channel: an agent's phone has been marked by the dialplan."""
    return f"{VARS}\nHEARLINE_AGENT={channel}" if channel.startswith(("PJSIP/agent-", "PJSIP/z-seat")) else VARS


def enter(channel: str, bridge: str) -> dict[str, str]:
    return event("BridgeEnter", channel, BridgeUniqueid=bridge)


def leave(channel: str, bridge: str) -> dict[str, str]:
    return event("BridgeLeave", channel, BridgeUniqueid=bridge)


def hear(board: ChannelGraph, *events: dict[str, str]) -> ChannelGraph:
    for told in events:
        board.hear(told)
    return board


JOINED = (enter(TWO, "b2"), enter(AGENT, "b2"), enter(ONE, "b1"), enter(CALLER, "b1"))


@pytest.fixture
def board() -> ChannelGraph:
    return hear(ChannelGraph(), *JOINED)


def test_caller_and_agent_meet_through_a_local_channel(board):
    [talk] = board.talks()
    assert (talk.caller, talk.agents, talk.queue, talk.heard) == (CALLER, (AGENT,), "care", "normal")
    assert talk.held_by is None


def test_who_waits_in_the_queue_talks_with_nobody():
    assert hear(ChannelGraph(), event("Newstate", CALLER), enter(TWO, "b2"), enter(AGENT, "b2")).talks() == []


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_the_order_of_joining_does_not_matter(order):
    [talk] = hear(ChannelGraph(), *(JOINED[i] for i in order)).talks()
    assert talk.agents == (AGENT,)


def test_other_calls_are_none_of_ours():
    strangers = [{"Event": "BridgeEnter", "Channel": c, "BridgeUniqueid": "x"} for c in ("PJSIP/a-1", "PJSIP/b-2")]
    assert hear(ChannelGraph(), *strangers).talks() == []


def test_hold_and_unhold(board):
    assert [t.held_by for t in hear(board, event("Hold", AGENT)).talks()] == [Side.AGENT]
    assert [t.held_by for t in hear(board, event("Unhold", AGENT)).talks()] == [None]
    assert [t.held_by for t in hear(board, event("Hold", CALLER)).talks()] == [Side.CALLER]


@pytest.mark.parametrize(("technology", "silent"), [("softmix", True), ("simple_bridge", False)])
def test_softmix_tells_nobody_of_a_hold(technology, silent):
    mixed = [{**joins, "BridgeTechnology": technology} for joins in JOINED]
    board = hear(ChannelGraph(), *mixed)
    assert not board.talks()[0].held_in_silence
    assert hear(board, event("Hold", AGENT)).talks()[0].held_in_silence is silent
    assert not hear(board, event("Unhold", AGENT), event("Hold", CALLER)).talks()[0].held_in_silence


@pytest.mark.parametrize("seat", ["agent-8016", "z-seat"])
def test_a_caller_who_holds_meanwhile_does_not_take_the_hold_from_the_agent(seat):
    agent = f"PJSIP/{seat}-00000002"
    board = hear(ChannelGraph(), enter(CALLER, "b1"), enter(agent, "b1"), event("Hold", agent), event("Hold", CALLER))
    assert [t.held_by for t in board.talks()] == [Side.AGENT]


def test_two_callers_who_are_joined_with_each_other_are_nobodys_agents(board):
    """An agent had both and has connected them: neither is coached, let alone whispered to."""
    other = "PJSIP/trunk-00000011"
    theirs = {"ChanVariable": VARS.replace(CALLER, other)}
    assert board.talks()
    hear(board, *({**joins, **theirs} for joins in (enter(other, "b4"), enter(AGENT, "b4"))))
    assert board.talks()
    hear(board, leave(AGENT, "b4"), leave(CALLER, "b1"), enter(CALLER, "b4"), event("Hangup", AGENT))
    assert {talk.caller: talk.agents for talk in board.talks()} == {CALLER: (), other: ()}


def test_who_holds_and_hangs_up_holds_no_more(board):
    hear(board, event("Hold", AGENT), event("Hangup", AGENT))
    [talk] = hear(board, enter(SECOND, "b2")).talks()
    assert talk.agents == (SECOND,) and talk.held_by is None


def test_a_blind_transfer_leads_to_the_next_agent(board):
    assert board.talks()
    [talk] = hear(board, leave(TWO, "b2"), leave(AGENT, "b2"), event("Hangup", AGENT)).talks()
    assert talk.agents == (), "the caller is passed on: their talk is not over"
    [talk] = hear(board, enter(TWO, "b3"), enter(SECOND, "b3")).talks()
    assert talk.agents == (SECOND,)


def test_a_talk_is_over_when_the_caller_hangs_up(board):
    assert board.talks()
    assert hear(board, leave(CALLER, "b1"), event("Hangup", CALLER)).talks() == []


LISTED = {"Event": "QueueMember", "Name": "8016", "StateInterface": "PJSIP/agent-8016"}


def test_whoever_calls_somebody_else_meanwhile_consults(board):
    dialled = {"Event": "Newchannel", "Channel": "PJSIP/agent-8016-00000008", "ChannelStateDesc": "Down"}
    assert hear(board, dialled).talks()[0].consulting == (), "somebody calls them"
    calls = {**dialled, "ChannelStateDesc": "Ring"}
    others = {**calls, "Channel": "PJSIP/agent-80-00000009"}
    assert hear(board, others).talks()[0].consulting == ()
    assert hear(board, calls).talks()[0].consulting == (), "is it an agent's phone?"
    assert hear(board, LISTED).talks()[0].consulting == (AGENT,)
    assert hear(board, {**calls, "Event": "Hangup"}).talks()[0].consulting == ()


def test_the_queue_knows_whose_phone_it_is(board):
    changed = {"Event": "QueueMemberStatus", "MemberName": "8017", "StateInterface": "PJSIP/agent-8017"}
    [talk] = hear(board, LISTED, changed, enter(SECOND, "b2")).talks()
    assert [talk.number(agent) for agent in (AGENT, SECOND)] == ["8016", "8017"]


# ---- who is an agent -------------------------------------------------------------------------------------------------
OUTSIDER = "PJSIP/trunk-00000009"


def joins(channel: str, bridge: str, told: str = VARS) -> dict[str, str]:
    return {"Event": "BridgeEnter", "Channel": channel, "BridgeUniqueid": bridge, "ChanVariable": told}


def test_a_phone_is_an_agents_if_our_dialplan_rang_it_as_one_or_a_queue_lists_it():
    marked = hear(ChannelGraph(), enter(CALLER, "b1"), enter(AGENT, "b1"))
    assert marked.talks()[0].agents == (AGENT,)
    listed_later = hear(ChannelGraph(), enter(CALLER, "b1"), joins(AGENT, "b1"))
    assert listed_later.talks() == []
    assert listed_later.hear(LISTED)
    assert listed_later.talks()[0].agents == (AGENT,)


def test_somebody_elses_mark_makes_no_agent():
    """A variable that was inherited names the channel it was set on."""
    told = f"{VARS}\nHEARLINE_AGENT={AGENT}"
    assert hear(ChannelGraph(), enter(CALLER, "b1"), joins(OUTSIDER, "b1", told)).talks() == []


def test_whoever_else_is_connected_is_no_agent(board):
    [talk] = hear(board, joins(OUTSIDER, "b2")).talks()
    assert talk.agents == (AGENT,) and talk.others == (OUTSIDER,)


@pytest.mark.parametrize("told", [VARS, ""])
def test_a_caller_who_is_passed_on_to_somebody_outside_is_with_no_agent_any_more(board, told):
    assert board.talks()
    [talk] = hear(board, joins(OUTSIDER, "b2", told), leave(AGENT, "b2"), event("Hangup", AGENT)).talks()
    assert talk.agents == () and talk.others == (OUTSIDER,)


@pytest.mark.parametrize("theirs", ["PJSIP/trunk-00000031", AGENT.replace("2", "9")])
def test_a_callers_own_telephone_beyond_a_local_channel_is_no_agent(theirs):
    """A ring group or an IVR before ours dialled Local/95160@…: the caller's channel is that one's second half."""
    mine = "Local/95160@from-ivr-00000007;2"
    told = f"HEARLINE_CALLER={mine}\nHEARLINE_QUEUE=care\nHEARLINE_HEARD=normal"
    agents = f"{told}\nHEARLINE_AGENT={AGENT}"
    board = hear(
        ChannelGraph(),
        LISTED,
        joins(theirs, "b0", ""),
        joins(other_half(mine), "b0", ""),
        joins(mine, "b1", told),
        joins(AGENT, "b1", agents),
    )
    [talk] = board.talks()
    assert talk.caller == mine and talk.agents == (AGENT,) and talk.others == ()
    hear(board, leave(AGENT, "b1"), {"Event": "Hangup", "Channel": AGENT})
    assert [talk.agents for talk in board.talks()] == [()]


def test_a_phone_whose_number_is_taken_back_is_no_agents_any_more():
    board = hear(ChannelGraph(), LISTED, enter(CALLER, "b1"), joins(AGENT, "b1"))
    assert board.talks()[0].agents == (AGENT,)
    assert board.hear({**LISTED, "Name": ""})
    assert board.talks()[0].agents == ()


def test_one_phones_name_is_no_beginning_of_anothers():
    longer = {"Event": "QueueMember", "Name": "9000", "StateInterface": "PJSIP/agent-8016-b"}
    board = hear(ChannelGraph(), longer, enter(CALLER, "b1"), joins("PJSIP/agent-8016-00000002", "b1"))
    assert board.talks() == []


def test_a_queue_that_a_caller_is_passed_on_to_answers_for_the_caller(board):
    connected = event("AgentConnect", TWO, MemberName="8017", HoldTime="3", RingTime="2")
    [talk] = hear(board, connected).talks()
    assert talk.answer.agent_id == "8017"


def test_an_attended_transfer_leads_to_an_agent_without_our_variables(board):
    colleague = {"Event": "BridgeEnter", "Channel": "PJSIP/agent-8017-00000009", "BridgeUniqueid": "b2"}
    member = {"Event": "QueueMember", "Name": "8017", "StateInterface": "PJSIP/agent-8017"}
    [talk] = hear(board, member, leave(AGENT, "b2"), colleague).talks()
    assert talk.agents == ("PJSIP/agent-8017-00000009",)


def test_a_second_agent_in_the_same_bridge(board):
    [talk] = hear(board, enter(SECOND, "b2")).talks()
    assert talk.agents == (AGENT, SECOND)


def test_a_channel_that_is_renamed_stays(board):
    [talk] = hear(board, event("Rename", AGENT, Newname="PJSIP/agent-8016-0000000a")).talks()
    assert talk.agents == ("PJSIP/agent-8016-0000000a",)


def test_what_the_queue_says_of_the_answer():
    connected = event("AgentConnect", CALLER, MemberName="8016", HoldTime="21", RingTime="6")
    [talk] = hear(ChannelGraph(), connected, *JOINED).talks()
    assert (talk.answer.agent_id, talk.answer.wait_s, talk.answer.ring_s) == ("8016", 21.0, 6.0)


def test_a_late_farewell_to_an_earlier_bridge_changes_nothing(board):
    [talk] = hear(board, enter(AGENT, "b2"), leave(AGENT, "b0")).talks()
    assert talk.agents == (AGENT,)


def test_the_listening_legs_are_no_agents(board):
    leg = {"Event": "BridgeEnter", "Channel": "AudioSocket/127.0.0.1:9192-x", "BridgeUniqueid": "b2"}
    [talk] = hear(board, leg).talks()
    assert talk.agents == (AGENT,)


def test_after_a_new_login_the_list_of_channels_says_how_things_stand(board):
    channels = [
        {"Channel": CALLER, "ChanVariable": VARS, "BridgeId": "b1"},
        {"Channel": ONE, "ChanVariable": VARS, "BridgeId": "b1"},
        {"Channel": TWO, "ChanVariable": VARS, "BridgeId": "b2"},
        {"Channel": SECOND, "ChanVariable": variables_of(SECOND), "BridgeId": "b2"},
        {"Channel": "PJSIP/trunk-00000077", "BridgeId": ""},
    ]
    fresh = ChannelGraph()
    for known in (board, fresh):
        known.reset(channels)
        [talk] = known.talks()
        assert talk.agents == (SECOND,)
    board.reset([])
    assert board.talks() == []


def listed(channel: str, bridge: str, number: str) -> dict[str, str]:
    return {"Channel": channel, "ChanVariable": variables_of(channel), "BridgeId": bridge, "Uniqueid": number}


def test_a_talk_that_went_on_before_we_came_is_picked_up():
    board, now = ChannelGraph(), [listed(CALLER, "b1", "1.1"), listed(AGENT, "b1", "1.2")]
    board.reset(now, [{"BridgeUniqueid": "b1", "BridgeTechnology": "softmix"}])
    assert board.connected() == [CALLER, AGENT]
    [talk] = hear(board, event("Hold", AGENT)).talks()
    assert talk.picked_up and talk.held_in_silence
    other = "PJSIP/trunk-00000009"
    mine = f"HEARLINE_CALLER={other}\nHEARLINE_QUEUE=care"
    joins = {"Event": "BridgeEnter", "Channel": other, "ChanVariable": mine, "BridgeUniqueid": "b9"}
    new = hear(board, joins, enter(SECOND, "b9")).talks()[-1]
    assert new.caller == other and not new.picked_up


def test_a_new_login_costs_nothing_that_asterisk_does_not_tell_again():
    created = [event("Newchannel", c, Uniqueid=n) for c, n in ((CALLER, "1.1"), (AGENT, "1.2"))]
    connected = event("AgentConnect", CALLER, MemberName="8016", HoldTime="21", RingTime="6")
    calls = event("Newchannel", "PJSIP/agent-8016-00000008", ChannelStateDesc="Ring", Uniqueid="1.8")
    board = hear(ChannelGraph(), *created, connected, LISTED, enter(CALLER, "b1"), enter(AGENT, "b1"), calls)
    before = board.talks()
    channels = [
        listed(CALLER, "b1", "1.1"),
        listed(AGENT, "b1", "1.2"),
        {"Channel": calls["Channel"], "BridgeId": "", "Uniqueid": "1.8"},
    ]
    board.reset(channels)
    assert board.talks() == before
    assert before[0].answer.agent_id == "8016" and before[0].consulting == (AGENT,)


def test_after_a_restart_of_asterisk_the_same_names_are_other_channels():
    connected = event("AgentConnect", CALLER, MemberName="8016", HoldTime="21", RingTime="6")
    board = hear(ChannelGraph(), event("Newchannel", CALLER, Uniqueid="1.1"), connected, *JOINED)
    assert board.talks()[0].answer.wait_s == 21
    board.reset([listed(CALLER, "b1", "2.1"), listed(AGENT, "b1", "2.2")])
    [talk] = board.talks()
    assert talk.answer.wait_s == 0 and talk.picked_up


EVENTS = [
    *JOINED,
    leave(TWO, "b2"),
    leave(CALLER, "b1"),
    leave(AGENT, "b2"),
    enter(SECOND, "b2"),
    joins(OUTSIDER, "b1"),
    LISTED,
    event("Hold", AGENT),
    event("Unhold", AGENT),
    event("Rename", AGENT, Newname="PJSIP/agent-8016-0000000a"),
    event("Newchannel", "PJSIP/agent-8016-00000008", ChannelStateDesc="Ring"),
    *(event("Hangup", channel) for channel in (ONE, AGENT, CALLER, OUTSIDER, "PJSIP/agent-8016-00000008")),
]


@given(st.lists(st.tuples(st.sampled_from(EVENTS), st.booleans())))
def test_only_what_an_event_concerns_is_looked_at_and_nothing_is_missed(events):
    """However often one asks in between, the answer at the end is that of a graph which looks at everybody again."""
    board = ChannelGraph()
    for told, asked in events:
        changed, before = board.hear(told), list(board._found.values())
        if asked and board.talks() != before:
            assert changed
    last = board.talks()
    board._stale.update(board._callers, board._found)
    assert board.talks() == last
    members = {bridge: {c for c, b in board._bridge_of.items() if b == bridge} for bridge in board._bridge_of.values()}
    assert members == board._members


@given(st.lists(st.sampled_from([*JOINED, leave(TWO, "b2"), leave(CALLER, "b1"), event("Hangup", ONE)])))
def test_whatever_the_order_a_talk_needs_a_caller_and_a_phone(events):
    for talk in hear(ChannelGraph(), *events).talks():
        assert talk.caller == CALLER and talk.agents == (AGENT,)


def test_other_half():
    assert (other_half(ONE), other_half(TWO)) == (TWO, ONE)


# ---- what is asked of ChanSpy ----------------------------------------------------------------------------------------
def test_only_an_agent_can_be_whispered_to():
    assert spy_data(AGENT, whisper=True) == f"{AGENT},qoESuw"
    assert spy_data(CALLER, whisper=False) == f"{CALLER},qoESu"


@given(st.text(), st.booleans())
def test_no_name_makes_a_whisper_that_the_caller_hears(name, whisper):
    """B and W bring what we say to both, d lets a key switch to them."""
    try:
        data = spy_data(name, whisper=whisper)
    except ValueError:
        return
    channel, options = data.split(",")
    assert channel == name and not set(options) & set("BWd") and set(options) <= set("qoESuw")


# ---- the manager interface's messages --------------------------------------------------------------------------------
def test_channel_variables_of_an_event():
    raw = (
        b"Event: BridgeEnter\r\nChannel: PJSIP/a-1\r\nChanVariable: HEARLINE_CALLER=PJSIP/a-1\r\n"
        b"ChanVariable: HEARLINE_QUEUE=care=x\r\nChanVariable: HEARLINE_HEARD=\r\nCallerIDName: \xe9lan\r\n\r\n"
    )
    message = parse(raw)
    assert message["Channel"] == "PJSIP/a-1" and message["CallerIDName"] == "\ufffdlan"
    assert variables(message) == {
        "HEARLINE_CALLER": "PJSIP/a-1", "HEARLINE_QUEUE": "care=x", "HEARLINE_HEARD": "",
    }  # fmt: skip


def test_a_caller_can_name_themselves_nothing_that_counts_as_a_header():
    assert parse(b"Event: Newchannel\r\nCallerIDName: x Event: Hangup\r\n\r\n")["Event"] == "Newchannel"


# ---- two callers with one id -----------------------------------------------------------------------------------------
SAME = "20241125-020000000-482139075-sh"
FORKED = "PJSIP/trunk-00000009"


def met(channel: str, caller: str = "") -> dict[str, str]:
    known = f"HEARLINE_CALLER={caller or channel}\nHEARLINE_QUEUE=care\nHEARLINE_CALL={SAME}"
    return {"Event": "Newstate", "Channel": channel, "ChanVariable": known, "Uniqueid": channel[-1]}


def test_the_second_caller_with_an_id_gets_another_and_keeps_it():
    board = hear(ChannelGraph(), met(CALLER), met(FORKED))
    own = board.call(FORKED)
    assert board.call(CALLER) == SAME and own not in ("", SAME)
    board.reset([met(FORKED), met(CALLER)])
    assert (board.call(CALLER), board.call(FORKED)) == (SAME, own)
    hear(board, {"Event": "Hangup", "Channel": CALLER}, met(FORKED))
    assert (board.call(CALLER), board.call(FORKED)) == ("", own)


def test_a_newcomer_takes_no_id_from_a_caller_who_was_here_before_a_login():
    board = hear(ChannelGraph(), met(CALLER))
    board.reset([met(FORKED), met(CALLER)])
    assert board.call(CALLER) == SAME != board.call(FORKED)


def test_who_takes_a_callers_place_has_the_callers_id():
    """As in a masquerade: the new channel gets the old one's name and variables, while the old one is still there."""
    board = hear(ChannelGraph(), met(CALLER))
    hear(board, {"Event": "Rename", "Channel": CALLER, "Newname": f"{CALLER}<MASQ>", "Uniqueid": "1"})
    assert hear(board, met(CALLER)).call(CALLER) == SAME
