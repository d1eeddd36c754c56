"""An installation as it was ordered: from options and settings to the files that are wanted."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hearline.core.settings import Settings, unknown_settings
from hearline.install import service
from hearline.install.journal import Journal
from hearline.install.profiles import FREEPBX, PROFILES, profile_of
from hearline.install.releases import lasting
from hearline.install.run import Refused
from hearline.install.tree import Found
from hearline.install.wanted import Request, Server, Wishes, texts_of, theirs_alone, wanted
from hearline.pbx.conf_files import last, read
from hearline.pbx.config import render_parts
from hearline.server.dialplan_values import NoValues, dialplan_values, secret_in
from hearline.sounds import ManifestError

SECRET, SETTINGS, FLOWS = "ami-secret", "hearline.env", "flows"
_FLOWS_VARIABLE = "HEARLINE_FLOWS"


@dataclass(frozen=True, kw_only=True)
class Order:
    """What the person who installs has asked for.

    Attributes:
        asterisk: Asterisk's folder of configuration, all links resolved.
        config: the folder of settings, flows and secret.
        unit: systemd's file, if it is to be written.
        messages: the folder of callers' messages.
        assist: with agent assist.
        bridges: with whispers over silence, see docs/operate.md.
        environment: the variables of this process.
        program: the command that the unit starts.
    """

    asterisk: Path
    config: Path
    unit: Path | None
    messages: Path
    assist: bool = True
    bridges: bool = False
    environment: Mapping[str, str]
    program: Path = lasting(Path(sys.executable).with_name("hearline"))

    def also(self) -> list[Path]:
        """The paths outside Asterisk's folder that this concerns."""
        paths = [self.config, self.config / SECRET, self.config / SETTINGS, self.messages, self.messages.parent]
        paths += [self.config / FLOWS, *self._folders_of_flows(), *map(Path, self._flows())]
        return paths + ([self.unit, self.unit.parent] if self.unit else [])

    def profile(self, tree: Mapping[str, Found], asked: str | None) -> str:
        """The name of the profile. Raises Refused."""
        folder = str(self.asterisk)
        links = {
            path.removeprefix(folder + "/"): found.leads_to
            for path, found in tree.items()
            if found.kind == "link" and path.startswith(folder + "/")
        }
        suits = profile_of(texts_of(tree, folder), links)
        if asked is not None and asked != suits:
            raise Refused(
                f"{folder} is FreePBX's, which writes these files anew: use --profile freepbx"
                if suits == FREEPBX.name
                else f"{folder} shows no sign of FreePBX: use --profile {suits}"
            )
        if suits == FREEPBX.name and self.bridges:
            raise Refused(
                "modules.conf belongs to FreePBX, so --bridges cannot be used here: without it, whispers over silence "
                "need Asterisk 22.11"
            )
        return suits

    def wish(self, profile: str, tree: Mapping[str, Found], journal: Journal | None) -> Wishes:
        """Raises Refused, and ValueError for a setting that is wrong."""
        kept = tree.get(str(self.config / SETTINGS))
        variables = service.read_environment(kept.content.decode("utf-8", "replace")) if kept else {}
        variables |= {name: text for name, text in self.environment.items() if name.startswith("HEARLINE_") and text}
        seeds = self._seeds(variables, tree, journal)
        if seeds or str(self.config / FLOWS) in tree:
            variables.setdefault(_FLOWS_VARIABLE, str(self.config / FLOWS))
        variables.setdefault("HEARLINE_STATE", str(service.STATE))
        if self.assist:
            variables.setdefault("HEARLINE_AMI", f"127.0.0.1:{self._manager_port(tree)}")
        settings = self._settings(variables)
        secret, secret_file = self._secret(settings, tree) if self.assist else ("", None)
        readable = settings.model_copy(update={"flows": self._shipped_flows()}) if seeds else settings
        try:
            values = dialplan_values(readable, self.messages, secret, lasting(settings.sounds.resolve()))
            parts = render_parts(settings.asterisk_templates / "etc", values)
        except (NoValues, ManifestError) as error:
            raise Refused(str(error)) from error
        files = {}
        notes = tuple(f"{self.config / SETTINGS}: {name} is no setting" for name in unknown_settings(variables))
        if self.unit and str(self.unit.parent) in tree:
            credential = self.assist and settings.ami_secret_file is None
            files[str(self.unit)] = service.unit(self.program, self.config, settings, credential).encode()
            if not self.program.exists():
                notes += (f"{self.program}, which the unit starts, does not exist",)
        elif self.unit:
            notes += (f"{self.unit.parent} does not exist: the server's unit is not written",)
        own = {str(self.config / SETTINGS): (service.environment_file(variables).encode(), 0o644)}
        if secret_file:
            own[str(secret_file)] = (secret.encode() + b"\n", 0o400)
        folders = {str(self.config): 0o755} | {str(path): 0o755 for path in (self._folders_of_flows() if seeds else ())}
        wishes = wanted(
            Request(
                profile=PROFILES[profile],
                asterisk=str(self.asterisk),
                parts=parts,
                channel_variables=values.channel_variables,
                messages=str(self.messages),
                secret=secret,
                bridges=self.bridges,
                server=Server(folders=folders, seeds=own | seeds, files=files, owner=(os.geteuid(), os.getegid())),
            ),
            tree,
        )
        return Wishes(wishes.wanted, wishes.conflicts, (*wishes.notes, *notes))

    # ---- parts ------------------------------------------------------------------------------------------------------
    def _settings(self, variables: Mapping[str, str]) -> Settings:
        fields = {name: text for name in Settings.model_fields if (text := variables.get(f"HEARLINE_{name.upper()}"))}
        return Settings.model_validate(fields)

    def _manager_port(self, tree: Mapping[str, Found]) -> str:
        port = last(read("manager.conf", theirs_alone(texts_of(tree, str(self.asterisk)))), "general", "port")
        return port.value if port and port.value.isdecimal() else "5038"

    def _secret(self, settings: Settings, tree: Mapping[str, Found]) -> tuple[str, Path | None]:
        """The manager's secret, and the file for it if it is ours to write."""
        if settings.ami_secret_file is not None:
            try:
                return secret_in(settings.ami_secret_file), None
            except NoValues as error:
                raise Refused(str(error)) from error
        there = tree.get(str(self.config / SECRET))
        secret = there.content.decode("utf-8", "replace").strip() if there else secrets.token_urlsafe(24)
        return secret, self.config / SECRET

    def _shipped_flows(self) -> Path:
        return Settings.model_fields["flows"].default

    def _flows(self) -> dict[str, bytes]:
        """The shipped flows, calendars and hints, by the path that each is to have."""
        shipped = self._shipped_flows()
        return {
            str(self.config / FLOWS / file.relative_to(shipped)): file.read_bytes()
            for file in sorted(shipped.rglob("*.yaml"))
        }

    def _folders_of_flows(self) -> list[Path]:
        shipped = self._shipped_flows()
        below = sorted(path.parent.relative_to(shipped) for path in shipped.rglob("*.yaml"))
        return list(dict.fromkeys(self.config / FLOWS / path for path in below))

    def _seeds(
        self, variables: Mapping[str, str], tree: Mapping[str, Found], journal: Journal | None
    ) -> dict[str, tuple[bytes, int]]:
        """The flows to begin with: for the first installation, where nobody has flows yet."""
        folder = str(self.config / FLOWS)
        if variables.get(_FLOWS_VARIABLE, folder) != folder or (journal and journal.state == "installed"):
            return {}
        if folder in tree and not (journal and any(entry.path == folder for entry in journal.entries)):
            return {}
        return {path: (content, 0o644) for path, content in self._flows().items()}
