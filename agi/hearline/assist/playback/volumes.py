"""Each agent's whisper volume, by work number: dB on top of the rule's level."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from hearline.core.files import read_text, write_private

log = logging.getLogger(__name__)

SOFTEST_DB, LOUDEST_DB = -12, 6


class Volumes:
    """The volumes, kept in ``file``. If it cannot be read or written, they are lost at the next start."""

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            kept = json.loads(read_text(file))
            self._db = {str(agent): _within(int(db)) for agent, db in kept.items()}
        except FileNotFoundError:
            self._db = {}
        except (OSError, ValueError, AttributeError, TypeError) as error:
            log.warning("cannot read the agents' whisper volumes, so all begin at 0 dB: %s", error)
            self._db = {}

    def of(self, agent: str) -> int:
        return self._db.get(agent, 0)

    def set(self, agent: str, db: int) -> None:
        self._db[agent] = _within(db)
        try:
            write_private(self._file, json.dumps(self._db))
        except OSError as error:
            log.warning("cannot write the agents' whisper volumes, so the next start forgets this change: %s", error)


def _within(db: int) -> int:
    return max(SOFTEST_DB, min(LOUDEST_DB, db))
