"""How Asterisk is asked for one side of a talk. The only place where these strings are made, and none that it can make
lets the caller hear a whisper.

ChanSpy's letters: q no beep · o only what comes from that channel · E ends with that channel · S ends when nobody is
left to listen to · u that very channel · w what the listener says is whispered to that channel. Never: B (barge) and W,
d (modes by key), which bring what we say to the caller or let a key do so.
https://docs.asterisk.org/Asterisk_22_Documentation/API_Documentation/Dialplan_Applications/ChanSpy/
"""

from __future__ import annotations

from hearline.assist.events import Side
from hearline.line.workers import Visit

APPLICATION = "ChanSpy"
_LISTEN = "qoESu"


def audiosocket(visit: Visit) -> str:
    """The channel that Asterisk is to make for a visit to our media worker."""
    host, port = visit.address
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return f"AudioSocket/{where}/{visit.uuid}"


def audiosocket_name(visit: Visit) -> str:
    """What Asterisk calls that channel once it is there."""
    where, _, uuid = audiosocket(visit).rpartition("/")
    return f"{where}-{uuid}"


def spy_data(channel: str, side: Side) -> str:
    """The argument of ChanSpy that brings us what ``channel`` sends; an agent can be whispered to as well.

    Raises:
        ValueError: the name could be read as something else than a channel.
    """
    if not channel or any(letter in channel for letter in ",&|()\r\n"):
        raise ValueError(f"{channel!r} is no channel")
    return f"{channel},{_LISTEN}{'w' if side is Side.AGENT else ''}"
