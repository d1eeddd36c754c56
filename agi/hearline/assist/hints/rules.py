"""The hint rules: reads YAML, and returns checked rules, or faults with file, line and remedy.

A rule says which events in a talk bring which card and which whisper. `docs/hints.md` describes its words;
`ivr_flows/hints/rules.yaml` has examples.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError, ValidationInfo, model_validator

from hearline.assist.hints.events import Key, Side
from hearline.yamlfiles.checked import Duration, Fault, Names, Rejected, Words, YamlDocument, between, like, listed

SEE = "docs/hints.md"
SHORTEST_MS = 2_000
"""A card that could be seen for less than this is not shown."""
SOUND_MOMENTS = ("caller_speech", "agent_speech", "caller_normal", "agent_normal")
MOMENTS = ("joined", "hold", "unhold", "transfer", *(key.value for key in Key))
"""The moments that `within … of`, `until` and `used_by` can name, besides cards (when used) and groups of spoken
phrases (when recognised). `until` and `used_by` can also name `SOUND_MOMENTS`: a side begins to speak, or is found loud
enough."""
_DECIBELS = re.compile(r"([+-]?)(\d+)\s*dB")


def _level(value: Any) -> int:
    found = _DECIBELS.fullmatch(value.strip().replace("−", "-")) if isinstance(value, str) else None
    if not found:
        raise ValueError(f"{value!r} is not a level|Write whole decibels with the unit: -6 dB, or 0 dB")
    return int(found[1] + found[2])


def _whole(low: int, high: int) -> BeforeValidator:
    def check(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"{value!r} is not a number from {low} to {high}|Write a whole number")
        return value

    return BeforeValidator(check)


def _one_of(known: str, what: str) -> AfterValidator:
    """Accepts the names listed under ``known`` in the context of the check; any name if that is None."""

    def check(value: str, info: ValidationInfo) -> str:
        names = info.context[known]
        if names is not None and value not in names:
            raise ValueError(f"{what.format(repr(value))}|{like(value, names)}")
        return value

    return AfterValidator(check)


Moment = Annotated[str, _one_of("moments", "{} is not a moment")]
SoundOrMoment = Annotated[str, _one_of("all moments", "{} is not a moment")]


# ---- triggers ------------------------------------------------------------------------------------------------------
# A trigger with a single parameter may be written in a short form: `both_silent: 10s`.
class Trigger(Words):
    """An entry under `when`."""


class ByHand(Trigger):
    pass


class JoinedNow(Trigger):
    pass


class AnsweredLate(Trigger):
    rings: Annotated[int, _whole(1, 99)] = 3
    wait: Duration = 20_000


class Silence(Trigger):
    of: Side
    ms: Duration = Field(alias="for")


class Talking(Trigger):
    of: Side
    ms: Duration = Field(alias="for")


class BothSilent(Trigger):
    ms: Duration = Field(alias="for")


class Overlap(Trigger):
    by: Side
    ms: Duration = Field(alias="for")
    times: Annotated[int, _whole(1, 99)] = 1
    within: Duration = 60_000


class TooSoft(Trigger):
    of: Side
    speech: Duration = 2_000


class HoldBegan(Trigger):
    first: Annotated[int, _whole(1, 99)] = Field(1, alias="from")


class HoldEvery(Trigger):
    every: Annotated[Duration, between("5s", "10m", "Callers left alone longer hang up")]
    ahead: Duration = 0

    @model_validator(mode="after")
    def _ahead(self) -> HoldEvery:
        if self.ahead >= self.every:
            raise ValueError("`ahead` must be shorter than `every`|It says how long before the time is up")
        return self


class HoldLasts(Trigger):
    ms: Duration = Field(alias="for")


class HoldEnded(Trigger):
    pass


class TalkLasts(Trigger):
    ms: Duration = Field(alias="for")


class TransferStarted(Trigger):
    pass


class AgentKey(Trigger):
    key: Key


class HungUpFirst(Trigger):
    side: Side


class SpokenPhrase(Trigger):
    group: Annotated[str, _one_of("groups", "spoken.yaml has no group {}")]


TRIGGERS: dict[str, type[Trigger]] = {
    "by_hand": ByHand,
    "joined": JoinedNow,
    "answered_late": AnsweredLate,
    "silence": Silence,
    "talking": Talking,
    "both_silent": BothSilent,
    "overlap": Overlap,
    "too_soft": TooSoft,
    "hold": HoldBegan,
    "hold_every": HoldEvery,
    "hold_lasts": HoldLasts,
    "unhold": HoldEnded,
    "talk_lasts": TalkLasts,
    "transfer": TransferStarted,
    "key": AgentKey,
    "hung_up_first": HungUpFirst,
    "spoken": SpokenPhrase,
}
LASTING = (Silence, Talking, BothSilent, HoldEvery, HoldLasts, TalkLasts)
"""Triggers for something that lasts; the others fire at a moment."""
Situation = tuple[type[Trigger], Side | None]
"""What a `LASTING` trigger waits for, with the side for silence and talk. Both triggers of a hold wait for
``(HoldLasts, None)``."""


# ---- the words of the file -----------------------------------------------------------------------------------------
Heard = Literal["normal", "silent1", "silent2", "low", "noise", "key", "unknown"]


class IfWords(Words):
    queue: Names | None = None
    heard: Annotated[tuple[Heard, ...], BeforeValidator(listed)] | None = None


class WhisperWords(Words):
    say: Annotated[str, _one_of("whispers", "the set `hints` of the sounds' manifest has no whisper {}")]
    level: Annotated[int, BeforeValidator(_level), between("-20 dB", "6 dB", "Whispers are levelled", _level)] = 0
    within: Annotated[Duration, between("0s", "30s", "A later whisper is of no use")] = 3_000


class ExceptionWords(Words):
    """An exception: a state such as `on_hold`, or `{within: 20s, of: please-wait}`."""

    state: Literal["on_hold", "handed_over", "agent_speaking", "caller_speaking"] | None = None
    within: Duration | None = None
    of: Moment | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"state": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _whole(self) -> ExceptionWords:
        if (self.within is None) != (self.of is None) or (self.state is None) == (self.of is None):
            raise ValueError("incomplete exception|Write a state such as on_hold, or {within: 20s, of: please-wait}")
        return self


class RuleWords(Words):
    """A rule as written in the file; `_Settler` reads the part under `when`."""

    when: Any
    only: IfWords = Field(IfWords(), alias="if")
    unless: Annotated[tuple[ExceptionWords, ...], BeforeValidator(listed)] = Field((), alias="not")
    delay: Annotated[Duration, between("0s", "60s", "A later hint is of no use")] = 0
    cooldown: Annotated[Duration, between("0s", "60m", "Few calls last longer")] = 30_000
    expiry: Annotated[Duration, between("2s", "10m", "A card must be read, and a stale one is worse than none")] = (
        10_000
    )
    priority: Annotated[int, _whole(0, 100)] = 50
    card: Annotated[str, _one_of("cards", "cards.yaml has no card {}")] | None = None
    whisper: Annotated[WhisperWords | None, BeforeValidator(lambda v: {"say": v} if isinstance(v, str) else v)] = None
    mark: Literal["clock"] | None = None
    until: Annotated[tuple[SoundOrMoment, ...], BeforeValidator(listed)] = ()
    used_by: Annotated[tuple[SoundOrMoment, ...], BeforeValidator(listed)] = ()


# ---- checked rules -------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Rule:
    """A checked rule. Times are in ms. ``states`` and ``apart`` (moment, ms) are its exceptions; ``until`` and
    ``used_by`` are moments. ``mark``: the rule marks the talk's clock."""

    name: str
    triggers: tuple[Trigger, ...]
    queues: tuple[str, ...] | None
    heard: tuple[str, ...] | None
    states: tuple[str, ...]
    apart: tuple[tuple[str, int], ...]
    delay_ms: int
    cooldown_ms: int
    expiry_ms: int
    priority: int
    card: str | None
    whisper: str | None
    whisper_db: int
    whisper_within_ms: int
    until: frozenset[str]
    used_by: frozenset[str]
    mark: bool = False

    @property
    def automatic(self) -> bool:
        """True if the rule can fire without being called up by hand."""
        return any(not isinstance(trigger, ByHand) for trigger in self.triggers)

    def concerns(self, queue: str, heard: str) -> bool:
        """True if the rule applies to calls from ``queue`` in which the IVR heard ``heard``."""
        return (self.queues is None or queue in self.queues) and (self.heard is None or heard in self.heard)


