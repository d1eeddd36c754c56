"""Guessing PINs takes time, by number and by address, and people who know their PIN do not wait for those who guess.
Checking a PIN takes virtual time here: the tests are about which is checked, and when."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from concurrent.futures import Executor, Future

import pytest
from itsdangerous import URLSafeTimedSerializer

from hearline.store.accounts import Accounts
from hearline.store.audit import AuditLog
from hearline.web import sign_in as module
from hearline.web.limits import ADDRESS_PACE_S, ADDRESS_TRIES, Attempt, Limits, Pace, Tries
from hearline.web.sessions import SHIFT_S, Sessions
from hearline.web.sign_in import SignIn

LOOK_S = 0.4
PIN = "271828"


class VirtualTime(asyncio.SelectorEventLoop):
    """Nothing waits: where there is nothing to do the clock jumps to what is next."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:
            self.now = max(self.now, self._scheduled[0].when())
        super()._run_once()


class Looks(Executor):
    """One at a time, `LOOK_S` each, as many as there may be at once."""

    def __init__(self, loop: VirtualTime) -> None:
        self._loop = loop
        self.done: list[str] = []

    def submit(self, check, number, pin):
        future = Future()

        def look() -> None:
            self.done.append(number)
            future.set_result(check(number, pin))

        self._loop.call_later(LOOK_S, look)
        return future

    def shutdown(self, **_) -> None:
        pass


class World:
    def __init__(self, loop, folder, monkeypatch, numbers):
        self.loop, self.accounts = loop, Accounts(folder / "page" / "pins.json", cost=2**4)
        for number in numbers:
            self.accounts.set_pin(number, PIN)
        monkeypatch.setattr(self.accounts, "check", lambda number, pin: self.accounts.of(number) and pin == PIN)
        monkeypatch.setattr(module, "AT_ONCE", 1)
        self.audit, self.counts = AuditLog(folder / "audit"), Counter()
        self.door = SignIn(self.accounts, self.audit, self.counts, loop.time)
        self.looks = self.door._pool = Looks(loop)

    async def enter(self, number="8016", pin=PIN, address="192.0.2.1", browser=""):
        """→ (let in, why not, s to wait, s that it took)"""
        began = self.loop.time()
        outcome = await self.door.let_in(number, pin, address, address, browser)
        return bool(outcome.account), outcome.why, outcome.wait_s, self.loop.time() - began

    def lines(self) -> list[dict]:
        assert self.audit.settle()
        return [json.loads(line) for file in self.audit.folder.iterdir() for line in file.read_text().splitlines()]


@pytest.fixture
def story(tmp_path, monkeypatch):
    """Runs a story in virtual time; the numbers 8000, 8016, 8032 … 8288 have accounts."""

    def run(tell):
        loop = VirtualTime()
        world = World(loop, tmp_path, monkeypatch, [str(n) for n in range(8_000, 8_300, 16)])
        try:
            loop.run_until_complete(tell(world))
        finally:
            for task in (left := asyncio.all_tasks(loop)):
                task.cancel()
            if left:
                loop.run_until_complete(asyncio.wait(left))
            world.door.close()
            loop.close()
        return world

    return run


async def guess(world: World, number: str, address: str, until: float) -> None:
    """Wrong PINs without a pause; who is told to wait comes again after 0.5 s all the same."""
    while world.loop.time() < until:
        _, _, _, took = await world.enter(number, "000000", address)
        await asyncio.sleep(0 if took else 0.5)


# ---- never starved ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("of", ["numbers", "accounts", "one"])
@pytest.mark.parametrize("addresses", ["one", "many"])
@pytest.mark.parametrize("after_s", [0.0, 1.0, 60.0])
def test_a_right_pin_is_looked_at_although_three_hundred_guess(story, of, addresses, after_s):
    """In a browser that has never been here, and even from the address of those who guess: at the end of a burst, and
    when they have gone on for minutes."""

    async def tell(world: World) -> None:
        ends = world.loop.time() + after_s + 30
        guessers = []
        for n in range(300):
            number = {"numbers": str(5_000 + n), "accounts": str(8_000 + 16 * (n % 18)), "one": "8000"}[of]
            address = f"198.51.{n}.1" if addresses == "many" else "192.0.2.1"
            guessers.append(asyncio.create_task(guess(world, number, address, ends)))
        await asyncio.sleep(after_s)
        entered, why, wait_s, took = await world.enter("8288")
        assert entered and took <= (ADDRESS_PACE_S if addresses == "one" else 5 * LOOK_S), (why, wait_s, took)

    story(tell)


def test_a_known_browser_waits_neither_for_its_number_nor_for_its_address(story):
    async def tell(world: World) -> None:
        for n in range(100):
            await world.enter(str(n), "000000")
        for _ in range(5):
            await world.enter("8016", "000000")
        assert (await world.enter("8016"))[:2] == (False, "wait")
        entered, _, _, took = await world.enter("8016", browser="mine")
        assert entered and took < 2 * LOOK_S
        assert (await world.enter("8016"))[:2] == (False, "wait"), "those who guess are not forgiven by it"

    story(tell)


