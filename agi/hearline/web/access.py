"""Which role may use which route: one table, from which the routes of all pages are made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

from aiohttp import web

from hearline.store.accounts import Account, Role
from hearline.wire.answers import Refused

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
WHO = web.RequestKey("who", Account)  # in a request: the account that is signed in

PUBLIC: frozenset[Role] = frozenset()  # also without signing in
ALL = frozenset(Role)
SUPERVISORS = frozenset({Role.SUPERVISOR})
ADMINS = frozenset({Role.ADMIN})

# Routes show and change one's own state. If a request names an agent, `store.accounts.may_see` decides.
ROUTES: Mapping[tuple[str, str], frozenset[Role]] = {
    ("GET", "/"): PUBLIC,
    ("GET", "/static"): PUBLIC,
    ("POST", "/api/sign-in"): PUBLIC,
    ("POST", "/api/sign-out"): PUBLIC,
    ("GET", "/api/me"): ALL,
    ("GET", "/ws"): ALL,
    ("GET", "/api/events"): ALL,
    ("GET", "/api/phrases"): ALL,
    ("GET", "/api/characters"): ALL,
    ("GET", "/api/hold-whisper"): ALL,
    ("POST", "/api/press"): ALL,
    ("POST", "/api/card"): ALL,
    ("POST", "/api/call-up"): ALL,
    ("POST", "/api/outcome"): ALL,
    ("POST", "/api/note"): ALL,
    ("POST", "/api/promise"): ALL,
    ("POST", "/api/coming"): SUPERVISORS,
    ("POST", "/api/done"): ALL,
    ("POST", "/api/volume"): ALL,
    ("POST", "/api/phone"): ALL,
    ("GET", "/api/accounts"): ADMINS,
    ("POST", "/api/accounts"): ADMINS,
    # "Try it" is off, for who is signed in, or for anybody: see `web.try_it`.
    ("GET", "/try"): PUBLIC,
    ("GET", "/try/ws"): PUBLIC,
    ("GET", "/api/try"): PUBLIC,
    ("POST", "/api/try/phone"): PUBLIC,
    ("GET", "/api/try/calls/{call}/events"): PUBLIC,
    ("GET", "/api/try/callers/{name}"): PUBLIC,
}


def routes(
    handlers: Mapping[tuple[str, str], Handler], who: Callable[[web.Request], Account | None]
) -> Iterable[web.RouteDef]:
    """The routes of these handlers, each open only to its roles in `ROUTES`.

    Raises:
        KeyError: the table does not have a handler's route.
    """
    for (method, path), handler in handlers.items():
        yield web.route(method, path, _for(ROUTES[method, path], handler, who))


def _for(roles: frozenset[Role], handler: Handler, who: Callable[[web.Request], Account | None]) -> Handler:
    if roles is PUBLIC:
        return handler

    async def admit(request: web.Request) -> web.StreamResponse:
        account = who(request)
        if account is None:
            raise Refused(401, "signed_out")
        if account.role not in roles:
            raise Refused(403, "not_yours")
        request[WHO] = account
        return await handler(request)

    return admit
