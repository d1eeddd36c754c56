"""Missing rights at the manager interface are named."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

import virtual_time
from hearline.assist.selftest.ami_rights import ACTIONS, AmiRights
from hearline.media.worker_client import PendingCall
from hearline.pbx.ami import AmiRefused
from hearline.pbx.ami_messages import proof_of
from hearline.pbx.chanspy import audiosocket_name
from hearline.pbx.config import CHANNEL_VARIABLES

SECRET = "of the manager interface"
VISIT = PendingCall("visit", ("127.0.0.1", 1))


@dataclass
class Asterisk:
    """Stands where Asterisk and the media worker stand; lacks what it is told to lack."""

    actions: set[str] = field(default_factory=lambda: set(ACTIONS))
    variables: tuple[str, ...] = CHANNEL_VARIABLES
    classes: tuple[str, ...] = ("call", "user")
    proof: str = proof_of(SECRET)
    believed: bool = True
    refused: int = 0
    withdrawn: int = 0

    def announce(self, plan: None, channel: str) -> PendingCall:
        return VISIT

    def withdraw(self, visit: PendingCall) -> None:
        self.withdrawn += 1

    async def ask(self, action: str, **headers: str) -> dict[str, str]:
        match action:
            case "ListCommands":
                return dict.fromkeys(self.actions, "")
            case "Getvar":
                return {"Value": self.proof}
        self.refused += not self.believed
        told = {"ChanVariable": "\n".join(f"{name}=" for name in self.variables)}
        nonce = headers["Data"].partition("Probe: ")[2]
        if self.believed and "call" in self.classes:
            self.rights.hear({"Event": "Newchannel", "Channel": audiosocket_name(VISIT)} | told)
        if self.believed and "user" in self.classes:
            self.rights.hear({"Event": "UserEvent", "Probe": nonce} | told)
        return {}

    def missing(self) -> tuple[str, ...]:
        async def run() -> tuple[str, ...]:
            self.rights = AmiRights(self, self, SECRET, lambda _missing: None)
            return await self.rights.missing()

        return virtual_time.run(run())


@pytest.mark.parametrize(
    ("asterisk", "named"),
    [
        (Asterisk(), ()),
        (Asterisk(actions=set(ACTIONS) - {"Originate"}), ("`write` lacks originate",)),
        (Asterisk(actions={"Originate", "Getvar"}), ("`write` lacks call", "`write` lacks reporting")),
        (Asterisk(variables=CHANNEL_VARIABLES[1:]), ("`channelvars` lacks HEARLINE_CALLER",)),
        (Asterisk(classes=("call",)), ("`read` lacks user",)),
        (Asterisk(classes=()), ("`read` lacks call",)),
        (Asterisk(believed=False), ("`channelvars` lacks HEARLINE_PROOF",)),
        (Asterisk(believed=False, proof="another"), ("HEARLINE_PROOF is not set",)),
    ],
)
def test_what_is_missing_is_named(asterisk, named):
    found = asterisk.missing()
    assert len(found) == len(named)
    assert all(what in told for what, told in zip(named, found))


def test_members_by_hint_are_named_with_their_queue():
    """As FreePBX lists them: nobody knows their phones, and their pages would stay at "ready"."""
    members = [
        {"Event": "QueueMember", "Queue": "400", "Name": "Anna", "StateInterface": "hint:8016@ext-local"},
        {"Event": "QueueMember", "Queue": "care", "Name": "8016", "StateInterface": "PJSIP/agent-8016"},
    ]

    async def run() -> tuple[str, ...]:
        asterisk = Asterisk()
        asterisk.rights = AmiRights(asterisk, asterisk, SECRET, lambda _missing: None)
        asterisk.rights.members(members)
        return await asterisk.rights.missing()

    [told] = virtual_time.run(run())
    assert told.startswith("queues.conf: [400] has members by hint") and "PJSIP/8016" in told


CALLER = "PJSIP/trunk-1"
OF_CALLER = {"Channel": CALLER, "ChanVariable": f"HEARLINE_CALLER={CALLER}"}
COMES, JOINS = {"Event": "Newchannel"} | OF_CALLER, {"Event": "BridgeEnter"} | OF_CALLER
CALLED = {"Event": "AgentCalled"} | OF_CALLER


@pytest.mark.parametrize(
    ("events", "missing"),
    [
        ([COMES, JOINS], True),
        ([COMES, CALLED, JOINS], False),
        ([CALLED, COMES, JOINS], False),
        ([JOINS], False),  # began before we were there
        ([COMES, JOINS, CALLED], False),
        ([COMES, JOINS | {"ChanVariable": "HEARLINE_CALLER=PJSIP/trunk-2"}], False),
    ],
)
def test_a_call_without_events_of_its_queue_shows_that_they_are_not_told(events, missing):
    asterisk = Asterisk()

    async def run() -> tuple[str, ...]:
        asterisk.rights = AmiRights(asterisk, asterisk, SECRET, lambda _missing: None)
        for event in events:
            asterisk.rights.hear(event)
        return await asterisk.rights.missing()

    assert (virtual_time.run(run()) == ("manager.conf: `read` lacks agent",)) is missing


def test_without_the_list_of_channels_there_is_no_assist():
    asterisk, told = Asterisk(actions={"Originate"}), []
    rights = AmiRights(asterisk, asterisk, SECRET, told.append)
    with pytest.raises(AmiRefused, match="reporting"):
        asyncio.run(rights.require("reporting"))
    assert told == [("manager.conf: `write` lacks reporting",)]
