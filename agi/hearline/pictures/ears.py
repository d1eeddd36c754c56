"""The picture of what the ears hear on one line: level and noise over time, speech, thresholds, verdict.

From top to bottom: the levels; the ears' state and verdict, moment by moment; the spectrum, if the sound is available.
The names and values of the levels are on the right. Times are in ms, levels in dBov.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hearline.audio.hearing import Hearing, Reason, Verdict
from hearline.audio.settings import DEFAULT, SAMPLE_RATE_HZ, CallSettings
from hearline.audio.vad.snapshots import LOOK_MS, Snapshot, levels, segments
from hearline.pictures.style import (
    AMBER,
    BLUE,
    DPI,
    GREEN,
    INK,
    MUTED,
    PAPER,
    PLUM,
    RED,
    RULE,
    TEAL,
    TEAL_FILL,
    WIDTH,
    cjk_font,
    draw_seconds,
    lettering,
    minus,
)

LEFT, RIGHT, TITLE, FOOT = 110, 190, 118, 40  # px
LEVELS, STRIP, SPECTRUM, AXIS, GAP = 360, 22, 110, 30, 10
LOWEST_DBOV, HIGHEST_DBOV = -90.0, 0.0
_APART_DB = 4.6  # distance between the names on the right: one line of text

COLOURS: dict[Verdict, str] = {"speech": GREEN, "too_soft": AMBER, "noise": PLUM, "no_signal": RED}
VERDICTS: dict[Verdict, tuple[str, str]] = {
    "speech": ("speech", "有人说话"),
    "too_soft": ("too soft", "声音太小"),
    "noise": ("noise", "只有噪声"),
    "no_signal": ("no signal", "没有声音"),
}
REASONS: dict[Reason, tuple[str, str]] = {
    "normal": ("somebody speaks and can be heard", "能听清"),
    "soft": ("somebody speaks, but too softly", "有人说话，但声音太小"),
    "noise": ("sounds, but nobody speaks", "有声音，但无人说话"),
    "sound": ("a sound on a silent line, but nobody speaks", "安静线路上有声响，无人说话"),
    "tone": ("tones, nobody speaks", "信号音，无人说话"),
    "hum": ("mains hum, nobody speaks", "交流声，无人说话"),
    "comfort_noise": ("comfort noise, nobody speaks", "舒适噪声，无人说话"),
    "digital_silence": ("digital silence", "全静音"),
    "echo": ("only the echo of our own prompt", "只有提示音的回声"),
    "no_rtp": ("the phone sends nothing", "电话没有发送语音"),
}
_STATES = {"QUIET": "#eceff2", "STARTING": "#a9d5cf", "SPEAKING": TEAL, "STOPPING": "#cfe6e3"}
_FOOT = (
    "Blue: level, every 20 ms.  Black: active level of the speech (ITU-T P.56).  Shaded: speech, from its onset to the "
    "start of silence; hatched: until the end was detected.  Black mark: when the onset was detected."
)


@dataclass(frozen=True)
class Heard:
    """The content of a picture."""

    name: str
    """The name of the file or the call."""
    looks: Sequence[Snapshot]
    hearing: Hearing
    """The final verdict, for the title; the looks show how it came about."""
    end_ms: int
    start_ms: int = 0
    samples: np.ndarray | None = None
    """int16 [n] at 8 kHz from ``start_ms`` on; None if the sound is not available."""
    marks: Sequence[tuple[int, str]] = field(default=())
    """Named moments (ms, name), e.g. when a flow's steps begin."""


def save(path: Path | str, heard: Heard, settings: CallSettings = DEFAULT) -> None:
    """Write the picture as PNG; creates missing folders. Raises OSError."""
    font = cjk_font()
    with lettering(font):
        figure = draw(heard, settings, chinese=font is not None)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=DPI, format="png")


