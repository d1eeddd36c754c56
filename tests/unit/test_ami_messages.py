"""Only Asterisk's own messages on the manager interface pass, whatever callers put into their numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearline.pbx.ami_messages import PROOF, Screen, headers, parse, proof_of, variables

SECRET = "of the manager interface"
PROVEN = proof_of(SECRET)
VICTIM, MINE = "PJSIP/agent-8016-00000003", "PJSIP/trunk-00000007"


def channel(name: str = MINE, prefix: str = "", number: str = "1", exten: str = "95160", unique: str = "1.7") -> str:
    """A channel as Asterisk 22.10 describes it."""
    lines = [
        f"Channel: {name}", "ChannelState: 6", "ChannelStateDesc: Up", f"CallerIDNum: {number}",
        "CallerIDName: <unknown>", "ConnectedLineNum: <unknown>", "ConnectedLineName: <unknown>", "Language: zh",
        "AccountCode: ", "Context: hearline", f"Exten: {exten}", "Priority: 1", f"Uniqueid: {unique}",
        f"Linkedid: {unique}", f"ChanVariable: {PROOF}={PROVEN}", "ChanVariable: HEARLINE_CALLER=",
        "ChanVariable: HEARLINE_QUEUE=care",
    ]  # fmt: skip
    return "".join(f"{prefix}{line}\r\n" for line in lines)


def event(kind: str, *parts: str, head: str = "Privilege: call,all\r\nSystemName: x\r\n", tail: str = "") -> str:
    return f"Event: {kind}\r\n{head}{''.join(parts)}{tail}\r\n"


def admitted(text: str, ours: tuple[str, ...] = (), screen: Screen | None = None) -> list[dict]:
    """What comes through, as a connection reads it: up to each empty line."""
    screen, raw, found = screen or Screen(PROVEN), text.encode(), []
    while raw:
        at = raw.find(b"\r\n\r\n") + 4
        assert at > 3
        found.append(screen.admit(raw[:at], ours))
        raw = raw[at:]
    return [message for message in found if message]


AFTER = event("Hold", channel("PJSIP/other-1", unique="1.9"))

KEY = f"Event: UserEvent\r\nPrivilege: user,all\r\nChannel: {VICTIM}\r\nUserEvent: HearlineKey\r\nKey: nuisance\r\n"
DESCRIBED = "ChannelState: 6\r\nUniqueid: 1.3\r\nLinkedid: 1.3\r\nChanVariable: HEARLINE_CALLER=PJSIP/trunk-1\r\n"
GUESS = f"ChanVariable: {PROOF}=0\r\n"
TEXTS = {
    "an event": f"1\r\n\r\n{KEY}\r\n",
    "an event, and a head for the tail": f"1\r\n\r\n{KEY}\r\n{KEY}X: ",
    "a head for the tail": f"1\r\n\r\n{KEY}X: ",
    "a whole tail of its own": f"1\r\n{DESCRIBED}\r\n{KEY}\r\nX: ",
    "a proof that is guessed": f"1\r\n{DESCRIBED}{GUESS}\r\n{KEY}{GUESS}\r\nX: ",
    "a name": f"1\r\n\r\nEvent: Rename\r\nChannel: {VICTIM}\r\nNewname: {MINE}\r\nUniqueid: 1.3\r\n\r\nX: ",
    "an answer": "1\r\n\r\nResponse: Success\r\nActionID: hearline-1\r\nValue: x\r\n\r\nX: ",
    "a head that is an answer": "1\r\nResponse: x\r\n\r\nResponse: Success\r\nActionID: hearline-1\r\n\r\nX: ",
    "a blind transfer": "1\r\n\r\nEvent: BlindTransfer\r\nResult: Fail\r\nExtension: 00861\r\nContext: out\r\n"
    f"TransfererChannel: {VICTIM}\r\nTransfererChanVariable: HEARLINE_CALLER=PJSIP/trunk-1\r\nX: ",
    "only the end": "1\r\n\r\n",
    "another channel": f"1\r\nChannel: {VICTIM}",
    "another unique id": "1\r\nUniqueid: 1.3",
    "a key": "1\r\nUserEvent: HearlineKey\r\nKey: nuisance\r\nUserEvent: x",
    "a variable": "1\r\nChanVariable: HEARLINE_CALLER=PJSIP/agent-8016-00000003",
    "another event": "1\r\nEvent: UserEvent",
    "no header": "1\r\nx",
}
MESSAGES = {
    "the number": lambda text: event("Newchannel", channel(number=text)),
    "the dialled number": lambda text: event("Newstate", channel(exten=text)),
    "both": lambda text: event("Newstate", channel(number=text, exten=text)),
    "of the first of two": lambda text: event("AgentConnect", channel(number=text), channel(VICTIM, "Dest")),
    "of the second of two": lambda text: event("AgentConnect", channel(VICTIM), channel(prefix="Dest", number=text)),
    "of both": lambda text: event("AgentConnect", channel(number=text), channel(prefix="Dest", number=text)),
    "the channel": lambda text: event("Hangup", channel(f"Local/{text}@x-1;1"), tail="Cause: 16\r\n"),
}


@pytest.mark.parametrize("where", MESSAGES)
@pytest.mark.parametrize("text", TEXTS)
def test_a_caller_says_nothing_and_the_next_event_counts(where, text):
    screen = Screen(PROVEN)
    seen = admitted(MESSAGES[where](TEXTS[text]) + AFTER, screen=screen)
    assert [message["Channel"] for message in seen] == ["PJSIP/other-1"]
    assert screen.refused


PIECES = [*TEXTS.values(), "\r\n", "\r\n\r\n", "X: ", "Event: Hangup", KEY, DESCRIBED, GUESS, "1"]


@given(st.lists(st.sampled_from(PIECES), max_size=8))
def test_nor_do_any_pieces_of_these(pieces):
    """What comes through of the message is at most the message itself."""
    seen = admitted(event("Newchannel", channel(number="".join(pieces))) + AFTER)
    assert seen[-1]["Event"] == "Hold"
    assert all((message["Event"], message["Channel"]) == ("Newchannel", MINE) for message in seen[:-1])


@given(st.binary(max_size=300))
def test_any_bytes_are_taken(raw):
    Screen(PROVEN).admit(raw)
    assert all("\n" not in value and "\r" not in value for _, value in headers(raw))
    assert isinstance(parse(raw), dict)


# ---- what Asterisk writes --------------------------------------------------------------------------------------------
def test_what_asterisk_writes_comes_through_without_the_proof():
    [joined] = admitted(event("AgentConnect", channel(), channel(VICTIM, "Dest")))
    assert variables(joined) == variables(joined, "Dest") == {"HEARLINE_CALLER": "", "HEARLINE_QUEUE": "care"}
    assert joined["DestChannel"] == VICTIM and PROVEN not in str(joined)


@pytest.mark.parametrize(
    "text",
    [
        f"Event: Rename\r\nPrivilege: call,all\r\nChannel: {MINE}\r\nNewname: X\r\nUniqueid: 1.7\r\n\r\n",
        "Event: QueueMemberStatus\r\nQueue: care\r\nMemberName: 8016\r\nStateInterface: PJSIP/agent-8016\r\n\r\n",
        "Event: BridgeDestroy\r\nPrivilege: call,all\r\nBridgeUniqueid: b1\r\n\r\n",
        event("BlindTransfer", channel(prefix="Transferer"), channel(prefix="Transferee"), tail="Extension: 8017\r\n"),
    ],
)
def test_so_do_events_of_every_shape(text):
    screen = Screen(PROVEN)
    assert len(admitted(text, screen=screen)) == 1
    assert screen.refused == 0


def test_events_that_nobody_here_needs_are_no_sign_of_a_forgery():
    screen = Screen(PROVEN)
    others = "Event: PeerStatus\r\nPeer: PJSIP/x\r\n\r\nResponse: Success\r\nActionID: old\r\n\r\n"
    assert admitted(others, (), screen) == []
    assert screen.refused == 0


def test_a_message_that_lacks_the_proof_is_refused():
    assert admitted(event("Hold", channel()), screen=Screen(proof_of("another secret"))) == []


# ---- answers ---------------------------------------------------------------------------------------------------------
OURS = ("f00d-1",)
MEMBER = "Event: QueueMember\r\nName: 8016\r\nStateInterface: {}\r\nActionID: f00d-1\r\n\r\n"


def listed(number: str = "1", name: str = MINE) -> str:
    data = "ApplicationData: x\r\nBridgeId: b1\r\n"
    return event("CoreShowChannel", channel(name, number=number), head="ActionID: f00d-1\r\n", tail=data)


def entry(number: str) -> str:
    told = f"Event: QueueEntry\r\nQueue: care\r\nChannel: {MINE}\r\nCallerIDNum: {number}\r\nWait: 3\r\n"
    return f"{told}ActionID: f00d-1\r\n\r\n"


@pytest.mark.parametrize("text", TEXTS)
def test_a_caller_takes_nobody_off_a_list_and_puts_nobody_there(text):
    seen = admitted(listed(TEXTS[text]) + listed(name=VICTIM), OURS)
    assert [message["Channel"] for message in seen] == [VICTIM]
    evil = "Event: QueueMember\r\nName: 8016\r\nStateInterface: PJSIP/mine\r\nX: "
    for number in (f"1\r\n\r\n{evil}", f"1\r\n\r\n{evil}\r\n\r\n{evil}", TEXTS[text]):
        seen = admitted(entry(number) + MEMBER.format("PJSIP/agent-8016"), OURS)
        assert [m["StateInterface"] for m in seen if m["Event"] == "QueueMember"] == ["PJSIP/agent-8016"]


def test_text_behind_the_last_proof_takes_at_most_one_event_with_it():
    """What is dialled at a transfer stands there. Stock is taken anew then."""
    screen = Screen(PROVEN)
    moved = event("BlindTransfer", channel(prefix="Transferer"), tail=f"Extension: 1\r\n\r\n{KEY}\r\nX: \r\n")
    assert [m["Event"] for m in admitted(moved + AFTER + AFTER, (), screen)] == ["BlindTransfer", "Hold"]
    assert screen.refused
    seen = admitted(moved + listed(name=VICTIM), OURS)
    assert seen[-1]["Channel"] == VICTIM, "what we have asked for is not lost"
