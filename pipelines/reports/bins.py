"""Bins: which bin each number lies in, exactly; and the width of those nobody gave edges for.

A bin has its lower end and not its upper one. A width is a power of ten, so small that what a reader gets is
made of many of them: `finish` of a report joins them once the values are known. Null, NaN and infinities are
in no bin.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor, inf, isfinite, log10

import numpy as np

from pipelines.datasets import Fragment
from pipelines.errors import BadInput
from pipelines.reports.expression import Binary, Name, Negative, Node, Number, columns, parse
from pipelines.reports.question import Bins, Question
from pipelines.reports.vector import INTEGER, Array, Kind, Vector, magnitude, narrow

FINEST = 50_000  # bins between the smallest and the largest value, at most
_INT64 = 1 << 63
Range = tuple[float, float]


def binned(bins: Bins, value: Vector) -> Vector:
    """The number of the bin of each value, as `Bins` says."""
    valid = value.valid
    if not value.kind.exact:
        finite = np.isfinite(value.data)
        if not finite.all():
            valid = finite if valid is None else finite & valid
            value = Vector(value.kind, np.where(finite, value.data, 0.0))
    found = _between(bins, value) if bins.width is None else _widths(Fraction(bins.width), value)
    found = found if valid is None else np.where(valid, found, 0)
    return Vector(INTEGER, found, None if valid is None or valid.all() else valid)


def _between(bins: Bins, value: Vector) -> Array:
    edges = [Fraction(edge) for edge in bins.edges]
    if value.kind.exact:
        unit = 10**value.kind.scale
        marks = narrow(np.array([ceil(edge * unit) for edge in edges], object))
        last = edges[-1] * unit
    else:
        marks, last = np.array([float(edge) for edge in edges]), Fraction(float(edges[-1]))
    found: Array = np.searchsorted(marks, value.data, side="right").astype(np.int64)
    if last.denominator == 1 or not value.kind.exact:
        found[value.data == marks[-1]] = len(edges) - 1  # the last bin has both its ends
    return found


def _widths(width: Fraction, value: Vector) -> Array:
    data, unit = value.data, width * 10**value.kind.scale
    if value.kind.exact:
        if data.dtype == object or magnitude(data) * unit.denominator >= _INT64:
            return narrow(data.astype(object) * unit.denominator // unit.numerator)
        return np.asarray(data * unit.denominator // unit.numerator)
    with np.errstate(all="ignore"):
        found = np.floor(data / float(width)).clip(-(2.0**52), 2.0**52)
    found = np.where(data >= ends(found + 1, width), found + 1, found)
    found = np.where(data < ends(found, width), found - 1, found)
    return found.astype(np.int64)


def ends(numbers: Array, width: Fraction) -> Array:
    """Where bins of a width begin: the float nearest to each number times the width, while it is small."""
    found: Array = numbers * width.numerator / width.denominator
    return found


def settled(question: Question, fragments: Iterable[Fragment]) -> Question:
    """The question with a width for bins that have none, from the statistics of what it will read."""
    if all(each.edges or each.width for each in question.bins.values()):
        return question
    some, found = list(fragments), {}
    kinds = {name: Kind.parse(text) for name, text in question.kinds.items()}
    for name, each in question.bins.items():
        node = parse(each.of)
        ranges = [_range(node, _within(fragment, question, kinds)) for fragment in some]
        low = min((low for low, _ in ranges), default=0.0)
        high = max((high for _, high in ranges), default=0.0)
        if not (isfinite(low) and isfinite(high)) and low <= high:
            raise BadInput(
                f"How small and how large {each.of!r} is cannot be told before it is read; give 'width' or "
                "'edges'."
            )
        whole = isinstance(node, Name) and kinds[node.column].word == "integer"
        found[name] = each if each.edges or each.width else replace(each, width=_width(high - low, whole))
    return replace(question, bins=found)


def _within(fragment: Fragment, question: Question, kinds: Mapping[str, Kind]) -> Fragment:
    """The fragment with what the conditions leave of its numbers."""
    low, high = dict(fragment.minimum), dict(fragment.maximum)
    for each in question.where:
        if each.column in low and each.column in high and kinds[each.column].numeric:
            given = each.value if isinstance(each.value, list) else [each.value]
            if each.op in ("=", ">", ">=", "between", "in"):
                low[each.column] = max(low[each.column], type(low[each.column])(min(given)))
            if each.op in ("=", "<", "<=", "between", "in"):
                high[each.column] = min(high[each.column], type(high[each.column])(max(given)))
    return replace(fragment, minimum=low, maximum=high)


def _width(span: float, whole: bool) -> str:
    power = ceil(log10(span / FINEST)) if span > 0 else 0
    power = max(power, 0) if whole else power
    return format(Decimal(1).scaleb(power), "f")


def bounded(of: str) -> bool:
    """Whether statistics can tell how large an expression is: not where it divides by a column."""
    return _bounded(parse(of))


def _bounded(node: Node) -> bool:
    match node:
        case Negative(operand):
            return _bounded(operand)
        case Binary(sign, left, right):
            return _bounded(left) and _bounded(right) and not (sign == "/" and any(columns(right)))
    return True


def _range(node: Node, fragment: Fragment) -> Range:
    """What an expression lies between; of no value at all from infinity to minus infinity."""
    match node:
        case Number(value):
            return float(value), float(value)
        case Name(column):
            if fragment.nulls.get(column) == fragment.rows:
                return inf, -inf
            low, high = fragment.minimum.get(column), fragment.maximum.get(column)
            return (-inf, inf) if low is None or high is None else (float(low), float(high))
        case Negative(operand):
            low, high = _range(operand, fragment)
            return -high, -low
        case Binary(sign, left, right):
            return _combined(sign, _range(left, fragment), _range(right, fragment))


def _combined(sign: str, left: Range, right: Range) -> Range:
    if left[0] > left[1] or right[0] > right[1]:
        return inf, -inf
    if sign == "/":
        if right[0] <= 0 <= right[1]:
            return -inf, inf
        sign, right = "*", (1 / right[1], 1 / right[0])
    if sign == "-":
        sign, right = "+", (-right[1], -right[0])
    if sign == "+":
        return left[0] + right[0], left[1] + right[1]
    corners = [a * b for a in left for b in right]
    return (-inf, inf) if any(each != each for each in corners) else (min(corners), max(corners))


def coarser(low: int, high: int, bins: int) -> int:
    """The smallest of 1, 2, 5, 10, 20... widths to a bin with which so many bins hold numbers low to high."""
    for step in (digit * 10**power for power in range(20) for digit in (1, 2, 5)):
        if floor(high / step) - floor(low / step) < bins:
            return int(step)
    return 10**20
