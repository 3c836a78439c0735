"""States: what is kept of a group while a report is computed, so that parts can be put together in any cut.

    Count    values that are not null              Extreme  smallest or largest value
    Sum      exact for whole numbers and decimals  Edge     first or last value in time order, and its time
    Moments  count, mean, squared distance to it

A state is begun from rows and merged from states, both for all groups at once; both give columns that
`stored` turns to Arrow and `from_chunks` back. `distinct` and `quantile` keep tallies instead (see
`kernel`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pipelines.reports import grouping
from pipelines.reports.grouping import Grouping
from pipelines.reports.vector import FLOAT, INTEGER, Array, Kind, Vector, exact_kind, floats

Columns = tuple[Vector, ...]
_NO_TIME = np.iinfo(np.int64)


class State(Protocol):
    """`kinds` are those of its columns; `begin` sees values and times of rows, `merge` its own columns."""

    @property
    def kinds(self) -> tuple[Kind, ...]: ...

    def begin(self, groups: Grouping, value: Vector, time: Vector | None) -> Columns: ...

    def merge(self, groups: Grouping, columns: Sequence[Vector]) -> Columns: ...


@dataclass(frozen=True, slots=True)
class Count:
    kinds: tuple[Kind, ...] = (INTEGER,)

    def begin(self, groups: Grouping, value: Vector, time: Vector | None) -> Columns:
        return (Vector(INTEGER, grouping.counts(groups, value.valid)),)

    def merge(self, groups: Grouping, columns: Sequence[Vector]) -> Columns:
        return (Vector(INTEGER, grouping.exact_sums(groups, columns[0].data)),)


@dataclass(frozen=True, slots=True)
class Sum:
    """Nulls count as nothing; whether there was any value is `Count`'s to say."""

    of: Kind

    @property
    def kinds(self) -> tuple[Kind, ...]:
        return (exact_kind(self.of.scale) if self.of.exact else FLOAT,)

    def begin(self, groups: Grouping, value: Vector, time: Vector | None) -> Columns:
        return self.merge(groups, (_zeroed(value),))

    def merge(self, groups: Grouping, columns: Sequence[Vector]) -> Columns:
        value = columns[0]
        if not self.of.exact:
            return (Vector(FLOAT, grouping.float_sums(groups, value.data)),)
        return (Vector(self.kinds[0], grouping.exact_sums(groups, value.data, value.bound)),)


@dataclass(frozen=True, slots=True)
class Moments:
    """Merged as Chan, Golub and LeVeque do, which keeps small spreads around large means."""

    kinds: tuple[Kind, ...] = (INTEGER, FLOAT, FLOAT)

    def begin(self, groups: Grouping, value: Vector, time: Vector | None) -> Columns:
        data = np.where(value.valid, floats(value), 0.0) if value.valid is not None else floats(value)
        count = grouping.counts(groups, value.valid)
        with np.errstate(all="ignore"):
            mean = grouping.float_sums(groups, data) / np.maximum(count, 1)
            distance = data - mean[groups.dense]
            if value.valid is not None:
                distance = np.where(value.valid, distance, 0.0)
            spread = grouping.float_sums(groups, distance * distance)
        return Vector(INTEGER, count), Vector(FLOAT, mean), Vector(FLOAT, spread)

    def merge(self, groups: Grouping, columns: Sequence[Vector]) -> Columns:
        count, mean, spread = (column.data for column in columns)
        with np.errstate(all="ignore"):
            total = grouping.exact_sums(groups, count)
            center = grouping.float_sums(groups, mean * count) / np.maximum(total, 1)
            distance = mean - center[groups.dense]
            between = np.where(count > 0, distance * distance * count, 0.0)
            spread = grouping.float_sums(groups, spread + between)
        return Vector(INTEGER, total), Vector(FLOAT, center), Vector(FLOAT, spread)


@dataclass(frozen=True, slots=True)
class Extreme:
    of: Kind
    largest: bool

    @property
    def kinds(self) -> tuple[Kind, ...]:
        return (self.of,)

    def begin(self, groups: Grouping, value: Vector, time: Vector | None) -> Columns:
        return (grouping.extremes(groups, value, largest=self.largest),)

    def merge(self, groups: Grouping, columns: Sequence[Vector]) -> Columns:
        return (grouping.extremes(groups, columns[0], largest=self.largest),)


@dataclass(frozen=True, slots=True)
class Edge:
    """First or last value that is not null. Rows without a time count only where no row has one."""

    of: Kind
    last: bool

    @property
    def kinds(self) -> tuple[Kind, ...]:
        return (self.of, INTEGER)

    def begin(self, groups: Grouping, value: Vector, time: Vector | None) -> Columns:
        if time is None:
            time = Vector(INTEGER, np.zeros(len(value), np.int64))
        return self.merge(groups, (value, Vector(INTEGER, time.data, time.valid)))

    def merge(self, groups: Grouping, columns: Sequence[Vector]) -> Columns:
        value, time = columns
        usable = np.ones(len(value), bool) if value.valid is None else value.valid
        times: Array = time.data
        if time.valid is not None:
            times = np.where(time.valid, times, _NO_TIME.min if self.last else _NO_TIME.max)
        rows, found = grouping.edges(groups, times, usable, last=self.last)
        if len(value) == 0:
            return value, time
        return _null_unless(value.take(rows), found), _null_unless(time.take(rows), found)


def _zeroed(value: Vector) -> Vector:
    if value.valid is None:
        return value
    data = np.where(value.valid, value.data, np.zeros(1, value.data.dtype))
    return Vector(value.kind, data, bound=value.bound)


def _null_unless(vector: Vector, found: Array) -> Vector:
    if found.all():
        return vector
    valid = found if vector.valid is None else found & vector.valid
    return Vector(vector.kind, vector.data, valid, vector.words)
