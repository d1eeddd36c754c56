"""The agents' page over HTTP: who gets in, who sees what, what an action affects; and a failing page affects nobody
else."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import stat
import time
import wave
from collections.abc import Awaitable, Callable
from contextlib import suppress

import aiohttp
import pytest
from aiohttp import web
from bench.page.floor import PIN, TEAM, Floor

from hearline.assist.hints.events import Side, Whisper
from hearline.assist.interface import commands
from hearline.assist.playback.whispers import Whispers
from hearline.core.keys import lasting_key
from hearline.store.accounts import Accounts, BadAccount
from hearline.web import feed as feed_module
from hearline.web.limits import FREE_TRIES, Tries
from hearline.web.sessions import Sessions
from hearline.wire.event_stream import BEAT_S
from hearline.wire.http_server import HttpServer
from shipped_recordings import recordings

NUMBER = "13800005678"


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with Floor(tmp_path_factory.mktemp("floor"), ("8016", "8017", "8018")) as floor:
        yield floor


@pytest.fixture
def floor(shared):
    yield shared
    shared.clear()


class Browser:
    """One agent's browser, as far as HTTP goes."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self.http, self.url = http, url

    async def post(self, path: str, what: object = None, **how) -> tuple[int, dict]:
        headers = {"Content-Type": "application/json", "Origin": self.url.rstrip("/")} | how.pop("headers", {})
        body = json.dumps(what if what is not None else {})
        async with self.http.post(f"{self.url}api/{path}", data=body, headers=headers, **how) as answer:
            return answer.status, await answer.json()

    async def get(self, path: str, **how) -> tuple[int, dict]:
        async with self.http.get(f"{self.url}api/{path}", **how) as answer:
            return answer.status, await answer.json()

    async def sign_in(self, agent: str = "8016", pin: str = PIN) -> tuple[int, dict]:
        return await self.post("sign-in", {"agent": agent, "pin": pin})

    async def news(self, until: Callable[[str, dict], bool], within: float = 3.0) -> list[tuple[str, dict]]:
        """The events of a new stream up to the first of which ``until`` (kind, data) holds."""
        found = []
        async with asyncio.timeout(within), self.http.get(f"{self.url}api/events") as answer:
            assert answer.status == 200, answer.status
            kind = ""
            async for line in answer.content:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name == "event":
                    kind = value
                elif name == "data":
                    found.append((kind, json.loads(value)))
                    if until(*found[-1]):
                        return found
        raise AssertionError(f"the stream ended: {found}")

    async def state(self) -> dict:
        return (await self.news(lambda kind, _: kind == "state"))[-1][1]


async def pages_are(floor, count: int) -> None:
    """Agent 8016 has so many open: those of the tests before are missed a moment later."""
    async with asyncio.timeout(5):
        while floor.page.feed.pages("8016") != count:
            await asyncio.sleep(0.01)


def browse(floor: Floor, story: Callable[[Browser], Awaitable[object]]) -> object:
    async def run() -> object:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
            return await story(Browser(http, floor.url))

    return asyncio.run(run())


# ---- who is let in ---------------------------------------------------------------------------------------------------
def test_nothing_is_told_to_who_is_not_signed_in(floor):
    async def story(browser: Browser):
        for path in ("me", "events", "phrases", "characters?q=li", "hold-whisper"):
            assert (await browser.get(path))[0] == 401, path
        for path in ("press", "card", "call-up", "outcome", "note", "done", "volume"):
            assert (await browser.post(path))[0] == 401, path

    browse(floor, story)


def test_signing_in_and_out(floor):
    async def story(browser: Browser):
        assert await browser.sign_in(pin="000000") == (401, {"error": "wrong", "wait_s": 0})
        assert (await browser.sign_in(agent="nobody"))[0] == 401
        assert (await browser.sign_in())[0] == 200
        [cookie] = browser.http.cookie_jar
        assert cookie["httponly"] and cookie["samesite"] == "Strict" and not cookie["secure"]
        assert await browser.get("me") == (200, {"agent": "8016"})
        await browser.post("sign-out")
        assert (await browser.get("me"))[0] == 401

    browse(floor, story)


