"""Agents' PINs, as salted hashes in a file that only its owner reads."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from pathlib import Path

from hearline.core.files import locked, read_text, write_private
from hearline.yamlfiles.watched import Watched

SHORTEST, LONGEST = 6, 64
# 16 MiB and some 50 ms a try (RFC 7914): six digits are few, so each guess must cost.
_COST = {"n": 2**14, "r": 8, "p": 1}


class BadPin(ValueError):
    """Not fit to be a PIN, or no work number; the message says what would be."""


class Pins:
    """Those in ``file``. A PIN set by ``hearline agents pin`` counts at once for who signs in, and within a second for
    who is signed in.

    ``watched``: for the thread that looks whether the file has changed.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.watched: Watched[dict[str, dict[str, str]]] = Watched("PINs", lambda: [file], lambda _: self._read(), {})

    def agents(self) -> list[str]:
        """The work numbers that can sign in. Raises OSError, ValueError."""
        return sorted(self._read())

    def set(self, agent: str, pin: str) -> None:
        """Raises BadPin, OSError, ValueError."""
        if not agent.isalnum() or len(agent) > 32:
            raise BadPin(f"{agent!r} is no work number: letters and digits, e.g. 8016")
        if not SHORTEST <= len(pin) <= LONGEST:
            raise BadPin(f"a PIN has {SHORTEST} to {LONGEST} characters")
        salt = secrets.token_bytes(16)
        hashed = _hash(pin, salt).hex()
        with locked(self.file):
            kept = self._read() | {agent: {"salt": salt.hex(), "hash": hashed}}
            write_private(self.file, json.dumps(kept, indent=1))
        self.watched.refresh()

    def check(self, agent: str, pin: str) -> bool:
        """Reads the file where it has changed, and takes as long for a number that nobody has. Raises ValueError where
        the PINs cannot be read, and were not before."""
        self.watched.refresh()
        if self.watched.fault and not self.watched.value:
            raise ValueError(self.watched.fault)
        kept = self.watched.value.get(agent)
        salt, known = (bytes.fromhex(kept["salt"]), bytes.fromhex(kept["hash"])) if kept else (b"", b"")
        return hmac.compare_digest(_hash(pin[: LONGEST + 1], salt), known)

    def stamp(self, agent: str) -> str:
        """Another one after each change of the PIN; '' for a number that nobody has. Reads nothing."""
        return self.watched.value.get(agent, {}).get("salt", "")[:8]

    def _read(self) -> dict[str, dict[str, str]]:
        try:
            kept = json.loads(read_text(self.file))
        except FileNotFoundError:
            kept = {}
        except ValueError as error:
            raise ValueError(f"{self.file}: {error}. Take it away and set the PINs anew") from None
        if not isinstance(kept, dict):
            raise ValueError(f"{self.file}: no list of PINs. Take it away and set the PINs anew")
        return kept


def new_pin() -> str:
    """Six digits."""
    return f"{secrets.randbelow(1_000_000):06}"


def _hash(pin: str, salt: bytes) -> bytes:
    return hashlib.scrypt(pin.encode(), salt=salt, **_COST)
