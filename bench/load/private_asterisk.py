"""The project's private Asterisk with the benchmark's additions: more numbers, and access to a script of ours."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hearline.core.settings import Settings
from hearline.ops import asterisk as ways
from hearline.ops.asterisk import RootFolder
from hearline.ops.stack import Stack

from .callers import Kind

HERE = Path(__file__).parent
MODULES = ("app_talkdetect.so", "app_waitforsilence.so", "app_playback.so")
HOST = "/tmp/host"  # where Asterisk sees this machine's files in its root folder


@contextmanager
def private_asterisk(folder: Path, server: bool, script: bool = True) -> Iterator[Stack]:
    """Start it in `folder`, with an account for each kind of caller, and stop it at the end. `server`: also start
    Hearline. `script`: give Asterisk access to the EAGI script."""
    shipped = Settings()
    flows, templates = folder / "flows", folder / "asterisk"
    shutil.copytree(shipped.flows, flows)
    shutil.copy(HERE / "flows" / "load.yaml", flows)
    shutil.copytree(shipped.asterisk_templates, templates)
    _append(templates / "etc" / "extensions.conf.j2", (HERE / "bench.conf").read_text())
    _append(templates / "etc" / "modules.conf.j2", "".join(f"load = {name}\n" for name in MODULES))
    for name in ("pjsip", "queues", "manager"):
        _append(templates / "etc" / f"{name}.conf.j2", (HERE / f"bench-{name}.conf").read_text())
    settings = Settings(
        state=folder / "state",
        flows=flows,
        asterisk_templates=templates,
        agi="127.0.0.1:15573",
        media="127.0.0.1:15092",
        status="127.0.0.1:15574",
    )
    stack = Stack(settings, callers=tuple(Kind))
    with stack:
        stack.up(kind=kind(), server=server)
        if script:
            _show_script(stack)
        yield stack


def kind() -> str:
    """The kind of Asterisk: installed or root folder, since one in a container would not see the script."""
    return "installed" if ways.installed() else "root"


def _append(file: Path, text: str) -> None:
    with open(file, "a") as out:
        out.write("\n" + text)


def _show_script(stack: Stack) -> None:
    """Put the EAGI script where Asterisk looks for it, and this Python where Asterisk can start it."""
    place = ""
    if stack.running.kind == "root":
        _bind_host(stack.running.asterisk_pid, ways.root_folder(stack.settings.cache))
        place = HOST
    # Use the root folder's C library, which is newer than this Python's; the other libraries are this Python's.
    environment = {
        "PYTHONHOME": place + sys.base_prefix,
        "PYTHONPATH": place + sysconfig.get_path("purelib"),
        "LD_LIBRARY_PATH": f"{place}{sys.base_prefix}/lib",
    }
    words = " ".join(f"{name}='{value}'" for name, value in environment.items())
    python = f"'{place}{Path(sys.executable).resolve()}' -P"
    started = stack.home / "lib" / "agi-bin" / "by-hand"
    started.write_text(f"#!/bin/sh\n{words} exec {python} '{place}{HERE / 'by_hand.py'}' \"$@\"\n")
    started.chmod(0o755)
    _try(stack, f"{words} {python} -c 'import webrtcvad, asterisk.agi'")


def _try(stack: Stack, command: str) -> None:
    enter = ["nsenter", f"--target={stack.running.asterisk_pid}", "--mount", "--root", "--wd=/"]
    enter = enter if stack.running.kind == "root" else []
    done = subprocess.run([*enter, "/bin/sh", "-c", command], capture_output=True, text=True, cwd="/")
    if done.returncode:
        raise RuntimeError(f"Asterisk cannot run the script by hand (make bench installs what it needs): {done.stderr}")


def _bind_host(pid: int, root: RootFolder) -> None:
    """Mount the host's files in Asterisk's mount namespace, on its tmpfs, so that nothing is left when it ends."""
    inside = f"{root.root}{HOST}"
    script = f"mkdir '{inside}' && mount --bind / '{inside}' && mount -o remount,bind,ro '{inside}'"
    subprocess.run(["nsenter", f"--target={pid}", "--mount", "sh", "-ec", script], check=True, cwd="/")
