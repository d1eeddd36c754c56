"""Agent assist's interface as other processes use it: commands, snapshots, streams, and events that are numbered."""

from __future__ import annotations

import asyncio
import json
import stat
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import aiohttp
import pytest
from bench.page.floor import PIN, Floor

from hearline.assist.interface import agent_streams, interface
from hearline.assist.interface.event_log import EventLog
from hearline.core.settings import socket_of
from hearline.wire import assist_client, http_server
from hearline.wire.answers import Refused
from hearline.wire.assist_client import AssistClient
from hearline.wire.event_stream import data_of, number_of

NUMBER = "13800005678"


@pytest.fixture
def floor(tmp_path):
    with Floor(tmp_path, ("8016", "8017")) as floor:
        yield floor


def use(floor: Floor, story: Callable[[AssistClient], Awaitable[object]]) -> None:
    async def run() -> None:
        assist = AssistClient(socket_of(floor.folder / "state"))
        try:
            await story(assist)
        finally:
            await assist.close()

    asyncio.run(run())


async def read(assist: AssistClient, after: str, until: Callable[[str, dict], bool], within: float = 3.0) -> list:
    """(kind, number, data) of the events up to the first of which ``until`` (kind, data) holds."""
    found = []
    async with asyncio.timeout(within), assist.events(after) as blocks:
        async for kind, block in blocks:
            if kind == "beat":
                continue
            found.append((kind, number_of(block), data_of(block)))
            if until(kind, found[-1][2]):
                return found
    raise AssertionError(f"the stream ended: {found}")


def digits(number: str) -> int:
    return int(number.rpartition("-")[2])


# ---- the log ---------------------------------------------------------------------------------------------------------
def test_events_have_numbers_one_after_the_other():
    log = EventLog("a", kept=3)
    for i in range(5):
        log.add("talk", 1.0, i=i)
    assert log.name(log.last) == "a-5"
    assert [one.data["i"] for one in log.after(2, 10)] == [2, 3, 4] and log.after(5, 10) == []
    assert [one.number for one in log.after(2, 2)] == [3, 4], "no more at once than are asked for"
    assert log.after(1, 10) is None, "the second is gone"


@pytest.mark.parametrize("name", ["", "a", "a-", "-5", "b-5", "a-x", "a-6", "a-1", "a-²", "a-9" + "9" * 30, "a--1"])
def test_a_number_that_says_nothing_here_is_none(name):
    log = EventLog("a", kept=3)
    for _ in range(5):
        log.add("talk", 1.0)
    assert log.number(name) is None


def test_an_empty_log_goes_on_from_its_beginning():
    log = EventLog("a")
    assert log.number("a-0") == 0 and log.after(0, 10) == []


# ---- events ----------------------------------------------------------------------------------------------------------
def test_a_reader_who_was_away_misses_nothing_and_sees_nothing_twice(floor):
    async def story(assist: AssistClient):
        [(kind, first, whole)] = await read(assist, "", lambda *_: True)
        assert kind == "snapshot" and (whole["asterisk"], whole["whispers_allowed"]) == (True, True)
        await asyncio.to_thread(floor.join, "8016")
        joined = await read(assist, first, lambda kind, told: kind == "talk")
        last = joined[-1][1]
        await asyncio.to_thread(floor.hold, "8016")
        await asyncio.to_thread(floor.hold, "8016", None)
        await asyncio.to_thread(floor.hang_up, "8016")
        rest = await read(assist, last, lambda kind, told: told.get("state") == "after")
        numbers = [digits(number) for _, number, _ in joined + rest]
        assert numbers == list(range(digits(first) + 1, digits(first) + 1 + len(numbers)))
        states = [told["state"] for kind, _, told in joined + rest if kind == "agent"]
        assert states == ["ringing", "talking", "after"]
        talk = [told for kind, _, told in joined + rest if kind == "talk"]
        assert [told["event"] for told in talk if told["event"] in ("joined", "hold", "unhold", "hung_up")] == [
            "joined", "hold", "unhold", "hung_up"
        ]  # fmt: skip
        call = floor.states.of("8016").caller.id
        assert {told["call"] for told in talk} == {call}
        assert NUMBER not in json.dumps(joined + rest) and "5678" not in json.dumps(joined + rest)

    use(floor, story)


