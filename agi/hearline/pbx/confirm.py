"""Before a channel is moved, changed or listened to: is it where we believe it is? Asked of Asterisk itself, so that no
event by itself moves anybody.
"""

from __future__ import annotations

import asyncio

from hearline.pbx.ami import Ami, AmiRefused
from hearline.pbx.config import CHANNEL_VARIABLES

CALLER = CHANNEL_VARIABLES[0]
TRIES, AGAIN_S = 3, 0.1  # a channel that is just being moved is in no bridge for a moment


class Unconfirmed(AmiRefused):
    """Asterisk says otherwise than we believed."""


async def confirm(ami: Ami, caller: str, *others: str) -> None:
    """``caller`` is the channel of a caller of ours, and each of ``others`` is connected with it, through whatever
    bridges and Local channels.

    Raises:
        Unconfirmed: Asterisk says otherwise.
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
    """The channels that are connected with this one. Raises as `confirm`."""
    found = await ami.ask_list("CoreShowChannelMap", Channel=channel)
    return [told["ConnectedChannel"] for told in found if told.get("Channel") == channel]


async def value(ami: Ami, channel: str, variable: str) -> str:
    """Of a variable or a function on this channel; '' where it has none. Raises as `confirm`."""
    return (await ami.ask("Getvar", Channel=channel, Variable=variable)).get("Value", "")


async def transfer_context(ami: Ami, channel: str) -> str:
    """Where the blind transfers of this channel go, as `res_pjsip_refer` finds it: TRANSFER_CONTEXT, else the context
    of its endpoint. Raises as `confirm`."""
    if context := await value(ami, channel, "TRANSFER_CONTEXT"):
        return context
    endpoint = await value(ami, channel, "CHANNEL(endpoint)")
    return await value(ami, channel, f"PJSIP_ENDPOINT({endpoint},context)")
