"""How long does it take until an agent sees a change? python -m bench.page: see --help.

One server has fifty desks, all busy: levels of both sides ten times a second, a card every second. A separate process
reads forty-nine of the pages; the fiftieth is in a real Chromium, which reports when it has painted.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bench.load.figures import Figure, at_most
from bench.load.machine import this_machine
from bench.load.table import show, write_json
from bench.page.browser import chromium, sign_in
from bench.page.floor import PIN, Floor
from hearline.assist.hints.events import CalledUp, Side
from hearline.audio.hearing import SpeechEnded, SpeechStarted

BAR_MS = 200.0
METER_S = 0.1
CARD_S = 1.0  # on the other desks
WATCHED_CARD_S = 0.3  # on the desk in the browser
SETTLE_S = 2.0

# Records how many ms after its stamp a change was painted. The frame after the change is drawn before the task that the
# frame's callback posts.
MEASURE = """
() => {
  window.seen = {state: [], levels: []};
  const watch = (id, kind) => {
    const element = document.getElementById(id);
    new MutationObserver(() => {
      const at = Number(element.dataset.at);
      requestAnimationFrame(() => {
        const channel = new MessageChannel();
        channel.port1.onmessage = () => window.seen[kind].push(Date.now() - at);
        channel.port2.postMessage(null);
      });
    }).observe(element, {attributes: true, attributeFilter: ['data-at']});
  };
  watch('desk', 'state');
  watch('meters', 'levels');
}
"""


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 0 if everything was measured, whatever the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.page",
        description="How long until an agent sees a change? Measures from the moment the server knows of the change to "
        "the moment Chromium has painted it, with many agents signed in. Run it where nothing else runs.",
    )
    parser.add_argument("--agents", type=int, default=50, metavar="N", help="agents signed in, all talking; default 50")
    parser.add_argument("--seconds", type=float, default=60.0, metavar="S", help="length of a repetition; default 60")
    parser.add_argument("--repetitions", type=int, default=3, metavar="N", help="default 3")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    parser.add_argument("--readers", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.readers:
        return asyncio.run(_read(*options.readers))
    machine = this_machine()
    figures = measure(options.agents, options.seconds, options.repetitions)
    show(machine, figures, options.repetitions)
    if options.json:
        write_json(options.json, machine, figures, options.repetitions)
    return 0


def measure(count: int, seconds: float, repetitions: int) -> list[Figure]:
    """The figures of `repetitions` repetitions."""
    agents = tuple(f"{8_000 + i}" for i in range(count))
    found: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, Floor(Path(folder), agents) as floor:
        cookies = [floor.page.sessions.begin(agent) for agent in agents[1:]]
        readers = subprocess.Popen([sys.executable, "-m", "bench.page", "--readers", floor.url, *cookies])
        try:
            with chromium() as browser:
                page = browser.new_page(viewport={"width": 1280, "height": 900}, locale="zh-CN")
                sign_in(page, floor.url, agents[0], PIN)
                for agent in agents:
                    floor.join(agent)
                stop = floor.do(_busy, floor)
                page.wait_for_selector("body[data-state=talking]")
                time.sleep(SETTLE_S)
                page.evaluate(MEASURE)
                for _ in range(repetitions):
                    page.evaluate("window.seen.state = []; window.seen.levels = []")
                    page.wait_for_timeout(seconds * 1_000)
                    for kind, times in page.evaluate("window.seen").items():
                        for name, share in (("median", 50), ("p99", 99), ("worst", 100)):
                            found.setdefault((kind, name), []).append(float(np.percentile(times, share)))
                        found.setdefault((kind, "count"), []).append(float(len(times)))
                open_pages = sum(floor.page.feed.pages(agent) for agent in agents)
                floor.do(stop)
        finally:
            readers.terminate()
            readers.wait()
    if open_pages != count:
        raise RuntimeError(f"only {open_pages} of {count} pages were open at the end, so the figures are not valid")
    part = f"from the change to the eye, {count} agents talking"
    names = {"state": "a card", "levels": "a level"}
    return [
        Figure(
            part,
            f"{names[kind]}, {name}" if name != "count" else f"{names[kind]}: how many",
            "ms" if name != "count" else "",
            values,
            at_most(BAR_MS) if name == "p99" else None,
        )
        for (kind, name), values in found.items()
    ]


def _busy(floor: Floor):
    """Make all desks busy; returns a function that ends it. Runs in the server's thread, like the ears' messages."""
    loop = asyncio.get_running_loop()
    rules = [rule.name for rule in floor.book.book.rules.by_name.values() if rule.card and not rule.automatic]

    async def talk(agent: str, card_s: float) -> None:
        """Two people speak in turn, and one card after another is called up."""
        await asyncio.sleep(random.random())
        beat, speaks, next_card = 0, Side.CALLER, 0.0
        while True:
            beat += 1
            for side in Side:
                loud = -24.0 if side is speaks else -60.0
                turn = beat % 20 == 0
                event = (SpeechEnded(1, 1) if side is speaks else SpeechStarted(1, 1),) if turn else ()
                floor.hear_now(agent, side, loud + random.gauss(0, 2), *event)
            if beat % 20 == 0:
                speaks = speaks.other
            if loop.time() >= next_card:
                next_card = loop.time() + card_s * random.uniform(0.7, 1.3)
                floor.talks.tell_agent(floor.states.of(agent).channel, CalledUp(random.choice(rules)))
            await asyncio.sleep(METER_S)

    tasks = [
        loop.create_task(talk(agent, WATCHED_CARD_S if i == 0 else CARD_S)) for i, agent in enumerate(floor.agents)
    ]
    return lambda: [task.cancel() for task in tasks]


async def _read(url: str, *cookies: str) -> int:
    """Stand in for pages as far as the network is concerned: read everything that comes."""
    import aiohttp

    async def one(http: aiohttp.ClientSession, cookie: str) -> None:
        async with http.get(f"{url}api/events", headers={"Cookie": f"hearline={cookie}"}) as answer:
            async for _ in answer.content.iter_any():
                pass

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as http:
        await asyncio.gather(*(one(http, cookie) for cookie in cookies))
    return 0


if __name__ == "__main__":
    sys.exit(main())
