"""Grouping rows by key vectors, and the grouped reductions every measure is made of.

Codes are dense where the keys allow it, else found by sorting: numpy sorts faster than anything here hashes.
All reductions give one value for each group that has rows. What a measure keeps is `states`' business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from pipelines.reports.sorting import ranks, runs, sortable
from pipelines.reports.vector import Array, Vector, canonical, magnitude, narrow

_DENSE = 1 << 16  # this many codes are always cheap to keep as an array
_STEP = 1 << 14  # rows looked at together for a row of each group


@dataclass(frozen=True)
class Grouping:
    """`given` is the group of each row (None: all in one), `present` are the codes that have rows.

    `first` is a row of each group, where every code has some. `order`: where groups were found by sorting,
    the rows group by group, each group's in their own order.
    """

    given: Array | None
    size: int
    counts: Array
    present: Array
    length: int
    first: Array | None = None
    order: Array | None = None

    @cached_property
    def codes(self) -> Array | None:
        """The group of each row (None: all in one)."""
        if self.order is None:
            return self.given
        codes = np.empty(self.length, np.int64)
        codes[self.order] = np.repeat(self.present, self.counts)
        return codes

    def __len__(self) -> int:
        return len(self.present)

    @property
    def dense(self) -> Array:
        """For each row the position of its group among those present."""
        if self.codes is None:
            return np.zeros(self.length, np.int64)
        if self.first is not None:
            return self.codes
        lookup = np.zeros(self.size, np.int64)
        lookup[self.present] = np.arange(len(self.present))
        found: Array = lookup[self.codes]
        return found

    def sample(self) -> Array:
        """A row of each group present."""
        if self.first is not None:
            return self.first
        if self.codes is None:
            return np.zeros(len(self.present), np.int64)
        rows = np.full(self.size, -1)
        found: Array = rows[self.present]
        for start in range(0, self.length, _STEP):  # mostly the first few have some of all
            some = self.codes[start : start + _STEP]
            rows[some] = np.arange(start, start + len(some))
            found = rows[self.present]
            if (found >= 0).all():
                break
        return found


def group(keys: Sequence[Vector], length: int) -> Grouping:
    """Group `length` rows by some keys. Null is a value of its own, NaN one value, -0.0 the same as 0.0."""
    codes, size = None, 1
    for key in keys:
        span = _span(key.data) if key.words is None and key.data.dtype == np.int64 else None
        if len(keys) == 1 and key.words is None and _is_wide(key.data, span):
            return _sorted_groups(_with_null(key))
        more, cardinality = _codes(key, span)
        if codes is None:
            codes, size = more, cardinality
            continue
        if size * cardinality > max(_DENSE, 4 * length):
            codes, size = _compact(codes)
        codes, size = codes * cardinality + more, size * cardinality
    if codes is None:
        present = np.arange(min(1, length))
        return Grouping(None, 1, np.full(1, length), present, length)
    if size > max(_DENSE, 4 * length):
        return _sorted_groups(codes)
    counts = np.bincount(codes, minlength=size)
    return Grouping(codes, size, counts, np.flatnonzero(counts), length)


def _sorted_groups(data: Array) -> Grouping:
    """Groups of equal whole numbers, of any size."""
    order, starts = runs(data)
    sizes = np.diff(starts, append=len(data))
    return Grouping(None, len(starts), sizes, np.arange(len(starts)), len(data), order[starts], order)


def counts(groups: Grouping, valid: Array | None) -> Array:
    """Rows of each group; with `valid` only those."""
    if valid is None:
        return groups.counts[groups.present]
    if groups.codes is None:
        return np.full(len(groups), np.count_nonzero(valid))
    found: Array = np.bincount(groups.codes[valid], minlength=groups.size)[groups.present]
    return found


def exact_sums(groups: Grouping, data: Array, bound: int | None = None) -> Array:
    """Sums of whole numbers, never wrapped: in int64 where the bounds allow it, else in two halves."""
    if data.dtype == object:
        return narrow(_add(groups, data, object))
    if bound is None or bound * len(data) >= 1 << 63:
        bound = magnitude(data)
    if bound * len(data) < 1 << 63:
        return _add(groups, data, np.int64)
    high, low = _add(groups, data >> 32, np.int64), _add(groups, data & 0xFFFFFFFF, np.int64)
    return narrow((high.astype(object) << 32) + low.astype(object))


def float_sums(groups: Grouping, data: Array) -> Array:
    """Sums of floats in float64; NaN and infinities as IEEE 754 has them."""
    with np.errstate(all="ignore"):
        if groups.codes is None:
            return np.full(len(groups), data.sum())
        found: Array = np.bincount(groups.codes, data, groups.size)[groups.present]
        return found


def extremes(groups: Grouping, vector: Vector, *, largest: bool) -> Vector:
    """The smallest or largest value of each group, null where all are. NaN is the greatest."""
    ranks, order = vector.data, None
    if vector.words is not None:
        order = pa.compute.sort_indices(vector.words).to_numpy()
        places = np.empty(len(order) + 1, np.int64)
        places[order] = np.arange(len(order))
        ranks = places[vector.data]
    codes = groups.codes
    if vector.valid is not None:
        ranks = ranks[vector.valid]
        codes = codes[vector.valid] if codes is not None else None
    if codes is None:
        codes = np.zeros(len(ranks), np.int64)
    best = _best(codes, ranks, groups.size, largest)[groups.present]
    valid = counts(groups, vector.valid) > 0 if vector.valid is not None else None
    if valid is not None:
        best = np.where(valid, best, np.zeros(1, best.dtype))
    if order is not None:
        best = order[best] if len(order) else best
    return Vector(vector.kind, best, valid, vector.words)


def edges(groups: Grouping, times: Array, usable: Array, *, last: bool) -> tuple[Array, Array]:
    """The usable row of each group with the earliest (latest) time, the first (last) of equals.

    Returns a row for each group and whether there is one.
    """
    rows = np.flatnonzero(usable)
    codes = np.zeros(len(rows), np.int64) if groups.codes is None else groups.codes[rows]
    chosen = times[rows]
    best = _best(codes, chosen, groups.size, last)
    hits = np.flatnonzero(chosen == best[codes])
    if not last:
        hits = hits[::-1]
    found = np.full(groups.size, -1, np.int64)
    found[codes[hits]] = rows[hits]  # of several assignments to one place the last stays
    found = found[groups.present]
    return np.maximum(found, 0), found >= 0


def _codes(key: Vector, span: range | None) -> tuple[Array, int]:
    """Codes of a key's values and how many there may be; the last one stands for null."""
    data = key.data
    if key.words is not None:
        codes, size = data.astype(np.int64), len(key.words)
    elif span is not None and not _is_wide(data, span):
        codes, size = (data - span.start if span.start else data), len(span)
    else:
        codes, size = _compact(data)
    return (codes, size) if key.valid is None else (np.where(key.valid, codes, size), size + 1)


