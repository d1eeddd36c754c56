"""The machine on which it was measured."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Machine:
    """`busy`: the load average in the minute before the measurement, to show what else was running. `stolen`: the share
    of the time, 0…1, that a virtual machine's host gave to others during the measurement."""

    cpu: str
    cores: int
    kernel: str
    python: str
    numpy: str
    asterisk: str
    busy: float
    stolen: float = 0.0

    def __str__(self) -> str:
        asterisk = f", {self.asterisk}" if self.asterisk else ""
        stolen = f"; its host took {100 * self.stolen:.1f} % of its time meanwhile" if self.stolen >= 0.001 else ""
        return (
            f"{self.cpu}, {self.cores} cores, Linux {self.kernel}, Python {self.python}, numpy {self.numpy}{asterisk}; "
            f"load average before: {self.busy}{stolen}"
        )


def this_machine() -> Machine:
    return Machine(
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)),
        kernel=platform.release(),
        python=platform.python_version(),
        numpy=np.__version__,
        asterisk="",
        busy=round(os.getloadavg()[0], 2),
    )


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()