def test_who_signs_out_is_out_wherever_the_cookie_is(floor):
    async def story(browser: Browser):
        await browser.sign_in()
        [cookie] = browser.http.cookie_jar
        stolen = {"Cookie": f"{cookie.key}={cookie.value}"}
        await pages_are(floor, 0)
        open_page = asyncio.create_task(browser.news(lambda kind, _: kind == "over"))
        await pages_are(floor, 1)
        await browser.post("sign-out")
        with pytest.raises(AssertionError, match="the stream ended"):
            await open_page
        await browser.sign_in()
        assert (await browser.get("me"))[0] == 200, "another session is another session"
        browser.http.cookie_jar.clear()
        assert (await browser.get("me", headers=stolen))[0] == 401
        await asyncio.to_thread(floor.close)
        await asyncio.to_thread(floor.open)
        assert (await browser.get("me", headers=stolen))[0] == 401, "after a restart too"

    browse(floor, story)


def test_behind_a_proxy_with_tls_the_cookie_stays_with_tls(floor):
    async def story(browser: Browser):
        headers = {"X-Forwarded-Proto": "https", "Origin": floor.url.rstrip("/").replace("http:", "https:")}
        await browser.post("sign-in", {"agent": "8016", "pin": PIN}, headers=headers)
        [cookie] = browser.http.cookie_jar
        assert cookie["secure"]

    browse(floor, story)


def test_a_session_survives_a_restart_of_the_server(floor):
    async def story(browser: Browser):
        await browser.sign_in()
        await asyncio.to_thread(floor.close)
        await asyncio.to_thread(floor.open)
        assert await browser.get("me") == (200, {"agent": "8016"})

    browse(floor, story)


def test_a_new_pin_ends_the_sessions_of_the_old_one(floor):
    async def story(browser: Browser):
        await browser.sign_in("8018")
        floor.accounts.set_pin("8018", "161803")
        with suppress(TimeoutError):
            assert (await browser.get("me"))[0] == 401
        floor.accounts.set_pin("8018", PIN)
        assert (await browser.get("me"))[0] == 401, "a new one, though the same digits"

    browse(floor, story)


def test_a_forged_cookie_is_none(floor):
    async def story(browser: Browser):
        await browser.sign_in()
        [cookie] = browser.http.cookie_jar
        forged = cookie.value[:-2] + ("AA" if cookie.value[-2:] != "AA" else "BB")
        async with aiohttp.ClientSession() as other:
            answer = await other.get(f"{floor.url}api/me", headers={"Cookie": f"hearline={forged}"})
            assert answer.status == 401

    browse(floor, story)


def test_wrong_pins_must_wait(floor):
    async def story(browser: Browser):
        for _ in range(FREE_TRIES - 1):
            assert (await browser.sign_in("8017", "1"))[0] == 401
        status, told = await browser.sign_in("8017", "1")
        assert status == 429 and told["wait_s"] >= 5
        assert (await browser.sign_in("8017"))[0] == 429, "the right one as well"
        assert (await browser.sign_in("8016"))[0] == 200, "others are not touched"

    browse(floor, story)


def test_each_further_wrong_pin_costs_more_and_a_right_one_clears_it():
    tries, now = Tries(), 0.0
    waits = []
    for _ in range(10):
        tries.note("8016", False, now)
        waits.append(tries.wait_s("8016", now))
        now += waits[-1]
    assert waits == [0, 0, 0, 0, 5, 10, 20, 40, 60, 60]
    tries.note("8016", True, now)
    assert tries.wait_s("8016", now) == 0
    for number in range(3_000):
        tries.note(str(number), False, now)
    assert len(tries._wrong) <= 1_000


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://elsewhere.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
def test_a_post_from_elsewhere_is_refused(floor, headers, status):
    async def story(browser: Browser):
        await browser.sign_in()
        assert (await browser.post("volume", {"db": -3}, headers=headers))[0] == status

    browse(floor, story)


@pytest.mark.parametrize("body", ["", "[]", "nonsense", "[" * 9_000])
def test_what_is_no_object_is_refused(floor, body):
    async def story(browser: Browser):
        await browser.sign_in()
        answer = await browser.http.post(
            f"{floor.url}api/volume", data=body, headers={"Content-Type": "application/json"}
        )
        assert answer.status == 400

    browse(floor, story)


