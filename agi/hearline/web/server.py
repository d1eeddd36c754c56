"""The page in the assist process: on an address of its own, and for itself. Whatever becomes of it, hints and legs go
on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from aiohttp import web

from hearline.web.feed import Feed

log = logging.getLogger(__name__)

AGAIN_S = 5.0
LOOK_S = 0.25
STOP_S = 0.5


class Page(Protocol):
    """What is served: an application, and the news for the browsers that have it open."""

    feed: Feed

    def app(self) -> web.Application: ...


class PageServer:
    """``run`` until cancelled.

    Args:
        page: made when it is first needed; may raise OSError or ValueError.
        matters: what whoever looks at a call must know at once when it changes: whether Asterisk is there, and so on.
    """

    def __init__(self, where: tuple[str, int], page: Callable[[], Page], matters: Callable[[], object]) -> None:
        self._where, self._make, self._matters = where, page, matters

    async def run(self) -> None:
        told = ""
        while True:
            try:
                await self._serve()
            except asyncio.CancelledError:
                raise
            except Exception as error:
                if told != (told := f"{type(error).__name__}: {error}"):
                    log.exception("the agents' page is not there; hints go on, and it is tried again")
            await asyncio.sleep(AGAIN_S)

    async def _serve(self) -> None:
        page = self._make()
        runner = web.AppRunner(page.app(), access_log=None, handle_signals=False, shutdown_timeout=STOP_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, *self._where).start()
            log.info("the agents' page is on http://%s:%d", *self._where)
            await self._tell_what_matters(page)
        finally:
            page.feed.close()  # else they would be waited for
            await runner.cleanup()

    async def _tell_what_matters(self, page: Page) -> None:
        known = self._matters()
        while True:
            await asyncio.sleep(LOOK_S)
            if known != (known := self._matters()):
                page.feed.all_changed()
