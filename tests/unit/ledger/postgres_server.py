"""A PostgreSQL of the tests' own, from Debian's package, on a Unix socket in a folder of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

SERVER = "postgres"  # also the name of the user that the package makes: PostgreSQL refuses to run as root
START_S = 20.0
OPTIONS = ("fsync=off", "listen_addresses=", "max_connections=20", "shared_buffers=32MB", "autovacuum=off")
"""No power cut is tested, so nothing is synced."""


class NoPostgres(Exception):
    """Why there can be none here."""


def program(name: str) -> str:
    of_debian = Path("/usr/lib/postgresql").glob(f"*/bin/{name}")
    newest = max(of_debian, key=lambda path: int(path.parts[4]), default=None)
    found = str(newest) if newest else shutil.which(name)
    if not found:
        raise NoPostgres(f"there is no {name}: apt-get install postgresql")
    return found


class PostgresServer:
    """``start`` makes a cluster and runs it; ``kill`` and ``start`` again is a crash."""

    def __init__(self) -> None:
        self._initdb, self._postgres = program("initdb"), program(SERVER)
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            try:
                pwd.getpwnam(SERVER)
            except KeyError:
                raise NoPostgres(f"there is no user {SERVER}, and root may not run it") from None
            self._as = {"user": SERVER, "group": SERVER, "extra_groups": []}
        try:
            import psycopg  # noqa: F401
        except ImportError:
            raise NoPostgres("psycopg is missing: pip install 'hearline[postgresql]'") from None
        self.folder = Path(tempfile.mkdtemp(prefix="hearline-pg-"))
        self._process: subprocess.Popen | None = None
        if self._as:
            shutil.chown(self.folder, SERVER, SERVER)
        options = ["--no-sync", "--auth=trust", f"--username={SERVER}", "--encoding=UTF8", "--locale=C.UTF-8"]
        command = [self._initdb, *options, "-D", str(self.folder / "data")]
        done = subprocess.run(command, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **self._as)
        if done.returncode:
            self.stop()
            raise NoPostgres(f"initdb fails: {done.stdout[-300:]}")

    def start(self) -> None:
        settings = [word for option in OPTIONS for word in ("-c", option)]
        command = [self._postgres, "-D", str(self.folder / "data"), "-k", str(self.folder), *settings]
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(command, cwd="/", stdout=log, stderr=log, **self._as)
        ends = time.monotonic() + START_S
        while True:
            with suppress(Exception):
                self.execute("SELECT 1")
                return
            if self._process.poll() is not None or time.monotonic() > ends:
                why = (self.folder / "log").read_text()[-300:]
                self.stop()
                raise NoPostgres(f"it does not start: {why}")
            time.sleep(0.05)

    def kill(self) -> None:
        """As a crash: no process of it shuts down, and what was committed comes back at the next start."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(START_S)

    def stop(self) -> None:
        if self._process and self._process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def execute(self, sql: str) -> None:
        import psycopg

        with psycopg.connect(f"host={self.folder} user={SERVER} dbname=postgres", autocommit=True) as connection:
            connection.execute(sql)

    def url(self, database: str) -> str:
        return f"postgresql://{SERVER}@/{database}?host={self.folder}"
