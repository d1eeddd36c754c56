"""Asterisk's manager interface (AMI): actions out, events in, over one connection that comes back by itself.

Of the clients on PyPI none both matches answers by ActionID and survives a restart of Asterisk, and values with line
breaks inject actions; the protocol is small: https://docs.asterisk.org/Configuration/Interfaces/Asterisk-Manager-Interface-AMI/
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

log = logging.getLogger(__name__)

Message = dict[str, str]
"""The headers of a response or an event. What it tells of a channel's variables (those that `channelvars` names in
manager.conf) is found by `variables`."""

ANSWER_S = 5.0
LIST_S = 15.0
PING_S = 5.0  # no sign of life for longer than two of these: the connection is taken for dead
RETRY_S = (0.25, 0.5, 1.0, 2.0)  # the last again and again
_MOST = 1 << 20  # bytes of one message
_VARIABLE = "ChanVariable"


class AmiDown(ConnectionError):
    """No connection to Asterisk's manager interface just now."""


class AmiRefused(RuntimeError):
    """Asterisk said no; the message is its own."""


def variables(message: Message, prefix: str = "") -> dict[str, str]:
    """The channel variables that an event tells of; ``prefix`` is that of its second channel, e.g. ``Dest``."""
    told = message.get(f"{prefix}{_VARIABLE}", "")
    return dict(line.split("=", 1) for line in told.splitlines() if "=" in line)


