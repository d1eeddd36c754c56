"""The machine: its clock, disks, limits, scheduling, ports."""

from __future__ import annotations

from pathlib import Path

from hearline.core.settings import address
from hearline.doctor.box import Box
from hearline.doctor.checks import Finding, Subject, fault, listed, not_run, ok, warning

SUBJECT = Subject("Machine")
MB = 1_000_000
LEAST_MB, ENOUGH_MB = 100, 2_000
DESCRIPTORS_A_CALL, DESCRIPTORS = 12, 500
WORKER = "hearline.media.worker"


@SUBJECT.check("clock", "The clock is kept right")
def clock(box: Box) -> Finding:
    if not box.machine.clock_is_set():
        remedy = "apt install systemd-timesyncd && timedatectl set-ntp true"
        return warning("nothing keeps this clock right; opening hours and records go by it", "NTP", remedy)
    return ok("by the kernel's own account")


def _room(box: Box, folder: Path) -> Finding:
    free = box.machine.free_bytes(folder) // MB
    if free < LEAST_MB:
        return fault(f"{free} MB free for {folder}", f"{ENOUGH_MB} MB", f"df -h {folder}; remove what is old")
    if free < ENOUGH_MB:
        return warning(f"{free} MB free for {folder}", f"{ENOUGH_MB} MB", f"df -h {folder}; remove what is old")
    return ok(f"{free:,} MB free for {folder}")


@SUBJECT.check("disk-state", "There is room for records")
def disk_state(box: Box) -> Finding:
    return _room(box, box.settings.state)


@SUBJECT.check("disk-messages", "There is room for callers' messages", "messages")
def disk_messages(box: Box) -> Finding:
    return _room(box, Path(box.globals["HEARLINE_MESSAGES"]))


@SUBJECT.check("descriptors-asterisk", "Asterisk may open enough files for all calls", "console")
def descriptors_asterisk(box: Box) -> Finding:
    if box.asterisk is None:
        return not_run("Asterisk runs on another machine, or in a container")
    needed = DESCRIPTORS + DESCRIPTORS_A_CALL * box.wanted.calls
    may = box.machine.descriptors(box.asterisk.pid)
    if may < needed:
        remedy = f"in asterisk.conf, [options]: maxfiles = {max(needed, 16_384)}; then restart Asterisk"
        return warning(f"{may}", f"{needed}, for {box.wanted.calls} calls", remedy)
    return ok(f"{may:,}")


@SUBJECT.check("descriptors-hearline", "Hearline may open enough files for all calls", "server")
def descriptors_hearline(box: Box) -> Finding:
    if not box.hearline:
        return not_run("the server runs on another machine")
    needed = DESCRIPTORS + DESCRIPTORS_A_CALL * box.wanted.calls
    may = min(box.machine.descriptors(process.pid) for process in box.hearline)
    if may < needed:
        remedy = "systemctl edit hearline: [Service] LimitNOFILE=65536; then restart the server"
        return warning(f"{may}", f"{needed}, for {box.wanted.calls} calls", remedy)
    return ok(f"{may:,}")


@SUBJECT.check("scheduling", "Media workers run ahead of other processes", "server")
def scheduling(box: Box) -> Finding:
    workers = [process for process in box.hearline if WORKER in process.command]
    if not workers:
        return not_run("the server runs on another machine")
    if behind := [process for process in workers if not box.machine.runs_ahead(process.pid)]:
        remedy = "systemctl edit hearline: [Service] LimitRTPRIO=1; then restart the server"
        found = f"{len(behind)} of {len(workers)} run like any process, so frames are late when the machine is busy"
        return warning(found, "real-time round robin", remedy)
    return ok(f"{len(workers)} workers")


@SUBJECT.check("ports", "Nobody else holds Hearline's ports", "addresses")
def ports(box: Box) -> Finding:
    names = ("agi", "media", "status", *(("legs", "page") if box.assist else ()))
    taken = {}
    for name in names:
        port = address(getattr(box.settings, name))[1]
        pid = box.listeners.get(port)
        if pid is not None and not _is_hearline(box, pid):
            taken[name] = port
    if taken:
        found = listed([f"HEARLINE_{name.upper()}, port {port}" for name, port in taken.items()])
        ports = "|".join(f":{port} " for port in taken.values())
        return fault(f"another program listens: {found}", "free ports", f"ss -ltnp | grep -E '{ports}'")
    return ok("Hearline holds them" if box.hearline else "they are free")


def _is_hearline(box: Box, pid: int) -> bool:
    return any("hearline" in word for process in box.processes if process.pid == pid for word in process.command)
