"""The hint engine of one talk: events in, actions out. No clock, no sockets, no arrays.

Times are ms since caller and agent were joined. The caller of the engine hands them in, and calls ``due`` when the
engine's ``deadline`` has come.

A *hint* is one occasion on which a rule fires. It is valid until it expires, its card is used or dismissed, or its
occasion has passed. **Of the valid hints the most important one is on the screen**, so there is never more than one
card. A less important hint waits for the screen, and a hint that was displaced comes back, as long as it is valid and
can be seen for 2 s. A card that the agent is reading out stays until the end of the sentence.

A whisper waits until the agent pauses and no prompt is being played to the caller. If that does not happen in time, the
whisper is dropped, and only the card is shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from hearline.assist.hints import events as e
from hearline.assist.hints import rules as r
from hearline.assist.hints.events import Action, Count, Event, Side, Tallied
from hearline.assist.hints.rules import Rule, Rules, Trigger

WHISPER_MS = 3_000
"""The longest whisper (`sounds/manifest.yaml`, ``longest_ms``)."""
TURN_PAUSE_MS = 2_000
"""A pause for breath or thought up to this long does not end a turn."""
HANGOVER_MS = 700
"""The time from the last sound until the ears report the end of speech (a profile's ``speech_ends_after``)."""
THANKS_MS = 1_500
"""Words of the agent no longer than this, after a sound of the caller, count as thanks rather than a question."""
HOLD_EVERY_MS = 30_000
"""How long a caller may be left alone on hold if no rule says so."""
_NEVER = 1 << 40  # ms: later than any call; negative: before any


@dataclass(frozen=True)
class Holds:
    """The hold clock. ``count``: the number of holds by agents. ``not_asked``: those before which the agent does not
    seem to have asked. ``promised_ms``: the wait that the caller was promised, for the present hold or the next one; 0:
    none. ``since_ms`` None: nobody is on hold. ``by``: the agent's work number, ``agent`` if it is unknown, or
    ``caller``."""

    count: int = 0
    not_asked: int = 0
    promised_ms: int = 0
    since_ms: int | None = None
    by: str = ""
    longest_ms: int = 0
    longest_by: str = ""
    total_ms: int = 0
    every_ms: int = HOLD_EVERY_MS

    def held_ms(self, now: int) -> int:
        """The length of the present hold; 0 if there is none."""
        return 0 if self.since_ms is None else now - self.since_ms

    def back_by_ms(self, now: int) -> int | None:
        """When the agent must speak to the caller again; None if nobody is on hold."""
        return None if self.since_ms is None else now + self.every_ms - self.held_ms(now) % self.every_ms

    def began(self, now: int, by: str) -> Holds:
        return replace(self, count=self.count + (by != Side.CALLER), since_ms=now, by=by)

    def ended(self, now: int) -> Holds:
        held = self.held_ms(now)
        longer = held > self.longest_ms
        return replace(
            self,
            since_ms=None,
            promised_ms=0,
            longest_ms=max(held, self.longest_ms),
            longest_by=self.by if longer else self.longest_by,
            total_ms=self.total_ms + held,
        )


@dataclass(slots=True)
class _Voice:
    """One side's speech. Times are those of the speech itself, without the delay of the ears."""

    speaking: bool = False
    started: int = -_NEVER
    ended: int = -_NEVER
    turn_from: int = 0  # start of the turn, which may include pauses for breath
    question_from: int = -_NEVER  # start of the last words that were longer than a thanks


@dataclass(slots=True, eq=False)
class _Hint:
    rule: Rule
    number: int
    from_ms: int
    expires_ms: int
    by_hand: bool
    whisper_by: int | None  # when the whisper must have begun; None: none to come
    shown_ms: int | None = None
    reading: bool = False  # the agent is reading the card out


class HintEngine:
    """The hints of one talk. Call ``handle`` for each event, of which ``Joined`` is the first, and ``due`` at each
    deadline. After the hang-up only cards are left, which are used, dismissed or expire.

    ``deadline``: ms at which ``due`` must be called; None: nothing is due before the next event. ``hangover_ms``: the
    time from the last sound until the ears report the end of speech. ``muted``: the agent has muted whispers. Callers
    may read ``holds``, ``muted``, ``card`` and ``clock_marked`` (True if a rule has marked the talk's clock).
    """

    def __init__(self, rules: Rules, hangover_ms: int = HANGOVER_MS, muted: bool = False) -> None:
        self.rules = rules
        self._hangover_ms = hangover_ms
        self.deadline: int | None = None
        self.holds = Holds(every_ms=rules.hold_every_ms or HOLD_EVERY_MS)
        self.muted = muted
        self.clock_marked = False
        self.joined: e.Joined | None = None
        self.ended = False
        self._not_ours: set[str] = set()  # rules for other queues, or for other verdicts of the IVR
        self._voices = {side: _Voice() for side in Side}
        self._together_from = 0  # when they began to hear each other: the join, or the end of the last hold
        self._handed_over = False
        self._last: dict[str, int] = {}  # moment: when it came last
        self._fired: dict[str, int] = {}  # rule: when it last fired
        # By index of the rule: the start of the silence, talk or hold that it last fired for.
        self._fired_for: list[int | None] = [None] * rules.lasting_count
        self._quiet_until: dict[str, int] = {}  # rule: end of its cooldown
        self._overlaps: dict[Trigger, list[int]] = {}  # times of interruptions since the last hint
        self._breaking_in: dict[Trigger, int] = {}  # start of an interruption that is not certain yet
        self._hints: list[_Hint] = []  # the valid ones
        self._screen: _Hint | None = None
        self._count = 0
        self._whisper_until = 0
        self._prompted = False  # a prompt is played to the caller, and the agent hears it
        self._actions: list[Action] = []

    @property
    def card(self) -> e.ShowCard | None:
        """The card on the screen; None if there is none."""
        return None if self._screen is None else _shown(self._screen)

    @property
    def held_by_agent(self) -> bool:
        """True while an agent holds."""
        return self.holds.since_ms is not None and self.holds.by != Side.CALLER

    # ---- events -----------------------------------------------------------------------------------------------------
    def handle(self, event: Event, now: int) -> list[Action]:
        """Take in an event that happened at ``now``. Returns the actions to carry out, in order."""
        if self.joined is None and not isinstance(event, e.Joined):
            return []
        match event:
            case e.CardUsed(card):
                self._card_used(card, now)
            case e.CardDismissed(card):
                self._end(self._with_card(card), Tallied.DISMISSED, now)
            case _ if not self.ended:
                self._in_the_call(event, now)
        return self._settle(now)

    def due(self, now: int) -> list[Action]:
        """The deadline has come. Returns the actions to carry out, in order."""
        if self.deadline is None or now < self.deadline:
            return []
        return self._settle(now)

    def _in_the_call(self, event: Event, now: int) -> None:
        match event:
            case e.SpeechStarted(side, ago_ms):
                self._speech_started(side, now - ago_ms, now)
            case e.SpeechEnded(side, ago_ms):
                self._speech_ended(side, now - ago_ms, now)
            case e.LevelHeard(side, too_soft, _, speech_ms):
                if too_soft:
                    self._fire_where(r.TooSoft, now, lambda t: t.of is side and speech_ms >= t.speech)
                else:
                    self._moment(f"{side}_normal", now)
            case e.Joined() if self.joined is None:
                self.joined = event
                self._not_ours = {
                    rule.name for rule in self.rules.conditional if not rule.concerns(event.queue, event.heard)
                }
                self._moment("joined", now)
                if not event.picked_up:
                    late = event.rang, event.wait_s * 1_000
                    self._fire_where(r.AnsweredLate, now, lambda t: late[0] > t.rings or late[1] > t.wait)
                    self._fire_where(r.JoinedNow, now)
            case e.Hold() if self.holds.since_ms is None:
                self._hold(event, now)
            case e.Unhold() if self.holds.since_ms is not None:
                by_agent = self.held_by_agent
                self.holds = self.holds.ended(now)
                self._together_from = now
                self._moment("unhold", now)
                if by_agent:
                    self._fire_where(r.HoldEnded, now)
            case e.KeyPressed(key):
                self._key(key, now)
            case e.PromptBegan():
                self._prompted, self._whisper_until = True, now  # the prompt has replaced any whisper
            case e.PromptEnded():
                self._prompted = False
            case e.TransferBegan():
                self._hand_over()
                self._moment("transfer", now)
                self._fire_where(r.TransferStarted, now)
            case e.TransferGivenUp():
                self._handed_over, self._together_from = False, now
            case e.Spoken(group, side):
                self._moment(group, now)
                self._fire_where(r.SpokenPhrase, now, lambda t: t.group == group)
            case e.CalledUp(name):
                if (rule := self.rules.by_name.get(name)) and rule.card:
                    self._fire(rule, now, by_hand=True)
            case e.HungUp(side):
                self._hung_up(side, now)

    def _speech_started(self, side: Side, start: int, now: int) -> None:
        voice, other = self._voices[side], self._voices[side.other]
        if voice.speaking:
            return
        if start - voice.ended > TURN_PAUSE_MS or other.speaking or other.ended > voice.ended:
            voice.turn_from = start
        voice.speaking, voice.started = True, start
        if other.speaking and other.started < start and not self._apart:
            for _, trigger in self.rules.moments[r.Overlap]:
                if trigger.by is side:
                    self._breaking_in[trigger] = start
        screen = self._screen
        if not self._apart:  # on hold, speech is not addressed to the other side
            wanted = side is Side.AGENT and screen and "agent_speech" in screen.rule.used_by
            if wanted and start >= max(screen.shown_ms, self._together_from):
                screen.reading = True
            self._moment(f"{side}_speech", now)
        if side is Side.AGENT and now < self._whisper_until:
            self._stop_whisper(now)

    def _speech_ended(self, side: Side, end: int, now: int) -> None:
        voice = self._voices[side]
        if not voice.speaking:
            return
        voice.speaking, voice.ended = False, max(end, voice.started)
        if voice.ended - voice.started > THANKS_MS:
            voice.question_from = voice.started
        for trigger, since in list(self._breaking_in.items()):  # both spoke up to here
            del self._breaking_in[trigger]
            if end - since >= trigger.ms:
                self._broke_in(trigger, since, now)
        if side is Side.AGENT:
            for hint in [h for h in self._hints if h.reading]:
                self._end(hint, Tallied.USED, now)

    def _hold(self, event: e.Hold, now: int) -> None:
        by = event.by
        if by is Side.AGENT and not event.picked_up and self._is_ours(event) and self._nobody_asked():
            self.holds = replace(self.holds, not_asked=self.holds.not_asked + 1)
            self._actions.append(e.NotAsked())
        self.holds = self.holds.began(now, str(by) if by is Side.CALLER else event.agent_id or str(by))
        self._breaking_in.clear()  # they do not hear each other any more
        self._moment("hold", now)
        if by is Side.AGENT and not event.picked_up:
            self._fire_where(r.HoldBegan, now, lambda t: self.holds.count >= t.first)

    def _is_ours(self, hold: e.Hold) -> bool:
        """True unless another agent of the same talk holds."""
        ours = self.joined.agent_id
        return not ours or not hold.agent_id or hold.agent_id == ours

    def _nobody_asked(self) -> bool:
        """True if the caller has made no sound since the agent began the last words that may have been a question.
        False if one of the two has not been heard yet in this talk, since then nothing is known."""
        caller, agent = self._voices[Side.CALLER], self._voices[Side.AGENT]
        if caller.started < 0 or agent.started < 0 or caller.speaking:
            return False
        asked_from = agent.started if agent.speaking else agent.question_from
        return caller.ended < max(asked_from, self._together_from)

    def _key(self, key: e.Key, now: int) -> None:
        if key is e.Key.MUTE:
            self.muted = not self.muted
            if self.muted and now < self._whisper_until:
                self._stop_whisper(now)
        if key is e.Key.NUISANCE:
            self._hand_over()
        self._moment(key.value, now)
        if key is e.Key.ASK_HOLD:  # the agent calls up this card, so it comes at once
            for rule, trigger in self.rules.moments[r.AgentKey]:
                if trigger.key is key:
                    self._fire(rule, now, by_hand=True)
        else:
            self._fire_where(r.AgentKey, now, lambda t: t.key is key)

    def _hand_over(self) -> None:
        self._handed_over = True
        self._breaking_in.clear()

    def _card_used(self, card: str, now: int) -> None:
        self._end(self._with_card(card), Tallied.USED, now)
        if not self.ended:
            self._moment(card, now)

    def _hung_up(self, side: Side, now: int) -> None:
        if self.holds.since_ms is not None:
            self.holds = self.holds.ended(now)
        for hint in list(self._hints):
            self._end(hint, Tallied.PASSED, now)
        self._fire_where(r.HungUpFirst, now, lambda t: t.side is side)
        self.ended = True
        self._breaking_in.clear()

    def _moment(self, name: str, now: int) -> None:
        """A moment has come: end the hints that it ends or uses, and remember it for exceptions."""
        self._last[name] = now
        for hint in list(self._hints):
            if name == "agent_speech" and hint.reading:
                continue  # the hint ends with the sentence
            if name in hint.rule.used_by and name != "agent_speech":
                unseen = hint.rule.card and hint.shown_ms is None
                self._end(hint, Tallied.PASSED if unseen else Tallied.USED, now)
            elif name in hint.rule.until:
                self._end(hint, Tallied.PASSED, now)

    # ---- what lasts -------------------------------------------------------------------------------------------------
    @property
    def _apart(self) -> bool:
        """True while caller and agent do not hear each other, so that silence, talk and overlap mean nothing."""
        return self.holds.since_ms is not None or self._handed_over

    def _lasting(self) -> list[tuple[r.Situation, int]]:
        """The present situations, and when each began."""
        talk: list[tuple[r.Situation, int]] = [((r.TalkLasts, None), 0)]
        if self.held_by_agent:
            return [*talk, ((r.HoldLasts, None), self.holds.since_ms)]
        if self._apart:
            return talk
        return talk + self._sounds_that_last()

    def _sounds_that_last(self) -> list[tuple[r.Situation, int]]:
        """The present situations of speech and silence, and when each began."""
        caller, agent = self._voices[Side.CALLER], self._voices[Side.AGENT]
        if caller.speaking and agent.speaking:
            return []
        if caller.speaking:
            return [((r.Talking, Side.CALLER), max(caller.turn_from, agent.ended, self._together_from))]
        if agent.speaking:
            return [((r.Talking, Side.AGENT), max(agent.turn_from, caller.ended, self._together_from))]
        found = []
        last = max(caller.ended, agent.ended)
        if last > self._together_from and caller.ended != agent.ended:  # the side that spoke last waits for an answer
            found.append(((r.Silence, Side.CALLER if agent.ended == last else Side.AGENT), last))
        if min(caller.ended, agent.ended) >= 0:  # both have spoken, and both have ended
            found.append(((r.BothSilent, None), max(last, self._together_from)))
        return found

    def _next_of(self, rule: Rule, trigger: r.HoldEvery, since: int) -> int:
        """When the next hint of this trigger is due, which reminds the agent to go back to the caller."""
        last_ms = max(since, self._fired.get(rule.name, since)) - since
        return since + ((last_ms + trigger.ahead) // trigger.every + 1) * trigger.every - trigger.ahead

    def _broke_in(self, trigger: r.Overlap, since: int, now: int) -> None:
        recent = [at for at in self._overlaps.get(trigger, ()) if since - at <= trigger.within] + [since]
        self._overlaps[trigger] = recent
        if len(recent) >= trigger.times:
            self._fire_where(r.Overlap, now, lambda t: t == trigger)
            self._overlaps[trigger] = []

    # ---- hints ------------------------------------------------------------------------------------------------------
    def _fire_where(self, kind: type[Trigger], now: int, met=lambda trigger: True) -> None:
        for rule, trigger in self.rules.moments[kind]:
            if met(trigger) and self._free_from(rule) <= now:
                self._fire(rule, now)

    def _free_from(self, rule: Rule) -> int:
        """The time from which the rule may fire, given its exceptions, its cooldown and its valid hint; `_NEVER` if it
        may not fire as things are."""
        if rule.name in self._not_ours or any(hint.rule is rule for hint in self._hints):
            return _NEVER
        if rule.states and any(self._is(state) for state in rule.states):
            return _NEVER
        return max(self._quiet_until.get(rule.name, -_NEVER), self._apart_until(rule))

    def _apart_until(self, rule: Rule) -> int:
        """When the last of the rule's `within … of` exceptions ends."""
        if not rule.apart:
            return -_NEVER
        return max(self._last.get(moment, -_NEVER) + ms for moment, ms in rule.apart)

    def _is(self, state: str) -> bool:
        match state:
            case "on_hold":
                return self.holds.since_ms is not None
            case "handed_over":
                return self._handed_over
            case "agent_speaking":
                return self._voices[Side.AGENT].speaking
            case _:
                return self._voices[Side.CALLER].speaking

    def _fire(self, rule: Rule, now: int, by_hand: bool = False) -> None:
        if by_hand:  # replaces the hint called up before, and the rule's automatic hint
            for hint in [h for h in self._hints if h.by_hand or h.rule is rule]:
                self._end(hint, Tallied.PASSED, now)
        self._fired[rule.name] = now
        self._count += 1
        begins = now if by_hand else now + rule.delay_ms
        whisper_by = begins + rule.whisper_within_ms if rule.whisper and not by_hand else None
        self._hints.append(_Hint(rule, self._count, begins, begins + rule.expiry_ms, by_hand, whisper_by))
        self._tally(rule, Tallied.FIRED)
        if rule.mark and not self.clock_marked:
            self.clock_marked = True
            self._actions.append(e.MarkClock(rule.name))

    def _end(self, hint: _Hint | None, how: Tallied, now: int) -> None:
        if hint is None:
            return
        if hint.reading and how is Tallied.PASSED:
            how = Tallied.USED
        self._hints.remove(hint)
        if hint is self._screen:
            self._screen = None
            self._actions.append(e.HideCard(hint.rule.name, hint.rule.card, hint.number))
        unseen = hint.rule.card and hint.shown_ms is None and now >= hint.from_ms
        if unseen and how in (Tallied.EXPIRED, Tallied.PASSED):
            how = Tallied.CROWDED
        if how in (Tallied.USED, Tallied.DISMISSED):
            self._quiet_until[hint.rule.name] = now + hint.rule.cooldown_ms
        if how is Tallied.USED and hint.rule.card:
            self._last[hint.rule.card] = now
        if hint.whisper_by is not None and now >= hint.from_ms:
            self._tally(hint.rule, Tallied.SILENT)
        self._tally(hint.rule, how)

    def _with_card(self, card: str) -> _Hint | None:
        """The hint with this card; the one on the screen if there are several."""
        found = [hint for hint in self._hints if hint.rule.card == card]
        return self._screen if self._screen in found else next(iter(found), None)

    def _tally(self, rule: Rule, what: Tallied) -> None:
        self._actions.append(Count(rule.name, what))

    # ---- what is due, and the next deadline -------------------------------------------------------------------------
    def _settle(self, now: int) -> list[Action]:
        upcoming: list[int] = []
        if self._hints:
            self._drop_what_is_over(now)
        if self._breaking_in:
            upcoming += self._sure_of_breaking_in(now)
        if not self.ended and self.joined:
            upcoming += self._fire_what_lasts(now)
        if self._hints or self._screen:
            self._choose_card(now)
            self._choose_whisper(now)
            upcoming += self._ends_of_hints(now)
        self.deadline = min(upcoming, default=None)
        actions, self._actions = self._actions, []
        return actions

    def _drop_what_is_over(self, now: int) -> None:
        for hint in list(self._hints):
            if now >= hint.expires_ms and not hint.reading:
                self._end(hint, Tallied.EXPIRED, now)
            elif not hint.by_hand and self._excepted(hint, now):
                self._end(hint, Tallied.PASSED, now)

    def _sure_of_breaking_in(self, now: int) -> list[int]:
        """Count the interruptions that are certain: both still speak when the ears would have reported the end of one.
        Returns when the other interruptions will be certain."""
        for trigger, since in list(self._breaking_in.items()):
            if now >= since + trigger.ms + self._hangover_ms:
                del self._breaking_in[trigger]
                self._broke_in(trigger, since, now)
        return [since + trigger.ms + self._hangover_ms for trigger, since in self._breaking_in.items()]

    def _fire_what_lasts(self, now: int) -> list[int]:
        """Fire the rules whose situation has lasted long enough. Returns when others will fire if nothing changes."""
        upcoming = []
        for situation, since in self._lasting():
            for index, rule, trigger in self.rules.lasting.get(situation, ()):
                if isinstance(trigger, r.HoldEvery):
                    which = met = self._next_of(rule, trigger, since)
                else:
                    which, met = since, since + trigger.ms
                if which == self._fired_for[index]:
                    continue  # a rule fires once for each silence, talk and hold
                due = max(met, self._free_from(rule))
                if due <= now:
                    self._fired_for[index] = which
                    self._fire(rule, now)
                elif due < _NEVER:
                    upcoming.append(due)
        return upcoming

    def _ends_of_hints(self, now: int) -> list[int]:
        """When hints begin or end, or a decision on their whisper is due."""
        upcoming = []
        for hint in self._hints:
            upcoming.append(hint.from_ms if hint.from_ms > now else hint.expires_ms)
            if hint.whisper_by is not None and hint.from_ms <= now:
                upcoming.append(hint.whisper_by)
                if not (self._voices[Side.AGENT].speaking or self._prompted):
                    upcoming.append(self._whisper_until)
        return [at for at in upcoming if at > now]

    def _excepted(self, hint: _Hint, now: int) -> bool:
        """True if one of the hint's exceptions has come true since it fired. Speech alone does not end a hint."""
        gone = any(state in ("on_hold", "handed_over") and self._is(state) for state in hint.rule.states)
        return gone or now < self._apart_until(hint.rule)

    def _choose_card(self, now: int) -> None:
        before = self._screen
        worth = [
            hint
            for hint in self._hints
            if hint.rule.card and hint.from_ms <= now and (hint is before or hint.expires_ms - now >= r.SHORTEST_MS)
        ]
        # Of equals, the one on the screen wins, then the older one.
        chosen = max(worth, key=lambda h: (h.by_hand, h.reading, h.rule.priority, h is before, -h.number), default=None)
        if chosen is before:
            return
        if before:
            before.reading = False
            self._actions.append(e.HideCard(before.rule.name, before.rule.card, before.number))
        self._screen = chosen
        if chosen:
            self._actions.append(_shown(chosen))
            if chosen.shown_ms is None:
                chosen.shown_ms = now
                self._quiet_until[chosen.rule.name] = now + chosen.rule.cooldown_ms
                self._tally(chosen.rule, Tallied.SHOWN)

    # ---- whispers ---------------------------------------------------------------------------------------------------
    def _choose_whisper(self, now: int) -> None:
        waiting = sorted(
            (h for h in self._hints if h.whisper_by is not None and h.from_ms <= now), key=lambda h: -h.rule.priority
        )
        for hint in waiting:
            quiet = not (self._voices[Side.AGENT].speaking or self._prompted) and now >= self._whisper_until
            if self.muted or (now >= hint.whisper_by and not (quiet and now == hint.from_ms)):
                hint.whisper_by = None
                self._tally(hint.rule, Tallied.SILENT)
            elif quiet:
                by, hint.whisper_by = hint.whisper_by, None
                self._whisper_until = now + WHISPER_MS
                self._actions.append(e.Whisper(hint.rule.whisper, hint.rule.whisper_db, by))
                self._tally(hint.rule, Tallied.WHISPERED)
                if not hint.rule.card:
                    self._quiet_until[hint.rule.name] = now + hint.rule.cooldown_ms

    def _stop_whisper(self, now: int) -> None:
        self._whisper_until = now
        self._actions.append(e.StopWhisper())


def _shown(hint: _Hint) -> e.ShowCard:
    return e.ShowCard(hint.rule.name, hint.rule.card, hint.expires_ms, hint.number)


def run(rules: Rules, story: Iterable[tuple[int, Event]], until_ms: int) -> list[tuple[int, Action]]:
    """Run a whole talk in simulated time: takes events as (ms, event) in order, returns actions with the ms at which
    they were decided. Of what falls into the same frame, deadlines come before events."""
    engine = HintEngine(rules)
    done: list[tuple[int, Action]] = []

    def pass_to(ms: int) -> None:
        while engine.deadline is not None and engine.deadline <= ms:
            now = engine.deadline
            done.extend((now, action) for action in engine.due(now))

    for at, event in story:
        pass_to(at)
        done.extend((at, action) for action in engine.handle(event, at))
    pass_to(until_ms)
    return done


# ---- figures --------------------------------------------------------------------------------------------------------
@dataclass
class Figures:
    """How often the hints of each rule had each outcome, over many calls: `{rule: {Tallied: count}}`, in JSON types."""

    by_rule: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, actions: Iterable[Action]) -> None:
        """Count the actions that an engine returned."""
        for action in actions:
            if isinstance(action, Count):
                counts = self.by_rule.setdefault(action.rule, {})
                counts[action.what] = counts.get(action.what, 0) + 1

    def merge(self, other: Figures) -> None:
        """Add the counts of other figures."""
        for rule, counts in other.by_rule.items():
            mine = self.by_rule.setdefault(rule, {})
            for what, number in counts.items():
                mine[what] = mine.get(what, 0) + number

    def report(self, rules: Rules, enough: int = 20) -> list[RuleReport]:
        """A row for each rule, unused rules first. ``enough``: how often a rule must have been shown to count as
        unused."""
        rows = [
            RuleReport(rule.name, rule.automatic, self.by_rule.get(rule.name, {}), enough)
            for rule in rules.by_name.values()
        ]
        return sorted(rows, key=lambda row: (not row.unused, row.used_share if row.used_share is not None else 2))


@dataclass(frozen=True)
class RuleReport:
    """One rule's figures. ``counts``: by `Tallied`."""

    rule: str
    automatic: bool
    counts: dict[str, int]
    enough: int

    def __getitem__(self, what: str) -> int:
        return self.counts.get(what, 0)

    @property
    def used_share(self) -> float | None:
        """Used ÷ shown, 0…1; None if the rule was never shown."""
        return min(1.0, self["used"] / self["shown"]) if self["shown"] else None

    @property
    def unused(self) -> bool:
        """True if the rule was shown often enough, but never used."""
        return self["shown"] >= self.enough and not self["used"]