@dataclass(frozen=True)
class Rules:
    """All rules of a file, in the file's order."""

    by_name: Mapping[str, Rule]

    @cached_property
    def lasting(self) -> dict[Situation, tuple[tuple[int, Rule, Trigger], ...]]:
        """The `LASTING` triggers as (index, rule, trigger), by the situation they wait for."""
        found: dict[Situation, tuple] = {}
        for index, (rule, trigger) in enumerate(self.triggered_by(*LASTING)):
            kind = HoldLasts if isinstance(trigger, HoldEvery) else type(trigger)
            situation = (kind, getattr(trigger, "of", None))
            found[situation] = (*found.get(situation, ()), (index, rule, trigger))
        return found

    @cached_property
    def lasting_count(self) -> int:
        return len(self.triggered_by(*LASTING))

    @cached_property
    def hold_every_ms(self) -> int | None:
        """How long a caller may be left alone on hold, ms; None if no rule says so."""
        return min((trigger.every for _, trigger in self.triggered_by(HoldEvery)), default=None)

    @cached_property
    def conditional(self) -> tuple[Rule, ...]:
        """The rules that apply only to some calls."""
        return tuple(rule for rule in self.by_name.values() if rule.queues is not None or rule.heard is not None)

    @cached_property
    def moments(self) -> dict[type[Trigger], tuple[tuple[Rule, Trigger], ...]]:
        """The (rule, trigger) pairs of each kind of trigger that fires at a moment."""
        return {kind: self.triggered_by(kind) for kind in TRIGGERS.values() if kind not in LASTING}

    def triggered_by(self, *kinds: type[Trigger]) -> tuple[tuple[Rule, Trigger], ...]:
        return tuple((rule, t) for rule in self.by_name.values() for t in rule.triggers if isinstance(t, kinds))


