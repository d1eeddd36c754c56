"""Callers and agents as real SIP softphones, up to `CALLS_PER_PROCESS` at once, driven by a script.

Runs in a process of its own: pjsua2 is GPL, wants one main thread for everything, and holds one endpoint a
process. Events go to stdout, one JSON object a line: {"at", "phone", "call", "event", …}; "at" is
`time.monotonic()` in seconds, which other processes on the machine can compare with their own. pjsua2 writes
to stdout by itself, so file descriptor 1 is turned away from it and the events keep a descriptor of their
own.

Timing: the sound device is pjsua2's null device (a clock of 20 ms in a native thread), the bridge runs at 8
kHz so that nothing is resampled, and the jitter buffer is fixed and never discards, so a recording keeps the
distances between the frames as they arrived.
"""

from __future__ import annotations

import ctypes
import heapq
import itertools
import json
import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from hearline.phone import wav
from hearline.phone.script import CALLS_PER_PROCESS, CODECS, Account, Agent, Caller, Phone, Say, Script

try:
    import pjsua2 as pj
except ImportError as missing:
    raise SystemExit(
        f"softphones need pjsua2 ({missing}): pip install 'hearline[softphone]'"
    ) from missing

# What waits before play-out: enough for the scheduling jitter of a busy 2-core machine.
JITTER_MS = 60
POLL_MS = 10
# pjsip sends a key as 200 ms of RFC 4733 events; the last packet goes out three times.
KEY_MS = 240
# A talkspurt shorter than this is padded: the WAV player refuses files that do not fill its first buffer.
SHORTEST_WAV_S = 0.3


def run(script: Script, *, held: bool = False, log_level: int = 0) -> int:
    """Run `script` to its end and return the exit status.

    held: report "ready" when all agents are registered, then read commands from stdin, one JSON object a
    line: {"do": "start", "at": monotonic seconds} lets the callers' time begin; {"do": "say", "phone",
    "wav", "gain_db"}, {"do": "key", "phone", "digit"}, {"do": "hangup", "phone"} act on a running call. End
    of stdin hangs up.
    """
    events = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    if log_level:
        os.dup2(2, 1)
    else:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    desk = _Desk(script, events, held, log_level)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: desk.stop("signal"))
    try:
        desk.open()
        desk.loop()
        status = 0
    except pj.Error as error:
        desk.emit("", 0, "error", cause=error.info())
        status = 1
    desk.close()
    events.flush()
    # SWIG's objects would now be torn down in no particular order, some after the library that owns them.
    os._exit(status)


