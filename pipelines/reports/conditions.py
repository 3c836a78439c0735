"""Conditions: is a value fit for its column, which rows satisfy it, and what statistics alone can tell.

A null satisfies nothing but `is-null`. NaN is a value: it equals nothing and is neither less nor more than
any number, so it satisfies `!=` and `not-in` only, as in numpy and pandas. Times without a zone mean UTC
where the column has one. `between` includes both ends.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import lru_cache, reduce
from math import ceil, floor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.reports import grains
from pipelines.reports.question import Condition
from pipelines.reports.vector import Array, Kind, Vector

MAX_VALUES = 10_000  # of one `in`
_LISTS = ("in", "not-in", "between")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_TIME = re.compile(_DATE.pattern + r"([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})?)?")


class Share(Enum):
    """How many rows of a row group satisfy a condition, as far as its statistics tell."""

    NONE = "none"
    SOME = "some"
    ALL = "all"


def problem(condition: Condition, kind: Kind) -> str | None:
    """Why a condition cannot be asked of a column of this kind; None when it can."""
    op, value, column = condition.op, condition.value, condition.column
    if op in ("is-null", "not-null"):
        return None if value is None else f"{op!r} takes no value, and {value!r} was given; leave it out"
    if op == "contains":
        if kind.word != "text":
            return f"'contains' is for text, and column {column!r} is {kind.word}; use another op"
        return None if isinstance(value, str) else f"{value!r} is no text; 'contains' takes a text"
    if kind.word == "boolean" and op not in ("=", "!=", "in", "not-in"):
        return f"{op!r} does not fit column {column!r}, which is boolean; use = or !="
    if op not in _LISTS:
        return _misfit(value, kind, column)
    if not isinstance(value, list) or not value:
        return f"{value!r} is no list; {op!r} takes a list of values"
    if op == "between" and len(value) != 2:
        return f"'between' takes two values, the lowest and the highest, and {len(value)} were given"
    if len(value) > MAX_VALUES:
        return f"{len(value)} values were given; {op!r} takes at most {MAX_VALUES}"
    return next((found for each in value if (found := _misfit(each, kind, column))), None)


def decide(condition: Condition, kind: Kind, low: Any, high: Any, nulls: int | None, rows: int) -> Share:
    """What statistics tell: `low` and `high` bound all values that are not null, None when not known."""
    op = condition.op
    if op in ("is-null", "not-null"):
        hit = {0: Share.NONE, rows: Share.ALL}.get(nulls if nulls is not None else -1, Share.SOME)
        if op == "is-null" or hit is Share.SOME:
            return hit
        return Share.NONE if hit is Share.ALL and rows else Share.ALL
    if nulls == rows:
        return Share.NONE
    if op == "contains" or low is None or high is None or kind.word == "boolean":
        return Share.SOME
    bounds = (_point(low, kind), _point(high, kind))
    if any(bound != bound for bound in bounds):
        return Share.SOME
    share = _decide(op, _points(condition, kind), *bounds, exact=kind.word not in ("float", "text"))
    may_be_nan = kind.word == "float" and op not in ("!=", "not-in")
    if share is Share.ALL and (nulls != 0 or may_be_nan):
        return Share.SOME
    return share


def mask(condition: Condition, vector: Vector) -> Array:
    """Which rows satisfy a condition."""
    op = condition.op
    valid = np.ones(len(vector), bool) if vector.valid is None else vector.valid
    if op == "is-null":
        return ~valid
    if op == "not-null":
        return valid
    if vector.kind.word == "text":
        return _text_mask(condition, vector) & valid
    points = _points(condition, vector.kind)
    test = _exact if vector.data.dtype != np.float64 else _compare
    with np.errstate(all="ignore"):
        found = _combine(op, points, lambda sign, point: test(sign, vector.data, point))
    return found & valid


def _combine(op: str, points: list[Any], test: Callable[[str, Any], Array]) -> Array:
    if op == "between":
        return test(">=", points[0]) & test("<=", points[1])
    if op in ("in", "not-in"):
        found = reduce(np.logical_or, (test("=", point) for point in points))
        return ~found if op == "not-in" else found
    return test(op, points[0])


def _exact(sign: str, data: Array, point: Fraction | int) -> Array:
    """Whole numbers against a number that may lie between two of them or beyond int64."""
    whole = floor(point)
    if whole != point and sign in ("=", "!="):
        return np.full(len(data), sign == "!=")
    edge = ceil(point) if sign in ("<", ">=") else whole
    if data.dtype != object and not -(1 << 63) <= edge < 1 << 63:
        below = edge > 0  # every value is below the edge
        return np.full(len(data), sign == "!=" or (sign != "=" and (sign in ("<", "<=")) == below))
    return _compare(sign, data, edge)


def _compare(sign: str, data: Array, point: Any) -> Array:
    operations = {
        "=": np.equal,
        "!=": np.not_equal,
        "<": np.less,
        "<=": np.less_equal,
        ">": np.greater,
        ">=": np.greater_equal,
    }
    return np.asarray(operations[sign](data, point), bool)


def _text_mask(condition: Condition, vector: Vector) -> Array:
    """Tested once for each word, then looked up for each row."""
    words = vector.words if vector.words is not None and len(vector.words) else pa.array([""])
    if condition.op == "contains":
        hit = pc.match_substring(words, condition.value)
    elif condition.op in ("in", "not-in"):
        hit = pc.is_in(words, value_set=pa.array(condition.value, pa.string()))
        hit = pc.invert(hit) if condition.op == "not-in" else hit
    else:
        table = {"=": pc.equal, "!=": pc.not_equal, "<": pc.less, "<=": pc.less_equal}
        table |= {">": pc.greater, ">=": pc.greater_equal}
        points = condition.value if condition.op == "between" else [condition.value]
        found = _combine(
            condition.op,
            points,
            lambda sign, point: table[sign](words, pa.scalar(point)).to_numpy(zero_copy_only=False),
        )
        return np.take(found, vector.data)
    return np.take(hit.to_numpy(zero_copy_only=False), vector.data)


def _decide(op: str, points: list[Any], low: Any, high: Any, *, exact: bool) -> Share:
    if op == "between":
        if high < points[0] or low > points[1]:
            return Share.NONE
        return Share.ALL if low >= points[0] and high <= points[1] else Share.SOME
    if op in ("in", "not-in", "=", "!="):
        inside = [point for point in points if low <= point <= high]
        share = Share.NONE if not inside else Share.ALL if exact and low == high else Share.SOME
        return _negated(share) if op in ("not-in", "!=") else share
    never, always = {
        "<": (low >= points[0], high < points[0]),
        "<=": (low > points[0], high <= points[0]),
        ">": (high <= points[0], low > points[0]),
        ">=": (high < points[0], low >= points[0]),
    }[op]
    return Share.NONE if never else Share.ALL if always else Share.SOME


def _negated(share: Share) -> Share:
    return {Share.NONE: Share.ALL, Share.ALL: Share.NONE, Share.SOME: Share.SOME}[share]


def _points(condition: Condition, kind: Kind) -> list[Any]:
    values = condition.value if condition.op in _LISTS else [condition.value]
    return [_point(value, kind) for value in values]


@lru_cache(maxsize=4096)
def _point(value: Any, kind: Kind) -> Any:
    """A value of the request, or a bound of the statistics, as the vectors of its column hold it."""
    if kind.exact:
        return Fraction(Decimal(str(value))) * 10**kind.scale
    if kind.timed:
        return grains.ticks(_time(value) if isinstance(value, str) else value, kind)
    return float(value) if kind.word == "float" else int(value) if kind.word == "boolean" else value


def _time(value: str) -> datetime:
    return datetime.fromisoformat(value)


def _misfit(value: Any, kind: Kind, column: str) -> str | None:
    number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    if kind.numeric:
        if not number or value != value or abs(value) == float("inf"):
            return f"{value!r} is no number, and column {column!r} is {kind.word}; give a number such as 12.5"
        if abs(value) > (10**40 if kind.exact else 10**308):
            return f"{value!r} is beyond every number column {column!r} can hold; give a smaller one"
        return None
    if kind.word == "text":
        return None if isinstance(value, str) else f"{value!r} is no text, and column {column!r} is text"
    if kind.word == "boolean":
        if isinstance(value, bool):
            return None
        return f"{value!r} is neither true nor false, and column {column!r} is boolean"
    return _time_misfit(value, kind, column)


def _time_misfit(value: Any, kind: Kind, column: str) -> str | None:
    pattern = _DATE if kind.word == "date" else _TIME
    example = "'2023-01-31'" if kind.word == "date" else "'2023-01-31' or '2023-01-31T18:30:00'"
    wrong = f"{value!r} is no {kind.word}, which column {column!r} is; write {example}"
    if not isinstance(value, str) or not pattern.fullmatch(value):
        return wrong
    try:
        found = _time(value)
    except ValueError:
        return wrong
    if found.tzinfo is not None and kind.word == "timestamp":
        return f"{value!r} names a time zone, and the times of column {column!r} have none; leave it out"
    return None
