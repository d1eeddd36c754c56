"""The dialplan: our files and contexts, and the way of a call to them."""

from __future__ import annotations

import re
from collections import deque
from pathlib import Path

from hearline.doctor.box import ENTRY, Box
from hearline.doctor.checks import Finding, Subject, fault, listed, ok, warning
from hearline.doctor.console import leads_to, read_dialplan
from hearline.pbx.ami_messages import PROOF
from hearline.pbx.conf_files import Line, active

SUBJECT = Subject("Dialplan")
OURS = "hearline"
ANOTHER_FOLDER = "find / -name extensions.conf -not -path '/proc/*'; then hearline doctor --asterisk ITS-FOLDER"
MANAGER = "hearline-manager.conf"
INCLUDED_IN = {
    "hearline-globals.conf": "extensions.conf",
    "hearline.conf": "extensions.conf",
    "hearline-queues.conf": "queues.conf",
    "hearline-musiconhold.conf": "musiconhold.conf",
}
INCLUDED_FOR_ASSIST = {"hearline-features.conf": "features.conf", MANAGER: "manager.conf"}
OPTIONAL = ("hearline-bridges.conf", "hearline-modules.conf")
_CONTEXT = re.compile(r"^\[(hearline[\w-]*)\]", re.MULTILINE)
_TIMED = re.compile(r"^(GotoIfTime|ExecIfTime)\(")


def _wanted(box: Box) -> dict[str, str]:
    """The file of theirs that includes each of ours."""
    return INCLUDED_IN | (INCLUDED_FOR_ASSIST if box.assist else {})


def _includes(box: Box, host: str) -> dict[str, Line]:
    """The lines by which ``host`` includes files of ours, by our file's name."""
    lines = [line for line in box.conf(host) if line.kind == "include"]
    return {name: line for line in lines if (name := Path(line.value).name).startswith(OURS)}


@SUBJECT.check("configuration", "Asterisk's configuration can be read")
def configuration(box: Box) -> Finding:
    try:
        known = box.texts
    except PermissionError as error:
        found = f"{error.filename or box.folder}: {error.strerror}"
        return fault(found, "files that this account may read", "sudo -E hearline doctor")
    except OSError as error:
        return fault(f"{box.folder}: {error.strerror}", "a folder with extensions.conf", ANOTHER_FOLDER)
    if "extensions.conf" not in known:
        found = f"{box.folder}/extensions.conf cannot be read"
        return fault(found, "a folder with extensions.conf", ANOTHER_FOLDER)
    return ok(f"{len(known)} files in {box.folder}")


@SUBJECT.check("included", "Asterisk's files include Hearline's", "configuration")
def included(box: Box) -> Finding:
    lacking = {ours: host for ours, host in _wanted(box).items() if ours not in _includes(box, host)}
    if lacking:
        lines = [
            f'[{box.settings.ami_user}] in manager.conf: #tryinclude "{ours}"'
            if ours == MANAGER
            else f"echo '#tryinclude \"{ours}\"' >> {box.folder}/{host}"
            for ours, host in lacking.items()
        ]
        found = listed([f"{host} does not include {ours}" for ours, host in lacking.items()])
        return fault(found, "one line for each", "\n".join(lines))
    return ok(f"{len(_wanted(box))} files")


@SUBJECT.check("tryinclude", "A missing file of Hearline's cannot take the dialplan away", "included")
def tryinclude(box: Box) -> Finding:
    hard = []
    for host in set(_wanted(box).values()):
        for line in _includes(box, host).values():
            text = dict(active(box.texts[line.file]))[line.number]
            if not text.lower().startswith("#tryinclude"):
                hard.append(line)
    if hard:
        remedy = "\n".join(f"sed -i '{line.number}s/#include/#tryinclude/' {box.folder}/{line.file}" for line in hard)
        return warning(f"`#include` in {listed([line.place for line in hard])}", "`#tryinclude`", remedy)
    return ok("they are included by #tryinclude")


def _said(text: str) -> list[str]:
    """The lines that count, without the proof, which has a check of its own."""
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith((";", PROOF))]


VALUES = ("contexts", "flows", "addresses")
"""The checks without which our files cannot be rendered."""


@SUBJECT.check("files", "Hearline's files are of this version and for these settings", "included", *VALUES)
def files(box: Box) -> Finding:
    other = []
    for name, host in _wanted(box).items():
        target = _includes(box, host)[name].value
        if _said(box.texts.get(target, "")) != _said(box.rendered[name]):
            other.append(name)
    if other:
        where = box.folder / Path(_includes(box, "extensions.conf")["hearline.conf"].value).parent
        remedy = f"hearline dialplan --out {where} && asterisk -rx 'dialplan reload'"
        return warning(f"missing, or not as this version writes it: {listed(other)}", "the same text", remedy)
    return ok(f"{len(_wanted(box))} files")


def _ours(box: Box) -> list[str]:
    """The contexts of hearline.conf."""
    template = (box.settings.asterisk_templates / "etc" / "hearline.conf.j2").read_text("utf-8")
    return list(dict.fromkeys(_CONTEXT.findall(template)))


