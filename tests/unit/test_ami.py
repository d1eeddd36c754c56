"""The connection to the manager interface, tested against a tiny stand-in for Asterisk."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest

from hearline.pbx import ami as connection
from hearline.pbx.ami import Ami, AmiDown, AmiRefused
from hearline.pbx.ami_messages import PROOF, proof_of

SECRET = "of the manager interface"
CHANNEL = f"Channel: PJSIP/a-1\r\nChannelState: 6\r\nUniqueid: 1.1\r\nChanVariable: {PROOF}={proof_of(SECRET)}\r\n"
HOLD = f"Event: Hold\r\n{CHANNEL}\r\n"
FORGED = f"Event: Hold\r\nChannel: PJSIP/a-1\r\nCallerIDNum: 1\r\n\r\nEvent: Hangup\r\nX: \r\n{CHANNEL}\r\n"
RENAME = "Event: Rename\r\nChannel: PJSIP/a-1\r\nNewname: PJSIP/b-1\r\nUniqueid: 1.1\r\n\r\n"


class Asterisk:
    """``answers``: what it says to an action, beside `Response: Success`."""

    def __init__(self, **answers: str) -> None:
        self.answers = {"Challenge": "Challenge: 1\r\n"} | answers
        self.logins = 0
        self.writers: list[asyncio.StreamWriter] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        self.connections += 1
        writer.write(b"Asterisk Call Manager/11.0.0\r\n")
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while asked := (await reader.readuntil(b"\r\n\r\n")).decode():
                told = dict(line.split(": ", 1) for line in asked.splitlines() if line)
                self.logins += told["Action"] == "Login"
                more = self.answers.get(told["Action"], "")
                writer.write(f"Response: Success\r\nActionID: {told['ActionID']}\r\n{more}\r\n".encode())
        self.connections -= 1

    def say(self, text: str) -> None:
        self.writers[-1].write(text.encode())


@asynccontextmanager
async def connected(asterisk: Asterisk, on_event, on_up, vouch=None, prepare=None):
    server = await asyncio.start_server(asterisk.serve, "127.0.0.1", 0)
    ami = Ami(server.sockets[0].getsockname(), "u", SECRET, on_event, on_up, vouch=vouch, prepare=prepare)
    running = asyncio.create_task(ami.run())
    try:
        yield ami
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await until(lambda: asterisk.connections == 0)
        server.close()
        for writer in asterisk.writers:
            writer.close()


async def until(condition) -> None:
    async with asyncio.timeout(3):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(connection, "STOCK_S", 0.1)
    monkeypatch.setattr(connection, "RETRY_S", (0.01,))


def test_after_a_forgery_stock_is_taken_anew_and_other_events_count():
    asterisk, events, stocks = Asterisk(), [], []

    async def stock() -> None:
        stocks.append(len(events))

    async def run() -> None:
        async with connected(asterisk, events.append, stock) as ami:
            await until(lambda: ami.up)
            asterisk.say(HOLD + FORGED * 20 + HOLD)
            await until(lambda: len(stocks) == 2)
            assert [event["Event"] for event in events] == ["Hold", "Hold"]
            await asyncio.sleep(0.3)
            assert len(stocks) == 2, "once, not for each"
            assert asterisk.logins == 1

    asyncio.run(run())


@pytest.mark.parametrize("true", [True, False])
def test_an_event_without_proof_is_asked_after(true):
    asterisk, events = Asterisk(), []

    async def stock() -> None:
        pass

    async def vouch(event) -> bool:
        return true

    async def run() -> None:
        async with connected(asterisk, events.append, stock, vouch) as ami:
            await until(lambda: ami.up)
            asterisk.say(RENAME + HOLD)
            await until(lambda: events and events[-1]["Event"] == "Hold")

    asyncio.run(run())
    assert [event["Event"] for event in events] == ["Rename"] * true + ["Hold"]


def test_what_an_event_leaves_open_is_asked_before_it_is_passed_on():
    asterisk, seen = Asterisk(Getvar="Value: yes\r\n"), []

    async def stock() -> None:
        pass

    async def run() -> None:
        async def prepare(event) -> None:
            seen.append((await ami.ask("Getvar", Variable="X"))["Value"])

        async with connected(asterisk, lambda event: seen.append(event["Event"]), stock, prepare=prepare) as ami:
            await until(lambda: ami.up)
            asterisk.say(HOLD + HOLD)
            await until(lambda: len(seen) == 4)

    asyncio.run(run())
    assert seen == ["yes", "Hold", "yes", "Hold"]


def test_more_events_than_can_be_kept_make_us_begin_anew(monkeypatch):
    monkeypatch.setattr(connection, "_MOST_WAITING", 100)
    asterisk, stocks = Asterisk(), []

    async def stock() -> None:
        stocks.append(asterisk.logins)
        if len(stocks) == 1:
            asterisk.say(HOLD * 500)
            await asyncio.sleep(3)

    async def run() -> None:
        async with connected(asterisk, lambda _event: None, stock) as ami:
            await until(lambda: ami.up)

    asyncio.run(run())
    assert stocks == [1, 2]


def test_cancelled_it_closes_the_connection_and_says_nothing_more():
    """Whoever would hear it is on its way out, too."""
    asterisk, downs = Asterisk(), []

    async def stock() -> None:
        pass

    async def run() -> None:
        async with connected(asterisk, lambda _event: None, stock) as ami:
            ami._on_down = lambda: downs.append("down")
            await until(lambda: ami.up)
        assert (asterisk.connections, downs) == (0, [])

    asyncio.run(run())


def test_an_odd_answer_at_the_login_costs_no_more_than_the_login():
    asterisk = Asterisk(Challenge="")

    async def stock() -> None:
        raise KeyError("Channel")

    async def run() -> None:
        async with connected(asterisk, lambda _event: None, stock) as ami:
            await until(lambda: len(asterisk.writers) > 2)
            asterisk.answers["Challenge"] = "Challenge: 1\r\n"
            await until(lambda: asterisk.logins > 2)
            assert not ami.up

    asyncio.run(run())


def test_what_is_asked_holds_no_line_break_and_what_is_refused_says_so():
    asterisk = Asterisk(Redirect="")

    async def stock() -> None:
        pass

    async def run() -> None:
        async with connected(asterisk, lambda _event: None, stock) as ami:
            with pytest.raises(AmiDown):
                await ami.ask("Ping")
            await until(lambda: ami.up)
            with pytest.raises(ValueError):
                await ami.ask("Redirect", Channel="x\r\nAction: Hangup")
            with pytest.raises(ValueError):
                await ami.ask("Redirect", Channel="\ud800")
            assert not ami._answers
            assert (await ami.ask("Ping"))["Response"] == "Success"
        with pytest.raises((AmiDown, AmiRefused)):
            await ami.ask("Ping")

    asyncio.run(run())