def test_too_much_is_refused(floor):
    async def story(browser: Browser):
        assert (await browser.post("sign-in", {"agent": "8016", "pin": "1" * 50_000}))[0] == 413

    browse(floor, story)


def test_every_answer_has_the_headers_that_protect_it(floor):
    async def story(browser: Browser):
        for path in ("", "static/main.js", "static/none", "api/me", "api/none"):
            async with browser.http.get(floor.url + path) as answer:
                policy = answer.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy and "unsafe" not in policy, path
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
        async with browser.http.get(floor.url + "static/../../pins.json") as answer:
            assert answer.status == 404

    browse(floor, story)


# ---- PINs ------------------------------------------------------------------------------------------------------------
def test_pins_are_kept_as_salted_hashes_that_only_the_owner_reads(tmp_path):
    pins = Accounts(tmp_path / "page" / "pins.json")
    pins.set_pin("8016", "271828")
    pins.set_pin("8017", "271828")
    text = (tmp_path / "page" / "pins.json").read_text()
    assert "271828" not in text
    hashes = [kept["hash"] for kept in json.loads(text).values()]
    assert hashes[0] != hashes[1]
    assert stat.S_IMODE((tmp_path / "page" / "pins.json").stat().st_mode) == 0o600
    assert pins.check("8016", "271828") and not pins.check("8016", "271829") and not pins.check("nobody", "")


@pytest.mark.parametrize(("agent", "pin"), [("8016", "12345"), ("8016", ""), ("", "123456"), ("80 16", "123456")])
def test_what_is_no_pin_or_no_number(tmp_path, agent, pin):
    with pytest.raises(BadAccount):
        Accounts(tmp_path / "pins.json").set_pin(agent, pin)


def test_a_key_is_made_once(tmp_path):
    file = tmp_path / "page" / "key"
    assert lasting_key(file) == lasting_key(file) and len(lasting_key(file)) == 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_an_old_cookie_is_none(tmp_path, monkeypatch):
    pins = Accounts(tmp_path / "pins.json")
    pins.set_pin("8016", PIN)
    sessions = Sessions(pins)
    account = pins.of("8016")
    cookie = sessions.begin(account)
    assert sessions.who(cookie) == account
    sessions.end(sessions.begin(account))
    monkeypatch.setattr(time, "time", lambda now=time.time(): now + 13 * 3_600)
    assert sessions.who(cookie) is None
    sessions.end(sessions.begin(account))
    sessions.keep()
    assert len(json.loads((tmp_path / "signed-out.json").read_text())) == 1, "of the old ones none is kept"


@pytest.mark.parametrize("text", ["", "[1]", "{", "7"])
def test_a_broken_list_of_who_has_signed_out_keeps_nobody_from_signing_in(tmp_path, caplog, text):
    (tmp_path / "signed-out.json").write_text(text)
    pins = Accounts(tmp_path / "pins.json")
    pins.set_pin("8016", PIN)
    sessions = Sessions(pins)
    assert sessions.who(sessions.begin(pins.of("8016"))) == pins.of("8016")
    assert "signed-out.json" in caplog.text


# ---- what is told ----------------------------------------------------------------------------------------------------
def test_the_whole_call_of_one_agent(floor):
    async def story(browser: Browser):
        await browser.sign_in()
        assert (await browser.state())["state"] == "idle"
        floor.ring("8016", number=NUMBER, heard="low")
        told = await browser.state()
        assert told["state"] == "ringing" and told["call"]["number"] == "138****5678"
        assert told["call"]["queue_zh"] == "养老热线"
        floor.join("8016")
        floor.too_soft("8016")
        told = await browser.state()
        assert told["state"] == "talking" and told["card"]["id"] == "caller-too-soft"
        assert told["card"]["say"][0]["text"] == "对不起，我听不清您的声音，麻烦您大声一点，好吗？"
        floor.hang_up("8016")
        assert (await browser.state())["state"] == "after"
        await browser.post("done", {"call": told["call"]["id"]})
        assert (await browser.state())["state"] == "idle"

    browse(floor, story)


