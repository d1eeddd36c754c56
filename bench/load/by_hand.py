"""A conventional solution for comparison: an EAGI script, one process per call, with pyst2 and WebRTC's detector.

Asterisk starts it with the folder of the prompts as argument, and passes the caller's sound (16-bit, 8 kHz) as file 3.
It imports nothing from Hearline.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque

import webrtcvad
from asterisk.agi import AGI, AGIException

COURSE = (("opening", 3.0), ("noinput-1", 3.0), ("noinput-2", 3.0), ("noinput-goodbye", 2.0))  # prompt, wait in s
RATE = 8_000  # Hz
FRAME = 320  # bytes, 20 ms
STRICT = 3  # the detector's strictest mode, with the fewest false alarms
SPEECH_OF_LAST = (10, 15)  # frames


class Listener(threading.Thread):
    """Listens to the caller during the whole call."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._condition = threading.Condition()
        self.spoken_at = 0.0  # monotonic s
        self.gone = False

    def run(self) -> None:
        vad = webrtcvad.Vad(STRICT)
        least, of = SPEECH_OF_LAST
        last: deque[bool] = deque(maxlen=of)
        with os.fdopen(3, "rb") as sound:
            while len(frame := sound.read(FRAME)) == FRAME:
                last.append(vad.is_speech(frame, RATE))
                if sum(last) >= least:
                    with self._condition:
                        self.spoken_at = time.monotonic()
                        self._condition.notify()
        with self._condition:
            self.gone = True
            self._condition.notify()

    def wait_for_silence(self, seconds: float) -> None:
        """Wait until nothing has been said for ``seconds``, counted from now at the earliest, or the caller is gone."""
        began = time.monotonic()
        with self._condition:
            while not self.gone and (left := max(began, self.spoken_at) + seconds - time.monotonic()) > 0:
                self._condition.wait(left)


def main() -> None:
    with open(os.devnull, "w") as nowhere:  # pyst2 logs everything it does
        agi = AGI(stderr=nowhere)
        listener = Listener()
        listener.start()
        try:
            for prompt, wait_s in COURSE:
                agi.stream_file(f"{sys.argv[1]}/{prompt}")
                listener.wait_for_silence(wait_s)
                if listener.gone:
                    return
            agi.hangup()
        except (AGIException, ValueError, OSError):  # after a hang-up, pyst2 fails in several ways
            pass


if __name__ == "__main__":
    main()
