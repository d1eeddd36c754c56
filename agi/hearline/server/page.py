"""The process of the agents' page. If it fails, agents are without their page until it is back; calls, hints and
whispers go on."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable

from hearline.core.settings import Settings, address, page_pair, socket_of, trial_file
from hearline.server.child import run_child
from hearline.server.hotline import HotlineReader
from hearline.store.accounts import Accounts, accounts_file
from hearline.store.audit import AuditLog
from hearline.store.records import Records
from hearline.web.agent.app import Page
from hearline.web.entrance import Entrance
from hearline.web.try_it.app import Trial
from hearline.web.try_it.relay import CallRelay
from hearline.wire.assist_client import AssistClient
from hearline.wire.http_server import HttpServer
from hearline.wire.tls import Tls
from hearline.yamlfiles.watched import LOOK_S, Watcher


async def serve(settings: Settings, tell: Callable[[bytes], None]) -> None:
    """Serve the page until cancelled.

    Args:
        tell: passes a line of JSON to the door: the number of sign-ins, by result, and when the certificate ends,
            whenever one of them has changed.
    """
    accounts = Accounts(accounts_file(settings.state))
    audit = AuditLog(settings.state / "audit", settings.audit_days)
    looks: dict[str, Callable[[], object]] = {"accounts": accounts.watched.look}
    tls = None
    if pair := page_pair(settings):
        tls = Tls("the page's certificate", *pair)
        looks["certificate"] = tls.look
    watcher = Watcher(looks)
    assist = AssistClient(socket_of(settings.state))
    sign_ins: Counter[str] = Counter()
    records = Records(settings.state / "calls", settings.calendar)  # only read here
    relay = CallRelay(address(settings.status), assist, records)
    watcher.start()

    def trial() -> Trial | None:
        if settings.try_it == "off":
            return None
        return Trial(
            mode=settings.try_it,
            hotline=HotlineReader(settings).read,
            relay=relay,
            sounds=settings.sounds / "zh" / "callers",
            set_up=trial_file(settings.state),
            accounts=accounts,
        )

    def page() -> Page:
        return Page(assist, Entrance(accounts, audit, settings.proxies, sign_ins), settings.phone, trial())

    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(HttpServer("the agents' page", "HEARLINE_PAGE", address(settings.page), page, tls).run())
            tasks.create_task(_tell_of(sign_ins, tls, tell))
    finally:
        watcher.stop()
        await relay.close()
        await assist.close()
        await asyncio.to_thread(audit.close)


async def _tell_of(sign_ins: Counter[str], tls: Tls | None, tell: Callable[[bytes], None]) -> None:
    sent = b""
    while True:
        said: dict[str, object] = {"sign_ins": sign_ins}
        if tls:
            said["certificate_ends"] = tls.certificate.ends.timestamp() if tls.certificate else 0
        if sent != (sent := json.dumps(said).encode() + b"\n"):
            tell(sent)
        await asyncio.sleep(LOOK_S)


def main() -> None:
    """Entry of the page's process; started by ``hearline serve``, not by people."""
    run_child(serve)


if __name__ == "__main__":
    main()
