"""Tallies: the values of each group that `distinct` and `quantile` need; exact while few, bounded beyond.

    Distinct  the different values; past DISTINCT_BOUND those of the smallest hashes, and which hashes
              that were: a theta sketch, whose count has a standard error of 1 / sqrt(DISTINCT_BOUND)
    Quantile  the different values as floats, and how often each came; past QUANTILE_BOUND with as many
              binary digits as leave no more of them: a value is off by a known share of itself at most

What is kept follows from the values alone and not from how they were cut or put together. Values are whole
numbers here: integers, times and booleans as they are, floats by their bits, text and integers beyond 64
bits by a hash of 64 bits (two of a million such values share one once in 40 million questions).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import pandas as pd

from pipelines.reports.sorting import sortable, tally
from pipelines.reports.vector import Array, Vector, canonical, floats

DISTINCT_BOUND = 1 << 20  # different values of one group: 8 MB
QUANTILE_BOUND = 1 << 12
_DIGITS = 52  # binary digits of a float after its first
_DROPPED = (32, 36, *range(38, 53))  # binary digits that may go
_LOOKS = (42, _DROPPED[0], 0)  # how many are tried, one after another
_INFINITE = 0x7FF0_0000_0000_0000


@dataclass(frozen=True, slots=True)
class Tally:
    """Entries of all groups, by group and then value. `sizes` is how many each group has.

    `loss` is 0 for a group that is exact; for a distinct the hash (63 bits) below which all values are kept,
    for a quantile the binary digits that went.
    """

    sizes: Array
    loss: Array
    values: Array
    counts: Array | None

    @property
    def codes(self) -> Array:
        """The group of each entry."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    def __reduce__(self) -> tuple[object, ...]:
        return _wide, tuple(None if each is None else _small(each) for each in self._arrays())

    def _arrays(self) -> tuple[Array | None, ...]:
        return self.sizes, self.loss, self.values, self.counts

    def take(self, groups: Array) -> Tally:
        """The tally of some groups, by position."""
        sizes = self.sizes[groups]
        starts = (np.cumsum(self.sizes) - self.sizes)[groups]
        rows = np.repeat(starts - (np.cumsum(sizes) - sizes), sizes) + np.arange(int(sizes.sum()))
        counts = None if self.counts is None else self.counts[rows]
        return Tally(sizes, self.loss[groups], self.values[rows], counts)

    def keep(self, entries: Array) -> Tally:
        """Only some entries, by a mask; every group stays."""
        sizes = np.bincount(self.codes[entries], minlength=len(self.sizes))
        counts = None if self.counts is None else self.counts[entries]
        return Tally(sizes, self.loss, self.values[entries], counts)

    def split(self, owner: Array, buckets: int) -> list[Tally]:
        """The entries of each owner; every group stays in all."""
        order = np.argsort(owner.astype(np.uint16), kind="stable")
        ends = np.searchsorted(owner[order], np.arange(buckets + 1))
        codes = self.codes[order]
        pieces = []
        for rows in map(slice, ends[:-1], ends[1:]):
            sizes = np.bincount(codes[rows], minlength=len(self.sizes))
            counts = None if self.counts is None else self.counts[order[rows]]
            pieces.append(Tally(sizes, self.loss, self.values[order[rows]], counts))
        return pieces


def _small(data: Array) -> Array:
    """Whole numbers as they travel: in the fewest bytes."""
    low, high = (int(data.min()), int(data.max())) if len(data) else (0, 0)
    width = next(each for each in (8, 16, 32, 64) if -(1 << (each - 1)) <= low and high < 1 << (each - 1))
    return data.astype(f"i{width // 8}", copy=False)


def _wide(sizes: Array, loss: Array, values: Array, counts: Array | None) -> Tally:
    def whole(data: Array) -> Array:
        return data.astype(np.int64, copy=False)

    return Tally(whole(sizes), whole(loss), whole(values), None if counts is None else whole(counts))


class Tallying(Protocol):
    """`begin` sees the values of rows and the group of each, `merge` tallies and the new number of each of
    their groups; both among so many `groups`."""

    def begin(self, codes: Array, value: Vector, groups: int) -> Tally: ...

    def merge(self, codes: Sequence[Array], tallies: Sequence[Tally], groups: int) -> Tally: ...

    def off(self, tally: Tally) -> float:
        """The error of what is finished from it, as a share of it, in the worst of its groups; 0 is exact."""


