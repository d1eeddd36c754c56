"""Fixtures of the browser tests: one Chromium, one floor of agents, a fresh window for each test.

Screenshots are kept in ``page-out/``, for people to look at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from bench.page.browser import chromium, chromium_path, sign_in
from bench.page.floor import PIN, Floor
from playwright.sync_api import Browser, Page

REPO = Path(__file__).resolve().parents[2]
OUT = REPO / "page-out"


@pytest.fixture(scope="module")
def browser():
    """Closed before the next module, since Playwright runs its own event loop in our thread, and allows no other."""
    if chromium_path() is None:
        pytest.skip("there is no Chromium: run make setup as root, or apt-get install chromium")
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def shared_floor(tmp_path_factory):
    with Floor(tmp_path_factory.mktemp("floor")) as floor:
        yield floor


@pytest.fixture
def floor(shared_floor):
    yield shared_floor
    shared_floor.clear()


@contextmanager
def windows(browser: Browser, floor: Floor) -> Iterator[Callable[..., Page]]:
    """Opens windows, by default as agent 8016: ``window(locale="en-GB", width=640, script="…", …)``; ``script`` runs
    before the page's own scripts; with ``signed_in=None`` the window stays empty. An error in the page's scripts fails
    the test."""
    contexts, faults = [], []

    def open_(
        locale: str = "zh-CN",
        width: int = 1280,
        height: int = 900,
        agent: str = "8016",
        script: str = "",
        signed_in: bool | None = True,
        **how: Any,
    ) -> Page:
        context = browser.new_context(locale=locale, viewport={"width": width, "height": height}, **how)
        context.set_default_timeout(5_000)
        context.add_init_script(script)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda told: faults.append(told.text) if "Content Security" in told.text else None)
        if signed_in:
            sign_in(page, floor.url, agent, PIN)
        elif signed_in is not None:
            page.goto(floor.url)
            page.wait_for_selector("#agent:focus")
        return page

    try:
        yield open_
    finally:
        for context in contexts:
            context.close()
    assert faults == []


@pytest.fixture
def window(browser, floor):
    """Opens windows for this test: ``window(locale="en-GB", …)``, see `windows`."""
    with windows(browser, floor) as open_:
        yield open_


@pytest.fixture(scope="module")
def shared_window(browser, shared_floor):
    """Opens windows that the tests of a module share."""
    with windows(browser, shared_floor) as open_:
        yield open_


@pytest.fixture(scope="session")
def keep():
    """Keeps a screenshot: ``keep(page, "ringing")``."""
    OUT.mkdir(exist_ok=True)

    def shoot(page, name: str, **how) -> None:
        page.screenshot(path=OUT / f"{name}.png", **how)

    return shoot
