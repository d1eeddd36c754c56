"""Roles and routes: who may do what, and at whose desk. Every route of the page is in the table, and every row of the
table is tried with every role."""

from __future__ import annotations

import asyncio
import json
from functools import partial

import aiohttp
import pytest
from bench.page.floor import PIN, Floor

from hearline.store.accounts import Account, Role, may_see
from hearline.web.access import ADMINS, ALL, PUBLIC, ROUTES, SUPERVISORS, routes

# By number: role and team.
PEOPLE = {
    "8016": (Role.AGENT, "care"),
    "8017": (Role.AGENT, "care"),
    "8018": (Role.AGENT, "sales"),
    "8019": (Role.AGENT, ""),
    "8001": (Role.SUPERVISOR, "care"),
    "8002": (Role.SUPERVISOR, "sales"),
    "8000": (Role.ADMIN, ""),
}
NOBODY = ""
# What an action carries; the call's id is put in.
BODIES = {
    "/api/press": {"key": "mute"},
    "/api/card": {"card": "answering", "did": "used"},
    "/api/call-up": {"rule": "thanks"},
    "/api/outcome": {"outcome": "closing-inquiry"},
    "/api/note": {"note": {"matter": "x"}},
    "/api/promise": {"ms": 60_000},
    "/api/volume": {"db": -3},
    "/api/sign-in": {"agent": "8016", "pin": PIN},
    "/api/accounts": {"number": "8019", "team": "x"},
}
ACTIONS = [path for path in BODIES if path not in ("/api/volume", "/api/sign-in", "/api/accounts")]
ENDLESS = "/api/events"


@pytest.fixture(scope="module")
def floor(tmp_path_factory):
    with Floor(tmp_path_factory.mktemp("floor"), tuple(PEOPLE)) as floor:
        for number, (role, team) in PEOPLE.items():
            floor.accounts.set_role(number, role, team)
        yield floor


@pytest.fixture(autouse=True)
def clear(floor):
    yield
    floor.clear()
    for number, (role, team) in PEOPLE.items():
        floor.accounts.set_role(number, role, team)


def as_(floor: Floor, number: str, story) -> None:
    """Run this with ``ask(method, path, what)`` → (status, what was answered), signed in with this number."""

    async def run() -> None:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:

            async def ask(method: str, path: str, what: object = None):
                body = None if method == "GET" else json.dumps(what or {})
                headers = {} if method == "GET" else {"Content-Type": "application/json"}
                async with http.request(method, floor.url.rstrip("/") + path, data=body, headers=headers) as answer:
                    if path.startswith(ENDLESS) and answer.status == 200:
                        return 200, (await answer.content.readuntil(b"\n\n")).decode()
                    return answer.status, await answer.read()

            if number:
                assert (await ask("POST", "/api/sign-in", {"agent": number, "pin": PIN}))[0] == 200
            await story(ask)

    asyncio.run(run())


def lines(floor: Floor, event: str) -> list[dict]:
    assert floor.audit.settle()
    found = [json.loads(line) for file in floor.audit.folder.iterdir() for line in file.read_text().splitlines()]
    return [line for line in found if line["event"] == event]


# ---- the table -------------------------------------------------------------------------------------------------------
def test_every_route_is_in_the_table_and_every_row_is_a_route(floor):
    there = {
        (route.method, route.resource.canonical) for route in floor.page.app().router.routes() if route.method != "HEAD"
    }
    assert there == set(ROUTES)


def test_a_route_without_roles_cannot_be_made():
    with pytest.raises(KeyError):
        list(routes({("GET", "/api/secrets"): None}, lambda _: None))


@pytest.mark.parametrize(("method", "path"), list(ROUTES))
@pytest.mark.parametrize("number", [NOBODY, "8016", "8001", "8000"])
def test_each_role_at_each_route(floor, method, path, number):
    roles = ROUTES[method, path]
    if "/try" in path:
        wanted = {200} if path == "/try" else {404}  # it is off; see tests/page/test_try_page.py
    elif roles is PUBLIC:
        wanted = {200, 403} if path == "/static" else {200}  # a folder shows nothing of itself
    elif not number:
        wanted = {401}
    elif PEOPLE[number][0] in roles:
        wanted = {200, 404, 409}  # nothing is whispered, there is no call
    else:
        wanted = {403}

    async def story(ask) -> None:
        status, _ = await ask(method, path, BODIES.get(path))
        assert status in wanted

    as_(floor, number, story)


def test_what_only_admins_may():
    assert {path for (_, path), roles in ROUTES.items() if roles is ADMINS} == {"/api/accounts"}
    assert all(roles in (PUBLIC, ALL, SUPERVISORS, ADMINS) for roles in ROUTES.values())


# ---- whose -----------------------------------------------------------------------------------------------------------
SEES = {
    "8016": {"8016"},
    "8018": {"8018"},
    "8019": {"8019"},
    "8001": {"8001", "8016", "8017"},
    "8002": {"8002", "8018"},
    "8000": {"8000"},
}


def test_a_flood_of_looks_is_a_line_and_a_sum(floor):
    async def story(ask) -> None:
        for _ in range(50):
            assert (await ask("GET", f"{ENDLESS}?agent=8017"))[0] == 403

    before = len(lines(floor, "look"))
    as_(floor, "8016", story)
    assert len(lines(floor, "look")) <= before + 1


