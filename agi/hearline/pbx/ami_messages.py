"""Messages of Asterisk's manager interface, and which of them Asterisk itself wrote. Pure: bytes in, messages out.

Asterisk 22 writes the caller's number and the dialled number into its messages as the phone sent them, line breaks
(``%0D%0A`` in a SIP URI) included. So a caller can end a message, add others, and begin one that the rest of the real
one completes. A caller cannot write a secret. Asterisk adds the variables that `channelvars` names (manager.conf)
after each channel that a message describes, and one of them, `PROOF`, is a global that holds a secret:

    Event: Newchannel                    the head of the real message: a channel without proof
    Channel: PJSIP/trunk-00000007
    CallerIDNum: 1
                                         the caller's line break
    Event: Hangup                        the caller's own messages: no proof either
    Channel: PJSIP/agent-8016-00000003
                                         and the last of them, which has the tail of the real one, with its proof
    Event: UserEvent
    X: 1
    Uniqueid: …
    ChanVariable: HEARLINE_PROOF=…

A message with a channel that has no proof was cut, and everything up to the next proof is the caller's text.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection

Message = dict[str, str]
"""The headers of a response or an event; no value holds a line break. `variables` finds those of a channel's variables
that `channelvars` names in manager.conf."""

PROOF = "HEARLINE_PROOF"
UNPROVEN = frozenset({
    "BridgeDestroy", "CoreShowChannelMap", "QueueMemberAdded", "QueueMemberStatus", "Rename",
})  # fmt: skip
"""Events that describe no channel and so come without proof. Before they are believed, Asterisk is asked."""

_VARIABLE = "ChanVariable"
_NAMED = frozenset({"ConnectedChannel", "DestTransfererChannel"})  # names, no more
_BREAKS = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")


def proof_of(secret: str) -> str:
    """The value of `PROOF` that goes with this secret of the manager interface. It says nothing of the secret."""
    return hmac.new(secret.encode(), b"hearline: proof that a message is Asterisk's", hashlib.sha256).hexdigest()[:32]


def headers(raw: bytes) -> list[tuple[str, str]]:
    """The lines of a message as (name, value); a line that is no header has an empty name. Bytes that are not UTF-8 (in
    a caller's name, say) are replaced, and so are all line breaks but the protocol's own."""
    found = []
    for line in raw.decode(errors="replace").split("\r\n"):
        if line:
            name, colon, value = line.partition(":")
            before, bracket, _channel = name.partition("(")  # ChanVariable(PJSIP/agent-8016-00000001): NAME=value
            name = before if bracket and before.endswith(_VARIABLE) else name
            found.append((name if colon else "", _BREAKS.sub("\ufffd", value.removeprefix(" "))))
    return found


def parse(raw: bytes) -> Message:
    """A message's headers. Of one that comes several times the first counts; channel variables are all kept."""
    return _message(headers(raw))


def variables(message: Message, prefix: str = "") -> dict[str, str]:
    """The channel variables that an event tells of; ``prefix`` is that of its second channel, e.g. ``Dest``."""
    told: dict[str, str] = {}
    for line in message.get(f"{prefix}{_VARIABLE}", "").split("\n"):
        name, equals, value = line.partition("=")
        if equals:
            told.setdefault(name, value)
    return told


class Screen:
    """Lets through what Asterisk has written. One for each connection.

    Args:
        proof: see `proof_of`.
    """

    def __init__(self, proof: str) -> None:
        self._proof = proof.encode()
        self._cut = False
        self.refused = 0
        """Messages that were not let through because somebody else has had a hand in them."""

    def admit(self, raw: bytes, ours: Collection[str] = ()) -> Message | None:
        """The message, without its proof; None where it is not to be believed.

        Args:
            ours: the ActionIDs that answers are awaited for. Nobody else can know them.
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
        if answers and lines[-1][0] == "ActionID":  # nobody else knows it: the tail is Asterisk's
            proven, whole = described, True
        if answers and [name for name, _ in lines[:2]] == ["Event", "ActionID"]:
            self._cut = False  # the head is Asterisk's; it may have been cut behind it
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
        """There is a proof, and it is that of the last channel."""
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
        """Of which channels (by prefix) there is a proof."""
        proven = set()
        for name in [name for name in message if name.endswith(_VARIABLE)]:
            told = [line.partition("=") for line in message[name].split("\n")]
            if any(self._is_proof(variable, value) for variable, _, value in told):
                proven.add(name.removesuffix(_VARIABLE))
            message[name] = "\n".join("".join(line) for line in told if line[0] != PROOF)
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
    """Nothing but headers, and each once: a line break within a value has made none of them."""
    names = [f"{name}={value.partition('=')[0]}" if name.endswith(_VARIABLE) else name for name, value in lines if name]
    return len(names) == len(lines) == len(set(names))