def draw(heard: Heard, settings: CallSettings = DEFAULT, chinese: bool = True) -> Figure:
    """The picture as a figure. `chinese`: add Chinese text, for which there must be a font."""
    height = TITLE + LEVELS + GAP + 2 * STRIP + AXIS + FOOT + (0 if heard.samples is None else SPECTRUM + GAP)
    figure = Figure(figsize=(WIDTH / DPI, height / DPI), dpi=DPI, facecolor=PAPER)
    FigureCanvasAgg(figure)
    _draw_title(figure, height, heard, chinese)
    top = height - TITLE

    def lane(title: str, lane_height: int) -> Axes:
        nonlocal top
        top -= lane_height
        axes = figure.add_axes(
            (LEFT / WIDTH, top / height, (WIDTH - LEFT - RIGHT) / WIDTH, lane_height / height), label=title
        )
        axes.set(xlim=(heard.start_ms, heard.end_ms), facecolor="none", xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        return axes

    axes = lane("level", LEVELS)
    _draw_levels(axes, heard, settings)
    top -= GAP
    for title, of, colours in (
        ("state", lambda look: look.state, _STATES),
        ("verdict so far", lambda look: look.hearing.verdict, COLOURS),
    ):
        axes = lane(title, STRIP)
        _draw_strip(axes, heard, of, colours)
        _name(axes, title)
    if heard.samples is not None:
        top -= GAP
        axes = lane("spectrum", SPECTRUM)
        _draw_spectrum(axes, heard, heard.samples)
        _name(axes, "0 … 4 kHz")
    draw_seconds(axes, heard.end_ms, heard.start_ms)
    figure.text(28 / WIDTH, 16 / height, _FOOT, size=8.5, color=MUTED, va="center")
    return figure


def _draw_title(figure: Figure, height: int, heard: Heard, chinese: bool) -> None:
    def both(words: tuple[str, str]) -> str:
        return "  ·  ".join(words) if chinese else words[0]

    def line(at_px: int, text: str, **how: Any) -> None:
        figure.text(28 / WIDTH, 1 - at_px / height, text, va="center", **how)

    said = [f"{(heard.end_ms - heard.start_ms) / 1000:.1f} s"]
    if heard.hearing.speech_ms:
        said.append(f"{heard.hearing.speech_ms / 1000:.1f} s of speech")
    name = heard.name if chinese else heard.name.encode("ascii", "replace").decode()
    title = both(VERDICTS[heard.hearing.verdict])
    if heard.hearing.active_level_dbov is not None:
        title += minus(f"   {heard.hearing.active_level_dbov:.1f} dBov")
    line(34, title, size=20, color=COLOURS[heard.hearing.verdict])
    line(66, both(REASONS[heard.hearing.reason]), size=12, color=INK)
    line(92, "   ·   ".join([name, *said]), size=10, color=MUTED)


def _draw_levels(axes: Axes, heard: Heard, settings: CallSettings) -> None:
    axes.set_ylim(LOWEST_DBOV, HIGHEST_DBOV)
    ticks = np.arange(-80, 1, 10)
    axes.set_yticks(ticks, [minus(f"{tick}") for tick in ticks], color=MUTED, size=9)
    axes.tick_params(length=0)
    axes.grid(axis="y", color="#eef1f4", linewidth=1)
    axes.set_axisbelow(True)
    axes.set_ylabel("level, dBov", color=MUTED, size=10)
    _draw_speech(axes, heard)
    for at, name in heard.marks:
        axes.axvline(at, color=BLUE, linewidth=0.9, alpha=0.6, gid="mark")
        axes.text(at, HIGHEST_DBOV - 6, f" {name}", color=BLUE, size=8.5, va="top", clip_on=True, gid="mark")

    axes.axhspan(settings.too_soft_dbov, settings.normal_dbov, color=AMBER, alpha=0.12, linewidth=0)
    axes.axhline(settings.too_soft_dbov, color=AMBER, linewidth=1, label="too soft")
    axes.axhline(settings.normal_dbov, color=GREEN, linewidth=1, label="normal")
    times, level = levels(heard.looks)
    shown = np.clip(level, LOWEST_DBOV, HIGHEST_DBOV)
    axes.fill_between(times, LOWEST_DBOV, shown, color=BLUE, alpha=0.13, linewidth=0)
    axes.plot(times, shown, color=BLUE, linewidth=1.3, label="level")
    times = np.array([look.at_ms for look in heard.looks])
    noise = [max(look.hearing.noise_level_dbov, LOWEST_DBOV) for look in heard.looks]
    axes.plot(times, noise, color=PLUM, linewidth=1.6, linestyle=(0, (4, 2)), label="noise")
    active = np.array([look.hearing.active_level_dbov for look in heard.looks], float)  # None → NaN
    if not np.all(np.isnan(active)):
        axes.plot(times, active, color=INK, linewidth=2.4, label="active level")

    names = [
        (settings.too_soft_dbov, f"too soft under {settings.too_soft_dbov:.0f}", AMBER),
        (settings.normal_dbov, f"normal from {settings.normal_dbov:.0f}", GREEN),
        (heard.hearing.noise_level_dbov, f"noise {_dbov(heard.hearing.noise_level_dbov)}", PLUM),
    ]
    if heard.hearing.active_level_dbov is not None:
        names.append((heard.hearing.active_level_dbov, f"speech {heard.hearing.active_level_dbov:.1f}", INK))
    _draw_names(axes, names)


def _draw_speech(axes: Axes, heard: Heard) -> None:
    free_from: float = heard.start_ms
    for part in segments(heard.looks):
        end, sure = part.end_ms or heard.end_ms, part.ended_ms or heard.end_ms
        axes.axvspan(part.onset_ms, end, color=TEAL_FILL, alpha=0.8, linewidth=0, gid="speech")
        axes.axvspan(end, min(sure, heard.end_ms), facecolor="none", edgecolor=TEAL_FILL, hatch="///", linewidth=0)
        axes.axvline(part.onset_ms, color=TEAL, linewidth=1.4, gid="onset")
        axes.plot([part.started_ms] * 2, [LOWEST_DBOV, LOWEST_DBOV + 3], color=INK, linewidth=1.6, gid="known")
        text = f" {part.onset_ms / 1000:.2f}"
        text += f" … {end / 1000:.2f} s" if part.end_ms else " s …"
        if part.onset_ms >= free_from:
            axes.text(
                part.onset_ms, HIGHEST_DBOV - 1.5, text, color=TEAL, size=8.5, va="top", clip_on=True, gid="times"
            )
            free_from = part.onset_ms + 6.8 * len(text) * (heard.end_ms - heard.start_ms) / (WIDTH - LEFT - RIGHT)


def _dbov(level: float) -> str:
    return f"under {LOWEST_DBOV:.0f}" if level < LOWEST_DBOV else f"{level:.1f}"


def _draw_names(axes: Axes, names: list[tuple[float, str, str]]) -> None:
    """Names on the right, each at its level, or moved up if it would touch the one below."""
    lowest = LOWEST_DBOV + 1.5
    for level, text, colour in sorted(names):
        at = max(level, lowest)
        lowest = at + _APART_DB
        axes.annotate(
            minus(text), (1, at), (8, 0), ("axes fraction", "data"), "offset points",
            color=colour, size=10, va="center", gid="name",
        )  # fmt: skip


def _draw_strip(axes: Axes, heard: Heard, of, colours: dict) -> None:
    axes.set_ylim(0, 1)
    runs: list[list] = []
    for look in heard.looks:
        began = look.at_ms - LOOK_MS
        if runs and runs[-1][2] == of(look):
            runs[-1][1] = look.at_ms
        else:
            runs.append([max(began, heard.start_ms), look.at_ms, of(look)])
    for began, ended, what in runs:
        axes.axvspan(began, min(ended, heard.end_ms), 0.12, 0.88, color=colours[what], linewidth=0, gid=what)
        room = (min(ended, heard.end_ms) - began) / (heard.end_ms - heard.start_ms) * (WIDTH - LEFT - RIGHT)
        text = what.lower().replace("_", " ")
        if room > 7.5 * len(text):
            dark = what in ("QUIET", "STARTING", "STOPPING")
            axes.text(
                (began + ended) / 2, 0.48, text, color=MUTED if dark else PAPER, size=8.5, ha="center", va="center"
            )


def _draw_spectrum(axes: Axes, heard: Heard, sound: np.ndarray) -> None:
    """Draw the spectrum in light grey. Tones are lines, hum lies at the bottom, speech is striped."""
    size, step = 256, 80
    samples = np.pad(sound.astype(np.float32) / 32768, (size // 2, size))
    pieces = np.lib.stride_tricks.sliding_window_view(samples, size)[: sound.size : step]
    per_px = -(-len(pieces) // (WIDTH - LEFT - RIGHT))
    power = np.abs(np.fft.rfft(pieces * np.hanning(size), axis=1)) ** 2 / size
    power = np.maximum.reduceat(power, np.arange(0, len(power), per_px), axis=0)
    db = 10 * np.log10(power.T + 1e-9)
    end = heard.start_ms + sound.size * 1000 / SAMPLE_RATE_HZ
    axes.imshow(
        db, aspect="auto", origin="lower", cmap="Greys", vmin=-70, vmax=20, alpha=0.85,
        extent=(heard.start_ms, end, 0, SAMPLE_RATE_HZ / 2000),
    )  # fmt: skip
    axes.set(xlim=(heard.start_ms, heard.end_ms), yticks=[])
    axes.spines["bottom"].set_color(RULE)


def _name(axes: Axes, title: str) -> None:
    axes.set_ylabel(title, rotation=0, ha="right", va="center", color=MUTED, size=9.5, labelpad=8)
