"""The audit log's lines about looks at others' desks: the first of a kind at once, its repetitions summed up once a
minute, so that nobody fills the log."""

from __future__ import annotations

import asyncio
from collections import Counter

from hearline.store.audit import AuditLog

LOG_EVERY_S = 60.0
MOST_DESKS = 20  # per person and minute that have lines of their own; the others share one without ``of``

Look = tuple[str, str | None, str]  # who looks, at whom (None: no account, or many), the result


class Looks:
    """Notes looks in the audit log. ``close`` writes the sums so far."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit
        self._unlogged: Counter[Look] = Counter()  # what has a line already, and how often it came again since
        self._desks: Counter[str] = Counter()  # by person, in `_unlogged`
        self._networks: dict[str, str] = {}  # by person, the last one
        self._logging: asyncio.TimerHandle | None = None

    def note(self, by: str, of: str | None, result: str, network: str) -> None:
        """A look by one work number at another one's desk (None: there is no such account)."""
        look = by, of, result
        if look not in self._unlogged and self._desks[by] >= MOST_DESKS:
            look = by, None, result
        self._networks[by] = network
        if look in self._unlogged:
            self._unlogged[look] += 1
        else:
            self._unlogged[look] = 0
            self._desks[by] += 1
            self._write(look)
        if self._logging is None:
            self._logging = asyncio.get_running_loop().call_later(LOG_EVERY_S, self._log)

    def _write(self, look: Look, **more: int) -> None:
        by, of, result = look
        self._audit.note("look", by=by, network=self._networks[by], of=of, result=result, **more)

    def _log(self) -> None:
        """Write the sums. What came again stays known for another minute."""
        again = {look: count for look, count in self._unlogged.items() if count}
        for look, count in again.items():
            self._write(look, count=count)
        self._unlogged = Counter(dict.fromkeys(again, 0))
        self._desks = Counter(by for by, _, _ in again)
        self._networks = {by: self._networks[by] for by in self._desks}
        self._logging = asyncio.get_running_loop().call_later(LOG_EVERY_S, self._log) if again else None

    def close(self) -> None:
        if self._logging:
            self._logging.cancel()
            self._log()
            if self._logging:
                self._logging.cancel()
