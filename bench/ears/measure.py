"""The figures, each with its bar."""

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hearline.call.plan import Plan
from hearline.call.timeline import Timeline

from .clips import Clip
from .run import Heard
from .whole_calls import Beside, Call, Pieces, beside_television, silent_with_echo
from .whole_calls import run as run_calls

Pair = tuple[Any, Any]
"""The input and what was heard: a clip and its Heard, or a call and its timeline."""
Figure = Callable[[list[Pair]], float]


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    figure: Figure
    unit: str
    pairs: list[Pair]
    bar: float | None = None
    """The highest good value (with `at_least`, the lowest); None: there is no bar."""
    at_least: bool = False
    by: tuple[str, ...] = ()
    """Labels to break the figure down by."""

    @property
    def value(self) -> float:
        return self.figure(self.pairs) if self.pairs else float("nan")

    @property
    def passed(self) -> bool | None:
        if self.bar is None or not self.pairs:
            return None
        return self.value >= self.bar if self.at_least else self.value <= self.bar

    def broken_down(self) -> dict[str, list[tuple[Hashable, int, float]]]:
        """By label of `by`: a list of (its value, number of clips, figure)."""
        return {
            name: [(value, len(pairs), self.figure(pairs)) for value, pairs in _by(self.pairs, name)]
            for name in self.by
        }


def rows(clips: Iterable[Clip], heard: Iterable[Heard]) -> list[Row]:
    """The whole table. `heard` is in the order of the clips."""
    everything = list(zip(clips, heard, strict=True))

    def of(kind: str, where: Callable[[Clip], bool] = lambda _: True) -> list[Pair]:
        return [(clip, h) for clip, h in everything if clip.kind == kind and where(clip)]

    def to_10_db(clip: Clip) -> bool:
        return clip.snr_db is None or clip.snr_db >= 10

    speech, answered, echo, barge_in = of("speech"), of("answered"), of("echo"), of("barge_in")
    prompt = [pair for pair in of("speech", to_10_db) if pair[0].nominal_dbov >= -38]
    heard_44 = [pair for pair in speech if pair[0].nominal_dbov >= -44]
    to_20_db = [p for p in heard_44 if p[0].snr_db is None or p[0].snr_db >= 20]
    background = of("background")
    line = ("nominal_dbov", "snr_db", "noise", "law", "loss", "suppression", "language", "speaker")
    table = [
        Row("speech known after its onset, median", delay_ms(50), "ms", prompt, 150, by=line),
        Row("speech known after its onset, p95", delay_ms(95), "ms", prompt, 400, by=line),
        Row("speech at the answer known, p95", delay_ms(95), "ms", answered, 1300, by=line),
        Row("speech claimed: no signal", claimed, "%", of("no_signal"), 0, by=("subkind", "law")),
        Row("speech claimed: tones", claimed, "%", of("tone"), 0, by=("subkind", "law")),
        Row("speech claimed: keys, −6…−20 dBov", claimed, "%", of("key"), 0, by=("subkind", "level_dbov", "law")),
        Row("speech claimed: noise and music", claimed, "%", of("noise") + of("music"), 1, by=("kind", "noise", "law")),
        Row("speech claimed: babble at −45 dBov", claimed, "%", of("babble", _at_45), 5, by=("law",)),
        Row(
            "speech claimed: babble at other levels, crowd",
            claimed,
            "%",
            of("babble", lambda c: not _at_45(c)),
            by=("subkind",),
        ),
        Row("speech claimed: coughs, clicks, doors", claimed, "%", of("transient"), by=("subkind", "noise")),
        Row("missed, to −44 dBov, to 10 dB SNR", missed, "%", [p for p in heard_44 if to_10_db(p[0])], 0.3, by=line),
        Row("missed, to −44 dBov, at 5 dB SNR", missed, "%", [p for p in heard_44 if p[0].snr_db == 5], 1, by=line),
        Row("missed, −50 dBov clean", missed, "%", [p for p in speech if p[0].nominal_dbov == -50], 1, by=line),
        Row("missed, at the answer", missed, "%", answered, by=line),
        *_level_rows(to_20_db, 1000, 0.35, line),
        *_level_rows(to_20_db, 3000, 0.3, line),
    ]
    with_verdict = [p for p in everything if p[0].verdict and not (p[0].kind == "speech" and not to_10_db(p[0]))]
    for verdict in ("no_signal", "noise", "too_soft", "speech"):
        pairs = [p for p in with_verdict if p[0].verdict == verdict]
        by = line if verdict in ("too_soft", "speech") else ("kind", "subkind", "law")
        table.append(Row(f"verdict {verdict} is right", right, "%", pairs, 98, at_least=True, by=by))
    table += [
        Row("background taken for the caller", taken_for_the_caller, "%", background, 20, by=("subkind", "language")),
        Row("background: speech started", claimed, "%", background, by=("subkind", "speaker")),
        Row("background: too soft at the end", _share(lambda _, h: h.final.verdict == "too_soft"), "%", background),
        Row("telephone at the mouth: taken for far", taken_for_far, "%", of("handset"), 1, by=line),
        Row("across the room: known to be far", taken_for_far, "%", of("far_talker"), 50, at_least=True, by=line),
        Row("prompt echo: barge-ins", started_while_playing, "%", echo, 1, by=("subkind", "echo_loss_db", "law")),
        Row("barge-in over echo: caught", caught, "%", barge_in, by=("echo_loss_db", "nominal_dbov", "law")),
        Row("barge-in over echo: false start before", false_start, "%", barge_in, by=("echo_loss_db",)),
        Row("barge-in over echo: known, median", delay_ms(50), "ms", barge_in, by=("echo_loss_db", "nominal_dbov")),
        Row("barge-in over echo: known, p95", delay_ms(95), "ms", barge_in, by=("echo_loss_db", "nominal_dbov")),
    ]
    return table


