"""The flow engine: events in, actions out. It knows no sockets, no clock and no arrays.

Time is in ms since the call's first frame, passed in by the live line, the simulator or a test. The engine names one
``deadline``; its caller calls ``due`` when that has come.

    PLAYING ──prompt ended──▶ WAITING ──deadline──▶ next step (noinput)
       │                         │
       ├────── speech ───────────┼──▶ SPEAKING ──speech ended──▶ TURN_PAUSE ──deadline──▶ next step (speech, too_soft)
       │                         │        │                          │
       └────── key ──────────────┴────────┴──────────────────────────┴──▶ COLLECTING ──▶ next step (collected, nomatch)

In a step that does not collect keys, a key leads on at once. A hang-up ends the call in any state. ``ACTS_ON`` lists
the events that each state acts on, ``TIMED`` the states in which a timer runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from hearline.call.plan import KEYS, Bargein, Cause, Collect, End, Plan, Step, Target, Verdict


# ---- what happened -------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class PromptEnded:
    """The last frame of the prompt was sent. ``play_id`` is the ``Play``'s: an event of a stopped prompt is ignored."""

    play_id: int


@dataclass(frozen=True)
class SpeechStarted:
    pass


@dataclass(frozen=True)
class Heard:
    """The verdict on the current speech so far, SPEECH or TOO_SOFT. ``far``: the ears are sure that the caller speaks
    far from the telephone, or on its loudspeaker."""

    verdict: Verdict
    far: bool = False


@dataclass(frozen=True)
class SpeechEnded:
    """Speech ended ``ago_ms`` before now (the detector is sure only after its hangover). ``verdict`` is None if all of
    it came before the last question. ``far`` as in `Heard`."""

    verdict: Verdict | None
    ago_ms: int = 0
    far: bool = False


@dataclass(frozen=True)
class Key:
    """A key was pressed. ``digit`` may be '' in steps that do not collect keys."""

    digit: str = field(default="", repr=False)  # personal data


@dataclass(frozen=True)
class HungUp:
    """The caller hung up, or the connection broke."""


Event = PromptEnded | SpeechStarted | Heard | SpeechEnded | Key | HungUp


# ---- what to do ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Play:
    """Start this prompt. ``planned_ms``: when it should start according to the plan."""

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
    """A wait has begun; for the record only."""

    step: str
    ends_ms: int


@dataclass(frozen=True)
class TimerExtended:
    """The wait ran out just as something like speech was heard, so it goes on to ``ends_ms``; for the record only."""

    step: str
    ends_ms: int


@dataclass(frozen=True)
class Keyed:
    """The input of this step is complete. ``keys`` is '' if only the terminator was pressed."""

    collect: Collect
    keys: str = field(repr=False)  # personal data
    matched: bool = False


@dataclass(frozen=True)
class Finish:
    """The IVR's part is over. ``heard``: the agent's whisper (normal, silent1, silent2, low, noise, key)."""

    outcome: str
    heard: str
    planned_ms: int


Action = Play | Stop | Measure | TimerSet | TimerExtended | Keyed | Finish


class State(StrEnum):
    PLAYING = "playing"
    WAITING = "waiting"
    SPEAKING = "speaking"
    TURN_PAUSE = "turn_pause"
    COLLECTING = "collecting"  # at least one key has come; speech is ignored meanwhile
    ENDED = "ended"


# The events each state acts on, if the step's bargein allows. Others are late and ignored. A hang-up ends every state.
ACTS_ON: dict[State, set[type]] = {
    State.PLAYING: {PromptEnded, SpeechStarted, Heard, SpeechEnded, Key},
    State.WAITING: {SpeechStarted, Key},
    State.SPEAKING: {Heard, SpeechEnded, Key},
    State.TURN_PAUSE: {SpeechStarted, Heard, Key},
    State.COLLECTING: {Key},
    State.ENDED: set(),
}
RUN_ON_MS = 1_000  # keys that follow an overlong input this soon are the rest of it, not a new answer
TIMED = {State.WAITING, State.SPEAKING, State.TURN_PAUSE, State.COLLECTING}


