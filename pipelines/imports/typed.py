"""Columns of text into columns of their types; rows with a cell that is none of its type are set aside.

Columns that nobody typed are read as what their part and the plan's sample allow, and their evidence is kept:
`decided` joins that of all parts, so that the whole file decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from pipelines.errors import BadInput
from pipelines.imports.convert import Numbers, Rows, convert
from pipelines.imports.infer import Guess, Reading
from pipelines.imports.rejects import Reject, cut
from pipelines.imports.survey import SOME_DECIMAL, UNDECIDED, SourceColumn
from pipelines.plan import Json

_MEND = "correct the file, use mode 'replace', or import into another dataset"


class TextPart(Protocol):
    """Rows as columns of text named "0", "1"...; `rejects` are records that are no rows."""

    table: pa.Table
    rejects: list[Reject]

    def reject(self, rows: Rows, reasons: Sequence[str]) -> list[Reject]:
        """Rows of the table as rejects."""
        ...


@dataclass(frozen=True, slots=True)
class Loaded:
    """Some rows of a part. `columns` says as what they were read, `evidence` what open columns have shown."""

    table: pa.Table
    rows: int
    rejects: Sequence[Reject]
    columns: tuple[SourceColumn, ...]
    evidence: Mapping[str, Json]


def guess_of(
    column: SourceColumn, numbers: Numbers, fixed: bool, worded: bool, state: Json | None = None
) -> Guess:
    """A fresh guess for an open column, or one that goes on from `state`."""
    return Guess(numbers, decimal_only=column.type == SOME_DECIMAL, fixed=fixed, worded=worded, state=state)


def is_open(column: SourceColumn) -> bool:
    """Do only the values decide what it is?"""
    return column.type in (UNDECIDED, SOME_DECIMAL)


def load(part: TextPart, columns: Sequence[SourceColumn], places: Mapping[str, int], spec: Json) -> Loaded:
    """The rows of a part in the order and types of `columns`; `places` says which text is whose."""
    own, evidence = _readings(part.table, columns, places, spec)
    arrays, bad = [], dict[int, str]()
    for column in own:
        text = one(part.table[str(places[column.source])])
        values, failed = convert(text, column.target, numbers_of(column, spec))
        for row in failed.tolist():
            said = f", column {column.source!r}: {column.target.complaint(cut(text[row].as_py()))}"
            bad.setdefault(row, said)
        arrays.append(values)
    table = pa.Table.from_arrays(arrays, names=[column.name for column in own])
    rejects = list(part.rejects)
    if bad:
        rows = np.array(sorted(bad), np.int64)
        rejects += part.reject(rows, [bad[int(row)] for row in rows])
        keep = np.ones(table.num_rows, np.bool_)
        keep[rows] = False
        table = table.filter(pa.array(keep))
    rejects.sort(key=lambda each: each.line)
    return Loaded(table, part.table.num_rows + len(part.rejects), rejects, own, evidence)


def _readings(
    table: pa.Table, columns: Sequence[SourceColumn], places: Mapping[str, int], spec: Json
) -> tuple[tuple[SourceColumn, ...], dict[str, Json]]:
    """The columns as this part reads them, and what its values say of the open ones."""
    evidence: dict[str, Json] = {}
    guesses: dict[str, Guess] = {}
    for column in columns:
        if is_open(column):
            guess = guesses[column.source] = _guess(column, spec, spec["evidence"].get(column.source))
            if guess.open:
                guess.feed(one(table[str(places[column.source])]))
                evidence[column.source] = guess.to_json()
    return read_as(columns, guesses, spec), evidence


def decided(
    columns: Sequence[SourceColumn], parts: Iterable[Mapping[str, Json]], spec: Json
) -> tuple[SourceColumn, ...]:
    """The columns as the whole file decides: the sample's evidence joined with that of every part."""
    guesses = {
        each.source: _guess(each, spec, spec["evidence"].get(each.source))
        for each in columns
        if is_open(each)
    }
    for evidence in parts:
        for source, state in evidence.items():
            guesses[source].join(_guess(next(c for c in columns if c.source == source), spec, state))
    return read_as(columns, guesses, spec)


def read_as(
    columns: Sequence[SourceColumn], guesses: Mapping[str, Guess], spec: Json
) -> tuple[SourceColumn, ...]:
    """The columns with every open one read as its guess says."""
    orders = {order for guess in guesses.values() if (order := guess.day_first()) is not None}
    day_first = orders.pop() if len(orders) == 1 else None
    result = []
    for column in columns:
        if column.source not in guesses:
            result.append(column)
            continue
        reading = guesses[column.source].decide(spec["delimiter"], day_first)
        if reading is None:
            raise BadInput(
                f"Column {column.source!r} has decimals of more than 38 digits; give it type 'text' "
                "or 'float'."
            )
        result.append(_as(column, reading, guesses[column.source].words, spec["dataset"]))
    return tuple(result)


def numbers_of(column: SourceColumn, spec: Json) -> Numbers:
    """How a column's numbers and missing values are written."""
    decimal = column.decimal or spec["numbers"]["decimal"]
    thousands = column.thousands if column.decimal else spec["numbers"]["thousands"]
    return Numbers(decimal, thousands, (*spec["numbers"]["nulls"], *column.nulls), column.dress)


def one(column: Any) -> pa.Array:
    """A chunked column in one piece."""
    return (
        column.chunk(0)
        if column.num_chunks == 1
        else pa.concat_arrays(column.chunks or [column.combine_chunks()])
    )


def _guess(column: SourceColumn, spec: Json, state: Json | None = None) -> Guess:
    given = spec["numbers"]
    numbers = Numbers(given["decimal"], given["thousands"], tuple(given["nulls"]))
    return guess_of(column, numbers, given["fixed"], column.source in spec["worded"], state)


def _as(column: SourceColumn, reading: Reading, words: tuple[str, ...], dataset: str) -> SourceColumn:
    """The column as it reads, in an append no narrower than the dataset has it.

    What does not go into the dataset's type is read as that all the same: its rows are bad, and are shown.
    """
    kind = column.beside(reading.type, reading.digits) if reading.seen else column.floor or reading.type
    if kind is None or not reading.seen:
        said = f"looks like {reading.type} but is {column.floor} in dataset {dataset!r} and cannot widen it"
        doubt = f"{said}; {_MEND}" if kind is None else None
        return replace(column, type=column.floor or "text", nulls=words, doubt=doubt)
    return replace(
        column,
        type=kind,
        format=reading.format,
        decimal=reading.decimal,
        thousands=reading.thousands,
        nulls=reading.nulls,
        doubt=reading.doubt,
        dress=reading.dress,
    )


__all__ = ["Loaded", "decided", "guess_of", "is_open", "load", "numbers_of", "one", "read_as"]
