"""The flow engine: events in, actions out. No sockets, no clock, no arrays.

Time is a number of ms since the call's first frame, handed in by whoever runs the engine: the live line, the
simulator or a test. The engine names one ``deadline``; when the time has come, ``due`` is called.

    PLAYING ──prompt ended──▶ WAITING ──deadline──▶ next step (noinput)
       │                         │
       └────── speech ───────────┴──▶ SPEAKING ──speech ended──▶ TURN_PAUSE ──deadline──▶ next step (speech, too_soft)

A key leads on at once; a hang-up ends the call in any state.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hearline.call.plan import Bargein, Cause, End, Plan, Step, Target, Verdict


# ---- what happened -------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class PromptEnded:
    """The last frame of the prompt was sent. ``play_id`` tells which: an event of a stopped prompt is old news."""

    play_id: int


@dataclass(frozen=True)
class SpeechStarted:
    pass


@dataclass(frozen=True)
class Heard:
    """What the speech sounds like so far: ``verdict`` is SPEECH or TOO_SOFT."""

    verdict: Verdict


@dataclass(frozen=True)
class SpeechEnded:
    """Speech ended ``ago_ms`` before now (the detector is sure only after its hangover). ``verdict`` None: none of it
    was since the last question."""

    verdict: Verdict | None
    ago_ms: int = 0


@dataclass(frozen=True)
class Key:
    """Some key was pressed; which one is nobody's business here."""


@dataclass(frozen=True)
class HungUp:
    """The caller's side is gone."""


Event = PromptEnded | SpeechStarted | Heard | SpeechEnded | Key | HungUp


# ---- what to do ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Play:
    """Start this prompt. ``planned_ms``: when it should start by the plan."""

    prompt: str
    play_id: int
    step: str
    planned_ms: int


@dataclass(frozen=True)
class Stop:
    """Stop the prompt that is playing."""


@dataclass(frozen=True)
class Measure:
    """Forget the level heard so far: what is said from now on answers a new question."""


@dataclass(frozen=True)
class TimerSet:
    """A wait has begun; for the record."""

    step: str
    ends_ms: int


@dataclass(frozen=True)
class TimerExtended:
    """The wait has run out, but something like speech was just heard: it goes on to ``ends_ms``; for the record."""

    step: str
    ends_ms: int


@dataclass(frozen=True)
class Finish:
    """The IVR's part is over. ``heard``: what the agent is told (normal, silent1, silent2, low, noise, key)."""

    outcome: str
    heard: str
    planned_ms: int


Action = Play | Stop | Measure | TimerSet | TimerExtended | Finish


class State(StrEnum):
    PLAYING = "playing"
    WAITING = "waiting"
    SPEAKING = "speaking"
    TURN_PAUSE = "turn_pause"
    ENDED = "ended"


