"""The kernel: rows of one row group become a partial, partials become one.

A partial holds a row for each group that has rows: its keys, its number of rows, the columns of its states;
and tallies of the values that `distinct` and `quantile` need. Merging is associative and keeps the order of
parts, so any cut and any tree give the same answer (floats up to rounding). Nothing here reads files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from pipelines.reports import arithmetic, bins, conditions, grains, grouping
from pipelines.reports.expression import Node
from pipelines.reports.program import Program
from pipelines.reports.question import Condition
from pipelines.reports.tallies import Tally
from pipelines.reports.vector import INTEGER, Array, Kind, Vector, from_arrow, from_chunks, stored


@dataclass(frozen=True, slots=True)
class Partial:
    """The answer to a part of the rows, small and picklable. Of its rows so many were `read` for this answer,
    so many `reused` from an earlier one. `off`: the error of each tally that was settled before."""

    groups: pa.Table
    tallies: tuple[Tally, ...]
    read: int = 0
    reused: int = 0
    off: tuple[float, ...] = ()

    @property
    def entries(self) -> int:
        """Groups and tallied values: what its size and the cost of merging it follow."""
        return int(self.groups.num_rows) + sum(len(tally.values) for tally in self.tallies)

    def take(self, rows: Array) -> Partial:
        """The partial of some groups, by position."""
        tallies = tuple(tally.take(rows) for tally in self.tallies)
        return Partial(self.groups.take(pa.array(rows)), tallies)


class Batch:
    """The rows of one row group that satisfy the conditions; a column is made when first asked for.

    `buckets` names the keys whose one value for the whole row group is known from statistics.
    """

    def __init__(
        self,
        program: Program,
        table: pa.Table,
        where: Sequence[Condition] | None = None,
        buckets: Mapping[int, int] | None = None,
    ) -> None:
        self._program = program
        self._table = table
        self._chosen: Array | None = None
        self._vectors: dict[str, Vector] = {}
        self._nodes: dict[Node, Vector] = {}
        self._inner: dict[Node, Vector] = {}
        self.buckets = buckets or {}
        self.rows = table.num_rows
        self._select(program.question.where if where is None else where)

    def _select(self, where: Sequence[Condition]) -> None:
        if not where:
            return
        keep = np.ones(self.rows, bool)
        for condition in where:
            keep &= conditions.mask(condition, self.column(condition.column))
        if keep.all():
            return
        chosen = np.flatnonzero(keep)
        self._vectors = {name: vector.take(chosen) for name, vector in self._vectors.items()}
        self._chosen = chosen
        self.rows = len(chosen)

    def column(self, name: str) -> Vector:
        """The column's values of the chosen rows."""
        if name not in self._vectors:
            if name in self._table.column_names:
                vector = from_arrow(self._table[name], self._program.kinds[name])
                self._vectors[name] = vector if self._chosen is None else vector.take(self._chosen)
            else:
                self._vectors[name] = self._made(name)
        return self._vectors[name]

    def _made(self, name: str) -> Vector:
        """A column that is made of others."""
        question = self._program.question
        if name in question.bins:
            return bins.binned(question.bins[name], self.value(self._program.nodes[question.bins[name].of]))
        return self._program.tables[name].find(self.column(question.lookups[name].on))

    def value(self, node: Node) -> Vector:
        """The value of an expression for each row."""
        if node not in self._nodes:
            self._nodes[node] = arithmetic.evaluate(node, self._operand, self.rows, self._inner)
        return self._nodes[node]

    def _operand(self, name: str) -> Vector:
        """A column to compute with: looked at once for how far its numbers reach."""
        vector = self.column(name)
        if vector.kind.exact and vector.bound is None:
            vector = self._vectors[name] = replace(vector, bound=vector.reach)
        return vector

    def keys(self) -> Iterator[Vector]:
        """The key vectors that differ from row to row."""
        for index, key in enumerate(self._program.question.keys):
            if index not in self.buckets:
                vector = self.column(key.column)
                yield grains.floor(vector, key.grain) if key.grain else vector