@dataclass(frozen=True, slots=True)
class Distinct:
    """`off` is the standard error."""

    def begin(self, codes: Array, value: Vector, groups: int) -> Tally:
        codes, value = _present(codes, value)
        return self._reduced(codes, _keys(value), np.zeros(groups, np.int64))

    def merge(self, codes: Sequence[Array], tallies: Sequence[Tally], groups: int) -> Tally:
        loss = np.full(groups, _NEVER)
        for numbers, each in zip(codes, tallies, strict=True):
            np.minimum.at(loss, numbers, np.where(each.loss > 0, each.loss, _NEVER))
        loss[loss == _NEVER] = 0
        entries = [numbers[each.codes] for numbers, each in zip(codes, tallies, strict=True)]
        return self._reduced(np.concatenate(entries), np.concatenate([each.values for each in tallies]), loss)

    def off(self, tally: Tally) -> float:
        return float(DISTINCT_BOUND**-0.5) if tally.loss.any() else 0.0

    def _reduced(self, codes: Array, values: Array, loss: Array) -> Tally:
        found, values, _ = tally(codes, values)
        made = Tally(np.bincount(found, minlength=len(loss)), loss, values, None)
        limits = np.where(loss > 0, loss, _NEVER)
        full = made.sizes > DISTINCT_BOUND
        if not full.any() and not loss.any():
            return made
        hashes = hashed(values)
        starts = np.cumsum(made.sizes) - made.sizes
        for group in np.flatnonzero(full):
            own = hashes[starts[group] : starts[group] + made.sizes[group]]
            if np.count_nonzero(own < limits[group]) > DISTINCT_BOUND:
                limits[group] = np.partition(own, DISTINCT_BOUND)[DISTINCT_BOUND]
        made = replace(made, loss=np.where(limits == _NEVER, 0, limits))
        return made.keep(hashes < limits[made.codes])


@dataclass(frozen=True, slots=True)
class Quantile:
    """`off` is never exceeded."""

    def begin(self, codes: Array, value: Vector, groups: int) -> Tally:
        codes, value = _present(codes, value)
        keys, loss, pieces = _bits(value), np.zeros(groups, np.int64), []
        # without the digits that a group of many values loses anyway there is far less to sort
        for dropped in _LOOKS if len(keys) > QUANTILE_BOUND and _shiftable(keys) else (0,):
            found, values, counts = tally(codes, keys >> dropped)
            settled = (np.bincount(found, minlength=groups) > QUANTILE_BOUND) | (dropped == 0)
            loss[settled & (loss == 0)] = dropped
            kept = settled[found]
            pieces.append((found[kept], values[kept] << dropped, counts[kept]))
            left = ~settled[codes]
            if not left.any():
                break
            codes, keys = codes[left], keys[left]
        found, values, counts = (np.concatenate(each) for each in zip(*pieces, strict=True))
        if len(pieces) > 1:
            order = np.argsort(found, kind="stable")
            found, values, counts = found[order], values[order], counts[order]
        return self._bounded(found, values, counts, loss)

    def merge(self, codes: Sequence[Array], tallies: Sequence[Tally], groups: int) -> Tally:
        loss = np.zeros(groups, np.int64)
        for numbers, each in zip(codes, tallies, strict=True):
            np.maximum.at(loss, numbers, each.loss)
        found = np.concatenate([numbers[each.codes] for numbers, each in zip(codes, tallies, strict=True)])
        values = np.concatenate([each.values for each in tallies])
        counts = np.concatenate([each.counts for each in tallies if each.counts is not None])
        return self._reduced(found, _cut(values, loss[found]) if loss.any() else values, counts, loss)

    def off(self, tally: Tally) -> float:
        most = int(tally.loss.max(initial=0))
        return float(2.0 ** (most - 1 - _DIGITS)) if most else 0.0

    def _reduced(self, codes: Array, values: Array, counts: Array | None, loss: Array) -> Tally:
        shift = int(loss.min(initial=_DIGITS)) if _shiftable(values) else 0
        found, values, weights = tally(codes, values >> shift, counts)
        return self._bounded(found, values << shift, weights, loss)

    def _bounded(self, found: Array, values: Array, weights: Array, loss: Array) -> Tally:
        """No more entries of a group than there may be."""
        sizes = np.bincount(found, minlength=len(loss))
        if (sizes <= QUANTILE_BOUND).all():
            return Tally(sizes, loss, values, weights)
        loss = np.maximum(loss, _digits_to_drop(found, values, sizes))
        values = _cut(values, loss[found])
        starts = np.flatnonzero(np.concatenate([[True], (np.diff(values) != 0) | (np.diff(found) != 0)]))
        sizes = np.bincount(found[starts], minlength=len(loss))
        return Tally(sizes, loss, values[starts], np.add.reduceat(weights, starts))