def test_a_known_browser_has_five_tries_of_its_own(story):
    async def tell(world: World) -> None:
        for _ in range(5):
            assert (await world.enter("8016", "000000", browser="mine"))[1] == "wrong"
        for _ in range(5):
            await world.enter("8016", "000000", browser="mine")
        assert (await world.enter("8016", browser="mine"))[:2] == (False, "wait"), "a stolen cookie guesses no faster"

    story(tell)


def test_the_newest_of_strangers_comes_first_and_known_browsers_in_their_order(story):
    async def tell(world: World) -> None:
        first = asyncio.create_task(world.enter("8000"))
        await asyncio.sleep(0.1)
        strangers = [asyncio.create_task(world.enter(n)) for n in ("8032", "8048")]
        known = [asyncio.create_task(world.enter(n, browser=n)) for n in ("8064", "8080")]
        await asyncio.gather(first, *strangers, *known)
        assert world.looks.done == ["8000", "8064", "8080", "8048", "8032"]

    story(tell)


def test_nobody_waits_in_a_queue_without_end(story):
    async def tell(world: World) -> None:
        many = [asyncio.create_task(world.enter(str(n), "000000", f"198.51.{n % 250}.{n // 250}")) for n in range(500)]
        await asyncio.sleep(LOOK_S / 2)
        assert len(world.door._waiting) <= module.MOST_WAITING
        outcomes = await asyncio.gather(*many)
        assert sum(why == "busy" for _, why, _, _ in outcomes) >= 400
        assert max(took for *_, took in outcomes) <= module.PATIENCE_S + LOOK_S
        assert not world.door._waiting and world.door._looking == 0
        assert (await world.enter("8016"))[0]

    story(tell)


# ---- guessing is slow ------------------------------------------------------------------------------------------------
def test_a_thousand_wrong_pins_over_a_thousand_numbers_from_one_address_are_slowed(story):
    async def tell(world: World) -> None:
        began, looked_at = world.loop.time(), 0
        for n in range(1_000):
            looked_at += (await world.enter(str(1_000 + n), "000000"))[1] == "wrong"
        took = world.loop.time() - began
        assert looked_at <= ADDRESS_TRIES + took / ADDRESS_PACE_S + 1
        _, why, wait_s, _ = await world.enter("9999", "000000")
        assert why == "wait" and 0 < wait_s <= ADDRESS_PACE_S
        assert (await world.enter("9999", "000000", "192.0.2.2"))[1] == "wrong", "another address is another"

    story(tell)


def test_over_numbers_that_have_accounts_it_is_as_slow(story):
    """Each but a few times, so that no number's own limit is reached."""

    async def tell(world: World) -> None:
        began = world.loop.time()
        for n in range(60):
            await world.enter(str(8_000 + 16 * (n % 18)), "000000")
        took = world.loop.time() - began
        assert took >= (60 - ADDRESS_TRIES - 1) * ADDRESS_PACE_S

    story(tell)


def test_one_number_from_many_addresses_is_as_slow(story):
    async def tell(world: World) -> None:
        ends = world.loop.time() + 300
        await asyncio.gather(*(guess(world, "8016", f"198.51.{n}.1", ends) for n in range(60)))
        assert world.counts["wrong"] <= 5 + 4 + 300 / 60 + 1

    story(tell)


def test_invented_numbers_evict_no_real_one():
    limits = Limits()
    for _ in range(5):
        limits.note(Attempt("8016", True, "a"), False, 0.0)
    for n in range(20_000):
        limits.note(Attempt(f"x{n}", False, f"a{n}"), False, 0.0)
    assert limits.refused_s(Attempt("8016", True, "b"), 0.0) == 5.0


def test_a_number_that_nobody_has_is_limited_like_one_that_somebody_has():
    for known in (True, False):
        limits, waits = Limits(), []
        for n in range(6):
            attempt = Attempt("8016", known, f"a{n}")
            limits.note(attempt, False, float(n))
            waits.append(limits.refused_s(attempt, float(n)))
        assert waits == [0, 0, 0, 0, 5, 10]


def test_an_address_pays_five_seconds_for_each_wrong_pin_past_twenty():
    pace = Pace()
    for _ in range(ADDRESS_TRIES - 1):
        pace.note_wrong("a", 0.0)
    assert pace.wait_s("a", 0.0) == 0
    pace.note_wrong("a", 0.0)
    assert pace.wait_s("a", 0.0) == 5 and pace.wait_s("a", 5.0) == 0 and pace.wait_s("b", 0.0) == 0
    pace.note_wrong("a", 5.0)
    assert pace.wait_s("a", 5.0) == 5


