"""Who is at a page: the cookie that remembers a sign-in for a shift, and by which the browser is known afterwards."""

from __future__ import annotations

import json
import logging
import secrets
import threading
import time

from itsdangerous import BadSignature, URLSafeTimedSerializer

from hearline.core.files import write_private
from hearline.core.keys import lasting_key
from hearline.store.accounts import Account, Accounts

log = logging.getLogger(__name__)

COOKIE = "hearline"
SHIFT_S = 12 * 3_600
KNOWN_S = 180 * 86_400  # so long the browser keeps it
_MOST_NUMBERS = 16  # that share a browser


class Sessions:
    """Signed, not stored: they outlive a restart of the server, and end with a new PIN. Only one that was ended by
    signing out is written down, beside the accounts, for as long as its cookie would have been good.

    A clock that is stepped back ends none of them: a cookie may be as much younger than now as it may be older.

    A cookie that lets nobody in any more still says in which browser it is, and which numbers have signed in there: it
    spares them the waits that others' wrong PINs cost, see `limits`.
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
        """The cookie's value. ``before``: the value that it had."""
        browser, numbers = self._browser(before)
        numbers = [account.number, *(other for other in numbers if other != account.number)][:_MOST_NUMBERS]
        session, browser = secrets.token_urlsafe(12), browser or secrets.token_urlsafe(12)
        return self._signer.dumps([account.number, account.stamp, session, browser, numbers])

    def who(self, cookie: str) -> Account | None:
        """Whose cookie it is, as the account is now; None where it is none, too old, of an earlier PIN, or signed
        out."""
        return self._told_by(cookie)[0]

    def end(self, cookie: str) -> tuple[Account | None, str]:
        """Nobody is let in with this cookie any more, whoever has it; `keep` makes that last. Returns whose it was, and
        its value from now on."""
        account, session = self._told_by(cookie)
        if account:
            now = time.time()
            self._ended = {one: at for one, at in self._ended.items() if now - at < SHIFT_S} | {session: now}
        browser, numbers = self._browser(cookie)
        return account, self._signer.dumps(["", "", "", browser, numbers]) if browser else ""

    def keep(self) -> None:
        """Write down who has signed out. Waits for the disk, so never in an event loop."""
        with self._writing:
            try:
                write_private(self._file, json.dumps(self._ended))
            except OSError as error:
                log.error("who has signed out is forgotten at the next restart: %s", error)

    def _told_by(self, cookie: str) -> tuple[Account | None, str]:
        """(whose, session)"""
        try:
            (number, stamp, session, _, _), made = self._signer.loads(cookie, return_timestamp=True)
            account = self._accounts.of(number)
            good = account and account.stamp == stamp and session not in self._ended
        except (BadSignature, ValueError, TypeError):
            return None, ""
        return (account, session) if good and abs(time.time() - made.timestamp()) <= SHIFT_S else (None, "")

    def _read(self) -> dict[str, float]:
        try:
            return {str(one): float(at) for one, at in json.loads(self._file.read_text("utf-8")).items()}
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, AttributeError) as error:
            log.error("who has signed out is forgotten: %s: %s", self._file, error)
        return {}

    def browser(self, cookie: str, number: str) -> str:
        """Which browser it is, if this number has signed in there; '' if not."""
        browser, numbers = self._browser(cookie)
        return browser if number in numbers else ""

    def _browser(self, cookie: str) -> tuple[str, list[str]]:
        try:
            _, _, _, browser, numbers = self._signer.loads(cookie)
        except (BadSignature, ValueError, TypeError):
            return "", []
        return (browser, numbers) if isinstance(browser, str) and isinstance(numbers, list) else ("", [])