def test_the_greeting_has_the_brand_and_the_work_number_and_never_a_name(floor):
    async def story(browser: Browser):
        await browser.sign_in()
        floor.join("8016", wait_s=5.0)
        told = await browser.state()
        assert told["card"]["say"][0]["text"] == "您好，蓝智慧养老，8016号为您服务，请问有什么可以帮您？"

    browse(floor, story)


def test_each_agent_is_told_of_their_own_call_alone_and_the_number_of_nobody(floor):
    async def story(browser: Browser):
        await browser.sign_in("8016")
        floor.join("8018", number="13911112222")
        floor.join("8016", number=NUMBER)
        seen = await browser.news(lambda kind, _: kind == "beat")
        text = json.dumps(seen)
        assert "138****5678" in text
        assert "2222" not in text and NUMBER not in text

    browse(floor, story)


def test_levels_come_fifteen_times_a_second_at_most(floor):
    async def story(browser: Browser):
        await browser.sign_in()
        floor.join("8016")
        count = 0

        def enough(kind: str, told: dict) -> bool:
            nonlocal count
            count += kind == "levels"
            return count == 5

        async def ears() -> None:
            for i in range(200):
                await asyncio.to_thread(floor.hear, "8016", Side.CALLER, -20.0 - i % 10)
                await asyncio.sleep(0.01)

        hearing = asyncio.create_task(ears())
        began = time.monotonic()
        seen = await browser.news(enough)
        assert time.monotonic() - began > 0.25
        assert seen[-1][1]["caller"]["dbov"] <= -20.0
        hearing.cancel()

    browse(floor, story)


def test_a_page_hears_something_all_the_time(floor):
    async def story(browser: Browser):
        await browser.sign_in()
        began = time.monotonic()
        beats = 0

        def third(kind: str, _: dict) -> bool:
            nonlocal beats
            beats += kind == "beat"
            return beats == 3

        await browser.news(third)
        assert time.monotonic() - began < 3 * BEAT_S + 2

    browse(floor, story)


def test_a_lost_asterisk_is_told(floor):
    async def story(browser: Browser):
        await browser.sign_in()
        floor.join("8016")

        def gone(kind: str, told: dict) -> bool:
            floor.asterisk_up = False
            return kind == "state" and not told["asterisk"]

        began = time.monotonic()
        await browser.news(gone)
        assert time.monotonic() - began < 3

    browse(floor, story)


def test_whether_agents_may_be_whispered_to_is_told_at_once(floor):
    async def story(browser: Browser):
        await browser.sign_in()
        assert (await browser.state())["whispers_allowed"]

        def refused(kind: str, told: dict) -> bool:
            floor.whispers_allowed = False
            return kind == "state" and not told["whispers_allowed"]

        await browser.news(refused, within=1.0)

    browse(floor, story)


def test_phrases_are_all_there_and_can_be_searched(floor):
    async def story(browser: Browser):
        await browser.sign_in()
        _, told = await browser.get("phrases")
        cards = {card["id"]: card for card in told["phrases"]}
        assert {card["section"] for card in cards.values()} >= {
            "2.6", "2.10", "2.14", "2.15", "2.16", "2.17", "2.18", "2.20", "2.21", "2.22", "2.23", "2.25", "2.26",
        }  # fmt: skip
        assert all(card["rule"] for card in cards.values() if card["section"] != "2.1")
        for query, first in [("mfnsd", "please-wait"), ("2.17", "beyond-authority"), ("稍等", "please-wait")]:
            _, told = await browser.get(f"phrases?q={query}")
            assert told["phrases"][0]["id"] == first
        _, told = await browser.get("characters?q=李")
        assert told["characters"][0]["ask"][0] == "请问您是李世民的李吗？"

    browse(floor, story)


# ---- what an agent does ----------------------------------------------------------------------------------------------
@pytest.fixture
def talking(floor):
    """(floor, the call's id)"""
    floor.join("8016", number=NUMBER)
    return floor, floor.states.of("8016").caller.id


