"""The process of the agents' page. If it fails, agents are without their page until it is back; calls, hints and
whispers go on."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable

from hearline.core.settings import Settings, address, socket_of
from hearline.server.child import run_child
from hearline.store.accounts import Accounts, accounts_file
from hearline.store.audit import AuditLog
from hearline.web.agent.app import Page
from hearline.web.entrance import Entrance
from hearline.wire.assist_client import AssistClient
from hearline.wire.http_server import HttpServer
from hearline.yamlfiles.watched import LOOK_S, Watcher


async def serve(settings: Settings, tell: Callable[[bytes], None]) -> None:
    """Serve the page until cancelled.

    Args:
        tell: passes a line of JSON to the door: the number of sign-ins, by result, whenever it has changed.
    """
    accounts = Accounts(accounts_file(settings.state))
    audit = AuditLog(settings.state / "audit", settings.audit_days)
    watcher = Watcher({"accounts": accounts.watched.look})
    assist = AssistClient(socket_of(settings.state))
    sign_ins: Counter[str] = Counter()
    watcher.start()

    def page() -> Page:
        return Page(assist, Entrance(accounts, audit, settings.proxies, sign_ins))

    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(HttpServer("the agents' page", address(settings.page), page).run())
            tasks.create_task(_tell_of(sign_ins, tell))
    finally:
        watcher.stop()
        await assist.close()
        await asyncio.to_thread(audit.close)


async def _tell_of(sign_ins: Counter[str], tell: Callable[[bytes], None]) -> None:
    sent: Counter[str] | None = None
    while True:
        if sent != sign_ins:
            sent = sign_ins.copy()
            tell(json.dumps({"sign_ins": sent}).encode() + b"\n")
        await asyncio.sleep(LOOK_S)


def main() -> None:
    """Entry of the page's process; started by ``hearline serve``, not by people."""
    run_child(serve)


if __name__ == "__main__":
    main()
