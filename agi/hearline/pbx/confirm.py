"""Asks Asterisk whether a channel is where we believe it is. Done before a channel is moved, changed or listened to, so
that no event alone can move anybody.
"""

from __future__ import annotations

import asyncio

from hearline.pbx.ami import Ami, AmiRefused
from hearline.pbx.config import CHANNEL_VARIABLES

CALLER = CHANNEL_VARIABLES[0]
TRIES, AGAIN_S = 3, 0.1  # while a channel is being moved, it is briefly in no bridge


class Unconfirmed(AmiRefused):
    """Asterisk contradicts what we believed."""


async def confirm(ami: Ami, caller: str, *others: str) -> None:
    """Confirm that ``caller`` is the channel of one of our callers, and that each of ``others`` is connected to it,
    through any number of bridges and Local channels.

    Raises:
        Unconfirmed: Asterisk says that this is not so.
        AmiDown, AmiRefused, ValueError: as `Ami.ask`.
    """
    if await value(ami, caller, CALLER) != caller:
        raise Unconfirmed("this channel is not a caller's")
    for more in range(TRIES - 1, -1, -1):
        if not others or set(others) <= {caller, *await connected(ami, caller)}:
            return
        if more:
            await asyncio.sleep(AGAIN_S)
    raise Unconfirmed("the two are not connected")


async def connected(ami: Ami, channel: str) -> list[str]:
    """The channels that are connected to this one. Raises as `confirm`."""
    events = await ami.ask_list("CoreShowChannelMap", Channel=channel)
    return [event["ConnectedChannel"] for event in events if event.get("Channel") == channel]


async def value(ami: Ami, channel: str, variable: str) -> str:
    """The value of a variable or function on this channel; '' if it has none. Raises as `confirm`."""
    return (await ami.ask("Getvar", Channel=channel, Variable=variable)).get("Value", "")


async def transfer_context(ami: Ami, channel: str) -> str:
    """The context of this channel's blind transfers, found as `res_pjsip_refer` does: TRANSFER_CONTEXT, else the
    context of its endpoint. Raises as `confirm`."""
    if context := await value(ami, channel, "TRANSFER_CONTEXT"):
        return context
    endpoint = await value(ami, channel, "CHANNEL(endpoint)")
    return await value(ami, channel, f"PJSIP_ENDPOINT({endpoint},context)")
