"""A slow, plain answer to a question, in Python's own numbers: what the kernel is held against."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from pipelines.reports.question import Measure, Question

Row = dict[str, Any]


def answer(question: Question, rows: Sequence[Row], value: Callable[[Row, str], Any]) -> list[Row]:
    """Rows of the report; `value(row, of)` computes an expression."""
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        key = tuple(_same(bucket(row[key.column], key.grain)) for key in question.keys)
        groups.setdefault(key, []).append(row)
    if not question.keys:
        groups.setdefault((), [])
    ordered = sorted(groups, key=lambda key: [_rank(each) for each in key])
    return [
        {
            **{each.name: _value(part) for each, part in zip(question.keys, key, strict=True)},
            **{m.name: measure(m, groups[key], question.time, value) for m in question.measures},
        }
        for key in ordered
    ]


def bucket(value: Any, grain: str | None) -> Any:
    if value is None or grain is None:
        return value
    if grain == "hour":
        return value.replace(minute=0, second=0, microsecond=0)
    day = value.date() if isinstance(value, datetime) else value
    return {
        "year": lambda: date(day.year, 1, 1),
        "quarter": lambda: date(day.year, (day.month - 1) // 3 * 3 + 1, 1),
        "month": lambda: day.replace(day=1),
        "week": lambda: day - timedelta(days=day.weekday()),
        "day": lambda: day,
    }[grain]()


def measure(m: Measure, rows: Sequence[Row], time: str | None, value: Callable[[Row, str], Any]) -> Any:
    if m.of is None:
        return len(rows)
    pairs = [(value(row, m.of), row.get(time) if time else None) for row in rows]
    pairs = [(found, when) for found, when in pairs if found is not None]
    values = [found for found, _ in pairs]
    if m.op == "count":
        return len(values)
    if m.op == "distinct":
        return len({_same(each) for each in values})
    if not values:
        return None
    if m.op in ("min", "max"):
        return (max if m.op == "max" else min)(values, key=_rank)
    if m.op in ("first", "last"):
        return _edge(pairs, last=m.op == "last")
    return _number(m, values)


def _number(m: Measure, values: list[Any]) -> Any:
    if any(isinstance(each, float) and math.isnan(each) for each in values):
        return (
            _quantile(m, values)
            if m.op == "quantile"
            else None
            if len(values) < 2 and m.op == "stddev"
            else math.nan
        )
    exact = [Fraction(each) for each in values]
    total = sum(exact, Fraction())
    if m.op == "sum":
        return float(total) if isinstance(values[0], float) else total
    if m.op == "mean":
        return float(total / len(exact))
    if m.op == "stddev":
        if len(exact) < 2:
            return None
        center = total / len(exact)
        return math.sqrt(sum((each - center) ** 2 for each in exact) / (len(exact) - 1))
    return _quantile(m, values)


def _quantile(m: Measure, values: list[Any]) -> float:
    ordered = sorted(values, key=_rank)
    rank = (m.q or 0.0) * (len(ordered) - 1)
    low, high = (float(ordered[at]) for at in (math.floor(rank), math.ceil(rank)))
    return low if low == high else low + (high - low) * (rank - math.floor(rank))


def _edge(pairs: list[tuple[Any, Any]], *, last: bool) -> Any:
    timed = [pair for pair in pairs if pair[1] is not None] or pairs
    times = [when for _, when in timed if when is not None]
    if not times:
        return timed[-1 if last else 0][0]
    best = max(times) if last else min(times)
    hits = [found for found, when in timed if when == best]
    return hits[-1 if last else 0]


def _same(value: Any) -> Any:
    """One NaN, one zero."""
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else value + 0.0
    return value


def _value(part: Any) -> Any:
    return math.nan if part == "NaN" else part


def _rank(value: Any) -> tuple[int, Any]:
    if value is None:
        return (2, 0)
    if value == "NaN" or (isinstance(value, float) and math.isnan(value)):
        return (1, 0)
    return (0, value)


def close(got: Any, expected: Any, size: float = 1.0) -> bool:
    """Equal; floats up to rounding relative to `size`, the largest number that went in."""
    if got is None or expected is None:
        return got is expected
    if isinstance(expected, Fraction):
        return isinstance(got, int | Decimal) and Fraction(got) == expected
    if isinstance(expected, float):
        if math.isnan(expected):
            return isinstance(got, float) and math.isnan(got)
        return math.isclose(float(got), expected, rel_tol=1e-9, abs_tol=1e-9 * size)
    return bool(got == expected)


def aware(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC)
