"""Callers and agents with telephones: SIPp, with one process for all of a kind."""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hearline.audio.g711 import encode_alaw
from hearline.ops.stack import Stack

from .callers import Kind

SCENARIO = Path(__file__).with_name("caller.xml")
AGENT = Path(__file__).with_name("agent.xml")
# Ports that the system does not assign.
PORTS = {Kind.SILENT: 61_000, Kind.SOFT: 62_000, Kind.SPEAKING: 63_000, Kind.TALKING: 30_000}
AGENTS_PORT = 28_000
_STAT, _RTT = "stat.csv", "*_rtt.csv"


@dataclass(frozen=True)
class Group:
    """The finished calls of one kind. `ended_ms`: the lengths of those that the other side ended; the other callers
    hung up themselves."""

    kind: Kind
    calls: int
    failed: int
    ended_ms: list[float]


@contextmanager
def callers(
    stack: Stack, folder: Path, number: str, kind: Kind, samples: np.ndarray, calls: int, a_second: float, stay_ms: int
) -> Iterator[subprocess.Popen]:
    """SIPp places `calls` calls to `number`, beginning `a_second` each second. It ends with the block."""
    folder.mkdir(parents=True)
    (folder / "audio.alaw").write_bytes(encode_alaw(samples).tobytes())
    (account,) = (one for one in stack.accounts()[0] if one.name == kind)
    credentials = f"[authentication username={account.name} password={account.password}]"
    (folder / "who.csv").write_text(f"SEQUENTIAL\n{account.name};{credentials}\n")
    (folder / "who.csv").chmod(0o600)
    (folder / "caller.xml").write_text(SCENARIO.read_text().replace("@STAY_MS@", str(stay_ms)))
    options = {
        "-sf": "caller.xml",
        "-inf": "who.csv",
        "-s": number,
        "-i": "127.0.0.1",
        "-p": PORTS[kind],
        "-mp": PORTS[kind] + 100,
        "-m": calls,
        "-l": calls,
        "-r": round(1_000 * a_second),
        "-rp": 1_000_000,  # ms: rates under one a second too
        "-rtt_freq": 1,
        "-fd": 1,
        "-stf": _STAT,
        "-timeout": round(calls / a_second + stay_ms / 1_000 + 20),
        "-error_file": "errors.log",
    }
    with _sipp(folder, options, stack.sip, "-trace_rtt", "-trace_stat") as process:
        yield process


@contextmanager
def agents(folder: Path, samples: np.ndarray) -> Iterator[subprocess.Popen]:
    """SIPp answers calls to ``AGENTS_PORT`` after half a second, and plays `samples` until the caller hangs up. It ends
    with the block."""
    folder.mkdir(parents=True)
    (folder / "audio.alaw").write_bytes(encode_alaw(samples).tobytes())
    options = {
        "-sf": AGENT,
        "-i": "127.0.0.1",
        "-p": AGENTS_PORT,
        "-mp": AGENTS_PORT + 100,
        "-error_file": "errors.log",
    }
    with _sipp(folder, options) as process:
        yield process


@contextmanager
def _sipp(folder: Path, options: dict[str, object], *more: str) -> Iterator[subprocess.Popen]:
    command = ["sipp", *more, *(str(word) for option in options.items() for word in option), "-nostdin", "-trace_err"]
    with open(folder / "console.log", "wb") as out:
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=out)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def group(folder: Path, kind: Kind) -> Group:
    """The results of the calls of a SIPp that has ended."""
    with open(folder / _STAT, newline="") as file:
        *_, last = csv.DictReader(file, delimiter=";")
    failed = int(last["FailedCall(C)"])
    ended = []
    for found in folder.glob(_RTT):
        with open(found, newline="") as file:
            ended += [float(row["response_time_ms"]) for row in csv.DictReader(file, delimiter=";")]
    return Group(kind, int(last["SuccessfulCall(C)"]) + failed, failed, ended)
