"""The child's end of the link to the door: the process sends beats, reports its asyncio tasks, and ends when the door
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

END_S = 4.0  # after this, the process ends whatever still runs
TASKS_S = 1.0  # between two counts of the tasks

Tell = Callable[[bytes], None]


def run_child(work: Callable[[Settings, Tell], Coroutine[None, None, None]]) -> None:
    """Run until SIGTERM, or until the parent process is gone.

    Args:
        work: makes the coroutine to run, until it is cancelled. Its arguments are the settings, and a function that
            passes a line to the door.
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
    # The next process needs our ports, so this one must end even if a task hangs.
    last_resort = threading.Timer(END_S, os._exit, (1,))
    last_resort.daemon = True
    last_resort.start()
    for task in (running, *beside, *ends):
        task.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def _beat() -> None:
    """Show the door that the event loop runs."""
    while True:
        _tell(BEAT)
        await asyncio.sleep(BEAT_S)


async def _count_tasks() -> None:
    """Report the number of tasks, by the name of their coroutine, whenever it has changed. It shows leaks."""
    sent: Counter[str] | None = None
    while True:
        tasks = Counter(getattr(task.get_coro(), "__qualname__", "?") for task in asyncio.all_tasks())
        if tasks != sent:
            _tell(json.dumps({TASKS: tasks}).encode() + b"\n")
        sent = tasks
        await asyncio.sleep(TASKS_S)


def _tell(line: bytes) -> None:
    """Send a line to the door. Our standard input is a socket, whose other end the door reads. We never wait for it,
    since asyncio has made the socket non-blocking."""
    with suppress(OSError):
        os.write(sys.stdin.fileno(), line)
