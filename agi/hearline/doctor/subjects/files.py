"""Hearline's files: flows, calendars, hints, sounds, folders, secrets, certificates."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from pathlib import Path

from hearline.assist.hints.hint_store import load_book
from hearline.core.files import is_shared
from hearline.core.peers import is_loopback, parse_networks
from hearline.core.settings import address, page_pair
from hearline.doctor.box import Box
from hearline.doctor.checks import Finding, Subject, fault, listed, not_run, ok, warning
from hearline.pbx.ami_messages import PROOF
from hearline.server.flow_store import prompts_of
from hearline.sounds.check import read_pcm
from hearline.sounds.manifest import load_manifest
from hearline.wire.certificates import (
    SOON_DAYS,
    BadCertificate,
    Certificate,
    are_others,
    read_certificate,
    read_pair,
)
from hearline.yamlfiles.checked import Rejected

SUBJECT = Subject("Files")
CERTIFICATES = {"http.conf": "tlscertfile", "manager.conf": "tlscertfile", "pjsip.conf": "cert_file"}
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")
ASTERISK_PLAYS = ("zh/whisper", "zh/lanzhi", "music")


@SUBJECT.check("flows", "All flows are valid")
def flows(box: Box) -> Finding:
    if box.flows.rejected:
        name, why = next(iter(box.flows.rejected.items()))
        found = f"{listed(sorted(box.flows.rejected))}: {why}"
        return fault(found, "no faults", f"hearline flow check {box.settings.flows}/{name}")
    if not box.flows.flows or box.flows.value.not_loaded:
        found = f"no flow {listed(sorted(box.flows.value.not_loaded))} in {box.settings.flows}"
        return fault(found, "hotline.yaml at least", "set HEARLINE_FLOWS to the folder of your flows")
    return ok(listed(sorted(box.flows.flows)))


@SUBJECT.check("calendars", "The calendars cover this year", "flows")
def calendars(box: Box) -> Finding:
    if box.flows.notes:
        year = datetime.now(UTC).year
        remedy = f"hearline calendar draft {year}, or {year + 1}: docs/operate.md, Opening hours"
        return warning("; ".join(box.flows.notes.values()), "all holidays, announced", remedy)
    return ok("nothing is missing or guessed")


@SUBJECT.check("hints", "All hints are valid")
def hints(box: Box) -> Finding:
    if not box.assist:
        return not_run("agent assist is not set up: HEARLINE_AMI is empty")
    try:
        known = prompts_of(box.settings.sounds).get(("zh", "hints"))
        load_book(box.settings.flows / "hints", known)
    except Rejected as error:
        return fault(str(error.faults[0]), "no faults", "hearline hints check")
    return ok(f"in {box.settings.flows}/hints")


@SUBJECT.check("sounds", "All recordings are there, at their rates")
def sounds(box: Box) -> Finding:
    wrong, count = [], 0
    for sound in load_manifest(box.settings.sounds).sounds():
        for rate, name in sound.files.items():
            count += 1
            try:
                read_pcm(box.settings.sounds / name, rate)
            except (OSError, ValueError) as error:
                wrong.append(f"{name} ({getattr(error, 'strerror', None) or error})")
    if wrong:
        return fault(listed(wrong, 3), f"{count} recordings", "hearline sounds check")
    return ok(f"{count} recordings in {box.settings.sounds}")


@SUBJECT.check("sounds-readable", "Asterisk can read whispers and music", "console", "sounds")
def sounds_readable(box: Box) -> Finding:
    if box.asterisk is None:
        return not_run("Asterisk runs on another machine, or in a container")
    user = box.machine.owner(box.asterisk.pid)
    root = box.settings.sounds.resolve()
    closed = [folder for folder in (*root.parents, root) if not box.machine.lets(user, folder, os.X_OK)]
    for folder in ASTERISK_PLAYS if not closed else ():
        files = [root / folder, *(root / folder).glob("*.wav")]
        closed += [file for file in files if not box.machine.lets(user, file, os.R_OK)]
    if closed:
        found = f"closed to Asterisk's account: {listed([str(path) for path in closed], 3)}"
        return fault(found, "readable by all", f"chmod -R a+rX {closed[0]}")
    return ok("by Asterisk's account")


@SUBJECT.check("messages", "Asterisk can keep callers' messages, and nobody else can hear them", "contexts")
def messages(box: Box) -> Finding:
    folder = Path(box.globals.get("HEARLINE_MESSAGES", ""))
    remedy = f"install -d -o asterisk -g asterisk -m 0700 {folder}"
    if not folder.is_dir():
        return fault(f"{folder} is not there", "a folder of Asterisk's account", remedy)
    if box.asterisk is not None:
        user = box.machine.owner(box.asterisk.pid)
        if not box.machine.lets(user, folder, os.W_OK):
            return fault(f"Asterisk's account cannot write to {folder}", "a folder of Asterisk's account", remedy)
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o077:
        return warning(f"{folder} has mode {mode:04o}: others may hear callers", "0700", f"chmod 0700 {folder}")
    return ok(f"{folder}, mode {mode:04o}")


@SUBJECT.check("state", "What the server keeps of people, only its account can read")
def state(box: Box) -> Finding:
    folder = box.settings.state
    if not folder.is_dir():
        remedy = f"install -d -o hearline -g hearline -m 0700 {folder}"
        return fault(f"{folder} is not there", "the server's HEARLINE_STATE", remedy)
    private = [part for part in ("page", "callers", "audit", "assist") if (folder / part).is_dir()]
    modes = {part: (folder / part).stat().st_mode for part in private}
    open_ = [part for part, mode in modes.items() if mode & (0o007 if is_shared(mode) else 0o077)]
    if open_ and folder.stat().st_mode & 0o077:
        paths = " ".join(str(folder / part) for part in open_)
        return warning(f"others can read {listed(open_)} in {folder}", "0700", f"chmod -R go= {paths}")
    return ok(str(folder))


@SUBJECT.check("proof-private", "Only Asterisk can read the proof", "configuration")
def proof_private(box: Box) -> Finding:
    holders = [name for name, text in box.texts.items() if f"{PROOF} =" in text or f"{PROOF}=" in text]
    if open_ := [name for name in holders if (box.folder / name).stat().st_mode & 0o007]:
        where = " ".join(str(box.folder / name) for name in open_)
        found = f"every account of this machine can read {listed(open_)}"
        return fault(found, "0640, of Asterisk's group", f"chmod o= {where}")
    return ok(listed(holders) if holders else "no file holds it")


@SUBJECT.check("certificates", "Asterisk's certificates are valid for some weeks", "configuration")
def certificates(box: Box) -> Finding:
    files = {
        Path(line.value)
        for conf, name in CERTIFICATES.items()
        for line in box.conf(conf)
        if line.kind == "setting" and line.name.lower() == name and line.value
    }
    if not files:
        return ok("none is set")
    for file in sorted(files):
        try:
            found = read_certificate(box.folder / file)
        except BadCertificate as error:
            return warning(str(error), "a certificate in PEM", f"openssl x509 -noout -text -in {file}")
        if ends := _ends_soon(file, found, "renew it, then reload Asterisk"):
            return ends
    return ok(listed([str(file) for file in sorted(files)]))


@SUBJECT.check("page-certificate", "Browsers on other machines reach the agents' page over TLS", "addresses")
def page_certificate(box: Box) -> Finding:
    settings = box.settings
    if not box.assist:
        return not_run("agent assist is not set up: HEARLINE_AMI is empty")
    host, pair = address(settings.page)[0], page_pair(settings)
    if pair is None:
        if is_loopback(host) or any(not network.is_loopback for network in parse_networks(settings.proxies)):
            return ok("plain HTTP, for this machine and for proxies with TLS")
        found = f"{settings.page} is plain HTTP: PINs and talk cross the network in the clear, and no phone works there"
        return warning(found, "TLS", f"hearline certificate make --for {_a_name(host)}, then restart the server")
    wanted = "a certificate that browsers take, and its key"
    try:
        found_there = read_pair(*pair)
    except BadCertificate as error:
        open_ = pair[1].exists() and pair[1].stat().st_mode & 0o006
        return fault(str(error), wanted, f"chmod o= {pair[1]}" if open_ else _renewed(pair, host))
    if hidden := _hidden_by_the_unit(box, pair):
        elsewhere = "put it into /etc/hearline, and name it there in hearline.env"
        return fault(f"the server's unit hides {hidden} from it", "files that it can reach", elsewhere)
    if closed := _closed_to_the_server(box, pair):
        account = f"chown :hearline {closed} && chmod g+rX {closed}"
        return fault(f"the server's account cannot read {closed}", "readable by it, and by nobody else", account)
    if ends := _ends_soon(pair[0], found_there, _renewed(pair, host)):
        return ends
    whose = "made by Hearline" if found_there.ours else "of others' making"
    if found_there.ours and host not in ("0.0.0.0", "::", *found_there.names):
        found = f"{pair[0]} is for {listed(found_there.names)}, not for {host}"
        return warning(found, "the name or address by which browsers reach the page", _renewed(pair, host))
    return ok(f"for {listed(found_there.names)}, {found_there.days_left()} days, {whose}")


def _ends_soon(file: Path, found: Certificate, remedy: str) -> Finding | None:
    if (left := found.days_left()) >= SOON_DAYS:
        return None
    say = fault if left < 0 else warning
    return say(f"{file} {'has ended' if left < 0 else f'ends in {left} days'}", f"{SOON_DAYS} days or more", remedy)


def _hidden_by_the_unit(box: Box, pair: tuple[Path, Path]) -> Path | None:
    """A file in a folder that the unit keeps the server out of (ProtectHome, PrivateTmp), if systemd runs it."""
    try:
        by_systemd = bool(box.hearline) and "INVOCATION_ID" in box.machine.environment(box.hearline[0].pid)
    except OSError:
        return None
    found = (file for file in pair if any(file.resolve().is_relative_to(folder) for folder in HIDDEN))
    return next(found, None) if by_systemd else None


def _closed_to_the_server(box: Box, pair: tuple[Path, Path]) -> Path | None:
    """The first file or folder on the way to the pair that the running server's account may not read or enter."""
    if not box.hearline:
        return None
    user = box.machine.owner(box.hearline[0].pid)
    for file in map(Path.resolve, pair):
        for folder in reversed(file.parents):
            if not box.machine.lets(user, folder, os.X_OK):
                return folder
        if not box.machine.lets(user, file, os.R_OK):
            return file
    return None


def _a_name(host: str) -> str:
    return "HOST" if host in ("0.0.0.0", "::") else host


def _renewed(pair: tuple[Path, Path], host: str) -> str:
    if are_others(*pair):
        return f"renew {pair[0]} and {pair[1]}; the server takes new files at once"
    return f"hearline certificate make --for {_a_name(host)} --out {pair[0].parent}"
