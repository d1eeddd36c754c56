"""Asterisk's manager interface (AMI), which agent assist needs."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable

from hearline.assist.selftest.ami_rights import ACTIONS
from hearline.doctor.box import Box
from hearline.doctor.checks import Finding, Subject, fault, listed, must_be_ours_to_read, not_run, ok, warning
from hearline.pbx.ami import AmiDown, AmiRefused
from hearline.pbx.ami_messages import PROOF
from hearline.pbx.conf_files import Line, is_in, last
from hearline.pbx.config import CHANNEL_VARIABLES, EVENTS, PRESENTATION

SUBJECT = Subject("Manager interface")
CONF = "manager.conf"
RELOAD = "asterisk -rx 'manager reload'"
READS = {
    "call": "channels, bridges and holds",
    "agent": "queues and their members",
    "user": "agents' keys",
}
"""The classes of events that agent assist reads, and what comes with each."""
WRITES = {
    "call": "raise a soft line, and hand over a nuisance call",
    "originate": "listen to a talk, and whisper",
    "reporting": "take stock after a login",
}
TOO_MUCH = frozenset({"all", "command", "config", "system"})
"""Rights with which the user could start programs or change the configuration."""
WANTED_VARIABLES = (PROOF, *CHANNEL_VARIABLES, PRESENTATION)


@SUBJECT.check("assist", "Agent assist is set up", "addresses")
def assist(box: Box) -> Finding:
    if not box.assist:
        remedy = "for agent assist, set HEARLINE_AMI and HEARLINE_AMI_SECRET_FILE: docs/operate.md, section 5"
        return not_run("agent assist is off: HEARLINE_AMI is empty", remedy)
    return ok(f"as {box.settings.ami_user} at {box.settings.ami}")


@SUBJECT.check("secret", "The secret of the manager interface can be read", "assist")
def secret(box: Box) -> Finding:
    file = box.settings.ami_secret_file
    remedy = "install -o hearline -g hearline -m 0400 /dev/stdin /etc/hearline/ami-secret"
    if file is None:
        return fault("HEARLINE_AMI_SECRET_FILE is not set", "a file with the secret", remedy)
    if not box.secret:
        must_be_ours_to_read(file)
        return fault(f"{file} is empty or cannot be read", "the secret, and nothing else", remedy)
    return ok(str(file))


@SUBJECT.check("secret-private", "Not every account can read the secret", "secret")
def secret_private(box: Box) -> Finding:
    file = box.settings.ami_secret_file
    assert file is not None
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o007:
        return fault(f"{file} has mode {mode:04o}", "0400", f"chmod 0400 {file}")
    return ok(f"mode {mode:04o}")


@SUBJECT.check("login", "Hearline can log in", "secret")
def login(box: Box) -> Finding:
    try:
        box.manager.ask("Ping")
    except AmiRefused as error:
        if box.standing.get("connected"):
            return not_run("Hearline is logged in, and Asterisk allows no second login (allowmultiplelogin = no)")
        where = f"in {CONF}: [{box.settings.ami_user}]"
        remedy = f"{where} with secret = the text of {box.settings.ami_secret_file}\n{RELOAD}"
        return fault(f"refused: {error}", "a login with this secret from this address", remedy)
    except (AmiDown, OSError) as error:
        remedy = f"in {CONF}, [general]: enabled = yes, bindaddr = 127.0.0.1\n{RELOAD}"
        return fault(f"no connection: {error}", f"an answer at {box.settings.ami}", remedy)
    return ok("the login is accepted")


def _perms(box: Box, kind: str) -> set[str]:
    return {right.strip() for right in box.manager_user.get(f"{kind} perm", "").split(",") if right.strip()}


def _line(box: Box, kind: str, rights: dict[str, str]) -> str:
    return f"in {CONF}, [{box.settings.ami_user}]: {kind} = {','.join(rights)}\n{RELOAD}"


def _write(right: str) -> Callable[[Box], Finding]:
    def look(box: Box) -> Finding:
        offered = box.manager.ask("ListCommands")
        if lacking := [action for action, needs in ACTIONS.items() if needs == right and action not in offered]:
            found = f"{listed(lacking)} is not permitted"
            return fault(found, f"write = … {right}", _line(box, "write", WRITES))
        return ok(f"`write` has {right}")

    return look


def _read(right: str) -> Callable[[Box], Finding]:
    def look(box: Box) -> Finding:
        if not {right, "all"} & _perms(box, "read"):
            return fault(f"`read` lacks {right}", f"read = … {right}", _line(box, "read", READS))
        return ok(f"`read` has {right}")

    return look


for _right, _what in WRITES.items():
    SUBJECT.check(f"may-{_right}", f"Hearline may {_what}", "login")(_write(_right))
for _right, _what in READS.items():
    SUBJECT.check(f"sees-{_right}", f"Hearline hears of {_what}", "login", "console")(_read(_right))


@SUBJECT.check("too-much", "Hearline's user has no right that it does not need", "login", "console")
def too_much(box: Box) -> Finding:
    if more := sorted(TOO_MUCH & _perms(box, "write")):
        return warning(f"`write` also has {listed(more)}", ",".join(WRITES), _line(box, "write", WRITES))
    return ok("neither system nor command nor config")


def _variable_lines(box: Box) -> list[Line]:
    lines = box.conf(CONF)
    return [line for line in lines if is_in(line, "general") and line.name.lower() == "channelvars"]


def _names(line: Line) -> list[str]:
    """The variables of a line; a function's arguments may hold commas."""
    return [name.strip() for name in re.split(r",(?![^()]*\))", line.value) if name.strip()]


