"""The AGI script for the dialplan's guard, which asks if a media worker is alive (``hearline-guard`` in
hearline.conf)."""

from __future__ import annotations

import time

from hearline.media.worker_pool import WorkerPool
from hearline.pbx.agi import AgiSession

PATIENCE_S = 0.5
LOOK_S = 0.02


def serve(agi: AgiSession, line: WorkerPool) -> None:
    """Set HEARLINE_ALIVE to ``yes`` if a media worker is alive, else to ``no``, which sends all calls in the IVR to the
    queue. Before ``no`` it waits a moment: if this process itself has not run for a second, the worker's beats are
    still unread."""
    until = time.monotonic() + PATIENCE_S
    while not (well := line.well) and time.monotonic() < until:
        time.sleep(LOOK_S)
    agi.set_variable("HEARLINE_ALIVE", "yes" if well else "no")
