"""Decides whether agents may be whispered to: only after a test tone has shown, on the present Asterisk, that callers
do not hear whispers.

It also finds out if agents would hear whispers at all. Up to Asterisk 22.10 a whisper is mixed only into frames that
are sent to the agent's phone anyway. A bridge of two sends none while the caller's phone sends nothing; a softmix
bridge does. https://github.com/asterisk/asterisk/issues/1966
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

from hearline.assist.selftest.whisper_selftest import NotTried, WhisperSelfTest
from hearline.pbx.ami import Ami, Message
from hearline.pbx.version import version_of, whispers_into_silence

log = logging.getLogger(__name__)

AGAIN_S = (1.0, 5.0, 15.0, 60.0)  # waits between tries; the last one is repeated
BRIDGES_OF_TWO = ("simple_bridge", "native_rtp")
NOT_YET = "not tried yet"
WORDS = {True: "allowed", False: "refused"}


@dataclass(frozen=True)
class AssistStatus:
    """The status of agent assist, for operators. ``why``: what forbids or allows whispers."""

    connected: bool = False
    asterisk: str = ""
    whispers: bool = False
    why: str = NOT_YET
    silent_callers: str = ""
    """Why an agent does not hear whispers while the caller's phone sends nothing; '' if they are heard."""
    rejected_hints: str = ""
    """Why the newest hints are not in force; '' if they are."""
    files_stuck: str = ""
    """The files whose disk does not answer, so that edits do not count: sounds, hints or accounts; '' if all do."""
    no_recogniser: str = ""
    """Why the recogniser does not work at present; '' if it does, or none is set up."""
    missing: tuple[str, ...] = ()
    """What we need and Asterisk does not give us, see `ami_rights`."""

    def as_line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"


class WhisperPermission:
    """``allowed`` says whether whispers are allowed; ``keep`` finds out after each ``logged_in``.

    Args:
        tell: called with the status whenever it changes.
    """

    def __init__(self, ami: Ami, selftest: WhisperSelfTest, tell: Callable[[AssistStatus], None]) -> None:
        self._ami, self._selftest, self._tell = ami, selftest, tell
        self._status_told = AssistStatus()
        self._tried_on = ""  # the Asterisk that was tested: its version and start time
        self._due = asyncio.Event()
        self._tries = 0

    @property
    def allowed(self) -> bool:
        return self._status_told.whispers

    async def logged_in(self) -> None:
        """After a login: test again if Asterisk has been restarted. Raises AmiDown, AmiRefused."""
        version = (await self._ami.ask("CoreSettings")).get("AsteriskVersion", "")
        status = await self._ami.ask("CoreStatus")
        bridges = await self._ami.ask_list("BridgeTechnologyList")
        silence = unheard_over_silence(version, bridges)
        if silence and silence != self._status_told.silent_callers:
            log.warning("%s", silence)
        asterisk = f"{version} {status.get('CoreStartupDate')} {status.get('CoreStartupTime')}"
        before = self._status_told if asterisk == self._tried_on else AssistStatus()
        self._note(replace(before, connected=True, asterisk=version, silent_callers=silence))
        if asterisk != self._tried_on:
            self._tried_on, self._tries = asterisk, 0
            self._due.set()

    def logged_out(self) -> None:
        """Asterisk cannot be reached."""
        self._note(replace(self._status_told, connected=False))

    def lacks(self, missing: tuple[str, ...]) -> None:
        """Take over what Asterisk does not give us, see `ami_rights`."""
        self._note(replace(self._status_told, missing=missing))

    async def keep(self) -> None:
        """Test whenever that is due, until cancelled."""
        while True:
            await self._due.wait()
            self._due.clear()
            asterisk = self._tried_on
            try:
                found = await self._selftest.run()
                whispers, why, settled = not found.fault, found.fault or found.praise, not found.fault or found.leaks
            except NotTried as error:
                whispers, why, settled = False, str(error), False
            if asterisk != self._tried_on:  # the result is about an earlier Asterisk
                continue
            log.log(logging.INFO if whispers else logging.ERROR, "whispers are %s: %s", WORDS[whispers], why)
            self._note(replace(self._status_told, whispers=whispers, why=why))
            if not settled:
                again = AGAIN_S[min(self._tries, len(AGAIN_S) - 1)]
                self._tries += 1
                asyncio.get_running_loop().call_later(again, self._due.set)

    def _note(self, standing: AssistStatus) -> None:
        if standing != self._status_told:
            self._status_told = standing
            self._tell(standing)


def unheard_over_silence(version: str, bridges: Sequence[Message]) -> str:
    """Why whispers are not heard while the caller's phone sends nothing, given the list of ``BridgeTechnologyList``; ''
    if they are heard."""
    if whispers_into_silence(version_of(f"Asterisk {version}")):
        return ""
    at_work = {bridge.get("BridgeTechnology") for bridge in bridges if bridge.get("BridgeSuspended") == "No"}
    if not (found := [name for name in BRIDGES_OF_TWO if name in at_work]):
        return ""
    return (
        f"while a caller's phone sends no sound, the agent hears no whispers, because of {' and '.join(found)} in "
        f"Asterisk {version}: include hearline-bridges.conf in modules.conf and restart Asterisk"
    )
