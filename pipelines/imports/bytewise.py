"""What a column of text looks like, by its bytes: the quick answer for clean columns, without a regex.

Each look takes some passes of whole arrays over the column's own buffer; None means: look closer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_ZERO, _NINE, _MINUS, _POINT = 48, 57, 45, 46
_KIND = np.full(256, 3, np.uint8)  # of a byte: digit 0, minus 1, point 2, anything else 3
_KIND[_ZERO : _NINE + 1] = 0
_KIND[_MINUS], _KIND[_POINT] = 1, 2

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Digits:
    """A column of plain numbers: digits before the point and behind it, at most; which kinds there are."""

    whole: int  # of numbers without a point
    before: int  # of numbers with one, leading zero left out
    behind: int
    least: int  # digits behind the point, at least
    significant: int


def letters(text: pa.Array) -> tuple[Bytes, Numbers]:
    """The bytes of all values one after the other, and where each begins (and the last ends)."""
    if not len(text):
        return np.empty(0, np.uint8), np.zeros(1, np.int32)
    _, offsets, data = text.buffers()
    where = np.frombuffer(offsets, np.int32, len(text) + 1, text.offset * 4)
    if data is None:
        return np.empty(0, np.uint8), where - where[0]
    return np.frombuffer(data, np.uint8)[where[0] : where[-1]], where - where[0]


def only_digits(text: pa.Array, *, point: bool) -> bool:
    """Is there nothing but digits and minus signs (and points)?"""
    found, _ = letters(text)
    return bool(_KIND[found].max(initial=0) <= (2 if point else 1))


def plain_numbers(text: pa.Array) -> Digits | None:
    """What the numbers of a column measure, when each is written in the one plain way: 0, -12, 0.5, 12.50."""
    found, where = letters(text)
    kinds = _KIND[found]
    if not len(found) or kinds.max() > 2:
        return None
    lengths = np.diff(where)
    filled = lengths > 0
    starts, ends = where[:-1][filled], where[1:][filled]
    minus = np.flatnonzero(kinds == 1)
    negative = kinds[starts] == 1
    if len(minus) != int(negative.sum()):
        return None
    first = starts + negative
    points = np.flatnonzero(kinds == 2).astype(np.int32)
    owner = np.searchsorted(ends, points, side="right")
    if (first >= ends).any() or (len(owner) > 1 and (np.diff(owner) == 0).any()):
        return None
    stops = ends.copy()
    stops[owner] = points
    before = stops - first
    zero = found[first] == _ZERO
    if (before == 0).any() or (zero & (before > 1)).any() or (zero & negative & (stops == ends)).any():
        return None
    behind = ends[owner] - points - 1
    if (behind == 0).any():
        return None
    integers = np.ones(len(starts), np.bool_)
    integers[owner] = False
    own = np.where(zero[owner], 0, before[owner])
    return Digits(
        int(before[integers].max(initial=0)),
        int(own.max(initial=0)),
        int(behind.max(initial=0)),
        int(behind.min(initial=1 << 20)) if len(behind) else 0,
        int((own + behind).max(initial=0)),
    )


def iso_shape(text: pa.Array) -> str | None:
    """ "date" or "timestamp" when every value is 2023-01-31 or 2023-01-31 08:26:00 as far as bytes tell."""
    found, where = letters(text)
    lengths = np.diff(where)
    if not len(lengths) or lengths[0] not in (10, 19) or (lengths != lengths[0]).any():
        return None
    grid = found.reshape(len(lengths), int(lengths[0]))
    marks = {4: b"-", 7: b"-", 10: b" T", 13: b":", 16: b":"}
    for place in range(grid.shape[1]):
        column = grid[:, place]
        if place in marks:
            if not np.isin(column, np.frombuffer(marks[place], np.uint8)).all():
                return None
        elif _KIND[column].max() != 0:
            return None
    return "date" if grid.shape[1] == 10 else "timestamp"