class _Desk:
    """The endpoint, the time line and the phones of one process."""

    def __init__(self, script: Script, events: Any, held: bool, log_level: int) -> None:
        self.script = script
        self.events = events
        self.held = held
        self.log_level = log_level
        self.folder = tempfile.mkdtemp(prefix="hearline-phone-")
        self.agenda: list[tuple[float, int, Callable[[], None]]] = []
        self.order = itertools.count()
        self.callers = [_CallerPhone(self, caller) for caller in script.callers]
        self.agents = [_AgentPhone(self, agent) for agent in script.agents]
        self.by_name = {phone.spec.name: phone for phone in (*self.callers, *self.agents)}
        self.accounts: dict[Account, _Account] = {}
        self.tap = _Tap()
        self.finished: list[_Call] = []     # dropped outside the callback that ended them
        self.started = False
        self.stopping_at: float | None = None
        self.callers_over_at: float | None = None
        self.input = b""

    # ---- events and time

    def emit(self, phone: str, call: int, event: str, **more: Any) -> None:
        line = {"at": round(time.monotonic(), 4), "phone": phone, "call": call, "event": event, **more}
        self.events.write(json.dumps(line, ensure_ascii=False) + "\n")

    def later(self, delay_ms: float, act: Callable[[], None]) -> None:
        self.at(time.monotonic() + delay_ms / 1000, act)

    def at(self, when: float, act: Callable[[], None]) -> None:
        heapq.heappush(self.agenda, (when, next(self.order), act))

    # ---- life

    def open(self) -> None:
        self.endpoint = pj.Endpoint()
        self.endpoint.libCreate()
        config = pj.EpConfig()
        config.logConfig.level = config.logConfig.consoleLevel = self.log_level
        config.uaConfig.threadCnt = 0
        config.uaConfig.mainThreadOnly = True
        config.uaConfig.maxCalls = CALLS_PER_PROCESS
        config.uaConfig.userAgent = "hearline-phone"
        media = config.medConfig
        media.clockRate = media.sndClockRate = wav.RATE
        media.audioFramePtime = media.ptime = 20
        media.threadCnt = 1
        media.ecTailLen = 0
        media.noVad = True      # who sends no silence has the stream's tap closed: exact, and per call
        media.sndAutoCloseTime = -1     # the clock must not stop between two calls
        media.jbInit = media.jbMinPre = media.jbMaxPre = JITTER_MS
        media.jbMax = 1000
        self._kept = _never_discard(media)
        self.endpoint.libInit(config)
        self.endpoint.audDevManager().setNullDev()
        transport = pj.TransportConfig()
        transport.port = 0
        transport.boundAddress = self.script.bind
        self.endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
        self.endpoint.libStart()
        for name in CODECS:
            parameters = self.endpoint.codecGetParam(f"{name}/8000/1")
            # It would blend the edges of every pause and delay everything by 5 ms.
            parameters.setting.plc = False
            self.endpoint.codecSetParam(f"{name}/8000/1", parameters)
        self.offer(None)
        self.silence = self.player(self.wav_of(np.zeros(wav.RATE), "silence"), loop=True)
        for phone in (*self.callers, *self.agents):
            phone.prepare()
        for agent in self.agents:
            agent.register()

    def loop(self) -> None:
        if not self.held:
            self.start_callers_when_ready(time.monotonic())
        announced = False
        while True:
            self.endpoint.libHandleEvents(POLL_MS)
            self.finished.clear()
            now = time.monotonic()
            while self.agenda and self.agenda[0][0] <= now:
                heapq.heappop(self.agenda)[2]()
            if self.held:
                if not announced and self.registered:
                    announced = True
                    self.emit("", 0, "ready")
                self.read_commands()
            if self.is_over(now):
                return

    @property
    def registered(self) -> bool:
        return all(agent.answered_register for agent in self.agents)

    def start_callers_when_ready(self, now: float) -> None:
        if self.registered:
            self.emit("", 0, "ready")
            self.start_callers(now)
        else:
            self.later(POLL_MS, lambda: self.start_callers_when_ready(time.monotonic()))

    def start_callers(self, zero: float) -> None:
        self.started = True
        for caller in self.callers:
            self.at(zero + caller.spec.start_ms / 1000, caller.dial)

    def is_over(self, now: float) -> bool:
        busy = any(phone.live for phone in self.by_name.values())
        if self.stopping_at is not None:
            return not busy or now > self.stopping_at + 2
        if not self.started or not all(caller.over for caller in self.callers):
            return False
        if not self.callers:
            return all(agent.full for agent in self.agents) and not busy
        if self.callers_over_at is None:
            self.callers_over_at = now
        return not busy or now > self.callers_over_at + self.script.linger_ms / 1000

    def stop(self, cause: str) -> None:
        """Hang everything up; `loop` ends when the far sides have confirmed it, or after 2 s."""
        if self.stopping_at is not None:
            return
        self.stopping_at = time.monotonic()
        self.at(0, lambda: self._hang_up_all(cause))

    def _hang_up_all(self, cause: str) -> None:
        self.emit("", 0, "stopping", cause=cause)
        for caller in self.callers:
            caller.over = True
        for phone in self.by_name.values():
            phone.hang_up()

    def close(self) -> None:
        for phone in self.by_name.values():
            phone.hang_up()
        self.finished.clear()
        self.silence = None
        for account in self.accounts.values():
            account.shutdown()
        try:
            self.endpoint.libDestroy()
        except pj.Error:
            pass    # nothing is left to save
        shutil.rmtree(self.folder, ignore_errors=True)
        self.emit("", 0, "over")

    def read_commands(self) -> None:
        while select.select([0], [], [], 0)[0]:
            chunk = os.read(0, 65536)
            if not chunk:
                self.stop("end of input")
                self.held = False
                return
            self.input += chunk
            *lines, self.input = self.input.split(b"\n")
            for line in lines:
                command = json.loads(line)
                if command["do"] == "start":
                    self.start_callers(command.get("at", time.monotonic()))
                elif phone := self.by_name.get(command.get("phone", "")):
                    phone.command(command)

    # ---- what the phones share

    def account(self, who: Account, server: str) -> _Account:
        """Callers with the same account share one: pjsua2 holds only 8."""
        if who not in self.accounts:
            self.accounts[who] = _Account(self, who, server)
        return self.accounts[who]

    def offer(self, codec: str | None) -> None:
        """Let the next offer or answer hold `codec` alone; None: A-law and mu-law.

        Codecs are chosen for the whole endpoint, but an offer is written inside `makeCall`: it is set before
        and put back after.
        """
        wanted = {codec} if codec else set(CODECS)
        for info in self.endpoint.codecEnum2():
            chosen = info.codecId.split("/")[0] in wanted
            self.endpoint.codecSetPriority(info.codecId, 255 if chosen else 0)

    def wav_of(self, samples: Any, name: str) -> str:
        path = os.path.join(self.folder, f"{name}-{next(self.order)}.wav")
        short = int(SHORTEST_WAV_S * wav.RATE) - len(samples)
        wav.write(path, np.pad(samples, (0, short)) if short > 0 else samples)
        return path

    def player(self, path: str, *, loop: bool) -> Any:
        player = pj.AudioMediaPlayer()
        player.createPlayer(path, 0 if loop else pj.PJMEDIA_FILE_NO_LOOP)
        return player


