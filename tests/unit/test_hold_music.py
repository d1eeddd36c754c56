"""Music on hold: we play it to callers who would otherwise hear nothing, and to nobody else."""

from __future__ import annotations

import asyncio

import virtual_time
from hearline.assist.calls.channel_graph import ConnectedParties
from hearline.assist.playback.hold_music import HoldMusic
from hearline.pbx.ami import AmiDown
from shipped_recordings import recordings

CALLER, AGENT = "PJSIP/trunk-1", "PJSIP/agent-8016-2"


class Player:
    """Stands where callers are played to."""

    def __init__(self, down: bool = False) -> None:
        self.plays: list[str] = []
        self.tries, self.down = 0, down

    async def play_on(self, talk: ConnectedParties, samples) -> None:
        self.tries += 1
        if self.down:
            raise AmiDown("gone")
        assert samples.size
        self.plays.append(talk.caller)
        try:
            await asyncio.sleep(3_600)
        finally:
            self.plays.remove(talk.caller)


def talk(holder: str = "", mixed: bool = True) -> ConnectedParties:
    return ConnectedParties(CALLER, (AGENT,), "care", "normal", holder=holder, mixed=mixed)


def after(player: Player, *moments: list[ConnectedParties]) -> list[list[str]]:
    """To whom it plays after each moment."""
    found = []

    async def run() -> None:
        music = HoldMusic(player, recordings())
        for conversations in moments:
            music.follow(conversations)
            await asyncio.sleep(1)
            found.append(list(player.plays))
        music.follow([])
        await asyncio.sleep(1)

    virtual_time.run(run())
    return found


def test_it_plays_while_an_agent_holds_and_asterisk_does_not():
    player = Player()
    assert after(player, [talk()], [talk(AGENT)], [talk(AGENT)], [talk()], [talk(AGENT)], []) == [
        [], [CALLER], [CALLER], [], [CALLER], [],
    ]  # fmt: skip
    assert player.tries == 2


def test_it_does_not_where_asterisk_does_nor_where_the_caller_holds():
    assert after(Player(), [talk(AGENT, mixed=False)], [talk(CALLER)]) == [[], []]


def test_it_plays_to_a_caller_whose_agent_is_lost():
    lost, player, found = set(), Player(), []

    async def run() -> None:
        music = HoldMusic(player, recordings(), lambda one: one.agents[0] in lost)
        for now in (set(), {AGENT}, set()):
            lost.clear()
            lost.update(now)
            music.follow([talk(mixed=False)])
            await asyncio.sleep(1)
            found.append(list(player.plays))
        music.follow([])

    virtual_time.run(run())
    assert found == [[], [CALLER], []]


def test_what_cannot_be_played_costs_nothing_else(caplog):
    assert after(Player(down=True), [talk(AGENT)], [talk()]) == [[], []]
    assert "hears no music" in caplog.text
