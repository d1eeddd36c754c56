"""The dialplan's guard asks whether calls are in good hands (``hearline-guard`` in hearline.conf)."""

from __future__ import annotations

import time

from hearline.media.worker_pool import WorkerPool
from hearline.pbx.agi import AgiSession

PATIENCE_S = 0.5
LOOK_S = 0.02


def serve(agi: AgiSession, line: WorkerPool) -> None:
    """Sets HEARLINE_ALIVE to ``yes`` while the media worker is heard, else to ``no``, which sends all calls in the IVR
    to the queue. So not at once: where this process has not been running itself for a second, what the worker said
    meanwhile is still to be read."""
    until = time.monotonic() + PATIENCE_S
    while not (well := line.well) and time.monotonic() < until:
        time.sleep(LOOK_S)
    agi.set_variable("HEARLINE_ALIVE", "yes" if well else "no")