class Engine:
    """One call's decisions. ``start`` once, then ``handle`` for each event and ``due`` at each deadline."""

    def __init__(self, plan: Plan, begin: str | None = None) -> None:
        self.plan = plan
        self.state = State.PLAYING
        self.outcome: str | None = None
        self.step: Step = plan.steps[begin or plan.begin]
        self._play_id = 0
        self._timer: int | None = None  # ms: end of a wait, of a turn pause, of the longest turn, or for the next key
        self._limit = plan.limit_ms
        self._talking = False  # the caller is speaking now, whether or not the step acts on it
        self._extended = False  # this wait has been extended: once only
        self._speech_since = 0
        self._verdict: Verdict | None = None
        self._far = False  # the current speech comes from far from the telephone
        self._keys = ""  # collected so far; empty except while COLLECTING
        self._late = ("", 0)  # (keys, until ms): these still belong to the previous input, and are ignored
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
        return self._timer if self.state in TIMED - {State.SPEAKING} else None

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
        planned = deadline  # the timer's, since the limit has not been reached
        if self.state is State.WAITING:
            if maybe_speech and self.step.hears_speech and not self._extended:
                self._extended = True
                self._timer = planned + self.plan.maybe_ms
                return [TimerExtended(self.step.name, self._timer)]
            noisy = line is Verdict.NOISE and Cause.NOISE in self.step.on
            return self._leave(Cause.NOISE if noisy else Cause.NOINPUT, planned)
        if self.state is State.COLLECTING and self.step.collect:
            self._late = self.step.collect.termchar, planned + self.step.collect.interdigit_ms
            return self._keyed(planned)
        return self._act_on_speech(planned)  # the turn is over, or has reached its limit

    # ---- events -----------------------------------------------------------------------------------------------------
    def handle(self, event: Event, now: int) -> list[Action]:
        if isinstance(event, HungUp) and self.state is not State.ENDED:
            return self._finish(End("hangup:caller"), now)
        if isinstance(event, SpeechStarted | SpeechEnded):
            self._talking = isinstance(event, SpeechStarted)
        if type(event) not in ACTS_ON[self.state]:
            return []
        match event:
            case PromptEnded(play_id):
                return self._prompt_ended(now) if play_id == self._play_id else []
            case Key(digit):
                return self._key(digit, now) if self.step.bargein is not Bargein.NONE else []
        if not self.step.hears_speech:
            return []
        match event:
            case SpeechStarted():
                return self._speech_started(now)
            case Heard(verdict, far):
                self._far = far
                return self._heard(verdict, now)
            case SpeechEnded(verdict, ago_ms, far):
                self._far = far
                return self._speech_ended(verdict, now - ago_ms, now)
        return []

    def _prompt_ended(self, now: int) -> list[Action]:
        self.state = State.WAITING  # so that what follows does not stop a prompt that has ended
        if self._talking and self.step.bargein is Bargein.LOUD:
            self._speech_since, self._verdict = now, None
            return self._listen_to_the_end()  # it began during the prompt: all of it is the answer
        # In a LOUD step only speech from here on is an answer; in other steps speech during the prompt is, too.
        measure: list[Action] = [Measure()] if self.step.bargein is Bargein.LOUD else []
        return measure + self._wait(now)

    def _speech_started(self, now: int) -> list[Action]:
        if self.state is State.PLAYING and self.step.bargein is Bargein.LOUD:
            return []  # soft talk during a request to speak up: only _heard (loud enough) may cut the prompt
        if self.state is not State.TURN_PAUSE:
            self._speech_since = now
            self._verdict = None
        return self._listen_to_the_end()

    def _listen_to_the_end(self) -> list[Action]:
        stop = self._stop()
        self.state = State.SPEAKING
        self._timer = self._speech_since + self.plan.max_speech_ms
        return stop

    def _stop(self) -> list[Action]:
        return [Stop()] if self.state is State.PLAYING else []

    def _heard(self, verdict: Verdict, now: int) -> list[Action]:
        if self.state in (State.SPEAKING, State.TURN_PAUSE):
            self._verdict = verdict
        elif self._cuts(verdict):
            self._speech_since, self._verdict = now, verdict
            return self._listen_to_the_end()
        return []

    def _cuts(self, verdict: Verdict | None) -> bool:
        """True if this speech stops the prompt, which only loud enough speech does. Speech that began before the prompt
        does so only while it lasts: a caller who has stopped speaking is listening."""
        if self.state is not State.PLAYING or verdict is not Verdict.SPEECH:
            return False
        return self._talking or self.step.bargein is Bargein.LOUD

    def _speech_ended(self, verdict: Verdict | None, ended: int, now: int) -> list[Action]:
        stop: list[Action] = []
        if self._cuts(verdict):  # over already, but loud enough
            self._speech_since, self._verdict = now, verdict
            stop = self._listen_to_the_end()
        if self.state is State.SPEAKING:
            if verdict is None and self.step.bargein is Bargein.LOUD:
                return self._wait(now)  # this was the end of speech from before the question
            self._verdict = verdict
            self.state = State.TURN_PAUSE
            self._timer = max(now, ended + self.plan.turn_pause_ms)
        return stop

    # ---- keys -------------------------------------------------------------------------------------------------------
    def _key(self, key: str, now: int) -> list[Action]:
        (late, until), self._late = self._late, ("", 0)
        if key and key in late and now <= until:
            if late == KEYS:
                self._late = KEYS, now + RUN_ON_MS
            return []
        collect = self.step.collect
        if collect is None:
            return self._leave(Cause.KEY, now) if Cause.KEY in self.step.on else []
        if not key or key not in KEYS:
            return []
        stop = self._stop()
        self.state, self._timer = State.COLLECTING, now + collect.interdigit_ms
        if key == collect.termchar:
            return stop + self._keyed(now)
        self._keys += key
        if not collect.is_whole(self._keys):
            return stop
        if collect.max_length > 1 and not collect.matches(self._keys):  # the caller is keying in something longer
            self._late = KEYS, now + RUN_ON_MS
        else:
            self._late = collect.termchar, self._timer  # many press # after a number out of habit
        return stop + self._keyed(now)

    def _keyed(self, planned: int) -> list[Action]:
        """The input is complete."""
        collect, keys, self._keys = self.step.collect, self._keys, ""
        assert collect is not None  # only a step that collects has input
        matched = collect.matches(keys)
        cause = Cause.COLLECTED if matched else Cause.NOMATCH
        choice = collect.choices.get(keys)
        if choice or cause in self.step.on:
            return [Keyed(collect, keys, matched), *self._leave(cause, planned, choice)]
        return [Keyed(collect, keys, matched), Measure(), *self._wait(planned)]  # the flow says `stay`

    # ---- steps ------------------------------------------------------------------------------------------------------
    def _act_on_speech(self, planned: int) -> list[Action]:
        cause = Cause.TOO_SOFT if self._verdict is Verdict.TOO_SOFT else Cause.SPEECH
        if self._far and Cause.FAR in self.step.on:
            cause = Cause.FAR
        if cause in self.step.on:
            return self._leave(cause, planned)
        return [Measure(), *self._wait(planned)]  # the flow says `stay`: the countdown begins anew

    def _leave(self, cause: Cause, planned: int, choice: Target | None = None) -> list[Action]:
        """Go where ``cause`` leads, or to ``choice``, the target of the keys that were pressed."""
        self._last_cause = cause
        self._silences += cause is Cause.NOINPUT and self._soft == 0
        self._soft += cause is Cause.TOO_SOFT
        target = choice or self.step.on[cause]
        if isinstance(target, End):
            return self._finish(target, planned)
        return self._stop() + self._enter(target.step, planned)

    def _enter(self, name: str, planned: int) -> list[Action]:
        self.step = self.plan.steps[name]
        self._verdict, self._far = None, False
        if self.step.prompt is None:
            return [Measure(), *self._wait(planned)]
        self.state, self._timer = State.PLAYING, None
        self._play_id += 1
        return [Measure(), Play(self.step.prompt, self._play_id, name, planned)]

    def _wait(self, now: int) -> list[Action]:
        """Start the countdown, or listen on if the caller is speaking: it runs only while nobody speaks."""
        if self._talking and self.step.hears_speech:
            self._speech_since, self._verdict = now, None
            return self._listen_to_the_end()
        self.state = State.WAITING
        self._extended = False
        self._timer = now + self.step.wait_ms
        return [TimerSet(self.step.name, self._timer)]

    def _finish(self, end: End, planned: int) -> list[Action]:
        stop = self._stop()
        self.state, self._timer, self._keys = State.ENDED, None, ""
        self.outcome = end.outcome
        return [*stop, Finish(end.outcome, self._what_was_heard(), planned)]

    def _what_was_heard(self) -> str:
        """The agent's whisper (service standard 2.1). A caller who spoke too softly is `low` even if they pressed a key
        afterwards: `key` means that they did not speak."""
        if self._soft:
            return "low"
        if self._last_cause in (Cause.KEY, Cause.COLLECTED, Cause.NOMATCH):
            return "key"
        if self._last_cause is Cause.NOISE:
            return "noise"
        return ("normal", "silent1", "silent2")[min(self._silences, 2)]
