"""The JSON script of softphones: its fields and their defaults, and how it is split into processes.

Times are in ms. `at_ms` counts from the moment the call was answered, `start_ms` from the start of the run.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Compiled into the pjsua2 2.15.1 wheel (PJSUA_MAX_CALLS): uaConfig.maxCalls can only lower it.
CALLS_PER_PROCESS = 4
# RTP and RTCP for each call, and as many again for calls whose ports are still closing.
RTP_PORTS_PER_PROCESS = CALLS_PER_PROCESS * 4

RTP_MODES = ("always", "none", "speech_only")
CODECS = ("PCMA", "PCMU")
PACKETS_MS = range(20, 161, 20)  # whole frames of the endpoint's clock, up to what fits into an Ethernet frame
ACTS = {"hold": False, "unhold": False, "transfer": True, "consult": True, "hand_over": False, "take_back": False}
"""What a phone can do with its call; True if that needs a `to`."""


class ScriptError(ValueError):
    """The script asks for something that softphones cannot do; the message names the phone and the field."""


@dataclass(frozen=True)
class Account:
    """A phone's account at the SIP server. An empty `server` means the host and port that the caller dials."""

    user: str
    password: str = ""
    realm: str = "*"
    server: str = ""


@dataclass(frozen=True)
class Say:
    """One utterance: `wav` is spoken `at_ms` after the answer, made louder or softer by `gain_db`."""

    at_ms: float
    wav: str
    gain_db: float = 0.0


@dataclass(frozen=True)
class Key:
    """One key press, sent as RFC 4733 events `at_ms` after the answer."""

    at_ms: float
    digit: str


@dataclass(frozen=True)
class Act:
    """Something to do with the call `at_ms` after the answer: one of `ACTS`. `to` is a SIP URI.

    transfer: blind, by REFER. consult: hold, and call `to`; then hand_over (attended transfer: REFER with Replaces)
    or take_back (hang up on `to`, unhold).
    """

    at_ms: float
    do: str
    to: str = ""


@dataclass(frozen=True)
class Phone:
    """The common part of callers and agents. `packet_ms`: how much sound is in each RTP packet that it sends. `lines`:
    how many calls it can have at once (two if its acts include a consultation)."""

    name: str
    account: Account
    codec: str | None = None  # None: A-law and mu-law are both offered
    packet_ms: int = 20  # one of PACKETS_MS
    lines: int = 1
    rtp: str = "always"  # "always", "none" or "speech_only"
    say: tuple[Say, ...] = ()
    background: Say | None = None  # looped under the whole call (rtp "always" only); at_ms is not used
    echo_db: float | None = None  # what it hears comes back, so much louder (rtp "always" only); None: it does not
    keys: tuple[Key, ...] = ()
    acts: tuple[Act, ...] = ()
    record: str | None = None  # what the phone heard: WAV, 16 bit, 8 kHz, from the answer on
    said: str | None = None  # what the phone was meant to say, likewise; not written if that is nothing
    max_ms: float = 120_000  # the phone hangs up this long after the answer at the latest


@dataclass(frozen=True)
class Caller(Phone):
    """A phone that dials once."""

    dial: str = ""
    start_ms: float = 0
    hangup_at_ms: float | None = None  # after the answer; None: the far side hangs up
    give_up_ms: float = 30_000  # no answer for this long after dialling: cancel


@dataclass(frozen=True)
class Agent(Phone):
    """A phone that registers and answers."""

    answer_after_ms: float | None = 0  # how long it rings; None: it rings and is never answered
    hangup_after_ms: float | None = None
    max_answers: int | None = None  # then it is busy (486); None: no limit


@dataclass(frozen=True)
class Script:
    """All the phones of one run."""

    callers: tuple[Caller, ...] = ()
    agents: tuple[Agent, ...] = ()
    bind: str = "127.0.0.1"
    rtp_ports: tuple[int, int] = (20000, 20999)  # first and last UDP port for RTP and RTCP
    linger_ms: float = 3000  # how long agents' calls may go on after the last caller has gone

    @property
    def phones(self) -> tuple[Phone, ...]:
        return (*self.callers, *self.agents)


def load(path: str | Path) -> Script:
    """Read a script from a JSON file. Paths of WAV files in it are relative to the current directory. Raises
    ScriptError."""
    try:
        return parse(json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, json.JSONDecodeError) as error:
        raise ScriptError(f"{path}: {error}") from error


def parse(data: Any) -> Script:
    """Check `data` (the object of a JSON script) and fill in the defaults. Raises ScriptError."""
    if not isinstance(data, dict):
        raise ScriptError("a script is a JSON object with `callers` and `agents`")
    fields = dict(data)
    fields["callers"] = tuple(_phone(Caller, entry) for entry in data.get("callers", ()))
    fields["agents"] = tuple(_phone(Agent, entry) for entry in data.get("agents", ()))
    if "rtp_ports" in fields:
        fields["rtp_ports"] = tuple(fields["rtp_ports"])
    script = _make(Script, fields, "script")
    names = [phone.name for phone in script.phones]
    if not names:
        raise ScriptError("script: neither callers nor agents")
    if len(set(names)) != len(names):
        raise ScriptError(f"script: two phones have the same name: {sorted(names)}")
    for caller in script.callers:
        if not caller.dial.startswith("sip:"):
            raise ScriptError(f"{caller.name}: dial is {caller.dial!r}, but must be a SIP URI (sip:…)")
    for agent in script.agents:
        if not agent.account.server:
            raise ScriptError(f"{agent.name}: account has no server (host:port) to register at")
    return script


