"""The ears on live frames: who speaks, how loud, and what else is on the line."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from audio_corpus import (
    CLIPS,
    DTMF,
    LONG_CLIPS,
    RATE,
    call,
    chords,
    clicks,
    coloured,
    hear,
    hum,
    keys,
    over_a_line,
    speech,
    street,
    tone,
    white,
)
from hearline.audio.hearing import Heard, SpeechEnded, SpeechStarted, SpeechState
from hearline.audio.level.p56 import active_speech_level
from hearline.audio.settings import FRAME_SAMPLES, ONSET_EVIDENCE, CallSettings
from hearline.audio.vad.detector import Detector
from hearline.audio.wav import read_wav

LAWS = ("alaw", "mulaw")


def starts(events):
    return [event for event in events if isinstance(event, SpeechStarted)]


# ── nobody speaks ──

NO_SIGNAL = {
    "digital silence": (np.zeros(3 * RATE), "digital_silence"),
    "comfort noise -60": (white(3, -60), "comfort_noise"),
    "comfort noise -50": (white(3, -50), "comfort_noise"),
    "soft pink noise": (coloured(3, -55, 0.5), "comfort_noise"),
    "hum 50 Hz": (hum(3, 50, -45) + white(3, -66), "hum"),
    "hum 60 Hz": (hum(3, 60, -40) + white(3, -66), "hum"),
}
NOISE = {
    "white": white(3, -35),
    "pink": coloured(3, -30, 0.5),
    "street": street(3, -32),
    "soft street": street(3, -44, seed=3),
    "chords": chords(3, -28),
    "ringback 450 Hz": tone(3, (450,), -20, on_s=1, off_s=4) + white(3, -64),
    "busy 450 Hz": tone(3, (450,), -18, on_s=0.35, off_s=0.35) + white(3, -64),
    "dial tone": tone(3, (350, 440), -18),
    "dial tone 425 Hz": tone(3, (425,), -25),
} | {f"key {key}": tone(3, pair, -14, on_s=0.12, off_s=0.4) + white(3, -62) for key, pair in DTMF.items()}


@pytest.fixture(scope="module", params=LAWS)
def silent_lines(request):
    sounds = [x for x, _ in NO_SIGNAL.values()] + list(NOISE.values()) + [clicks(3)]
    events, hearings = hear([over_a_line(x, request.param) for x in sounds])
    return dict(zip([*NO_SIGNAL, *NOISE, "clicks"], zip(events, hearings, strict=True), strict=True))


@pytest.mark.parametrize("name", NO_SIGNAL)
def test_no_signal_and_why(silent_lines, name):
    events, hearing = silent_lines[name]
    assert not events
    assert (hearing.verdict, hearing.reason, hearing.final) == ("no_signal", NO_SIGNAL[name][1], True)
    assert hearing.active_level_dbov is None and hearing.speech_onset_ms is None and hearing.speech_ms == 0


@pytest.mark.parametrize("name", NOISE)
def test_noise_is_not_speech(silent_lines, name):
    events, hearing = silent_lines[name]
    assert not starts(events)
    assert hearing.verdict == "noise"


@pytest.mark.parametrize("name", ["busy 450 Hz", "dial tone", "dial tone 425 Hz", "ringback 450 Hz"])
def test_tones_are_called_tones(silent_lines, name):
    assert silent_lines[name][1].reason == "tone"


@pytest.mark.parametrize("dbov", [-6, -10, -14, -20])
def test_keys_pressed_are_nobody(dbov):
    """All 16, alone and one after the other, short and long, with twist, and wherever in a frame they begin and end."""
    ons_offs = [(0.05, 0.05), (0.08, 0.08), (0.15, 0.1), (0.3, 0.3), (1.0, 0.2)]
    lines = [
        keys(pressed, dbov, on_s, off_s, twist_db, 1 + 0.0013 * n)
        for n, key in enumerate(DTMF)
        for pressed in (key, "".join(DTMF)[n:] + "".join(DTMF)[:n])
        for (on_s, off_s), twist_db in zip(ons_offs, (0, -8, 8, -4, 4), strict=True)
    ]
    events, _ = hear([over_a_line(np.clip(line[: 8 * RATE], -1, 1), LAWS[n % 2]) for n, line in enumerate(lines)])
    assert not [n for n, each in enumerate(events) if each]


@pytest.mark.parametrize("pause_s", [0.05, 0.5])
def test_who_speaks_after_a_key_is_heard(pause_s):
    lines = []
    for path in LONG_CLIPS:
        pressed = keys("7", -10, 0.2, pause_s)[: round((1.2 + pause_s) * RATE)]
        lines.append(over_a_line(np.concatenate([pressed, call(speech(path, -26), before_s=0)])))
    events, _ = hear(lines)
    assert all(starts(each)[0].at_ms <= 1200 + pause_s * 1000 + 700 for each in events)
    assert all(starts(each)[0].at_ms >= 1200 + pause_s * 1000 for each in events)


def test_clicks_are_nobody(silent_lines):
    assert not silent_lines["clicks"][0]


def test_no_frames_are_told_apart_from_silent_frames():
    detector = Detector(2)
    for slot in (0, 1):
        detector.open(slot)
    for _ in range(150):
        assert detector.step(np.zeros((2, FRAME_SAMPLES), np.int16), np.array([True, False])) == []
    assert detector.hearing(0).reason == "digital_silence"
    assert detector.hearing(1).reason == "no_rtp"
    assert detector.hearing(1).verdict == "no_signal"


# ── somebody speaks ──


@pytest.fixture(scope="module")
def spoken():
    """Every clip at every level, over both laws: {dbov: [(events, hearing)]}."""
    cases = [(dbov, over_a_line(call(speech(path, dbov)), LAWS[i % 2]))
             for dbov in (-20, -26, -32, -44, -50) for i, path in enumerate(CLIPS)]  # fmt: skip
    events, hearings = hear([line for _, line in cases])
    by_level: dict[int, list] = {}
    for (dbov, _), *heard in zip(cases, events, hearings, strict=True):
        by_level.setdefault(dbov, []).append(heard)
    return by_level


def final_verdict(events):
    return next(event.hearing for event in events if isinstance(event, Heard) and event.hearing.final)


@pytest.mark.parametrize("dbov", [-20, -26, -32])
def test_speech_is_heard(spoken, dbov):
    assert [final_verdict(events).verdict for events, _ in spoken[dbov]] == ["speech"] * len(CLIPS)


@pytest.mark.parametrize("dbov", [-44, -50])
def test_soft_speech_is_too_soft(spoken, dbov):
    assert [final_verdict(events).verdict for events, _ in spoken[dbov]] == ["too_soft"] * len(CLIPS)


def test_onset_is_known_within_200_ms_and_dated_back(spoken):
    first = [starts(events)[0] for cases in spoken.values() for events, _ in cases]
    assert min(event.at_ms for event in first) >= 1500
    assert np.median([event.at_ms - 1500 for event in first]) <= 250  # the clips have a lead of 0 to 200 ms
    assert all(event.onset_ms < event.at_ms for event in first)


def test_active_level_is_right(spoken):
    for dbov, cases in spoken.items():
        errors = [abs(hearing.active_level_dbov - dbov) for _, hearing in cases]
        # At −50 dBov the line's own noise lies 13 dB under the speech, and hides its soft parts.
        assert np.mean(errors) < (0.5 if dbov >= -44 else 1.2) and max(errors) < 2.5


def test_speech_that_goes_on_is_measured_as_if_its_last_word_were_over():
    """P.56 counts 200 ms after each word. In the middle of one nobody must come out louder for want of them."""
    errors = []
    for path in LONG_CLIPS:
        clip = speech(path, -26)
        detector = Detector(1)
        detector.open(0)
        for frame in over_a_line(call(clip))[: 2500 * RATE // 1000].reshape(-1, 1, FRAME_SAMPLES):
            detector.step(frame, np.ones(1, bool))
        so_far = np.concatenate([clip[:RATE], np.zeros(RATE // 5)])
        errors.append(detector.hearing(0).active_level_dbov - active_speech_level(so_far, RATE).active_dbov)
    assert abs(np.mean(errors)) < 0.4 and np.max(np.abs(errors)) < 1.2


def test_end_comes_once_after_the_hangover(spoken):
    for events, _ in (case for cases in spoken.values() for case in cases):
        ends = [event for event in events if isinstance(event, SpeechEnded)]
        assert len(ends) == len(starts(events)) >= 1
        assert all(event.at_ms - event.end_ms == 700 for event in ends)


def test_the_networks_are_asked_about_a_third_of_certain_speech_and_about_none_of_the_silence_after_it():
    clip = speech(LONG_CLIPS[0], -26)
    line = over_a_line(call(clip, before_s=1.5, after_s=1.2))
    begin, end = 1500, 1500 + round(clip.size / RATE * 1000)
    detector, windows, asked_ms, ended_ms = Detector(1), [], [], []
    network = detector._network.run
    detector._network.run = lambda *of: windows.append(of) or network(*of)
    detector.open(0)
    for frame in line[: line.size // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, 1, FRAME_SAMPLES):
        events, before = detector.step(frame, np.ones(1, bool)), len(windows)
        ended_ms += [event.at_ms for _, event in events if isinstance(event, SpeechEnded)]
        asked_ms += [detector.now_ms(0)] * (before - len(asked_ms))
    asked = np.array(asked_ms)
    talk = (asked > begin + 300) & (asked <= end)
    assert 0.3 <= talk.sum() * 32 / (end - begin - 300) < 0.6, "a third, and more where it is not so certain"
    assert not np.any(asked > end + 320), "the loudest 100 ms of the last 300 ms are silence by then"
    assert ended_ms and ended_ms[-1] <= end + 700 + 200


def test_a_short_word_has_a_verdict_at_its_end():
    word = speech(CLIPS[0], -24)[2000:4800]  # 350 ms
    (events,), _ = hear([over_a_line(call(word))])
    assert [type(event) for event in events] == [SpeechStarted, SpeechEnded, Heard]
    assert events[2].hearing.verdict == "speech" and events[2].hearing.final


def test_speech_from_the_first_moment_is_heard():
    lines = [over_a_line(call(speech(path, -26), before_s=0)) for path in LONG_CLIPS]
    events, _ = hear(lines)
    assert all(starts(each)[0].at_ms <= 700 for each in events)


def test_verdict_is_provisional_after_1_s_and_final_after_2_s():
    long = np.concatenate([speech(path, -26) for path in LONG_CLIPS[1:4]])
    (events,), _ = hear([over_a_line(call(long))])
    heard = [event for event in events if isinstance(event, Heard)]
    assert [(event.hearing.final, event.hearing.speech_ms) for event in heard] == [
        (False, 1000),
        (True, 2000),
    ]


def test_speech_in_street_noise():
    lines = []
    for seed, path in enumerate(LONG_CLIPS):
        line = call(speech(path, -26))
        lines.append(over_a_line(line + street(line.size / RATE, -38, seed)[: line.size]))
    events, _ = hear(lines)
    assert [final_verdict(each).verdict for each in events] == ["speech"] * len(lines)


# ── somebody else speaks softly beside them ──


def beside_a_voice(dbov, after_s, seconds=9.0):
    """A voice at −50 dBov all the while, and after `after_s` another one at `dbov` who says one sentence."""
    voice = np.concatenate([speech(path, -50) for path in LONG_CLIPS[1:] * 2])[: round(seconds * RATE)]
    line = np.concatenate([np.zeros(RATE), voice])
    said, at = speech(LONG_CLIPS[0], dbov), round((1 + after_s) * RATE)
    line[at : at + said.size] += said
    return over_a_line(line + white(line.size / RATE, -66)[: line.size]), 1000 + round(after_s * 1000)


@pytest.mark.parametrize("after_s", [1.5, 4.0])
@pytest.mark.parametrize("dbov", [-22, -26, -30])
def test_who_speaks_at_a_normal_level_has_been_heard_whatever_else_was_said(dbov, after_s):
    line, spoke_ms = beside_a_voice(dbov, after_s)
    (events,), (hearing,) = hear([line])
    told = [event for event in events if isinstance(event, Heard)]
    assert [event.hearing.verdict for event in told if event.at_ms < spoke_ms] in (["too_soft"], ["too_soft"] * 2)
    at_once = next(event for event in told if event.hearing.verdict == "speech")
    assert spoke_ms < at_once.at_ms <= spoke_ms + 1000
    assert {event.hearing.verdict for event in told if event.at_ms > at_once.at_ms} <= {"speech"}
    assert hearing.verdict == "speech" and hearing.active_level_dbov > -38


def test_a_far_softer_voice_does_not_go_on_for_who_has_ended():
    line, spoke_ms = beside_a_voice(-26, 1.5)
    (events,), _ = hear([line])
    ended = [event for event in events if isinstance(event, SpeechEnded) and event.at_ms > spoke_ms]
    said_ms = speech(LONG_CLIPS[0], -26).size / 8
    assert ended[0].end_ms <= spoke_ms + said_ms + 500
    assert not [event for event in starts(events) if event.at_ms > ended[0].at_ms]


def test_a_soft_speaker_is_not_heard_for_a_loud_syllable():
    lines = [over_a_line(call(np.concatenate([speech(path, -42) for path in LONG_CLIPS])), law) for law in LAWS]
    _, hearings = hear(lines)
    assert [hearing.verdict for hearing in hearings] == ["too_soft"] * len(lines)


# ── questions ──


def test_restart_forgets_the_measure_but_not_the_line():
    talk = over_a_line(call(speech(LONG_CLIPS[1], -46), after_s=1.0))
    detector = Detector(1)
    _, (hearing,) = hear([talk], detector)
    assert hearing.verdict == "too_soft"
    detector.restart_measure(0)
    assert detector.hearing(0).speech_ms == 0 and detector.hearing(0).active_level_dbov is None
    louder = over_a_line(call(speech(LONG_CLIPS[2], -24), before_s=1.0))
    verdicts = []
    for frame in louder[: louder.size // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, 1, FRAME_SAMPLES):
        verdicts += [event for _, event in detector.step(frame, np.array([True])) if isinstance(event, Heard)]
    assert verdicts[-1].hearing.verdict == "speech"
    assert verdicts[-1].hearing.speech_onset_ms > talk.size / 8


def test_restart_while_somebody_speaks_measures_the_rest():
    line = over_a_line(call(speech(LONG_CLIPS[1], -26)))
    detector, events = Detector(1), []
    detector.open(0)
    for tick, frame in enumerate(line[: line.size // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, 1, FRAME_SAMPLES)):
        events += [event for _, event in detector.step(frame, np.array([True]))]
        if tick == 124:  # 2.5 s: a second into the speech
            detector.restart_measure(0)
            before = len(events)
    assert not starts(events[before:])
    assert [event.hearing.verdict for event in events[before:] if isinstance(event, Heard)][-1] == "speech"
    assert events[-1].hearing.speech_onset_ms >= 2500
    assert events[-1].hearing.active_level_dbov == pytest.approx(-26, abs=2)


def test_frames_that_begin_late_are_not_speech():
    noise = over_a_line(white(4, -55)).reshape(-1, 1, FRAME_SAMPLES)
    detector, events = Detector(1), []
    detector.open(0)
    for tick, frame in enumerate(noise):
        events += detector.step(frame, np.array([tick >= 50]))
    assert not events
    assert (detector.hearing(0).verdict, detector.hearing(0).reason) == ("no_signal", "comfort_noise")


def test_maybe_speech_and_states_on_the_way():
    line = over_a_line(call(speech(CLIPS[1], -26)))
    detector, seen, maybe_at, started_at = Detector(1), [], None, None
    detector.open(0)
    for tick in range(line.size // FRAME_SAMPLES):
        frame = line[None, tick * FRAME_SAMPLES : (tick + 1) * FRAME_SAMPLES]
        for _, event in detector.step(frame, np.array([True])):
            started_at = started_at or event.at_ms
        if detector.maybe_speech(0):
            maybe_at = maybe_at or detector.now_ms(0)
        if not seen or seen[-1] != detector.state(0):
            seen.append(detector.state(0))
    assert maybe_at <= started_at
    assert seen[0] == seen[-1] == SpeechState.QUIET
    assert {SpeechState.STARTING, SpeechState.SPEAKING, SpeechState.STOPPING} <= set(seen)
    assert not detector.maybe_speech(0)


def test_clipping_is_counted():
    loud = np.clip(speech(CLIPS[1], -20) * 20, -1, 1)
    _, (clean, clipped) = hear([over_a_line(call(speech(CLIPS[1], -26))), over_a_line(call(loud))])
    assert clean.clipping == 0
    assert clipped.clipping > 0.05


# ── what a call has of its own ──


def test_speech_ends_when_the_call_says_so():
    word = speech(CLIPS[0], -24)[2000:4800]
    line = over_a_line(call(np.concatenate([word, np.zeros(RATE), word]), after_s=2.0))
    each, _ = hear([line] * 3, owns=[None, CallSettings(stop_ms=1500), CallSettings(stop_ms=310)])
    ends = [[event.at_ms - event.end_ms for event in events if isinstance(event, SpeechEnded)] for events in each]
    assert ends == [[700, 700], [1500], [320, 320]], "in whole frames"


def test_levels_are_judged_as_the_call_says():
    line = over_a_line(call(speech(CLIPS[1], -42)))
    (usual, patient), _ = hear([line] * 2, owns=[None, CallSettings(too_soft_dbov=-46, normal_dbov=-44)])
    assert [final_verdict(events).verdict for events in (usual, patient)] == ["too_soft", "speech"]


def test_from_where_on_a_soft_caller_is_normal_is_the_calls_too():
    soft_then_louder = [speech(LONG_CLIPS[1], -52), np.zeros(RATE), speech(LONG_CLIPS[1], -43)]  # −45 in all
    line = over_a_line(call(np.concatenate(soft_then_louder)))
    owns = [CallSettings(too_soft_dbov=-50, normal_dbov=normal) for normal in (-48, -40)]
    events, hearings = hear([line] * 2, owns=owns)
    assert [final_verdict(each).verdict for each in events] == ["too_soft"] * 2
    assert [hearing.verdict for hearing in hearings] == ["speech", "too_soft"]


def test_how_sure_it_must_be_that_somebody_speaks():
    """Windows that are beyond doubt are soon enough for any; the others make the difference."""
    lines = [call(speech(path, -26)) for path in CLIPS]
    noisy = [over_a_line(line + street(30, -36, seed)[: line.size]) for seed, line in enumerate(lines)]
    known = {}
    for word, evidence in ONSET_EVIDENCE.items():
        events, _ = hear(noisy, owns=[CallSettings(onset_evidence=evidence)] * len(noisy))
        known[word] = np.array([starts(each)[0].at_ms for each in events])
    assert (known["low"] <= known["normal"]).all() and (known["normal"] <= known["high"]).all()
    assert known["low"].mean() < known["normal"].mean() < known["high"].mean() < known["low"].mean() + 200


def test_the_next_call_in_a_slot_does_not_inherit_settings():
    line = over_a_line(call(speech(CLIPS[1], -42)))
    detector = Detector(1)
    detector.open(0, CallSettings(too_soft_dbov=-50, normal_dbov=-50))
    detector.close(0)
    (events,), _ = hear([line], detector)
    assert final_verdict(events).verdict == "too_soft"


# ── many calls ──


def test_a_batch_hears_what_a_single_detector_hears():
    lines = [over_a_line(call(speech(path, dbov)), law) for path in CLIPS[:3] for dbov in (-26, -46) for law in LAWS]
    together = Detector(24)
    frames, present = np.zeros((24, FRAME_SAMPLES), np.int16), np.ones(24, bool)
    batch = [[] for _ in lines]
    opened = [3 * i for i in range(len(lines))]  # not all in the same tick
    for tick in range(max(start + line.size // FRAME_SAMPLES for start, line in zip(opened, lines, strict=True))):
        for i, line in enumerate(lines):
            if tick == opened[i]:
                together.open(i + 4)
            at = (tick - opened[i]) * FRAME_SAMPLES
            if at + FRAME_SAMPLES <= line.size:
                frames[i + 4] = line[max(at, 0) : max(at, 0) + FRAME_SAMPLES]
            elif together.now_ms(i + 4) * 8 == line.size // FRAME_SAMPLES * FRAME_SAMPLES:
                together.close(i + 4)
        for slot, event in together.step(frames, present):
            batch[slot - 4].append(event)
    for line, events in zip(lines, batch, strict=True):
        (alone,), _ = hear([line])
        assert [type(event) for event in events] == [type(event) for event in alone]
        for one, other in zip(events, alone, strict=True):
            assert one.at_ms == other.at_ms
            if isinstance(one, Heard):
                assert one.hearing.verdict == other.hearing.verdict
                assert one.hearing.active_level_dbov == pytest.approx(other.hearing.active_level_dbov, abs=0.01)
            else:
                assert one == other


def rounded(events):
    """The last bits of a matrix product depend on how many calls are in it."""

    def round_one(event):
        if not isinstance(event, Heard):
            return event
        level = round(event.hearing.active_level_dbov, 3)
        return dataclasses.replace(event.hearing, max_p_recent=0, active_level_dbov=level)

    return [round_one(event) for event in events]


def test_slots_are_reused_clean_and_grow_keeps_calls():
    line = over_a_line(call(speech(CLIPS[1], -26)))
    detector = Detector(1)
    (first,), _ = hear([line], detector)
    detector.close(0)
    detector.grow(3)
    (again, other), _ = hear([line, line], detector)
    assert rounded(first) == rounded(again) == rounded(other)
    with pytest.raises(ValueError, match="open already"):
        detector.open(0)
    with pytest.raises(ValueError, match="shrink"):
        detector.grow(2)


def test_closed_slots_hear_nothing():
    detector = Detector(2)
    assert detector.step(np.full((2, FRAME_SAMPLES), 9000, np.int16), np.ones(2, bool)) == []
    assert detector.now_ms(0) == 0


# ── our own prompt comes back ──

OPENING = read_wav(Path(__file__).parents[2] / "sounds" / "zh" / "lanzhi" / "opening.wav")


def while_we_play(line, played=OPENING):
    """Events of a line, float [n], on which `played` goes out from the first frame on."""
    count = max(line.size, played.size) // FRAME_SAMPLES
    size = count * FRAME_SAMPLES
    pcm = over_a_line(np.pad(line, (0, max(0, size - line.size)))[:size] + white(size / RATE, -64)[:size])
    out = np.pad(played, (0, max(0, size - played.size)))[:size].reshape(count, FRAME_SAMPLES)
    detector, events = Detector(1), []
    detector.open(0)
    for frame, sent in zip(pcm.reshape(count, 1, FRAME_SAMPLES), out, strict=True):
        events += [event for _, event in detector.step(frame, np.array([True]), {0: sent})]
    return events


@pytest.mark.parametrize("delay_ms", [20, 120, 240, 400, 500])
@pytest.mark.parametrize("loss_db", [20, 30, 40])
def test_the_echo_of_our_own_prompt_is_nobody(loss_db, delay_ms):
    echo = np.pad(OPENING / 32768 * 10 ** (-loss_db / 20), (delay_ms * RATE // 1000, 0))
    assert not starts(while_we_play(echo))


@pytest.mark.parametrize("noise_dbov", [-60, -56, -52])
def test_an_echo_in_noise_is_nobody(noise_dbov):
    for n, loss_db in enumerate((18, 22, 26)):
        echo = np.pad(OPENING / 32768 * 10 ** (-loss_db / 20), (150 * RATE // 1000, 0))
        assert not starts(while_we_play(echo + white(echo.size / RATE, noise_dbov, n)[: echo.size]))


@pytest.mark.parametrize("dbov", [-20, -32, -44, -51])
def test_a_caller_who_speaks_while_we_play_is_heard(dbov):
    """Also one who is far softer than the prompt: nothing of it explains the sound."""
    spoken = np.pad(speech(CLIPS[3], dbov), (RATE // 2, RATE))
    first = starts(while_we_play(spoken))[0]
    assert 500 <= first.at_ms <= 1400


def test_a_caller_over_an_echo_is_heard():
    echo = np.pad(OPENING / 32768 * 10 ** (-26 / 20), (100 * RATE // 1000, 0))
    spoken = np.pad(speech(CLIPS[3], -26), (RATE, RATE))
    size = max(echo.size, spoken.size)
    both = np.pad(echo, (0, size - echo.size)) + np.pad(spoken, (0, size - spoken.size))
    assert 1000 <= starts(while_we_play(both))[0].at_ms <= 1500


# ── a line that carries nothing ──


def test_long_digital_silence_is_passed_by_and_speech_after_it_is_heard_as_before():
    line = over_a_line(call(speech(CLIPS[1], -26)))
    silence = np.zeros(8 * RATE, np.int16)
    (soon, late), hearings = hear([line, np.concatenate([silence, line])])
    assert [event.at_ms + 8000 for event in starts(soon)] == pytest.approx(
        [event.at_ms for event in starts(late)], abs=60
    )
    assert hearings[0].active_level_dbov == pytest.approx(hearings[1].active_level_dbov, abs=0.5)


@pytest.mark.parametrize("came, reason", [(True, "digital_silence"), (False, "no_rtp")])
def test_after_minutes_of_nothing_the_verdict_is_still_right(came, reason):
    detector = Detector(1)
    detector.open(0)
    for _ in range(60 * 50):
        assert not detector.step(np.zeros((1, FRAME_SAMPLES), np.int16), np.array([came]))
    assert detector.now_ms(0) == 60_000
    detector.restart_measure(0)
    assert (detector.hearing(0).verdict, detector.hearing(0).reason) == ("no_signal", reason)


def test_frames_that_stop_to_come_are_noticed_after_long_silence():
    detector = Detector(1)
    detector.open(0)
    for tick in range(10 * 50):
        detector.step(np.zeros((1, FRAME_SAMPLES), np.int16), np.array([tick < 300]))
    assert detector.hearing(0).reason == "no_rtp"
