"""An agent's page that goes in the middle of a talk. Asterisk keeps the channel of its phone for 15 s (`rtp_timeout`),
and a page that is loaded again takes the call back: its new channel takes the old one's place.

`LostPages` is pure: it tells which callers are left alone meanwhile, so that they hear music. `equip` makes the new
channel what the old one was.
"""

from __future__ import annotations

from collections.abc import Iterable

from hearline.assist.calls.channel_graph import ConnectedParties, page_of, phone_of
from hearline.assist.hints.events import Side
from hearline.pbx.ami import Ami
from hearline.pbx.config import CHANNEL_VARIABLES
from hearline.pbx.confirm import confirm, value

ALONE_MS = 1_000
"""Without sound for this long, a page is lost. A browser sends always, also while its agent is muted or holds; keys
that are sent as tones are over sooner."""
AGENT = "HEARLINE_AGENT"
COPIED = tuple(name for name in CHANNEL_VARIABLES if name != AGENT)


class LostPages:
    """Knows which agents' pages send no sound any more."""

    def __init__(self) -> None:
        self._lost: set[str] = set()  # channels

    def hear(self, channel: str, missing_ms: int) -> bool:
        """Take in for how long no sound has come from this channel. Returns True if `alone` may have changed."""
        lost = bool(page_of(channel)) and missing_ms >= ALONE_MS
        if lost == (channel in self._lost):
            return False
        (self._lost.add if lost else self._lost.discard)(channel)
        return True

    def follow(self, connected: Iterable[ConnectedParties]) -> None:
        """Forget the channels that are in no talk any more."""
        self._lost &= {agent for talk in connected for agent in talk.agents}

    def alone(self, talk: ConnectedParties) -> bool:
        """True if the caller of this talk hears nobody, since the pages of all its agents are lost. While an agent
        holds, the caller has music anyway."""
        return bool(talk.agents) and talk.held_by is not Side.AGENT and self._lost.issuperset(talk.agents)


def comes_back(before: ConnectedParties, now: ConnectedParties) -> list[tuple[str, str]]:
    """The agents who have taken the call back on another channel of the same phone: (the old channel, the new one)."""
    gone = {phone_of(channel): channel for channel in before.agents if channel not in now.agents}
    new = [channel for channel in now.agents if channel not in before.agents]
    return [(gone[phone_of(channel)], channel) for channel in new if phone_of(channel) in gone]


async def equip(ami: Ami, caller: str, channel: str) -> None:
    """Give the channel on which an agent has come back what the dialplan gave the one before: what the call is about,
    for those whom the agent calls about it. Raises as `confirm`."""
    await confirm(ami, caller, channel)
    await ami.ask("Setvar", Channel=channel, Variable=AGENT, Value=channel)
    for name in COPIED:
        await ami.ask("Setvar", Channel=channel, Variable=name, Value=await value(ami, caller, name))