@SUBJECT.check("contexts", "Hearline's contexts are loaded", "console")
def contexts(box: Box) -> Finding:
    needed = _ours(box)
    if missing := [name for name in needed if name not in box.contexts]:
        remedy = f"hearline dialplan --out {box.folder} && asterisk -rx 'dialplan reload'"
        return fault(f"not there: {listed(missing)}", f"{len(needed)} contexts", remedy)
    return ok(f"{len(needed)} contexts")


@SUBJECT.check("globals", "The dialplan's variables are those of these settings", *VALUES)
def variables(box: Box) -> Finding:
    values = box.values
    needed = {
        "HEARLINE_AGI": values.agi_url,
        "HEARLINE_SITE": values.site,
        "HEARLINE_FALLBACK_QUEUE": values.fallback_queue,
        "HEARLINE_SOUNDS": str(values.sounds_dir),
    }
    wrong = [name for name, value in needed.items() if box.globals.get(name) != value]
    if not box.globals.get("HEARLINE_MESSAGES"):
        wrong.append("HEARLINE_MESSAGES")
    if wrong:
        found = listed([f"{name} is {box.globals.get(name) or 'not set'}" for name in wrong])
        wanted = listed([needed.get(name, "a folder") for name in wrong])
        return fault(found, wanted, f"hearline dialplan --out {box.folder} && asterisk -rx 'dialplan reload'")
    return ok("as set: " + listed(list(needed)))


@SUBJECT.check("proof", "Asterisk vouches for its messages with the right secret", "secret", *VALUES)
def proof(box: Box) -> Finding:
    if box.globals.get(PROOF) == box.values.proof:
        return ok(f"{PROOF} belongs to the secret")
    found = f"{PROOF} is {'made from another secret' if box.globals.get(PROOF) else 'not set'}"
    remedy = f"hearline dialplan --out {box.folder} && asterisk -rx 'dialplan reload'"
    return fault(found, "the value that hearline-globals.conf has for this secret", remedy)


def _reached(box: Box, starts: set[str]) -> bool:
    """True if a call in one of these contexts can come to ours."""
    seen, waiting = set(starts), deque(starts)
    while waiting:
        name = waiting.popleft()
        if name == ENTRY:
            return True
        for next_ in leads_to(box.contexts[name], box.contexts) if name in box.contexts else ():
            if next_ not in seen:
                seen.add(next_)
                waiting.append(next_)
    return False


@SUBJECT.check("entry", "Calls are handed to Hearline", "contexts")
def entry(box: Box) -> Finding:
    context, number = box.wanted.context, box.wanted.number
    line = "exten => {},1,Goto(hearline,${{EXTEN}},1)"
    if not context:
        theirs = {name: one for name, one in box.contexts.items() if name not in _ours(box)}
        if found := [name for name, one in theirs.items() if ENTRY in leads_to(one, box.contexts)]:
            return ok(f"from {listed(found)}")
        remedy = f"in extensions.conf, in your trunk's context: {line.format('NUMBER')}"
        return fault("no context leads to Hearline's", "a line in the context of your trunk", remedy)
    if context not in box.contexts:
        return fault(f"there is no context {context}", "the context of your trunk", "asterisk -rx 'dialplan show'")
    if not number:
        if _reached(box, {context}):
            return ok(f"{context} leads there")
        remedy = f"in extensions.conf, in [{context}]: {line.format('NUMBER')}"
        return fault(f"nothing in {context} leads there", "a line for each number", remedy)
    matched = read_dialplan(box.console(f"dialplan show {number}@{context}"))
    ways = {ENTRY} & matched.keys()
    for one in matched.values():
        ways |= leads_to(one, box.contexts)
    if not any(one.steps for one in matched.values()):
        remedy = f"in extensions.conf, in [{context}]: {line.format(number)}"
        return fault(f"{context} has no such number", "an extension for it", remedy)
    if _reached(box, ways):
        return ok(f"the number leads there from {context}")
    remedy = f"in extensions.conf, in [{context}]: {line.format(number)}"
    return fault(f"the number leads elsewhere from {context}", "Goto(hearline,${EXTEN},1)", remedy)


@SUBJECT.check("clocks", "Time conditions of the dialplan use the same clock as Hearline", "contexts")
def clocks(box: Box) -> Finding:
    theirs = {name: one for name, one in box.contexts.items() if not name.startswith(OURS)}
    timed = [n for n, one in theirs.items() if any(_TIMED.match(step) for s in one.steps.values() for step in s)]
    here, site = box.machine.offset_minutes(None), box.machine.offset_minutes(box.settings.zone)
    if timed and here != site:
        remedy = f"timedatectl set-timezone {box.settings.zone}, or name the zone in each time condition"
        found = f"{listed(timed)} go by the machine's zone, {here - site:+} minutes from {box.settings.zone}"
        return warning(found, f"{box.settings.zone}", remedy)
    return ok(f"Hearline goes by {box.settings.zone}; time conditions in {len(timed)} other contexts")
