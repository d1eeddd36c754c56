"""Agents' PINs, as salted hashes in a file that only its owner reads."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from pathlib import Path

from hearline.core.private_files import write_private
from hearline.yamlfiles.checked import stamp

SHORTEST, LONGEST = 6, 64
# 16 MiB and some 50 ms a try (RFC 7914): six digits are few, so each guess must cost.
_COST = {"n": 2**14, "r": 8, "p": 1}


class BadPin(ValueError):
    """Not fit to be a PIN, or no work number; the message says what would be."""


class Pins:
    """Those in ``file``; read again at each try, so that a PIN set by ``hearline agents pin`` counts at once."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._kept: tuple[tuple | None, dict] = None, {}

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
        kept = self._read() | {agent: {"salt": salt.hex(), "hash": _hash(pin, salt).hex()}}
        write_private(self.file, json.dumps(kept, indent=1))

    def check(self, agent: str, pin: str) -> bool:
        """Takes as long for a number that nobody has. Raises OSError, ValueError."""
        kept = self._read().get(agent)
        salt, known = (bytes.fromhex(kept["salt"]), bytes.fromhex(kept["hash"])) if kept else (b"", b"")
        return hmac.compare_digest(_hash(pin[: LONGEST + 1], salt), known)

    def stamp(self, agent: str) -> str:
        """Another one after each change of the PIN; '' for a number that nobody has. Raises OSError, ValueError."""
        return self._read().get(agent, {}).get("salt", "")[:8]

    def _read(self) -> dict[str, dict[str, str]]:
        seen = stamp([self.file])
        if seen != self._kept[0]:
            try:
                kept = json.loads(self.file.read_text("utf-8"))
            except FileNotFoundError:
                kept = {}
            except ValueError as error:
                raise ValueError(f"{self.file}: {error}. Take it away and set the PINs anew") from None
            if not isinstance(kept, dict):
                raise ValueError(f"{self.file}: no list of PINs. Take it away and set the PINs anew")
            self._kept = seen, kept
        return self._kept[1]


def new_pin() -> str:
    """Six digits."""
    return f"{secrets.randbelow(1_000_000):06}"


def _hash(pin: str, salt: bytes) -> bytes:
    return hashlib.scrypt(pin.encode(), salt=salt, **_COST)
