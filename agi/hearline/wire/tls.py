"""TLS of our page: a context made of two files, which are read again when somebody renews them."""

from __future__ import annotations

import logging
import ssl
import time
from pathlib import Path

from hearline.wire.certificates import SOON_DAYS, BadCertificate, Certificate, read_pair
from hearline.yamlfiles.watched import Watched

log = logging.getLogger(__name__)

REMIND_S = 86_400.0


class Tls:
    """``context`` is the newest one from files that a browser would take; None until there is one, and ``fault`` says
    why. A pair that cannot be used leaves the earlier one in force.

    Args:
        name: its name in the log, e.g. "the page's certificate".
    """

    def __init__(self, name: str, certificate: Path, key: Path) -> None:
        self._name, self._files = name, (certificate, key)
        self._watched = Watched[tuple[ssl.SSLContext, Certificate] | None](
            name, lambda: self._files, lambda _: _load(*self._files), None
        )
        self._reminded: float | None = None
        self._watched.refresh()

    @property
    def context(self) -> ssl.SSLContext | None:
        return self._watched.value[0] if self._watched.value else None

    @property
    def certificate(self) -> Certificate | None:
        return self._watched.value[1] if self._watched.value else None

    @property
    def fault(self) -> str:
        return self._watched.fault

    def look(self) -> None:
        """Read the files if they have changed; warn once a day of an end that is near. For the watching thread."""
        if self._watched.look():
            self._reminded = None
        now, found = time.monotonic(), self.certificate
        if found and (self._reminded is None or now - self._reminded >= REMIND_S):
            self._reminded = now
            if (left := found.days_left()) < SOON_DAYS:
                ends = "has ended" if left < 0 else f"ends in {left} days"
                log.warning("%s: %s %s; new files count at once, without a restart", self._name, self._files[0], ends)


def _load(certificate: Path, key: Path) -> tuple[ssl.SSLContext, Certificate]:
    """Raises BadCertificate."""
    found = read_pair(certificate, key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, _no_passphrase)
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise BadCertificate(f"{certificate} and {key} cannot be used together: {why}") from None
    return context, found


def _no_passphrase() -> str:
    raise ValueError("it has a passphrase")  # otherwise OpenSSL would ask for it on the terminal