def estimates(tally: Tally) -> Array:
    """How many different values each group has had."""
    shares = np.where(tally.loss > 0, tally.loss, _NEVER) / float(1 << 63)
    return np.where(tally.loss > 0, np.rint(tally.sizes / shares), tally.sizes).astype(np.int64)


def middles(values: Array, loss: Array) -> Array:
    """The floats of a quantile's entries: of what was cut the middle of all that it may have been."""
    half = np.where((loss > 0) & _ordinary(values), 1 << np.maximum(loss - 1, 0), 0)
    return sortable((values | half).view(np.float64)).view(np.float64)


def hashed(values: Array) -> Array:
    """63 well mixed bits of each value; different for different values but for one bit."""
    mixed = values.view(np.uint64).copy()
    for shift, factor in ((33, 0xFF51AFD7ED558CCD), (33, 0xC4CEB9FE1A85EC53)):
        mixed ^= mixed >> np.uint64(shift)
        mixed *= np.uint64(factor)
    mixed ^= mixed >> np.uint64(33)
    return (mixed >> np.uint64(1)).astype(np.int64)


_NEVER = np.iinfo(np.int64).max


def _present(codes: Array, value: Vector) -> tuple[Array, Vector]:
    """Only the rows whose value is not null."""
    if value.valid is None:
        return codes, value
    rows = np.flatnonzero(value.valid)
    return codes[rows], Vector(value.kind, value.data[rows], None, value.words)


def _bits(value: Vector) -> Array:
    """The numbers as floats, as whole numbers in the same order; one for all NaN, one for both zeros."""
    data = floats(value)
    return sortable(data if value.kind.exact else canonical(data))


def _shiftable(values: Array) -> bool:
    """Whether the last digits of none tell it from another: those of -inf do."""
    return len(values) == 0 or int(values.min()) > ~_INFINITE


def _keys(value: Vector) -> Array:
    """A whole number for each value, equal only for equal ones."""
    data = value.data
    if value.words is not None:
        words = value.words.to_numpy(zero_copy_only=False).astype(object)
        table = pd.util.hash_array(words, categorize=False).view(np.int64)
        return np.take(table, data) if len(table) else np.empty(0, np.int64)
    if data.dtype == object:  # the same number may stand as an integer in another part of the rows
        return np.array(
            [int(each) if -(1 << 63) <= each < 1 << 63 else _far(each) for each in data], np.int64
        )
    return sortable(canonical(data)) if data.dtype.kind == "f" else data


def _far(number: int) -> int:
    """A hash of an integer beyond 64 bits."""
    return int(pd.util.hash_array(np.array([str(number)], object)).view(np.int64)[0])


def _cut(values: Array, dropped: Array) -> Array:
    return np.where(_ordinary(values), values >> dropped << dropped, values)


def _ordinary(values: Array) -> Array:
    """Neither zero nor infinite nor NaN: these stay as they are."""
    found: Array = (values != 0) & (values < _INFINITE) & (values > ~_INFINITE)
    return found


def _digits_to_drop(found: Array, values: Array, sizes: Array) -> Array:
    """For each group the fewest of `_DROPPED` that leave no more than the bound; 0 where nothing must go.

    Neighbours become one when all digits in which they differ are gone.
    """
    apart = np.zeros(len(values), np.int64)
    apart[1:] = np.frexp(((values[1:] ^ values[:-1]) >> _DROPPED[0]).astype(np.float64))[1]
    apart[1:][(found[1:] != found[:-1]) | (values[1:] ^ values[:-1] < 0)] = 31
    apart[0] = 31
    width = 32
    table = np.bincount(found * width + apart, minlength=len(sizes) * width).reshape(-1, width)
    left = table[:, ::-1].cumsum(axis=1)[:, ::-1]  # at [g, n]: entries that differ by n digits or more
    steps = np.array(_DROPPED) - _DROPPED[0]
    fits = left[:, steps + 1] <= QUANTILE_BOUND
    fits[:, -1] = True  # there are no more digits, and at most one value for each power of two
    return np.where(sizes > QUANTILE_BOUND, np.array(_DROPPED)[np.argmax(fits, axis=1)], 0)
