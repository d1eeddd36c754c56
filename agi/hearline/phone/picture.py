"""The picture of a call: both directions as waveforms on one time axis, with what the IVR did and heard.

The picture is laid out in pixels (1600 wide), one lane below another, so that labels can be placed without overlap.
Times are in ms of the timeline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from hearline.call.timeline import keys_of
from hearline.phone import wav
from hearline.pictures.style import (
    AMBER,
    AMBER_FILL,
    BLUE,
    BLUE_FILL,
    DPI,
    GREEN,
    GREY_FILL,
    INK,
    MUTED,
    PAPER,
    PLUM,
    RED,
    RULE,
    STRONG,
    TEAL,
    TEAL_FILL,
    WIDTH,
    cjk_font,
    draw_seconds,
    lettering,
    minus,
)

LEFT, RIGHT = 164, 40  # px
LANE_GAP, WAVE, BAR, ROW, AXIS, TITLE, FOOT = 14, 118, 34, 23, 34, 96, 58
LEGEND_SIZE, SWATCH, SWATCH_GAP = 8.5, 10, 22  # pt, px, px

# How late a timed point may be, in ms: one frame on the server's clock, two as heard.
ON_TIME, LATE = 20, 40

# The legend, a line below another: what each colour means; a text without a colour is a remark.
LEGEND: Sequence[Sequence[tuple[str | None, str]]] = (
    (
        (BLUE, "prompts, and what the caller hears"),
        (TEAL, "the caller's voice, and what was heard as speech"),
        (PLUM, "what the agent hears"),
        (AMBER, "timers, and verdicts other than speech"),
        (INK, "keys, and where the call goes"),
    ),
    (
        (None, "Planned → actual, in ms:"),
        (GREEN, f"at most {ON_TIME} ms off"),
        (AMBER, f"at most {LATE} ms off"),
        (RED, "more"),
        (None, "Waveforms are on a square-root scale, so that soft callers can be seen."),
    ),
)

NAMES = {"route": "route", "hangup": "hang-up", "speech_start": "speech starts", "speech_end": "speech ends"}


@dataclass
class _Label:
    """A short text for one moment."""

    at_ms: float
    text: str
    colour: str
    row: int = 0
    left_px: float = 0.0


def draw_call(
    path_png: str | Path,
    caller_heard_wav: str | Path | None,
    caller_said_wav: str | Path | None,
    timeline: Mapping[str, Any],
    agent_heard: str | Path | None = None,
    *,
    name: str = "",
    texts: Mapping[str, str] | None = None,
    offset_ms: float = 0.0,
    agent_offset_ms: float | None = None,
) -> None:
    """Write the picture of one call.

    timeline: {"call", "outcome", "duration_ms", "events": [{"at_ms", "event", …}]}; events are prompt_start and
    prompt_end ("prompt"), verdict ("verdict", "level_dbov"), timer, speech_start, speech_end, key, collected and
    nomatch ("name", "count" of keys, "digits" unless they are personal data), route, hangup. For events with
    "planned_ms" (on the same time axis), planned and actual are printed. A timer's span reaches from its "from_ms", or
    else from the end of the previous prompt, to its at_ms.
    name: the caller's name, for the title. texts: the words of prompts by id, shown if there is a font for them.
    offset_ms, agent_offset_ms: the position of 0 ms of the caller's and the agent's recording on the time axis;
    without the latter, both recordings end together.
    """
    events = sorted(timeline.get("events", ()), key=lambda event: event["at_ms"])
    files = caller_heard_wav, caller_said_wav, agent_heard
    heard, said, agent = (wav.read(path) if path else None for path in files)
    end_ms = float(timeline.get("duration_ms") or 0)
    end_ms = max(end_ms, *(event["at_ms"] for event in events), 1.0) if events else max(end_ms, 1.0)
    if heard is not None:
        end_ms = max(end_ms, offset_ms + len(heard) / 8)
    if agent is not None and agent_offset_ms is None:
        agent_offset_ms = end_ms - len(agent) / 8
    font = cjk_font() if texts else None
    if font is None:
        name = name.encode("ascii", "ignore").decode().strip()
    with lettering(font):
        page = _Page(end_ms)
        timing = page.place(_timing_labels(events))
        noticed = page.place(_noticed_labels(events))
        page.add("Hearline", BAR + (16 if font else 0), _draw_flow, events, texts if font else None)
        page.add("planned → actual", ROW * _rows(timing), _draw_labels, timing)
        page.add("caller hears", WAVE, _draw_wave, heard, offset_ms, BLUE, "no recording")
        page.add("Hearline notices", ROW * _rows(noticed), _draw_labels, noticed)
        page.add("caller says", WAVE, _draw_wave, said, offset_ms, TEAL, "nothing", _speech(events, end_ms))
        if agent is not None:
            page.add("agent hears", WAVE, _draw_wave, agent, agent_offset_ms, PLUM, "nothing")
        page.save(path_png, *_title(name, timeline, events, end_ms), events)


class _Page:
    """Lanes below one another. The scale, in px per ms, is known before anything is drawn."""

    def __init__(self, end_ms: float) -> None:
        self.end_ms = end_ms
        self.lanes: list[tuple[str, int, Any, tuple]] = []
        self.px_per_ms = (WIDTH - LEFT - RIGHT) / end_ms
        self._measure = Figure(figsize=(WIDTH / DPI, 1), dpi=DPI)
        self._canvas = FigureCanvasAgg(self._measure)

    def width_px(self, text: str, size: float | None = None) -> float:
        drawn = self._measure.text(0, 0, text, size=size)
        width = drawn.get_window_extent(self._canvas.get_renderer()).width
        drawn.remove()
        return width

    def place(self, labels: list[_Label]) -> list[_Label]:
        """Give each label the first row in which it does not touch another one."""
        ends: list[float] = []
        for label in labels:
            width = self.width_px(label.text)
            at = label.at_ms * self.px_per_ms
            label.left_px = at + 6 if at + 6 + width <= WIDTH - LEFT - RIGHT else max(0.0, at - 6 - width)
            # The mark at the moment itself must not be covered either.
            first, last = min(at - 3, label.left_px), max(at + 3, label.left_px + width)
            label.row = next((i for i, end in enumerate(ends) if end + 14 <= first), len(ends))
            if label.row == len(ends):
                ends.append(0.0)
            ends[label.row] = last
        return labels

    def add(self, title: str, height: int, draw: Any, *arguments: Any) -> None:
        if height:
            self.lanes.append((title, height, draw, arguments))

    def save(self, path: str | Path, title: str, subtitle: str, colour: str, events: list[dict]) -> None:
        height = TITLE + sum(lane[1] + LANE_GAP for lane in self.lanes) + AXIS + FOOT
        figure = Figure(figsize=(WIDTH / DPI, height / DPI), dpi=DPI, facecolor=PAPER)
        FigureCanvasAgg(figure)
        figure.text(28 / WIDTH, 1 - 34 / height, title, size=17, color=INK, va="center", weight="bold")
        figure.text(28 / WIDTH, 1 - 64 / height, subtitle, size=10.5, color=colour, va="center")
        span = (WIDTH - LEFT - RIGHT) / WIDTH
        top = height - TITLE
        back = figure.add_axes((LEFT / WIDTH, (AXIS + FOOT) / height, span, (top - AXIS - FOOT) / height))
        self._draw_grid(back, events)
        for name, lane_height, draw, arguments in self.lanes:
            top -= lane_height
            axes = figure.add_axes((LEFT / WIDTH, top / height, span, lane_height / height))
            axes.set(xlim=(0, self.end_ms), facecolor="none", xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            figure.text(
                (LEFT - 16) / WIDTH,
                (top + lane_height / 2) / height,
                name,
                size=10,
                color=MUTED,
                ha="right",
                va="center",
            )
            draw(axes, self, lane_height, *arguments)
            top -= LANE_GAP
        self._draw_legend(figure, height)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=DPI)

    def _draw_legend(self, figure: Figure, height: int) -> None:
        for row, entries in enumerate(reversed(LEGEND)):
            middle = 16 + ROW * row
            left = 28.0
            for colour, text in entries:
                if colour is not None:
                    corner = left / WIDTH, (middle - SWATCH / 2) / height
                    figure.add_artist(Rectangle(corner, SWATCH / WIDTH, SWATCH / height, color=colour, linewidth=0))
                    left += SWATCH + 6
                figure.text(left / WIDTH, middle / height, text, size=LEGEND_SIZE, color=MUTED, va="center")
                left += self.width_px(text, LEGEND_SIZE) + SWATCH_GAP

    def _draw_grid(self, axes: Axes, events: list[dict]) -> None:
        draw_seconds(axes, self.end_ms)
        axes.set(ylim=(0, 1), yticks=[])
        for start, end, _ in _prompts(events, self.end_ms):
            axes.axvspan(start, end, color=BLUE_FILL, alpha=0.35, linewidth=0)


def _draw_flow(axes: Axes, page: _Page, height: int, events: list[dict], texts: Mapping[str, str] | None) -> None:
    """Draw prompts and timers as spans, each with its name if there is room."""
    axes.set_ylim(0, height)
    for start, end, prompt in _prompts(events, page.end_ms):
        words = (texts or {}).get(prompt, "")
        _span(axes, page, start, end, (2, height - 4), BLUE_FILL, BLUE, [prompt, *([words] if words else [])])
    for event in events:
        if event["event"] == "route" and event["at_ms"] < page.end_ms:
            box = height / 2 - 10, 20
            _span(axes, page, event["at_ms"], page.end_ms, box, GREY_FILL, MUTED, [_target(event)])
    for start, end, name in _timers(events):
        seconds = f"{(end - start) / 1000:.3f} s"
        box = height / 2 - 10, 20
        _span(axes, page, start, end, box, AMBER_FILL, AMBER, [f"{name} {seconds}", seconds])


def _span(
    axes: Axes,
    page: _Page,
    start: float,
    end: float,
    box: tuple[float, float],
    fill: str,
    edge: str,
    texts: list[str],
) -> None:
    """Draw a rounded span. A prompt's texts are drawn below one another; of a timer's texts, the first that fits. Texts
    that are too long are cut."""
    bottom, height = box
    inset = 1.5 / page.px_per_ms
    axes.add_patch(
        FancyBboxPatch(
            (start + inset, bottom),
            max(end - start - 2 * inset, inset),
            height,
            boxstyle=f"round,pad=0,rounding_size={4 / page.px_per_ms}",
            mutation_aspect=page.px_per_ms,
            facecolor=fill,
            edgecolor=edge,
            linewidth=1,
            clip_on=False,
        )
    )
    room = (end - start) * page.px_per_ms - 12
    if fill == AMBER_FILL:
        texts = next(([text] for text in texts if page.width_px(text) <= room), [])
    for i, text in enumerate(texts):
        while text and page.width_px(text) > room:
            text = text[:-2] + "…" if len(text) > 2 else ""
        middle = bottom + height * (1 - (i + 0.5) / len(texts)) - (1 if len(texts) == 1 else 0)
        style = STRONG if i == 0 and fill == BLUE_FILL else {}
        colour = edge if i == 0 else INK
        axes.text((start + end) / 2, middle, text, ha="center", va="center", color=colour, **style)


def _draw_labels(axes: Axes, page: _Page, height: int, labels: list[_Label]) -> None:
    axes.set_ylim(height, 0)
    for label in labels:
        middle = ROW * (label.row + 0.5)
        axes.plot([label.at_ms] * 2, [middle - 8, middle + 8], color=label.colour, linewidth=2, clip_on=False)
        left = label.left_px / page.px_per_ms
        axes.text(left, middle, label.text, color=label.colour, va="center_baseline")


def _draw_wave(
    axes: Axes,
    page: _Page,
    height: int,
    samples: np.ndarray | None,
    offset_ms: float,
    colour: str,
    nothing: str,
    spans: Sequence[tuple[float, float]] = (),
) -> None:
    axes.set_ylim(-0.85, 0.85)
    axes.axhline(0, color=RULE, linewidth=1, zorder=0)
    for start, end in spans:
        axes.axvspan(start, end, color=TEAL_FILL, alpha=0.7, linewidth=0, zorder=0)
    if samples is None or not np.any(np.abs(samples) > 1e-3):
        if nothing:
            axes.text(6 / page.px_per_ms, 0.15, nothing, color=MUTED)
        return
    per_px = max(1, int(8 / page.px_per_ms))
    count = -(-len(samples) // per_px)
    pieces = np.pad(samples, (0, count * per_px - len(samples))).reshape(count, per_px)
    x = offset_ms + (np.arange(count) + 0.5) * per_px / 8
    low, high = (np.sign(v) * np.sqrt(np.abs(v)) for v in (pieces.min(axis=1), pieces.max(axis=1)))
    if offset_ms * page.px_per_ms > 20:  # an agent joins the call
        axes.plot([offset_ms] * 2, [-0.7, 0.7], color=colour, linewidth=1.2)
        axes.text(offset_ms - 6 / page.px_per_ms, 0.45, "answers", color=colour, ha="right")
    axes.fill_between(x, low, high, color=colour, linewidth=0.4, alpha=0.9)


def _target(event: dict) -> str:
    return str(event.get("to") or event.get("queue") or event.get("route") or "queue")


def _prompts(events: list[dict], end_ms: float) -> list[tuple[float, float, str]]:
    """(start, end, id) of every prompt; one without an end plays until the next one or the end of the call."""
    spans, running = [], None
    for event in events:
        if event["event"] in ("prompt_start", "prompt_end") and running:
            spans.append((*running[:1], event["at_ms"], running[1]))
            running = None
        if event["event"] == "prompt_start":
            running = (event["at_ms"], event.get("prompt", "prompt"))
    if running:
        spans.append((running[0], end_ms, running[1]))
    return spans


def _timers(events: list[dict]) -> list[tuple[float, float, str]]:
    spans, before = [], 0.0
    for event in events:
        if event["event"] == "timer":
            start = event.get("from_ms", before)
            spans.append((start, event["at_ms"], str(event.get("timer") or event.get("name") or "")))
        if event["event"] in ("prompt_end", "timer"):
            before = event["at_ms"]
    return [(start, end, name.strip()) for start, end, name in spans if end > start]


def _speech(events: list[dict], end_ms: float) -> list[tuple[float, float]]:
    """The spans that Hearline took for speech. It stops listening when the call is routed."""
    spans, start = [], None
    for event in events:
        if event["event"] == "speech_start" and start is None:
            start = event["at_ms"]
        elif event["event"] in ("speech_end", "route", "hangup") and start is not None:
            spans.append((start, event["at_ms"]))
            start = None
    return spans if start is None else [*spans, (start, end_ms)]


def _timing_labels(events: list[dict]) -> list[_Label]:
    """Planned and actual times of every timed point; for a timer and the event it triggers, only the event."""
    labels = []
    planned = [event for event in events if event.get("planned_ms") is not None]
    effects = {round(event["planned_ms"]) for event in planned if event["event"] != "timer"}
    for event in planned:
        if event["event"] == "timer" and round(event["planned_ms"]) in effects:
            continue
        late = event["at_ms"] - event["planned_ms"]
        colour = GREEN if abs(late) <= ON_TIME else AMBER if abs(late) <= LATE else RED
        what = event.get("prompt") or NAMES.get(event["event"], event["event"].replace("_", " "))
        if event["event"] == "prompt_end":
            what += " ends"
        text = f"{what}  {_number(event['planned_ms'])} → {_number(event['at_ms'])}  ({_signed(late)})"
        labels.append(_Label(event["at_ms"], text, colour))
    return labels


def _noticed_labels(events: list[dict]) -> list[_Label]:
    """Verdicts with levels, speech, keys, and the outcome of the call."""
    labels = []
    for event in events:
        kind, level = event["event"], event.get("level_dbov")
        if kind == "verdict":
            text = str(event.get("verdict", "")).replace("_", " ")
            colour = AMBER if event.get("verdict") in ("too_soft", "no_signal", "noise", "silence") else TEAL
        elif kind in ("speech_start", "speech_end"):
            text, colour = NAMES[kind], TEAL
        elif kind == "key":
            text, colour = "key", INK
        elif kind in ("collected", "nomatch"):
            text, colour = f"{event['name']}: {event.get('digits') or keys_of(event)}", INK
        elif kind == "route":
            text, colour = f"to {_target(event)}", INK
        elif kind == "hangup" and event.get("planned_ms") is None:
            text, colour = "hang-up", INK
        else:
            continue
        if level is not None:
            text += minus(f"  {level:.0f} dBov")
        labels.append(_Label(event["at_ms"], text, colour))
    return labels


def _title(name: str, timeline: Mapping[str, Any], events: list[dict], end_ms: float) -> tuple[str, str, str]:
    """(title, subtitle, the subtitle's colour)."""
    title = f"{name + '  ·  ' if name else ''}{timeline.get('outcome', 'unknown outcome')}"
    prompts = sum(event["event"] == "prompt_start" for event in events)
    parts = [f"{end_ms / 1000:.1f} s", _count(prompts, "prompt")]
    planned = [event for event in events if event.get("planned_ms") is not None]
    late = [abs(event["at_ms"] - event["planned_ms"]) for event in planned]
    if late:
        worst = round(max(late))
        parts.append(f"{_count(len(late), 'timed point')}, {f'at most {worst} ms' if worst else 'never'} off plan")
    parts += filter(None, [timeline.get("call")])
    return title, "   ·   ".join(parts), RED if late and max(late) > LATE else MUTED


def _rows(labels: list[_Label]) -> int:
    return max((label.row + 1 for label in labels), default=0)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _number(ms: float) -> str:
    """A number with narrow spaces between thousands."""
    return f"{ms:,.0f}".replace(",", "\u2009")


def _signed(ms: float) -> str:
    rounded = round(ms)
    return minus(f"{rounded:+d}") if rounded else "±0"