def test_after_a_restart_the_numbers_say_nothing_and_a_snapshot_comes(floor):
    async def story(assist: AssistClient):
        await asyncio.to_thread(floor.join, "8016")
        [(_, number, whole)] = await read(assist, "", lambda *_: True)
        assert [one["state"] for one in whole["agents"] if one["agent"] == "8016"] == ["talking"]
        await asyncio.to_thread(floor.close)
        await asyncio.to_thread(floor.open)
        [(kind, again, _)] = await read(assist, number, lambda *_: True)
        assert kind == "snapshot" and again.rpartition("-")[0] != number.rpartition("-")[0]

    use(floor, story)


def test_a_reader_who_falls_too_far_behind_gets_a_snapshot_and_costs_no_memory(floor, monkeypatch):
    floor.interface.events._events = type(floor.interface.events._events)(maxlen=5)

    async def story(assist: AssistClient):
        [(_, number, _)] = await read(assist, "", lambda *_: True)
        for agent in ("8016", "8017"):
            await asyncio.to_thread(floor.join, agent)
            await asyncio.to_thread(floor.hang_up, agent)
        [(kind, _, whole)] = await read(assist, number, lambda *_: True)
        assert kind == "snapshot" and {one["state"] for one in whole["agents"]} == {"after"}

    use(floor, story)


def test_what_holds_for_everybody_is_an_event(floor):
    async def story(assist: AssistClient):
        [(_, number, _)] = await read(assist, "", lambda *_: True)
        floor.asterisk_up = False
        [*_, (kind, _, told)] = await read(assist, number, lambda kind, _: kind == "standing")
        assert told["asterisk"] is False and told["whispers_allowed"] is True

    use(floor, story)


def test_a_reader_who_does_not_read_is_dropped(floor, monkeypatch):
    monkeypatch.setattr(interface, "SLOW_S", 0.3)
    monkeypatch.setattr(agent_streams, "SLOW_S", 0.3)

    async def story(assist: AssistClient):
        reader, writer = await asyncio.open_unix_connection(str(socket_of(floor.folder / "state")), limit=1_024)
        writer.write(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        deadline = time.monotonic() + 20
        await asyncio.to_thread(_wait_for, lambda: floor.interface._readers)

        def flood() -> None:
            for _ in range(500):
                floor.interface.events.add("talk", 1.0, what="x" * 1_000)

        while floor.interface._readers and time.monotonic() < deadline:
            await asyncio.to_thread(floor.do, flood)
            await asyncio.sleep(0.05)
        assert not floor.interface._readers
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    use(floor, story)


def _wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# ---- commands and snapshots ------------------------------------------------------------------------------------------
def test_a_command_is_answered_or_refused_with_the_reason(floor):
    async def story(assist: AssistClient):
        await asyncio.to_thread(floor.join, "8016")
        call = floor.states.of("8016").caller.id
        assert await assist.command("press", "8016", {"call": call, "key": "mute"}) == {}
        assert json.loads(await assist.get("/agents/8016"))["muted"] is True
        for name, by, sent, status in (
            ("press", "8017", {"call": call, "key": "mute"}, 409),
            ("press", "8016", {"call": "another", "key": "mute"}, 409),
            ("press", "8016", {"call": call, "key": "explode"}, 400),
            ("explode", "8016", {"call": call}, 404),
            ("../snapshot", "8016", {}, 404),
            ("press", "", {"call": call, "key": "mute"}, 400),
            ("coming", "8017", {"agent": "8016", "call": call}, 409),
        ):
            with pytest.raises(Refused) as refused:
                await assist.command(name, by, sent)
            assert refused.value.status == status, (name, by, sent)

    use(floor, story)


def test_only_our_own_user_can_open_it(floor):
    file = socket_of(floor.folder / "state")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_what_breaks_is_answered_and_the_rest_goes_on(floor, monkeypatch, caplog):
    monkeypatch.setattr(floor.interface.snapshots, "everybody", lambda: 1 / 0)

    async def story(assist: AssistClient):
        with pytest.raises(Refused) as refused:
            await assist.get("/snapshot")
        assert refused.value.status == 500
        assert json.loads(await assist.get("/agents/8016"))["state"] == "idle"

    use(floor, story)


def test_a_command_that_its_sender_has_given_up_is_not_carried_out(floor):
    """Agent assist hangs for longer than its client waits."""

    async def story(assist: AssistClient):
        await asyncio.to_thread(floor.join, "8016")
        call = floor.states.of("8016").caller.id
        floor.hang(1.0)
        with pytest.raises(Refused) as refused:
            await assist.command("press", "8016", {"call": call, "key": "mute"})
        assert refused.value.body == {"error": "assist_away"}
        await asyncio.sleep(1.0)
        assert json.loads(await assist.get("/agents/8016"))["muted"] is False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assist_client, "ANSWER_S", 0.5)
        use(floor, story)


