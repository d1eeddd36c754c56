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
from hearline.pbx.hints import Hint

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
    members: list[tuple[str, Hint]] = field(default_factory=list)  # by a hint that names no phone

    async def without_phone(self) -> list[tuple[str, Hint]]:
        return self.members

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
            self.rights = AmiRights(self, self, SECRET, lambda _missing: None, self.without_phone)
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


def test_members_whose_hint_names_no_phone_are_named_by_queue_with_the_remedy():
    """Nobody would know their phones, and their pages would stay at "ready"."""
    hints = [Hint(str(number), "ext-local") for number in range(8016, 8021)]
    named = Asterisk(members=[("400", hints[0]), *(("500", hint) for hint in hints)]).missing()
    assert named[0] == (
        "queues.conf: [400] has a member by hint:8016@ext-local, but no such hint names a phone; in extensions.conf, "
        "[ext-local]: exten => 8016,hint,PJSIP/8016"
    )
    assert len(named) == 2 and named[1].startswith(
        "queues.conf: [500] has a member by hint:8016@ext-local, hint:8017@ext-local, hint:8018@ext-local and 2 more, "
    )


def test_a_member_outside_is_named_without_the_number():
    [named] = Asterisk(members=[("400", Hint("13800005678", "ext-local"))]).missing()
    assert "13800005678" not in named and "hint:****5678@ext-local" in named


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
        asterisk.rights = AmiRights(asterisk, asterisk, SECRET, lambda _missing: None, asterisk.without_phone)
        for event in events:
            asterisk.rights.hear(event)
        return await asterisk.rights.missing()

    assert (virtual_time.run(run()) == ("manager.conf: `read` lacks agent",)) is missing


def test_without_the_list_of_channels_there_is_no_assist():
    asterisk, told = Asterisk(actions={"Originate"}), []
    rights = AmiRights(asterisk, asterisk, SECRET, told.append, asterisk.without_phone)
    with pytest.raises(AmiRefused, match="reporting"):
        asyncio.run(rights.require("reporting"))
    assert told == [("manager.conf: `write` lacks reporting",)]
