"""The kernel: rows of one row group become a partial, partials become one.

A partial holds a row for each group that has rows: its keys, its number of rows, the columns of its states.
The values that `distinct` and `quantile` need come as tables (group, value, count), `group` being a row
number of the first. Merging is associative and keeps the order of parts, so any cut and any tree give the
same answer (floats up to rounding). Nothing here reads files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipelines.reports import arithmetic, conditions, grains, grouping
from pipelines.reports.expression import Node
from pipelines.reports.grouping import Grouping
from pipelines.reports.program import Program
from pipelines.reports.question import Condition
from pipelines.reports.vector import INTEGER, Array, Kind, Vector, from_arrow, from_chunks, stored


@dataclass(frozen=True, slots=True)
class Partial:
    """The answer to a part of the rows, small and picklable."""

    groups: pa.Table
    tallies: tuple[pa.Table, ...]


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
        if name not in self._vectors:
            vector = from_arrow(self._table[name], self._program.kinds[name])
            self._vectors[name] = vector if self._chosen is None else vector.take(self._chosen)
        return self._vectors[name]

    def value(self, node: Node) -> Vector:
        """The value of an expression for each row."""
        if node not in self._nodes:
            self._nodes[node] = arithmetic.evaluate(node, self.column, self.rows)
        return self._nodes[node]

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
    tallies = []
    for node in program.tallies:
        value = batch.value(node)
        codes, value = _present(groups.dense, value)
        tallies.append(_tally(codes, value))
    rows = Vector(INTEGER, grouping.counts(groups, None))
    return Partial(_table(shown, rows, states), tuple(tallies))


def merge(program: Program, partials: Sequence[Partial]) -> Partial:
    """One partial of several, in the order of their rows."""
    some = [each for each in partials if each.groups.num_rows] or list(partials[:1])
    if len(some) == 1:
        return some[0]
    keys = [_gather(some, f"k{index}", kind) for index, kind in enumerate(program.key_kinds)]
    groups = grouping.group(keys, sum(each.groups.num_rows for each in some))
    sample = groups.sample()
    rows = grouping.exact_sums(groups, _gather(some, "rows", INTEGER).data)
    states = []
    for index, each in enumerate(program.needed):
        columns = [_gather(some, f"s{index}_{place}", kind) for place, kind in enumerate(each.state.kinds)]
        states.append(each.state.merge(groups, columns))
    tallies = tuple(_merge_tallies(program, some, groups, index) for index in range(len(program.tallies)))
    return Partial(_table([key.take(sample) for key in keys], Vector(INTEGER, rows), states), tallies)


def empty(program: Program) -> Partial:
    """The partial of no rows."""
    schema = pa.schema([(name, kind.logical) for name, kind in program.kinds.items()])
    return summarise(program, Batch(program, schema.empty_table(), ()))


def _gather(partials: Sequence[Partial], name: str, kind: Kind) -> Vector:
    return from_chunks([each.groups[name] for each in partials], kind)


def _merge_tallies(program: Program, partials: Sequence[Partial], groups: Grouping, index: int) -> pa.Table:
    """Values keep their counts and learn the new number of their group."""
    dense, start, codes = groups.dense, 0, []
    for each in partials:
        end = start + each.groups.num_rows
        codes.append(dense[start:end][each.tallies[index]["group"].to_numpy()])
        start = end
    kind = program.kind(program.tallies[index])
    values = from_chunks([each.tallies[index]["value"] for each in partials], kind)
    counts = np.concatenate([each.tallies[index]["count"].to_numpy() for each in partials], dtype=np.int64)
    return _tally(np.concatenate(codes), values, counts)


def _tally(codes: Array, value: Vector, weights: Array | None = None) -> pa.Table:
    found, data, counts = grouping.tally(codes, value.data, weights)
    values = stored(Vector(value.kind, data, None, value.words))
    return pa.table({"group": _narrow(found), "value": values, "count": _narrow(counts)})


def _narrow(numbers: Array) -> Array:
    """Numbers from 0 on in the smallest type that holds them: tallies are large, and they travel."""
    largest = int(numbers.max(initial=0))
    for small in (np.uint8, np.uint16, np.uint32):
        if largest <= np.iinfo(small).max:
            return numbers.astype(small)
    return numbers


def _present(codes: Array, value: Vector) -> tuple[Array, Vector]:
    """Only the rows whose value is not null."""
    if value.valid is None:
        return codes, value
    rows = np.flatnonzero(value.valid)
    return codes[rows], Vector(value.kind, value.data[rows], None, value.words)


def _table(keys: Sequence[Vector], rows: Vector, states: Sequence[tuple[Vector, ...]]) -> pa.Table:
    columns = {f"k{index}": stored(key) for index, key in enumerate(keys)}
    columns["rows"] = stored(rows)
    for index, state in enumerate(states):
        columns |= {f"s{index}_{place}": stored(vector) for place, vector in enumerate(state)}
    return pa.table(columns)
