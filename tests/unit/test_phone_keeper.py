"""What agent assist asks and has Asterisk do about the phones in agents' pages; Asterisk is played by a class here."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any

import pytest

from hearline.assist.calls.phone_keeper import PhoneKeeper
from hearline.assist.calls.web_phones import GONE_S, WebPhones
from hearline.pbx.ami import AmiDown, AmiRefused
from hearline.pbx.config import PAUSE_REASON
from hearline.wire.answers import Refused
from virtual_time import run

RING = "Local/agent-8016@hearline-ring/n"


@dataclass
class Asterisk:
    """Its manager interface, and what it knows."""

    states: dict[str, str] = field(default_factory=lambda: {"PJSIP/web-8016": "UNAVAILABLE"})
    members: list[dict[str, str]] = field(default_factory=list)
    hints: dict[str, str] = field(default_factory=dict)
    up: bool = True
    refuses: bool = False
    takes_s: float = 0.0  # to answer
    originated: list[dict[str, Any]] = field(default_factory=list)

    async def ask(self, action: str, **headers: Any) -> dict[str, str]:
        await asyncio.sleep(self.takes_s)
        if not self.up:
            raise AmiDown("down")
        match action:
            case "Getvar":
                return {"Value": self.states.get(headers["Variable"][len("DEVICE_STATE(") : -1], "INVALID")}
            case "ExtensionState":
                return {"Hint": self.hints[headers["Exten"]]}
            case "Originate" if self.refuses:
                raise AmiRefused("Originate failed")
            case "Originate":
                self.originated.append(headers)
                variables = dict(one.split("=", 1) for one in headers["Variable"])
                for member in self.members:
                    if (member["Queue"], member["Location"]) == tuple(variables.values()):
                        pauses = headers["Channel"] == "Local/pause@hearline-pause/n"
                        member |= {"Paused": str(int(pauses)), "PausedReason": PAUSE_REASON if pauses else ""}
                return {}
        raise AssertionError(action)

    async def ask_list(self, action: str) -> list[dict[str, str]]:
        assert action == "QueueStatus"
        return [{"Event": "QueueParams", "Queue": "care"}, *map(dict, self.members)]

    def join(self, queue: str, state: str, interface: str = RING, name: str = "8016") -> None:
        told = {"Event": "QueueMember", "Queue": queue, "Name": name, "Location": interface, "StateInterface": state}
        self.members.append(told | {"Paused": "0", "PausedReason": ""})

    @property
    def paused(self) -> list[str]:
        return [member["Queue"] for member in self.members if member["Paused"] == "1"]


def play(asterisk: Asterisk, story, agents: tuple[str, ...] = ("8016",)) -> None:
    async def all_of_it() -> None:
        phones = WebPhones()
        keeper = PhoneKeeper(asterisk, phones, lambda: agents)
        keeping = asyncio.create_task(keeper.keep())
        keeper.logged_in()
        await asyncio.sleep(0.5)
        await story(keeper, phones)
        keeping.cancel()

    run(all_of_it())


def changes(state: str, asterisk: Asterisk, keeper: PhoneKeeper) -> None:
    asterisk.states["PJSIP/web-8016"] = state
    keeper.hear({"Event": "DeviceStateChange", "Device": "PJSIP/web-8016", "State": "whatever"})


# ---- passwords -------------------------------------------------------------------------------------------------------
def test_asterisk_is_sent_a_hash_of_a_password_that_nobody_keeps(caplog):
    asterisk = Asterisk()

    async def story(keeper, _phones) -> None:
        first, second = await keeper.password("8016"), await keeper.password("8016")
        assert first == {"user": "web-8016", "uri": "sip:web-8016@hearline", "ice": [], "password": first["password"]}
        assert first["password"] != second["password"] and len(second["password"]) >= 32
        hashed = hashlib.md5(f"web-8016:hearline:{second['password']}".encode()).hexdigest()
        assert asterisk.originated[-1]["Channel"] == "Local/web-8016@hearline-web-phone/n"
        assert asterisk.originated[-1]["Variable"] == [f"HEARLINE_HASH={hashed}"]
        for password in (first["password"], second["password"]):
            assert password not in json.dumps(asterisk.originated) + str(vars(keeper)) + caplog.text
        assert await keeper.password("8016", over=True) == {}
        assert hashed not in asterisk.originated[-1]["Variable"][0], "the session's password is of no use any more"

    play(asterisk, story)


@pytest.mark.parametrize(
    ("agent", "change", "status", "why"),
    [
        ("8017", {}, 409, "no_phone"),  # no account
        ("8016", {"states": {}}, 409, "no_phone"),  # Asterisk has no such phone
        ("a16", {}, 409, "no_phone"),
        ("8016", {"refuses": True}, 503, "phone_away"),
        ("8016", {"up": False}, 503, "phone_away"),
    ],
)
def test_who_gets_none(agent, change, status, why):
    asterisk = Asterisk()

    async def story(keeper, _phones) -> None:
        vars(asterisk).update(change)
        with pytest.raises(Refused) as refused:
            await keeper.password(agent)
        assert (refused.value.status, refused.value.body["error"]) == (status, why)

    play(asterisk, story, ("8016", "a16"))


# ---- who is there ----------------------------------------------------------------------------------------------------
def test_an_event_is_only_a_reason_to_ask():
    asterisk = Asterisk()

    async def story(keeper, phones) -> None:
        assert phones.view("8016") == {"registered": False, "paused": ""}
        for device in ("PJSIP/web-8016", "PJSIP/agent-8016", "PJSIP/web-9999", "Local/web-8016", ""):
            keeper.hear({"Event": "DeviceStateChange", "Device": device, "State": "NOT_INUSE"})
        await asyncio.sleep(0.5)
        assert phones.view("8016") == {"registered": False, "paused": ""} and phones.view("9999") is None
        changes("NOT_INUSE", asterisk, keeper)
        await asyncio.sleep(0.01)
        assert phones.view("8016") == {"registered": True, "paused": ""}

    play(asterisk, story)


def test_a_phone_that_goes_while_others_are_asked_about_is_not_forgotten():
    agents = tuple(str(number) for number in range(8000, 8020))
    asterisk = Asterisk(states={f"PJSIP/web-{agent}": "NOT_INUSE" for agent in agents})

    async def story(keeper, phones) -> None:
        asterisk.takes_s = 0.05
        for agent in agents:
            keeper.hear({"Event": "DeviceStateChange", "Device": f"PJSIP/web-{agent}"})
        await asyncio.sleep(0.5)
        for agent in agents:
            asterisk.states[f"PJSIP/web-{agent}"] = "UNAVAILABLE"
            keeper.hear({"Event": "DeviceStateChange", "Device": f"PJSIP/web-{agent}"})
        await asyncio.sleep(5)
        assert not any(phones.view(agent)["registered"] for agent in agents)

    play(asterisk, story, agents)


def test_an_account_and_a_phone_that_come_later_are_noticed():
    asterisk, agents = Asterisk(states={}), ["8016"]

    async def story(keeper, phones) -> None:
        agents.append("8017")
        asterisk.states |= {"PJSIP/web-8016": "NOT_INUSE", "PJSIP/web-8017": "NOT_INUSE"}
        await asyncio.sleep(2)
        assert phones.view("8017")
        await asyncio.sleep(40)
        assert phones.view("8016")

    play(asterisk, story, agents)


def test_a_lost_connection_is_waited_out():
    asterisk = Asterisk(up=False)

    async def story(keeper, phones) -> None:
        await asyncio.sleep(5)
        asterisk.up = True
        keeper.logged_in()
        await asyncio.sleep(1.5)
        assert phones.view("8016")

    play(asterisk, story)


# ---- the queues ------------------------------------------------------------------------------------------------------
DESKS = {
    "none": ("hint:8016@agents", RING),
    "by hint": ("hint:8016@agents", "Local/8016@from-queue/n"),
    "by state": ("PJSIP/agent-8016", RING),
    "by what rings": ("hint:8016@agents", RING),
}


@pytest.mark.parametrize("desk", DESKS)
def test_an_agent_pauses_only_without_any_phone(desk):
    asterisk = Asterisk(hints={"8016": "PJSIP/web-8016,CustomPresence:8016"})
    if desk == "by hint":
        asterisk.hints["8016"] = "PJSIP/8016&PJSIP/web-8016"
    asterisk.states["PJSIP/8016" if desk == "by hint" else "PJSIP/agent-8016"] = (
        "UNAVAILABLE" if desk == "none" else "INUSE"
    )
    state, interface = DESKS[desk]
    for queue in ("care", "elder"):
        asterisk.join(queue, state, interface, "Zhang San" if state.startswith("hint") else "8016")

    async def story(keeper, phones) -> None:
        await keeper.password("8016")
        changes("NOT_INUSE", asterisk, keeper)
        await asyncio.sleep(1)
        changes("UNAVAILABLE", asterisk, keeper)
        await asyncio.sleep(GONE_S - 0.1)
        assert asterisk.paused == []
        await asyncio.sleep(1)
        assert asterisk.paused == (["care", "elder"] if desk == "none" else [])
        changes("NOT_INUSE", asterisk, keeper)
        await asyncio.sleep(0.1)
        assert asterisk.paused == []

    play(asterisk, story)


@pytest.mark.parametrize("name", ["care,other", "care${X}", "care&other", "x|y"])
def test_a_name_that_the_dialplan_would_misread_is_left_alone(name):
    asterisk = Asterisk()
    asterisk.join(name, "PJSIP/agent-8016")

    async def story(keeper, _phones) -> None:
        await keeper.password("8016")
        await asyncio.sleep(20)
        assert not re.search("pause", json.dumps(asterisk.originated))

    play(asterisk, story)
