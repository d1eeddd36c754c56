"""Sessions: the cookie that keeps a person signed in for a shift, and that identifies the browser afterwards."""

from __future__ import annotations

import json
import logging
import secrets
import threading
import time

from itsdangerous import BadSignature, URLSafeTimedSerializer

from hearline.core.files import read_text, write_private
from hearline.core.keys import lasting_key
from hearline.store.accounts import Account, Accounts

log = logging.getLogger(__name__)

COOKIE = "hearline"
SHIFT_S = 12 * 3_600
KNOWN_S = 180 * 86_400  # how long the browser keeps the cookie
MOST_ENDED = 64 * 1024 * 1024  # bytes of the list of those who signed out: far more than a shift's
_MOST_NUMBERS = 16  # work numbers remembered in a browser's cookie


class Sessions:
    """Sessions are signed cookies, and are not stored: they survive a restart of the server, and end with a new PIN.
    Only sessions that were signed out are stored, beside the accounts, until their cookies would have expired.

    A clock that is set back ends no session: a cookie may be as far in the future as it may be in the past.

    An expired cookie still identifies the browser and the numbers that have signed in there, which spares those numbers
    the waits that others' wrong PINs cost, see `limits`.
    """

    def __init__(self, accounts: Accounts) -> None:
        folder = accounts.file.parent
        key = lasting_key(folder / "cookie-key")
        self._signer = URLSafeTimedSerializer(key, salt="hearline page")
        self._accounts = accounts
        accounts.watched.refresh()
        self._file = folder / "signed-out.json"
        self._ended = self._read()
        self._writing = threading.Lock()

    def begin(self, account: Account, before: str = "") -> str:
        """Begin a session. Returns the cookie's new value. ``before``: its value so far."""
        browser, numbers = self._browser(before)
        numbers = [account.number, *(other for other in numbers if other != account.number)][:_MOST_NUMBERS]
        session, browser = secrets.token_urlsafe(12), browser or secrets.token_urlsafe(12)
        return self._signer.dumps([account.number, account.stamp, session, browser, numbers])

    def who(self, cookie: str) -> Account | None:
        """The account of a cookie, as it is now; None if the cookie is not valid, too old, of an earlier PIN, or signed
        out."""
        return self._told_by(cookie)[0]

    def end(self, cookie: str) -> tuple[Account | None, str]:
        """Sign out: nobody can use this cookie any more. `keep` makes that last. Returns the account that it was for,
        and the cookie's new value."""
        account, session = self._told_by(cookie)
        if account:
            now = time.time()
            self._ended = {one: at for one, at in self._ended.items() if now - at < SHIFT_S} | {session: now}
        browser, numbers = self._browser(cookie)
        return account, self._signer.dumps(["", "", "", browser, numbers]) if browser else ""

    def keep(self) -> None:
        """Store the sessions that were signed out. Waits for the disk, so never call it in an event loop."""
        with self._writing:
            try:
                write_private(self._file, json.dumps(self._ended))
            except OSError as error:
                log.error("cannot store who has signed out, so a restart would let them in again: %s", error)

    def _told_by(self, cookie: str) -> tuple[Account | None, str]:
        """(account, session) of a cookie; (None, '') if it lets nobody in."""
        try:
            (number, stamp, session, _, _), made = self._signer.loads(cookie, return_timestamp=True)
            account = self._accounts.of(number)
            good = account and account.stamp == stamp and session not in self._ended
        except (BadSignature, ValueError, TypeError):
            return None, ""
        return (account, session) if good and abs(time.time() - made.timestamp()) <= SHIFT_S else (None, "")

    def _read(self) -> dict[str, float]:
        try:
            return {str(one): float(at) for one, at in json.loads(read_text(self._file, MOST_ENDED)).items()}
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, AttributeError) as error:
            log.error("cannot read who has signed out, so their cookies may be valid again: %s: %s", self._file, error)
        return {}

    def browser(self, cookie: str, number: str) -> str:
        """The browser of a cookie, if this number has signed in there; '' if not."""
        browser, numbers = self._browser(cookie)
        return browser if number in numbers else ""

    def _browser(self, cookie: str) -> tuple[str, list[str]]:
        try:
            _, _, _, browser, numbers = self._signer.loads(cookie)
        except (BadSignature, ValueError, TypeError):
            return "", []
        return (browser, numbers) if isinstance(browser, str) and isinstance(numbers, list) else ("", [])
