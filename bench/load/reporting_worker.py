"""Stands in for agent assist's media worker: it hears nothing, but reports as often as the real one.

Every announced leg reports ten times a second; a turn of speech begins, is judged and ends every three seconds.
"""

from __future__ import annotations

import argparse
import socket
import time
from dataclasses import replace

from hearline.audio.hearing import Heard, Hearing, SpeechEnded, SpeechStarted
from hearline.media.worker_protocol import NO_BEAT, Announce, Channel, LegReport, Withdraw

TICK_S = 0.020
TICKS = 5  # between two reports of a leg
BEAT_TICKS = 10
TURN_TICKS = 150
REPORTS = 256  # per message, like the worker
HEARING = Hearing("speech", "normal", True, -26.0, 1.2, -60.0, 2_000, 120, 0.0, 0.9)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--channel-fd", type=int, required=True)
    given, _ = parser.parse_known_args()
    channel = Channel(socket.socket(fileno=given.channel_fd))
    channel.send(("listening", ("127.0.0.1", 1)))
    legs: dict[str, int] = {}  # the tick in which each began
    tick, due = 0, time.monotonic()
    while not channel.closed:
        for message in channel.received():
            match message:
                case Announce(uuid=uuid):
                    legs[uuid] = tick
                case Withdraw(uuid=uuid):
                    legs.pop(uuid, None)
        channel.flush()
        reports = [report(uuid, tick - began) for uuid, began in legs.items() if (tick - began) % TICKS == 0]
        for first in range(0, len(reports), REPORTS):
            channel.send(reports[first : first + REPORTS])
        if tick % BEAT_TICKS == 0:
            channel.offer(replace(NO_BEAT, calls=len(legs)))
        tick += 1
        due += TICK_S
        time.sleep(max(0.0, due - time.monotonic()))


def report(uuid: str, ticks: int) -> LegReport:
    """The report of a leg, `ticks` ticks after it came."""
    at_ms = round(ticks * TICK_S * 1_000)
    match ticks % TURN_TICKS:
        case 50:
            events = (SpeechStarted(at_ms, at_ms - 120),)
        case 100:
            events = (Heard(at_ms, HEARING),)
        case 120:
            events = (SpeechEnded(at_ms, at_ms - 700),)
        case _:
            events = ()
    return LegReport(uuid, at_ms, events, -60.0)


if __name__ == "__main__":
    main()