def whole_call_rows(voices: Pieces, plans: list[Plan], sounds: Path, seed: int, scale: float) -> list[Row]:
    """Figures of whole calls that follow `plans`: silent callers whose line echoes, and `voices` beside a
    television."""
    which = range(max(1, round(90 * scale)))

    def drawn(kind: int) -> Iterator[tuple[np.random.Generator, Plan, str, int]]:
        for i in which:
            yield np.random.default_rng([seed, kind, i]), plans[i % len(plans)], ("alaw", "mulaw")[i % 2], i

    silent = [silent_with_echo(rng, plan, sounds, law, 20 + 5 * (i // 5 % 5)) for rng, plan, law, i in drawn(1)]
    spoken = [
        beside_television(rng, plan, voices, law, (-28, -24, -20)[i % 3], (15, 20, 25)[i // 3 % 3])
        for rng, plan, law, i in drawn(2)
    ]
    echoed = list(zip(silent, run_calls(silent, sounds), strict=True))
    beside = list(zip(spoken, run_calls([each.call for each in spoken], sounds), strict=True))
    return [
        Row("silent caller, our prompt echoes: ends as silent", _share(_ends_as_silent), "%", echoed, 95, True),
        Row("speaks once beside a television: to the queue", _share(_to_the_queue), "%", beside, 100, True),
        Row("  asked to speak up after it", _share(_asked_to_speak_up), "%", beside),
        Row("  from their last word to the queue, median", _waited_ms, "ms", beside),
    ]


def _ends_as_silent(_: Call, timeline: Timeline) -> bool:
    """True if the call was ended as silent, or, in plans that end no calls, routed as silent."""
    return timeline.outcome == "hangup:noinput" or timeline.events[-1].get("heard") == "silent2"


def _to_the_queue(_: Beside, timeline: Timeline) -> bool:
    return str(timeline.outcome).startswith("queue:")


def _asked_to_speak_up(beside: Beside, timeline: Timeline) -> bool:
    asked = [event["at_ms"] for event in timeline.events if str(event.get("prompt")).startswith("low-")]
    return any(at > beside.spoke_ms[0] + 200 for at in asked)


def _waited_ms(pairs: list[tuple[Beside, Timeline]]) -> float:
    return float(np.median([timeline.duration_ms - beside.spoke_ms[1] for beside, timeline in pairs]))


# ── figures of a list of clips ──


def delay_ms(percentile: float) -> Figure:
    """Delay from the onset of speech to its detection. Missed speech counts as infinitely late. Clips in which speech
    was already claimed at the onset say nothing about the delay, and are left out."""

    def figure(pairs: list[Pair]) -> float:
        late = []
        for clip, heard in pairs:
            if heard.speaking_at(clip.onset_ms - 1):
                continue
            start = heard.first_start_ms(clip.onset_ms)
            late.append(np.inf if start is None else start - clip.onset_ms)
        return float(np.percentile(late, percentile, method="higher")) if late else float("nan")

    return figure


def _share(true_of: Callable[[Any, Any], bool]) -> Figure:
    return lambda pairs: 100 * float(np.mean([true_of(*pair) for pair in pairs]))


claimed = _share(lambda _, heard: heard.claims_speech)
"""True if any speech was claimed, at any level."""


@_share
def missed(clip: Clip, heard: Heard) -> bool:
    """True if there was speech that neither started the speaking state nor came during it."""
    return heard.first_start_ms(clip.onset_ms) is None and not heard.speaking_at(clip.onset_ms)


@_share
def right(clip: Clip, heard: Heard) -> bool:
    return heard.at[clip.verdict_ms].verdict == clip.verdict


@_share
def taken_for_the_caller(_: Clip, heard: Heard) -> bool:
    return heard.final.verdict == "speech" or any(h.verdict == "speech" for h in heard.at.values())


@_share
def taken_for_far(_: Clip, heard: Heard) -> bool:
    return bool(heard.final.far)


@_share
def started_while_playing(clip: Clip, heard: Heard) -> bool:
    start, end = clip.prompt_ms
    return any(start <= at <= end for at in heard.starts_ms)


@_share
def false_start(clip: Clip, heard: Heard) -> bool:
    return any(at < clip.onset_ms for at in heard.starts_ms)


@_share
def caught(clip: Clip, heard: Heard) -> bool:
    """True if the caller's own speech was detected within 1.5 s, and nothing was detected before it."""
    start = heard.first_start_ms(clip.onset_ms)
    early = any(at < clip.onset_ms for at in heard.starts_ms)
    return not early and start is not None and start <= clip.onset_ms + 1500


def _level_rows(pairs: list[Pair], speech_ms: int, bar_db: float, by: tuple[str, ...]) -> list[Row]:
    """The error of the level after `speech_ms` of speech. Against P.56 on the clean speech so far: the estimate's own
    error, which the bar limits. Against the level of the whole clip, for information: it includes the error of P.56 so
    far against the whole clip, which is unavoidable, since nobody knows what will be said."""
    asked = [pair for pair in pairs if speech_ms in pair[0].spoken]
    after = f"after {speech_ms // 1000} s of speech"

    def told(clip: Clip, heard: Heard) -> float | None:
        return heard.at[clip.spoken[speech_ms].at_ms].active_level_dbov

    def whole(clip: Clip, _: Heard) -> float:
        return clip.level_dbov

    def so_far(clip: Clip, _: Heard) -> float:
        return clip.spoken[speech_ms].level_dbov

    return [
        Row(f"level error {after}", apart_db(told, whole), "dB", asked, by=by),
        Row(f"  its own: from the clean speech so far, {after}", apart_db(told, so_far), "dB", asked, bar_db, by=by),
        Row("  of P.56 on the clean speech so far", apart_db(so_far, whole), "dB", asked, by=by),
    ]


def apart_db(one: Callable[[Clip, Heard], float | None], other: Callable[[Clip, Heard], float]) -> Figure:
    """Mean absolute difference of two levels. Clips in which nothing was heard yet are left out; the rows for missed
    speech count those."""

    def figure(pairs: list[Pair]) -> float:
        levels = [(one(*pair), other(*pair)) for pair in pairs]
        errors = [abs(this - that) for this, that in levels if this is not None]
        return float(np.mean(errors)) if errors else float("nan")

    return figure


def _at_45(clip: Clip) -> bool:
    return clip.subkind == "-45"


def _by(pairs: list[Pair], label: str) -> list[tuple[Hashable, list[Pair]]]:
    groups: dict[Hashable, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(getattr(pair[0], label), []).append(pair)
    return sorted(groups.items(), key=lambda item: (item[0] is not None, item[0] if item[0] is not None else 0))