def summarise(program: Program, batch: Batch) -> Partial:
    """The partial of one batch of rows."""
    keys = list(batch.keys())
    groups = grouping.group(keys, batch.rows)
    time = batch.column(program.time) if program.time is not None else None
    sample = groups.sample()
    found = iter([key.take(sample) for key in keys])
    shown = [
        Vector(kind, np.full(len(groups), batch.buckets[index])) if index in batch.buckets else next(found)
        for index, kind in enumerate(program.key_kinds)
    ]
    states = [each.state.begin(groups, batch.value(each.node), time) for each in program.needed]
    tallies = tuple(
        each.tallying.begin(groups.dense, batch.value(each.node), len(groups)) for each in program.tallies
    )
    rows = Vector(INTEGER, grouping.counts(groups, None))
    return Partial(table_of(shown, rows, states), tallies)


def merge(program: Program, partials: Sequence[Partial]) -> Partial:
    """One partial of several, in the order of their rows."""
    read, reused = sum(each.read for each in partials), sum(each.reused for each in partials)
    off = tuple(max(each) for each in zip(*(each.off for each in partials if each.off), strict=True))
    some = [each for each in partials if each.groups.num_rows] or list(partials[:1])
    whole = regroup(program, some) if len(some) > 1 else some[0]
    return replace(whole, read=read, reused=reused, off=off)


def regroup(program: Program, some: Sequence[Partial]) -> Partial:
    """One partial in which no two rows have the same keys."""
    keys = [_gather(some, f"k{index}", kind) for index, kind in enumerate(program.key_kinds)]
    groups = grouping.group(keys, sum(each.groups.num_rows for each in some))
    sample = groups.sample()
    rows = grouping.exact_sums(groups, _gather(some, "rows", INTEGER).data)
    states = []
    for index, each in enumerate(program.needed):
        columns = [_gather(some, f"s{index}_{place}", kind) for place, kind in enumerate(each.state.kinds)]
        states.append(each.state.merge(groups, columns))
    ends = np.cumsum([each.groups.num_rows for each in some])[:-1]
    codes = np.split(groups.dense, ends) if program.tallies else []
    tallies = tuple(
        each.tallying.merge(codes, [partial.tallies[index] for partial in some], len(groups))
        for index, each in enumerate(program.tallies)
    )
    table = table_of([key.take(sample) for key in keys], Vector(INTEGER, rows), states)
    for index in range(len(program.tallies)):
        if f"d{index}" in some[0].groups.column_names:  # counted already: see `settle`
            counted = grouping.exact_sums(groups, _gather(some, f"d{index}", INTEGER).data)
            table = table.append_column(f"d{index}", stored(Vector(INTEGER, counted)))
    return Partial(table, tallies)


def empty(program: Program) -> Partial:
    """The partial of no rows."""
    schema = pa.schema([(name, kind.logical) for name, kind in program.kinds.items()])
    return summarise(program, Batch(program, schema.empty_table(), ()))


def _gather(partials: Sequence[Partial], name: str, kind: Kind) -> Vector:
    return from_chunks([each.groups[name] for each in partials], kind)


def table_of(keys: Sequence[Vector], rows: Vector, states: Sequence[tuple[Vector, ...]]) -> pa.Table:
    """The groups of a partial."""
    columns = {f"k{index}": stored(key) for index, key in enumerate(keys)}
    columns["rows"] = stored(rows)
    for index, state in enumerate(states):
        columns |= {f"s{index}_{place}": stored(vector) for place, vector in enumerate(state)}
    return pa.table(columns)


def slim(groups: pa.Table) -> pa.Table:
    """The groups of a partial with whole numbers in the fewest bytes: how many of them travel."""
    for index, field in enumerate(groups.schema):
        if field.type != pa.int64() or not groups.num_rows:
            continue
        ends = pa.compute.min_max(groups[field.name])
        low, high = ends["min"].as_py() or 0, ends["max"].as_py() or 0
        kind = next(each for each in _WIDTHS if _holds(each, low) and _holds(each, high))
        groups = groups.set_column(index, field.name, groups[field.name].cast(kind, safe=False))
    return groups


_WIDTHS = (pa.int8(), pa.int16(), pa.int32(), pa.int64())


def _holds(kind: pa.DataType, value: int) -> bool:
    limit = 1 << (int(kind.bit_width) - 1)
    return -limit <= value < limit
