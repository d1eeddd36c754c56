"""SIP and sound: transports, endpoints, codecs, keys, ports, addresses."""

from __future__ import annotations

import ipaddress
import re
from contextlib import suppress

from hearline.doctor.box import Box
from hearline.doctor.checks import Finding, Subject, fault, listed, ok, warning
from hearline.doctor.console import read_table
from hearline.pbx.conf_files import Line

SUBJECT = Subject("SIP and sound")
PORTS_A_CALL = 4  # caller and agent, sound and its control each
G711 = ("alaw", "ulaw")


@SUBJECT.check("transport", "Asterisk listens for SIP", "console")
def transport(box: Box) -> Finding:
    said = box.console("pjsip show transports")
    count = sum(line.split()[:1] == ["Transport:"] and "<" not in line for line in said.splitlines())
    if not count:
        remedy = "in pjsip.conf: [transport-udp] with type = transport, protocol = udp, bind = 0.0.0.0:5060"
        return fault("no SIP transport", "one or more", remedy)
    return ok(f"{count} transports")


@SUBJECT.check("rtp-ports", "There are RTP ports for all calls", "console")
def rtp_ports(box: Box) -> Finding:
    said = read_table(box.console("rtp show settings"))
    first, last = int(said["port start"]), int(said["port end"])
    fit = (last - first + 1) // PORTS_A_CALL
    if fit < box.wanted.calls:
        found = f"{first}–{last}: enough for {fit} calls with an agent"
        more = first + PORTS_A_CALL * box.wanted.calls - 1
        remedy = f"in rtp.conf, [general]: rtpend = {more}; open these ports in the firewall; restart Asterisk"
        return fault(found, f"{PORTS_A_CALL * box.wanted.calls} ports, for {box.wanted.calls} calls", remedy)
    return ok(f"{first}–{last}: enough for {fit} calls with an agent")


@SUBJECT.check("endpoints", "There are SIP endpoints", "transport")
def endpoints(box: Box) -> Finding:
    if not box.endpoints:
        return fault("no endpoint", "a trunk and agents' phones", "asterisk -rx 'pjsip show endpoints'")
    return ok(f"{len(box.endpoints)} looked at")


def _with(box: Box, name: str, *values: str) -> list[str]:
    return sorted(one for one, settings in box.endpoints.items() if settings.get(name, "").lower() in values)


def _set(names: list[str], setting: str) -> str:
    return "\n".join(f"in pjsip.conf, [{name}]: {setting}" for name in names[:6])


@SUBJECT.check("dtmf", "Keys reach Asterisk from every endpoint", "endpoints")
def dtmf(box: Box) -> Finding:
    if deaf := _with(box, "dtmf_mode", "none"):
        return warning(f"dtmf_mode is none: {listed(deaf)}", "auto, rfc4733 or inband", _set(deaf, "dtmf_mode = auto"))
    return ok("no endpoint has dtmf_mode = none")


@SUBJECT.check("codecs", "Every endpoint speaks A-law or µ-law", "endpoints")
def codecs(box: Box) -> Finding:
    others = [
        name
        for name, settings in box.endpoints.items()
        if not set(re.findall(r"\w+", settings.get("allow", ""))) & set(G711)
    ]
    if others:
        return warning(f"neither alaw nor ulaw: {listed(others)}", "alaw", _set(others, "allow = alaw,ulaw"))
    return ok(f"{len(box.endpoints)} endpoints")


@SUBJECT.check("direct-media", "Sound always goes through Asterisk", "endpoints")
def direct_media(box: Box) -> Finding:
    if direct := _with(box, "direct_media", "true", "yes"):
        found = f"direct_media is on: {listed(direct)}; each listening leg makes the phones negotiate again"
        return warning(found, "direct_media = no", _set(direct, "direct_media = no"))
    return ok("direct_media is off")


def _outside(text: str) -> bool:
    """True if this names an address outside private networks."""
    for word in re.findall(r"\d+\.\d+\.\d+\.\d+", text):
        with suppress(ValueError):
            if ipaddress.ip_address(word).is_global:
                return True
    return False


@SUBJECT.check("public-address", "Parties outside learn the address to which they can send", "configuration")
def public_address(box: Box) -> Finding:
    sections: dict[str, dict[str, str]] = {}
    for line in box.conf("pjsip.conf"):
        if line.kind == "setting":
            sections.setdefault(line.section, {})[line.name] = line.value
    lines = [line for line in box.conf("pjsip.conf") if line.kind == "setting"]
    outside = [line for line in lines if line.name in ("match", "contact", "server_uri") and _outside(line.value)]
    inside = [line for line in lines if line.name == "bind" and not _reachable(line)]
    told = any(line.name == "external_media_address" for line in lines)
    if outside and inside and not told:
        found = f"{outside[0].place} names an address outside, and no transport has external_media_address"
        remedy = (
            "if this machine is behind NAT, in pjsip.conf, in the transport: external_media_address = PUBLIC.ADDRESS, "
            "external_signaling_address = PUBLIC.ADDRESS, local_net = 192.168.0.0/16"
        )
        return warning(found, "external_media_address, if there is NAT", remedy)
    return ok("no party outside" if not outside else "an address is set, or none is needed")


def _reachable(line: Line) -> bool:
    """True if a transport is bound to an address that parties outside can reach."""
    return _outside(line.value)
