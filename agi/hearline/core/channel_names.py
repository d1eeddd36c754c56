"""Asterisk's names of channels, as they may leave our processes.

The name of a Local channel holds what was dialled (``Local/13800005678@call-back-00000007;2``), and so may an
endpoint's: perhaps a caller's number. Within our processes a channel has its real name.
"""

from __future__ import annotations

import re

_COUNTED = re.compile(r"-[0-9a-f]{8}(;[12])?(<[A-Z]+>)?$")  # the number that Asterisk gives to each channel
_NUMBER = re.compile(r"[0-9]{3,}([0-9]{4})")


def shown(channel: str) -> str:
    """The name for records, events, pages and logs: of seven or more digits in a row only the last four are left, as in
    ``Local/****5678@call-back-00000007;2``."""
    counted = _COUNTED.search(channel)
    end = counted.start() if counted else len(channel)
    return _NUMBER.sub(r"****\1", channel[:end]) + channel[end:]