def test_a_card_is_called_up_and_put_away(talking):
    floor, call = talking

    async def story(browser: Browser):
        await browser.sign_in()
        await browser.post("call-up", {"call": call, "rule": "beyond_authority"})
        told = await browser.state()
        assert told["card"]["id"] == "beyond-authority" and "{title}" in told["card"]["say"][0]["text"]
        await browser.post("card", {"call": call, "card": "beyond-authority", "did": "used"})
        assert (await browser.state())["card"]["id"] != "beyond-authority"

    browse(floor, story)


def test_the_outcome_and_its_closing_phrase(talking):
    floor, call = talking

    async def story(browser: Browser):
        await browser.sign_in()
        told = await browser.state()
        assert [one["id"] for one in told["outcomes"]] == ["closing-inquiry", "closing-order-made", "closing-not-made"]
        assert (await browser.post("outcome", {"call": call, "outcome": "closing-inquiry"}))[0] == 200
        told = await browser.state()
        assert told["call"]["outcome"] == "inquiry" and told["card"]["id"] == "closing-inquiry"
        assert (await browser.post("outcome", {"call": call, "outcome": "answering"}))[0] == 400
        floor.hang_up("8016")
        assert (await browser.post("outcome", {"call": call, "outcome": "closing-not-made"}))[0] == 200
        assert (await browser.post("note", {"call": call, "note": {"matter": "asks for a bed"}})) == (
            200,
            {"kept": True},
        )
        assert (await browser.state())["call"]["outcome"] == "not-made"

    browse(floor, story)
    assert floor.kept[-1] == ("8016", "after", "not-made", "asks for a bed")
    talk = floor.states.of("8016").talk
    floor.records.settle()
    assert [e["outcome"] for e in json.loads(talk.kept.file.read_text())["events"] if e["event"] == "outcome"] == [
        "inquiry",
        "not-made",
    ]


def test_a_key_reaches_this_agents_hints(talking):
    floor, call = talking

    async def story(browser: Browser):
        await browser.sign_in()
        assert (await browser.post("press", {"call": call, "key": "mute"}))[0] == 200
        assert (await browser.state())["muted"]
        assert (await browser.post("press", {"call": call, "key": "self-destruct"}))[0] == 400

    browse(floor, story)


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("press", {"key": "nuisance"}),
        ("card", {"card": "answering", "did": "used"}),
        ("call-up", {"rule": "thanks"}),
        ("outcome", {"outcome": "closing-inquiry"}),
        ("done", {}),
    ],
)
def test_what_was_meant_for_the_last_call_never_reaches_the_next(talking, path, what):
    floor, call = talking

    async def story(browser: Browser):
        await browser.sign_in()
        floor.hang_up("8016")
        floor.join("8016")
        assert await browser.post(path, {"call": call, **what}) == (409, {"error": "call_over"})
        assert (await browser.post(path, what))[0] == 409

    browse(floor, story)


def test_a_note_that_comes_when_the_next_call_rings_already_is_of_the_last_one(talking):
    floor, call = talking

    async def story(browser: Browser):
        await browser.sign_in()
        floor.hang_up("8016")
        floor.ring("8016")
        assert (await browser.post("note", {"call": call, "note": {"matter": "late"}}))[0] == 200
        assert (await browser.state())["call"]["note"]["matter"] == ""
        assert (await browser.post("note", {"call": "another", "note": {"matter": "x"}}))[0] == 409

    browse(floor, story)
    assert floor.kept[-1] == ("8016", "after", None, "late")


@pytest.mark.parametrize("keeps", [False, None])
def test_a_note_that_is_not_kept_is_not_told_as_kept(talking, monkeypatch, keeps):
    """A database that is locked, or that says nothing in time: what the agent is told is true."""
    monkeypatch.setattr(commands, "KEPT_S", 0.2)
    floor, call = talking

    async def story(browser: Browser):
        await browser.sign_in()
        floor.keeps = keeps
        assert await browser.post("note", {"call": call, "note": {"matter": "x"}}) == (200, {"kept": False})
        floor.keeps = True
        assert await browser.post("note", {"call": call, "note": {"matter": "x"}}) == (200, {"kept": True})

    browse(floor, story)


