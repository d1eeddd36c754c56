"""One call in the IVR: connects ears, engine and player, and keeps the record. Both the live tick and the simulator
drive it; it knows neither sockets nor clocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hearline.audio.hearing import Heard as EarHeard
from hearline.audio.hearing import Hearing, SpeechEnded, SpeechStarted
from hearline.audio.level.gain import line_gain_db, verdict_when_raised
from hearline.audio.settings import ONSET_EVIDENCE, CallSettings
from hearline.audio.vad.detector import Detector
from hearline.call import engine as flow
from hearline.call.engine import Engine, State
from hearline.call.plan import Plan, Verdict
from hearline.call.timeline import Timeline
from hearline.media.player import Frames, Player
from hearline.media.transport import FRAME_MS

MOST_AT_ONCE = 100  # steps within one tick
DEAF_SHARE = 0.9  # of the ticks; up to 0.97, a caller who keeps speaking is still heard in the end


class SlotEars:
    """One slot of the detector, opened for a call with this plan, as its session sees it."""

    __slots__ = ("_detector", "_slot", "_since", "settings")

    def __init__(self, detector: Detector, slot: int, plan: Plan) -> None:
        self._detector, self._slot = detector, slot
        self.settings = CallSettings(
            too_soft_dbov=plan.too_soft_dbov,
            normal_dbov=plan.normal_dbov,
            stop_ms=plan.speech_ends_ms,
            onset_evidence=ONSET_EVIDENCE[plan.speech_certainty],
            sign_of_life=plan.on_sound == "person",
        )
        detector.open(slot, self.settings)
        self._since = detector.steps, detector.hasty_steps

    def restart(self) -> None:
        self._detector.restart_measure(self._slot)
        self._since = self._detector.steps, self._detector.hasty_steps

    def deaf(self) -> bool:
        """True if nearly everything since the question went unheard, because the machine had no time for detection."""
        steps, hasty = self._since
        return self._detector.hasty_steps - hasty > DEAF_SHARE * (self._detector.steps - steps)

    def hearing(self) -> Hearing:
        return self._detector.hearing(self._slot)

    def maybe_speech(self) -> bool:
        return self._detector.maybe_speech(self._slot)


class Session:
    """A call from its first frame to its outcome.

    Args:
        plan: the plan to follow; ``begin`` overrides its first step.
        prompts: the frames of every prompt in the plan.
        ears: this line's slot of the detector.
    """

    def __init__(self, plan: Plan, begin: str | None, prompts: Mapping[str, Frames], ears: SlotEars) -> None:
        self.engine = Engine(plan, begin)
        self.timeline = Timeline()
        self.heard = "unknown"
        self.collected: dict[str, str] = {}  # by name; personal data, which the timeline does not hold
        self.last_hearing: Hearing | None = None  # as of the last verdict
        self.moved = False  # True if something was added to the timeline since `settle`
        self._prompts = prompts
        self.ears = ears
        self._player = Player()
        self.next_frame = self._player.next_frame
        """The frame to send after each tick, including the ticks for which ``tick`` was not called."""
        self._play: flow.Play | None = None
        self._wait_from = 0
        self.nothing_until = 0  # ms: until then, ``tick`` need only be called for an event
        self._started = False

    @property
    def outcome(self) -> str | None:
        return self.engine.outcome

    @property
    def playing(self) -> tuple[str, int | None]:
        """The prompt that is being played, and since when (ms); ('', None) if none is."""
        return ("", None) if self._play is None else (self._play.prompt, round(self._play.planned_ms))

    def tick(self, now: int, ear_events: Sequence[object] = (), keys: str = "", gone: bool = False) -> None:
        """Move on to ``now`` (ms, a multiple of 20), with everything that came in since the last tick."""
        if now >= self.nothing_until or ear_events or keys or gone:
            self._move_on(now, ear_events, keys, gone)
            self.moved = True
            ends = self.engine.deadline or 0
            self.nothing_until = ends if self._play is None else min(ends, now + self._player.left * FRAME_MS)

    def record(self) -> dict[str, Any]:
        """The timeline for the record, and the caller's last level (dBov; None if nobody spoke)."""
        level = self.last_hearing and self.last_hearing.active_level_dbov
        return self.timeline.as_dict() | {"level_dbov": None if level is None else round(level, 1)}

    def settle(self, late_ms: float) -> None:
        """The frame of the last ``tick`` was sent, ``late_ms`` after its time."""
        self.timeline.settle(late_ms)
        self.moved = False

    def _move_on(self, now: int, ear_events: Sequence[object], keys: str, gone: bool) -> None:
        engine = self.engine
        if not self._started:
            self._started = True
            self._do(engine.start(now), now)
        if self._play is not None and not self._player.playing:
            self._prompt_ended(now)
        for event in ear_events:
            self._ear_event(event, now)
        for key in keys:
            if self.outcome is None:
                self.timeline.add(now, "key")
                self._do(engine.handle(flow.Key(key), now), now)
        if gone:  # last, since what arrived together with the end of the connection came before it
            self._do(engine.handle(flow.HungUp(), now), now)
        for _ in range(MOST_AT_ONCE):
            if (deadline := engine.deadline) is None or deadline > now:
                return
            self._due(now)
        raise RuntimeError(f"step {engine.step.name!r} leads back to itself without taking time")

    def _prompt_ended(self, now: int) -> None:
        play, self._play = self._play, None
        length = len(self._prompts[play.prompt]) * FRAME_MS
        self.timeline.add(now, "prompt_end", prompt=play.prompt, planned_ms=play.planned_ms + length)
        self._do(self.engine.handle(flow.PromptEnded(play.play_id), now), now)

    def _ear_event(self, event: object, now: int) -> None:
        match event:
            case SpeechStarted():
                self.timeline.add(now, "speech_start", onset_ms=event.onset_ms)
                self._do(self.engine.handle(flow.SpeechStarted(), now), now)
            case EarHeard():
                self._note_verdict(event.hearing, now)
                if (verdict := self._of_speech(event.hearing, now)) is not None:
                    self._do(self.engine.handle(flow.Heard(verdict, bool(event.hearing.far)), now), now)
            case SpeechEnded():
                self.timeline.add(now, "speech_end", end_ms=event.end_ms)
                verdict = self._of_speech(event.hearing, now)
                ended = flow.SpeechEnded(verdict, max(0, event.at_ms - event.end_ms), bool(event.hearing.far))
                self._do(self.engine.handle(ended, now), now)

    def _of_speech(self, hearing: Hearing, now: int) -> Verdict | None:
        """The verdict on the speech since the last question, after raising the line for it; None if there was none. The
        last speech decides how far the line is raised."""
        if not hearing.speech_ms:
            return None
        settings = self.ears.settings
        gain = line_gain_db(hearing, self.engine.plan.max_gain_db, settings)
        if gain != self.timeline.gain_db:
            self.timeline.raise_line(now, gain, level_dbov=round(hearing.active_level_dbov, 1))
        return Verdict(verdict_when_raised(hearing, gain, settings))

    def _note_verdict(self, hearing: Hearing, now: int) -> None:
        self.last_hearing = hearing
        level, noise = hearing.active_level_dbov, hearing.noise_level_dbov
        self.timeline.add(
            now,
            "verdict",
            verdict=hearing.verdict,
            reason=hearing.reason,
            level_dbov=None if level is None else round(level, 1),
            level_error_db=None if level is None else round(hearing.active_level_error_db, 1),
            noise_dbov=round(noise, 1),
        )

    def _due(self, now: int) -> None:
        """The engine's deadline has come: a wait has run out, a turn is over, or no further key was pressed."""
        engine = self.engine
        step, planned = engine.step.name, engine.deadline
        if engine.state is State.WAITING:
            hearing, deaf = self.ears.hearing(), self.ears.deaf()
            # A caller whom we had no time to hear must not be sent away for silence. Noise is the safe verdict, since
            # it can lead to a person.
            line = Verdict.NOISE if deaf else Verdict(hearing.verdict)
            actions = engine.due(now, line, self.ears.maybe_speech())
            if not any(isinstance(action, flow.TimerExtended) for action in actions):
                self._note_verdict(hearing, now)
                self.timeline.add(
                    now, "timer", step=step, planned_ms=planned, from_ms=self._wait_from, deaf=deaf or None
                )
        else:
            what = "interdigit_timeout" if engine.state is State.COLLECTING else "turn_end"
            actions = engine.due(now)
            self.timeline.add(now, what, step=step, planned_ms=planned)
        self._do(actions, now)

    def _do(self, actions: Sequence[flow.Action], now: int) -> None:
        for action in actions:
            match action:
                case flow.Play(prompt=prompt, step=step, planned_ms=planned):
                    self._play = action
                    self._player.play(self._prompts[prompt])
                    self.timeline.add(now, "prompt_start", prompt=prompt, step=step, planned_ms=planned)
                case flow.Stop():
                    self._player.stop()
                    if self._play is not None:
                        self.timeline.add(now, "prompt_stop", prompt=self._play.prompt)
                        self._play = None
                case flow.Measure():
                    self.ears.restart()
                case flow.TimerExtended(step=step, ends_ms=ends):
                    self.timeline.add(now, "timer_extended", step=step, ends_ms=ends)
                case flow.TimerSet(step=step, ends_ms=ends):
                    self._wait_from = now
                    self.timeline.add(now, "timer_set", step=step, ends_ms=ends)
                case flow.Keyed(collect=collect, keys=keys, matched=matched):
                    if matched:
                        self.collected[collect.name] = keys
                    self.timeline.keyed(now, collect.name, keys, matched, collect.personal)
                case flow.Finish(outcome=outcome, heard=heard, planned_ms=planned):
                    self.heard = heard
                    kind = "hangup" if outcome.startswith("hangup") else "route"
                    self.timeline.add(now, kind, to=outcome, heard=heard, planned_ms=planned)
                    self.timeline.end(now, outcome)
