"""The flow file: YAML in, a settled ``Plan`` out, or a list of faults that name file, line and remedy.

A flow says which prompts are played and in which order, how long to wait after each, and where to go for each thing the
caller may do. See ``docs/flows.md`` for the words; ``ivr_flows/hotline.yaml`` is the one to copy.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, field_validator

from hearline.call import digits
from hearline.call.hours import HoursWords, SharedCalendar, contradictions, settled
from hearline.call.plan import Bargein, Cause, End, Goto, Plan, Step, Target
from hearline.core.calendar import Calendar
from hearline.core.zones import DEFAULT_ZONE
from hearline.yamlfiles.checked import Duration, Fault, Words, YamlDocument, between, duration, like
from hearline.yamlfiles.checked import Rejected as FlowError

# The prompts that exist, by language and phrase set. None: the set leaves this prompt out, and steps that would play it
# are skipped. Passed in by the caller, since this module opens no files.
Prompts = Mapping[tuple[str, str], Mapping[str, Any]]

# The words of a profile that are not waits
NO_WAITS = (
    "interdigittimeout",
    "line_gain",
    "on_silence",
    "on_sound",
    "too_soft_below",
    "normal_from",
    "speech_ends_after",
    "speech_certainty",
)
STAY = "stay"  # as a target: restart the countdown of this step
_QUEUE = r"[A-Za-z0-9][A-Za-z0-9_-]+"  # as the dialplan's patterns (hearline-to-queue)
_DECIBELS = re.compile(r"(\d+)\s*dB")
_LEVEL = re.compile(r"([-−]?\d+)\s*dBov")


# ---- the words of the file -------------------------------------------------------------------------------------------
def _with_unit(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else duration(value)


def _decibels(value: Any) -> int:
    """``9 dB`` as whole dB."""
    found = _DECIBELS.fullmatch(value.strip()) if isinstance(value, str) else None
    if not found:
        raise ValueError(f"{value!r} is no gain|Write whole decibels with the unit: 9 dB, or 0 dB for none")
    return int(found[1])


def _level(value: Any) -> int:
    """``-38 dBov`` as whole dBov."""
    found = _LEVEL.fullmatch(value.strip()) if isinstance(value, str) else None
    if not found:
        raise ValueError(f"{value!r} is not a level|Write whole decibels under full scale with the unit: -38 dBov")
    return int(found[1].replace("−", "-"))


Gain = Annotated[int, BeforeValidator(_decibels)]
Level = Annotated[int, BeforeValidator(_level)]
_SPOKEN = between("-60 dBov", "-26 dBov", "Below is hardly audible, above is the normal level of speech", _level)


class TimerWords(Words):
    """The waits of a call, by name, and the thresholds that go with them. A profile must set all words that default to
    None here; a flow may override any of them. The ears' defaults were measured, and equal those of
    ``audio/settings.py``."""

    noinput_timeout: Annotated[Duration, between("500ms", "60s", "A caller needs time to speak")] | None = None
    hangup_pause: Duration | None = None
    move_time: Duration | None = None
    interdigittimeout: digits.NextKey = 3_000
    turn_pause: Duration | None = None
    max_speech: Annotated[Duration, between("1s", "14m", "A caller needs time to speak")] | None = None
    limit: Annotated[Duration, between("10s", "14m", "The dialplan lets no call stay longer")] | None = None
    line_gain: Annotated[Gain, between("0 dB", "15 dB", "More raises the noise with it", _decibels)] | None = None
    on_silence: Literal["hangup", "person"] | None = None
    on_sound: Literal["person", "countdown"] = "person"
    too_soft_below: Annotated[Level, _SPOKEN] = -38
    normal_from: Annotated[Level, _SPOKEN] = -35
    speech_ends_after: Annotated[Duration, between("300ms", "2s", "Shorter is a gap between two words")] = 700
    speech_certainty: Literal["low", "normal", "high"] = "normal"


class StepWords(Words):
    play: str | None = None
    wait: Annotated[str | None, BeforeValidator(_with_unit)] = None
    bargein: Bargein | None = None
    collect: Annotated[digits.CollectWords | None, BeforeValidator(digits.by_name)] = None
    on: dict[digits.CauseOrKeys, str] = Field(default_factory=dict)


class FlowWords(Words):
    """A flow file as written. ``like`` names another flow that this one is based on."""

    like: str | None = None
    number: str | None = None
    test_number: str | None = None
    title: dict[str, str] = Field(default_factory=dict)
    language: str = "zh"
    phrases: str = "lanzhi"
    profile: str = "standard"
    timers: TimerWords = TimerWords()
    queue: str = "care"
    hours: HoursWords | None = None
    begin: str
    always: dict[Cause, str] = Field(default_factory=dict)
    steps: dict[str, StepWords] = Field(min_length=1)

    @field_validator("queue")
    @classmethod
    def _queue_name(cls, value: str) -> str:
        if not re.fullmatch(_QUEUE, value):
            remedy = "Use at least two letters, digits, - and _, beginning with a letter or a digit"
            raise ValueError(f"{value!r} is not a queue name|{remedy}")
        return value

    @field_validator("number", "test_number")
    @classmethod
    def _dialable(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"\+?[0-9]{1,32}", value):
            raise ValueError(f"{value!r} cannot be dialled|Use the digits 0 to 9, in quotes")
        return value


@dataclass(frozen=True)
class Flow:
    """A checked flow: its words, its plan and its calendar."""

    name: str
    words: FlowWords
    plan: Plan
    calendar: Calendar

    def begin_at(self, now: datetime) -> str:
        """The step a call begins with at ``now`` (aware): the ``closed`` step outside the opening hours."""
        hours = self.words.hours
        return self.plan.begin if hours is None or self.calendar.is_open(now) else hours.closed


# ---- reading ---------------------------------------------------------------------------------------------------------
def read_profiles(text: str, file: str) -> dict[str, TimerWords]:
    """The timer profiles of ``profiles.yaml``. Raises FlowError."""
    lines = YamlDocument(text, file)
    if not isinstance(lines.data, dict) or not all(isinstance(v, dict) for v in lines.data.values()):
        raise FlowError([Fault(file, 1, "no profiles here", "Write `standard:` and its timers below it")])
    profiles, faults = {}, []
    for name, timers in lines.data.items():
        try:
            profiles[name] = TimerWords.model_validate(timers)
        except ValidationError as error:
            faults += lines.faults(error, TimerWords, (name,))
            continue
        settled = profiles[name].model_dump()
        for timer, value in settled.items():
            if value is None:
                faults.append(lines.fault((name,), f"profile {name!r} leaves out {timer!r}", f"Add `{timer}: …`"))
        faults += [lines.fault((name, word), *what) for word, *what in _crossed(settled)]
    if faults:
        raise FlowError(faults)
    return profiles


def _crossed(timers: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Timer settings that contradict each other: (word, problem, remedy)."""
    soft, normal = timers["too_soft_below"], timers["normal_from"]
    if normal < soft:
        problem = f"normal_from is {normal} dBov, under too_soft_below, {soft} dBov"
        yield "normal_from", problem, f"Nobody can be both: write `normal_from: {soft} dBov` or more"


