"""What a process beside the door does besides its work: it beats, says how many tasks it runs, and ends when the door
does. `child_process` is the other end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress

from hearline.core.logs import log_to_stderr
from hearline.core.settings import Settings
from hearline.server.child_process import BEAT, BEAT_S, TASKS

END_S = 4.0  # everything has ended by then
TASKS_S = 1.0  # between two looks at how many tasks run

Tell = Callable[[bytes], None]


def run_child(work: Callable[[Settings, Tell], Coroutine[None, None, None]]) -> None:
    """Run until SIGTERM, or until whoever started us is gone.

    Args:
        work: what to run, until it is cancelled; it is given the settings, and what passes a line on to the door.
    """
    log_to_stderr()
    asyncio.run(_run(work))


async def _run(work: Callable[[Settings, Tell], Coroutine[None, None, None]]) -> None:
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    ends = [asyncio.create_task(over.wait()), asyncio.create_task(reader.read())]
    running = asyncio.create_task(work(Settings.model_validate_json(sys.argv[1]), _tell))
    beside = [asyncio.create_task(_beat()), asyncio.create_task(_count_tasks())]
    await asyncio.wait([running, *ends], return_when=asyncio.FIRST_COMPLETED)
    # Whatever hangs now: the next one needs our ports.
    last_resort = threading.Timer(END_S, os._exit, (1,))
    last_resort.daemon = True
    last_resort.start()
    for task in (running, *beside, *ends):
        task.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def _beat() -> None:
    """Say that the loop goes round."""
    while True:
        _tell(BEAT)
        await asyncio.sleep(BEAT_S)


async def _count_tasks() -> None:
    """Tell how many tasks run, by the name of what they run, whenever that has changed: a leak shows in it."""
    sent: Counter[str] | None = None
    while True:
        tasks = Counter(getattr(task.get_coro(), "__qualname__", "?") for task in asyncio.all_tasks())
        if tasks != sent:
            _tell(json.dumps({TASKS: tasks}).encode() + b"\n")
        sent = tasks
        await asyncio.sleep(TASKS_S)


def _tell(line: bytes) -> None:
    """To the door, which reads what we write to our standard input, a socket. We never wait for it: asyncio has made
    the socket non-blocking."""
    with suppress(OSError):
        os.write(sys.stdin.fileno(), line)
