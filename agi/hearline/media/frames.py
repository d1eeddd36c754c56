"""One frame each way on every AudioSocket connection: the part of a tick that is done a thousand times.

It exists in Python and compiled (`_frames.c`, if there was a compiler when Hearline was installed). Both do the same to
the same arrays, which have a row or a number for each line. `connections.py` owns the arrays and handles rare cases.
"""

from __future__ import annotations

import os

import numpy as np

from hearline.media.audiosocket import KIND_AUDIO
from hearline.media.transport import FRAME_BYTES

HEADER_BYTES = 3
MESSAGE_BYTES = HEADER_BYTES + FRAME_BYTES
READ_BYTES = 8 * MESSAGE_BYTES  # per read
AUDIO_HEADER = bytes([KIND_AUDIO]) + FRAME_BYTES.to_bytes(2, "big")
BACKLOG = 25  # frames kept until a tick takes them: half a second
EVEN_OUT_TICKS = 50


def send(fds: np.ndarray, messages: np.ndarray, odd: np.ndarray) -> int:
    """Write each line's message, uint8 [lines, MESSAGE_BYTES], to its non-blocking descriptor, int32 [lines]; −1: none.

    `odd`, int32 [lines, 2], receives the lines whose message was not sent whole: line, and bytes written, or −1 if the
    connection is gone. Returns their number.
    """
    count = 0
    for line, fd in enumerate(fds.tolist()):
        if fd < 0:
            continue
        try:
            written = os.write(fd, messages[line])
        except BlockingIOError:
            written = 0
        except OSError:
            written = -1
        if written != MESSAGE_BYTES:
            odd[count] = line, written
            count += 1
    return count


def read(
    fds: np.ndarray, begun: np.ndarray, backlog: np.ndarray, held: np.ndarray, odd: np.ndarray, unread: np.ndarray
) -> int:
    """Read from each descriptor of `fds`, as in `send`, and append whole frames to the line's `backlog`, uint8 [lines,
    BACKLOG, FRAME_BYTES]. `held`, int32 [lines], counts the frames there; new ones push out the oldest.

    Bytes that are not whole frames, or that follow a message that has `begun` but not ended, bool [lines], go to
    `unread`, uint8 [lines * READ_BYTES], one line's after another's. `odd`, int32 [lines, 2], receives these lines:
    line, and number of bytes, 0 if the other side has closed, −1 if the connection is gone. Returns their number.
    """
    count = at = 0
    in_part, filled = begun.tolist(), held.tolist()
    single: dict[int, bytes] = {}  # the usual case, one message and room for it: stored for all lines at once
    for line, fd in enumerate(fds.tolist()):
        if fd < 0:
            continue
        try:
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            continue
        except OSError:
            odd[count] = line, -1
            count += 1
            continue
        if data and not in_part[line] and _are_whole_frames(data):
            if len(data) == MESSAGE_BYTES and filled[line] < BACKLOG:
                single[line] = data
                continue
            for frame in range(HEADER_BYTES, len(data), MESSAGE_BYTES):
                keep(backlog[line], held, line, data[frame : frame + FRAME_BYTES])
            continue
        unread[at : at + len(data)] = np.frombuffer(data, np.uint8)
        at += len(data)
        odd[count] = line, len(data)
        count += 1
    if single:
        lines = np.fromiter(single, int)
        messages = np.frombuffer(b"".join(single.values()), np.uint8).reshape(-1, MESSAGE_BYTES)
        backlog[lines, held[lines]] = messages[:, HEADER_BYTES:]
        held[lines] += 1
    return count


def _are_whole_frames(data: bytes) -> bool:
    starts = range(0, len(data), MESSAGE_BYTES)
    return not len(data) % MESSAGE_BYTES and all(data.startswith(AUDIO_HEADER, start) for start in starts)


def keep(backlog: np.ndarray, held: np.ndarray, line: int, frame: bytes) -> None:
    """Append a frame to a line's `backlog`, uint8 [BACKLOG, FRAME_BYTES], pushing out the oldest if it is full."""
    if held[line] == BACKLOG:
        backlog[:-1] = backlog[1:]
        held[line] -= 1
    backlog[held[line]] = np.frombuffer(frame, np.uint8)
    held[line] += 1


def take(
    backlog: np.ndarray, held: np.ndarray, least: np.ndarray, ticks: np.ndarray, rows: np.ndarray, came: np.ndarray
) -> None:
    """Move the oldest frame of each line's backlog into its row, int16 [lines, 160], and note in `came`, bool [lines],
    whether there was one.

    The backlog is a jitter buffer. If at least two frames were left in it after each of EVEN_OUT_TICKS ticks (the
    clocks differ, or a burst came), one is dropped. `least` and `ticks`, int32 [lines], keep track of that; they start
    with BACKLOG and 0.
    """
    lines = len(held)
    least, ticks = least[:lines], ticks[:lines]
    came[:lines] = held > 0
    rows.view(np.uint8)[:lines] = backlog[:lines, 0]
    left = np.maximum(held - 1, 0)
    np.minimum(least, left, out=least)
    ticks += 1
    for line in (ticks >= EVEN_OUT_TICKS).nonzero()[0]:
        if least[line] > 1:
            backlog[line, :-1] = backlog[line, 1:]
            left[line] -= 1
        least[line], ticks[line] = BACKLOG, 0
    more = left.nonzero()[0]
    if more.size:
        longest = left.max()
        backlog[more, :longest] = backlog[more, 1 : 1 + longest]
    held[:] = left
