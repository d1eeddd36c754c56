"""Who may sign in, and as what: work numbers with a role, a team, and a PIN as a salted hash, in a file that only its
owner reads. A file of an earlier version, with PINs alone, is read as one of agents."""

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

from hearline.core.files import locked, read_text, write_private
from hearline.yamlfiles.watched import Watched

log = logging.getLogger(__name__)

SHORTEST, LONGEST = 6, 64
# The first parameter of scrypt (RFC 7914): 128 MiB and some 0.4 s a try. Six digits are few, so each guess must cost.
COST = 2**17
_FIRST_COST = 2**14  # of hashes that do not say theirs
_MEMORY = 2**29  # bytes; OpenSSL refuses to use more


class Role(StrEnum):
    AGENT = "agent"
    SUPERVISOR = "supervisor"
    """Sees the desks of their team as well."""
    ADMIN = "admin"
    """Administers; sees no other's desk."""


@dataclass(frozen=True)
class Account:
    number: str
    role: Role = Role.AGENT
    team: str = ""
    salt: str = ""
    """Hexadecimal, as is the hash; another one after each change of the PIN."""
    hash: str = ""
    cost: int = _FIRST_COST

    @property
    def stamp(self) -> str:
        """Another one after each change of the PIN."""
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
    """Not fit to be a work number, a PIN or a team; the message says what would be."""


class Accounts:
    """Those in ``file``. What ``hearline agents`` changes counts at once for who signs in, and within a second for who
    is signed in.

    ``watched``: for the thread that looks whether the file has changed.

    Args:
        cost: of new hashes, scrypt's first parameter.
    """

    def __init__(self, file: Path, cost: int = COST) -> None:
        self.file, self._cost = file, cost
        self.watched: Watched[dict[str, Account]] = Watched("accounts", lambda: [file], lambda _: self._read(), {})

    def all(self) -> list[Account]:
        """In the order of their numbers. Raises OSError, ValueError."""
        return [account for _, account in sorted(self._read().items())]

    def of(self, number: str) -> Account | None:
        """Reads nothing."""
        return self.watched.value.get(number)

    def set_pin(self, number: str, pin: str, role: Role | None = None, team: str | None = None) -> Account:
        """Make an account, or give one another PIN; role and team stay where none is given.

        Raises:
            BadAccount: nothing is changed.
            OSError, ValueError: the file cannot be read or written.
        """
        if not (number.isalnum() and number.isprintable() and len(number) <= 32):
            raise BadAccount(f"{number!r} is no work number: letters and digits, e.g. 8016")
        if not SHORTEST <= len(pin) <= LONGEST:
            raise BadAccount(f"a PIN has {SHORTEST} to {LONGEST} characters")
        salt = secrets.token_bytes(16)
        hashed = _hash(pin, salt, self._cost).hex()

        def changed(account: Account | None) -> Account:
            account = replace(account or Account(number), salt=salt.hex(), hash=hashed, cost=self._cost)
            return _fit(account, role, team)

        return self._change(number, changed)

    def set_role(self, number: str, role: Role | None = None, team: str | None = None) -> Account:
        """Raises as `set_pin` does; a number that has no account is a BadAccount."""
        return self._change(number, lambda account: _fit(_there(number, account), role, team))

    def remove(self, number: str) -> Account:
        """Nobody can sign in with this number any more. Raises as `set_role` does."""
        with locked(self.file):
            kept = self._read()
            gone = _there(number, kept.pop(number, None))
            self._write(kept)
        return gone

    def check(self, number: str, pin: str) -> bool:
        """Is it this number's PIN? Takes as long for a number that nobody has. A right PIN whose hash was cheaper is
        hashed anew. Reads the file where it has changed, so never in an event loop.

        Raises:
            ValueError: the accounts cannot be read, and were not before.
        """
        self.watched.refresh()
        if self.watched.fault and not self.watched.value:
            raise ValueError(self.watched.fault)
        account = self.of(number) or Account(number, cost=self._cost)
        pin, salt = pin[: LONGEST + 1], bytes.fromhex(account.salt)
        right = hmac.compare_digest(_hash(pin, salt, account.cost), bytes.fromhex(account.hash))
        if account.cost < self._cost:  # done for a wrong one as well: it must take as long
            dearer = replace(account, hash=_hash(pin, salt, self._cost).hex(), cost=self._cost)
            if right:
                self._keep_dearer(account, dearer)
        return right

    def _keep_dearer(self, account: Account, dearer: Account) -> None:
        def changed(now: Account | None) -> Account:
            there = _there(account.number, now)
            return replace(there, hash=dearer.hash, cost=dearer.cost) if there.hash == account.hash else there

        try:
            self._change(account.number, changed)
        except (OSError, ValueError) as error:
            log.error("%s: a PIN keeps its cheaper hash: %s", self.file, error)

    def _change(self, number: str, changed: Callable[[Account | None], Account]) -> Account:
        with locked(self.file):
            kept = self._read()
            kept[number] = changed(kept.get(number))
            self._write(kept)
        return kept[number]

    def _write(self, kept: dict[str, Account]) -> None:
        told = {number: {k: v for k, v in asdict(account).items() if k != "number"} for number, account in kept.items()}
        write_private(self.file, json.dumps(told, indent=1))
        self.watched.refresh()

    def _read(self) -> dict[str, Account]:
        try:
            kept = json.loads(read_text(self.file))
            return {number: _account(number, told) for number, told in kept.items()}
        except FileNotFoundError:
            return {}
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            remedy = "Mend it, or take it away and set the PINs anew"
            raise ValueError(f"{self.file}: no list of accounts ({error!r}). {remedy}") from None


def _account(number: str, told: dict[str, Any]) -> Account:
    """Raises ValueError, TypeError, KeyError."""
    account = Account(**(told | {"number": number, "role": Role(told.get("role", Role.AGENT))}))
    bytes.fromhex(account.salt), bytes.fromhex(account.hash)
    if not (account.salt and account.hash and isinstance(account.team, str) and isinstance(account.cost, int)):
        raise ValueError(f"{number!r} has no PIN")
    return account


def _there(number: str, account: Account | None) -> Account:
    if account is None:
        raise BadAccount(f"{number!r} has no account; hearline agents list shows those that there are")
    return account


def _fit(account: Account, role: Role | None, team: str | None) -> Account:
    account = replace(account, role=role or account.role, team=account.team if team is None else team.strip())
    if len(account.team) > 32 or not account.team.isprintable():
        raise BadAccount(f"{account.team!r} is no team: 32 characters at most, e.g. care")
    if account.role is Role.SUPERVISOR and not account.team:
        raise BadAccount("a supervisor sees the desks of a team: say which, e.g. --team care")
    return account


def new_pin() -> str:
    """Six digits."""
    return f"{secrets.randbelow(1_000_000):06}"


def _hash(pin: str, salt: bytes, cost: int) -> bytes:
    return hashlib.scrypt(pin.encode("utf-8", "replace"), salt=salt, n=cost, r=8, p=1, maxmem=_MEMORY)