def test_who_is_unknown_is_not_made_known_by_asking(floor):
    async def story(assist: AssistClient):
        for path in ("/agents/9999", "/agents/9999/phrases", "/agents/%00/hold-whisper"):
            with pytest.raises(Refused) as refused:
                await assist.get(path)
            assert refused.value.status == 404
        with pytest.raises(Refused) as refused:
            await assist.command("volume", "9999", {"db": 0})
        assert refused.value.status == 404
        assert [one["agent"] for one in json.loads(await assist.get("/snapshot"))["agents"]] == []

    use(floor, story)


def test_a_talk_goes_on_when_the_interface_is_broken(floor, monkeypatch, caplog):
    monkeypatch.setattr(floor.interface.events, "add", lambda *_, **__: 1 / 0)
    floor.join("8016")
    floor.hang_up("8016")
    assert floor.record()["events"][-1]["event"] == "ended"
    assert "may see less" in caplog.text


# ---- supervisors -----------------------------------------------------------------------------------------------------
@pytest.fixture
def asked(tmp_path):
    """8016 asks for a supervisor; 8018 and 8019 are supervisors and look at their pages."""
    with Floor(tmp_path, ("8016", "8018", "8019")) as floor:
        for supervisor in ("8018", "8019"):
            floor.be_supervisor(supervisor)

        async def story(assist: AssistClient, more: Callable[[AssistClient, str], Awaitable[object]]) -> None:
            async with assist.agent_stream("8018", "8018"), assist.agent_stream("8019", "8019"):
                await asyncio.to_thread(floor.join, "8016")
                call = floor.states.of("8016").caller.id
                await assist.command("press", "8016", {"call": call, "key": "supervisor"})
                await more(assist, call)

        yield floor, lambda more: use(floor, lambda assist: story(assist, more))


async def asking(assist: AssistClient, supervisor: str) -> list[dict]:
    return json.loads(await assist.get(f"/agents/{supervisor}"))["asking"]


def test_the_second_who_wants_to_come_is_told_who_comes(asked):
    _, story = asked

    async def more(assist: AssistClient, call: str):
        assert await assist.command("coming", "8018", {"agent": "8016", "call": call}) == {}
        assert await assist.command("coming", "8018", {"agent": "8016", "call": call}) == {}
        with pytest.raises(Refused) as refused:
            await assist.command("coming", "8019", {"agent": "8016", "call": call})
        assert refused.value.status == 409 and refused.value.body == {"error": "another_comes", "by": "8018"}

    story(more)


def test_a_request_is_open_again_when_who_accepted_it_is_no_supervisor_any_more(asked):
    floor, story = asked

    async def more(assist: AssistClient, call: str):
        await assist.command("coming", "8018", {"agent": "8016", "call": call})
        await asyncio.to_thread(floor.accounts.remove, "8018")
        async with asyncio.timeout(3):
            while (await asking(assist, "8019"))[0]["coming"]:
                await asyncio.sleep(0.05)
        assert await assist.command("coming", "8019", {"agent": "8016", "call": call}) == {}

    story(more)