class _Tap:
    """Opens and closes the sending side of a stream, so that a phone can send no RTP at all.

    The endpoint's silence suppression is no way to that: it sends everything for 600 ms and a frame now and
    then afterwards, and a call with nothing connected to it sends silence. pjsua2 does not wrap pausing, but
    exports it.
    """

    _ENCODING = 1   # PJMEDIA_DIR_ENCODING

    def __init__(self) -> None:
        library = ctypes.CDLL(pj._pjsua2.__file__)
        self._pause, self._resume = library.pjmedia_stream_pause, library.pjmedia_stream_resume
        for function in (self._pause, self._resume):
            function.argtypes, function.restype = [ctypes.c_void_p, ctypes.c_int], ctypes.c_int

    def close(self, stream: int) -> None:
        self._pause(stream, self._ENCODING)

    def open(self, stream: int) -> None:
        self._resume(stream, self._ENCODING)


def _never_discard(media: Any) -> Any:
    """Jitter buffer: PJMEDIA_JB_DISCARD_NONE (0). The binding does not wrap that enum, hence the write by
    address.

    Returns the wrapper, to be kept: the binding complains on stderr when it is dropped.
    """
    algorithm = media.jbDiscardAlgo
    ctypes.c_int.from_address(int(algorithm)).value = 0
    media.jbDiscardAlgo = algorithm
    return algorithm


