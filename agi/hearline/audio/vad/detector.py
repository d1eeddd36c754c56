"""The ears: take the frames of all calls in one 20 ms tick, return events.

Each tick does this for every open slot, in numpy operations over all slots:

    frame → the last 320 ms → level of 100 and 200 ms
          → may it be speech? → networks on each full 32 ms window → is it the caller? → evidence
          → QUIET, STARTING, SPEAKING, STOPPING
          → while speaking: active level (P.56)
          → ten times a second: a look at the background

The ears know no sockets, clocks or calls; they count time in frames since `open`.
"""

from collections.abc import Mapping

import numpy as np

from hearline.audio.hearing import (
    Event,
    Heard,
    Hearing,
    Reason,
    SpeechEnded,
    SpeechStarted,
    SpeechState,
    Verdict,
    level_error_db,
)
from hearline.audio.level.p56 import SILENCE_DBOV, dbov_to_power, power_to_dbov
from hearline.audio.level.speech_level import PAST_FRAMES, SpeechLevels
from hearline.audio.settings import DEFAULT, FRAME_MS, FRAME_SAMPLES, CallSettings, EarSettings
from hearline.audio.slots import Column, SlotTable
from hearline.audio.vad import near_speech, recent_audio, tones
from hearline.audio.vad.background import LOOK_FRAMES, LOOKS, Background, repeats
from hearline.audio.vad.distance import Distances
from hearline.audio.vad.echo import NEAR_SAMPLES, OwnPrompt, Samples
from hearline.audio.vad.network import CONTEXT_SAMPLES, FEATURES, STATE_SHAPE, WINDOW_SAMPLES, SpeechNetwork

QUIET, STARTING, SPEAKING, STOPPING = (int(state) for state in SpeechState)  # numpy is faster with ints

_LOOK_LEVEL_FRAMES = 10  # 200 ms
_LOUD_POWER = dbov_to_power(-20.0)
_MEMORY_FRAMES = LOOKS * LOOK_FRAMES + recent_audio.FRAMES + LOOK_FRAMES
_SPEECH_TAIL_FRAMES = 10  # P.56: the 200 ms after speech still belong to it
_count = np.count_nonzero  # on booleans: faster than any() and all()


