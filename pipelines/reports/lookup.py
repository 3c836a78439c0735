"""Lookup: columns of a small dataset, found by a key. Each worker reads it once; it is never cut.

A key that is not there, or null, gives null. A key that is there twice is an error, for which row is meant
nobody can say. What is looked up is a column like any other: to group, measure, filter by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.datasets import Catalog, read_row_groups
from pipelines.errors import BadInput
from pipelines.reports.question import Lookup
from pipelines.reports.vector import Array, Kind, Vector, from_arrow, shown
from pipelines.store import Store, open_store

MOST_ROWS = 1_000_000
MOST_BYTES = 64 << 20  # as it is stored
_KEPT = 32  # columns a process holds


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of a dataset, in order, and the row of each."""

    sorted: Array
    rows: Array
    words: pa.Array | None

    def find(self, vector: Vector) -> Array:
        """The row of each value, -1 where there is none."""
        if self.words is not None:
            return _by_word(self.words, self.rows, vector)
        found = np.full(len(vector), -1, np.int64)
        if len(self.sorted) and len(vector):
            places = np.minimum(np.searchsorted(self.sorted, vector.data), len(self.sorted) - 1)
            found = np.where(self.sorted[places] == vector.data, self.rows[places], -1)
        return found if vector.valid is None else np.where(vector.valid, found, -1)


@dataclass(frozen=True, slots=True)
class Dimension:
    """A column to look up."""

    keys: Keys
    value: Vector

    def find(self, on: Vector) -> Vector:
        """What stands at the key of each value."""
        rows = self.keys.find(on)
        known = rows >= 0
        if not len(self.value):
            words = pa.array([""]) if self.value.kind.word == "text" else None
            return Vector(self.value.kind, np.zeros(len(on), self.value.data.dtype), known, words)
        found = self.value.take(np.maximum(rows, 0))
        valid = known if found.valid is None else known & found.valid
        if valid.all():
            return found
        data = np.where(valid, found.data, np.zeros(1, found.data.dtype))
        return Vector(found.kind, data, valid, found.words)


def load(store: Store, lookups: Mapping[str, Lookup]) -> dict[str, Dimension]:
    """What a question looks up; BadInput for a key that is there twice."""
    return {
        name: Dimension(
            _keys(store.url, each.dataset, each.version, each.id, each.key, each.key_type),
            _column(store.url, each.dataset, each.version, each.id, each.value, each.value_type),
        )
        for name, each in lookups.items()
    }


@lru_cache(maxsize=_KEPT)
def _keys(url: str, dataset: str, version: int, id_: str, key: str, type_: str) -> Keys:
    vector = _column(url, dataset, version, id_, key, type_)
    rows = np.arange(len(vector)) if vector.valid is None else np.flatnonzero(vector.valid)
    data = vector.data[rows]
    order = np.argsort(data, kind="stable")
    data, rows = data[order], rows[order]
    twice = np.flatnonzero(data[1:] == data[:-1])
    if len(twice):
        value = shown(vector.take(rows[twice[:1]]))[0].as_py()
        raise BadInput(
            f"Dataset {dataset!r} has {str(value)!r} in {key!r} more than once, and which row is meant "
            "nobody can say; look up by a column whose values differ, or import it without the repeated rows."
        )
    return Keys(data, rows, None if vector.words is None else vector.words.take(pa.array(data)))


@lru_cache(maxsize=_KEPT)
def _column(url: str, dataset: str, version: int, id_: str, name: str, type_: str) -> Vector:
    store, kind = open_store(url), Kind.parse(type_)
    fragments = Catalog(store).fragments(dataset, version)
    tables = [table for each in fragments for table in read_row_groups(store, each.path, None, [name])]
    empty = pa.schema([(name, kind.logical)]).empty_table()
    column = pa.concat_tables([empty, *tables])[name].combine_chunks()
    if kind.word == "text":  # one list of words, each once
        column = column.dictionary_encode()
    return from_arrow(column, kind)


def _by_word(words: pa.Array, rows: Array, vector: Vector) -> Array:
    """Looked up once for each word of the vector."""
    own = vector.words if vector.words is not None and len(vector.words) else pa.array([""])
    places = pc.fill_null(pc.index_in(own.cast(pa.string()), words.cast(pa.string())), -1)
    place = places.to_numpy(zero_copy_only=False)
    found = np.where(place >= 0, rows[np.maximum(place, 0)] if len(rows) else -1, -1)[vector.data]
    return found if vector.valid is None else np.where(vector.valid, found, -1)