def read_rules(
    text: str,
    file: str,
    cards: Collection[str],
    groups: Collection[str] = (),
    whispers: Collection[str] | None = None,
) -> Rules:
    """Check a file of rules, and return its rules.

    Args:
        text: the YAML.
        file: the file's name in messages.
        cards: the ids of all cards.
        groups: the names of all groups of spoken phrases.
        whispers: the ids of all whispers; None: accept any id.

    Raises:
        Rejected: with all faults.
    """
    lines = YamlDocument(text, file)
    if not isinstance(lines.data, dict):
        remedy = "Write a rule's name, and `when:` and `card:` below it"
        raise Rejected([Fault(file, 1, "the file has no rules", remedy)])
    settler = _Settler(lines, cards, groups, whispers)
    rules = {str(name): settler.rule(name, data) for name, data in lines.data.items()}
    if settler.faults:
        raise Rejected(sorted(dict.fromkeys(settler.faults), key=lambda fault: fault.line))
    return Rules(rules)


class _Settler:
    """Turns the words of the file into rules, and collects faults."""

    def __init__(
        self, lines: YamlDocument, cards: Collection[str], groups: Collection[str], whispers: Collection[str] | None
    ) -> None:
        self.lines = lines
        self.faults: list[Fault] = []
        moments = {*MOMENTS, *cards, *groups}
        self._known = {"cards": cards, "groups": groups, "whispers": whispers, "moments": moments}
        self._known["all moments"] = moments.union(SOUND_MOMENTS)

    def _fault(self, path: tuple, problem: str, remedy: str) -> None:
        self.faults.append(self.lines.fault(path, problem, remedy))

    def rule(self, name: Any, data: Any) -> Rule | None:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", str(name)):
            self._fault((name,), f"{name!r} cannot be a rule's name", "Use lower-case letters, digits and _")
        words = self._model(RuleWords, data, (name,))
        triggers = self._triggers((name, "when"), data["when"]) if isinstance(data, dict) and "when" in data else ()
        if words is None:
            return None
        self._sense(name, words, triggers)
        whisper = words.whisper
        return Rule(
            name=str(name),
            triggers=triggers,
            queues=words.only.queue,
            heard=words.only.heard,
            states=tuple(e.state for e in words.unless if e.state),
            apart=tuple((e.of, e.within) for e in words.unless if e.of),
            delay_ms=words.delay,
            cooldown_ms=words.cooldown,
            expiry_ms=words.expiry,
            priority=words.priority,
            card=words.card,
            whisper=whisper and whisper.say,
            whisper_db=whisper.level if whisper else 0,
            whisper_within_ms=whisper.within if whisper else 0,
            until=frozenset(words.until),
            used_by=frozenset(words.used_by),
            mark=words.mark is not None,
        )

    def _model(self, model: type[BaseModel], data: Any, path: tuple) -> Any:
        try:
            return model.model_validate(data, context=self._known)
        except ValidationError as error:
            self.faults += self.lines.faults(error, model, path, SEE)
            return None

    def _triggers(self, path: tuple, data: Any) -> tuple[Trigger, ...]:
        found = []
        for index, item in enumerate(listed(data)):
            at = (*path, index) if isinstance(data, list) else path
            if not isinstance(item, str) and not (isinstance(item, dict) and len(item) == 1):
                self._fault(at, f"{item!r} is not a trigger", "Write one, e.g. `silence: {of: caller, for: 3s}`")
                continue
            name, parameters = (item, {}) if isinstance(item, str) else next(iter(item.items()))
            if name not in TRIGGERS:
                self._fault((*at, name), f"unknown trigger {name!r}", like(name, TRIGGERS))
                continue
            kind = TRIGGERS[name]
            if not isinstance(parameters, dict) and kind.model_fields:
                first, field = next(iter(kind.model_fields.items()))
                parameters = {field.alias or first: parameters}
            if trigger := self._model(kind, parameters, (*at, name)):
                found.append(trigger)
        if data == []:
            self._fault(path, "no trigger", "Write a trigger, or `by_hand`")
        return tuple(found)

    def _sense(self, name: str, words: RuleWords, triggers: tuple[Trigger, ...]) -> None:
        """Find settings that contradict each other."""
        if words.card is None and words.whisper is None and words.mark is None:
            remedy = "Add `card:`, `whisper:` or `mark: clock`"
            self._fault((name,), f"rule {name!r} has no effect", remedy)
        if words.card is None and any(isinstance(t, ByHand) for t in triggers):
            self._fault((name, "when"), "only a card can be called up by hand", "Add `card: …`")
        if words.whisper and words.whisper.within > words.expiry:
            problem = "the whisper could come after the hint has expired"
            self._fault((name, "whisper"), problem, "Make its `within` no longer than `expiry`")
        for trigger in triggers:
            if isinstance(trigger, HoldEvery) and words.cooldown > trigger.every:
                problem = "`cooldown` is longer than `every`, so some of its hints would never come"
                self._fault((name, "when"), problem, "Make `cooldown` no longer than `every`")