class _Account(pj.Account):
    """A SIP account; an agent's one registers and hands its calls to the agent."""

    def __init__(self, desk: _Desk, who: Account, server: str, agent: _AgentPhone | None = None) -> None:
        super().__init__()
        self.agent = agent
        config = pj.AccountConfig()
        config.idUri = f"sip:{who.user}@{server}"
        config.sipConfig.authCreds.append(pj.AuthCredInfo("digest", who.realm, who.user, 0, who.password))
        if agent:
            config.regConfig.registrarUri = f"sip:{server}"
            config.regConfig.timeoutSec = 600
        config.natConfig.contactRewriteUse = 0
        config.natConfig.viaRewriteUse = 0
        config.natConfig.sdpNatRewriteUse = 0
        config.natConfig.sipOutboundUse = 0
        first, last = desk.script.rtp_ports
        rtp = config.mediaConfig.transportConfig
        rtp.boundAddress = desk.script.bind
        rtp.port, rtp.portRange = first, last - first
        # Keep-alive packets would be RTP from a phone that sends none.
        config.mediaConfig.streamKaEnabled = False
        self.create(config)

    def onRegState(self, prm: Any) -> None:
        if self.agent:
            self.agent.on_register(prm.code, prm.reason)

    def onIncomingCall(self, prm: Any) -> None:
        if self.agent:
            self.agent.on_incoming(prm.callId)


