"""The recogniser, where one is set up, as the assist process sees it: started beside it, told which legs to hear,
watched, and started anew when it has ended or hangs. Talks go on without it."""

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
HUNG_S = 15.0  # it tells every second that it is alive, unless a library hangs
LOAD_S = 120.0  # before that, so long for a model to be loaded
RESTART_S = (0.5, 1.0, 2.0, 5.0, 15.0, 60.0)  # the last again and again
LASTED_S = 30.0  # one that ran for so long is started again as quickly as the first time
RARELY_S = 300.0  # between two tries with a model that cannot be loaded
LEAST_LOST_MS = 2_000  # in a minute: less than that happens to a machine that is busy for a moment


class HasLegs(Protocol):
    @property
    def live(self) -> list[Leg]: ...


class Recognition:
    """``keep`` until cancelled; it never raises.

    Args:
        model: the folder.
        most: how many legs at once; those that come first.
        pass_on: has the sound of a leg (its UUID) brought to a socket, or '' no longer.
        spoken: told which group was heard on which leg.
        module: what is started, for tests.

    ``failed``: why there is no recogniser just now; '' while there is one, or it has not been tried yet.
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
        self._loaded = False
        self._told_why = ""
        self.failed = ""

    async def keep(self) -> None:
        tries = 0
        while True:
            began = time.monotonic()
            self._loaded = False
            try:
                with tempfile.TemporaryDirectory(prefix="hearline-", ignore_cleanup_errors=True) as folder:
                    why = await self._run(f"{folder}/sound")
            except Exception as error:
                why = f"{type(error).__name__}: {error}"
            tries = 1 if time.monotonic() - began > LASTED_S else tries + 1
            self._fail(why)
            await asyncio.sleep(RESTART_S[min(tries, len(RESTART_S)) - 1] if self._loaded else RARELY_S)

    async def _run(self, to: str) -> str:
        """One process, to its end; → why it ended. ``to``: where it is to put its socket."""
        command = [sys.executable, "-m", self._module, str(self._model), to]
        process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
        try:
            return await self._attend(process, to)
        finally:
            for uuid in self._heard:
                self._pass_on(uuid, "")
            self._heard.clear()
            process.stdin.close()
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()

    async def _attend(self, process: Process, to: str) -> str:
        """Hear what it tells and tell it what to hear, until it has ended or hangs; → why."""
        silent_s = 0.0
        while silent_s < (limit_s := HUNG_S if self._loaded else LOAD_S):
            if self._loaded:
                self._look(process, to)
            line = await self._line(process)
            if line is None:  # however long we were not let run ourselves
                silent_s += LOOK_S
                continue
            silent_s = 0.0
            if not line.endswith(b"\n"):
                when = "while it ran" if self._loaded else "while it loaded the model"
                return f"it ended {when} ({await _status(process)}); see its own message above"
            told = json.loads(line)
            if "failed" in told:
                return told["failed"]
            if "ready" in told:
                log.info("the recogniser is ready: %s", self._model)
                self._loaded, self._told_why, self.failed = True, "", ""
            else:
                self._hear(told)
        what = "said that it is there" if self._loaded else "loaded the model"
        return f"it has not {what} for {limit_s:.0f} s"

    @staticmethod
    async def _line(process: Process) -> bytes | None:
        """The next line; b'' where it has ended, None where none came within `LOOK_S`."""
        try:
            async with asyncio.timeout(LOOK_S):
                return await process.stdout.readline()
        except TimeoutError:
            return None

    def _look(self, process: Process, to: str) -> None:
        """Compare what is heard with what is there: nothing hangs on a message."""
        live = {leg.media.uuid: leg for leg in self._legs.live}
        for uuid in self._heard.keys() - live.keys():
            self._forget(process, uuid)
        for uuid, leg in live.items():
            if uuid not in self._heard:
                self._begin(process, leg, to)

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
            self._heard[leg.media.uuid] = leg
            _say(process, {"leg": leg.media.uuid, "groups": groups})
            self._pass_on(leg.media.uuid, to)

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
        """Tell why there is none, once: a model that cannot be loaded is tried again and again."""
        self.failed = why
        if why != self._told_why:
            how = "started anew" if self._loaded else f"tried again every {RARELY_S / 60:.0f} minutes"
            log.error("the recogniser is off and is %s, talks go on without it: %s", how, why)
        self._told_why = why


def _say(process: Process, what: dict[str, Any]) -> None:
    process.stdin.write(json.dumps(what).encode() + b"\n")


async def _status(process: Process) -> str:
    code = await process.wait()
    return f"killed by signal {-code}" if code < 0 else f"exit status {code}"