@SUBJECT.check("channelvars", "Events carry the variables that agent assist needs", "assist", "configuration")
def channelvars(box: Box) -> Finding:
    lines = _variable_lines(box)
    known = _names(lines[-1]) if lines else []
    if lacking := [name for name in WANTED_VARIABLES if name not in known]:
        all_ = ",".join([*known, *lacking])
        remedy = f"in {CONF}, [general]: channelvars = {all_}\n{RELOAD}"
        return fault(f"`channelvars` lacks {listed(lacking, 20)}", "all of them", remedy)
    return ok(f"{len(WANTED_VARIABLES)} of ours, {len(known) - len(WANTED_VARIABLES)} others")


@SUBJECT.check("channelvars-once", "No line takes away other programs' variables", "channelvars")
def channelvars_once(box: Box) -> Finding:
    lines = _variable_lines(box)
    counted = _names(lines[-1])
    if lost := [name for line in lines[:-1] for name in _names(line) if name not in counted]:
        all_ = ",".join(dict.fromkeys([*lost, *counted]))
        found = f"only {lines[-1].place} counts, so {listed(lost)} is lost"
        return warning(found, "one line with all of them", f"in {CONF}, [general], one line: channelvars = {all_}")
    return ok("one line counts")


@SUBJECT.check("eventfilter", "Asterisk sends the events that agent assist needs", "assist", "configuration")
def eventfilter(box: Box) -> Finding:
    user = box.settings.ami_user
    filters = [
        f"{line.name} = {line.value}"
        for line in box.conf(CONF)
        if line.kind == "setting" and is_in(line, user) and line.name.lower().startswith("eventfilter")
    ]
    excluding = [one for one in filters if "action(exclude)" in one]
    including = [one for one in filters if one not in excluding]
    needed = (*EVENTS, "UserEvent")
    lacking = [
        event
        for event in needed
        if any(f"name({event})" in one for one in excluding)
        or (including and not any(f"name({event})" in one for one in including))
    ]
    if lacking:
        remedy = (
            f"hearline dialplan --out {box.folder}, and in {CONF}, [{user}], no other eventfilter than "
            f'#tryinclude "hearline-manager.conf"\n{RELOAD}'
        )
        return fault(f"filtered out: {listed(lacking, 30)}", f"{len(needed)} kinds of events", remedy)
    return ok(f"{len(needed)} kinds of events")


@SUBJECT.check("loopback", "The manager interface is not open to the network", "configuration")
def loopback(box: Box) -> Finding:
    lines = box.conf(CONF)
    on = last(lines, "general", "enabled")
    if on is None or on.value.lower() not in ("yes", "true", "on", "1"):
        if not box.assist:
            return ok("it is off")
        return fault("it is off", "enabled = yes", f"in {CONF}, [general]: enabled = yes\n{RELOAD}")
    bound = last(lines, "general", "bindaddr")
    where = bound.value if bound else "0.0.0.0"
    if where.startswith("127.") or where in ("::1", "localhost"):
        return ok(f"bound to {where}")
    remedy = f"in {CONF}, [general]: bindaddr = 127.0.0.1, then restart Asterisk; or a firewall before its port"
    return warning(f"bound to {where}: who has a secret can redirect any call", "127.0.0.1", remedy)
