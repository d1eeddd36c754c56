"""A caller withholds the number, but the trunk is trusted and sends it anyway: no agent sees it, and nothing is kept
under it."""

from __future__ import annotations

import http.cookiejar
import json
import socket
import threading
import urllib.request

import pytest

from hearline.core.numbers import masked
from hearline.store.earlier_calls import EarlierCalls
from world import Scenario, World, until

WITHHELD, SHOWN = "8198", "8199"  # what is dialled; both lead to the hotline's test number
DIALPLAN = (
    f"{WITHHELD},1,Set(CALLERID(num-pres)=prohib_passed_screen)",
    f"{WITHHELD},2,Goto(8001,1)",
    f"{SHOWN},1,Set(CALLERID(num-pres)=allowed_passed_screen)",
    f"{SHOWN},2,Goto(8001,1)",
)


class Page:
    """What an agent's page is sent."""

    def __init__(self, world: World, agent: int) -> None:
        account, url = world.agents[agent], f"http://{world.stack.running.page}"
        self._open = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar(_AnyHost()))
        ).open
        told = json.dumps({"agent": account.number, "pin": account.pin}).encode()
        headers = {"Content-Type": "application/json"}
        self._open(urllib.request.Request(f"{url}/api/sign-in", told, headers), timeout=5).close()
        self._news = self._open(f"{url}/api/events", timeout=30)
        self.calls: list[dict] = []
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *_: object) -> None:
        self._news.fp.raw._sock.shutdown(socket.SHUT_RDWR)  # `close` would wait for whoever reads
        self._reading.join(5)
        self._news.close()

    def _read(self) -> None:
        try:
            for line in self._news:
                if line.startswith(b"data:"):
                    told = json.loads(line.removeprefix(b"data:"))
                    if told.get("call"):
                        self.calls.append(told["call"])
        except (OSError, ValueError):
            pass  # closed


class _AnyHost(http.cookiejar.DefaultCookiePolicy):
    """The page is on an address, and its cookie may be for HTTPS alone."""

    def return_ok_secure(self, cookie, request):
        return True


@pytest.fixture(scope="module")
def dialplan(world: World):
    for line in DIALPLAN:
        world.stack.console(f"dialplan add extension {line} into hearline-phones")
    yield
    for number in (WITHHELD, SHOWN):
        world.stack.console(f"dialplan remove extension {number}@hearline-phones")


@pytest.mark.parametrize(("dialled", "who"), [(WITHHELD, 1), (SHOWN, 2)])
def test_a_withheld_number_is_neither_shown_nor_kept(world, dialplan, dialled, who):
    agent = world.agent(who, answer_after_ms=1_500, hangup_after_ms=4_000)
    with Page(world, who) as page:
        call = world.place({"caller": Scenario(dialled, keys=((1_000, "1"),))}, [agent], timeout=60)["caller"]
        mine = until(lambda: [told for told in page.calls if told["id"] == call.timeline["call"]], 5)
    assert call.outcome == "queue:care" and len(call.agents) == 1
    number = next(caller.number for caller in world.stack.accounts()[0] if caller.name == call.account)
    seen = {(told["number"], told["withheld"]) for told in mine}
    earlier = EarlierCalls(world.stack.settings.state / "callers")
    if dialled == WITHHELD:
        assert seen == {("", True)} and earlier.of(earlier.who(number)) == []
    else:
        assert seen == {(masked(number), False)} and until(lambda: earlier.of(earlier.who(number)), 5)
