"""Asterisk's manager interface (AMI): actions out, events in, over one connection that reconnects by itself.

No client on PyPI both matches answers by ActionID and survives a restart of Asterisk, and they let values with line
breaks inject actions. The protocol is small:
https://docs.asterisk.org/Configuration/Interfaces/Asterisk-Manager-Interface-AMI/
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from logging import WARNING

from hearline.pbx.ami_messages import UNPROVEN, Message, Screen, proof_of, variables

__all__ = ["Ami", "AmiDown", "AmiRefused", "Message", "variables"]

log = logging.getLogger(__name__)

ANSWER_S = 5.0
LIST_S = 15.0
PING_S = 5.0  # after about two of these without a sign of life, the connection counts as dead
RETRY_S = (0.25, 0.5, 1.0, 2.0)  # delays before reconnecting; the last repeats
TAMPERED = "a number holds line breaks, or `channelvars` lacks HEARLINE_PROOF (docs/operate.md)"
STOCK_S, STOCK_MOST_S = 5.0, 60.0  # between two calls of `on_up`, while somebody tampers with messages
_MOST = 1 << 20  # bytes per message
_MOST_WAITING = 50_000  # events that have been read but not processed


class AmiDown(ConnectionError):
    """There is no connection to Asterisk's manager interface at the moment."""


class AmiRefused(RuntimeError):
    """Asterisk refused the action; the message is Asterisk's."""