def _with_null(key: Vector) -> Array:
    """Whole numbers that are equal where the values are, one of them for null."""
    data = sortable(canonical(key.data)) if key.data.dtype.kind == "f" else key.data
    if key.valid is None:
        return data
    unused = int(data.max()) + 1
    if unused >> 63:  # rare enough to pay for
        data, unused = ranks(data)[0], len(data)
    return np.where(key.valid, data, unused)


def _is_wide(data: Array, span: range | None) -> bool:
    """Whether whole numbers are spread too far to be codes; floats are."""
    if len(data) == 0 or data.dtype == object:
        return False
    return span is None or span.stop - span.start > max(1024, 4 * len(data))


def _span(data: Array) -> range:
    """From the smallest to the largest."""
    return range(int(data.min()), int(data.max()) + 1) if len(data) else range(0)


def _compact(data: Array) -> tuple[Array, int]:
    """Codes without gaps, and how many there are."""
    codes, values = ranks(data)
    return codes, len(values)


def _add(groups: Grouping, data: Array, dtype: type) -> Array:
    if groups.order is not None and dtype is not object:
        starts = np.cumsum(groups.counts) - groups.counts
        ordered: Array = np.add.reduceat(data[groups.order], starts)
        return ordered
    if groups.codes is None:
        return np.array([data.sum() if len(data) else 0] * len(groups), dtype)
    sums: Array = np.zeros(groups.size, dtype)
    np.add.at(sums, groups.codes, data)
    found: Array = sums[groups.present]
    return found


def _best(codes: Array, data: Array, size: int, largest: bool) -> Array:
    if data.dtype.kind == "f":
        best = np.full(size, -np.inf if largest else np.nan)
        with np.errstate(all="ignore"):
            (np.maximum if largest else np.fmin).at(best, codes, data)
        return best
    if data.dtype == object:
        best = np.zeros(size, object)
        best[codes] = data  # any value of the group to begin with
    else:
        ends = np.iinfo(data.dtype)
        best = np.full(size, ends.min if largest else ends.max, data.dtype)
    (np.maximum if largest else np.minimum).at(best, codes, data)
    return best
