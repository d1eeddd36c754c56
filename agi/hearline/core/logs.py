"""Log lines that name the call they are about."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_call: ContextVar[str] = ContextVar("call", default="")
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(call)s%(message)s"


def name_call(call: str) -> None:
    """Put ``call`` before every line that this thread or task, and the tasks it starts, log from now on."""
    _call.set(call)


@contextmanager
def about_call(call: str) -> Iterator[None]:
    """Put ``call`` before every line logged within the block, and by tasks started in it."""
    before = _call.set(call)
    try:
        yield
    finally:
        _call.reset(before)


@contextmanager
def shielded(log: logging.Logger, consequence: str) -> Iterator[None]:
    """Log an error that occurs within the block, with its consequence, and go on after the block."""
    try:
        yield
    except Exception:
        log.exception(consequence)


class CallNamer(logging.Filter):
    """Sets ``record.call`` to ``call ID: ``, or to '' if no call is known. Add it to a handler."""

    def filter(self, record: logging.LogRecord) -> bool:
        call = _call.get()
        record.call = f"call {call}: " if call else ""
        return True


def log_to_stderr() -> None:
    """Log to stderr from INFO up, naming calls. For the server's processes."""
    handler = logging.StreamHandler()
    handler.addFilter(CallNamer())
    logging.basicConfig(level=logging.INFO, format=FORMAT, handlers=[handler])
