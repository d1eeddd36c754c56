"""Agent assist as `hearline serve` starts it, but with a media worker that hears nothing and still reports, and with a
watch on its loop. On SIGUSR1 the watch writes what it saw, as JSON, to the file given as the last argument."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from functools import partial
from pathlib import Path

from hearline.media.worker_client import WorkerClient
from hearline.server import assist

LOOK_S = 0.01


class WatchedService(assist.Service):
    """``lags_ms``: how late the loop came back, each time."""

    async def run(self) -> None:
        lags_ms: list[float] = []
        out = Path(sys.argv.pop())

        def write() -> None:
            out.with_suffix(".part").write_text(json.dumps(lags_ms))
            out.with_suffix(".part").rename(out)
            lags_ms.clear()

        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, write)
        watching = asyncio.create_task(watch(lags_ms))
        try:
            await super().run()
        finally:
            watching.cancel()


async def watch(lags_ms: list[float]) -> None:
    while True:
        asked = time.monotonic()
        await asyncio.sleep(LOOK_S)
        lags_ms.append((time.monotonic() - asked - LOOK_S) * 1_000)


if __name__ == "__main__":
    assist.WorkerClient = partial(WorkerClient, module="bench.load.reporting_worker")
    assist.Service = WatchedService
    assist.main()
