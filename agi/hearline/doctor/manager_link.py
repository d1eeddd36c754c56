"""One connection to Asterisk's manager interface, as Hearline's own user, for code that is not asynchronous."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

from hearline.core.settings import Settings, address
from hearline.pbx.ami import Ami, AmiDown, Message

PATIENCE_S = 4.0


class ManagerLink:
    """Connects at the first question. Each question raises AmiDown or AmiRefused if there is no connection."""

    def __init__(self, settings: Settings, secret: str) -> None:
        self._settings, self._secret = settings, secret
        self._ami: Ami | None = None
        self._failed: Exception | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._session: asyncio.Task[None] | None = None

    def ask(self, action: str, **headers: str | list[str]) -> Message:
        ami = self._connected()
        return self._run(ami.ask(action, within=PATIENCE_S, **headers))

    def close(self) -> None:
        if self._loop is not None and self._thread is not None and self._thread.is_alive():
            if self._session is not None:
                self._loop.call_soon_threadsafe(self._session.cancel)
            self._thread.join(PATIENCE_S)

    def _connected(self) -> Ami:
        if self._failed is not None:
            raise self._failed
        if self._ami is None:
            ready: threading.Event = threading.Event()
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._live, args=(ready,), name="manager", daemon=True)
            self._thread.start()
            if not ready.wait(2 * PATIENCE_S) and self._failed is None:
                self._failed = AmiDown("Asterisk's manager interface does not answer")
            if self._failed is not None:
                raise self._failed
        assert self._ami is not None
        return self._ami

    def _live(self, ready: threading.Event) -> None:
        assert self._loop is not None

        async def up() -> None:
            ready.set()

        async def session() -> None:
            self._session = asyncio.current_task()
            where, user = address(self._settings.ami), self._settings.ami_user
            self._ami = Ami(where, user, self._secret, lambda _event: None, on_up=up)
            try:
                await self._ami.once()
            except asyncio.CancelledError:
                pass
            except Exception as error:
                self._failed = AmiDown("it does not answer") if isinstance(error, TimeoutError) else error
            finally:
                self._ami.close()
                ready.set()

        self._loop.run_until_complete(session())
        self._loop.close()

    def _run(self, question: Coroutine[Any, Any, Message]) -> Message:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(question, self._loop).result(2 * PATIENCE_S)
