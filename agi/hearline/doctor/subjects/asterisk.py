"""Asterisk itself: whether it runs, its version, its modules."""

from __future__ import annotations

import re

from hearline.doctor.box import Box
from hearline.doctor.checks import Finding, Subject, fault, listed, not_run, ok, warning
from hearline.doctor.console import read_modules
from hearline.pbx.console import ConsoleUnavailable
from hearline.pbx.version import GIVES_BACK, OLDEST, version_of, whispers_into_silence

SUBJECT = Subject("Asterisk")
FOR_ASSIST = frozenset({
    "app_chanspy.so", "app_userevent.so", "chan_audiosocket.so", "func_pjsip_endpoint.so",
})  # fmt: skip
FOR_GAIN = "func_volume.so"
FOR_TRANSFERS = "res_pjsip_refer.so"
OF_TWO = ("simple_bridge", "native_rtp")
_LOAD = re.compile(r"^load = (\S+\.so)", re.MULTILINE)


@SUBJECT.check("console", "Asterisk runs, and its console answers")
def console(box: Box) -> Finding:
    try:
        said = box.console("core show version")
    except ConsoleUnavailable as error:
        if box.asterisk is None:
            return fault(
                "no Asterisk runs on this machine",
                "`hearline doctor` on the machine of a running Asterisk",
                "systemctl start asterisk",
            )
        return fault(f"it runs, but its console cannot be reached: {error}", "an answer", error.remedy)
    return ok(said.partition(" built")[0].partition("+")[0].strip())


@SUBJECT.check("version", "Asterisk is new enough", "console")
def version(box: Box) -> Finding:
    found = version_of(box.console("core show version"))
    is_, oldest = f"{found[0]}.{found[1]}", f"{OLDEST[0]}.{OLDEST[1]} or newer"
    if found >= OLDEST:
        return ok(is_)
    remedy = "install a newer Asterisk: docs/operate.md, first paragraph"
    if found < (20, 0) or (22, 0) <= found < GIVES_BACK:
        return fault(f"{is_}: it hangs up where AudioSocket should give a call back", oldest, remedy)
    return warning(f"{is_}: Hearline has not been tried on it, and calls may lose sound", oldest, remedy)


def _needed(box: Box) -> list[str]:
    return _LOAD.findall((box.settings.asterisk_templates / "etc" / "hearline-modules.conf.j2").read_text("utf-8"))


def _missing(box: Box, modules: list[str]) -> list[str]:
    running = read_modules(box.console("module show"))
    return [module for module in modules if module not in running]


def _load(modules: list[str]) -> str:
    return "\n".join(f"asterisk -rx 'module load {module}'" for module in modules)


@SUBJECT.check("modules", "All modules that a call needs are loaded", "console")
def modules(box: Box) -> Finding:
    needed = [module for module in _needed(box) if module not in FOR_ASSIST and module != FOR_GAIN]
    if missing := _missing(box, needed):
        return fault(f"not loaded: {listed(missing, 40)}", f"{len(needed)} modules", _load(missing))
    return ok(f"{len(needed)} modules")


@SUBJECT.check("modules-assist", "All modules that agent assist needs are loaded", "console")
def modules_assist(box: Box) -> Finding:
    if not box.assist:
        return not_run("agent assist is not set up: HEARLINE_AMI is empty")
    if missing := _missing(box, sorted(FOR_ASSIST)):
        return fault(f"not loaded: {listed(missing)}", f"{len(FOR_ASSIST)} modules", _load(missing))
    return ok(f"{len(FOR_ASSIST)} modules")


@SUBJECT.check("module-volume", "Soft callers can be raised", "console")
def module_volume(box: Box) -> Finding:
    if missing := _missing(box, [FOR_GAIN]):
        return warning("func_volume is not loaded: soft callers stay soft", FOR_GAIN, _load(missing))
    return ok(FOR_GAIN)


@SUBJECT.check("module-refer", "Phones can hold and transfer calls", "console")
def module_refer(box: Box) -> Finding:
    if missing := _missing(box, [FOR_TRANSFERS]):
        return warning("res_pjsip_refer is not loaded: agents' phones cannot transfer", FOR_TRANSFERS, _load(missing))
    return ok(FOR_TRANSFERS)


@SUBJECT.check("whispers-over-silence", "Agents hear whispers while a caller's phone sends nothing", "version")
def whispers_over_silence(box: Box) -> Finding:
    said = box.console("core show version")
    if whispers_into_silence(version_of(said)):
        return ok(f"Asterisk {'.'.join(map(str, version_of(said)))} does it by itself")
    rows = [line.split() for line in box.console("bridge technology show").splitlines()]
    at_work = [row[0] for row in rows if row and row[0] in OF_TWO and row[-1] == "No"]
    if not at_work:
        return ok("all calls of two are mixed, since simple_bridge and native_rtp are off")
    remedy = "update to Asterisk 22.11 or newer. Until then agents have cards alone while a caller's phone is silent"
    if box.wanted.own:
        remedy += ', or, as Hearline alone uses this Asterisk, add to modules.conf: #tryinclude "hearline-bridges.conf"'
    else:
        remedy += " (hearline-bridges.conf is for an Asterisk of Hearline's own: it changes every call on the box)"
    return warning(f"whispers are not heard over silence, because of {' and '.join(at_work)}", "22.11", remedy)