def _no_other(name: str) -> str:
    raise OSError(f"no flow {name!r} here")


def _no_calendar(name: str) -> SharedCalendar:
    raise FileNotFoundError(name)


def _overlay(own: dict, lines: YamlDocument, text_of: Callable[[str], str]) -> dict:
    """``own`` on top of the flow that its ``like`` names. A word replaces the other flow's word; in ``steps`` and
    ``always`` single entries do."""
    base_name = own.get("like")
    if base_name is None:
        return own
    try:
        text = text_of(str(base_name))
    except OSError:
        remedy = "Name a flow in the same folder, without .yaml"
        raise FlowError([lines.fault(("like",), f"there is no flow {base_name!r}", remedy)]) from None
    folder, slash, _ = lines.file.rpartition("/")
    lines.base = YamlDocument(text, f"{folder}{slash}{base_name}.yaml")
    base = lines.base.data
    if not isinstance(base, dict) or "like" in base:
        raise FlowError(
            [lines.fault(("like",), f"flow {base_name!r} has a `like` itself", "Name the flow that both are like")]
        )
    shared = {k: v for k, v in base.items() if k not in ("number", "test_number", "title")}
    if "profile" in own:
        shared.pop("timers", None)  # they were made for the other profile
    merged = shared | own
    for part in ("steps", "always"):
        if isinstance(shared.get(part), dict) and isinstance(own.get(part), dict):
            merged[part] = shared[part] | own[part]
    return merged