class Ami:
    """One connection, kept up by ``run``.

    Args:
        address: (host, port).
        user, secret: of manager.conf.
        on_event: told of each event, in order, from the loop's thread.
        on_down: told when the connection is lost that was up.
        on_up: run after each login, before any event; asks Asterisk how things stand. Events that come meanwhile wait.
    """

    def __init__(
        self,
        address: tuple[str, int],
        user: str,
        secret: str,
        on_event: Callable[[Message], None],
        on_up: Callable[[], Awaitable[None]],
        on_down: Callable[[], None] = lambda: None,
    ) -> None:
        self._address, self._user, self._secret = address, user, secret
        self._on_event, self._on_up, self._on_down = on_event, on_up, on_down
        self._numbers = itertools.count(1)
        self._writer: asyncio.StreamWriter | None = None
        self._answers: dict[str, asyncio.Future[Message]] = {}
        self._lists: dict[str, list[Message]] = {}
        self.up = False

    async def run(self) -> None:
        """Connect, again and again, until cancelled."""
        tries = 0
        while True:
            try:
                await self._once()
                tries = 0
            except AmiRefused as error:
                log.error("Asterisk's manager interface refuses us: %s", error)
                tries = len(RETRY_S)
            except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
                if self.up or tries == 0:
                    log.warning("no connection to Asterisk's manager interface: %s", error or type(error).__name__)
            tries = 0 if self.up else tries
            self._lose()
            await asyncio.sleep(RETRY_S[min(tries, len(RETRY_S) - 1)])
            tries += 1

    async def ask(self, action: str, *, within: float = ANSWER_S, **headers: str | list[str]) -> Message:
        """Do one action. A list gives its header once for each of its items.

        Raises:
            AmiDown: no connection, or no answer ``within`` seconds.
            AmiRefused: Asterisk said no.
            ValueError: a value holds a line break.
        """
        number = self._send(action, headers)
        return await self._answer(number, within)

    async def ask_list(self, action: str, **headers: str) -> list[Message]:
        """Do an action that is answered with a list of events; these. Raises as ``ask``."""
        number = f"hearline-{next(self._numbers)}"
        found: list[Message] = []
        self._lists[number] = found
        try:
            self._send(action, headers, number)
            await self._answer(number, LIST_S)
        finally:
            self._lists.pop(number, None)
        return found

    # ---- the connection ---------------------------------------------------------------------------------------------
    async def _once(self) -> None:
        async with asyncio.timeout(ANSWER_S):
            reader, self._writer = await asyncio.open_connection(*self._address, limit=_MOST)
            await reader.readuntil(b"\r\n")  # "Asterisk Call Manager/…"
        waiting: asyncio.Queue[Message] = asyncio.Queue()
        reading = asyncio.create_task(self._read(reader, waiting))
        living = asyncio.create_task(self._live(waiting))
        try:
            done, _ = await asyncio.wait({reading, living}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (reading, living):
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task

    async def _live(self, waiting: asyncio.Queue[Message]) -> None:
        challenge = await self.ask("Challenge", AuthType="MD5")
        key = hashlib.md5((challenge["Challenge"] + self._secret).encode(), usedforsecurity=False).hexdigest()
        await self.ask("Login", AuthType="MD5", Username=self._user, Key=key)
        await self._on_up()
        self.up = True
        log.info("connected to Asterisk's manager interface")
        while True:
            try:
                async with asyncio.timeout(PING_S):  # `wait_for` loses a cancellation that comes with an event
                    event = await waiting.get()
            except TimeoutError:
                await self.ask("Ping")
                continue
            try:
                self._on_event(event)
            except Exception:  # one odd event must not cost the connection
                log.exception("an event of Asterisk could not be worked on: %s", event.get("Event"))

    async def _read(self, reader: asyncio.StreamReader, waiting: asyncio.Queue[Message]) -> None:
        while True:
            message = parse(await reader.readuntil(b"\r\n\r\n"))
            number = message.get("ActionID", "")
            if "Response" in message:
                answer = self._answers.get(number)
                starts = number in self._lists and message["Response"] == "Success"
                if answer and not answer.done() and not (starts and message.get("EventList") == "start"):
                    answer.set_result(message)
            elif number in self._lists:
                if message.get("EventList", "").lower() == "complete":
                    if not (answer := self._answers[number]).done():
                        answer.set_result({"Response": "Success"})
                else:
                    self._lists[number].append(message)
            elif "Event" in message:
                waiting.put_nowait(message)

    def _send(self, action: str, headers: Mapping[str, str | list[str]], number: str = "") -> str:
        if self._writer is None or self._writer.is_closing():
            raise AmiDown("no connection to Asterisk's manager interface")
        number = number or f"hearline-{next(self._numbers)}"
        lines = [f"Action: {action}", f"ActionID: {number}"]
        for name, given in headers.items():
            lines += [f"{name}: {value}" for value in ([given] if isinstance(given, str) else given)]
        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError("a line break in a value would be another header")
        self._answers[number] = asyncio.get_running_loop().create_future()
        self._writer.write("\r\n".join([*lines, "", ""]).encode())
        return number

    async def _answer(self, number: str, within: float) -> Message:
        try:
            async with asyncio.timeout(within):
                message = await self._answers[number]
        except TimeoutError:
            raise AmiDown("Asterisk's manager interface does not answer") from None
        finally:
            self._answers.pop(number, None)
        if message["Response"] in ("Error", "Failed"):
            raise AmiRefused(message.get("Message", "no reason given"))
        return message

    def _lose(self) -> None:
        if self.up:
            self._on_down()
        self.up = False
        if self._writer:
            self._writer.close()
            self._writer = None
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(AmiDown("the connection to Asterisk's manager interface was lost"))


def parse(raw: bytes) -> Message:
    """A message's headers. Of one that comes several times the last counts, but channel variables are kept, a line
    each. Whatever is no UTF-8 (a caller's name, say) is replaced, not refused."""
    message: Message = {}
    for line in raw.decode(errors="replace").split("\r\n"):
        name, colon, value = line.partition(":")
        if not colon:
            continue
        name, _, _channel = name.partition("(")  # ChanVariable(PJSIP/agent-8016-00000001): NAME=value
        value = value.removeprefix(" ")
        message[name] = f"{message[name]}\n{value}" if name.endswith(_VARIABLE) and name in message else value
    return message
