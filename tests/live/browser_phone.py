"""An agent's page in a browser as the agent's phone, what reaches it from a network that can be cut, and Asterisk's
events with their moments. All moments are monotonic s."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import threading
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from bench.page.browser import sign_in
from bench.page.tab_sound import TAP, Sound, sounds
from playwright.sync_api import Browser, BrowserContext, Page

from hearline.audio.level.p56 import rms_dbov
from hearline.audio.wav import read_wav
from hearline.core.settings import address
from hearline.pbx.ami import Ami
from hearline.pbx.config import Account
from hearline.phone import align
from world import RATE, World, until

PIECE, STEP = RATE * 3 // 10, RATE // 50  # of a recording, which is either a known speech or not
PAUSE_S, PAUSE_DBOV, FRAME = 0.05, -45.0, RATE // 50
QUIET_DBOV = -50.0
LIKE, SURE_DB = 0.4, 6.0  # how much a piece is like the speech that it is from, and how far that is above chance


class BrowserPhone:
    """One window with the page of an agent, whose phone it is."""

    def __init__(self, page: Page, number: str) -> None:
        self.page, self.number = page, number

    def use(self) -> None:
        """Choose the phone in the page instead of a desk phone, and wait until it can be called."""
        self.page.check("#tel-on")
        self.ready()

    def ready(self, within_s: float = 10.0) -> float:
        """Wait until it can be called. The moment."""
        return self.see("#tel[data-standing=ready]", within_s)

    def see(self, selector: str, within_s: float = 10.0) -> float:
        """Wait until the page shows this. The moment."""
        self.page.wait_for_selector(selector, timeout=within_s * 1_000)
        return time.monotonic()

    def press(self, *keys: str) -> float:
        """Press keys of the page. The moment of the first."""
        at = time.monotonic()
        for key in keys:
            self.page.keyboard.press(key)
        return at

    def answer(self, within_s: float = 20.0) -> float:
        """Answer as soon as it rings. The moment."""
        self.see("#tel [data-tel=answer]:visible", within_s)
        at = self.press("a")
        self.see("#tel [data-tel=end]:visible")
        return at

    def idle(self, within_s: float = 5.0) -> float:
        """Wait until no call is left. The moment."""
        self.page.wait_for_selector("#tel [data-tel=end]", state="hidden", timeout=within_s * 1_000)
        return time.monotonic()

    def calls(self) -> list[Sound]:
        """What was heard of each call, in the order in which the tab began to play them."""
        return [sound for sound in sounds(self.page) if sound.call]

    def rings(self) -> list[Sound]:
        return [sound for sound in sounds(self.page) if not sound.call]


def open_page(context: BrowserContext, url: str, account: Account) -> BrowserPhone:
    """A window with the page of an agent who signs in."""
    page = context.new_page()
    page.set_default_timeout(10_000)
    sign_in(page, url, account.number, account.pin)
    return BrowserPhone(page, account.number)


def new_context(browser: Browser, **how: Any) -> BrowserContext:
    context = browser.new_context(locale="zh-CN", viewport={"width": 1280, "height": 900}, **how)
    context.add_init_script(TAP)
    return context


# ---- sounds ----------------------------------------------------------------------------------------------------------
class Speech:
    """Sentences without their pauses, so that at any moment something is said; said again and again.

    Args:
        target: the WAV that is written, for a microphone.
        wavs: the sentences.
    """

    def __init__(self, target: Path, *wavs: Path) -> None:
        self.wav, kept = target, []
        for path in wavs:
            speech, quiet = read_wav(path), 0
            for frame in speech[: speech.size // FRAME * FRAME].reshape(-1, FRAME):
                quiet = quiet + 1 if rms_dbov(frame) < PAUSE_DBOV else 0
                if quiet * FRAME <= PAUSE_S * RATE:
                    kept.append(frame)
        samples = np.concatenate(kept).astype("<i2")
        with wave.open(str(target), "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(RATE)
            out.writeframes(samples.tobytes())
        looped = np.concatenate([samples, samples[:PIECE]])
        self._where = align.Searchable(align.whiten(align.as_float(looped)))

    def share(self, sound: np.ndarray) -> float:
        """How much of the sound is this speech: 0 to 1."""
        found = [self._is_from(sound[at : at + PIECE]) for at in range(0, sound.size - PIECE + 1, PIECE // 2)]
        return sum(found) / max(1, len(found))

    def first_s(self, sound: np.ndarray) -> float:
        """After how many seconds this speech is first heard in the sound; infinite if it is not."""
        steps = range(0, sound.size - PIECE + 1, STEP)
        return next((at / RATE for at in steps if self._is_from(sound[at : at + PIECE])), float("inf"))

    def _is_from(self, piece: np.ndarray) -> bool:
        if rms_dbov(piece) < QUIET_DBOV:
            return False
        white = align.whiten(align.as_float(piece))
        there, chance = (float(np.abs(self._where.likeness(one)).max()) for one in (white, white[::-1]))
        return there > LIKE and there > 10 ** (SURE_DB / 20) * chance


# ---- the network -----------------------------------------------------------------------------------------------------
class Relay:
    """Passes a browser's connections on to the page's server; `cut` ends them all and lets no new one through. The
    sound of calls goes another way, as it does where a proxy or its network fails."""

    def __init__(self, target: str) -> None:
        self._target = address(target)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def __enter__(self) -> Relay:
        self._thread.start()
        self.mend()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def mend(self) -> None:
        self._do(self._open())

    def cut(self) -> None:
        self._do(self._cut())

    def _do(self, what: Any) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(10)

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _cut(self) -> None:
        if self._server:
            self._server.close()
        self._server = None
        for writer in list(self._writers):
            writer.transport.abort()

    async def _end(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(task := asyncio.current_task())
        task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        try:
            there, to = await asyncio.open_connection(*self._target)
            self._writers.add(to)
            try:
                await asyncio.gather(_copy(reader, to), _copy(there, writer))
            finally:
                self._writers.discard(to)
                to.transport.abort()
        except OSError:
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    with suppress(OSError, RuntimeError):
        writer.write_eof()


@contextmanager
def address_for_media() -> Iterator[None]:
    """An address of this machine other than 127/8, which ICE does not offer: its own, or one for the time being."""
    listed = subprocess.run(["ip", "-json", "-4", "address"], capture_output=True, check=True).stdout
    if any(one["scope"] == "global" for link in json.loads(listed) for one in link["addr_info"]):
        yield
        return
    name, peer = f"hl{os.getpid()}", f"hp{os.getpid()}"
    for command in (
        f"link add {name} type veth peer name {peer}",
        f"address add 198.18.0.1/32 dev {name}",
        f"link set {name} up",
        f"link set {peer} up",  # without it, the link would have no carrier
    ):
        subprocess.run(["ip", *command.split()], check=True)
    try:
        yield
    finally:
        subprocess.run(["ip", "link", "delete", name], check=True)


# ---- what Asterisk says ----------------------------------------------------------------------------------------------
class Events:
    """Asterisk's events while open (``with``), each with the moment at which it came."""

    def __init__(self, world: World) -> None:
        self.seen: list[tuple[float, dict[str, str]]] = []
        self._where = address(world.stack.running.ami)
        self._secret = (world.stack.home / "ami-secret").read_text()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self._up = threading.Event()

    def __enter__(self) -> Events:
        self._thread.start()
        assert self._up.wait(5)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._working.cancel)
        self._thread.join(5)

    def _run(self) -> None:
        with suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._work())
        self._loop.close()

    async def _work(self) -> None:
        async def up() -> None:
            self._up.set()

        async def believe(_event: dict[str, str]) -> bool:
            return True

        def see(event: dict[str, str]) -> None:
            self.seen.append((time.monotonic(), event))

        ami = Ami(self._where, "hearline-assist", self._secret, see, up, vouch=believe)
        self._working = asyncio.current_task()
        try:
            await ami.run()
        finally:
            ami.close()

    def wait_for(self, kind: str, is_it: Callable[[dict[str, str]], bool], since: float, within_s: float = 20) -> float:
        """The moment of the first such event since then."""
        return until(
            lambda: next((at for at, one in self.seen if at >= since and one["Event"] == kind and is_it(one)), None),
            within_s,
        )