def test_a_note_is_fields_and_ticks(talking):
    floor, call = talking

    async def story(browser: Browser):
        await browser.sign_in()
        written = {"name": "李明", "phone": "13900000000", "read_back": {"phone": True}, "agreed": True}
        assert (await browser.post("note", {"call": call, "note": written}))[0] == 200
        assert (await browser.post("note", {"call": call, "note": {"matter": "问护理床"}}))[0] == 200
        note = (await browser.state())["call"]["note"]
        assert (note["name"], note["matter"], note["read_back"]) == ("李明", "问护理床", ["phone"])
        for bad in (
            "text",
            ["name"],
            {"name": 5},
            {"shoe": "42"},
            {"matter": "x" * 2_001},
            {"read_back": {"title": True}},
        ):
            assert (await browser.post("note", {"call": call, "note": bad}))[0] == 400
        assert (await browser.state())["call"]["note"] == note

    browse(floor, story)


def test_what_is_promised_is_a_wait(talking):
    floor, call = talking

    async def story(browser: Browser):
        await browser.sign_in()
        assert (await browser.post("promise", {"call": call, "ms": 60_000}))[0] == 200
        assert (await browser.state())["hold"]["promised_ms"] == 60_000
        for bad in (0, -1, 10**9, "60", True, None):
            assert (await browser.post("promise", {"call": call, "ms": bad}))[0] == 400

    browse(floor, story)


def test_only_supervisors_of_the_team_see_who_asks_and_can_come(floor):
    """Without a supervisor in the team there is no such key; without one who has the page open it calls nobody."""
    floor.join("8016", number=NUMBER)
    call = floor.states.of("8016").caller.id

    async def story(browser: Browser):
        await browser.sign_in()
        assert (await browser.state())["supervisors"] is None
        await asyncio.to_thread(floor.be_supervisor, "8018")
        assert (await browser.state())["supervisors"] is False
        await browser.post("press", {"call": call, "key": "supervisor"})
        assert (await browser.state())["call"]["help"] is None
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
            theirs = Browser(http, floor.url)
            await theirs.sign_in("8018")
            page = asyncio.create_task(theirs.news(lambda kind, told: kind == "state" and told["asking"] != []))
            await browser.news(lambda kind, told: kind == "state" and told["supervisors"] is True)
            await browser.post("press", {"call": call, "key": "supervisor"})
            told = await browser.state()
            assert told["call"]["help"]["coming"] == "" and told["asking"] == []
            assert (await browser.post("coming", {"agent": "8016", "call": call}))[0] == 403
            [asks] = (await page)[-1][1]["asking"]
            assert (asks["agent"], asks["queue_zh"], asks["coming"]) == ("8016", "养老热线", "")
            assert (await theirs.post("coming", {"agent": "8017", "call": call}))[0] == 409
            assert (await theirs.post("coming", {"agent": "8016", "call": "another"}))[0] == 409
            await asyncio.to_thread(floor.accounts.set_role, "8018", None, "another")
            assert (await theirs.state())["asking"] == [], "not those of another team"
            assert (await theirs.post("coming", {"agent": "8016", "call": call}))[0] == 409
            await asyncio.to_thread(floor.accounts.set_role, "8018", None, TEAM)
            assert (await theirs.post("coming", {"agent": "8016", "call": call}))[0] == 200
        assert (await browser.state())["call"]["help"]["coming"] == "8018"
        await browser.post("press", {"call": call, "key": "supervisor"})
        assert (await browser.state())["call"]["help"] is None, "once more takes it back"

    browse(floor, story)


def test_the_whisper_volume_is_kept_by_work_number(floor):
    async def story(browser: Browser):
        await browser.sign_in()
        assert (await browser.post("volume", {"db": -6}))[0] == 200
        assert (await browser.state())["volume_db"] == -6
        for bad in (7, -13, "loud", 1.5, True):
            assert (await browser.post("volume", {"db": bad}))[0] == 400
        await browser.sign_in("8018")
        assert (await browser.state())["volume_db"] == 0

    browse(floor, story)


