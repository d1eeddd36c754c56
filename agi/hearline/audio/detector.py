"""The ears: all calls' frames of one 20 ms tick in, events out.

Per tick, for every open slot (numpy over slots, no loop per call):

    frame → ring of 320 ms → level of 100 and 200 ms
          → may it be speech? → networks on each full 32 ms window → is it the caller? → evidence
          → QUIET, STARTING, SPEAKING, STOPPING
          → while speaking: active level (P.56)
          → ten times a second: a look at the background

Nothing here knows of sockets, clocks or calls: time is counted in frames since `open`.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from . import caller, echo, tones
from .background import LOOK_FRAMES, LOOKS, Background, repeats
from .distance import Distances
from .hearing import Event, Heard, Hearing, SpeechEnded, SpeechStarted, SpeechState, level_error_db
from .level import SILENCE_DBOV, dbov_to_power, power_to_dbov
from .network import CONTEXT_SAMPLES, STATE_SHAPE, WINDOW_SAMPLES, SpeechNetwork
from .settings import DEFAULT, FRAME_MS, FRAME_SAMPLES, CallSettings, EarSettings
from .slots import Column, SlotTable
from .speech_level import PAST_FRAMES, SpeechLevels

QUIET, STARTING, SPEAKING, STOPPING = (int(state) for state in SpeechState)  # numpy is quicker with ints

# 16 frames are 10 network windows exactly, so in a ring of 16 frames neither wraps round the end.
_RING_FRAMES = 16
_RING_SAMPLES = _RING_FRAMES * FRAME_SAMPLES
# _WINDOW_AFTER[k]: the window that frame k of the ring completes, −1 if none
_WINDOW_AFTER = np.full(_RING_FRAMES, -1)
for _window in range(_RING_SAMPLES // WINDOW_SAMPLES):
    _WINDOW_AFTER[((_window + 1) * WINDOW_SAMPLES - 1) // FRAME_SAMPLES] = _window
# Ring positions of the first window: its context lies at the other end.
_FIRST_WINDOW = np.arange(-CONTEXT_SAMPLES, WINDOW_SAMPLES)

_FAST_FRAMES = 5  # 100 ms levels…
_FAST_SPAN = 11  # …of which 11, a frame apart, span 300 ms
_LOOK_LEVEL_FRAMES = 10  # 200 ms
# _LAST[at]: ring positions of the newest frame, the one before it and so on
_LAST = (np.arange(_RING_FRAMES)[:, None] - np.arange(_RING_FRAMES)) % _RING_FRAMES
_LAST_FAST, _LAST_SPAN, _LAST_LOOK = _LAST[:, :_FAST_FRAMES], _LAST[:, :_FAST_SPAN], _LAST[:, :_LOOK_LEVEL_FRAMES]
_LOUD_POWER = dbov_to_power(-20.0)
_MEMORY_FRAMES = LOOKS * LOOK_FRAMES + _RING_FRAMES + LOOK_FRAMES
_SPEECH_TAIL_FRAMES = 10  # P.56: 200 ms after the last speech still belong to it
_PLAYED_FRAMES = 32  # of our own sound, remembered to know its echo
_MAY_BE_ECHO = 0.5
_PLAYED_BEFORE = np.arange(-echo.PLAYED_FRAMES, 0)
_MEAN_OF_FRAME = np.full(FRAME_SAMPLES, 1 / FRAME_SAMPLES)
_MEAN_OF_FAST = np.full(_FAST_FRAMES, 1 / _FAST_FRAMES)
_PER_SQUARE = 1 / (FRAME_SAMPLES * 32768.0**2)  # sum of squared samples → mean square, full scale 1.0
_count = np.count_nonzero  # of booleans: quicker than any() and all()


class Detector:
    """Listens to up to `capacity` calls. A slot is one call's line from `open` to `close`."""

    def __init__(self, capacity: int, settings: EarSettings = DEFAULT):
        self.capacity = capacity
        self.settings = settings
        self._network = SpeechNetwork()
        self._caller = caller.CallerNetwork()
        self._levels = SpeechLevels(capacity)
        self._distances = Distances(capacity)
        self._background = Background(capacity, settings)
        self._limits = _Limits(settings)
        self._gain = np.float32(10 ** (settings.input_gain_db / 20) / 32768)
        self._p_kept = settings.maybe_window_ms // 32 + 1  # windows in `maybe_window_ms`
        per_frame = (_RING_FRAMES,)
        self._slots = SlotTable(
            capacity,
            open=Column(np.bool_),
            frames=Column(np.int32),  # since open
            too_soft_dbov=Column(np.float32),  # these four are the call's own, see `CallSettings`
            normal_dbov=Column(np.float32),
            stop_frames=Column(np.int32),
            onset_evidence=Column(np.float32),
            measured_from=Column(np.int32),  # frame of the last question
            ring=Column(np.int16, shape=(_RING_FRAMES, FRAME_SAMPLES)),
            present=Column(np.bool_, shape=per_frame),
            power=Column(np.float32, shape=per_frame),  # mean square of each frame, DC removed
            fast_power=Column(np.float32, shape=per_frame),  # mean of 5 frames
            network_state=Column(np.float32, fresh=self._network.settled_state, shape=STATE_SHAPE),
            windows=Column(np.int32),  # network runs so far
            p=Column(np.float32),  # probability that the last window was the caller speaking
            any_speech=Column(np.float32),  # probability that it was speech, whoever's
            p_recent=Column(np.float32, shape=(self._p_kept,)),
            evidence=Column(np.float32),  # for a caller who speaks: log odds, added up
            awake=Column(np.bool_),  # the network is asked
            spared=Column(np.bool_),  # the last window was not asked about
            still=Column(np.int32),  # frames of digital silence in a row, all sent or all missing
            came=Column(np.bool_),  # the last frame
            played=Column(np.int16, shape=(_PLAYED_FRAMES, FRAME_SAMPLES)),
            played_at=Column(np.int32, fresh=-_PLAYED_FRAMES, shape=(_PLAYED_FRAMES,)),  # frame
            last_played=Column(np.int32, fresh=-2 * _PLAYED_FRAMES),  # frame
            echo_until=Column(np.int32),  # no speech starts before this frame
            explained=Column(
                np.float32, fresh=_MAY_BE_ECHO
            ),  # share of the sound that what we played explains, smoothed
            state=Column(np.int8),
            last_speech=Column(np.int32),  # frame
            noise_power=Column(np.float32, fresh=-1.0),  # mean while quiet; −1: never quiet yet
            onset_ms=Column(np.int32, fresh=-1),
            speech_frames=Column(np.int32),
            clipped=Column(np.int32),  # samples
            too_soft=Column(np.bool_),  # last verdict on the level, for its hysteresis
            verdicts_told=Column(np.int8),  # of the current speech: 1 provisional, 2 final
        )
        self._open = np.flatnonzero(self._slots.open)

    # ── slots ──

    def open(self, slot: int, own: CallSettings | None = None) -> None:
        """A call was answered: start to listen, at 0 ms; by settings of its `own`, where it has some."""
        t, own = self._slots, own or self.settings
        if t.open[slot]:
            raise ValueError(f"slot {slot} is open already")
        t.clear(slot)
        self._levels.clear(slot)
        self._distances.clear(slot)
        self._background.clear(slot)
        t.too_soft_dbov[slot], t.normal_dbov[slot] = own.too_soft_dbov, own.normal_dbov
        t.stop_frames[slot], t.onset_evidence[slot] = -(-own.stop_ms // FRAME_MS), own.onset_evidence
        t.open[slot] = True
        self._open = np.flatnonzero(self._slots.open)

    def close(self, slot: int) -> None:
        """The call is over. A closed slot costs nothing."""
        self._slots.open[slot] = False
        self._open = np.flatnonzero(self._slots.open)

    def grow(self, capacity: int) -> None:
        """Make room for more slots; open ones go on."""
        for part in (self._slots, self._levels, self._distances, self._background):
            part.grow(capacity)
        self.capacity = capacity

    def let_pass(self, slot: int, frames: int) -> bool:
        """Let time go by on a line whose digital silence has lasted longer than anything is remembered, and goes on.
        False where it has not: then every frame must be heard."""
        still = bool(self._slots.still[slot] > _MEMORY_FRAMES)
        if still:
            self._slots.frames[slot] += frames
        return still

    def restart_measure(self, slot: int) -> None:
        """A new question was asked: forget what was heard so far. Who is speaking just now goes on speaking,
        without another SpeechStarted, but is measured anew; the noise floor stays."""
        t = self._slots
        t.measured_from[slot] = t.frames[slot]
        t.onset_ms[slot] = -1
        t.speech_frames[slot] = t.clipped[slot] = t.verdicts_told[slot] = 0
        t.too_soft[slot] = False
        self._levels.restart(slot)
        self._distances.clear(slot)

    # ── what is known ──

    def state(self, slot: int) -> SpeechState:
        return SpeechState(self._slots.state[slot])

    def now_ms(self, slot: int) -> int:
        """How much of this slot was heard."""
        return int(self._slots.frames[slot]) * FRAME_MS

    def level_dbov(self, slot: int) -> float:
        """Level of the last 100 ms."""
        newest = (self._slots.frames[slot] - 1) % _RING_FRAMES
        return float(power_to_dbov(self._slots.fast_power[slot, newest]))

    def maybe_speech(self, slot: int) -> bool:
        """Somebody may just have begun to speak: worth another moment before a prompt."""
        return bool(self._slots.p_recent[slot].max() >= self.settings.maybe_probability)

    def hearing(self, slot: int) -> Hearing:
        """The verdict as it stands."""
        return self.hearings(np.array([slot]))[0]

    def hearings(self, slots: np.ndarray) -> list[Hearing]:
        """The verdict on each of these `slots` as it stands. Many at once cost little more than one."""
        spoken = slots[self._slots.speech_frames[slots] > 0]
        measured = dict(zip(spoken.tolist(), self._measured(spoken), strict=True)) if spoken.size else {}
        return [self._hearing(slot, measured.get(slot)) for slot in slots.tolist()]

    def _measured(self, slots: np.ndarray) -> list[tuple[float, float]]:
        """Of slots on which somebody has spoken: (active level, level of the noise) of each, dBov."""
        t, noise = self._slots, self._noise_power(slots)
        tail = _SPEECH_TAIL_FRAMES - (t.frames[slots] - t.last_speech[slots])
        levels = self._levels.level_dbov(slots, noise, np.where(t.state[slots] >= SPEAKING, np.maximum(tail, 0), 0))
        return list(zip(levels.tolist(), power_to_dbov(noise).tolist(), strict=True))

    def _hearing(self, slot: int, measured: tuple[float, float] | None) -> Hearing:
        """`measured`: the levels of the speech and of the noise, None where nobody has spoken."""
        t, s = self._slots, self.settings
        speech_ms = int(t.speech_frames[slot]) * FRAME_MS
        since_ms = int(t.frames[slot] - t.measured_from[slot]) * FRAME_MS
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
        self, frames: np.ndarray, present: np.ndarray, played: np.ndarray | None = None, in_haste: bool = False
    ) -> list[tuple[int, Event]]:
        """Hear 20 ms of every open slot.

        `frames` int16 [capacity, 160]; `present` bool [capacity], False where no frame came (no RTP): heard
        as silence, and remembered. `played` int16 [capacity, 160]: what was sent to each caller just before, zeros
        where nothing was; None where nothing was sent to anybody. `in_haste`: do without what takes time, the network
        and the look at the background; levels and time go on. Returns (slot, event) in order of slots.
        """
        slots = self._open
        if not slots.size:
            return []
        t = self._slots
        pcm, came = frames[slots], present[slots]
        if _count(came) < came.size:
            pcm[~came] = 0
        now = t.frames[slots]
        at = now % _RING_FRAMES
        now += 1
        t.frames[slots] = now
        if played is not None:
            self._remember_played(slots, played)
        still = self._still(slots, pcm, came)
        if _count(still):
            moving = ~still
            slots, pcm, came, now, at = slots[moving], pcm[moving], came[moving], now[moving], at[moving]
            if not slots.size:
                return []
        t.ring[slots, at], t.present[slots, at] = pcm, came

        samples = pcm.astype(np.float32)
        power = np.einsum("ij,ij->i", samples, samples)
        offset = np.add.reduce(samples, axis=1)
        power -= offset * offset * np.float32(1 / FRAME_SAMPLES)
        power *= np.float32(_PER_SQUARE)
        np.maximum(power, 0, out=power)
        t.power[slots, at] = power
        fast = self._fast_power(slots, at)

        events: list[tuple[int, Event]] = []
        awake = self._may_be_speech(slots, now, fast)
        self._put_to_rest(slots[t.awake[slots] > awake])
        t.awake[slots] = awake
        if listening := _count(awake):
            if listening < awake.size:
                hear = slots[awake], at[awake], fast[awake], power[awake], samples[awake]
            else:
                hear = slots, at, fast, power, samples
            events = self._hear(*hear, in_haste)
        if power.max() > _LOUD_POWER:
            self._count_clipping(slots, samples, power)
        due = now % LOOK_FRAMES == 0  # since its own open, so looks spread over the ticks
        if _count(due) and not in_haste:
            self._look_at_background(slots[due], at[due])
        return events

    def _hear(
        self,
        slots: np.ndarray,
        at: np.ndarray,
        fast: np.ndarray,
        power: np.ndarray,
        samples: np.ndarray,
        in_haste: bool,
    ) -> list[tuple[int, Event]]:
        """Where there may be speech."""
        self._levels.follow(slots, samples)
        if not in_haste:
            self._run_network(slots, at, fast)
        return self._next_states(slots, fast, power)

    def _still(self, slots: np.ndarray, pcm: np.ndarray, came: np.ndarray) -> np.ndarray:
        """Where digital silence has lasted longer than anything is remembered [slots]: a further frame of it changes
        nothing but the time."""
        t = self._slots
        same = came == t.came[slots]
        same &= ~_sounding(pcm)
        t.still[slots] = lasted = (t.still[slots] + 1) * same
        t.came[slots] = came
        return lasted > _MEMORY_FRAMES

    def _remember_played(self, slots: np.ndarray, played: np.ndarray) -> None:
        """Before the ears judge the frame that may hold its echo."""
        t = self._slots
        pcm = played[slots]
        sounding = _sounding(pcm)
        count = _count(sounding)
        if count < sounding.size:
            if not count:
                return
            slots, pcm = slots[sounding], pcm[sounding]
        now = t.frames[slots]
        at = now % _PLAYED_FRAMES
        t.played[slots, at], t.played_at[slots, at], t.last_played[slots] = pcm, now, now

    def _fast_power(self, slots: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Loudest 100 ms of the last 300 ms, mean square [slots]."""
        t, row = self._slots, slots[:, None]
        t.fast_power[slots, at] = np.add.reduce(t.power[row, _LAST_FAST[at]], axis=1) / _FAST_FRAMES
        return np.maximum.reduce(t.fast_power[row, _LAST_SPAN[at]], axis=1)

    def _may_be_speech(self, slots: np.ndarray, now: np.ndarray, fast: np.ndarray) -> np.ndarray:
        """The cheap test [slots]: is there a sound, and does it move (or is it too early to tell)?"""
        t, limits = self._slots, self._limits
        moves = fast >= self._background.floor_power(slots) * limits.rest_ratio
        moves |= now <= limits.warm_up_frames
        moves &= fast >= limits.rest_power
        moves |= t.state[slots] >= SPEAKING
        return moves

    def _put_to_rest(self, slots: np.ndarray) -> None:
        """The network is not asked until there is something to ask. It keeps its state, settled on this
        silence or noise, so that it is warm when it wakes."""
        if slots.size:
            t = self._slots
            t.p[slots], t.any_speech[slots], t.p_recent[slots], t.evidence[slots], t.state[slots] = 0, 0, 0, 0, QUIET
            t.explained[slots] = _MAY_BE_ECHO
            self._levels.rest(slots)

    def _run_network(self, slots: np.ndarray, at: np.ndarray, fast: np.ndarray) -> None:
        """Ask the network about every window that is complete with this frame."""
        t, s, limits = self._slots, self.settings, self._limits
        window = _WINDOW_AFTER[at]
        due = np.flatnonzero(window >= 0)
        if not due.size:
            return
        # Of speech that is certain, every other window will do.
        asked = slots[due]
        spared = (t.state[asked] == SPEAKING) & (t.p[asked] >= s.spare_probability) & ~t.spared[asked]
        t.spared[asked] = spared
        if _count(spared):
            due = due[~spared]
            if not due.size:
                return
        slots, window, at, fast = slots[due], window[due], at[due], fast[due]
        samples = self._windows(slots, window) * self._gain
        p, t.network_state[slots], features = self._network.run(samples, t.network_state[slots])
        log_odds = self._log_odds(slots, at, fast, p, features)
        t.any_speech[slots] = p
        t.p[slots] = p = 1 / (1 + np.exp(-log_odds))
        nobody = (fast < limits.gate_power) | (t.frames[slots] < t.echo_until[slots])
        t.p_recent[slots, t.windows[slots] % self._p_kept] = np.where(nobody, 0, p)
        t.windows[slots] += 1
        # A sequential test (CUSUM, E. S. Page 1954): strong evidence decides at once, weak takes longer.
        log_odds = np.clip(log_odds, s.least_evidence, s.most_evidence)
        t.evidence[slots] = np.clip(t.evidence[slots] + log_odds, 0, t.onset_evidence[slots] + 1)

    def _windows(self, slots: np.ndarray, window: np.ndarray) -> np.ndarray:
        """A window of each slot's ring, its context first, int16 [slots, samples]."""
        ring = self._slots.ring.reshape(-1, _RING_SAMPLES)
        whole = sliding_window_view(ring, CONTEXT_SAMPLES + WINDOW_SAMPLES, axis=1)
        samples = whole[:, WINDOW_SAMPLES - CONTEXT_SAMPLES :: WINDOW_SAMPLES][slots, window - 1]
        first = window == 0
        samples[first] = ring[slots[first]][:, _FIRST_WINDOW]
        return samples

    def _log_odds(
        self, slots: np.ndarray, at: np.ndarray, fast: np.ndarray, p: np.ndarray, features: np.ndarray
    ) -> np.ndarray:
        """Is it the caller? Natural logarithm of the odds [slots]."""
        t = self._slots
        said, floor = t.network_state[slots, 0], self._background.floor_power(slots)
        return self._caller.log_odds(caller.inputs(p, said, features, fast, floor, t.power[slots, at], t.frames[slots]))

    def _are_tones(self, slots: np.ndarray) -> np.ndarray:
        last = self._last_samples(slots, tones.WINDOW_SAMPLES)
        return tones.are_tones(last, self.settings.tone_lowest_hz, self.settings.tone_share)

    def _last_samples(self, slots: np.ndarray, count: int) -> np.ndarray:
        """The newest `count` samples of each slot's ring, oldest first, int16 [slots, count]."""
        end = (self._slots.frames[slots] % _RING_FRAMES) * FRAME_SAMPLES
        where = (end[:, None] + np.arange(-count, 0)) % _RING_SAMPLES
        return self._slots.ring.reshape(-1, _RING_SAMPLES)[slots[:, None], where]

    def _count_clipping(self, slots: np.ndarray, samples: np.ndarray, power: np.ndarray) -> None:
        loud = power > _LOUD_POWER  # softer frames hardly clip, so they are not searched
        over = np.abs(samples[loud]) >= self.settings.clipping_from
        self._slots.clipped[slots[loud]] += over.sum(axis=1)

    def _look_at_background(self, slots: np.ndarray, at: np.ndarray) -> None:
        """Ten times a second: what is there while nobody speaks?"""
        t = self._slots
        row, last = slots[:, None], _LAST_LOOK[at]
        frames_heard = np.minimum(t.frames[slots], _LOOK_LEVEL_FRAMES)
        level = power_to_dbov(t.power[row, last].sum(axis=1) / frames_heard)
        missing = 1 - t.present[row, last].sum(axis=1) / frames_heard
        tone, hum = np.zeros(len(slots), bool), np.zeros(len(slots), bool)
        # A spectrum costs more than all the rest here: only where a sound is to be explained.
        curious = (level >= self.settings.silence_dbov) & (t.state[slots] < SPEAKING)
        if curious.any():
            tone[curious] = self._are_tones(slots[curious])
            whole_ring = self._last_samples(slots[curious], _RING_SAMPLES)
            hum[curious] = repeats(whole_ring, self.settings.hum_correlation)
        self._background.look(slots, level, tone, hum, missing)
        self._follow_noise(slots, at)

    def _next_states(self, slots: np.ndarray, fast: np.ndarray, power: np.ndarray) -> list[tuple[int, Event]]:
        """Move every slot that may be speech through the four states and measure who speaks."""
        t, s, limits = self._slots, self.settings, self._limits
        now, evidence = t.frames[slots], t.evidence[slots]
        talking = t.state[slots] >= SPEAKING

        starts = evidence >= t.onset_evidence[slots]
        starts &= ~talking
        if starting := _count(starts):
            starts &= (fast >= limits.gate_power) & (now >= t.echo_until[slots])
            self._take_out_echoes(slots, starts, fast)
            starting = _count(starts)
        active = talking | starts if starting else talking
        next_state = (evidence >= s.starting_evidence).astype(np.int8)  # QUIET or STARTING
        if not _count(active):
            t.state[slots] = next_state
            return []
        speech = t.any_speech[slots] >= s.speech_probability_keep
        speech &= talking
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

        # Who speaks does not speak softer for the frames that are lost.
        counted = active & (silence <= _SPEECH_TAIL_FRAMES) & t.present[slots, (now - 1) % _RING_FRAMES]
        self._levels.add_speech(slots[counted], power[counted])
        if starting:
            self._add_past(slots[starts])
        self._distances.add(slots[active], power[active])
        t.speech_frames[slots] += speech
        return self._events(slots, starts, ends, speech)

    def _take_out_echoes(self, slots: np.ndarray, starts: np.ndarray, fast: np.ndarray) -> None:
        """What is our own prompt coming back does not start speech: taken out of `starts`."""
        t, s = self._slots, self.settings
        for i in np.flatnonzero(starts & (t.frames[slots] - t.last_played[slots] < echo.PLAYED_FRAMES)):
            if self._is_echo(int(slots[i]), float(fast[i])):
                starts[i] = False
                t.echo_until[slots[i]] = t.frames[slots[i]] + s.echo_hold_ms // FRAME_MS
                t.p_recent[slots[i]] = 0

    def _is_echo(self, slot: int, fast: float) -> bool:
        t, s = self._slots, self.settings
        now = int(t.frames[slot])
        at = (now + 1 + _PLAYED_BEFORE) % _PLAYED_FRAMES
        known = t.played_at[slot, at] == now + 1 + _PLAYED_BEFORE
        if power_to_dbov(fast) < s.echo_below_dbov:
            return True
        played = np.where(known[:, None], t.played[slot, at], 0)
        loudest = np.convolve((played / 32768.0) ** 2 @ _MEAN_OF_FRAME, _MEAN_OF_FAST).max()
        under_db = float(power_to_dbov(loudest) - power_to_dbov(fast))
        line = self._last_samples(np.array([slot]), echo.NEAR_SAMPLES)[0]
        explained = echo.explained_share(line, played.ravel())
        if under_db <= s.echo_never_under_db:
            return explained > s.echo_explained_share
        t.explained[slot] += (explained - t.explained[slot]) * s.echo_smoothing
        return bool(t.explained[slot] > s.echo_unexplained_share)

    def _add_past(self, slots: np.ndarray) -> None:
        """Measure the sound before the decision too, as far back as the question."""
        t = self._slots
        before = np.arange(-PAST_FRAMES, 0)
        at = (t.frames[slots, None] - 1 + before) % _RING_FRAMES
        asked = t.frames[slots, None] + before > t.measured_from[slots, None]
        power = np.where(asked, t.power[slots[:, None], at], 0)
        self._levels.add_past(slots, power)
        self._distances.add_past(slots, power)

    def _events(
        self, slots: np.ndarray, starts: np.ndarray, ends: np.ndarray, speech: np.ndarray
    ) -> list[tuple[int, Event]]:
        """Events of this tick. Only slots to which something happens are looked at one by one."""
        t, s = self._slots, self.settings
        spoken = t.speech_frames[slots]
        newly_known = speech & (spoken >= self._limits.tell_frames[t.verdicts_told[slots]])
        unmeasured = speech & (t.onset_ms[slots] < 0)
        for i in np.flatnonzero(starts | unmeasured):
            self._note_onset(int(slots[i]), bool(starts[i]), bool(unmeasured[i]))
        told = slots[ends | newly_known]
        heard = dict(zip(told.tolist(), self.hearings(told), strict=True)) if told.size else {}
        events: list[tuple[int, Event]] = []
        for i in np.flatnonzero(starts | ends | newly_known):
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
        """Speech starts with this frame, or goes on where none was measured since the question."""
        t, s, at_ms = self._slots, self.settings, self.now_ms(slot)
        asked_ms, backdated_ms = int(t.measured_from[slot]) * FRAME_MS, max(at_ms - s.onset_backdate_ms, 0)
        if starts:
            t.speech_frames[slot] += (at_ms - max(backdated_ms, asked_ms)) // FRAME_MS
            if t.speech_frames[slot] * FRAME_MS < s.final_speech_ms:
                t.verdicts_told[slot] = min(t.verdicts_told[slot], 1)  # more speech, better verdict
        if unmeasured:  # perhaps begun before the question
            t.onset_ms[slot] = max(backdated_ms if starts else at_ms, asked_ms)

    def _heard(self, slot: int, at_ms: int, hearing: Hearing) -> Heard:
        """The verdict told, and kept for its hysteresis."""
        self._slots.too_soft[slot] = hearing.verdict == "too_soft"
        return Heard(at_ms, hearing)

    def _is_too_soft(self, slot: int, level_dbov: float) -> bool:
        t = self._slots
        return bool(level_dbov < (t.normal_dbov[slot] if t.too_soft[slot] else t.too_soft_dbov[slot]))

    def _noise_power(self, slots: np.ndarray) -> np.ndarray:
        """Mean square of the noise [slots]: what was heard while quiet, or else the softest moments of the speech."""
        noise = self._slots.noise_power[slots].astype(float)
        floor = self._background.floor_power(slots)
        return np.where(noise >= 0, noise, np.where(np.isfinite(floor), floor, dbov_to_power(SILENCE_DBOV)))

    def _follow_noise(self, slots: np.ndarray, at: np.ndarray) -> None:
        """Mean power while quiet, over about half a second. It follows 300 ms late, because speech is
        there before the network knows."""
        t = self._slots
        quiet = (t.state[slots] == QUIET) & (t.p[slots] < self.settings.maybe_probability)
        quiet &= t.frames[slots] >= _RING_FRAMES + _FAST_FRAMES
        slots, oldest = slots[quiet], (at[quiet] + 1) % _RING_FRAMES
        noise, power = t.noise_power[slots], t.fast_power[slots, oldest]
        t.noise_power[slots] = np.where(noise < 0, power, noise + (power - noise) * (LOOK_FRAMES / 25))


class _Limits:
    """The settings' levels as mean squares and their times in frames, so that no tick has to convert."""

    def __init__(self, s: EarSettings) -> None:
        self.rest_power = float(dbov_to_power(s.network_rest_dbov))
        self.rest_ratio = float(dbov_to_power(s.network_rest_dynamics_db))
        self.gate_power = float(dbov_to_power(s.gate_fast_dbov))
        self.warm_up_frames = s.warm_up_ms // FRAME_MS
        # After how much speech the next verdict is told, by the number of those told
        never = np.iinfo(np.int32).max
        self.tell_frames = np.array([s.provisional_speech_ms // FRAME_MS, s.final_speech_ms // FRAME_MS, never])


def _sounding(pcm: np.ndarray) -> np.ndarray:
    """Which rows of int16 [calls, 160] are not digital silence. Four samples are one word: a quarter of the work."""
    return np.bitwise_or.reduce(pcm.view(np.int64), axis=1) != 0
