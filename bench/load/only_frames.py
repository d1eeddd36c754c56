"""Compiles and runs `only_frames.c`: a server that reads and writes a frame per call every 20 ms, and nothing else."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOURCE = Path(__file__).with_name("only_frames.c")
ADDRESS = ("127.0.0.1", 15_099)  # as in bench.conf


def compiled(folder: Path) -> Path:
    """The program, compiled into `folder`.

    Raises:
        RuntimeError: there is no C compiler, or it cannot compile the program.
    """
    program = folder / SOURCE.stem
    try:
        subprocess.run(
            ["cc", "-O2", "-o", str(program), str(SOURCE)], check=True, stderr=subprocess.PIPE, text=True, cwd=folder
        )
    except FileNotFoundError:
        raise RuntimeError("there is no C compiler (cc); on Debian, install gcc and libc6-dev") from None
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"cc cannot compile {SOURCE.name}: {error.stderr.strip()}") from error
    return program


@contextmanager
def serving(program: Path, address: tuple[str, int] = ADDRESS) -> Iterator[tuple[subprocess.Popen, tuple[str, int]]]:
    """Run the program on AudioSocket connections to `address`; port 0 takes any free one. Yields the process and the
    address that it listens on. The process ends with the block.

    Raises:
        RuntimeError: the program had ended before the block did.
    """
    with socket.create_server(address, backlog=1024) as listener:
        listener.setblocking(False)
        fd = listener.fileno()
        process = subprocess.Popen([str(program), str(fd)], stdin=subprocess.PIPE, pass_fds=(fd,))
        where = listener.getsockname()
    try:
        yield process, where
    finally:
        process.stdin.close()
        process.wait()
    if process.returncode:
        raise RuntimeError(f"{SOURCE.name} ended with {process.returncode} before its time")