class Detector:
    """Listens to up to `capacity` calls. A slot stands for one call's line, from `open` to `close`."""

    def __init__(self, capacity: int, settings: EarSettings = DEFAULT):
        self.capacity = capacity
        self.settings = settings
        self._network = SpeechNetwork()
        self._caller = near_speech.CallerNetwork()
        self._levels = SpeechLevels(capacity)
        self._distances = Distances(capacity)
        self._background = Background(capacity, settings)
        self._limits = _Limits(settings)
        self._gain = np.float32(10 ** (settings.input_gain_db / 20) / 32768)
        self._p_kept = settings.maybe_window_ms // 32 + 1  # windows in `maybe_window_ms`
        self._recent = recent_audio.RecentAudio(capacity)
        self._own_prompt = OwnPrompt(capacity, settings)
        self._slots = SlotTable(
            capacity,
            open=Column(np.bool_),
            frames=Column(np.int32),  # since open
            too_soft_dbov=Column(np.float32),  # four settings of the call, see `CallSettings`
            normal_dbov=Column(np.float32),
            heard_power=Column(np.float32),  # a caller whose loudest reaches this is not too soft; mean square
            stop_frames=Column(np.int32),
            onset_evidence=Column(np.float32),
            measured_from=Column(np.int32),  # the frame at which the last question was asked
            network_state=Column(np.float32, fresh=self._network.settled_state, shape=STATE_SHAPE),
            features=Column(np.float32, shape=(FEATURES,)),  # the speech network's, for the last window
            windows=Column(np.int32),  # network runs so far
            p=Column(np.float32),  # probability that the last window was the caller speaking
            any_speech=Column(np.float32),  # probability that it was anybody's speech
            p_recent=Column(np.float32, shape=(self._p_kept,)),
            evidence=Column(np.float32),  # that the caller speaks: sum of log odds
            awake=Column(np.bool_),  # the network runs on this slot
            spared=Column(np.int8),  # windows skipped since the network last ran
            still=Column(np.int32),  # frames of digital silence in a row, all sent or all missing
            came=Column(np.bool_),  # True if the last frame came
            played_from=Column(np.int32),  # what was sent before this frame is no longer known
            echo_until=Column(np.int32),  # no speech starts before this frame
            state=Column(np.int8),
            last_speech=Column(np.int32),  # frame
            noise_power=Column(np.float32, fresh=-1.0),  # mean while quiet; −1: not been quiet yet
            onset_ms=Column(np.int32, fresh=-1),
            speech_frames=Column(np.int32),
            near_power=Column(np.float32),  # the speaker's, mean square over about 300 ms
            loudest_power=Column(np.float32),  # maximum of near_power since the last question
            clipped=Column(np.int32),  # samples
            too_soft=Column(np.bool_),  # last verdict on the level, for the hysteresis
            verdicts_told=Column(np.int8),  # reported on the current speech: 1 provisional, 2 final
        )
        self._hushed = np.zeros(0, bool)  # in this tick, the line is as soft as its background: [lines]
        self.steps = self.hasty_steps = 0  # all steps so far, and those taken in haste
        self._lines = 0  # slots up to the last open one; closed ones among them count as silent

    # ── slots ──

    def open(self, slot: int, own: CallSettings | None = None) -> None:
        """Start to listen to a new call, at 0 ms. `own`: its settings; None: those of the detector."""
        t, own = self._slots, own or self.settings
        if t.open[slot]:
            raise ValueError(f"slot {slot} is open already")
        t.clear(slot)
        self._levels.clear(slot)
        self._distances.clear(slot)
        self._background.clear(slot, own.sign_of_life)
        self._own_prompt.clear(slot)
        self._recent.clear(slot)
        t.too_soft_dbov[slot], t.normal_dbov[slot] = own.too_soft_dbov, own.normal_dbov
        self._set_heard_from(slot)
        t.stop_frames[slot], t.onset_evidence[slot] = -(-own.stop_ms // FRAME_MS), own.onset_evidence
        t.open[slot] = True
        self._lines = max(self._lines, slot + 1)

    def close(self, slot: int) -> None:
        """The call is over. Closed slots take no time."""
        self._slots.open[slot] = False
        still_open = self._slots.open.nonzero()[0]
        self._lines = int(still_open[-1]) + 1 if still_open.size else 0

    def grow(self, capacity: int) -> None:
        """Make room for more slots; open ones continue."""
        for part in (self._slots, self._recent, self._levels, self._distances, self._background, self._own_prompt):
            part.grow(capacity)
        self.capacity = capacity

    def let_pass(self, slot: int, frames: int) -> bool:
        """Skip `frames` of continuing digital silence at once, with the same result as that many steps. Returns False
        if the line has not been silent for long enough: then every frame must be passed to `step`."""
        t = self._slots
        if t.awake[slot] or t.still[slot] < recent_audio.FULL_AFTER_FRAMES:
            return False
        before = int(t.frames[slot])
        until = before + frames
        looked_until = min(until, before + _MEMORY_FRAMES - int(t.still[slot]))
        for now in range(before - before % LOOK_FRAMES + LOOK_FRAMES, looked_until + 1, LOOK_FRAMES):
            t.frames[slot] = now
            self._look_at_background(np.array([slot]))
        t.frames[slot] = t.played_from[slot] = until
        t.still[slot] += frames
        return True

    def restart_measure(self, slot: int) -> None:
        """Forget what was heard so far, because a new question was asked. Speech in progress continues without another
        SpeechStarted, but its measurement starts over; the noise floor stays."""
        t = self._slots
        t.measured_from[slot] = t.frames[slot]
        t.onset_ms[slot] = -1
        t.speech_frames[slot] = t.clipped[slot] = t.verdicts_told[slot] = 0
        t.too_soft[slot] = False
        t.loudest_power[slot] = 0
        self._set_heard_from(slot)
        self._levels.restart(slot)
        self._distances.clear(slot)

    # ── what is known ──

    def state(self, slot: int) -> SpeechState:
        return SpeechState(self._slots.state[slot])

    def now_ms(self, slot: int) -> int:
        """Time heard since `open`, in ms."""
        return int(self._slots.frames[slot]) * FRAME_MS

    def level_dbov(self, slot: int) -> float:
        """Level of the last 100 ms."""
        return float(power_to_dbov(self._recent.fast_power(slot)))

    def tone_dbov(self, slot: int, hz: float) -> float:
        """Level of this tone in the last 100 ms."""
        [last] = self._recent.samples(np.array([slot]), 5 * FRAME_SAMPLES)
        return tones.tone_dbov(last, hz)

    def maybe_speech(self, slot: int) -> bool:
        """True if somebody may just have begun to speak, so that a prompt had better wait a moment."""
        return bool(self._slots.p_recent[slot].max() >= self.settings.maybe_probability)

    def hearing(self, slot: int) -> Hearing:
        """The current verdict."""
        return self.hearings(np.array([slot]))[0]

    def hearings(self, slots: np.ndarray) -> list[Hearing]:
        """The current verdicts on these `slots`. Many take little longer than one."""
        spoken = slots[self._slots.speech_frames[slots] > 0]
        measured = dict(zip(spoken.tolist(), self._measured(spoken), strict=True)) if spoken.size else {}
        return [self._hearing(slot, measured.get(slot)) for slot in slots.tolist()]

    def _measured(self, slots: np.ndarray) -> list[tuple[float, float]]:
        """(active level, noise level) in dBov of each of these slots, on all of which somebody has spoken."""
        t, noise = self._slots, self._noise_power(slots)
        tail = _SPEECH_TAIL_FRAMES - (t.frames[slots] - t.last_speech[slots])
        levels = self._levels.level_dbov(slots, noise, np.where(t.state[slots] >= SPEAKING, np.maximum(tail, 0), 0))
        levels = np.maximum(levels, power_to_dbov(t.loudest_power[slots]) - self.settings.loudest_over_db)
        return list(zip(levels.tolist(), power_to_dbov(noise).tolist(), strict=True))

    def _hearing(self, slot: int, measured: tuple[float, float] | None) -> Hearing:
        """`measured`: the levels of speech and noise; None if nobody has spoken."""
        t, s = self._slots, self.settings
        speech_ms = int(t.speech_frames[slot]) * FRAME_MS
        since_ms = int(t.frames[slot] - t.measured_from[slot]) * FRAME_MS
        level: float | None
        verdict: Verdict
        reason: Reason
        if measured:
            level, noise = measured
            verdict, reason = ("too_soft", "soft") if self._is_too_soft(slot, level) else ("speech", "normal")
            final = speech_ms >= s.final_speech_ms or t.state[slot] in (QUIET, STARTING)
        else:
            level = None
            verdict, reason = self._background.verdict(slot, since_ms)
            final = since_ms >= s.background_settled_ms and t.state[slot] == QUIET
            noise = self._background.noise_dbov(slot, since_ms)
        return Hearing(
            verdict=verdict,
            reason=reason,
            final=bool(final),
            active_level_dbov=level,
            active_level_error_db=None if level is None else level_error_db(speech_ms),
            noise_level_dbov=noise,
            speech_ms=speech_ms,
            speech_onset_ms=int(t.onset_ms[slot]) if t.onset_ms[slot] >= 0 else None,
            clipping=float(t.clipped[slot]) / max(1, since_ms * FRAME_SAMPLES // FRAME_MS),
            max_p_recent=float(t.p_recent[slot].max()),
            far=self._distances.is_far(slot),
        )

    # ── one tick ──

    def step(
        self,
        frames: np.ndarray,
        present: np.ndarray,
        played: Mapping[int, Samples] | None = None,
        in_haste: bool = False,
    ) -> list[tuple[int, Event]]:
        """Process 20 ms of every open slot. Returns (slot, event) pairs in order of slots.

        Args:
            frames: int16 [capacity, 160].
            present: bool [capacity], False where no frame came (no RTP). Such a frame counts as silence and as missing.
            played: what was sent to each slot just before: 160 int16 samples in any buffer, kept without a copy.
            in_haste: skip what takes long, the network and the look at the background; levels and time go on.
        """
        self.steps += 1
        self.hasty_steps += in_haste
        lines = self._lines
        if not lines:
            return []
        t = self._slots
        is_open, now = t.open[:lines], t.frames[:lines]
        came = present[:lines] & is_open
        now += is_open
        self._own_prompt.follow(played or {})
        samples, sounding, power, fast = self._recent.add(frames[:lines], came)
        events: list[tuple[int, Event]] = []
        awake = is_open & self._may_be_speech(now, fast)
        awake_before = t.awake[:lines]
        resting = awake_before > awake
        if _count(resting):
            self._put_to_rest(resting.nonzero()[0])
        awake_before[...] = awake
        if listening := _count(awake):
            slots = awake.nonzero()[0]
            if listening == lines:
                events = self._hear(slots, fast, power, samples, in_haste)
            else:
                events = self._hear(slots, fast[slots], power[slots], samples[slots], in_haste)
        if power.max() > _LOUD_POWER:
            self._count_clipping(samples, power)
        still = self._still(sounding, came)
        if not in_haste:
            due = now % LOOK_FRAMES == 0  # counted from each slot's `open`, so looks are spread over the ticks
            due &= is_open
            due &= ~still
            if _count(due):
                self._look_at_background(due.nonzero()[0])
        return events

    def _hear(
        self, slots: np.ndarray, fast: np.ndarray, power: np.ndarray, samples: np.ndarray, in_haste: bool
    ) -> list[tuple[int, Event]]:
        """Process the slots that may carry speech."""
        self._levels.follow(slots, samples)
        if not in_haste:
            self._run_network(slots, fast, power)
        return self._next_states(slots, fast, power)

    def _still(self, sounding: np.ndarray, came: np.ndarray) -> np.ndarray:
        """Where digital silence has outlasted the memory: bool [lines]. One more frame of it changes only the time."""
        t, lines = self._slots, len(came)
        still, came_before = t.still[:lines], t.came[:lines]
        same = came == came_before
        same &= ~sounding
        still += 1
        still *= same
        came_before[...] = came
        return still > _MEMORY_FRAMES

    def _may_be_speech(self, now: np.ndarray, fast: np.ndarray) -> np.ndarray:
        """The cheap test: where is there a sound that varies, or is it too early to tell? bool [lines]."""
        limits, lines = self._limits, len(now)
        floor = self._background.floor_power(slice(lines))
        moves = fast >= floor * limits.rest_ratio
        moves |= now <= limits.warm_up_frames
        moves &= fast >= limits.rest_power
        self._hushed = fast < np.maximum(floor * limits.hush_ratio, limits.rest_power)
        return moves | (self._slots.state[:lines] >= SPEAKING)

    def _put_to_rest(self, slots: np.ndarray) -> None:
        """Stop running the network on these slots until there is a sound. Its state, settled on this silence or noise,
        is kept, so that it is ready when it wakes."""
        t = self._slots
        t.p[slots], t.any_speech[slots], t.p_recent[slots], t.evidence[slots], t.state[slots] = 0, 0, 0, 0, QUIET
        self._own_prompt.rest(slots)
        self._levels.rest(slots)

    def _run_network(self, slots: np.ndarray, fast: np.ndarray, power: np.ndarray) -> None:
        """Run the network on every window that this frame completes."""
        t, s, limits = self._slots, self.settings, self._limits
        left_over = t.frames[slots] * FRAME_SAMPLES % WINDOW_SAMPLES  # samples that came after the last window
        due = (left_over < FRAME_SAMPLES).nonzero()[0]
        if not due.size:
            return
        asked = slots[due]
        # Skip all windows in the silence after speech, and some while speech is certain.
        silent = self._hushed[asked] & (t.state[asked] >= SPEAKING)
        if _count(silent):
            self._note_silence(asked[silent])
        before = t.spared[asked]
        spared = (t.state[asked] == SPEAKING) & (t.p[asked] >= s.spare_probability) & (before < s.spare_windows)
        t.spared[asked] = (before + 1) * spared
        spared |= silent
        if _count(spared):
            due = due[~spared]
            if not due.size:
                return
        slots, left_over, fast, power = slots[due], left_over[due], fast[due], power[due]
        samples = self._recent.windows(slots, left_over, CONTEXT_SAMPLES + WINDOW_SAMPLES)
        samples *= self._gain
        p, states, features = self._network.run(samples, t.network_state[slots])
        before, floor = t.features[slots], self._background.floor_power(slots)
        x = near_speech.inputs(p, states, features, before, fast, floor, power, t.frames[slots])
        log_odds = self._log_odds(slots, power, x)
        t.network_state[slots], t.features[slots], t.any_speech[slots] = states, features, p
        t.p[slots] = p = 1 / (1 + np.exp(-log_odds))
        nobody = (fast < limits.gate_power) | (t.frames[slots] < t.echo_until[slots])
        t.p_recent[slots, t.windows[slots] % self._p_kept] = np.where(nobody, 0, p)
        t.windows[slots] += 1
        # A sequential test (CUSUM, E. S. Page 1954): strong evidence decides at once, weak takes longer.
        log_odds = np.clip(log_odds, s.least_evidence, s.most_evidence)
        t.evidence[slots] = np.clip(t.evidence[slots] + log_odds, 0, t.onset_evidence[slots] + 1)

    def _note_silence(self, slots: np.ndarray) -> None:
        """Record a window of silence after speech, without running the network."""
        t = self._slots
        t.p[slots], t.any_speech[slots], t.evidence[slots] = 0, 0, 0
        t.p_recent[slots, t.windows[slots] % self._p_kept] = 0
        t.windows[slots] += 1

    def _log_odds(self, slots: np.ndarray, power: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Natural logarithm of the odds [slots] that it is the caller, from `x` [slots, inputs]."""
        return self._caller.log_odds(x)

    def _count_clipping(self, samples: np.ndarray, power: np.ndarray) -> None:
        loud = (power > _LOUD_POWER).nonzero()[0]  # softer frames hardly ever clip
        over = np.abs(samples[loud]) >= self.settings.clipping_from
        self._slots.clipped[loud] += over.sum(axis=1)

    def _look_at_background(self, slots: np.ndarray) -> None:
        """Take a look at the background of these slots; done ten times a second."""
        t = self._slots
        frames_heard = np.minimum(t.frames[slots], _LOOK_LEVEL_FRAMES)
        level = power_to_dbov(self._recent.power(slots, _LOOK_LEVEL_FRAMES).sum(axis=0) / frames_heard)
        missing = 1 - self._recent.came(slots, _LOOK_LEVEL_FRAMES).sum(axis=0) / frames_heard
        tone, hum = np.zeros(len(slots), bool), np.zeros(len(slots), bool)
        back = np.zeros(len(slots), bool)
        # A spectrum takes longer than all the rest here, so it is computed only where there is a sound to explain.
        curious = (level >= self.settings.silence_dbov) & (t.state[slots] < SPEAKING)
        if curious.any():
            s, sound = self.settings, self._recent.samples(slots[curious], recent_audio.SAMPLES)
            tone[curious] = tones.are_tones(sound[:, -tones.WINDOW_SAMPLES :], s.tone_lowest_hz, s.tone_share)
            hum[curious] = repeats(sound, s.hum_correlation)
            floor = power_to_dbov(self._background.floor_power(slots))
            for i in curious.nonzero()[0]:
                back[i] = self._comes_back(int(slots[i]), float(level[i]), float(floor[i]))
        self._background.look(slots, level, tone, hum, missing, back)
        self._follow_noise(slots)

    def _next_states(self, slots: np.ndarray, fast: np.ndarray, power: np.ndarray) -> list[tuple[int, Event]]:
        """Move every slot that may carry speech through the four states, and measure the speech."""
        t, s, limits = self._slots, self.settings, self._limits
        now, evidence = t.frames[slots], t.evidence[slots]
        talking = t.state[slots] >= SPEAKING

        starts = evidence >= t.onset_evidence[slots]
        starts &= ~talking
        # Once somebody has spoken at a normal level, a far softer voice (a television) does not count.
        beside = np.maximum(t.loudest_power[slots] * limits.beside_ratio, 0)
        beside[t.loudest_power[slots] < t.heard_power[slots]] = 0
        if starting := _count(starts):
            starts &= (fast >= np.maximum(beside, limits.gate_power)) & (now >= t.echo_until[slots])
            self._take_out_keys_and_echoes(slots, starts, fast)
            starting = _count(starts)
        active = talking | starts if starting else talking
        next_state = (evidence >= s.starting_evidence).astype(np.int8)  # QUIET or STARTING
        if not _count(active):
            t.state[slots] = next_state
            return []
        speech = t.any_speech[slots] >= s.speech_probability_keep
        speech &= talking
        speech &= fast >= beside
        speech |= starts
        last_speech = np.where(speech, now, t.last_speech[slots])
        t.last_speech[slots] = last_speech
        silence = now - last_speech
        ends = talking & (silence >= t.stop_frames[slots])
        next_state = np.where(active, STOPPING - speech, next_state)  # one less is SPEAKING
        if _count(ends):
            next_state[ends] = QUIET
            t.evidence[slots[ends]] = 0
        t.state[slots] = next_state

        # Lost frames must not lower the level.
        counted = active & (silence <= _SPEECH_TAIL_FRAMES) & t.came[slots]
        self._levels.add_speech(slots[counted], power[counted])
        if starting:
            self._add_past(slots[starts])
            t.near_power[slots[starts]] = self._recent.power(slots[starts], PAST_FRAMES).mean(axis=0)
        louder = self._follow_loudest(slots, speech, power)
        self._distances.add(slots[active], power[active])
        t.speech_frames[slots] += speech
        return self._events(slots, starts, ends, speech, louder)

    def _follow_loudest(self, slots: np.ndarray, speech: np.ndarray, power: np.ndarray) -> np.ndarray:
        """Follow the loudest moment of the speech. Returns bool [slots]: True where a caller who was too soft so far
        reaches a normal level with this frame."""
        t, limits = self._slots, self._limits
        near = t.near_power[slots]
        near += (np.where(speech & (t.p[slots] >= 0.5), power, 0) - near) * limits.near_smoothing
        t.near_power[slots] = near
        before = t.loudest_power[slots]
        t.loudest_power[slots] = loudest = np.maximum(before, near)
        normal = t.heard_power[slots]
        return (loudest >= normal) & (before < normal) & t.too_soft[slots]

    def _take_out_keys_and_echoes(self, slots: np.ndarray, starts: np.ndarray, fast: np.ndarray) -> None:
        """Remove from `starts` the slots where the sound is a key's tones or an echo of our own prompt. Their evidence
        is cleared, or the next knock would count as speech."""
        t, s = self._slots, self.settings
        for i in starts.nonzero()[0]:
            slot = int(slots[i])
            if self._is_echo(slot, float(power_to_dbov(fast[i]))):
                t.echo_until[slot] = t.frames[slot] + s.echo_hold_ms // FRAME_MS
            elif fast[i] < self._limits.key_power or not self._is_key(slot):
                continue
            starts[i] = False
            t.evidence[slot], t.p_recent[slot] = 0, 0

    def _is_echo(self, slot: int, level_dbov: float) -> bool:
        frames = self._sent_frames(slot)
        if not self._own_prompt.is_sent(slot, frames):
            return False
        line = self._recent.samples(np.array([slot]), NEAR_SAMPLES)[0]
        return self._own_prompt.is_heard(slot, line, level_dbov, self._own_prompt.sent_to(slot, frames))

    def _is_key(self, slot: int) -> bool:
        s, sound = self.settings, self._recent.samples(np.array([slot]), recent_audio.SAMPLES)[0]
        return tones.key_share(sound, s.tone_share) >= s.key_share

    def _sent_frames(self, slot: int) -> int:
        """How many frames back it is known what was sent to the caller."""
        return int(self._slots.frames[slot] - self._slots.played_from[slot])

    def _comes_back(self, slot: int, level_dbov: float, floor_dbov: float) -> bool:
        """True if the last 200 ms, at this level, are an echo of our own prompt. A sound that hardly rises above the
        background cannot be judged: while we play, it is taken for echo."""
        s, frames = self.settings, self._sent_frames(slot)
        if not self._own_prompt.is_sent(slot, frames):
            return False
        if level_dbov < max(s.echo_below_dbov, floor_dbov + s.sound_rise_db):
            return True
        quiet = self._slots.state[slot] == QUIET
        line = self._recent.samples(np.array([slot]), NEAR_SAMPLES)[0] if quiet else None
        return self._own_prompt.is_seen(slot, line, level_dbov, self._own_prompt.sent_to(slot, frames))

    def _add_past(self, slots: np.ndarray) -> None:
        """Measure also the sound before the decision, but no further back than the question."""
        t = self._slots
        before = np.arange(-PAST_FRAMES, 0)
        asked = t.frames[slots, None] + before > t.measured_from[slots, None]
        power = np.where(asked, self._recent.power(slots, 1 + PAST_FRAMES)[:0:-1].T, 0)
        self._levels.add_past(slots, power)
        self._distances.add_past(slots, power)

    def _events(
        self, slots: np.ndarray, starts: np.ndarray, ends: np.ndarray, speech: np.ndarray, louder: np.ndarray
    ) -> list[tuple[int, Event]]:
        """The events of this tick. Only the slots that have one are handled one by one."""
        t, s = self._slots, self.settings
        spoken = t.speech_frames[slots]
        newly_known = speech & (spoken >= self._limits.tell_frames[t.verdicts_told[slots]])
        newly_known |= louder
        unmeasured = speech & (t.onset_ms[slots] < 0)
        happens = starts | ends
        happens |= newly_known
        if not _count(happens | unmeasured):
            return []
        for i in (starts | unmeasured).nonzero()[0]:
            self._note_onset(int(slots[i]), bool(starts[i]), bool(unmeasured[i]))
        reported = slots[ends | newly_known]
        heard = dict(zip(reported.tolist(), self.hearings(reported), strict=True)) if reported.size else {}
        events: list[tuple[int, Event]] = []
        for i in happens.nonzero()[0]:
            slot, at_ms = int(slots[i]), self.now_ms(int(slots[i]))
            if starts[i]:
                events.append((slot, SpeechStarted(at_ms, max(at_ms - s.onset_backdate_ms, 0))))
            if newly_known[i]:
                t.verdicts_told[slot] = 2 if spoken[i] * FRAME_MS >= s.final_speech_ms else 1
                events.append((slot, self._heard(slot, at_ms, heard[slot])))
            if ends[i]:
                events.append((slot, SpeechEnded(at_ms, int(t.last_speech[slot]) * FRAME_MS, heard[slot])))
                if t.verdicts_told[slot] < 2 and t.speech_frames[slot]:
                    t.verdicts_told[slot] = 2
                    events.append((slot, self._heard(slot, at_ms, heard[slot])))
        return events

    def _note_onset(self, slot: int, starts: bool, unmeasured: bool) -> None:
        """Speech starts with this frame, or continues without having been measured since the question."""
        t, s, at_ms = self._slots, self.settings, self.now_ms(slot)
        asked_ms, backdated_ms = int(t.measured_from[slot]) * FRAME_MS, max(at_ms - s.onset_backdate_ms, 0)
        if starts:
            t.speech_frames[slot] += (at_ms - max(backdated_ms, asked_ms)) // FRAME_MS
            if t.speech_frames[slot] * FRAME_MS < s.final_speech_ms:
                t.verdicts_told[slot] = min(t.verdicts_told[slot], 1)  # more speech will give a better verdict
        if unmeasured:  # it may have begun before the question
            t.onset_ms[slot] = max(backdated_ms if starts else at_ms, asked_ms)

    def _heard(self, slot: int, at_ms: int, hearing: Hearing) -> Heard:
        """The event for this verdict, which is kept for the hysteresis."""
        self._slots.too_soft[slot] = too_soft = hearing.verdict == "too_soft"
        if too_soft and hearing.active_level_dbov is not None:
            self._set_heard_from(slot, hearing.active_level_dbov)
        return Heard(at_ms, hearing)

    def _set_heard_from(self, slot: int, others_dbov: float = 0.0) -> None:
        """Set `heard_power`, given that all speech so far was at `others_dbov`; see `loudest_over_others_db`."""
        t, s = self._slots, self.settings
        beside_others = max(float(t.too_soft_dbov[slot]), others_dbov + s.loudest_over_others_db)
        normal = float(t.normal_dbov[slot]) + s.loudest_over_normal_db
        t.heard_power[slot] = dbov_to_power(min(normal, beside_others))

    def _is_too_soft(self, slot: int, level_dbov: float) -> bool:
        """True if this level is too soft. Somebody who reached a normal level for a moment is not, however soft the
        rest was: the rest may be a television."""
        t = self._slots
        if t.loudest_power[slot] >= t.heard_power[slot]:
            return False
        return bool(level_dbov < (t.normal_dbov[slot] if t.too_soft[slot] else t.too_soft_dbov[slot]))

    def _noise_power(self, slots: np.ndarray) -> np.ndarray:
        """Mean square of the noise [slots]: from quiet times, else from the softest moments of the speech."""
        noise = self._slots.noise_power[slots].astype(float)
        floor = self._background.floor_power(slots)
        return np.where(noise >= 0, noise, np.where(np.isfinite(floor), floor, dbov_to_power(SILENCE_DBOV)))

    def _follow_noise(self, slots: np.ndarray) -> None:
        """Follow the mean power of quiet slots, over about half a second. It lags by 300 ms, because speech begins
        before the network detects it."""
        t = self._slots
        quiet = (t.state[slots] == QUIET) & (t.p[slots] < self.settings.maybe_probability)
        quiet &= t.frames[slots] >= recent_audio.FULL_AFTER_FRAMES
        slots = slots[quiet]
        noise, power = t.noise_power[slots], self._recent.earliest_fast_power(slots)
        t.noise_power[slots] = np.where(noise < 0, power, noise + (power - noise) * (LOOK_FRAMES / 25))


class _Limits:
    """The settings' levels as mean squares and their times in frames, converted once."""

    def __init__(self, s: EarSettings) -> None:
        self.rest_power = float(dbov_to_power(s.network_rest_dbov))
        self.rest_ratio = float(dbov_to_power(s.network_rest_dynamics_db))
        self.hush_ratio = float(dbov_to_power(s.network_hush_dynamics_db))
        self.gate_power = float(dbov_to_power(s.gate_fast_dbov))
        self.key_power = float(dbov_to_power(s.key_from_dbov))
        self.near_smoothing = FRAME_MS / s.near_ms
        self.beside_ratio = float(dbov_to_power(-s.beside_db))
        self.warm_up_frames = s.warm_up_ms // FRAME_MS
        # After how many frames of speech the next verdict is reported, by the number reported so far
        never = np.iinfo(np.int32).max
        self.tell_frames = np.array([s.provisional_speech_ms // FRAME_MS, s.final_speech_ms // FRAME_MS, never])
