"""Messages of Asterisk's manager interface: parses them, and lets through only those that Asterisk itself wrote. Pure:
bytes in, messages out.

Asterisk 22 writes the caller's number and the dialled number into its messages as the phone sent them, line breaks
(``%0D%0A`` in a SIP URI) included. So a caller can end a message, add others, and begin one that the rest of the real
message completes. But a caller cannot know a secret. After each channel that a message describes, Asterisk adds the
variables that `channelvars` names (manager.conf). One of them, `PROOF`, is a global variable that holds a secret:

    Event: Newchannel                    the head of the real message: a channel without proof
    Channel: PJSIP/trunk-00000007
    CallerIDNum: 1
                                         the caller's line break
    Event: Hangup                        the caller's own message: no proof either
    Channel: PJSIP/agent-8016-00000003

    Event: UserEvent                     the caller's last message: the real one's tail completes it, with the proof
    X: 1
    Uniqueid: …
    ChanVariable: HEARLINE_PROOF=…

A message with a channel but no proof was cut, and everything up to the next proof is the caller's text.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection

Message = dict[str, str]
"""The headers of a response or an event. Values hold no line breaks. `variables` extracts the channel variables that
`channelvars` names in manager.conf."""

PROOF = "HEARLINE_PROOF"
UNPROVEN = frozenset({
    "BridgeDestroy", "CoreShowChannelMap", "DeviceStateChange", "QueueMemberAdded", "QueueMemberPause",
    "QueueMemberStatus", "Rename",
})  # fmt: skip
"""Events that describe no channel, and so come without proof. `Ami` asks Asterisk before it believes them."""

_VARIABLE = "ChanVariable"
_NAMED = frozenset({"ConnectedChannel", "DestTransfererChannel"})  # only names: no variables follow them
_BREAKS = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")


def proof_of(secret: str) -> str:
    """The value of `PROOF` for this secret of the manager interface. The secret cannot be derived from it."""
    return hmac.new(secret.encode(), b"hearline: proof that a message is Asterisk's", hashlib.sha256).hexdigest()[:32]


def headers(raw: bytes) -> list[tuple[str, str]]:
    """The lines of a message as (name, value); a line that is not a header has an empty name. Bytes that are not UTF-8,
    as in some callers' names, are replaced, and so are all line breaks except the protocol's own."""
    found = []
    for line in raw.decode(errors="replace").split("\r\n"):
        if line:
            name, colon, value = line.partition(":")
            before, bracket, _channel = name.partition("(")  # ChanVariable(PJSIP/agent-8016-00000001): NAME=value
            name = before if bracket and before.endswith(_VARIABLE) else name
            found.append((name if colon else "", _BREAKS.sub("\ufffd", value.removeprefix(" "))))
    return found


def parse(raw: bytes) -> Message:
    """The headers of a message. The first of several with the same name counts, but all channel variables are kept."""
    return _message(headers(raw))


def variables(message: Message, prefix: str = "") -> dict[str, str]:
    """The channel variables in an event. ``prefix`` chooses another of its channels, e.g. ``Dest``."""
    found: dict[str, str] = {}
    for line in message.get(f"{prefix}{_VARIABLE}", "").split("\n"):
        name, equals, value = line.partition("=")
        if equals:
            found.setdefault(name, value)
    return found


class Screen:
    """Lets through the messages that Asterisk wrote. Each connection has its own.

    Args:
        proof: see `proof_of`.
    """

    def __init__(self, proof: str) -> None:
        self._proof = proof.encode()
        self._cut = False
        self.refused = 0
        """The number of messages that were refused because a caller may have tampered with them."""

    def admit(self, raw: bytes, ours: Collection[str] = ()) -> Message | None:
        """The message, without its proof; None if it cannot be trusted.

        Args:
            ours: the ActionIDs of pending actions, which nobody else can know.
        """
        lines = headers(raw)
        if not lines:
            return None
        message = _message(lines)
        answers = message.get("ActionID") in ours
        if lines[0][0] == "Response" and (answers or not self._cut):
            return message if answers else None
        kind, proven, whole = message.get("Event"), self._take_proofs(message), self._ends_whole(lines)
        described = {name.removesuffix("Channel") for name in message if _is_described(name)}
        if answers and lines[-1][0] == "ActionID":  # a secret number at the end: the tail is Asterisk's
            proven, whole = described, True
        if answers and [name for name, _ in lines[:2]] == ["Event", "ActionID"]:
            self._cut = False  # the head is Asterisk's, but the message may have been cut after it
        if self._cut:
            self._cut = not whole
            return self._refuse()
        if kind not in UNPROVEN and not described <= proven:
            self._cut = not whole
            return self._refuse()
        if kind is None or not _well_formed(lines):
            return self._refuse()
        return message if proven or answers or kind in UNPROVEN else None

    def _ends_whole(self, lines: list[tuple[str, str]]) -> bool:
        """True if the last channel of the message has a proof."""
        for name, value in reversed(lines):
            if _is_described(name):
                return False
            if name.endswith(_VARIABLE) and self._is_proof(*value.partition("=")[::2]):
                return True
        return False

    def _is_proof(self, variable: str, value: str) -> bool:
        return variable == PROOF and hmac.compare_digest(value.encode(), self._proof)

    def _refuse(self) -> Message | None:
        self.refused += 1
        return None

    def _take_proofs(self, message: Message) -> set[str]:
        """Remove the proofs from the message; return the prefixes of the channels that had one."""
        proven = set()
        for name in [name for name in message if name.endswith(_VARIABLE)]:
            parts = [line.partition("=") for line in message[name].split("\n")]
            if any(self._is_proof(variable, value) for variable, _, value in parts):
                proven.add(name.removesuffix(_VARIABLE))
            message[name] = "\n".join("".join(line) for line in parts if line[0] != PROOF)
        return proven


def _is_described(name: str) -> bool:
    return name.endswith("Channel") and name not in _NAMED


def _message(lines: list[tuple[str, str]]) -> Message:
    message: Message = {}
    for name, value in lines:
        if name.endswith(_VARIABLE) and name in message:
            message[name] += f"\n{value}"
        elif name:
            message.setdefault(name, value)
    return message


def _well_formed(lines: list[tuple[str, str]]) -> bool:
    """True if the message is all headers, and none occurs twice. Otherwise a line break in a value may have made
    one."""
    names = [f"{name}={value.partition('=')[0]}" if name.endswith(_VARIABLE) else name for name, value in lines if name]
    return len(names) == len(lines) == len(set(names))
