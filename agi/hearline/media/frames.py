"""A frame each way on every AudioSocket connection: what is done a thousand times in a tick.

Once in Python, once compiled (`_frames.c`, if there was a compiler when Hearline was installed). Both do the same to
the same arrays, a row or a number for each line; `connections.py` has them and knows all that is seldom.
"""

from __future__ import annotations

import os

import numpy as np

from hearline.media.audiosocket import KIND_AUDIO
from hearline.media.transport import FRAME_BYTES

HEADER_BYTES = 3
MESSAGE_BYTES = HEADER_BYTES + FRAME_BYTES
READ_BYTES = 8 * MESSAGE_BYTES  # at one stroke
AUDIO_HEADER = bytes([KIND_AUDIO]) + FRAME_BYTES.to_bytes(2, "big")
BACKLOG = 25  # frames kept that no tick has taken yet: half a second
EVEN_OUT_TICKS = 50


def send(fds: np.ndarray, messages: np.ndarray, odd: np.ndarray) -> int:
    """Write the message, uint8 [lines, MESSAGE_BYTES], to each non-blocking descriptor, int32 [lines]; −1 for none.

    Those that did not go out whole are told in `odd`, int32 [lines, 2]: line, and the bytes written or −1 where the
    connection is gone. Returns how many.
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
    """Whole messages of sound from each descriptor, as in `send`, to the end of its `backlog`, uint8 [lines, BACKLOG,
    FRAME_BYTES], of which `held`, int32 [lines], are filled. What does not fit pushes out the oldest.

    Of all else only the bytes are taken, one line's after the other, into `unread`, uint8 [lines * READ_BYTES], and
    told in `odd` as in `send`: their number, 0 where the other side has closed, −1 where the connection is gone. So are
    those of lines on which a message has `begun`, bool [lines], and not ended. Returns how many.
    """
    count = at = 0
    in_part, filled = begun.tolist(), held.tolist()
    single: dict[int, bytes] = {}  # one message and room for it, as nearly always: kept all at once
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
    """One frame more at the end of a line's `backlog`, uint8 [BACKLOG, FRAME_BYTES]."""
    if held[line] == BACKLOG:
        backlog[:-1] = backlog[1:]
        held[line] -= 1
    backlog[held[line]] = np.frombuffer(frame, np.uint8)
    held[line] += 1


def take(
    backlog: np.ndarray, held: np.ndarray, least: np.ndarray, ticks: np.ndarray, rows: np.ndarray, came: np.ndarray
) -> None:
    """The oldest frame of each line's backlog into its row, int16 [lines, 160], and whether there was one into `came`,
    bool [lines].

    The backlog is a jitter buffer. Where two more were left of it in each of EVEN_OUT_TICKS ticks (the two clocks
    differ, or a burst came), one is let go. `least` and `ticks`, int32 [lines], are what is remembered for that: begin
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