def test_the_whisper_on_hold_sounds_as_it_would_in_the_phone_and_only_then(floor):
    async def story(browser: Browser):
        await browser.sign_in()
        await browser.post("volume", {"db": -6})
        assert await browser.get("hold-whisper") == (404, {"error": "nothing_said"})
        floor.states.of("8016").hold_whisper = Whisper("still-on-hold", -3, 0)
        async with browser.http.get(f"{floor.url}api/hold-whisper") as answer:
            assert answer.content_type == "audio/wav" and answer.headers["Cache-Control"] == "no-store"
            with wave.open(io.BytesIO(await answer.read())) as file:
                assert (file.getnchannels(), file.getframerate()) == (1, 8_000)
                assert file.readframes(file.getnframes()) == Whispers(recordings()).pcm("still-on-hold", -9)
        await browser.post("volume", {"db": 0})
        assert (await browser.sign_in("8018"))[0] == 200
        assert (await browser.get("hold-whisper"))[0] == 404, "another's"

    browse(floor, story)


# ---- what goes wrong -------------------------------------------------------------------------------------------------
def test_who_does_not_read_is_dropped_and_others_do_not_notice(floor, monkeypatch):
    monkeypatch.setattr(feed_module, "SLOW_S", 0.5)

    def pages() -> int:
        return floor.page.feed.pages("8016")

    async def story(browser: Browser):
        await browser.sign_in()
        await pages_are(floor, 0)
        [cookie] = browser.http.cookie_jar
        stuck = socket.socket()
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
        stuck.connect(("127.0.0.1", floor.port))
        stuck.sendall(f"GET /api/events HTTP/1.1\r\nHost: x\r\nCookie: hearline={cookie.value}\r\n\r\n".encode())
        await pages_are(floor, 1)
        floor.join("8016")
        deadline = time.monotonic() + 20
        rounds = 0
        while pages() and time.monotonic() < deadline:  # its buffers fill, then its patience is over
            for _ in range(100):
                floor.do(floor.states.changed, "8016")
                await asyncio.sleep(0)
            rounds += 1
            began = time.monotonic()
            await browser.get("me")
            assert time.monotonic() - began < 2
        assert not pages(), "dropped"
        assert (await browser.state())["state"] == "talking"
        stuck.close()

    browse(floor, story)


def test_open_pages_do_not_hold_up_the_servers_end(floor):
    async def story(browser: Browser):
        await browser.sign_in()
        reading = asyncio.create_task(browser.news(lambda *_: False))
        await pages_are(floor, 1)
        began = time.monotonic()
        await asyncio.to_thread(floor.close)
        assert time.monotonic() - began < 2
        with pytest.raises(AssertionError, match="the stream ended"):
            await reading

    browse(floor, story)


def test_an_agent_may_have_a_few_windows_and_no_more(floor):
    async def story(browser: Browser):
        await browser.sign_in()
        await pages_are(floor, 0)
        first = asyncio.create_task(browser.news(lambda kind, _: kind == "over", within=5))
        await pages_are(floor, 1)
        others = [asyncio.create_task(browser.news(lambda *_: False, within=3)) for _ in range(4)]
        assert (await first)[-1][0] == "over"
        for other in others:
            other.cancel()

    browse(floor, story)


class NothingServed:
    def app(self) -> web.Application:
        return web.Application()

    def close(self) -> None: ...


def test_a_page_that_cannot_listen_tries_again_and_holds_up_nobody(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("hearline.wire.http_server.AGAIN_S", 0.05)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        async def story() -> None:
            for served in (NothingServed, lambda: 1 / 0):
                page = HttpServer("the agents' page", "HEARLINE_PAGE", taken.getsockname(), served)
                running = asyncio.create_task(page.run())
                await asyncio.sleep(0.3)
                assert not running.done()
                running.cancel()

        asyncio.run(story())
        port = taken.getsockname()[1]
    busy, broken = [r for r in caplog.records if "the agents' page cannot be served" in r.message]
    assert f"HEARLINE_PAGE: cannot listen on 127.0.0.1:{port}: Address already in use" in busy.message
    assert not busy.exc_info and broken.exc_info[0] is ZeroDivisionError
