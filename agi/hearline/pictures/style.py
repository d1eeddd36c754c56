"""The common style of all pictures: colours, fonts (Chinese included), the time axis."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes

WIDTH, DPI = 1600, 100  # px; px per inch

INK, MUTED, RULE, PAPER = "#22303c", "#74808c", "#d5dbe1", "#ffffff"
GREY_FILL = "#f0f2f4"
BLUE, BLUE_FILL = "#3b6ea5", "#dce8f4"
TEAL, TEAL_FILL = "#2b8c82", "#d8efec"
PLUM = "#7a5c9e"
AMBER, AMBER_FILL = "#b7842b", "#fbf1dc"
GREEN, RED = "#3f8f5a", "#b5473c"

STRONG = {"weight": "bold", "family": "DejaVu Sans"}
_CJK_FONTS = ("wqy-microhei", "wqy-zenhei", "NotoSansCJK-Regular", "NotoSansSC", "SourceHanSans")
# The Chinese font may have no bold face, which is not worth a warning.
logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)


@cache
def cjk_font() -> str | None:
    """The name of an installed font with Chinese characters; None if there is none. Searches the system, since
    matplotlib's own list may be out of date."""
    for path in font_manager.findSystemFonts():
        if any(known in Path(path).name for known in _CJK_FONTS):
            font_manager.fontManager.addfont(path)
            return font_manager.FontProperties(fname=path).get_name()
    return None


def lettering(font: str | None) -> AbstractContextManager:
    """A context in which text is drawn in the common font, and Chinese in ``font``."""
    return matplotlib.rc_context({"font.family": ["DejaVu Sans", *([font] if font else [])], "font.size": 9.5})


def draw_seconds(axes: Axes, end_ms: float, start_ms: float = 0.0) -> None:
    """Draw the time axis, from ``start_ms`` to ``end_ms``, at the bottom of ``axes``: in seconds, with faint lines."""
    axes.set(xlim=(start_ms, end_ms), facecolor="none")
    axes.spines[["left", "right", "top"]].set_visible(False)
    axes.spines["bottom"].set_color(RULE)
    length = end_ms - start_ms
    step = next(s for s in (100, 200, 500, 1000, 2000, 5000, 10000, 20000, 60000, 10**9) if length / s <= 26)
    ticks = np.arange(np.ceil(start_ms / step) * step, end_ms + 1, step)
    axes.set_xticks(ticks, [f"{tick / 1000:g} s" for tick in ticks], color=MUTED, size=9)
    axes.tick_params(length=0, pad=6)
    axes.grid(axis="x", color="#eef1f4", linewidth=1)
    axes.set_axisbelow(True)


def minus(text: str) -> str:
    """``text`` with real minus signs in place of hyphens."""
    return text.replace("-", "−")