def read_flow(
    text: str,
    file: str,
    name: str,
    profiles: Mapping[str, TimerWords],
    prompts: Prompts,
    text_of: Callable[[str], str] = _no_other,
    calendar_named: Callable[[str], SharedCalendar] = _no_calendar,
    zone: str = DEFAULT_ZONE,
) -> Flow:
    """Check a flow file and settle it.

    Args:
        text: the YAML.
        file: the file's name in messages.
        name: the flow's name (the file's stem).
        profiles: the timer profiles.
        prompts: the prompts that exist, by (language, phrase set).
        text_of: returns the text of another flow, for ``like``; raises OSError if there is none.
        calendar_named: returns the calendar that ``hours`` name; raises FileNotFoundError if there is none, FlowError
            if it is broken.
        zone: the time zone of hours that name none.

    Raises:
        FlowError: lists all faults.
    """
    lines = YamlDocument(text, file)
    if not isinstance(lines.data, dict):
        raise FlowError([Fault(file, 1, "this is not a flow", "Begin with `begin: …` and `steps:`; copy hotline.yaml")])
    try:
        words = FlowWords.model_validate(_overlay(lines.data, lines, text_of))
    except ValidationError as error:
        raise FlowError(lines.faults(error, FlowWords)) from None
    shared = _shared(words.hours, lines, calendar_named)
    plan = _Settler(words, lines, profiles, prompts, shared).plan(name)
    return Flow(name, words, plan, settled(words.hours, shared, zone))


def _shared(
    hours: HoursWords | None, lines: YamlDocument, calendar_named: Callable[[str], SharedCalendar]
) -> SharedCalendar | None:
    """The calendar that these hours name. Raises FlowError if there is none."""
    if hours is None or hours.calendar is None:
        return None
    try:
        return calendar_named(hours.calendar)
    except FileNotFoundError:
        remedy = "Name a file of the folder calendar/ beside the flows, without .yaml"
        problem = f"there is no calendar {hours.calendar!r}"
        raise FlowError([lines.fault(("hours", "calendar"), problem, remedy)]) from None


