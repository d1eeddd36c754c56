"""How loud each agent wants the whispers: dB on top of what the rule says, by work number."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from hearline.core.files import write_private

log = logging.getLogger(__name__)

SOFTEST_DB, LOUDEST_DB = -12, 6


class Volumes:
    """Kept in ``file``; one that cannot be read or written costs only that they are remembered."""

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            kept = json.loads(file.read_text("utf-8"))
            self._db = {str(agent): _within(int(db)) for agent, db in kept.items()}
        except FileNotFoundError:
            self._db = {}
        except (OSError, ValueError, AttributeError, TypeError) as error:
            log.warning("the agents' whisper volumes cannot be read: %s", error)
            self._db = {}

    def of(self, agent: str) -> int:
        return self._db.get(agent, 0)

    def set(self, agent: str, db: int) -> None:
        self._db[agent] = _within(db)
        try:
            write_private(self._file, json.dumps(self._db))
        except OSError as error:
            log.warning("the agents' whisper volumes cannot be kept: %s", error)


def _within(db: int) -> int:
    return max(SOFTEST_DB, min(LOUDEST_DB, db))
