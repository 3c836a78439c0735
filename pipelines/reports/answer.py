"""The answer: one partial of all rows becomes the table the user sees.

Without `by` there is exactly one row, also over no rows at all. Groups come in the order of their keys, nulls
last, unless `orderBy` says otherwise; ties keep the order of the keys. NaN is the greatest number.

`sum`, `mean`, `min`, `max`, `stddev`, `quantile`, `first` and `last` are null where no value is; `stddev`
is that of a sample, null for fewer than two values; `quantile` interpolates between the two values around
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.reports import sorting, tallies
from pipelines.reports.kernel import Partial
from pipelines.reports.program import TALLYINGS, Program, states_of
from pipelines.reports.question import Measure, Order, Question
from pipelines.reports.tallies import Tally
from pipelines.reports.vector import (
    FLOAT,
    INTEGER,
    Array,
    Kind,
    Vector,
    canonical,
    from_arrow,
    magnitude,
    shown,
)

_EXACT = 1 << 53  # whole numbers up to here are floats without rounding


@dataclass(frozen=True, slots=True)
class Answer:
    """The report, or a bucket of it. `off` is the error of each tally it was finished from, see `Partial`;
    `groups` is how many there are without a limit."""

    table: pa.Table
    read: int
    reused: int
    off: tuple[float, ...]
    groups: int


def answer(program: Program, partial: Partial) -> Answer:
    """The report, in the order and with the names the question asks for."""
    off = partial.off or tuple(
        each.tallying.off(tally) for each, tally in zip(program.tallies, partial.tallies, strict=True)
    )
    groups = int(partial.groups.num_rows)
    return Answer(_table(program, partial), partial.read, partial.reused, off, groups)


def inexact(program: Program, found: Answer) -> list[str]:
    """Where an answer is not exact, in sentences for its reader."""
    said = []
    for measure in program.question.measures:
        off = found.off[program.tally(measure)] if measure.op in TALLYINGS else 0.0
        if off and measure.op == "distinct":
            said.append(f"{measure.name} is an estimate where it is large: its standard error is {off:.2%}.")
        elif off:
            said.append(f"{measure.name} is off by up to {off:.2%} of itself where values are many.")
    return said


def cost(answers: Sequence[Answer]) -> str:
    """How many rows were read for a report."""
    read, reused = sum(each.read for each in answers), sum(each.reused for each in answers)
    known = f"; {reused:,} more were known from earlier reports" if reused else ""
    return f"Read {read:,} rows{known}."


def _table(program: Program, partial: Partial) -> pa.Table:
    question = program.question
    groups = partial.groups.num_rows
    columns = {
        key.name: from_arrow(partial.groups[f"k{index}"], kind)
        for index, (key, kind) in enumerate(zip(question.keys, program.key_kinds, strict=True))
    }
    for measure in question.measures:
        columns[measure.name] = _measure(program, partial, measure, groups)
    if not question.keys and groups == 0:
        return pa.table({measure.name: _nothing(program, measure) for measure in question.measures})
    rows = _order(columns, question)
    return pa.table({name: shown(vector.take(rows)) for name, vector in columns.items()})


def _measure(program: Program, partial: Partial, measure: Measure, groups: int) -> Vector:
    if measure.of is None:
        return from_arrow(partial.groups["rows"], INTEGER)
    node = program.nodes[measure.of]
    kind = program.kind(node)
    if measure.op in ("distinct", "quantile"):
        index = program.tally(measure)
        tally = partial.tallies[index]
        if measure.op == "quantile":
            return _quantile(tally, measure.q or 0.0)
        if f"d{index}" in partial.groups.column_names:
            return from_arrow(partial.groups[f"d{index}"], INTEGER)
        return Vector(INTEGER, tallies.estimates(tally))
    kept: list[Vector] = []
    for state in states_of(measure, kind):
        at = program.state(node, state)
        kept += [from_arrow(partial.groups[f"s{at}_{place}"], each) for place, each in enumerate(state.kinds)]
    return _finish(measure.op, kept)


def _finish(op: str, kept: Sequence[Vector]) -> Vector:
    match op:
        case "sum":
            return Vector(kept[1].kind, kept[1].data, _some(kept[0].data > 0))
        case "mean":
            return Vector(FLOAT, _mean(kept[0].data, kept[1]), _some(kept[0].data > 0))
        case "stddev":
            count = kept[0].data
            with np.errstate(all="ignore"):
                spread = np.sqrt(kept[2].data / np.maximum(count - 1, 1))
            return Vector(FLOAT, spread, _some(count > 1))
    return kept[0]


def _mean(count: Array, total: Vector) -> Array:
    """An exact sum is divided once, so its mean is the nearest float there is."""
    power, count = 10**total.kind.scale, np.maximum(count, 1)
    if total.kind == FLOAT:
        with np.errstate(all="ignore"):
            return np.asarray(total.data / count)
    if magnitude(total.data) <= _EXACT and magnitude(count) * power <= _EXACT:
        return np.asarray(total.data / (count * power))
    pairs = zip(total.data.tolist(), count.tolist(), strict=True)
    return np.array([int(value) / (int(rows) * power) for value, rows in pairs], np.float64)


def _quantile(tally: Tally, q: float) -> Vector:
    """Linear interpolation at rank q * (n - 1), as numpy and pandas do."""
    groups, codes = len(tally.sizes), tally.codes
    data, counts = tallies.middles(tally.values, tally.loss[codes]), tally.counts
    if len(data) == 0 or counts is None:
        return Vector(FLOAT, np.zeros(groups), np.zeros(groups, bool))
    ends = np.cumsum(counts)
    first = np.cumsum(tally.sizes) - tally.sizes
    start = np.where(first > 0, ends[first - 1], 0)
    total = np.diff(start, append=ends[-1])
    rank = q * np.maximum(total - 1, 0)
    lower = np.floor(rank).astype(np.int64)
    places = [np.searchsorted(ends, start + at, side="right") for at in (lower, lower + (rank > lower))]
    low, high = (data[np.minimum(place, len(data) - 1)] for place in places)
    share = rank - lower
    with np.errstate(all="ignore"):
        between = np.where(
            np.isfinite(high - low), low + (high - low) * share, low * (1 - share) + high * share
        )
    found = np.where((low == high) | (share == 0), low, between)
    return Vector(FLOAT, np.where(total > 0, found, 0.0), _some(total > 0))


def join(program: Program, answers: Sequence[Answer]) -> Answer:
    """One answer of those of all buckets, each in order and the buckets in the order of their keys."""
    question = program.question
    tables = [each.table for each in answers if each.table.num_rows] or [answers[0].table]
    whole = pa.concat_tables(_alike(tables))
    if question.order_by:
        columns = {name: from_arrow(whole[name], kind_of(whole[name].type)) for name in whole.column_names}
        whole = whole.take(pa.array(_order(columns, question)))
    off = tuple(max(each) for each in zip(*(each.off for each in answers), strict=True))
    read, reused = sum(each.read for each in answers), sum(each.reused for each in answers)
    groups = sum(each.groups for each in answers)
    return Answer(whole.slice(0, question.limit), read, reused, off, groups)


def _alike(tables: Sequence[pa.Table]) -> list[pa.Table]:
    """Integers of all as wide as those of one that needs more than 64 bits."""
    fields = []
    for places in zip(*(table.schema for table in tables), strict=True):
        wide = next((each for each in places if pa.types.is_decimal(each.type)), places[0])
        fields.append(wide)
    return [table.cast(pa.schema(fields)) for table in tables]


def kind_of(type_: pa.DataType) -> Kind:
    """The kind of a column of an answer."""
    if pa.types.is_decimal(type_):
        return Kind("decimal", type_.precision, type_.scale)
    return next(kind for kind in _KINDS if kind.logical == type_)


_KINDS = [Kind(word) for word in ("integer", "float", "text", "timestamp", "timestamptz", "date", "boolean")]


def _order(columns: dict[str, Vector], question: Question) -> Array:
    """Row numbers in the order asked for, as many as are asked for."""
    orders = [*question.order_by, *(Order(key.name) for key in question.keys)]
    rows = np.arange(len(next(iter(columns.values()))))
    if not orders or len(rows) < 2:
        return rows[: question.limit]
    if question.limit is not None and question.limit < len(rows):
        rows = _candidates(_ranks(columns[orders[0].column], orders[0].descending), question.limit)
    ranks = [_ranks(columns[order.column].take(rows), order.descending) for order in orders]
    return rows[np.lexsort(ranks[::-1])][: question.limit]


def _candidates(ranks: Array, limit: int) -> Array:
    """The rows that may be among the first, ties included, in their order."""
    return np.flatnonzero(ranks <= np.partition(ranks, limit - 1)[limit - 1])


def _ranks(vector: Vector, descending: bool) -> Array:
    """Numbers that sort like the values, nulls last either way."""
    data = vector.data
    if vector.words is not None:
        order = pc.sort_indices(vector.words).to_numpy()
        places = np.zeros(len(order) + 1, np.int64)
        places[order] = np.arange(len(order))
        ranks = places[data]
    elif data.dtype.kind == "f":
        ranks = sorting.sortable(canonical(data))
    else:
        ranks = data if data.dtype == np.int64 else sorting.ranks(data)[0]
    ranks = ~ranks if descending else ranks
    return ranks if vector.valid is None else np.where(vector.valid, ranks, np.iinfo(np.int64).max)


def _nothing(program: Program, measure: Measure) -> pa.Array:
    """What a measure of no rows at all is."""
    if measure.op in ("count", "distinct"):
        return pa.array([0], pa.int64())
    kind: Kind = FLOAT
    if measure.of is not None and measure.op in ("sum", "min", "max", "first", "last"):
        kind = program.kind(program.nodes[measure.of])
    if measure.op == "sum" and kind.word == "decimal":
        kind = Kind("decimal", scale=kind.scale)
    return pa.nulls(1, kind.logical)


def _some(valid: Array) -> Array | None:
    return None if valid.all() else valid
