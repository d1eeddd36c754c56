"""Hearline's systemd unit and the file of its settings, and systemd itself, told of them."""

from __future__ import annotations

import ipaddress
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import jinja2

from hearline.core.peers import is_loopback, parse_networks
from hearline.core.settings import Settings, address

UNIT = "hearline.service"
STATE = Path("/var/lib/hearline")
_NOT_KEPT = ("HEARLINE_ASTERISK_TEMPLATES", "HEARLINE_CACHE", "HEARLINE_MIRROR")
_ENDS, _BLANK = "\n\r", " \t\n\r"  # of a line, and of a value, for systemd
_HEAD = """\
# Settings of Hearline's server; its unit reads them. All of them: docs/operate.md, "Settings".
# `hearline install` has written this file once; it is yours now. After a change: systemctl restart hearline,
# and run `hearline install --apply` again, since Asterisk's part has the addresses and folders, too.
"""


def unit(program: Path, config: Path, settings: Settings, assist: bool) -> str:
    """The text of the unit.

    Args:
        program: the command `hearline` that it starts.
        config: the folder of settings and secret.
    """
    template = Path(__file__).with_name(UNIT + ".j2").read_text("utf-8")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, trim_blocks=True)
    return environment.from_string(template).render(
        program=program, config=config, state=settings.state, assist=assist, peers=peers(settings),
        state_directory=settings.state == STATE,
    )  # fmt: skip


def peers(settings: Settings) -> str:
    """The addresses that the server exchanges packets with, as systemd writes them: those that may connect, and those
    that it connects to. ``any`` if its page can be reached from anywhere."""
    hosts = [host for host, _ in map(address, filter(None, (settings.page if settings.ami else "", settings.status)))]
    if any(not is_loopback(host) for host in hosts):
        return "any"
    networks = [str(network) for network in parse_networks(settings.allow) if not network.is_loopback]
    if settings.ami:
        networks += [str(network) for network in parse_networks(settings.proxies) if not network.is_loopback]
        for host, _ in map(address, filter(None, (settings.ami, settings.phone))):
            if not is_loopback(host):
                try:
                    networks.append(str(ipaddress.ip_address(host)))
                except ValueError:
                    return "any"  # a name, whose address may change
    return " ".join(dict.fromkeys(["localhost", *networks]))


def environment_file(variables: Mapping[str, str]) -> str:
    """The file of settings, with these in it."""
    lines = [f"{name}={_quoted(value)}\n" for name, value in sorted(variables.items()) if name not in _NOT_KEPT]
    return _HEAD + "".join(lines)


def read_environment(text: str) -> dict[str, str]:
    """The variables of such a file, as systemd reads it: quotes begin a value or part of one, and a backslash takes the
    character after it as it is, or joins two lines."""
    found: dict[str, str] = {}
    name, value, quote, at = "", "", "", 0
    where = "line"
    text = text + "\n"
    while at < len(text):
        char, at = text[at], at + 1
        if where == "line":
            name, value = "", ""
            where = "comment" if char in "#;" else "line" if char in _BLANK else "name"
            name = char if where == "name" else ""
        elif where == "comment":
            at += char == "\\"
            where = "line" if char in _ENDS else where
        elif where == "name":
            where = "line" if char in _ENDS else "value" if char == "=" else where
            name += char if where == "name" else ""
        elif quote:
            if char == quote:
                quote = ""
            elif char == "\\" and quote == '"':
                escaped, at = text[at : at + 1], at + 1
                value += "" if escaped == "\n" else escaped if escaped in '"\\`$' else char + escaped
            else:
                value += char
        elif char in _ENDS:
            found[name.strip()], where = value.rstrip(_BLANK), "line"
        elif char in "'\"" and where == "value":
            quote = char
        elif char == "\\":
            value, at, where = value + text[at : at + 1].strip("\n"), at + 1, "word"
        elif where == "word" or char not in _BLANK:
            value, where = value + char, "word"
    if quote:
        found[name.strip()] = value.rstrip(_BLANK)  # it is never closed
    return found


def _quoted(value: str) -> str:
    if value and not set(value) & set(" \t\"'\\#;$"):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def systemd_runs() -> bool:
    return Path("/run/systemd/system").is_dir() and shutil.which("systemctl") is not None


def systemctl(*words: str) -> bool:
    """True if systemd did it."""
    done = subprocess.run(["systemctl", *words], capture_output=True, timeout=60)
    return done.returncode == 0