# ---- settling --------------------------------------------------------------------------------------------------------
class _Settler:
    """Turns words into a plan: names into numbers, `always` into every step, absent prompts into short cuts."""

    def __init__(
        self,
        words: FlowWords,
        lines: YamlDocument,
        profiles: Mapping[str, TimerWords],
        prompts: Prompts,
        shared: SharedCalendar | None,
    ) -> None:
        self.words, self.lines, self.shared = words, lines, shared
        self.faults: list[Fault] = []
        self.timers = self._timers(profiles)
        self.known = self._prompts(prompts)
        self.never_hang_up = self.timers.get("on_silence") == "person"

    def _timers(self, profiles: Mapping[str, TimerWords]) -> dict[str, Any]:
        if self.words.profile not in profiles:
            self._fault(
                ("profile",), f"unknown timer profile {self.words.profile!r}", like(self.words.profile, profiles)
            )
            return {}
        chosen = profiles[self.words.profile].model_dump()
        timers = chosen | self.words.timers.model_dump(exclude_unset=True, exclude_none=True)
        for word, problem, remedy in _crossed(timers):
            self._fault(("timers", word), problem, remedy)
        return timers

    def _prompts(self, prompts: Prompts) -> Mapping[str, Any] | None:
        key = (self.words.language, self.words.phrases)
        if key in prompts:
            return prompts[key]
        sets = [phrases for language, phrases in prompts if language == self.words.language]
        where = ("phrases",) if sets else ("language",)
        self._fault(where, f"no phrase set {'/'.join(key)}", like(key[1], sets) if sets else "Use zh")
        return None

    def _fault(self, path: tuple, problem: str, remedy: str) -> None:
        self.faults.append(self.lines.fault(path, problem, remedy))

    def plan(self, name: str) -> Plan:
        steps = {step: self._step(step, words) for step, words in self.words.steps.items()}
        begin = self._begin(("begin",), self.words.begin)
        if self.words.hours:
            self._begin(("hours", "closed"), self.words.hours.closed)
            for path, *what in contradictions(self.words.hours, self.shared):
                self._fault(("hours", *path), *what)
        if not self.faults:  # a misspelt target also leaves steps unreached: report it once
            for step in sorted(set(self.words.steps) - self._reached()):
                if ("steps", step) in self.lines.yaml.lines:
                    remedy = "Name it as a target in another step, or remove it"
                    self._fault(("steps", step), f"step {step!r} is never reached", remedy)
        if self.faults:
            raise FlowError(sorted(dict.fromkeys(self.faults), key=lambda fault: fault.line))
        steps = _reachable(steps, [begin, *([self.words.hours.closed] if self.words.hours else [])])
        return Plan(
            flow=name,
            language=self.words.language,
            phrases=self.words.phrases,
            begin=begin,
            steps=steps,
            fallback=End(f"queue:{self.words.queue}"),
            turn_pause_ms=self.timers["turn_pause"],
            max_speech_ms=self.timers["max_speech"],
            limit_ms=self.timers["limit"],
            max_gain_db=self.timers["line_gain"],
            too_soft_dbov=self.timers["too_soft_below"],
            normal_dbov=self.timers["normal_from"],
            speech_ends_ms=self.timers["speech_ends_after"],
            speech_certainty=self.timers["speech_certainty"],
            on_sound=self.timers["on_sound"],
            prompts=frozenset(step.prompt for step in steps.values() if step.prompt),
        )

    def _begin(self, path: tuple, step: str) -> str:
        if step not in self.words.steps:
            self._fault(path, f"there is no step {step!r}", like(step, self.words.steps))
        return step

    def _reached(self) -> set[str]:
        todo, seen = [self.words.begin], set()
        if self.words.hours:
            todo.append(self.words.hours.closed)
        while todo:
            step = todo.pop()
            if step in self.words.steps and step not in seen:
                seen.add(step)
                todo += self._on(self.words.steps[step]).values()
        return seen

    def _on(self, step: StepWords) -> dict[str, str]:
        """The targets as written, by cause, and by keys if the step collects them; ``always`` included."""
        on = self.words.always | step.on
        for moot in (Cause.KEY,) if step.collect else (Cause.COLLECTED, Cause.NOMATCH):
            on.pop(moot, None)
        return on

    def _step(self, name: str, words: StepWords) -> Step:
        path = ("steps", name)
        if words.play is not None and self.known is not None and words.play not in self.known:
            self._fault(
                (*path, "play"),
                f"no prompt {words.play!r} in {self.words.language}/{self.words.phrases}",
                like(words.play, self.known),
            )
        on: dict[str, Target] = {}
        for cause, target in self._on(words).items():
            where = (*path, "on", cause) if cause in words.on else ("always", cause)
            if target == STAY:
                if cause == Cause.COLLECTED or cause not in list(Cause):
                    self._fault(where, f"{cause!s} leads nowhere", "Name a step or an end")
                continue
            settled = self._target(where, target)
            if settled is not None:
                on[cause] = settled
        if self._on(words).get(Cause.NOINPUT, STAY) == STAY:
            self._fault(
                (*path, "on") if words.on else path,
                f"step {name!r} does not say where silence leads",
                "Add `noinput: …` under its `on:`",
            )
        for below, problem, remedy in digits.clashes(words.collect, words.bargein, words.on, self._on(words)):
            self._fault((*path, *below), problem, remedy)
        # If the set leaves this prompt out, targets skip the step; as the first step of a call it is only a wait.
        absent = words.play is not None and self.known is not None and self.known.get(words.play, words.play) is None
        prompt, wait_ms = None if absent else words.play, self._wait(path, words)
        if prompt is None and not wait_ms and self.timers and not self.faults:
            self._fault(path, f"step {name!r} neither plays anything nor waits", "Give it a `play` or a `wait`")
        causes = {Cause(cause): target for cause, target in on.items() if cause in list(Cause)}
        by_keys = words.collect and not {Cause.SPEECH, Cause.TOO_SOFT} & self._on(words).keys()
        bargein = words.bargein or (Bargein.KEY if by_keys else Bargein.ANY)
        if self.faults or not words.collect:
            return Step(name, prompt, wait_ms, bargein, causes)
        choices = {keys: target for keys, target in on.items() if keys not in causes}
        anything = Cause.COLLECTED in self._on(words)
        collect = digits.settle(words.collect, choices, anything, self.timers["interdigittimeout"])
        return Step(name, prompt, wait_ms, bargein, causes, collect)

    def _wait(self, path: tuple, words: StepWords) -> int:
        named = words.wait or "noinput_timeout"
        waits = {k: v for k, v in self.timers.items() if k not in NO_WAITS}
        if named in waits:
            return waits[named]
        if not self.timers:
            return 0  # the profile is unknown, which is a fault already
        try:
            return duration(named)
        except ValueError:
            self._fault(
                (*path, "wait"),
                f"{named!r} is neither a duration nor a timer",
                f"Write 3s, or one of {', '.join(sorted(waits))}",
            )
            return 0

    def _target(self, where: tuple, text: str, passed: tuple[str, ...] = ()) -> Target | None:
        if text == "queue":
            return End(f"queue:{self.words.queue}")
        if re.fullmatch(f"queue:{_QUEUE}", text) or text == "message":
            return End(text)
        if re.fullmatch(r"hangup:[a-z_]+", text):
            return End(f"queue:{self.words.queue}" if self.never_hang_up else text)
        if text not in self.words.steps:
            known = ["queue", "queue:NAME", "message", "hangup:REASON", STAY, *self.words.steps]
            self._fault(where, f"{text!r} is neither a step nor an end", like(text, known))
            return None
        if text in passed:
            self._fault(where, f"step {text!r} leads back to itself without a prompt", "Make it lead to an end")
            return None
        step = self.words.steps[text]
        onward = self._on(step).get(Cause.NOINPUT, "queue")
        absent = step.play is not None and self.known is not None and self.known.get(step.play, step.play) is None
        says_goodbye = self.never_hang_up and onward.startswith("hangup:")
        if absent or says_goodbye:  # the set leaves the prompt out, or the caller must not be sent away
            return self._target(("steps", text), onward, (*passed, text))
        return Goto(text)


def _reachable(steps: Mapping[str, Step], begins: list[str]) -> dict[str, Step]:
    """The steps that a call can reach. Skipped steps (their set leaves the prompt out) are not among them."""
    todo, found = list(begins), {}
    while todo:
        name = todo.pop()
        if name not in found:
            found[name] = steps[name]
            todo += [target.step for target in steps[name].targets if isinstance(target, Goto)]
    return found