class _Call(pj.Call):
    """One call of one phone."""

    def __init__(self, phone: _Phone, number: int, call_id: int | None = None) -> None:
        super().__init__(phone.account, *(() if call_id is None else (call_id,)))
        self.phone = phone
        self.number = number
        self.audio: Any = None
        self.confirmed = self.begun = self.gone = self.ended_here = False
        self.sound: list[Any] = []          # players and the recorder live as long as they are held here
        self.record: str | None = None
        self.packets = (0, 0)
        self.stream: int | None = None
        self.talking = 0                    # reasons to send, where the phone sends only then

    def emit(self, event: str, **more: Any) -> None:
        self.phone.desk.emit(self.phone.spec.name, self.number, event, **more)

    # ---- what pjsua2 reports

    def onCallState(self, prm: Any) -> None:
        info = self.getInfo()
        if info.state == pj.PJSIP_INV_STATE_EARLY and info.role == pj.PJSIP_ROLE_UAC:
            self.emit("ringing", code=info.lastStatusCode)
        elif info.state == pj.PJSIP_INV_STATE_CONFIRMED:
            self.confirmed = True
            self.begin()
        elif info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            self.end(info)

    def onCallMediaState(self, prm: Any) -> None:
        info = self.getInfo()       # held: its list of media dies with it
        for index, media in enumerate(info.media):
            if media.type == pj.PJMEDIA_TYPE_AUDIO and media.status == pj.PJSUA_CALL_MEDIA_ACTIVE:
                self.audio = self.getAudioMedia(index)
                if self.begun:
                    self.connect()      # a re-INVITE makes a new stream
        self.begin()

    def onStreamCreated(self, prm: Any) -> None:
        self.stream = int(prm.stream)
        if self.phone.spec.rtp != "always":
            self.phone.desk.tap.close(self.stream)      # before the first frame

    def onStreamDestroyed(self, prm: Any) -> None:
        self.count_packets()
        self.stream = None

    def onDtmfDigit(self, prm: Any) -> None:
        self.emit("heard_key", digit=prm.digit)

    # ---- what follows from it

    def begin(self) -> None:
        """The call is answered and its sound flows: this moment is 0 ms of the recording and of the script.
        """
        if self.begun or not self.confirmed or self.audio is None:
            return
        self.begun = True
        spec, desk = self.phone.spec, self.phone.desk
        if record := self.phone.record_path(self.number):
            self.record = record
            os.makedirs(os.path.dirname(os.path.abspath(record)), exist_ok=True)
            self.recorder = pj.AudioMediaRecorder()
            self.recorder.createRecorder(record)
            self.sound.append(self.recorder)
            # The recorder writes only the ticks in which something plays into it: silence keeps its time
            # going.
            desk.silence.startTransmit(self.recorder)
        if spec.rtp == "always" and self.phone.track:
            self.voice = desk.player(self.phone.track, loop=False)
            self.sound.append(self.voice)
        self.connect()
        self.emit("answered", codec=self.getStreamInfo(0).codecName, record=self.record)
        for say in spec.say:
            self.later(say.at_ms, lambda say=say: self.say(say, from_track=spec.rtp == "always"))
        for key in spec.keys:
            self.later(key.at_ms, lambda key=key: self.key(key.digit, planned_ms=key.at_ms))
        for limit in (spec.max_ms, self.phone.hangup_ms):
            if limit is not None:
                self.later(limit, self.hang_up)

    def later(self, delay_ms: float, act: Callable[[], None]) -> None:
        self.phone.desk.later(delay_ms, lambda: None if self.gone else act())

    def connect(self) -> None:
        if self.record:
            self.audio.startTransmit(self.recorder)
        if self.phone.spec.rtp == "always":
            self.phone.desk.silence.startTransmit(self.audio)
            if self.phone.track:
                self.voice.startTransmit(self.audio)

    def say(self, say: Say, *, from_track: bool) -> None:
        """One utterance now. Where it is part of the track it plays already, and this only reports it."""
        if not from_track:
            samples = wav.read(say.wav) * 10 ** (say.gain_db / 20)
            player = self.phone.desk.player(self.phone.desk.wav_of(samples, "say"), loop=False)
            self.sound.append(player)
            player.startTransmit(self.audio)
            self.send(True)
            # Disconnected at once, and so silent on the line, when the utterance is over.
            self.later(1000 * len(samples) / wav.RATE + 20, lambda: self.drop(player))
        self.emit("said", wav=say.wav, gain_db=say.gain_db, planned_ms=say.at_ms)

    def drop(self, player: Any) -> None:
        player.stopTransmit(self.audio)
        self.sound.remove(player)
        self.send(False)

    def send(self, on: bool) -> None:
        """Open the tap while there is something to send. Nothing to do for a phone that always sends."""
        if self.phone.spec.rtp == "always" or self.stream is None:
            return
        self.talking += 1 if on else -1
        if self.talking == int(on):     # the first reason, or the last one gone
            (self.phone.desk.tap.open if on else self.phone.desk.tap.close)(self.stream)

    def key(self, digit: str, planned_ms: float | None = None) -> None:
        self.dialDtmf(digit)    # while its events are in the queue, the stream sends them and no sound
        self.send(True)
        self.later(KEY_MS, lambda: self.send(False))
        self.emit("key", digit=digit, planned_ms=planned_ms)

    def hang_up(self) -> None:
        if self.gone:
            return
        self.ended_here = True
        try:
            self.hangup(pj.CallOpParam())
        except pj.Error as error:
            self.emit("error", cause=error.info())

    def count_packets(self) -> None:
        try:
            rtcp = self.getStreamStat(0).rtcp
            self.packets = (rtcp.txStat.pkt, rtcp.rxStat.pkt)
        except pj.Error:
            pass    # no stream (any more): the last count stands

    def end(self, info: Any) -> None:
        self.count_packets()
        self.gone = True
        self.sound.clear()      # closes the recording: the file is complete when the event below is out
        self.recorder = self.voice = None
        duration = info.connectDuration.sec * 1000 + info.connectDuration.msec
        self.emit(
            "disconnected", code=info.lastStatusCode, cause=info.lastReason,
            by="phone" if self.ended_here else "far", answered=self.begun, duration_ms=duration,
            tx_packets=self.packets[0], rx_packets=self.packets[1], record=self.record,
        )
        self.phone.on_end(self)


