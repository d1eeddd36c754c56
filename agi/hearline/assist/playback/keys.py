"""Carries out an agent's keys, pressed on the phone or on the page.

The caller hears a prompt at its full level, the agents of the talk at a lower one, so that they know it plays. The same
key stops it; the key of another prompt plays that one instead.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable
from contextlib import ExitStack

from hearline.assist.calls.playing import Playing
from hearline.assist.calls.sessions import HelpCall, TalkSession
from hearline.assist.hints import events as e
from hearline.assist.hints.events import Key
from hearline.assist.playback.prompts import Prompt, Prompter, Prompts
from hearline.assist.playback.whispers import at_level
from hearline.media.worker_client import WorkerDown
from hearline.pbx.ami import Ami, AmiDown, AmiRefused
from hearline.pbx.confirm import confirm

log = logging.getLogger(__name__)

AGENT_HEARS_DB = -12  # relative to what the caller hears
PHRASES = "HEARLINE_PHRASES"
NUISANCE = {"Context": "hearline-nuisance", "Exten": "s", "Priority": "1"}


class Keys:
    """Carries out keys. If one fails, the failure is logged, and the call is unaffected.

    Args:
        ami: moves the caller's channel.
        say: plays 16-bit samples (8 kHz) to the agent on a channel alone; b'' stops it.
        whisper: plays a whisper, by its id, to the agent on a channel.
        supervisor_there: returns True if a supervisor other than the agent with this work number can be called in.
    """

    def __init__(
        self,
        ami: Ami,
        prompts: Prompts,
        prompter: Prompter,
        say: Callable[[str, bytes], None],
        whisper: Callable[[str, str], None],
        supervisor_there: Callable[[str], bool] = lambda _agent: False,
    ) -> None:
        self._ami, self._prompts, self._prompter = ami, prompts, prompter
        self._say, self._whisper, self._supervisor_there = say, whisper, supervisor_there
        self._tasks: set[asyncio.Task] = set()  # the loop keeps only weak references

    def press(self, talk: TalkSession, channel: str, key: Key) -> None:
        """Carry out a key of the agent on ``channel``. The hint runner has taken it in already."""
        match key:
            case Key.LOW_VOLUME | Key.RECEIVER:
                self._prompt(talk, key)
            case Key.NUISANCE:
                self._start(self._hand_over(talk, channel))
            case Key.CALLBACK:
                talk.callback = True
                talk.add("callback_marked")
                self._whisper(channel, "callback-marked")
            case Key.SUPERVISOR:
                self._whisper(channel, self._call_supervisor(talk, talk.work_number(channel)))
            case Key.MUTE if channel in talk.runners:
                self._whisper(channel, "whispers-off" if talk.runners[channel].muted else "whispers-on")

    def _call_supervisor(self, talk: TalkSession, agent: str) -> str:
        """Call a supervisor in, or withdraw the request. Returns the whisper that reports the result to the agent."""
        if talk.help:
            talk.help = None
            talk.add("supervisor_withdrawn")
            return "supervisor-withdrawn"
        if not self._supervisor_there(agent):
            talk.add("supervisor_away")
            return "supervisor-away"
        talk.help = HelpCall(agent, time.time())
        talk.add("supervisor_called")
        return "supervisor-called"

    def _start(self, what: Coroutine[None, None, None]) -> asyncio.Task:
        task = asyncio.create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            log.error("an agent's key failed; the talk goes on", exc_info=task.exception())

    # ---- prompts ----------------------------------------------------------------------------------------------------
    def _prompt(self, talk: TalkSession, key: Key) -> None:
        playing, now = talk.playing, time.monotonic()
        if playing and not playing.task.done():
            meant = playing.again(key, now)
            if meant != "nothing":
                playing.task.cancel()
            if meant != "other":
                return
        talk.playing = Playing(key, now, self._start(self._play(talk, key)))

    async def _play(self, talk: TalkSession, key: Key) -> None:
        try:
            answer = await self._ami.ask("Getvar", Channel=talk.parties.caller, Variable=PHRASES)
            prompt = self._prompts.choose(key, answer.get("Value", ""), talk.played.get(key, 0))
            if await self._play_to_both(talk, key, prompt):
                talk.played[key] = talk.played.get(key, 0) + 1
        except (AmiDown, AmiRefused, WorkerDown, LookupError, OSError, TimeoutError, ValueError) as error:
            log.warning("a prompt was not played to a caller: %s", error or type(error).__name__)
            talk.add("prompt_failed", key=key)

    async def _play_to_both(self, talk: TalkSession, key: Key, prompt: Prompt) -> bool:
        """Returns True if the caller heard the prompt to its end."""
        agents, whole = talk.parties.agents, False
        with ExitStack() as afterwards:

            def begins(lead: bytes) -> None:
                afterwards.callback(lambda: self._prompt_ended(talk, agents, prompt, whole))
                talk.hears = key
                talk.add("prompt_start", prompt=prompt.where)
                talk.tell(e.PromptBegan())
                for agent in agents:
                    self._say(agent, lead + at_level(prompt.samples, AGENT_HEARS_DB))

            whole = await self._prompter.play(talk.parties, prompt.samples, begins)
        return whole

    def _prompt_ended(self, talk: TalkSession, agents: Iterable[str], prompt: Prompt, whole: bool) -> None:
        talk.hears = None
        talk.add("prompt_end" if whole else "prompt_stop", prompt=prompt.where)
        if not whole:
            for agent in agents:
                self._say(agent, b"")
        talk.tell(e.PromptEnded())

    # ---- nuisance calls ---------------------------------------------------------------------------------------------
    async def _hand_over(self, talk: TalkSession, agent: str) -> None:
        """Send the caller to the prompts of service standard §1.4. The agent is then free."""
        talk.handed_over = True
        if talk.playing:
            talk.playing.task.cancel()
            await asyncio.wait([talk.playing.task])
        talk.add("handed_over", to="nuisance")  # now, since the talk may be over when the answer comes
        try:
            await confirm(self._ami, talk.parties.caller, agent)
            await self._ami.ask("Redirect", Channel=talk.parties.caller, **NUISANCE)
        except (AmiDown, AmiRefused, ValueError) as error:
            log.warning("a nuisance call could not be handed over and stays with its agent: %s", error)
            talk.handed_over = False
            talk.add("hand_over_failed")
            talk.tell(e.TransferGivenUp())
