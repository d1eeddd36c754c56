"""The accounts that may sign in: work numbers with a role, a team, and a PIN as a salted hash, in a file that only its
owner can read. In files of earlier versions, which hold only PINs, all accounts are agents."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from hearline.core.files import locked, read_text, write_shared
from hearline.yamlfiles.watched import Watched

log = logging.getLogger(__name__)

SHORTEST, LONGEST = 6, 64
# scrypt's N (RFC 7914): 128 MiB and about 0.4 s per try. A PIN may have only six digits, so each guess must be costly.
COST = 2**17
_FIRST_COST = 2**14  # of hashes that do not name theirs
_MEMORY = 2**29  # bytes; the limit given to OpenSSL


class Role(StrEnum):
    AGENT = "agent"
    SUPERVISOR = "supervisor"
    """Also sees the desks of their team."""
    ADMIN = "admin"
    """Administers; sees nobody else's desk."""


@dataclass(frozen=True)
class Account:
    number: str
    role: Role = Role.AGENT
    team: str = ""
    salt: str = ""
    """Hexadecimal, like the hash; changes with the PIN."""
    hash: str = ""
    cost: int = _FIRST_COST

    @property
    def stamp(self) -> str:
        """A value that changes whenever the PIN is changed."""
        return self.salt[:8]


def may_see(who: Account, whose: Account | None) -> bool:
    """People see their own state; supervisors also that of the agents of their team. Administering shows nobody's."""
    if whose is None:
        return False
    return who.number == whose.number or (who.role is Role.SUPERVISOR and who.team == whose.team != "")


def accounts_file(state: Path) -> Path:
    """Where the accounts of a server are, by the folder of its state."""
    return state / "page" / "pins.json"


class BadAccount(ValueError):
    """Not acceptable as a work number, PIN or team; the message says what is."""


class Accounts:
    """The accounts in ``file``. Changes by ``hearline agents`` take effect at once for new sign-ins, and within a
    second for those who are signed in.

    ``watched``: for the thread that checks whether the file has changed.

    Args:
        cost: scrypt's N for new hashes.
    """

    def __init__(self, file: Path, cost: int = COST) -> None:
        self.file, self._cost = file, cost
        self.watched: Watched[dict[str, Account]] = Watched("accounts", lambda: [file], lambda _: self._read(), {})

    def all(self) -> list[Account]:
        """All accounts, sorted by number. Raises OSError, ValueError."""
        return [account for _, account in sorted(self._read().items())]

    def of(self, number: str) -> Account | None:
        """The account with this number, as last read; None if there is none. Does not read the file."""
        return self.watched.value.get(number)

    def set_pin(self, number: str, pin: str, role: Role | None = None, team: str | None = None) -> Account:
        """Create an account, or change its PIN. Role and team stay as they are unless given.

        Raises:
            BadAccount: a value is not acceptable; nothing was changed.
            OSError, ValueError: the file cannot be read or written.
        """
        if not (number.isalnum() and number.isprintable() and len(number) <= 32):
            raise BadAccount(f"{number!r} is not a work number: use letters and digits, e.g. 8016")
        if not SHORTEST <= len(pin) <= LONGEST:
            raise BadAccount(f"a PIN must have {SHORTEST} to {LONGEST} characters")
        salt = secrets.token_bytes(16)
        hashed = _hash(pin, salt, self._cost).hex()

        def changed(account: Account | None) -> Account:
            account = replace(account or Account(number), salt=salt.hex(), hash=hashed, cost=self._cost)
            return _fit(account, role, team)

        return self._change(number, changed)

    def set_role(self, number: str, role: Role | None = None, team: str | None = None) -> Account:
        """Change an account's role or team. Raises as `set_pin`, and BadAccount if there is no such account."""
        return self._change(number, lambda account: _fit(_there(number, account), role, team))

    def remove(self, number: str) -> Account:
        """Remove the account, so that nobody can sign in with its number. Raises as `set_role`."""
        with locked(self.file):
            kept = self._read()
            gone = _there(number, kept.pop(number, None))
            self._write(kept)
        return gone

    def check(self, number: str, pin: str) -> bool:
        """True if this is the number's PIN. Takes equally long for numbers without an account. A correct PIN with a
        cheaper hash is hashed again at the current cost. May read the file, so do not call it in an event loop.

        Raises:
            ValueError: the accounts have never been readable.
        """
        self.watched.refresh()
        if self.watched.fault and not self.watched.value:
            raise ValueError(self.watched.fault)
        account = self.of(number) or Account(number, cost=self._cost)
        pin, salt = pin[: LONGEST + 1], bytes.fromhex(account.salt)
        right = hmac.compare_digest(_hash(pin, salt, account.cost), bytes.fromhex(account.hash))
        if account.cost < self._cost:  # done for a wrong PIN, too, so that it takes as long
            costlier = replace(account, hash=_hash(pin, salt, self._cost).hex(), cost=self._cost)
            if right:
                self._keep_costlier(account, costlier)
        return right

    def _keep_costlier(self, account: Account, costlier: Account) -> None:
        def changed(now: Account | None) -> Account:
            there = _there(account.number, now)
            return replace(there, hash=costlier.hash, cost=costlier.cost) if there.hash == account.hash else there

        try:
            self._change(account.number, changed)
        except (OSError, ValueError) as error:
            log.error("%s: the stronger hash of a PIN could not be saved: %s", self.file, error)

    def _change(self, number: str, changed: Callable[[Account | None], Account]) -> Account:
        with locked(self.file):
            kept = self._read()
            kept[number] = changed(kept.get(number))
            self._write(kept)
        return kept[number]

    def _write(self, kept: dict[str, Account]) -> None:
        data = {number: {k: v for k, v in asdict(account).items() if k != "number"} for number, account in kept.items()}
        write_shared(self.file, json.dumps(data, indent=1))
        self.watched.refresh()

    def _read(self) -> dict[str, Account]:
        try:
            kept = json.loads(read_text(self.file))
            return {number: _account(number, data) for number, data in kept.items()}
        except FileNotFoundError:
            return {}
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            remedy = "Correct it, or remove it and set the PINs again"
            raise ValueError(f"{self.file}: not a list of accounts ({error!r}). {remedy}") from None


def _account(number: str, data: dict[str, Any]) -> Account:
    """Raises ValueError, TypeError, KeyError."""
    account = Account(**(data | {"number": number, "role": Role(data.get("role", Role.AGENT))}))
    bytes.fromhex(account.salt), bytes.fromhex(account.hash)
    if not (account.salt and account.hash and isinstance(account.team, str) and isinstance(account.cost, int)):
        raise ValueError(f"{number!r} has no PIN")
    return account


def _there(number: str, account: Account | None) -> Account:
    if account is None:
        raise BadAccount(f"{number!r} has no account; `hearline agents list` shows the accounts")
    return account


def _fit(account: Account, role: Role | None, team: str | None) -> Account:
    account = replace(account, role=role or account.role, team=account.team if team is None else team.strip())
    if len(account.team) > 32 or not account.team.isprintable():
        raise BadAccount(f"{account.team!r} is not a team: use at most 32 characters, e.g. care")
    if account.role is Role.SUPERVISOR and not account.team:
        raise BadAccount("a supervisor needs a team, whose desks they see: add it, e.g. --team care")
    return account


def new_pin() -> str:
    """Six digits."""
    return f"{secrets.randbelow(1_000_000):06}"


def _hash(pin: str, salt: bytes, cost: int) -> bytes:
    return hashlib.scrypt(pin.encode("utf-8", "replace"), salt=salt, n=cost, r=8, p=1, maxmem=_MEMORY)
