"""Formats verdicts, times and levels for `hearline listen`, both for recordings and live calls."""

from __future__ import annotations

from pathlib import Path

COLOURS = {"speech": "green", "too_soft": "yellow", "noise": "magenta", "no_signal": "red"}


def is_one_picture(out: Path) -> bool:
    return out.suffix.lower() == ".png" and not out.is_dir()


def with_reason(verdict: str, reason: str) -> str:
    return verdict if reason in ("normal", "soft", verdict) else f"{verdict} ({reason})"


def seconds(ms: int | None) -> str:
    return "–" if ms is None else f"{ms / 1000:.2f}"


def level(dbov: float | None) -> str:
    return "–" if dbov is None else f"{dbov:.1f}".replace("-", "−")
