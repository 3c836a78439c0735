"""Sorting whole numbers: the different ones, their order and places, how often each comes.

numpy sorts faster than anything here hashes, and most of all where numbers are small and packed.
"""

from __future__ import annotations

import numpy as np

from pipelines.reports.vector import Array, canonical

_ALL_BUT_SIGN = (1 << 63) - 1
_FIRST = np.ones(1, bool)


def tally(codes: Array, data: Array, weights: Array | None = None) -> tuple[Array, Array, Array]:
    """How often each whole number comes in each group: (group, value, count), by group and then value."""
    codes = codes.astype(np.int64, copy=False)
    if len(data) == 0:
        return codes, data, np.empty(0, np.int64)
    values, low = None, int(data.min())
    bits = (int(data.max()) - low).bit_length()
    if bits + int(codes.max()).bit_length() > 62:
        (data, values), low = ranks(data), 0
        bits = len(values).bit_length()
    combined = codes << bits
    combined |= data - low
    if (int(codes.max()) + 1) << bits <= 4 * len(data):
        combined, weights = _counted(combined, weights)
    elif weights is None:
        ordered = _sorted(combined)
        starts = _starts(ordered)
        weights = np.diff(starts, append=len(ordered))
        combined = ordered[starts].astype(np.int64, copy=False)
    else:
        order, starts = runs(combined)
        combined, weights = combined[order[starts]], np.add.reduceat(weights[order], starts)
    found = combined & ((1 << bits) - 1)
    return combined >> bits, found + low if values is None else values[found], weights


def _counted(data: Array, weights: Array | None) -> tuple[Array, Array]:
    """The different small numbers in order and how often each comes, without sorting."""
    if weights is None:
        sums = np.bincount(data)
    else:
        sums = np.zeros(int(data.max()) + 1, np.int64)
        np.add.at(sums, data, weights)
    found = np.flatnonzero(sums)
    return found, sums[found]


def _sorted(data: Array) -> Array:
    """Whole numbers from 0 in order; those of 32 bits sort twice as fast."""
    if int(data.max()) >> 32:
        data.sort()
        return data
    narrow = data.astype(np.uint32)
    narrow.sort()
    return narrow


def ranks(data: Array) -> tuple[Array, Array]:
    """The place of each value among the different ones in order, and those. One NaN, one zero of floats."""
    if data.dtype == object:
        values, codes = np.unique(data, return_inverse=True)
        return codes, values
    if data.dtype.kind == "f":
        data = canonical(data)
    if len(data) == 0:
        return np.empty(0, np.int64), data
    order, starts = runs(sortable(data))
    codes = np.empty(len(data), np.int64)
    codes[order] = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(data)))
    return codes, data[order[starts]]


def runs(data: Array) -> tuple[Array, Array]:
    """The order that sorts whole numbers, and where in it each different one begins.

    A value and its row packed into one number sort several times faster than the rows of the values.
    """
    low, bits = int(data.min()), len(data).bit_length()
    if (int(data.max()) - low).bit_length() + bits > 62:
        order = np.argsort(data)
        return order, _starts(data[order])
    packed = (data - low) << bits
    packed |= np.arange(len(data))
    packed.sort()
    order = packed & ((1 << bits) - 1)
    packed >>= bits
    return order, _starts(packed)


def sortable(data: Array) -> Array:
    """Whole numbers in the order of the values; floats by their bits, NaN the greatest."""
    if data.dtype.kind != "f":
        return data
    bits = data.view(np.int64)
    return bits ^ ((bits >> 63) & _ALL_BUT_SIGN)


def _starts(ordered: Array) -> Array:
    return np.flatnonzero(np.concatenate([_FIRST, ordered[1:] != ordered[:-1]]))
