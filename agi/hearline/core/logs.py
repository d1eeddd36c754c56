"""Log lines name the call that they are about."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_call: ContextVar[str] = ContextVar("call", default="")
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(call)s%(message)s"


def name_call(call: str) -> None:
    """What this thread or task logs from now on is about this call; so is what the tasks that it starts log."""
    _call.set(call)


@contextmanager
def about_call(call: str) -> Iterator[None]:
    """What is logged within the block is about this call, and so is what tasks log that are started in it."""
    before = _call.set(call)
    try:
        yield
    finally:
        _call.reset(before)


class CallNamer(logging.Filter):
    """Gives each record ``call``: the id and a colon where a call is known. Add it to a handler."""

    def filter(self, record: logging.LogRecord) -> bool:
        call = _call.get()
        record.call = f"call {call}: " if call else ""
        return True


def log_to_stderr() -> None:
    """What a process of the server logs, from INFO on."""
    handler = logging.StreamHandler()
    handler.addFilter(CallNamer())
    logging.basicConfig(level=logging.INFO, format=FORMAT, handlers=[handler])
