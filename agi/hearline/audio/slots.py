"""Arrays with one row per call, so that a few numpy operations process thousands of calls."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np


@dataclass(frozen=True)
class Column:
    """One value (or an array of `shape`) per slot; `fresh` is its value for a new call.

    With `ticks`, the column keeps that many ticks, [ticks, slots, *shape], so that one tick of all slots is contiguous
    in memory.
    """

    dtype: type
    fresh: float | np.ndarray = 0
    shape: tuple[int, ...] = ()
    ticks: int | None = None


class SlotTable:
    """Columns as attributes, e.g. `SlotTable(8, tick=Column(np.int32)).tick`, cleared and grown together."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> np.ndarray: ...

    def __init__(self, capacity: int, **columns: Column) -> None:
        self.capacity = 0
        self._columns = columns
        for name, column in columns.items():
            setattr(self, name, np.zeros(_dimensions(column, 0), column.dtype))
        self.grow(capacity)

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` slots; the present ones keep their values."""
        if capacity < self.capacity:
            raise ValueError(f"cannot shrink from {self.capacity} to {capacity} slots")
        for name, column in self._columns.items():
            more: np.ndarray = np.empty(_dimensions(column, capacity - self.capacity), column.dtype)
            more[...] = column.fresh
            setattr(self, name, np.concatenate([getattr(self, name), more], axis=0 if column.ticks is None else 1))
        self.capacity = capacity

    def clear(self, slots: int | np.ndarray) -> None:
        """Reset these slots to the values of a new call."""
        for name, column in self._columns.items():
            getattr(self, name)[slots if column.ticks is None else (slice(None), slots)] = column.fresh


def _dimensions(column: Column, slots: int) -> tuple[int, ...]:
    return (slots, *column.shape) if column.ticks is None else (column.ticks, slots, *column.shape)
