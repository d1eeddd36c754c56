"""SIP accounts and calls: react to what pjsua2 reports, and do what the script says."""

from __future__ import annotations

import functools
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from hearline.phone import wav
from hearline.phone.endpoint import Endpoint, pj
from hearline.phone.script import Account, Act, Phone, Say, Script

# pjsip sends a key as 200 ms of RFC 4733 events, and repeats the last packet twice.
KEY_MS = 200
REPEATED = 2
LOOK_MS = 10  # between checks whether they have been sent
SETTLED_MS = 1_000  # by then pjmedia has notified a player of the end of its file


class PhoneLoop(Protocol):
    """The part shared by all phones of the process (`softphone.Desk`)."""

    endpoint: Endpoint
    script: Script

    def emit(self, phone: str, call: int, event: str, **more: Any) -> None: ...
    def later(self, delay_ms: float, act: Callable[[], None]) -> None: ...
    def fail(self, cause: str) -> None: ...


class OwnPhone(Protocol):
    """The phone that has the call (`softphone.SoftPhone`)."""

    desk: PhoneLoop
    spec: Phone
    account: SipAccount
    track: str | None
    hangup_ms: float | None
    live: list[SipCall]

    def record_path(self, number: int) -> str | None: ...
    def dial(self, to: str, about: SipCall | None = None) -> SipCall: ...
    def on_end(self, call: SipCall) -> None: ...


class AnsweringPhone(Protocol):
    """A phone that others can call (`softphone.AgentPhone`)."""

    def on_register(self, code: int, reason: str) -> None: ...
    def on_incoming(self, call_id: int) -> None: ...


def with_code(code: int) -> Any:
    """Parameters of an answer with a SIP status code."""
    parameters = pj.CallOpParam()
    parameters.statusCode = code
    return parameters


def guarded(report: Callable) -> Callable:
    """Decorates a callback of pjsua2, which swallows exceptions: prints them, and ends the run as failed."""

    @functools.wraps(report)
    def wrapper(self: Any, prm: Any) -> None:
        try:
            report(self, prm)
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            self.desk.fail(repr(error))

    return wrapper


class SipAccount(pj.Account):
    """A SIP account. An agent's account registers, and passes incoming calls to the agent."""

    def __init__(self, desk: PhoneLoop, who: Account, server: str, agent: AnsweringPhone | None = None) -> None:
        super().__init__()
        self.desk = desk
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
        # Keep-alive packets would count as RTP from a phone that must send none.
        config.mediaConfig.streamKaEnabled = False
        self.create(config)

    @guarded
    def onRegState(self, prm: Any) -> None:
        if self.agent:
            self.agent.on_register(prm.code, prm.reason)

    @guarded
    def onIncomingCall(self, prm: Any) -> None:
        if self.agent:
            self.agent.on_incoming(prm.callId)