def split(script: Script) -> list[Script]:
    """Split into scripts that each fit in one process, with separate RTP ports.

    A script that fits into one process is not split. Otherwise agents and callers go into separate processes, so that
    the agents can be ended when the last caller has gone. All phones in a process have the same `packet_ms`.
    """
    if _lines(script.phones) <= CALLS_PER_PROCESS and len({phone.packet_ms for phone in script.phones}) == 1:
        return [script]
    parts = [dataclasses.replace(script, callers=(), agents=chunk) for chunk in _chunks(script.agents)]
    parts += [dataclasses.replace(script, callers=chunk, agents=()) for chunk in _chunks(script.callers)]
    first, last = script.rtp_ports
    if last - first + 1 < RTP_PORTS_PER_PROCESS * len(parts):
        raise ScriptError(
            f"script: rtp_ports {first}–{last} are too few for {len(script.phones)} phones; "
            f"{RTP_PORTS_PER_PROCESS * len(parts)} are needed"
        )
    share = (last - first + 1) // len(parts) // 2 * 2
    return [
        dataclasses.replace(part, rtp_ports=(first + share * i, first + share * (i + 1) - 1))
        for i, part in enumerate(parts)
    ]


def to_json(script: Script) -> str:
    """The script as one line of JSON that `parse` reads back."""
    return json.dumps(dataclasses.asdict(script), ensure_ascii=False)


def _chunks(phones: tuple) -> list[tuple]:
    chunks = []
    for packet_ms in sorted({phone.packet_ms for phone in phones}):
        alike = sorted((phone for phone in phones if phone.packet_ms == packet_ms), key=lambda phone: -phone.lines)
        shares: list[list] = [[] for _ in range(-(-_lines(alike) // CALLS_PER_PROCESS))]
        for phone in alike:  # phones with two lines come first, so that all fit
            min(shares, key=_lines).append(phone)
        chunks += [tuple(share) for share in shares]
    return chunks


def _lines(phones: Iterable[Phone]) -> int:
    return sum(phone.lines for phone in phones)


def _phone(kind: type, entry: Any) -> Any:
    if not isinstance(entry, dict) or not entry.get("name"):
        raise ScriptError(f"script: every phone needs a name: {entry!r}")
    name, fields = entry["name"], dict(entry)
    fields["account"] = _make(Account, fields.get("account") or {"user": name}, f"{name}: account")
    fields["say"] = tuple(_make(Say, say, f"{name}: say") for say in fields.get("say", ()))
    fields["keys"] = tuple(_make(Key, key, f"{name}: keys") for key in fields.get("keys", ()))
    fields["acts"] = tuple(_make(Act, act, f"{name}: acts") for act in fields.get("acts", ()))
    if any(act.do == "consult" for act in fields["acts"]):
        fields["lines"] = max(2, fields.get("lines", 1))
    if background := fields.get("background"):
        if isinstance(background, str):
            background = {"wav": background}
        fields["background"] = _make(Say, {"at_ms": 0, **background}, f"{name}: background")
    phone = _make(kind, fields, name)
    if phone.rtp not in RTP_MODES:
        raise ScriptError(f"{name}: rtp is {phone.rtp!r}, but must be one of {', '.join(RTP_MODES)}")
    if phone.codec is not None and phone.codec not in CODECS:
        raise ScriptError(f"{name}: codec is {phone.codec!r}, but must be one of {', '.join(CODECS)}")
    if phone.packet_ms not in PACKETS_MS:
        known = ", ".join(map(str, PACKETS_MS))
        raise ScriptError(f"{name}: packet_ms is {phone.packet_ms!r}, but must be one of {known}")
    if phone.lines not in range(1, CALLS_PER_PROCESS + 1):
        raise ScriptError(f"{name}: lines is {phone.lines!r}, but must be from 1 to {CALLS_PER_PROCESS}")
    if phone.rtp == "none" and (phone.say or phone.background):
        raise ScriptError(f"{name}: rtp is 'none', so there can be neither `say` nor `background`")
    if phone.rtp != "always" and phone.background:
        raise ScriptError(f"{name}: a background needs rtp 'always'")
    if phone.rtp != "always" and phone.echo_db is not None:
        raise ScriptError(f"{name}: an echo needs rtp 'always'")
    for key in phone.keys:
        if len(key.digit) != 1 or key.digit not in "0123456789*#ABCD":
            raise ScriptError(f"{name}: {key.digit!r} is not a key")
    for act in phone.acts:
        check_act(name, act.do, act.to)
    for wav in (*phone.say, *([phone.background] if phone.background else [])):
        if not Path(wav.wav).is_file():
            raise ScriptError(f"{name}: no such file: {wav.wav}")
    return phone


def check_act(phone: str, do: str, to: str) -> None:
    """Raises ScriptError if phones cannot do that."""
    if do not in ACTS:
        raise ScriptError(f"{phone}: acts: {do!r} is not one of {', '.join(ACTS)}")
    if ACTS[do] != to.startswith("sip:"):
        wanted = "needs a SIP URI (sip:…)" if ACTS[do] else "takes no"
        raise ScriptError(f"{phone}: acts: {do} {wanted} `to`, not {to!r}")


def _make(kind: type, fields: Any, where: str) -> Any:
    if isinstance(fields, kind):
        return fields
    if not isinstance(fields, dict):
        raise ScriptError(f"{where}: {fields!r} is not an object")
    known = {f.name for f in dataclasses.fields(kind)}
    if unknown := set(fields) - known:
        names = ", ".join(sorted(unknown)), ", ".join(sorted(known))
        raise ScriptError(f"{where}: unknown {names[0]}; known are {names[1]}")
    try:
        return kind(**fields)
    except TypeError as error:
        raise ScriptError(f"{where}: {error}") from error