def test_nobody_comes_to_themselves(asked):
    floor, story = asked

    async def more(assist: AssistClient, call: str):
        await asyncio.to_thread(floor.be_supervisor, "8016")
        assert await asking(assist, "8016") == []
        assert [one["agent"] for one in await asking(assist, "8018")] == ["8016"]

    story(more)


def test_a_change_of_team_shows_on_open_pages_at_once(asked):
    floor, story = asked

    async def more(assist: AssistClient, call: str):
        async with assist.agent_stream("8018", "8018") as blocks:
            async with asyncio.timeout(3):
                changed = False
                async for kind, block in blocks:
                    if kind == "state" and not changed:
                        assert data_of(block)["asking"]
                        changed = True
                        await asyncio.to_thread(floor.accounts.set_role, "8018", None, "another")
                    elif kind == "state" and not data_of(block)["asking"]:
                        return

    story(more)


# ---- its socket ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("replaced", [False, True])
def test_a_socket_that_was_taken_away_is_made_again(floor, monkeypatch, replaced, caplog):
    monkeypatch.setattr(http_server, "AGAIN_S", 0.05)
    file = socket_of(floor.folder / "state")
    file.unlink()
    if replaced:
        file.write_text("something else")

    async def story(assist: AssistClient):
        async with asyncio.timeout(4):
            while True:
                try:
                    assert json.loads(await assist.get("/agents/8016"))["state"] == "idle"
                    return
                except Refused:
                    await asyncio.sleep(0.1)

    use(floor, story)
    assert "is not there; it is tried again" in caplog.text or "tried again" in caplog.text


# ---- the page without it ---------------------------------------------------------------------------------------------
def end(floor: Floor, task: asyncio.Task) -> None:
    async def ended() -> None:
        task.cancel()
        await asyncio.wait([task])

    floor._wait(ended())


def test_the_page_stays_while_agent_assist_is_away_and_says_so(floor):
    async def story(_: AssistClient):
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
            headers = {"Content-Type": "application/json"}
            body = json.dumps({"agent": "8016", "pin": PIN})
            async with http.get(floor.url) as answer:
                assert answer.status == 200
            async with http.post(floor.url + "api/sign-in", data=body, headers=headers) as answer:
                assert answer.status == 200
            async with http.get(floor.url + "api/events") as stream:
                await stream.content.readuntil(b"\n\n")
                await asyncio.to_thread(end, floor, floor._serving[0])
                async with asyncio.timeout(1):
                    while await stream.content.read(4_096):
                        pass  # it ends: what was known is not shown as live
            async with http.get(floor.url + "api/me") as answer:
                assert answer.status == 200, "they are signed in all the same"
            for path in ("events", "phrases", "hold-whisper", "characters?q=li"):
                async with http.get(f"{floor.url}api/{path}") as answer:
                    assert (answer.status, await answer.json()) == (503, {"error": "assist_away"}), path
            async with http.post(floor.url + "api/done", data="{}", headers=headers) as answer:
                assert answer.status == 503
            again = floor._loop.create_task
            floor._serving[0] = await asyncio.to_thread(floor.do, lambda: again(floor._make_interface().run()))
            async with asyncio.timeout(3):
                while True:
                    async with http.get(floor.url + "api/events") as stream:
                        if stream.status == 200:
                            assert b'"state": "idle"' in await stream.content.readuntil(b"\n\n")
                            return
                    await asyncio.sleep(0.05)

    use(floor, story)


def test_an_agent_assist_that_hangs_is_silent_on_the_page_too(tmp_path):
    """So a browser, which waits for 1.5 s, knows. Here agent assist listens and never answers."""

    async def run() -> None:
        file = socket_of(tmp_path)
        file.parent.mkdir()
        server = await asyncio.start_unix_server(lambda *_: asyncio.sleep(60), str(file))
        assist = AssistClient(file)
        began = time.monotonic()
        with pytest.raises(Refused) as refused:
            async with assist.agent_stream("8016", "8016"):
                pass
        assert refused.value.body == {"error": "assist_away"} and time.monotonic() - began < 4
        await assist.close()
        server.close()

    asyncio.run(run())