class SipCall(pj.Call):
    """One call of one phone. `about`: the call that this one is a consultation about; then the script does not
    apply."""

    def __init__(self, phone: OwnPhone, number: int, call_id: int | None = None, about: SipCall | None = None) -> None:
        super().__init__(phone.account, *(() if call_id is None else (call_id,)))
        self.phone = phone
        self.about = about
        self.desk = phone.desk
        self.number = number
        self.audio: Any = None
        self.confirmed = self.begun = self.gone = self.ended_here = self.held = False
        self.voice: Any = None
        self.sound: list[Any] = []  # keeps players and the recorder alive
        self.record: str | None = None
        self.codec: str | None = None  # known once it is answered
        self.packets = (0, 0)
        self.stream: int | None = None
        self.talking = 0  # number of reasons to send, for phones that do not always send
        self.sent_keys_at = 0  # number of packets in this stream by which the last key has been sent

    def emit(self, event: str, **more: Any) -> None:
        self.desk.emit(self.phone.spec.name, self.number, event, **more)

    # ---- what pjsua2 reports

    @guarded
    def onCallState(self, prm: Any) -> None:
        info = self.getInfo()
        if info.state == pj.PJSIP_INV_STATE_EARLY and info.role == pj.PJSIP_ROLE_UAC:
            self.emit("ringing", code=info.lastStatusCode)
        elif info.state == pj.PJSIP_INV_STATE_CONFIRMED:
            self.confirmed = True
            self.begin()
        elif info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            self.end(info)

    @guarded
    def onCallMediaState(self, prm: Any) -> None:
        info = self.getInfo()  # keep a reference: its list of media dies with it
        for index, media in enumerate(info.media):
            if media.type != pj.PJMEDIA_TYPE_AUDIO:
                continue
            if media.status == pj.PJSUA_CALL_MEDIA_ACTIVE:
                self.audio = self.getAudioMedia(index)
                if self.begun:
                    self.connect()  # a re-INVITE makes a new stream
                if self.held:
                    self.held = False
                    self.emit("unheld")
            elif media.status == pj.PJSUA_CALL_MEDIA_LOCAL_HOLD and not self.held:
                self.held = True
                self.emit("held")
        self.begin()

    @guarded
    def onStreamCreated(self, prm: Any) -> None:
        self.stream, self.sent_keys_at = int(prm.stream), 0
        if self.phone.spec.rtp != "always" and not self.talking:
            self.desk.endpoint.tap.close(self.stream)  # before the first frame

    @guarded
    def onStreamDestroyed(self, prm: Any) -> None:
        self.count_packets()
        self.stream = None

    @guarded
    def onDtmfDigit(self, prm: Any) -> None:
        self.emit("heard_key", digit=prm.digit)

    @guarded
    def onCallTransferStatus(self, prm: Any) -> None:
        """The far side's progress with our REFER."""
        if not prm.finalNotify:
            return
        done = prm.statusCode // 100 == 2
        self.emit("transferred" if done else "transfer_failed", code=prm.statusCode)
        prm.cont = False
        if done:
            for call in (self.consultation, self):
                if call:
                    call.later(0, call.hang_up)

    # ---- what follows from it

    def begin(self) -> None:
        """The call is answered and has media: this moment is 0 ms of the recording and of the script."""
        if self.begun or not self.confirmed or self.audio is None:
            return
        self.begun = True
        spec, endpoint = self.phone.spec, self.desk.endpoint
        if record := self.phone.record_path(self.number):
            self.record = record
            os.makedirs(os.path.dirname(os.path.abspath(record)), exist_ok=True)
            self.recorder = pj.AudioMediaRecorder()
            self.recorder.createRecorder(record)
            self.sound.append(self.recorder)
            # The recorder writes only ticks in which something plays into it, so feed it silence to keep its time.
            endpoint.silence.startTransmit(self.recorder)
        if spec.rtp == "always" and self.phone.track and not self.about:
            self.voice = endpoint.player(self.phone.track, loop=False)
            self.sound.append(self.voice)
            self.voice.startTransmit(endpoint.nowhere)  # so that it continues during a hold
        self.connect()
        self.codec = self.getStreamInfo(0).codecName
        self.emit("answered", codec=self.codec, record=self.record)
        if self.about:
            return
        for say in spec.say:
            self.later(say.at_ms, lambda say=say: self.say(say, from_track=spec.rtp == "always"))
        for key in spec.keys:
            self.later(key.at_ms, lambda key=key: self.key(key.digit, planned_ms=key.at_ms))
        for act in spec.acts:
            self.later(act.at_ms, lambda act=act: self.act(act))
        for limit in (spec.max_ms, self.phone.hangup_ms):
            if limit is not None:
                self.later(limit, self.hang_up)

    def later(self, delay_ms: float, act: Callable[[], None]) -> None:
        self.desk.later(delay_ms, lambda: None if self.gone else act())

    def connect(self) -> None:
        if self.record:
            self.audio.startTransmit(self.recorder)
        if self.phone.spec.rtp == "always":
            self.desk.endpoint.silence.startTransmit(self.audio)
            if self.voice:
                self.voice.startTransmit(self.audio)
        if (echo_db := self.phone.spec.echo_db) is not None:
            how = pj.AudioMediaTransmitParam()
            how.level = 10 ** (echo_db / 20)
            self.audio.startTransmit2(self.audio, how)

    def say(self, say: Say, *, from_track: bool) -> None:
        """Say something now. If it is part of the track, it is playing already, and this only reports it."""
        if not from_track and not self.held:
            samples = wav.read(say.wav) * 10 ** (say.gain_db / 20)
            player = self.desk.endpoint.player(self.desk.endpoint.wav_of(samples, "say"), loop=False)
            self.sound.append(player)
            player.startTransmit(self.audio)
            self.send(True)
            # Disconnect when the utterance is over, so that the line is silent at once.
            self.later(1000 * len(samples) / wav.RATE + 20, lambda: self.drop(player))
        self.emit("said", wav=say.wav, gain_db=say.gain_db, planned_ms=say.at_ms)

    def drop(self, player: Any) -> None:
        with suppress(pj.Error):  # after a hold, the stream that it played to is gone
            player.stopTransmit(self.audio)
        self.sound.remove(player)
        # pjmedia's event thread is about to notify the player of its file's end. If it were freed, the process would
        # die.
        self.desk.later(SETTLED_MS, lambda: player and None)
        self.send(False)

    def send(self, on: bool) -> None:
        """Open the tap while there is something to send. Does nothing for a phone that always sends."""
        if self.phone.spec.rtp == "always":
            return
        self.talking += 1 if on else -1  # also during a hold, so that the next stream begins correctly
        if self.stream is not None and self.talking == int(on):  # the first reason, or the last one gone
            (self.desk.endpoint.tap.open if on else self.desk.endpoint.tap.close)(self.stream)

    def key(self, digit: str, planned_ms: float | None = None) -> None:
        self.count_packets()
        self.dialDtmf(digit)  # while its events are queued, the stream sends them in place of sound
        self.sent_keys_at = max(self.sent_keys_at, self.packets[0]) + self.desk.endpoint.packets_of(KEY_MS) + REPEATED
        self.send(True)
        self.stop_after(self.sent_keys_at, self.stream)
        self.emit("key", digit=digit, planned_ms=planned_ms)

    def stop_after(self, packets: int, stream: int | None) -> None:
        """Stop sending once this many packets have been sent. The time of a key is not enough: without its last packets
        it would stay pressed until the next key, and a machine that stands still for a moment sends them late."""
        self.count_packets()
        if self.stream == stream and self.packets[0] < packets:
            self.later(LOOK_MS, lambda: self.stop_after(packets, stream))
        else:
            self.send(False)

    def hang_up(self) -> None:
        if self.gone:
            return
        self.ended_here = True
        try:
            self.hangup(pj.CallOpParam())
        except pj.Error as error:
            self.emit("error", cause=error.info())

    # ---- hold and transfer

    def act(self, act: Act) -> None:
        """Do this, or report why it failed."""
        try:
            getattr(self, act.do)(*([act.to] if act.to else []))
        except pj.Error as error:
            self.emit("error", cause=f"{act.do}: {error.info()}")

    def hold(self) -> None:
        self._offer_again(self.setHold, pj.CallOpParam(True))

    def unhold(self) -> None:
        parameters = pj.CallOpParam(True)
        parameters.opt.flag |= pj.PJSUA_CALL_UNHOLD
        self._offer_again(self.reinvite, parameters)

    def _offer_again(self, offer: Callable, parameters: Any) -> None:
        """Offer only the codec in use. If an offer has others, Asterisk may drop the call, because the sound it is just
        sending has no codec any more (https://github.com/asterisk/asterisk/issues/2059)."""
        self.desk.endpoint.offer(self.codec)
        try:
            offer(parameters)
        finally:
            self.desk.endpoint.offer(None)

    def transfer(self, to: str) -> None:
        """Blind transfer: the far side calls `to` itself."""
        self.xfer(to, pj.CallOpParam(True))
        self.emit("transferring", to=to)

    def consult(self, to: str) -> None:
        if not self.held:
            self.hold()
        self.phone.dial(to, about=self)

    @property
    def consultation(self) -> SipCall | None:
        return next((call for call in self.phone.live if call.about is self), None)

    def hand_over(self) -> None:
        """Attended transfer: joins the far side and the party we consult, and leaves the call."""
        if self.consultation is None:
            self.emit("error", cause="hand_over: there is no consultation")
            return
        self.xferReplaces(self.consultation, pj.CallOpParam(True))
        self.emit("transferring")

    def take_back(self) -> None:
        if self.consultation:
            self.consultation.hang_up()
        self.unhold()

    def count_packets(self) -> None:
        try:
            rtcp = self.getStreamStat(0).rtcp
            self.packets = (rtcp.txStat.pkt, rtcp.rxStat.pkt)
        except pj.Error:
            pass  # there is no stream (any more), so the last count stays

    def end(self, info: Any) -> None:
        self.count_packets()
        self.gone = True
        self.sound.clear()  # closes the recording, so the file is complete before the event below is sent
        self.recorder = self.voice = None
        duration = info.connectDuration.sec * 1000 + info.connectDuration.msec
        self.emit(
            "disconnected",
            code=info.lastStatusCode,
            cause=info.lastReason,
            by="phone" if self.ended_here else "far",
            answered=self.begun,
            duration_ms=duration,
            tx_packets=self.packets[0],
            rx_packets=self.packets[1],
            record=self.record,
        )
        self.phone.on_end(self)
