"""Arguments for Asterisk's ChanSpy, which brings us one side of a conversation, or plays something to the caller. No
other module makes these strings. With `spy_data`, no caller hears a whisper. `prompt_data` is for sound that the caller
is meant to hear; only `prompts.Prompter` uses it, and it plays recorded prompts, never whispers.

ChanSpy's options: q no beep · o only the sound that comes from the channel · E end with the channel · S end when no
channel is left to spy on · u this exact channel · w whisper the listener's sound to the channel. Never used: B (barge),
which lets the other side hear us, W (whisper without listening), and d, by which a key changes the mode.
https://docs.asterisk.org/Asterisk_22_Documentation/API_Documentation/Dialplan_Applications/ChanSpy/
"""

from __future__ import annotations

from hearline.core.channel_names import shown
from hearline.media.worker_client import PendingCall
from hearline.pbx.ami import Ami

CONNECT_S = 3.0
_LISTEN, _WHISPER = "qoESu", "w"


def audiosocket(visit: PendingCall) -> str:
    """The channel that Asterisk must create for a visit to our media worker."""
    host, port = visit.address
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return f"AudioSocket/{where}/{visit.uuid}"


def audiosocket_name(visit: PendingCall) -> str:
    """Asterisk's name for that channel once it exists."""
    where, _, uuid = audiosocket(visit).rpartition("/")
    return f"{where}-{uuid}"


def spy_data(channel: str, *, whisper: bool) -> str:
    """The ChanSpy argument that brings us the sound ``channel`` sends. ``whisper``: ``channel`` also hears what we
    send; use it for agents' channels only.

    Raises:
        ValueError: Asterisk could read the name as more than one channel.
    """
    return f"{_checked(channel)},{_LISTEN}{_WHISPER if whisper else ''}"


def prompt_data(caller: str) -> str:
    """The ChanSpy argument that mixes the sound we send into what the caller on this channel hears. Raises as
    `spy_data`."""
    return f"{_checked(caller)},{_LISTEN}{_WHISPER}"


def _checked(channel: str) -> str:
    if not channel or any(letter in channel for letter in ",&|()\r\n"):
        raise ValueError(f"{shown(channel)!r} is not the name of a channel")
    return channel


async def attach(ami: Ami, visit: PendingCall, data: str, application: str = "ChanSpy") -> None:
    """Make Asterisk connect for this visit and run an application on that channel. Raises AmiDown, AmiRefused."""
    await ami.ask(
        "Originate",
        Channel=audiosocket(visit),
        Application=application,
        Data=data,
        Async="true",
        Timeout=str(round(CONNECT_S * 1_000)),
        Codecs="slin",
    )
