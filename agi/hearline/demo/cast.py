"""The callers of the demo: what each says and when, and the result that is expected."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hearline.audio.wav import read_wav

NUMBER = "95160"
REPLY = "caller-here"  # what a caller says to the agent
SOFT_DB = -28.0  # the callers' recordings are at −23 dBov, so this gives −51: too soft even on a raised line
TURN_PAUSE_MS = 1_100
THINKING_MS = 700
RING_MS = 1_500  # how long an agent's phone rings
GREETING_MS = 3_400  # from the agent's answer to the greeting; the whisper is over by then
AGENT_TALK_MS = 11_000  # from the agent's answer to the agent's hang-up


@dataclass(frozen=True)
class Said:
    at_ms: float
    sentence: str  # id in sounds/zh/callers
    gain_db: float = 0.0


@dataclass(frozen=True)
class Role:
    """A caller. ``prompts``: the prompts they must hear, in order. ``whisper``: the last part of the id of the whisper
    that the agent must hear."""

    name: str
    title: str
    title_zh: str
    rtp: str
    says: tuple[Said, ...]
    outcome: str
    prompts: tuple[str, ...]
    whisper: str | None = None


def ms(sounds: Path, sentence: str) -> float:
    return len(read_wav(sounds / "zh" / f"{sentence}.wav")) / 8


def cast(sounds: Path) -> list[Role]:
    """The five callers. Their times follow from the lengths of the prompts, since they answer each prompt after a short
    pause."""
    first = ms(sounds, "lanzhi/opening") + 900
    asked = first + ms(sounds, "callers/caller-ask") + TURN_PAUSE_MS
    answer = asked + ms(sounds, "lanzhi/low-1") + THINKING_MS
    ask = Said(first, "caller-ask")

    def reply(last: str, at: float) -> Said:
        """The reply to the agent's greeting, by a caller whose last sentence to the IVR began at ``at``."""
        joined = at + ms(sounds, f"callers/{last}") + TURN_PAUSE_MS + RING_MS + GREETING_MS
        return Said(joined + ms(sounds, "callers/agent-greeting") + THINKING_MS, REPLY)

    soft, at = [], first
    for prompt in ("low-1", "low-2", "low-move"):
        soft.append(Said(at, "caller-ask", SOFT_DB))
        at += ms(sounds, "callers/caller-ask") + TURN_PAUSE_MS + ms(sounds, f"lanzhi/{prompt}") + THINKING_MS
    soft.append(Said(at, "caller-ask", SOFT_DB))

    silence = ("opening", "noinput-1", "noinput-2", "noinput-goodbye")
    return [
        Role(
            "speaks",
            "speaks at once",
            "正常说话",
            "always",
            (ask, reply("caller-ask", first)),
            "queue:care",
            ("opening",),
            "normal",
        ),
        Role("silent", "silent, sends RTP", "无声", "always", (), "hangup:noinput", silence),
        Role("no-rtp", "sends no RTP at all", "无 RTP", "none", (), "hangup:noinput", silence),
        Role(
            "soft-then-louder",
            "too soft, then louder",
            "先轻后响",
            "always",
            (Said(first, "caller-ask", SOFT_DB), Said(answer, "caller-louder"), reply("caller-louder", answer)),
            "queue:care",
            ("opening", "low-1"),
            "low",
        ),
        Role(
            "too-soft",
            "too soft throughout",
            "声音一直太小",
            "always",
            tuple(soft),
            "hangup:too_soft",
            ("opening", "low-1", "low-2", "low-move", "low-goodbye"),
        ),
    ]
