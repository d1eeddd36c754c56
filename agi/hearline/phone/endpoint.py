"""The pjsua2 endpoint of one process: bound to one address, timed for faithful recordings, G.711 only.

Timing: the sound device is pjsua2's null device (a 20 ms clock in a native thread), the bridge runs at 8 kHz so that
nothing is resampled, and the jitter buffer has a fixed length and never discards, so a recording keeps the distances
between the frames as they arrived.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import shutil
import tempfile
from typing import Any

import numpy as np

from hearline.phone import wav
from hearline.phone.script import CALLS_PER_PROCESS, CODECS

try:
    import pjsua2 as pj
except ImportError as missing:
    raise SystemExit(f"softphones need pjsua2 ({missing}): pip install 'hearline[softphone]'") from missing

# Delay before playing: enough for the scheduling jitter of a busy 2-core machine.
JITTER_MS = 100
# Shorter utterances are padded, since the WAV player refuses files that do not fill its first buffer.
SHORTEST_WAV_S = 0.3


class Endpoint:
    """pjsua2's endpoint, with everything that calls share: codecs, players, a source of silence, a folder of WAV files.

    packet_ms: how much sound is in each RTP packet that it sends; received packets may have any length.
    """

    def __init__(self, bind: str, packet_ms: int, log_level: int) -> None:
        self.folder = tempfile.mkdtemp(prefix="hearline-phone-")
        self.packet_ms = packet_ms
        self.order = itertools.count()
        self.tap = Tap()
        self.silence: Any = None
        self.library = pj.Endpoint()
        self.library.libCreate()
        config = pj.EpConfig()
        config.logConfig.level = config.logConfig.consoleLevel = log_level
        config.uaConfig.threadCnt = 0
        config.uaConfig.mainThreadOnly = True
        config.uaConfig.maxCalls = CALLS_PER_PROCESS
        config.uaConfig.userAgent = "hearline-phone"
        media = config.medConfig
        media.clockRate = media.sndClockRate = wav.RATE
        media.audioFramePtime = 20
        media.ptime = packet_ms  # overrides what the far side asks for
        media.threadCnt = 1
        media.ecTailLen = 0
        media.noVad = True  # silence suppression is done with `Tap`: exact, and per call
        media.sndAutoCloseTime = -1  # the clock must not stop between two calls
        # A stream is read in portions as large as those written, so one more portion must be ready.
        media.jbInit = media.jbMinPre = media.jbMaxPre = JITTER_MS + packet_ms - media.audioFramePtime
        media.jbMax = 1000
        self._kept = never_discard(media)
        self.library.libInit(config)
        self.library.audDevManager().setNullDev()
        self.nowhere = self.library.audDevManager().getPlaybackDevMedia()
        transport = pj.TransportConfig()
        transport.port = 0
        transport.boundAddress = bind
        self.library.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
        self.library.libStart()
        for name in CODECS:
            parameters = self.library.codecGetParam(f"{name}/8000/1")
            # Loss concealment would blend the edges of every pause, and delay everything by 5 ms.
            parameters.setting.plc = False
            self.library.codecSetParam(f"{name}/8000/1", parameters)
        self.offer(None)
        self.silence = self.player(self.wav_of(np.zeros(wav.RATE), "silence"), loop=True)

    def close(self) -> None:
        """Destroy the library. All calls, players and accounts must be gone or shut down before."""
        self.silence = self.nowhere = None
        try:
            self.library.libDestroy()
        except pj.Error:
            pass  # nothing is left to save
        shutil.rmtree(self.folder, ignore_errors=True)

    def offer(self, codec: str | None) -> None:
        """Make the next offer or answer contain only `codec`; None: A-law and mu-law.

        Codecs are chosen for the whole endpoint, but `makeCall` writes the offer, so call this before it, and again
        with None after it.
        """
        wanted = {codec} if codec else set(CODECS)
        for info in self.library.codecEnum2():
            chosen = info.codecId.split("/")[0] in wanted
            self.library.codecSetPriority(info.codecId, 255 if chosen else 0)

    def packets_of(self, length_ms: int) -> int:
        """The number of packets for this much sound."""
        return -(-length_ms // self.packet_ms)

    def wav_of(self, samples: Any, name: str) -> str:
        path = os.path.join(self.folder, f"{name}-{next(self.order)}.wav")
        short = int(SHORTEST_WAV_S * wav.RATE) - len(samples)
        wav.write(path, np.pad(samples, (0, short)) if short > 0 else samples)
        return path

    def player(self, path: str, *, loop: bool) -> Any:
        player = pj.AudioMediaPlayer()
        player.createPlayer(path, 0 if loop else pj.PJMEDIA_FILE_NO_LOOP)
        return player


class Tap:
    """Opens and closes the sending side of a stream, so that a phone can send no RTP at all.

    The endpoint's silence suppression cannot do that: it sends everything for 600 ms, and an occasional frame after
    that; and a call with nothing connected to it sends silence. pjsua2 does not wrap pausing, but its library exports
    it.
    """

    _ENCODING = 1  # PJMEDIA_DIR_ENCODING

    def __init__(self) -> None:
        library = ctypes.CDLL(pj._pjsua2.__file__)
        self._pause, self._resume = library.pjmedia_stream_pause, library.pjmedia_stream_resume
        for function in (self._pause, self._resume):
            function.argtypes, function.restype = [ctypes.c_void_p, ctypes.c_int], ctypes.c_int

    def close(self, stream: int) -> None:
        self._pause(stream, self._ENCODING)

    def open(self, stream: int) -> None:
        self._resume(stream, self._ENCODING)


def never_discard(media: Any) -> Any:
    """Set the jitter buffer to PJMEDIA_JB_DISCARD_NONE (0). The binding does not wrap that enum, so it is written by
    address.

    Returns the wrapper; keep it, since the binding complains on stderr when it is dropped.
    """
    algorithm = media.jbDiscardAlgo
    ctypes.c_int.from_address(int(algorithm)).value = 0
    media.jbDiscardAlgo = algorithm
    return algorithm
