"""A Docker Engine of the tests' own. It runs in namespaces for network and mounts, so bridges, iptables rules and
mounts vanish with it; all its files are in one folder.

It has no registry of images: base images are bootstrapped from Debian, and imported under the names in the Dockerfiles.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PACKAGES = {
    "dockerd": "docker.io",
    "docker-compose": "docker-compose",
    "iptables": "iptables",
    "ip": "iproute2",
    "mmdebstrap": "mmdebstrap",
    "nsenter": "util-linux",
}
PUBLIC, NEIGHBOUR = "192.0.2.77", "192.0.2.78"  # the engine's address besides loopback; another computer's
CHROMIUM_ASKS = "8.8.8.8"  # from which address this would be reached: WebRTC's own. Nothing is sent there
PLACES = "/usr/sbin:/usr/bin:/sbin:/bin"  # Debian's own; another docker may come before them on the PATH
OF_THIS_MACHINE = [Path("/etc/ssl/certs/ca-certificates.crt"), Path("/etc/pip.conf")]
"""How this machine reaches package registries; the base images get a copy."""


class NoEngine(RuntimeError):
    """No Docker Engine can be had here; the message says why."""


def install() -> None:
    """Install what is missing of Docker and of the tools to test it, without starting anything. Raises NoEngine."""
    if os.geteuid() != 0:
        raise NoEngine("only root may start one")
    missing = [package for program, package in PACKAGES.items() if not shutil.which(program, path=PLACES)]
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise NoEngine(f"this is not Debian; install the equivalent of {', '.join(missing)}")
    if Path("/run/systemd/system").exists():  # the package would start an engine for good
        raise NoEngine(f"apt-get install {' '.join(missing)}")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *missing]):
        done = subprocess.run(["apt-get", "-qq", *command], env=environment, capture_output=True, text=True)
        if done.returncode:
            raise NoEngine(f"apt-get {command[0]} failed: {done.stderr.strip()[-500:]}")


class Engine:
    """Use as a context manager. ``start`` and ``stop`` its daemon inside.

    ``folder``: holds all its files. It is short, since it holds Unix sockets.
    """

    def __enter__(self) -> Engine:
        self.folder = Path(tempfile.mkdtemp(prefix="hl-docker-", dir="/tmp"))
        self._daemon: subprocess.Popen | None = None
        unshare = ["unshare", "--net", "--mount", "--propagation", "private"]
        self._holder = subprocess.Popen([*unshare, "sleep", "infinity"])  # holds the namespaces
        self._neighbour = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        try:
            self._until(lambda: _is_apart(self._holder, "net") and _is_apart(self._holder, "mnt"), 10)
            self._until(lambda: _is_apart(self._neighbour, "net"), 10)
            self.inside("ip", "link", "set", "lo", "up")
            self._join_a_network()
            self.inside("mount", "-t", "tmpfs", "tmpfs", "/run")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        for holder in (self._holder, self._neighbour):
            holder.kill()
            holder.wait()
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._until(lambda: not self.processes(), 10)
        for group in list(Path("/sys/fs/cgroup").glob(f"**/{self.folder.name}")):
            for path, _, _ in os.walk(group, topdown=False):
                os.rmdir(path)
        shutil.rmtree(self.folder)

    def _join_a_network(self) -> None:
        """Give the engine's network an address other than 127/8, as every computer has (ICE offers no others), and a
        neighbour. There is no default route, so that whatever asks for more fails at once."""
        self.inside("ip", *f"link add lan type veth peer name lan netns {self._neighbour.pid}".split())
        for pid, own, other in (
            (self._holder.pid, PUBLIC, NEIGHBOUR),
            (self._neighbour.pid, NEIGHBOUR, PUBLIC),
        ):
            for command in (
                f"address add {own}/32 dev lan",
                "link set lan up",
                f"route add {other}/32 dev lan src {own}",
                f"route add {CHROMIUM_ASKS}/32 dev lan src {own}",
            ):
                self._run("nsenter", f"--net=/proc/{pid}/ns/net", "ip", *command.split())

    # ---- the daemon -------------------------------------------------------------------------------------------------
    def start(self, *, network: bool) -> None:
        """Start the daemon.

        Args:
            network: with bridges, in its own network namespace, which leads nowhere; or without, in the machine's, for
                images whose packages come from elsewhere.
        """
        command = ["nsenter", f"--target={self._holder.pid}", "--mount", *(["--net"] if network else []), "dockerd"]
        command += ["--data-root", f"{self.folder}/data", "--exec-root", f"{self.folder}/run"]
        command += ["--host", self._host, "--pidfile", f"{self.folder}/d.pid"]
        command += ["--cgroup-parent", f"/{self.folder.name}"]
        command += [] if network else ["--bridge=none", "--iptables=false", "--ip-forward=false"]
        with open(self.log, "ab") as log:
            self._daemon = subprocess.Popen(command, stdout=log, stderr=log, env=self._environment)
        self._until(lambda: self.docker("version", check=False).returncode == 0 or self._daemon.poll() is not None, 60)
        if self._daemon.poll() is not None:
            raise NoEngine(f"dockerd ended: {self.log.read_text(errors='replace')[-1500:]}")

    def stop(self) -> None:
        if self._daemon and self._daemon.poll() is None:
            self._daemon.terminate()
            try:
                self._daemon.wait(60)
            except subprocess.TimeoutExpired:
                self._daemon.kill()
                self._daemon.wait()

    @property
    def log(self) -> Path:
        return self.folder / "dockerd.log"

    @property
    def _host(self) -> str:
        return f"unix://{self.folder}/d.sock"

    @property
    def _environment(self) -> dict[str, str]:
        return {
            "PATH": PLACES,
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "DOCKER_HOST": self._host,
            "COMPOSE_DOCKER_CLI_BUILD": "0",
            "DOCKER_BUILDKIT": "0",
        }

    # ---- commands ---------------------------------------------------------------------------------------------------
    def docker(self, *arguments: str, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess:
        return self._run("docker", *arguments, check=check, timeout=timeout)

    def compose(
        self, files: list[Path], *arguments: str, timeout: float = 180, **environment: str
    ) -> subprocess.CompletedProcess:
        """Run docker-compose, version 1."""
        options = [word for file in files for word in ("--file", str(file))]
        return self._run("docker-compose", *options, *arguments, timeout=timeout, environment=environment)

    def inside(self, *command: str) -> str:
        """Run a command in the engine's namespaces; returns its output."""
        return self._run("nsenter", f"--target={self._holder.pid}", "--net", "--mount", "--", *command).stdout

    def hearline(self, *arguments: str, timeout: float = 180, **environment: str) -> str:
        """Run `hearline` of this checkout in the engine's network, and with this engine; returns what it prints."""
        command = ["nsenter", f"--net=/proc/{self._holder.pid}/ns/net", sys.executable, "-m", "hearline", *arguments]
        known = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
        return self._run(*command, timeout=timeout, environment=known | environment).stdout

    def program_inside(self, program: str, *, neighbour: bool = False) -> Path:
        """A file that runs this program in the engine's network, or on the neighbour's computer."""
        holder = self._neighbour if neighbour else self._holder
        script = self.folder / f"{'beside' if neighbour else 'inside'}-{Path(program).name}"
        script.write_text(f'#!/bin/sh\nexec nsenter --net=/proc/{holder.pid}/ns/net -- {program} "$@"\n')
        script.chmod(0o755)
        return script

    def _run(
        self, *command: str, check: bool = True, timeout: float = 120, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess:
        done = subprocess.run(
            command,
            env=self._environment | (environment or {}),
            cwd="/",
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if check:
            assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done

    # ---- images -----------------------------------------------------------------------------------------------------
    def import_base(self, name: str, suite: str, cache: Path) -> None:
        """Import a minimal Debian as the image ``name``. The tarball is kept in ``cache`` for the next time."""
        tarball = cache / f"debian-{suite}.tar"
        if not tarball.exists():
            cache.mkdir(parents=True, exist_ok=True)
            part = tarball.with_suffix(".part.tar")
            copies = [f"--customize-hook=copy-in {file} {file.parent}" for file in OF_THIS_MACHINE if file.exists()]
            unchecked = '--aptopt=Acquire::Check-Valid-Until "false"'
            mirror = os.environ.get("HEARLINE_MIRROR", "").split()
            command = ["mmdebstrap", "--variant=minbase", "--include=ca-certificates", unchecked, *copies, suite, part]
            done = subprocess.run([*command, *mirror], capture_output=True, text=True, timeout=600)
            assert done.returncode == 0, done.stderr[-2000:]
            part.rename(tarball)
        self.docker("import", str(tarball), name, timeout=300)

    # ---- what is there ----------------------------------------------------------------------------------------------
    def left(self) -> dict[str, list[str]]:
        """Everything that could be left of containers, by kind."""
        return {
            "containers": self.docker("ps", "--all", "--quiet").stdout.split(),
            "networks": sorted(self.docker("network", "ls", "--format", "{{.Name}}").stdout.split()),
            "volumes": self.docker("volume", "ls", "--quiet").stdout.split(),
            "mounts": sorted(line.split()[4] for line in self._mounts() if str(self.folder) in line),
            "rules": self._rules(),
            "interfaces": sorted(line.split(":")[1].strip() for line in self.inside("ip", "-o", "link").splitlines()),
            "processes": sorted(self._names()),
        }

    def processes(self) -> list[int]:
        """The pids of the engine's processes, which have its folder among their arguments, and of its containers',
        which are in its control group."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                with suppress(OSError):
                    if self.folder.name.encode() in (entry / "cmdline").read_bytes() + (entry / "cgroup").read_bytes():
                        found.append(int(entry.name))
        return found

    def _names(self) -> Iterator[str]:
        for pid in self.processes():
            with suppress(OSError):
                yield Path(f"/proc/{pid}/comm").read_text().strip()

    def _mounts(self) -> list[str]:
        return Path(f"/proc/{self._holder.pid}/mountinfo").read_text().splitlines()

    def _rules(self) -> list[str]:
        """The iptables rules, without the counters."""
        lines = self.inside("iptables-save").splitlines()
        return sorted(line.partition(" [")[0] for line in lines if not line.startswith("#"))

    @staticmethod
    def _until(condition, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "not within the time"
            time.sleep(0.1)


def _is_apart(process: subprocess.Popen, kind: str) -> bool:
    """True once the process has a namespace of its own."""
    return os.readlink(f"/proc/{process.pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}")
