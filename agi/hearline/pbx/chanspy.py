"""The arguments with which Asterisk's ChanSpy is asked for one side of a talk, or for a way to play something to the
caller. No other module makes these strings. With `spy_data` no caller hears a whisper. `prompt_data` is for what the
caller is to hear; only `prompts.Prompter` asks for it, and it plays recorded prompts, never whispers.

ChanSpy's letters: q no beep · o only what comes from that channel · E ends with that channel · S ends when nobody is
left to listen to · u that very channel · w what the listener says is whispered to that channel. Never: B (barge) and W,
d (modes by key), which bring what we say to the other side or let a key do so.
https://docs.asterisk.org/Asterisk_22_Documentation/API_Documentation/Dialplan_Applications/ChanSpy/
"""

from __future__ import annotations

from hearline.media.worker_client import PendingCall
from hearline.pbx.ami import Ami

CONNECT_S = 3.0
_LISTEN, _WHISPER = "qoESu", "w"


def audiosocket(visit: PendingCall) -> str:
    """The channel that Asterisk is to make for a visit to our media worker."""
    host, port = visit.address
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return f"AudioSocket/{where}/{visit.uuid}"


def audiosocket_name(visit: PendingCall) -> str:
    """What Asterisk calls that channel once it is there."""
    where, _, uuid = audiosocket(visit).rpartition("/")
    return f"{where}-{uuid}"


def spy_data(channel: str, *, whisper: bool) -> str:
    """The argument of ChanSpy that brings us what ``channel`` sends. ``whisper`` is for an agent's channel alone: what
    we send is heard there too.

    Raises:
        ValueError: the name could be read as something else than a channel.
    """
    return f"{_checked(channel)},{_LISTEN}{_WHISPER if whisper else ''}"


def prompt_data(caller: str) -> str:
    """The argument of ChanSpy that mixes what we send into what the caller on this channel hears. Raises as
    `spy_data`."""
    return f"{_checked(caller)},{_LISTEN}{_WHISPER}"


def _checked(channel: str) -> str:
    if not channel or any(letter in channel for letter in ",&|()\r\n"):
        raise ValueError(f"{channel!r} is no channel")
    return channel


async def attach(ami: Ami, visit: PendingCall, data: str, application: str = "ChanSpy") -> None:
    """Have Asterisk connect for this visit and run an application there. Raises AmiDown, AmiRefused."""
    await ami.ask(
        "Originate",
        Channel=audiosocket(visit),
        Application=application,
        Data=data,
        Async="true",
        Timeout=str(round(CONNECT_S * 1_000)),
        Codecs="slin",
    )