def test_wrong_pins_are_forgotten_after_a_quarter_of_an_hour():
    tries = Tries()
    for _ in range(5):
        tries.note("8016", False, 0.0)
    assert tries.wait_s("8016", 1.0) == 4.0 and tries.wait_s("8016", 901.0) == 0.0
    tries.note("8016", False, 901.0)
    assert tries.count("8016", 901.0) == 1


# ---- and it is seen --------------------------------------------------------------------------------------------------
def test_a_thousand_wrong_pins_are_counted_logged_and_written_down(story, caplog):
    async def tell(world: World) -> None:
        await world.enter("8032")
        for n in range(1_000):
            await world.enter(str(1_000 + n), "000000", "203.0.113.77")
        await world.enter("8016", "000000", "203.0.113.77")
        await asyncio.sleep(module.LOG_EVERY_S + 1)

    world = story(tell)
    assert world.counts["right"] == 1 and world.counts["wrong"] >= 20 and world.counts.total() == 1_002
    assert 2 <= len(caplog.messages) <= 4, "some lines, never a thousand"
    assert "wrong" in caplog.text and "8016" in caplog.text and "203.0.113.0/24" in caplog.text
    lines = world.lines()
    assert {"event": "sign-in", "result": "right", "number": "8032", "network": "192.0.2.0/24"}.items() <= lines[
        0
    ].items()
    assert sum(line.get("count", 1) for line in lines) == 1_002
    told = json.dumps(lines) + caplog.text
    assert "203.0.113.77" not in told and PIN not in told and "000000" not in told
    assert "1005" not in told, "a number that nobody has may be a PIN in the wrong field"


# ---- the loop --------------------------------------------------------------------------------------------------------
def test_the_loop_goes_on_while_pins_are_looked_at(tmp_path):
    """With hashes as dear as they are: nothing in the loop waits for one."""
    accounts = Accounts(tmp_path / "pins.json", cost=2**15)
    accounts.set_pin("8016", PIN)
    worst = 0.0

    async def tell() -> None:
        nonlocal worst
        door = SignIn(accounts, AuditLog(tmp_path / "audit"), Counter())
        signing_in = asyncio.gather(*(door.let_in(str(n), "0", "", str(n), "") for n in range(8)))
        while not signing_in.done():
            began = time.thread_time()
            await asyncio.sleep(0)
            worst = max(worst, time.thread_time() - began)
        door.close()

    asyncio.run(tell())
    assert worst < 0.02


# ---- cookies ---------------------------------------------------------------------------------------------------------
@pytest.fixture
def sessions(tmp_path):
    accounts = Accounts(tmp_path / "pins.json", cost=2**4)
    for number in ("8016", "8017"):
        accounts.set_pin(number, PIN)
    sessions = Sessions(accounts)
    sessions.account = accounts.of
    return sessions


@pytest.mark.parametrize(
    ("step_s", "good"), [(-3_600, True), (-SHIFT_S + 60, True), (-SHIFT_S - 60, False), (60, True)]
)
def test_a_clock_that_is_stepped_back_signs_nobody_out(sessions, monkeypatch, step_s, good):
    cookie = sessions.begin(sessions.account("8016"))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + step_s)
    assert bool(sessions.who(cookie)) is good


def test_an_old_cookie_lets_nobody_in_and_still_knows_its_browser(sessions, monkeypatch):
    cookie = sessions.begin(sessions.account("8016"))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 30 * 86_400)
    assert sessions.who(cookie) is None
    browser = sessions.browser(cookie, "8016")
    assert browser and not sessions.browser(cookie, "8017")
    cookie = sessions.begin(sessions.account("8017"), cookie)
    assert sessions.browser(cookie, "8016") == sessions.browser(cookie, "8017") == browser
    _, ended = sessions.end(cookie)
    assert sessions.who(ended) is None and sessions.who(cookie) is None
    assert sessions.browser(ended, "8016") == browser


@pytest.mark.parametrize("told", [[], ["8016", "x", "y"], "8016", 5, None, ["8016", None, [], {}, 7], [["8016"]] * 5])
def test_a_signed_cookie_of_another_form_is_none(sessions, told):
    signer: URLSafeTimedSerializer = sessions._signer
    cookie = signer.dumps(told)
    assert sessions.who(cookie) is None and not sessions.browser(cookie, "8016")
    assert sessions.end(cookie)[0] is None


def test_signing_out_at_once_is_kept_of_everybody(sessions):
    async def tell() -> None:
        cookies = [sessions.begin(sessions.account("8016")) for _ in range(20)]

        async def out(cookie: str) -> None:
            sessions.end(cookie)
            await asyncio.to_thread(sessions.keep)

        await asyncio.gather(*map(out, cookies))
        again = Sessions(sessions._accounts)
        assert not any(map(again.who, cookies))

    asyncio.run(tell())
