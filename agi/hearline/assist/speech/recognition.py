"""The recogniser, where one is set up, as the assist process sees it: started beside it, told which legs to hear, and
off for good once it fails. Talks go on without it."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from hearline.assist.calls.legs import Leg
from hearline.assist.hints.hint_store import HintStore

log = logging.getLogger(__name__)

LOOK_S = 0.25
MINUTE_S = 60.0
HUNG_S = 15.0  # it tells every second that it is alive, unless a library hangs or the machine stands still
LEAST_LOST_MS = 2_000  # in a minute: less than that happens to a machine that is busy for a moment


class HasLegs(Protocol):
    @property
    def live(self) -> list[Leg]: ...


class Recognition:
    """``keep`` until cancelled, or until it has failed; it never raises.

    Args:
        model: the folder.
        most: how many legs at once; those that come first.
        pass_on: has the sound of a leg (its UUID) brought to a socket, or '' no longer.
        spoken: told which group was heard on which leg.
        module: what is started, for tests.
    """

    def __init__(
        self,
        model: Path,
        most: int,
        hints: HintStore,
        legs: HasLegs,
        pass_on: Callable[[str, str], None],
        spoken: Callable[[Leg, str], None],
        module: str = "hearline.assist.speech.recogniser",
    ) -> None:
        self._model, self._most, self._hints, self._legs = model, most, hints, legs
        self._pass_on, self._spoken, self._module = pass_on, spoken, module
        self._heard: dict[str, Leg] = {}  # by UUID
        self._told_most = False
        self._lost_ms, self._lost_since = 0, 0.0  # in this minute
        self.failed = ""

    async def keep(self) -> None:
        try:
            with tempfile.TemporaryDirectory(prefix="hearline-", ignore_cleanup_errors=True) as folder:
                await self._keep(f"{folder}/sound")
        except Exception as error:
            self._fail(f"{type(error).__name__}: {error}")

    async def _keep(self, to: str) -> None:
        command = [sys.executable, "-m", self._module, str(self._model), to]
        process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
        looking: asyncio.Task | None = None
        try:
            while line := await self._told(process, HUNG_S if looking else None):
                told = json.loads(line)
                if "failed" in told:
                    self._fail(told["failed"])
                elif "ready" in told:
                    log.info("the recogniser is ready: %s", self._model)
                    looking = asyncio.create_task(self._look(process, to))
                else:
                    self._hear(told)
            if line is None:
                self._fail(f"it has not answered for {HUNG_S:.0f} s. Start the server again to have it back")
            elif not self.failed:
                when = "while it ran" if looking else "while it loaded the model"
                self._fail(
                    f"it ended {when} ({await _status(process)}); see its own message above. "
                    "When that is mended, start the server again"
                )
        finally:
            if looking:
                looking.cancel()
            for uuid in self._heard:
                self._pass_on(uuid, "")
            process.stdin.close()
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()

    @staticmethod
    async def _told(process: Process, within_s: float | None) -> bytes | None:
        """The next line; b'' where it has ended, None where none came in time. To load a model may take any time."""
        try:
            async with asyncio.timeout(within_s):
                return await process.stdout.readline()
        except TimeoutError:
            return None

    async def _look(self, process: Process, to: str) -> None:
        """Compare what is heard with what is there, a few times a second: nothing hangs on a message."""
        while True:
            live = {leg.visit.uuid: leg for leg in self._legs.live}
            for uuid in self._heard.keys() - live.keys():
                self._forget(process, uuid)
            for uuid, leg in live.items():
                if uuid not in self._heard:
                    self._begin(process, leg, to)
            await asyncio.sleep(LOOK_S)

    def _begin(self, process: Process, leg: Leg, to: str) -> None:
        if len(self._heard) >= self._most:
            if not self._told_most:
                self._told_most = True
                log.warning("more than %d legs at once: the others go without the recogniser; "
                            "HEARLINE_RECOGNISER_LEGS says how many", self._most)  # fmt: skip
            return
        book = self._hints.book
        groups = {name: asdict(g) for name, g in book.spoken.items() if g.of == leg.side} if book else {}
        if groups:
            self._heard[leg.visit.uuid] = leg
            _say(process, {"leg": leg.visit.uuid, "groups": groups})
            self._pass_on(leg.visit.uuid, to)

    def _forget(self, process: Process, uuid: str) -> None:
        del self._heard[uuid]
        _say(process, {"leg": uuid})

    def _hear(self, told: dict[str, Any]) -> None:
        if leg := self._heard.get(told.get("leg", "")):
            self._spoken(leg, told["spoken"])
        self._count_lost(told.get("lost_ms", 0))

    def _count_lost(self, lost_ms: int) -> None:
        now = time.monotonic()
        if now - self._lost_since > MINUTE_S:
            self._lost_ms, self._lost_since = 0, now
        before, self._lost_ms = self._lost_ms, self._lost_ms + lost_ms
        if before < LEAST_LOST_MS <= self._lost_ms:
            log.warning("the recogniser is slower than people speak, sound is dropped: "
                        "lower HEARLINE_RECOGNISER_LEGS or take a smaller model")  # fmt: skip

    def _fail(self, why: str) -> None:
        self.failed = why
        log.error("the recogniser is off, talks go on without it: %s", why)


def _say(process: Process, what: dict[str, Any]) -> None:
    process.stdin.write(json.dumps(what).encode() + b"\n")


async def _status(process: Process) -> str:
    code = await process.wait()
    return f"killed by signal {-code}" if code < 0 else f"exit status {code}"