class Ami:
    """One connection, kept up by ``run``. Messages that a caller has tampered with are dropped. A real one may be lost
    with them, so ``on_up`` is then run again.

    Args:
        address: (host, port).
        user, secret: from manager.conf.
        on_event: called with each event, in order, in the loop's thread.
        on_up: run after each login, before any event: queries Asterisk for the current state. Events wait meanwhile.
        on_down: called when an established connection is lost.
        vouch: asks Asterisk whether an event that carries no proof is true.
        prepare: awaited before each event is passed on; may ask Asterisk for what the event leaves open.
    """

    def __init__(
        self,
        address: tuple[str, int],
        user: str,
        secret: str,
        on_event: Callable[[Message], None],
        on_up: Callable[[], Awaitable[None]],
        on_down: Callable[[], None] = lambda: None,
        vouch: Callable[[Message], Awaitable[bool]] | None = None,
        prepare: Callable[[Message], Awaitable[None]] | None = None,
    ) -> None:
        self._address, self._user, self._secret = address, user, secret
        self._on_event, self._on_up, self._on_down = on_event, on_up, on_down
        self._vouch, self._prepare = vouch, prepare
        self._actions = (f"{secrets.token_hex(8)}-{number}" for number in itertools.count(1))  # no caller can guess one
        self._screen = Screen(proof_of(secret))
        self._writer: asyncio.StreamWriter | None = None
        self._answers: dict[str, asyncio.Future[Message]] = {}
        self._lists: dict[str, list[Message]] = {}
        self.up = False

    async def run(self) -> None:
        """Keep the connection up until cancelled."""
        try:
            await self._keep_up()
        finally:  # otherwise the connection stays open until the garbage collector finds it
            self._disconnect()

    async def _keep_up(self) -> None:
        tries, said = 0, ""
        while True:
            odd = None
            try:
                await self.once()
            except AmiRefused as error:
                why, level = f"Asterisk's manager interface refuses us: {error}", logging.ERROR
            except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
                why, level = f"no connection to Asterisk's manager interface: {error or type(error).__name__}", WARNING
            except Exception as error:  # an unexpected answer must not end agent assist
                why, level, odd = "unexpected answer from Asterisk's manager interface", logging.ERROR, error
            if self.up:
                tries, said = 0, ""
            if why != said:  # once, not on every attempt
                log.log(level, "%s", why, exc_info=odd)
                said = why
            self.close()
            await asyncio.sleep(RETRY_S[min(tries, len(RETRY_S) - 1)])
            tries += 1

    @property
    def refused(self) -> int:
        """The number of messages on this connection that were refused."""
        return self._screen.refused

    async def ask(self, action: str, *, within: float = ANSWER_S, **headers: str | list[str]) -> Message:
        """Do one action and return its answer. A list repeats its header for each item.

        Raises:
            AmiDown: there is no connection, or no answer ``within`` seconds.
            AmiRefused: Asterisk refused the action.
            ValueError: a value holds a line break.
        """
        number = self._send(action, headers)
        return await self._answer(number, within)

    async def ask_list(self, action: str, **headers: str) -> list[Message]:
        """Do an action whose answer is a list of events, and return them. Raises as ``ask``."""
        number = next(self._actions)
        found: list[Message] = []
        self._lists[number] = found
        try:
            self._send(action, headers, number)
            await self._answer(number, LIST_S)
        finally:
            self._lists.pop(number, None)
        return found

    # ---- the connection ---------------------------------------------------------------------------------------------
    async def once(self) -> None:
        """Connect, log in, and serve until the connection is lost; then the caller calls `close`.

        Raises:
            AmiRefused: the login was refused.
            OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError: there is no connection, or it was lost.
        """
        async with asyncio.timeout(ANSWER_S):
            reader, self._writer = await asyncio.open_connection(*self._address, limit=_MOST)
            await reader.readuntil(b"\r\n")  # "Asterisk Call Manager/…"
        self._screen = Screen(proof_of(self._secret))
        waiting: asyncio.Queue[Message | None] = asyncio.Queue(_MOST_WAITING)
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

    async def _live(self, waiting: asyncio.Queue[Message | None]) -> None:
        challenge = await self.ask("Challenge", AuthType="MD5")
        if "Challenge" not in challenge:
            raise AmiRefused("it sent no challenge for the login")
        key = hashlib.md5((challenge["Challenge"] + self._secret).encode(), usedforsecurity=False).hexdigest()
        await self.ask("Login", AuthType="MD5", Username=self._user, Key=key)
        await self._on_up()
        self.up = True
        log.info("connected to Asterisk's manager interface")
        now = asyncio.get_running_loop().time
        seen, taken, pause = self._screen.refused, now(), STOCK_S
        while True:
            left = taken + pause - now() if self._screen.refused > seen else PING_S
            event = None
            try:
                async with asyncio.timeout(min(PING_S, max(0.0, left))):
                    event = await waiting.get()  # (`wait_for` loses a cancellation that comes with an event)
            except TimeoutError:
                if left >= PING_S:
                    await self.ask("Ping")
            if event is not None:
                await self._work_on(event)
            if self._screen.refused > seen and now() >= taken + pause:
                log.warning("%d messages from Asterisk were tampered with: %s", self._screen.refused - seen, TAMPERED)
                seen = self._screen.refused
                await self._on_up()
                pause = STOCK_S if now() > taken + 2 * pause else min(2 * pause, STOCK_MOST_S)
                taken = now()

    async def _work_on(self, event: Message) -> None:
        try:
            if event["Event"] not in UNPROVEN or (self._vouch and await self._vouch(event)):
                if self._prepare:
                    await self._prepare(event)
                self._on_event(event)
            else:
                self._screen.refused += 1
        except AmiDown:
            raise
        except Exception:  # one unexpected event must not end the connection
            log.exception("an event from Asterisk could not be processed: %s", event.get("Event"))

    async def _read(self, reader: asyncio.StreamReader, waiting: asyncio.Queue[Message | None]) -> None:
        while True:
            before = self._screen.refused
            message = self._screen.admit(await reader.readuntil(b"\r\n\r\n"), self._answers)
            if message is None:
                if self._screen.refused > before and waiting.empty():
                    waiting.put_nowait(None)  # wakes the loop that processes events
                continue
            number = message.get("ActionID", "")
            if "Response" in message:
                answer = self._answers[number]
                starts = number in self._lists and message["Response"] == "Success"
                if not answer.done() and not (starts and message.get("EventList") == "start"):
                    answer.set_result(message)
            elif number in self._lists:
                if message.get("EventList", "").lower() == "complete":
                    if not (answer := self._answers[number]).done():
                        answer.set_result({"Response": "Success"})
                else:
                    self._lists[number].append(message)
            elif waiting.full():
                raise AmiDown("events come faster than they can be processed; reconnecting")
            else:
                waiting.put_nowait(message)

    def _send(self, action: str, headers: Mapping[str, str | list[str]], number: str = "") -> str:
        if self._writer is None or self._writer.is_closing():
            raise AmiDown("no connection to Asterisk's manager interface")
        number = number or next(self._actions)
        lines = [f"Action: {action}", f"ActionID: {number}"]
        for name, given in headers.items():
            lines += [f"{name}: {value}" for value in ([given] if isinstance(given, str) else given)]
        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError("a value holds a line break, which would start another header")
        request = "\r\n".join([*lines, "", ""]).encode()
        self._answers[number] = asyncio.get_running_loop().create_future()
        self._writer.write(request)
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

    def close(self) -> None:
        """Give up the connection; whoever waits for an answer gets AmiDown."""
        if self.up:
            self._on_down()
        self.up = False
        self._disconnect()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(AmiDown("the connection to Asterisk's manager interface was lost"))

    def _disconnect(self) -> None:
        if self._writer:
            self._writer.close()
            self._writer = None
