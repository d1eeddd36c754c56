"""Administration of accounts over HTTP, for admins: numbers, roles, teams and PINs."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from hearline.store.accounts import Account, BadAccount, Role
from hearline.web.access import Handler
from hearline.web.entrance import Entrance
from hearline.wire.answers import Refused, read_json


class Administration:
    """The handlers. The audit log records every change, and who made it for whom, but no PINs."""

    def __init__(self, entrance: Entrance) -> None:
        self._entrance, self._accounts = entrance, entrance.accounts

    def handlers(self) -> dict[tuple[str, str], Handler]:
        return {("GET", "/api/accounts"): self._list, ("POST", "/api/accounts"): self._change}

    async def _list(self, _request: web.Request) -> web.StreamResponse:
        accounts = await asyncio.to_thread(self._accounts.all)
        return web.json_response({"accounts": [_shown(account) for account in accounts]})

    async def _change(self, request: web.Request) -> web.StreamResponse:
        """Change ``role``, ``team`` and ``pin`` of the account ``number``, as far as they are given. With a ``pin``,
        the account is created if it does not exist. ``remove``: true removes the account."""
        sent = await read_json(request)
        number, pin, team = sent.get("number"), sent.get("pin"), sent.get("team")
        given = [one for one in (number, pin, team) if one is not None]
        if number is None or not all(isinstance(one, str) for one in given) or sent.get("role") not in (None, *Role):
            raise Refused(400, "unknown", roles=list(Role))
        role = Role(sent["role"]) if sent.get("role") else None
        try:
            if sent.get("remove") is True:
                account = await asyncio.to_thread(self._accounts.remove, number)
                event = "account-removed"
            elif pin is not None:
                account = await asyncio.to_thread(self._accounts.set_pin, number, pin, role, team)
                event = "pin-set"
            else:
                account = await asyncio.to_thread(self._accounts.set_role, number, role, team)
                event = "role-set"
        except BadAccount as error:
            raise Refused(400, "unfit", reason=str(error)) from None
        self._entrance.note_act(request, event, of=account.number, role=account.role, team=account.team)
        return web.json_response(_shown(account))


def _shown(account: Account) -> dict[str, Any]:
    return {"number": account.number, "role": account.role, "team": account.team}
