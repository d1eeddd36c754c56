"""Ways to run an Asterisk ≥ 22.10: the one installed on this host, or one from a root folder bootstrapped from Debian.

Each way answers the same questions: how to start it with our configuration, how to send it a console command, which
version it is, and where its modules and data are. (Containers are run with compose: see ``ops/stack.py``.)
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hearline.pbx.console import PLACES
from hearline.pbx.version import OLDEST, version_of

DEBIAN_SUITE = "forky"
PACKAGES = "asterisk,asterisk-core-sounds-en-wav"


class AsteriskUnavailable(RuntimeError):
    """Asterisk cannot be run here; the message says what was tried and what to do."""


class Asterisk(Protocol):
    @property
    def kind(self) -> str: ...
    def start_command(self, conf: Path, visible: list[Path]) -> list[str]: ...
    def console_command(self, conf: Path, pid: int, command: str) -> list[str]: ...
    def version(self) -> tuple[int, int]: ...
    def modules_dir(self) -> str: ...
    def data_dir(self) -> str: ...


@dataclass(frozen=True)
class Installed:
    """The host's binary, with our own configuration folder and ports."""

    binary: str
    kind: str = "installed"

    def start_command(self, conf: Path, visible: list[Path]) -> list[str]:
        return [self.binary, "-f", "-C", str(conf)]

    def console_command(self, conf: Path, pid: int, command: str) -> list[str]:
        return [self.binary, "-C", str(conf), "-rx", command]

    def version(self) -> tuple[int, int]:
        return _version([self.binary, "-V"])

    def modules_dir(self) -> str:
        return _modules_under(Path("/"))

    def data_dir(self) -> str:
        return _data_under(Path("/"))


@dataclass(frozen=True)
class RootFolder:
    """A Debian root folder with Asterisk in it, entered by chroot. The folders it needs are bound into it in a separate
    mount namespace, so nothing stays mounted when it ends. Asterisk can write to the folder of its configuration; the
    others are read-only. It keeps only one of root's capabilities: to read other users' files."""

    root: Path
    kind: str = "root"

    def start_command(self, conf: Path, visible: list[Path]) -> list[str]:
        binds = [p for p in visible if p.exists()]
        script = [
            "root=$1; conf=$2; shift 2",
            'mount -t proc proc "$root/proc"',
            'mount -o remount,bind,ro "$root/proc"',
            'mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"',
            'mount -t tmpfs -o mode=755 tmpfs "$root/dev"',
            'mkdir -m 1777 "$root/dev/shm"',
            'for d in null zero random urandom; do touch "$root/dev/$d"; mount --bind /dev/$d "$root/dev/$d"; done',
        ]
        # Without the host's names, an Asterisk that listens everywhere waits for a DNS answer about itself.
        script.append(
            "for f in /etc/hosts /etc/resolv.conf; do [ ! -e $f ] || "
            '{ touch "$root$f"; mount --bind $f "$root$f"; mount -o remount,bind,ro "$root$f"; }; done'
        )
        script.append('for p; do mkdir -p "$root$p"; mount --bind "$p" "$root$p"')
        script.append('case $conf in "$p"/*) ;; *) mount -o remount,bind,ro "$root$p";; esac; done')
        powers = "--bounding-set=-all,+dac_override --inh-caps=-all --no-new-privs"
        script.append(f'exec chroot "$root" setpriv {powers} /usr/sbin/asterisk -f -C "$conf"')
        return [
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-ec",
            "\n".join(script),
            "asterisk",
            str(self.root),
            str(conf),
            *map(str, binds),
        ]

    def console_command(self, conf: Path, pid: int, command: str) -> list[str]:
        return [
            "nsenter",
            f"--target={pid}",
            "--mount",
            "--root",
            "--wd=/",
            "/usr/sbin/asterisk",
            "-C",
            str(conf),
            "-rx",
            command,
        ]

    def version(self) -> tuple[int, int]:
        return _version(["chroot", str(self.root), "/usr/sbin/asterisk", "-V"])

    def modules_dir(self) -> str:
        return _modules_under(self.root)

    def data_dir(self) -> str:
        return _data_under(self.root)


def _modules_under(root: Path) -> str:
    for found in sorted(root.glob("usr/lib/*/asterisk/modules")) + sorted(root.glob("usr/lib*/asterisk/modules")):
        return "/" + str(found.relative_to(root))
    raise AsteriskUnavailable(f"no Asterisk modules under {root / 'usr/lib'}")


def _data_under(root: Path) -> str:
    """The folder of Asterisk's sounds and documentation: Debian's, else that of an Asterisk built from source."""
    places = ("/usr/share/asterisk", "/var/lib/asterisk")
    return next((place for place in places if (root / place[1:] / "documentation").is_dir()), places[0])


def _version(command: list[str]) -> tuple[int, int]:
    """The version that this command prints; (0, 0) if there is none."""
    try:
        return version_of(subprocess.run(command, capture_output=True, text=True, timeout=10).stdout)
    except (OSError, subprocess.TimeoutExpired):
        return 0, 0


def installed() -> Installed | None:
    """The host's Asterisk; None if there is none, or it is too old."""
    binary = shutil.which("asterisk", path=PLACES)
    if not binary:
        return None
    return Installed(binary) if _version([binary, "-V"]) >= OLDEST else None


def root_folder(cache: Path, say: Callable[[str], None] = lambda _line: None) -> RootFolder:
    """The bootstrapped root folder under ``cache``, created on first use (about 40 s and 370 MB).

    Raises:
        AsteriskUnavailable: we are not root, or mmdebstrap is missing or failed.
    """
    root = cache / f"asterisk-{DEBIAN_SUITE}"
    if os.geteuid() != 0:
        raise AsteriskUnavailable(
            "no container engine answers and no Asterisk 22.10 or newer is installed: start "
            "Docker or Podman (with compose), install Asterisk, or run this as root"
        )
    cache.mkdir(parents=True, exist_ok=True)
    with open(root.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # only one process creates it; the others wait
        if not (root / "usr/sbin/asterisk").exists():
            _bootstrap(root, say)
    return RootFolder(root)


def _bootstrap(root: Path, say: Callable[[str], None]) -> None:
    if not shutil.which("mmdebstrap"):
        raise AsteriskUnavailable("mmdebstrap is missing: run `make setup`, or `apt-get install mmdebstrap`")
    half_made = root.with_name(root.name + ".part")
    shutil.rmtree(half_made, ignore_errors=True)
    mirror = os.environ.get("HEARLINE_MIRROR", "").split()  # if empty, mmdebstrap's default
    command = [
        "mmdebstrap",
        "--variant=minbase",
        f"--include={PACKAGES}",
        '--aptopt=Acquire::Check-Valid-Until "false"',
        DEBIAN_SUITE,
        str(half_made),
        *mirror,
    ]
    say(f"bootstrapping Asterisk from Debian {DEBIAN_SUITE} (once, about 40 s)")
    last = error = ""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            last = line.strip() or last
            error = last if last.startswith("E: ") else error
            if line.startswith("I: "):
                say(line[3:].strip())
    if process.returncode:
        shutil.rmtree(half_made, ignore_errors=True)
        raise AsteriskUnavailable(
            f"mmdebstrap failed: {error or last} (to use another mirror, set HEARLINE_MIRROR=URL; "
            "for unknown signatures, apt-get install debian-archive-keyring)"
        )
    half_made.rename(root)
