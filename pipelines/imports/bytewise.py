"""What a column of text looks like, by its bytes: the quick answer for clean columns, without a regex.

Each look takes some passes of whole arrays over the column's own buffer; None means: look closer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_ZERO, _NINE, _MINUS, _POINT, _SLASH = 48, 57, 45, 46, 47

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
    return _numeric(found) and (point or not (found == _POINT).any())


def _numeric(found: Bytes) -> bool:
    """Digits, minus signs and points are neighbours in ASCII, but for the slash among them."""
    if found.max(initial=_ZERO) > _NINE or found.min(initial=_ZERO) < _MINUS:
        return False
    return not (found == _SLASH).any()


def plain_numbers(text: pa.Array) -> Digits | None:
    """What the numbers of a column measure, when each is written in the one plain way: 0, -12, 0.5, 12.50."""
    found, where = letters(text)
    if not len(found) or not _numeric(found):
        return None
    lengths = np.diff(where)
    filled = lengths > 0
    starts, ends = where[:-1][filled], where[1:][filled]
    negative = found[starts] == _MINUS
    if np.count_nonzero(found == _MINUS) != np.count_nonzero(negative):
        return None
    first = starts + negative
    points = np.flatnonzero(found == _POINT).astype(np.int32)
    if len(points) == len(ends) and (starts <= points).all() and (points < ends).all():
        owner = np.arange(len(ends))  # a point in each
    else:
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
    width = int(lengths[0])
    low, high = _bounds(found, width)
    marks = {4: b"-", 7: b"-", 10: b" T", 13: b":", 16: b":"}
    for place in range(width):
        if place not in marks:
            if low[place] < _ZERO or high[place] > _NINE:
                return None
        elif low[place] == high[place] and low[place] in marks[place]:
            continue
        elif not np.isin(found[place::width], np.frombuffer(marks[place], np.uint8)).all():
            return None
    return "date" if width == 10 else "timestamp"


def _bounds(found: Bytes, width: int) -> tuple[Bytes, Bytes]:
    """The least and the largest byte of each place in values of one width; 64 values at once are quick."""
    many = width * 64
    cut = len(found) // many * many
    whole, rest = found[:cut].reshape(-1, many), found[cut:].reshape(-1, width)
    low, high = np.full(width, 255, np.uint8), np.zeros(width, np.uint8)
    for grid in (whole, rest):
        if len(grid):
            low = np.minimum(low, grid.min(axis=0).reshape(-1, width).min(axis=0))
            high = np.maximum(high, grid.max(axis=0).reshape(-1, width).max(axis=0))
    return low, high