class Engine:
    """One call's decisions. ``start`` once, then ``handle`` for each event and ``due`` at each deadline."""

    def __init__(self, plan: Plan, begin: str | None = None) -> None:
        self.plan = plan
        self.state = State.PLAYING
        self.outcome: str | None = None
        self.step: Step = plan.steps[begin or plan.begin]
        self._play_id = 0
        self._playing = False
        self._timer: int | None = None  # ms: end of a wait, of a turn pause or of the longest turn
        self._limit = plan.limit_ms
        self._talking = False  # the caller is speaking just now, whether it is acted on or not
        self._extended = False  # this wait was prolonged once because something like speech was heard
        self._speech_since = 0
        self._verdict: Verdict | None = None
        self._silences = 0
        self._soft = 0
        self._last_cause: Cause | None = None

    # ---- time -------------------------------------------------------------------------------------------------------
    @property
    def deadline(self) -> int | None:
        """ms at which ``due`` must be called; None once the call has ended."""
        if self.state is State.ENDED:
            return None
        return self._limit if self._timer is None else min(self._timer, self._limit)

    @property
    def timer(self) -> int | None:
        """ms at which the running wait ends; None while none runs."""
        return self._timer if self.state in (State.WAITING, State.TURN_PAUSE) else None

    def start(self, now: int) -> list[Action]:
        self._limit = now + self.plan.limit_ms
        return self._enter(self.step.name, now)

    def due(self, now: int, line: Verdict = Verdict.NO_SIGNAL, maybe_speech: bool = False) -> list[Action]:
        """The deadline has come. ``line``: what the line carries while nobody speaks; ``maybe_speech``: the detector
        has just seen something that may become speech."""
        deadline = self.deadline
        if deadline is None or now < deadline:
            return []
        if now >= self._limit:
            return self._finish(self.plan.fallback, self._limit)
        planned = deadline  # the timer's: the limit's has not come
        if self.state is State.WAITING:
            if maybe_speech and not self._extended:
                self._extended = True
                self._timer = planned + self.plan.maybe_ms
                return [TimerExtended(self.step.name, self._timer)]
            noisy = line is Verdict.NOISE and Cause.NOISE in self.step.on
            return self._leave(Cause.NOISE if noisy else Cause.NOINPUT, planned)
        return self._act_on_speech(planned)  # the turn is over, or has lasted long enough

    # ---- events -----------------------------------------------------------------------------------------------------
    def handle(self, event: Event, now: int) -> list[Action]:
        if self.state is State.ENDED:
            return []
        match event:
            case HungUp():
                return self._finish(End("hangup:caller"), now)
            case PromptEnded(play_id):
                return self._prompt_ended(now) if self._playing and play_id == self._play_id else []
            case SpeechStarted():
                self._talking = True
            case SpeechEnded():
                self._talking = False
        if self.step.bargein is Bargein.NONE:
            return []
        match event:
            case Key():
                return self._leave(Cause.KEY, now) if Cause.KEY in self.step.on else []
            case SpeechStarted():
                return self._speech_started(now)
            case Heard(verdict):
                return self._heard(verdict, now)
            case SpeechEnded(verdict, ago_ms):
                return self._speech_ended(verdict, now - ago_ms, now)
        return []

    def _prompt_ended(self, now: int) -> list[Action]:
        self._playing = False
        if self._talking and self.step.bargein is Bargein.LOUD:
            self._speech_since, self._verdict = now, None
            return self._listen_to_the_end()  # begun under the prompt: it is the answer, all of it
        # An answer is what is said from here on; under other prompts it is what is said at any time.
        measure: list[Action] = [Measure()] if self.step.bargein is Bargein.LOUD else []
        return measure + self._wait(now)

    def _speech_started(self, now: int) -> list[Action]:
        if self.state is State.SPEAKING:
            return []
        if self._playing and self.step.bargein is Bargein.LOUD:
            return []  # talk under a request to speak up: only _heard (loud enough) may cut it
        if self.state is not State.TURN_PAUSE:
            self._speech_since = now
            self._verdict = None
        return self._listen_to_the_end()

    def _listen_to_the_end(self) -> list[Action]:
        self.state = State.SPEAKING
        self._timer = self._speech_since + self.plan.max_speech_ms
        stop: list[Action] = [Stop()] if self._playing else []
        self._playing = False
        return stop

    def _heard(self, verdict: Verdict, now: int) -> list[Action]:
        if self.state in (State.SPEAKING, State.TURN_PAUSE):
            self._verdict = verdict
        elif self._cuts(verdict):
            self._speech_since, self._verdict = now, verdict
            return self._listen_to_the_end()
        return []

    def _cuts(self, verdict: Verdict | None) -> bool:
        """Speech that is loud enough cuts any prompt; but where it began before the prompt, it does so only while it
        lasts: who has ended listens."""
        if self.state is not State.PLAYING or verdict is not Verdict.SPEECH:
            return False
        return self._talking or self.step.bargein is Bargein.LOUD

    def _speech_ended(self, verdict: Verdict | None, ended: int, now: int) -> list[Action]:
        stop: list[Action] = []
        if self._cuts(verdict):  # short, but loud enough
            self._speech_since, self._verdict = now, verdict
            stop = self._listen_to_the_end()
        if self.state is State.SPEAKING:
            if verdict is None and self.step.bargein is Bargein.LOUD:
                return self._wait(now)  # the last of what was said before the question
            self._verdict = verdict
            self.state = State.TURN_PAUSE
            self._timer = max(now, ended + self.plan.turn_pause_ms)
        return stop

    # ---- steps ------------------------------------------------------------------------------------------------------
    def _act_on_speech(self, planned: int) -> list[Action]:
        cause = Cause.TOO_SOFT if self._verdict is Verdict.TOO_SOFT else Cause.SPEECH
        if cause in self.step.on:
            return self._leave(cause, planned)
        return [Measure(), *self._wait(planned)]  # the flow says `stay`: the countdown begins anew

    def _leave(self, cause: Cause, planned: int) -> list[Action]:
        self._last_cause = cause
        self._silences += cause is Cause.NOINPUT and self._soft == 0
        self._soft += cause is Cause.TOO_SOFT
        stop: list[Action] = [Stop()] if self._playing else []
        self._playing = False
        target: Target = self.step.on[cause]
        if isinstance(target, End):
            return stop + self._finish(target, planned)
        return stop + self._enter(target.step, planned)

    def _enter(self, name: str, planned: int) -> list[Action]:
        self.step = self.plan.steps[name]
        self._verdict = None
        if self.step.prompt is None:
            return [Measure(), *self._wait(planned)]
        self.state, self._timer = State.PLAYING, None
        self._playing = True
        self._play_id += 1
        return [Measure(), Play(self.step.prompt, self._play_id, name, planned)]

    def _wait(self, now: int) -> list[Action]:
        """The countdown runs only while nobody speaks."""
        if self._talking and self.step.bargein is not Bargein.NONE:
            self._speech_since, self._verdict = now, None
            return self._listen_to_the_end()
        self.state = State.WAITING
        self._extended = False
        self._timer = now + self.step.wait_ms
        return [TimerSet(self.step.name, self._timer)]

    def _finish(self, end: End, planned: int) -> list[Action]:
        stop: list[Action] = [Stop()] if self._playing else []
        self.state, self._timer, self._playing = State.ENDED, None, False
        self.outcome = end.outcome
        return [*stop, Finish(end.outcome, self._what_was_heard(), planned)]

    def _what_was_heard(self) -> str:
        """For the agent's whisper (service standard 2.1)."""
        if self._last_cause is Cause.KEY:
            return "key"
        if self._soft:
            return "low"
        if self._last_cause is Cause.NOISE:
            return "noise"
        return ("normal", "silent1", "silent2")[min(self._silences, 2)]
