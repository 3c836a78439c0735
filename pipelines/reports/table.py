"""What a report type makes of the answers to its questions: the table a reader sees, and what to say of it.

The types' own files make it, with what stands here for matching rows by their keys; `render` writes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.reports.question import Question
from pipelines.reports.vector import Array


@dataclass(frozen=True, slots=True)
class Chart:
    """Which columns are drawn, and how: see `chart`. `split`: keys that make lines or rows of their own."""

    kind: Literal["lines", "bars", "heat", "steps"]
    along: Sequence[str]
    values: Sequence[str]
    split: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Shown:
    """A report. `grains` says which columns are buckets of time, `keys` which name the rows, `chart` which
    chart is meant where its shape does not tell; `title`, `about`, `notes` and `asked` (the parameters) are
    for its reader."""

    table: pa.Table
    grains: Mapping[str, str] = field(default_factory=dict)
    keys: Sequence[str] = ()
    chart: Chart | None = None
    notes: tuple[str, ...] = ()
    title: str = ""
    about: str = ""
    asked: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """A question and the table that answers it: its keys, then its measures, in the order asked for.

    `groups` is how many rows there would be without a limit.
    """

    question: Question
    table: pa.Table
    groups: int

    @property
    def grains(self) -> dict[str, str]:
        return {key.name: key.grain for key in self.question.keys if key.grain}

    @property
    def shown(self) -> Shown:
        """The answer as it is."""
        return Shown(self.table, self.grains, self.keys)

    @property
    def keys(self) -> list[str]:
        return [key.name for key in self.question.keys]


def identify(table: pa.Table, names: Sequence[str]) -> tuple[pa.Table, Array]:
    """The different keys in some columns, in order and nulls last, and which of them each row has.

    Without any column there is one key, which all rows have.
    """
    if not names:
        return pa.table({"": pa.nulls(1)}).select([]), np.zeros(table.num_rows, np.int64)
    ids = np.zeros(table.num_rows, np.int64)
    for name in names:
        encoded = table[name].combine_chunks().dictionary_encode(null_encoding="encode")
        encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
        codes = encoded.indices.to_numpy(zero_copy_only=False)
        ids = np.unique(ids * max(len(encoded.dictionary), 1) + codes, return_inverse=True)[1]
    _, first, ids = np.unique(ids, return_index=True, return_inverse=True)
    keys = table.select(names).take(pa.array(first))
    order = pc.sort_indices(keys, [(name, "ascending") for name in names]).to_numpy()
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return keys.take(pa.array(order)), place[ids]


def scattered(column: pa.ChunkedArray, places: Array, size: int) -> pa.Array:
    """A column of so many rows with each value at its place, null where there is none."""
    rows = np.full(size, -1, np.int64)
    rows[places] = np.arange(len(places))
    return pc.take(column.combine_chunks(), pa.array(rows, mask=rows < 0))
