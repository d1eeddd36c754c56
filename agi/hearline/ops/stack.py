"""The private stack: an Asterisk with our configuration, and the Hearline server.

``<state>/stack/stack.json`` names the running processes; only those are ever ended.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hearline.core.files import write_private
from hearline.core.peers import is_loopback
from hearline.core.precedence import AHEAD
from hearline.core.settings import AMI_USER, Settings, address
from hearline.ops import asterisk as ways
from hearline.ops.asterisk import Asterisk, AsteriskUnavailable
from hearline.ops.provision import CONTAINER_DATA, CONTAINER_MODULES, certify_page, give_pins, layout, page_accounts
from hearline.pbx import config
from hearline.pbx.version import whispers_into_silence
from hearline.store.accounts import Accounts

Say = Callable[[str], None]
BUILD_S, COMPOSE_S = 1_800, 120  # time limits for building the image, and for other compose commands
LOCK = Path(tempfile.gettempdir()) / "hearline-stack.lock"
BOOT_S = 30.0
PAGE_S = 15.0  # the page's process begins when calls are taken already
STOP_S = 8.0
SIP_PORT = 5070
AMI_PORT = 5038
PHONE_PORT = 8088
RTP_SPAN = 1_000
KINDS = ("container", "installed", "root")


class StackError(RuntimeError):
    """The stack could not be brought up; the message says what to do."""


@dataclass
class Running:
    """What was started, and how. Addresses are ``host:port``; a pid of 0 means not started by us.

    The system may reuse a pid after our process has ended; the start time (see `_started`) tells the two apart.
    """

    kind: str
    listen: str
    sip_port: int
    agi: str
    media: str
    status: str
    ami: str = ""
    legs: str = ""
    page: str = ""
    phone: str = ""
    always_open: bool = False
    verbose: int = 0
    asterisk_pid: int = 0
    asterisk_started: int = 0
    server_pid: int = 0
    server_started: int = 0


class Stack:
    """One private stack in ``settings.state/stack``.

    Args:
        settings: folders and addresses. Ports that are in use are replaced by free ones.
        verbose: Asterisk's console verbosity.
        callers: names of the callers' accounts.
    """

    def __init__(self, settings: Settings, verbose: int = 0, callers: tuple[str, ...] = ("caller",)) -> None:
        if "try_it" not in settings.model_fields_set:  # a stack is there to be tried
            settings = settings.model_copy(update={"try_it": "anybody"})
        self.settings = settings
        self.home = (settings.state / "stack").absolute()
        self._file = self.home / "stack.json"
        self._verbose = verbose
        self._callers = callers
        self.running: Running | None = self._read()
        self._way: Asterisk | None = None

    # ---- up and down ------------------------------------------------------------------------------------------------
    def up(
        self,
        listen: str = "127.0.0.1",
        say: Say = lambda _line: None,
        server: bool = True,
        always_open: bool = False,
        kind: str | None = None,
    ) -> Running:
        """Start whatever is not running yet. Raises StackError, AsteriskUnavailable."""
        with _one_at_a_time(say):
            self.running = self._read()  # another `up` in the same folder may just have started it
            return self._up(listen, say, server, always_open, kind)

    def _up(self, listen: str, say: Say, server: bool, always_open: bool, kind: str | None) -> Running:
        if not self.asterisk_alive():
            with suppress(StackError):  # the container's engine may be gone; a new container replaces it
                self.down()  # otherwise the server of the old Asterisk would still hold its ports
            self._start_asterisk(listen, say, kind)
        if server and not self.server_alive():
            self.start_server(say, always_open)
            if not listens(self.running.page, PAGE_S):
                say(f"the page does not answer yet at {self.running.page}; see {self.home}/log/hearline.log")
        return self.running

    def differences(self, listen: str, kind: str | None, always_open: bool) -> list[str]:
        """The options that differ from those of the running stack, one sentence each."""
        r = self.running
        found = []
        if r.listen != listen:
            found.append(f"it runs already with --listen {r.listen}, not {listen}")
        if kind and r.kind != kind:
            found.append(f"it runs already with --kind {r.kind}, not {kind}")
        if r.always_open != always_open:
            found.append(f"it runs already {'with' if r.always_open else 'without'} --always-open")
        if r.verbose != self._verbose:
            found.append(f"it runs already with --verbose {r.verbose}, not {self._verbose}")
        return found

    def prepare(self, say: Say = lambda _line: None, kind: str | None = None) -> str:
        """Fetch or build the Asterisk that `up` would start; returns its kind. Raises as `up`."""
        way = choose(kind, self.settings.cache, say)
        if way is None:
            self._compose_build(say)
        return way.kind if way else "container"

    def down(self) -> None:
        """Stop what we started. Calls in progress are cut off.

        Raises:
            StackError: the container could not be stopped. It is still on record, so this can be tried again.
        """
        if self.running is None:
            return
        self.stop_server()
        if self.running.kind == "container":
            self._compose_run("down", "--timeout", "3")
        elif self.asterisk_alive():
            self.console("core stop now")
            _end(self.running.asterisk_pid, STOP_S)
        self._file.unlink(missing_ok=True)
        self.running = None

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    def accounts(self) -> tuple[list[config.Account], list[config.Account]]:
        """(callers, agents) of this stack."""
        return config.accounts(self.home, self._callers)

    @property
    def sip(self) -> str:
        """Asterisk's SIP address, host:port, as a phone on this machine reaches it."""
        host = self.running.listen if self.running.listen != "0.0.0.0" else "127.0.0.1"
        return f"{host}:{self.running.sip_port}"

    # ---- Asterisk ---------------------------------------------------------------------------------------------------
    def _start_asterisk(self, listen: str, say: Say, kind: str | None) -> None:
        sip_port, rtp_first = _free(SIP_PORT, socket.SOCK_DGRAM, listen, "--listen"), _free_rtp(listen)
        wanted = self._opened(listen)
        agi, media, status, legs, page = (
            _free_address(getattr(wanted, name), f"HEARLINE_{name.upper()}")
            for name in ("agi", "media", "status", "legs", "page")
        )
        ami = f"127.0.0.1:{_free(AMI_PORT, socket.SOCK_STREAM)}"
        phone = f"127.0.0.1:{_free(PHONE_PORT, socket.SOCK_STREAM)}"
        way = choose(kind, self.settings.cache, say)
        self.running = Running(
            kind=way.kind if way else "container",
            listen=listen,
            sip_port=sip_port,
            agi=agi,
            media=media,
            status=status,
            ami=ami,
            legs=legs,
            page=page,
            phone=phone,
            verbose=self._verbose,
        )
        values = layout(
            self.settings,
            home=self.home,
            secret=config.ami_secret(self.home),
            accounts=self.accounts(),
            agi=agi,
            ami=ami,
            phone=phone,
            listen=listen,
            sip_port=sip_port,
            rtp_first=rtp_first,
            rtp_last=rtp_first + RTP_SPAN - 1,
            verbose=self._verbose,
            whispers_into_silence=bool(way) and whispers_into_silence(way.version()),
            modules_dir=way.modules_dir() if way else CONTAINER_MODULES,
            data_dir=way.data_dir() if way else CONTAINER_DATA,
        )
        conf = config.render(self.settings.asterisk_templates / "etc", values)
        say(f"starting Asterisk ({self.running.kind})")
        if way is None:
            self._compose_up(say)
        else:
            # Beside what else a test machine does. If that is not permitted, `nice` says so in the log and goes on.
            command = ["nice", f"--adjustment={AHEAD}", *way.start_command(conf, [self.home, values.sounds_dir])]
            self.running.asterisk_pid = self._launch(command, "console.log", cwd="/").pid
            self.running.asterisk_started = _started(self.running.asterisk_pid)
        self._way = way
        self._write()
        self._wait_booted()

    def _opened(self, listen: str) -> Settings:
        """The settings for phones that come to this address: browsers come there as well, unless HEARLINE_PAGE says
        otherwise."""
        if is_loopback(listen) or "page" in self.settings.model_fields_set:
            return self.settings
        return self.settings.model_copy(update={"page": f"{listen}:{address(self.settings.page)[1]}"})

    def _wait_booted(self) -> None:
        deadline = time.monotonic() + BOOT_S
        while time.monotonic() < deadline:
            if self.running.kind != "container" and not self.asterisk_alive():
                break
            if "fully booted" in self.console("core waitfullybooted"):
                port = self.running.sip_port
                if "No objects found" not in self.console("pjsip show transports"):
                    return
                with suppress(StackError):
                    self.down()
                raise StackError(f"another process has just taken SIP port {port}: try again")
            time.sleep(0.1)
        with suppress(StackError):
            self.down()
        raise StackError(f"Asterisk did not start; see {self.home}/log/console.log and `hearline stack logs`")

    def console(self, command: str) -> str:
        """The output of a command on Asterisk's console; '' if the console cannot be reached."""
        conf = self.home / "etc" / "asterisk.conf"
        if self.running.kind == "container":
            full = [*self._compose(), "exec", "-T", "asterisk", "asterisk", "-C", str(conf), "-rx", command]
        else:
            way = self._way or self._choose_again()
            full = way.console_command(conf, self.running.asterisk_pid, command)
        try:
            answer = subprocess.run(
                full, capture_output=True, text=True, timeout=15, cwd="/", env=self._compose_environment()
            )
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return answer.stdout

    def _choose_again(self) -> Asterisk:
        self._way = ways.installed() if self.running.kind == "installed" else ways.root_folder(self.settings.cache)
        if self._way is None:
            raise AsteriskUnavailable("the Asterisk that was started is no longer installed")
        return self._way

    # ---- containers -------------------------------------------------------------------------------------------------
    def _compose(self) -> list[str]:
        project = "hearline-" + hashlib.sha256(str(self.home).encode()).hexdigest()[:8]  # one stack per folder
        return [
            *(_compose_command() or ["docker", "compose"]),
            "--project-name",
            project,
            "--file",
            str(self.settings.asterisk_templates / "compose.private.yaml"),
        ]

    def _compose_environment(self) -> dict[str, str]:
        return os.environ | {
            "HEARLINE_STACK_HOME": str(self.home),
            "HEARLINE_SOUNDS_DIR": str(self.settings.sounds.absolute()),
        }

    def _compose_build(self, say: Say) -> None:
        say("building the container image (first time: a minute or two)")
        self._compose_run("build")

    def _compose_up(self, say: Say) -> None:
        self._compose_build(say)
        # A container left over from an old stack has the same options, but an old configuration.
        self._compose_run("up", "--detach", "--force-recreate")

    def _compose_run(self, *what: str) -> None:
        command = [*self._compose(), *what]
        limit = BUILD_S if what[0] == "build" else COMPOSE_S
        try:
            done = subprocess.run(
                command, env=self._compose_environment(), capture_output=True, text=True, timeout=limit
            )
        except subprocess.TimeoutExpired:
            raise StackError(f"compose {what[0]} did not end within {limit} s: check the container engine") from None
        except OSError as error:
            raise StackError(f"compose {what[0]} failed: {error}") from None
        if done.returncode:
            # Podman's last line only names the compose program that it ran.
            said = [line for line in done.stderr.splitlines() if line.strip() and "Error: executing " not in line]
            said = said or ["no message"]
            raise StackError(f"compose {what[0]} failed: {said[-1]}")

    # ---- the Hearline server ----------------------------------------------------------------------------------------
    def server_command(self, always_open: bool = False) -> list[str]:
        r = self.running
        command = [sys.executable, "-m", "hearline", "serve", "--agi", r.agi, "--media", r.media, "--status", r.status]
        return command + (["--always-open"] if always_open else [])

    def server_environment(self) -> dict[str, str]:
        s, r = self.settings, self.running
        hosts = {socket.gethostbyname(address(where)[0]) for where in (r.agi, r.media, r.legs)}
        return os.environ | {
            "HEARLINE_SITE": s.site,
            "HEARLINE_STATE": str(s.state),
            "HEARLINE_FLOWS": str(s.flows),
            "HEARLINE_SOUNDS": str(s.sounds),
            "HEARLINE_CACHE": str(s.cache),
            "HEARLINE_ALLOW": ",".join(["127.0.0.0/8", *sorted(hosts - {"0.0.0.0"})]),  # Asterisk is on this machine
            "HEARLINE_AMI": r.ami,
            "HEARLINE_AMI_USER": AMI_USER,
            "HEARLINE_AMI_SECRET_FILE": str(config.ami_secret(self.home)),
            "HEARLINE_LEGS": r.legs,
            "HEARLINE_PAGE": r.page,
            "HEARLINE_PHONE": r.phone,
            "HEARLINE_TRY_IT": s.try_it,
        }

    def server_settings(self) -> Settings:
        """The settings with which the server of the running stack works."""
        names = {f"HEARLINE_{name.upper()}": name for name in Settings.model_fields}
        given = {names[name]: value for name, value in self.server_environment().items() if name in names}
        r = self.running
        return Settings(**given | {"agi": r.agi, "media": r.media, "status": r.status})

    def start_server(self, say: Say = lambda _line: None, always_open: bool = False) -> int:
        """Start `hearline serve` and wait until it takes calls. Returns its pid. Raises StackError."""
        say("starting the Hearline server")
        give_pins(self.pins, self.accounts()[1])
        certify_page(self.server_settings(), address(self.running.page)[0])
        command = self.server_command(always_open)
        process = self._launch(command, "hearline.log", env=self.server_environment())
        self.running.server_pid, self.running.server_started = process.pid, _started(process.pid)
        self.running.always_open = always_open
        self._write()
        deadline = time.monotonic() + BOOT_S
        while not (state := self.readiness()).get("ready"):
            if missing := state.get("flows_not_loaded"):
                say(f"not loaded: {', '.join(missing)}; calls to their numbers go straight to the queue")
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise StackError(f"the server did not start; see {self.home}/log/hearline.log")
            time.sleep(0.1)
        return process.pid

    @property
    def pins(self) -> Accounts:
        """The accounts of the agents' page."""
        return page_accounts(self.settings.state)

    def stop_server(self) -> None:
        if self.running and self.server_alive():
            _end(self.running.server_pid, STOP_S)
        if self.running:
            self.running.server_pid = 0
            self._write()

    def get(self, path: str) -> dict:
        """The JSON answer of the server's status address to a path such as ``/calls``. Raises OSError."""
        with urllib.request.urlopen(f"http://{self.running.status}{path}", timeout=2) as answer:
            return json.load(answer)

    def ready(self) -> bool:
        return bool(self.readiness().get("ready"))

    def readiness(self) -> dict:
        """The answer of ``/ready``, whether ready or not; empty if the server does not answer."""
        try:
            return self.get("/ready")
        except urllib.error.HTTPError as error:
            with error, suppress(OSError, ValueError):
                return json.load(error)
        except OSError:
            pass
        return {}

    def _launch(self, command: list[str], log: str, **how: Any) -> subprocess.Popen:
        """Start a process in its own session, so that Ctrl-C here does not end it. Its output goes to ``log``."""
        with open(self.home / "log" / log, "ab") as out:
            return subprocess.Popen(
                command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True, **how
            )

    # ---- what runs --------------------------------------------------------------------------------------------------
    def _read(self) -> Running | None:
        try:
            return Running(**json.loads(self._file.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def _write(self) -> None:
        write_private(self._file, json.dumps(asdict(self.running), indent=1))

    def asterisk_alive(self) -> bool:
        if self.running is None:
            return False
        if self.running.kind == "container":
            return bool(self.console("core show version"))
        return self.running.asterisk_started == _started(self.running.asterisk_pid) != 0

    def server_alive(self) -> bool:
        if self.running is None:
            return False
        return self.running.server_started == _started(self.running.server_pid) != 0


def choose(kind: str | None, cache: Path, say: Say = lambda _line: None) -> Asterisk | None:
    """The way to run Asterisk: `kind`, else the first that works on this machine. None stands for a container.

    Raises:
        StackError: `kind` is not available here.
        AsteriskUnavailable: no way is available.
    """
    if kind not in (None, *KINDS):
        raise StackError(f"{kind!r} is not a way to run Asterisk: use {', '.join(KINDS)}, or leave out --kind")
    if kind in (None, "container"):
        if _compose_command():
            return None
        if kind:
            raise StackError(f"{_why_no_container()}, or leave out --kind")
    if kind in (None, "installed"):
        if found := ways.installed():
            return found
        if kind:
            raise StackError("no Asterisk 22.10 or newer is installed here")
    return ways.root_folder(cache, say)


@cache
def _compose_command() -> list[str] | None:
    """The compose command of a container engine that answers, v2 or v1; None if there is none."""
    for compose in (["docker", "compose"], ["docker-compose"], ["podman", "compose"]):
        engine = compose[0].removesuffix("-compose")
        if _answers(engine, "info") and _answers(*compose, "version"):
            return compose
    return None


def _why_no_container() -> str:
    """What is missing, and what to do about it. (A docker command may be there without an engine, so that is asked.)"""
    if not (_answers("docker", "info") or _answers("podman", "info")):
        return "no container engine answers: start Docker or Podman (with compose)"
    return (
        "a container engine answers, but it has neither `docker compose` (v2) nor `docker-compose` (v1): "
        "install Docker's compose plugin, or Debian's docker-compose"
    )


def _answers(*command: str) -> bool:
    """True if this command is there and succeeds; `info` asks the engine itself."""
    try:
        return subprocess.run(command, capture_output=True, timeout=10).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def listens(where: str, patience_s: float) -> bool:
    """True if somebody takes connections at this address within that time. (0.0.0.0 leads to this machine.)"""
    deadline = time.monotonic() + patience_s
    while True:
        with suppress(OSError), socket.create_connection(address(where), timeout=1.0):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)


@contextmanager
def _one_at_a_time(say: Say) -> Iterator[None]:
    """Start only one stack on this machine at a time: two might find the same port free, and one would not get it."""
    try:
        lock = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise StackError(f"{LOCK}: {error.strerror}. Remove this file; it is only a lock") from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another stack that is being started on this machine")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _started(pid: int) -> int:
    """The start time of a process, in clock ticks since boot; 0 if there is none, or it is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()  # from the third field on
    except OSError:
        return 0
    return 0 if fields[0] == "Z" else int(fields[19])


def _end(pid: int, seconds: float) -> None:
    """End a process: SIGTERM, then SIGKILL. Reaps it if it is our child."""
    for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 2.0)):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass
            if not Path(f"/proc/{pid}").exists():
                return
            time.sleep(0.05)


def _free(preferred: int, kind: int, host: str = "127.0.0.1", option: str = "") -> int:
    """The port ``preferred`` if it is free, else any free port. ``option``: the option that gave ``host``. Raises
    StackError."""
    for port in (preferred, 0):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
                    raise StackError(
                        f"{option} {host} is not an address of this machine: give one that `ip -4 address` lists, "
                        "127.0.0.1, or 0.0.0.0 for all"
                    ) from None
                continue
            return probe.getsockname()[1]
    raise StackError(f"no free port on {host}")


def _free_address(preferred: str, option: str) -> str:
    try:
        host, port = address(preferred)
    except ValueError as error:
        raise StackError(f"{option}: {error}") from None
    return f"{host}:{_free(port, socket.SOCK_STREAM, host, option)}"


def _free_rtp(host: str) -> int:
    """The first port of a span for RTP whose ends are free. Raises StackError."""
    for first in range(20_000, 60_000, RTP_SPAN):
        if all(_free(port, socket.SOCK_DGRAM, host) == port for port in (first, first + 1, first + RTP_SPAN - 1)):
            return first
    raise StackError(f"no free ports for RTP on {host}")
