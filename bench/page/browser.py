"""A headless Chromium: Debian's, driven by Playwright, without Playwright's own browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

FLAGS = [
    "--no-sandbox",  # root cannot have a sandbox; the browser sees only our own page
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium_path() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def microphone(wav: Path | None = None, loop: bool = True) -> list[str]:
    """Options for a browser with sound devices of its own, which asks nobody whether a page may use them. Its
    microphone plays this file, from its beginning for each page that opens it; without a file, it beeps."""
    fake = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    return fake + ([f"--use-file-for-fake-audio-capture={wav}{'' if loop else '%noloop'}"] if wav else [])


@contextmanager
def chromium(*options: str, program: str | Path | None = None) -> Iterator[Browser]:
    """A browser with a temporary profile. Raises FileNotFoundError if there is no Chromium.

    Args:
        program: the file that starts it, by default Debian's; another one may start it in another network.
    """
    path = program or chromium_path()
    if path is None:
        raise FileNotFoundError("there is no Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*FLAGS, *options])
        try:
            yield browser
        finally:
            browser.close()


def sign_in(page: Page, url: str, agent: str, pin: str) -> None:
    """Sign in like a person, with the keyboard."""
    page.goto(url)
    page.wait_for_selector("#agent:focus")
    page.keyboard.type(agent)
    page.keyboard.press("Tab")
    page.keyboard.type(pin)
    page.keyboard.press("Enter")
    page.wait_for_selector("body[data-link=live]")
