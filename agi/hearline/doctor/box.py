"""The box that is checked: where its parts are asked. What several checks need is asked once."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from hearline.core.files import read_regular, read_text
from hearline.core.settings import Settings, address
from hearline.doctor.console import (
    Console,
    Context,
    Member,
    read_dialplan,
    read_endpoints,
    read_globals,
    read_queues,
    read_table,
)
from hearline.doctor.machine_facts import Machine, Process
from hearline.doctor.manager_link import ManagerLink
from hearline.doctor.server_link import ServerLink
from hearline.doctor.trial_call import Trial
from hearline.pbx.ami import Message
from hearline.pbx.ami_messages import proof_of
from hearline.pbx.conf_files import MOST_BYTES, Line, decoded, read
from hearline.pbx.config import Parts, render_parts
from hearline.server.dialplan_values import dialplan_values
from hearline.server.flow_store import DEFAULT, FlowStore, queues_led_to, read_flows

MOST_ENDPOINTS = 40  # each costs a command on the console
MESSAGES = "HEARLINE_MESSAGES"
ENTRY = "hearline"
"""The context through which calls come in."""


class Manager(Protocol):
    """Asterisk's manager interface, as Hearline's user. Raises AmiDown, AmiRefused."""

    def ask(self, action: str, **headers: str | list[str]) -> Message: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class Wanted:
    """What the person who asks wants of the box.

    ``context``: where calls come in; '' if unknown. ``number``: the number that is dialled there. ``calls``: how many
    calls at once the box is to carry. ``own``: True if nobody but Hearline uses this Asterisk.
    """

    context: str = ""
    number: str = ""
    calls: int = 50
    own: bool = False


@dataclass
class Box:
    """``folder``: Asterisk's configuration."""

    settings: Settings
    folder: Path
    console: Console
    manager: Manager
    machine: Machine
    server: ServerLink
    wanted: Wanted = Wanted()

    # ---- Asterisk, as it runs ---------------------------------------------------------------------------------------
    @cached_property
    def contexts(self) -> dict[str, Context]:
        return read_dialplan(self.console("dialplan show"))

    @cached_property
    def globals(self) -> dict[str, str]:
        return read_globals(self.console("dialplan show globals"))

    @cached_property
    def queues(self) -> dict[str, list[Member]]:
        return read_queues(self.console("queue show"))

    @cached_property
    def endpoints(self) -> dict[str, dict[str, str]]:
        """The settings of SIP endpoints by name, the phones of queue members first; of very many not all."""
        known = read_endpoints(self.console("pjsip show endpoints"))
        phones = {member.phone.removeprefix("PJSIP/") for members in self.queues.values() for member in members}
        first = sorted(known, key=lambda name: name not in phones)[:MOST_ENDPOINTS]
        return {name: read_table(self.console(f"pjsip show endpoint {name}")) for name in first}

    @cached_property
    def manager_user(self) -> dict[str, str]:
        return read_table(self.console(f"manager show user {self.settings.ami_user}"))

    @cached_property
    def asterisk(self) -> Process | None:
        """The process of Asterisk; None if none runs on this machine."""
        answers = self._listener(self.settings.ami)
        running = [one for one in self.processes if one.pid == answers or one.program == "asterisk"]
        return min(running, key=lambda one: one.pid != answers, default=None)

    # ---- the machine ------------------------------------------------------------------------------------------------
    @cached_property
    def processes(self) -> list[Process]:
        return self.machine.processes()

    @cached_property
    def listeners(self) -> dict[int, int]:
        """The process that listens on each port."""
        return self.machine.listeners()

    def _listener(self, where: str) -> int | None:
        """The process that listens at an address of the settings; None if there is none, or that is no address."""
        try:
            return self.listeners.get(address(where)[1])
        except ValueError:
            return None

    # ---- Asterisk's configuration -----------------------------------------------------------------------------------
    @cached_property
    def texts(self) -> dict[str, str]:
        """The texts of the configuration files by their names below the folder. Raises OSError."""
        found = {}
        os.listdir(self.folder)  # says why, if it cannot be read
        for file in sorted(self.folder.rglob("*.conf")):
            try:
                found[str(file.relative_to(self.folder))] = decoded(read_regular(file, MOST_BYTES))
            except PermissionError:  # what cannot be read must not count as missing
                raise
            except OSError:
                continue
        return found

    def conf(self, name: str) -> list[Line]:
        """The lines of a configuration file and of all that it includes."""
        return read(name, self.texts, str(self.folder))

    @cached_property
    def values(self) -> Parts:
        """The values of our templates for this box. Raises NoValues, ManifestError, OSError."""
        messages = Path(self.globals.get(MESSAGES, "/var/spool/asterisk/hearline-messages"))
        return dialplan_values(self.settings, messages, self.secret)

    @cached_property
    def rendered(self) -> dict[str, str]:
        """Our files as this version writes them for this box, by name. Raises as `values`."""
        return render_parts(self.settings.asterisk_templates / "etc", self.values)

    # ---- Hearline ---------------------------------------------------------------------------------------------------
    @property
    def assist(self) -> bool:
        """True if agent assist is set up."""
        return bool(self.settings.ami)

    @cached_property
    def secret(self) -> str:
        return secret_of(self.settings)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no output may hold."""
        return (self.secret, proof_of(self.secret)) if self.secret else ()

    @cached_property
    def flows(self) -> FlowStore:
        return read_flows(self.settings)

    @cached_property
    def flow_queues(self) -> list[str]:
        """The queues to which the flows lead, that of the hotline first."""
        return queues_led_to(self.flows.flows)

    @cached_property
    def ready(self) -> dict[str, Any]:
        """The answer of ``/ready``. Raises OSError, ValueError."""
        return self.server.get(self.settings.status, "/ready")

    @cached_property
    def standing(self) -> dict[str, Any]:
        """How agent assist stands with Asterisk, as the server says; empty if it does not."""
        return self.ready.get("assist") or {}

    @cached_property
    def hearline(self) -> list[Process]:
        """The server's process and its children's; none if it runs on another machine."""
        door = self._listener(self.settings.agi)
        found = [one for one in self.processes if one.pid == door and any("hearline" in word for word in one.command)]
        for one in found:
            found += (child for child in self.processes if child.parent == one.pid)
        return found

    @cached_property
    def trial(self) -> Trial:
        """The call that `--call` makes: to the number that is asked for, else to that of the hotline."""
        words = self.flows.flows[DEFAULT].words
        number = self.wanted.number or words.test_number or words.number or "0"
        where = f"{number}@{self.wanted.context or ENTRY}"
        status = self.settings.status
        return Trial(self.manager, lambda: self.server.get(status, "/calls")["calls"], where, self.settings.site)


def members_of(box: Box) -> list[Member]:
    """The members of the queues to which flows lead, each once."""
    members = [member for queue in box.flow_queues for member in box.queues.get(queue, ())]
    return list({member.interface: member for member in members}.values())


def box_of(settings: Settings, folder: Path, console: Console, wanted: Wanted = Wanted()) -> Box:
    """A real box."""
    link = ManagerLink(settings, secret_of(settings))
    return Box(settings, folder, console, link, Machine(), ServerLink(), wanted)


def secret_of(settings: Settings) -> str:
    """The secret of the manager interface; '' if it is not set or cannot be read."""
    with suppress(OSError, UnicodeDecodeError):
        if settings.ami_secret_file:
            return read_text(settings.ami_secret_file).strip()
    return ""


class NoServer(Exception):
    """The server's settings cannot be taken over; the message says why."""


def settings_of_server(machine: Machine) -> Settings:
    """The settings of the server that runs on this machine: its variables and options.

    Raises:
        NoServer: none runs here, or several, or we may not look.
        ValueError: they are not valid.
    """
    servers = [one for one in machine.processes() if "serve" in one.command and _is_hearline(one)]
    if len(servers) != 1:
        raise NoServer("no Hearline server runs here" if not servers else "several Hearline servers run here")
    [server] = servers
    try:
        variables = machine.environment(server.pid)
    except OSError as error:
        raise NoServer(f"the server's environment cannot be read: {error.strerror}") from None
    given = {name: value for name in Settings.model_fields if (value := variables.get(f"HEARLINE_{name.upper()}"))}
    options = {word[2:]: value for word, value in pairwise(server.command) if word.startswith("--")}
    return Settings(**given | {name: value for name, value in options.items() if name in Settings.model_fields})


def _is_hearline(process: Process) -> bool:
    return any(Path(word).name == "hearline" for word in process.command)
