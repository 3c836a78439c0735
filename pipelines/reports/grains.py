"""Time grains: times rounded down to year, quarter, month, week, day or hour, and how that is written.

A week is an ISO week and named by its Monday. Times with a zone are cut in UTC. Buckets from a day up are
dates.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.reports.vector import DATE, Array, Kind, Vector

Grain = Literal["year", "quarter", "month", "week", "day", "hour"]
GRAINS: tuple[str, ...] = get_args(Grain)

_HOUR = 3_600_000_000
_DAY = 24 * _HOUR
_MONTHS = {"month": 1, "quarter": 3, "year": 12}
_MONDAY = 3  # days from a Monday to 1970-01-01


def kind_of(grain: str, kind: Kind) -> Kind:
    """The kind of the buckets of a time column."""
    return kind if grain == "hour" else DATE


def floor(vector: Vector, grain: str) -> Vector:
    """Every time rounded down to its bucket."""
    if grain == "hour":
        return Vector(vector.kind, vector.data // _HOUR * _HOUR, vector.valid)
    data = vector.data
    if len(data) and np.all(data[1:] >= data[:-1]) and vector.valid is None:
        return Vector(DATE, _floor_sorted(data, vector.kind, grain))
    days = data if vector.kind.word == "date" else data // _DAY
    return Vector(DATE, _floor_days(days, grain), vector.valid)


def single(grain: str, kind: Kind, low: Any, high: Any) -> int | None:
    """The one bucket that all times from `low` to `high` fall in, or None when they span several."""
    if low is None or high is None:
        return None
    ends = Vector(kind, np.array([ticks(low, kind), ticks(high, kind)], np.int64))
    first, last = floor(ends, grain).data.tolist()
    return int(first) if first == last else None


def ticks(value: date | datetime, kind: Kind) -> int:
    """A time as its vector holds it: microseconds since 1970, days for a date. Naive times count as UTC."""
    if kind.word == "date":
        return (value if not isinstance(value, datetime) else value.date()).toordinal() - _EPOCH.toordinal()
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)  # noqa: DTZ001 (naive on purpose)
    delta = value.replace(tzinfo=None) - (value.utcoffset() or _NONE) - _EPOCH
    return delta.days * _DAY + delta.seconds * 1_000_000 + delta.microseconds


def labels(column: pa.ChunkedArray | pa.Array, grain: str) -> pa.Array | pa.ChunkedArray:
    """Buckets as text: 2023, 2023-Q1, 2023-01, 2023-01-31; a week by its Monday."""
    text = column.cast(pa.string())
    if grain == "year":
        return pc.utf8_slice_codeunits(text, 0, -6)
    if grain == "month":
        return pc.utf8_slice_codeunits(text, 0, -3)
    if grain == "quarter":
        quarter = pc.cast(pc.quarter(column), pa.string())
        return pc.binary_join_element_wise(pc.utf8_slice_codeunits(text, 0, -6), quarter, "-Q")
    return text


def numbered(buckets: pa.ChunkedArray | pa.Array, grain: str) -> Array:
    """Buckets as whole numbers, each one more than the bucket before; none may be null."""
    array = buckets.combine_chunks() if isinstance(buckets, pa.ChunkedArray) else buckets
    if grain == "hour":
        return np.asarray(array.cast(pa.int64()).to_numpy() // _HOUR)
    days = array.cast(pa.int32()).to_numpy().astype(np.int64)
    if grain in _MONTHS:
        return np.asarray(days.astype("M8[D]").astype("M8[M]").astype(np.int64) // _MONTHS[grain])
    return np.asarray((days + _MONDAY) // 7 if grain == "week" else days)


def of_numbers(numbers: Array, grain: str, type_: pa.DataType) -> pa.Array:
    """The buckets that have these numbers."""
    if grain == "hour":
        return pa.array(numbers * _HOUR, pa.int64()).cast(type_)
    if grain in _MONTHS:
        days = (numbers * _MONTHS[grain]).astype("M8[M]").astype("M8[D]").astype(np.int64)
    else:
        days = numbers * 7 - _MONDAY if grain == "week" else numbers
    return pa.array(days.astype(np.int32)).cast(pa.date32())


def begins(value: datetime, kind: Kind, grain: str) -> bool:
    """Whether a bucket of a time column of this kind begins at a moment."""
    tick = ticks(value, kind)
    whole = value if kind.word != "date" else value.replace(hour=0, minute=0, second=0, microsecond=0)
    first = int(floor(Vector(kind, np.array([tick], np.int64)), grain).data[0])
    unit = 1 if grain == "hour" or kind.word == "date" else _DAY
    return value == whole and first * unit == tick


def bucket(moment: datetime, grain: str, type_: pa.DataType) -> pa.Array:
    """The one bucket that begins at a moment, as a column of times of this type has it."""
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    if grain == "hour":
        return pa.array([moment], pa.timestamp("us")).cast(type_)
    return pa.array([moment.date()], pa.date32())


def moved(buckets: pa.ChunkedArray | pa.Array, grain: str, steps: int) -> pa.Array:
    """Buckets so many steps later, or earlier where steps are negative; none may be null."""
    return of_numbers(numbered(buckets, grain) + steps, grain, buckets.type)


_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 (naive on purpose: only differences are taken)
_NONE = _EPOCH - _EPOCH


def _floor_days(days: Array, grain: str) -> Array:
    if grain == "day":
        return days
    if grain == "week":
        return (days + _MONDAY) // 7 * 7 - _MONDAY
    if len(days) == 0:
        return days
    low, high = int(days.min()), int(days.max())
    if high - low < len(days):  # one look-up table of days is cheaper than a calendar for each row
        table = _calendar(np.arange(low, high + 1), grain)
        return np.take(table, days - low)
    return _calendar(days, grain)


def _calendar(days: Array, grain: str) -> Array:
    dates = days.astype("M8[D]")
    if grain == "quarter":
        months = dates.astype("M8[M]").astype(np.int64) // 3 * 3
        starts = months.astype("M8[M]")
    else:
        starts = dates.astype("M8[Y]" if grain == "year" else "M8[M]")
    result: Array = starts.astype("M8[D]").astype(np.int64)
    return result


def _floor_sorted(data: Array, kind: Kind, grain: str) -> Array:
    """Times in order, as the layout keeps them: find where buckets begin instead of cutting every row."""
    unit = 1 if kind.word == "date" else _DAY
    low, high = int(data[0]) // unit, int(data[-1]) // unit
    if high - low > len(data):
        return _floor_days(data // unit, grain)
    starts = np.unique(_floor_days(np.arange(low, high + 1), grain))
    if len(starts) == 1:
        return np.full(len(data), starts[0])
    bounds = np.searchsorted(data, starts[1:] * unit)
    return np.repeat(starts, np.diff(bounds, prepend=0, append=len(data)))
