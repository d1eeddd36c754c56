"""The entrance to all our pages: checks where a request comes from and who sent it; signs people in and out."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections import Counter

from aiohttp import web

from hearline.core.log_limit import LogLimit
from hearline.store.accounts import Account, Accounts, may_see
from hearline.store.audit import AuditLog, network
from hearline.web.access import WHO, Handler
from hearline.web.headers import HEADERS
from hearline.web.looks import Looks
from hearline.web.origin import Proxies, address_key, must_be_ours, must_come_from_our_page
from hearline.web.sessions import COOKIE, KNOWN_S, Sessions
from hearline.web.sign_in import SignIn
from hearline.wire.answers import Refused, read_json

log = logging.getLogger(__name__)
log.addFilter(LogLimit())


class Entrance:
    """The guard before all handlers, and the handlers for signing in and out.

    Args:
        proxies: the trusted proxies, see `origin.Proxies`. Raises ValueError.
        counts: counts sign-ins by result, see `sign_in.RESULTS`.
    """

    def __init__(self, accounts: Accounts, audit: AuditLog, proxies: str, counts: Counter[str]) -> None:
        self.accounts, self.audit = accounts, audit
        self._proxies, self._sessions = Proxies(proxies), Sessions(accounts)
        self._door, self._looks = SignIn(accounts, audit, counts), Looks(audit)

    def handlers(self) -> dict[tuple[str, str], Handler]:
        return {
            ("POST", "/api/sign-in"): self._sign_in,
            ("POST", "/api/sign-out"): self.sign_out,
            ("GET", "/api/me"): self._me,
        }

    def close(self) -> None:
        self._door.close()
        self._looks.close()

    # ---- every request ----------------------------------------------------------------------------------------------
    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse posts from other sites' pages, and turn every error in a handler into an answer."""
        try:
            if request.method not in ("GET", "HEAD"):
                must_be_ours(request, self._proxies)
            response = await handler(request)
        except Refused as refused:
            response = web.json_response(refused.body, status=refused.status)
        except web.HTTPException as error:
            response = web.json_response({"error": error.reason}, status=error.status)
        except ConnectionError:  # the browser has gone
            raise
        except OSError as error:
            too_long = error.errno == errno.ENAMETOOLONG  # the name asked for; no file has such a name
            response = web.json_response({"error": "Not Found"}, status=404) if too_long else self._broken(request)
        except Exception:
            response = self._broken(request)
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    @staticmethod
    def _broken(request: web.Request) -> web.Response:
        """Log the exception that is being handled. Returns the answer."""
        resource = request.match_info.route.resource
        log.exception("the page could not answer %s", resource.canonical if resource else request.method)
        return web.json_response({"error": "broken"}, status=500)

    def who(self, request: web.Request) -> Account | None:
        """The account that is signed in, with its present role; None if nobody is."""
        return self._sessions.who(request.cookies.get(COOKIE, ""))

    def address(self, request: web.Request) -> str:
        """The browser's address."""
        return self._proxies.address(request)

    def secure(self, request: web.Request) -> bool:
        """True if the browser has reached us over https."""
        return self._proxies.scheme(request) == "https"

    def seen(self, request: web.Request) -> Account:
        """The account whose state this request may see: one's own, or that of the ``agent`` that it names. Raises
        Refused."""
        who: Account = request[WHO]
        if (number := request.query.get("agent", who.number)) == who.number:
            return who
        whose = self.accounts.of(number)
        allowed = may_see(who, whose)
        result, of = "seen" if allowed else "refused", whose.number if whose else None
        self._looks.note(who.number, of, result, self._network(request))
        if whose is None or not allowed:
            raise Refused(403, "not_yours")
        return whose

    def still_sees(self, request: web.Request, whose: Account) -> bool:
        """True if the person who opened a stream is still signed in, and may still see this account's state."""
        who = self.who(request)
        return who is not None and who.number == request[WHO].number and may_see(who, self.accounts.of(whose.number))

    def still_there(self, request: web.Request) -> bool:
        """True if the person who sent this request is still signed in."""
        who = self.who(request)
        return who is not None and who.number == request[WHO].number

    def browser(self, request: web.Request, number: str) -> str:
        """The browser in which this person has signed in; it stays the same when they sign in there again."""
        return self._sessions.browser(request.cookies.get(COOKIE, ""), number)

    def must_come_from_our_page(self, request: web.Request) -> None:
        """Raises Refused unless the browser says that our own page opens this websocket."""
        must_come_from_our_page(request, self._proxies, said=True)

    def note_act(self, request: web.Request, event: str, **more: object) -> None:
        """Write an administrative change to the audit log."""
        self._note(request, event, request[WHO], **more)

    def _note(self, request: web.Request, event: str, who: Account, **more: object) -> None:
        self.audit.note(event, by=who.number, network=self._network(request), **more)

    def _network(self, request: web.Request) -> str:
        return network(self._proxies.address(request))

    # ---- signing in and out -----------------------------------------------------------------------------------------
    async def _sign_in(self, request: web.Request) -> web.StreamResponse:
        sent = await read_json(request)
        number, pin = str(sent.get("agent", "")).strip()[:32], str(sent.get("pin", ""))
        address, cookie = self._proxies.address(request), request.cookies.get(COOKIE, "")
        browser = self._sessions.browser(cookie, number)
        outcome = await self._door.let_in(number, pin, address, address_key(address), browser)
        if outcome.account is None:
            why = "wait" if outcome.wait_s and outcome.why == "wrong" else outcome.why
            raise Refused(429 if outcome.wait_s else 401, why, wait_s=round(outcome.wait_s + 0.5))
        response = web.json_response({"agent": outcome.account.number})
        self._set_cookie(request, response, self._sessions.begin(outcome.account, cookie))
        return response

    async def sign_out(self, request: web.Request) -> web.StreamResponse:
        account, cookie = self._sessions.end(request.cookies.get(COOKIE, ""))
        if account:
            self._note(request, "sign-out", account)
            await asyncio.to_thread(self._sessions.keep)
        response = web.json_response({})
        self._set_cookie(request, response, cookie)
        return response

    def _set_cookie(self, request: web.Request, response: web.Response, value: str) -> None:
        secure, age_s = self.secure(request), KNOWN_S if value else 0
        response.set_cookie(COOKIE, value, max_age=age_s, httponly=True, samesite="Strict", secure=secure)

    async def _me(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"agent": request[WHO].number})