@pytest.mark.parametrize("number", SEES)
def test_whose_desk_who_sees(floor, number):
    async def story(ask) -> None:
        for other in [*PEOPLE, "nobody", "", "80%0116", "8016&agent=8017", "*"]:
            status, told = await ask("GET", f"{ENDLESS}?agent={other}")
            seen = other.partition("&")[0] in SEES[number]
            assert status == (200 if seen else 403), other
            assert seen or b"not_yours" in told

    as_(floor, number, story)
    assert {line["of"] for line in lines(floor, "look") if line["by"] == number and line["result"] == "seen"} == (
        SEES[number] - {number}
    )


def test_supervisors_without_a_team_see_nobody():
    """Such an account cannot be made; a file that has one is no key to those without a team."""
    assert not may_see(Account("1", Role.SUPERVISOR, ""), Account("2", Role.AGENT, ""))
    assert not may_see(Account("1", Role.SUPERVISOR, "care"), None)


@pytest.mark.parametrize("number", ["8017", "8018", "8001", "8000"])
@pytest.mark.parametrize("path", [*ACTIONS, "/api/done"])
def test_nobody_acts_at_anothers_desk(floor, number, path):
    """Nor a supervisor: they see. However the other one is named, the action is one's own, or refused."""
    floor.join("8016", number="13800005678")
    call = floor.states.of("8016").caller.id
    before = floor.interface.snapshots.agent("8016")

    async def story(ask) -> None:
        for named in ({}, {"agent": "8016"}, {"number": "8016"}):
            status, _ = await ask("POST", f"{path}?agent=8016", BODIES.get(path, {}) | named | {"call": call})
            assert status == 409

    as_(floor, number, story)
    after = floor.interface.snapshots.agent("8016")
    for changing in ("card", "muted", "callback"):
        assert after[changing] == before[changing]
    assert after["call"]["note"] == before["call"]["note"] and after["call"]["outcome"] == before["call"]["outcome"]


def test_a_supervisors_windows_take_none_of_the_agents_places(floor):
    async def story(ask) -> None:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
            headers = {"Content-Type": "application/json"}
            await http.post(floor.url + "api/sign-in", data=json.dumps({"agent": "8016", "pin": PIN}), headers=headers)
            own = await http.get(floor.url + "api/events")
            await own.content.readuntil(b"\n\n")
            for _ in range(6):
                await ask("GET", f"{ENDLESS}?agent=8016")
            assert floor.page.feed.pages("8016") == 1
            told = b""
            async with asyncio.timeout(3):
                for _ in range(3):
                    told += await own.content.readuntil(b"\n\n")
            assert b"event: over" not in told
            own.close()

    as_(floor, "8001", story)


def test_who_is_no_supervisor_any_more_sees_no_more(floor):
    async def story(ask) -> None:
        watching = asyncio.create_task(ends(floor, "8001", f"{ENDLESS}?agent=8016"))
        await asyncio.sleep(0.3)
        floor.accounts.set_role("8001", Role.AGENT)
        async with asyncio.timeout(3):
            await watching
        assert (await ask("GET", f"{ENDLESS}?agent=8016"))[0] == 403
        assert (await ask("GET", "/api/me"))[0] == 200, "and is still signed in"

    as_(floor, "8001", story)


async def ends(floor: Floor, number: str, path: str) -> None:
    """Read a stream to its end."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        headers = {"Content-Type": "application/json"}
        await http.post(floor.url + "api/sign-in", data=json.dumps({"agent": number, "pin": PIN}), headers=headers)
        async with http.get(floor.url.rstrip("/") + path) as answer:
            await answer.read()


# ---- administering ---------------------------------------------------------------------------------------------------
def test_an_admin_sets_pins_and_roles_and_it_is_written_down_without_the_pin(floor):
    async def story(ask) -> None:
        post = partial(ask, "POST", "/api/accounts")
        status, told = await post({"number": "8100", "pin": "314159", "role": "supervisor", "team": "care"})
        assert (status, json.loads(told)) == (200, {"number": "8100", "role": "supervisor", "team": "care"})
        assert floor.accounts.check("8100", "314159")
        assert (await post({"number": "8100", "team": "sales"}))[0] == 200
        told = json.loads((await ask("GET", "/api/accounts"))[1])
        assert {"number": "8100", "role": "supervisor", "team": "sales"} in told["accounts"]
        assert "hash" not in json.dumps(told) and "salt" not in json.dumps(told)
        assert (await post({"number": "8100", "remove": True}))[0] == 200
        for bad in (
            {}, {"number": 8100}, {"number": "8016", "pin": 271828}, {"number": "8016", "role": "king"},
            {"number": "8016", "pin": "1"}, {"number": "8100", "role": "admin"},
            {"number": "8016", "role": "supervisor", "team": ""}, {"number": "8016", "role": ["agent"]},
            {"number": "80/16", "pin": "271828"}, {"number": "8016", "team": ["care"]},
        ):  # fmt: skip
            assert (await post(bad))[0] == 400, bad

    as_(floor, "8000", story)
    mine = {"by": "8000", "of": "8100"}
    for event in ("pin-set", "role-set", "account-removed"):
        [line] = [line for line in lines(floor, event) if mine.items() <= line.items()]
        assert line["network"] == "127.0.0.0/24"
    assert not any("314159" in file.read_text() for file in floor.audit.folder.iterdir())


def test_signing_in_and_out_is_written_down(floor):
    async def story(ask) -> None:
        await ask("POST", "/api/sign-in", {"agent": "8017", "pin": "000000"})
        await ask("POST", "/api/sign-out")

    before = len(lines(floor, "sign-in"))
    as_(floor, "8017", story)
    assert [(line["result"], line["number"]) for line in lines(floor, "sign-in")[before:]] == [
        ("right", "8017"),
        ("wrong", "8017"),
    ]
    assert lines(floor, "sign-out")[-1]["by"] == "8017"