class _Phone:
    """What a caller's and an agent's phone have in common."""

    hangup_ms: float | None = None

    def __init__(self, desk: _Desk, spec: Phone) -> None:
        self.desk = desk
        self.spec = spec
        self.account: Any = None
        self.track: str | None = None
        self.live: list[_Call] = []
        self.calls = 0

    def prepare(self) -> None:
        """Render what the phone will say, before any call needs it."""
        if not (self.spec.say or self.spec.background or self.spec.said):
            return
        samples = wav.track(self.spec)
        if self.spec.said:
            wav.write(self.spec.said, samples)
        if len(samples):
            self.track = self.desk.wav_of(samples, "track")

    def record_path(self, number: int) -> str | None:
        return self.spec.record

    def command(self, command: dict) -> None:
        for call in [call for call in self.live if call.begun]:
            if command["do"] == "say":
                call.say(Say(0, command["wav"], command.get("gain_db", 0.0)), from_track=False)
            elif command["do"] == "key":
                call.key(command["digit"])
        if command["do"] == "hangup":
            self.hang_up()

    def hang_up(self) -> None:
        for call in list(self.live):
            call.hang_up()

    def on_end(self, call: _Call) -> None:
        self.live.remove(call)
        self.desk.finished.append(call)


class _CallerPhone(_Phone):
    spec: Caller

    def __init__(self, desk: _Desk, spec: Caller) -> None:
        super().__init__(desk, spec)
        self.hangup_ms = spec.hangup_at_ms
        self.over = False

    def dial(self) -> None:
        if self.over:
            return
        server = self.spec.account.server or self.spec.dial.partition("@")[2].partition(";")[0]
        self.account = self.desk.account(self.spec.account, server)
        self.calls += 1
        call = _Call(self, self.calls)
        self.live.append(call)
        self.desk.emit(self.spec.name, call.number, "dialled", dial=self.spec.dial)
        parameters = pj.CallOpParam(True)
        parameters.opt.videoCount = 0
        self.desk.offer(self.spec.codec)
        try:
            call.makeCall(self.spec.dial, parameters)
        except pj.Error as error:
            call.gone = True
            call.emit("disconnected", code=0, cause=error.info(), by="phone", answered=False, record=None,
                      duration_ms=0, tx_packets=0, rx_packets=0)
            self.on_end(call)
        finally:
            self.desk.offer(None)
        self.desk.later(self.spec.give_up_ms, lambda: None if call.begun else call.hang_up())

    def on_end(self, call: _Call) -> None:
        super().on_end(call)
        self.over = True


class _AgentPhone(_Phone):
    spec: Agent

    def __init__(self, desk: _Desk, spec: Agent) -> None:
        super().__init__(desk, spec)
        self.hangup_ms = spec.hangup_after_ms
        self.answered_register = False

    @property
    def full(self) -> bool:
        return self.spec.max_answers is not None and self.calls >= self.spec.max_answers

    def register(self) -> None:
        self.account = _Account(self.desk, self.spec.account, self.spec.account.server, self)

    def on_register(self, code: int, reason: str) -> None:
        if self.desk.stopping_at is None and not self.answered_register:
            event = "registered" if code == 200 else "refused"
            self.desk.emit(self.spec.name, 0, event, code=code, cause=reason)
        self.answered_register = True

    def on_incoming(self, call_id: int) -> None:
        if self.full or self.live or self.desk.stopping_at is not None:
            call = _Call(self, 0, call_id)
            self.live.append(call)
            call.answer(_with_code(pj.PJSIP_SC_BUSY_HERE))
            return
        self.calls += 1
        call = _Call(self, self.calls, call_id)
        self.live.append(call)
        call.answer(_with_code(pj.PJSIP_SC_RINGING))
        call.emit("ringing", remote=call.getInfo().remoteUri)
        if self.spec.answer_after_ms is not None:
            call.later(self.spec.answer_after_ms, lambda: self.answer(call))

    def answer(self, call: _Call) -> None:
        self.desk.offer(self.spec.codec)
        try:
            call.answer(_with_code(pj.PJSIP_SC_OK))
        finally:
            self.desk.offer(None)

    def record_path(self, number: int) -> str | None:
        """`agent.wav` becomes `agent-1.wav`, `agent-2.wav`, … one for each call."""
        if not self.spec.record:
            return None
        stem, extension = os.path.splitext(self.spec.record)
        return f"{stem}-{number}{extension or '.wav'}"


def _with_code(code: int) -> Any:
    parameters = pj.CallOpParam()
    parameters.statusCode = code
    return parameters
