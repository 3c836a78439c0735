"""Splitting a partial, so that no worker and no step of combining holds all of a large one.

    keys    every group goes to one bucket, by where its keys lie between the cuts: buckets are in key order
    values  few groups with many different values: each bucket has every group and some of the values

Both depend on nothing but keys, values and cuts, so equal ones of all parts meet in the same bucket.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.reports import tallies
from pipelines.reports.grouping import Grouping
from pipelines.reports.kernel import Partial, slim, table_of
from pipelines.reports.program import Program
from pipelines.reports.sorting import sortable
from pipelines.reports.tallies import Distinct
from pipelines.reports.vector import FLOAT, INTEGER, Array, Kind, Vector, canonical, from_arrow

Cut = list[Any]  # a value for each of the first keys, for all cuts as many: a whole number, a text or null
_SAMPLE = 5_000  # groups looked at for the cuts
_KEYS = 6  # what is compared at most: their places fit one number


def cuts(program: Program, partial: Partial, buckets: int) -> list[Cut]:
    """Keys that divide a sample of the rows evenly, smallest first; fewer than asked where keys are few."""
    if partial.groups.num_rows > _SAMPLE:
        partial = partial.take(np.arange(0, partial.groups.num_rows, partial.groups.num_rows // _SAMPLE))
    columns = [_plain(vector) for vector in _keys(program, partial)]
    order = np.lexsort([_order(column) for column in columns][::-1])
    weights = np.ones(len(order), np.int64)
    for tally in partial.tallies:
        weights += tally.sizes
    reached = np.cumsum(weights[order])
    marks = reached[-1] * np.arange(1, buckets) // buckets
    rows = dict.fromkeys(order[np.searchsorted(reached, marks, side="right")].tolist())
    return [[_json(column[row]) for column in columns] for row in rows]


def by_keys(program: Program, partial: Partial, at: Sequence[Cut]) -> list[Partial]:
    """One partial a bucket; a group equal to a cut is in the bucket above it."""
    partial = replace(partial, groups=slim(partial.groups))
    groups, keys = partial.groups.num_rows, _keys(program, partial)
    order, ends = np.arange(groups), _ends(keys, at)
    if ends is None:
        bucket = _buckets(keys, at)
        order = np.argsort(bucket, kind="stable")
        ends = np.searchsorted(bucket[order], np.arange(len(at) + 2))
    pieces = [partial.take(order[low:high]) for low, high in pairwise(ends)]
    pieces[0] = replace(pieces[0], read=partial.read, reused=partial.reused)
    return pieces


def _ends(keys: Sequence[Vector], at: Sequence[Cut]) -> Array | None:
    """Where each bucket begins and ends; None unless groups lie in the order of their one whole number, a
    null at the end: so they come from sorting."""
    key, cut = keys[0], [each[0] for each in at]
    groups = len(key)
    if len(keys) > 1 or key.words is not None or key.data.dtype != np.int64 or None in cut:
        return None
    known = key.data if key.valid is None else key.data[: np.count_nonzero(key.valid)]
    if len(known) < groups - 1 or np.any(known[1:] < known[:-1]):
        return None
    if key.valid is not None and not key.valid[: len(known)].all():
        return None
    return np.concatenate([[0], np.searchsorted(known, np.array(cut, np.int64)), [groups]])


def _buckets(keys: Sequence[Vector], at: Sequence[Cut]) -> Array:
    """The bucket of each group."""
    places, marks = np.zeros(len(keys[0]), np.int64), np.zeros(len(at), np.int64)
    for index, vector in enumerate(keys[: len(at[0]) if at else 0]):
        known = sorted({cut[index] for cut in at if cut[index] is not None})
        size = 2 * len(known) + 2
        places = places * size + _places(vector, known)
        exact = {value: 2 * place + 1 for place, value in enumerate(known)}
        marks = marks * size + np.array([exact.get(cut[index], size - 1) for cut in at], np.int64)
    found: Array = np.searchsorted(marks, places, side="right")
    return found


def by_values(program: Program, partial: Partial, buckets: int) -> list[Partial]:
    """One partial a bucket: the first has all but most values of `distinct`, the others have those."""
    pieces = []
    for each, tally in zip(program.tallies, partial.tallies, strict=True):
        spread = isinstance(each.tallying, Distinct)
        owner = tallies.hashed(tally.values) % buckets if spread else np.zeros(len(tally.values), np.int64)
        pieces.append(tally.split(owner, buckets))
    rest = _identity(program, partial)
    found = [Partial(rest, tuple(piece[bucket] for piece in pieces)) for bucket in range(buckets)]
    found[0] = replace(found[0], groups=partial.groups, read=partial.read, reused=partial.reused)
    return found


def settle(program: Program, partial: Partial) -> Partial:
    """Different values become their number, which adds up over buckets; a quantile stays as it is."""
    table, kept = partial.groups, []
    for index, (each, tally) in enumerate(zip(program.tallies, partial.tallies, strict=True)):
        if isinstance(each.tallying, Distinct):
            table = table.append_column(f"d{index}", pa.array(tallies.estimates(tally)))
            tally = tally.keep(np.zeros(len(tally.values), bool))
        kept.append(tally)
    off = tuple(
        each.tallying.off(tally) for each, tally in zip(program.tallies, partial.tallies, strict=True)
    )
    return Partial(table, tuple(kept), partial.read, partial.reused, off)


def _identity(program: Program, partial: Partial) -> pa.Table:
    """The same groups as if no row had come to them yet."""
    size = partial.groups.num_rows
    groups = Grouping(np.arange(size), size, np.zeros(size, np.int64), np.arange(size), size)
    states = [
        each.state.begin(groups, _nulls(program.kind(each.node), size), _nulls(INTEGER, size))
        for each in program.needed
    ]
    keys = [from_arrow(partial.groups[f"k{index}"], kind) for index, kind in enumerate(program.key_kinds)]
    return table_of(keys, Vector(INTEGER, np.zeros(size, np.int64)), states)


def _nulls(kind: Kind, size: int) -> Vector:
    words = pa.array([""]) if kind.word == "text" else None
    data = np.zeros(size, np.float64 if kind == FLOAT else np.int64)
    return Vector(kind, data, np.zeros(size, bool), words)


def _keys(program: Program, partial: Partial) -> list[Vector]:
    kinds = program.key_kinds[:_KEYS]
    return [from_arrow(partial.groups[f"k{index}"], kind) for index, kind in enumerate(kinds)]


def _plain(vector: Vector) -> Array:
    """Values that compare as the keys do: whole numbers or texts; None is null."""
    found = np.empty(len(vector), object)
    values = _comparable(vector)
    some = np.ones(len(vector), bool) if vector.valid is None else vector.valid
    found[some] = values[some if vector.words is None else vector.data[some]]
    return found


def _comparable(vector: Vector) -> Array:
    """The data, or the words of a text, as they sort."""
    if vector.words is not None:
        return np.array(vector.words.to_pylist(), object)
    return sortable(canonical(vector.data)) if vector.data.dtype.kind == "f" else vector.data


def _order(column: Array) -> Array:
    """Numbers that sort like a column of `_plain`, nulls last."""
    known = {
        value: place for place, value in enumerate(sorted({each for each in column if each is not None}))
    }
    return np.array([known.get(each, len(known)) for each in column], np.int64)


def _json(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else int(value)


def _places(vector: Vector, known: list[Any]) -> Array:
    """Where each value lies: odd at one of the known ones, even between two, the greatest for null."""
    data = _comparable(vector)
    wide = data.dtype == object or any(not -(1 << 63) <= each < 1 << 63 for each in known)
    marks = np.array(known, object if wide else np.int64)
    found = np.searchsorted(marks, data, side="left") + np.searchsorted(marks, data, side="right")
    if vector.words is not None:
        found = found[vector.data] if len(found) else np.zeros(len(vector), np.int64)
    return found if vector.valid is None else np.where(vector.valid, found, 2 * len(known) + 1)
