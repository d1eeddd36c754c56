"""The figures, each with its formula. Pure: a tally in, numbers out.

At least four formulas for the service level are in use. B is ours: who gives up within 6 s has hardly waited, and
counts neither way. The others stand beside it, so that figures of other systems can be compared:

- A: joined in time ÷ joined (Wazo)
- B: joined in time ÷ (joined + abandoned after 6 s) (as Genesys)
- C: joined in time ÷ (joined + abandoned later than that time)
- D: (joined or abandoned in time) ÷ (joined + abandoned) (Asterisk's SL2)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from hearline.figures.tally import Tally

Unit = Literal["calls", "share", "s"]


@dataclass(frozen=True)
class Definition:
    """A figure. ``english``, ``chinese``: its name. ``formula``: for people. ``of``: None where there is nothing to
    divide by."""

    key: str
    english: str
    chinese: str
    unit: Unit
    formula: str
    of: Callable[[Tally], float | None]


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _seconds(ms: float, number: int) -> float | None:
    return ms / 1_000 / number if number else None


def _in_time(t: int) -> list[Definition]:
    def joined(tally: Tally) -> int:
        return {15: tally.joined_15, 20: tally.joined_20}[t]

    def gave_up(tally: Tally) -> int:
        return {15: tally.abandoned_15, 20: tally.abandoned_20}[t]

    def level(which: str, formula: str, of: Callable[[Tally], float | None]) -> Definition:
        ours = which == "b"
        return Definition(
            f"service_level_{t}" if ours else f"service_level_{t}_{which}",
            f"service level, {t} s" if ours else f"service level, {t} s, formula {which.upper()}",
            f"{t}秒服务水平" if ours else f"{t}秒服务水平（算法{which.upper()}）",
            "share",
            formula,
            of,
        )

    return [
        level(
            "b",
            f"joined within {t} s ÷ (joined + abandoned after 6 s)",
            lambda one: _share(joined(one), one.joined + one.abandoned - one.short),
        ),
        level("a", f"joined within {t} s ÷ joined", lambda one: _share(joined(one), one.joined)),
        level(
            "c",
            f"joined within {t} s ÷ (joined + abandoned after {t} s)",
            lambda one: _share(joined(one), one.joined + one.abandoned - gave_up(one)),
        ),
        level(
            "d",
            f"(joined + abandoned) within {t} s ÷ (joined + abandoned)",
            lambda one: _share(joined(one) + gave_up(one), one.joined + one.abandoned),
        ),
        Definition(
            f"joined_in_{t}",
            f"joined within {t} s",
            f"{t}秒接通率",
            "share",
            f"joined within {t} s ÷ stays in a queue",
            lambda one: _share(joined(one), one.stays),
        ),
    ]


DEFINITIONS: tuple[Definition, ...] = (
    Definition("contacts", "calls", "来电量", "calls", "calls that came", lambda one: one.contacts),
    Definition(
        "ended_in_ivr", "ended in the IVR", "IVR结束", "calls", "calls that no queue saw", lambda one: one.ended_in_ivr
    ),
    Definition("answered", "answered", "接通量", "calls", "calls joined with an agent", lambda one: one.answered),
    Definition("lost", "abandoned", "呼损量", "calls", "callers who hung up while waiting", lambda one: one.lost),
    Definition(
        "answer_rate",
        "answer rate",
        "接通率",
        "share",
        "answered ÷ (answered + abandoned)",
        lambda one: _share(one.answered, one.answered + one.lost),
    ),
    *_in_time(20),
    *_in_time(15),
    Definition(
        "abandon_rate",
        "abandon rate",
        "呼损率",
        "share",
        "abandoned after 6 s ÷ (joined + abandoned after 6 s), stays in the queue",
        lambda one: _share(one.abandoned - one.short, one.joined + one.abandoned - one.short),
    ),
    Definition("short", "short abandons", "短时放弃", "calls", "abandoned within 6 s", lambda one: one.short),
    Definition(
        "asa",
        "average speed of answer",
        "平均应答时长",
        "s",
        "wait of those joined ÷ joined",
        lambda one: _seconds(one.wait, one.joined),
    ),
    Definition(
        "aht",
        "average handling time",
        "平均处理时长",
        "s",
        "(talk + hold + wrap-up) ÷ agents' parts",
        lambda one: _seconds(one.talk + one.hold + one.wrap, one.handled),
    ),
    Definition(
        "talk", "… talk", "平均通话时长", "s", "talk ÷ agents' parts", lambda one: _seconds(one.talk, one.handled)
    ),
    Definition(
        "hold", "… hold", "平均保持时长", "s", "hold ÷ agents' parts", lambda one: _seconds(one.hold, one.handled)
    ),
    Definition(
        "wrap",
        "… wrap-up",
        "平均事后处理时长",
        "s",
        "wrap-up ÷ agents' parts",
        lambda one: _seconds(one.wrap, one.handled),
    ),
    Definition("holds", "holds", "保持次数", "calls", "times that an agent held a caller", lambda one: one.holds),
    Definition(
        "agent_first",
        "agent hung up first",
        "坐席先挂机",
        "share",
        "the agent hung up first ÷ answered",
        lambda one: _share(one.agent_first, one.answered),
    ),
    Definition(
        "silent",
        "silent callers",
        "无声来电",
        "share",
        "silent through two of the IVR's prompts ÷ calls",
        lambda one: _share(one.silent, one.contacts),
    ),
    Definition(
        "too_soft",
        "too soft",
        "声音太小",
        "share",
        "too soft for the IVR ÷ calls",
        lambda one: _share(one.too_soft, one.contacts),
    ),
    Definition(
        "noisy",
        "only noise",
        "只有噪声",
        "share",
        "only noise heard by the IVR ÷ calls",
        lambda one: _share(one.noisy, one.contacts),
    ),
    Definition(
        "callbacks", "marked for a callback", "待回拨", "calls", "calls that an agent marked", lambda one: one.callbacks
    ),
)
