"""Widening: the type in which the values of two types stay what they are, and fragments made over into it.

What an append may change of a dataset is decided here: integer to decimal or float, decimal to a larger one,
date to timestamp, a column without any value to anything. Never the other way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa

from pipelines.datasets.layout import write_fragment
from pipelines.datasets.model import Column, Fragment, arrow_type
from pipelines.datasets.reader import read_row_groups
from pipelines.errors import BadInput
from pipelines.store import Store

_FLOAT_DIGITS = 15  # of a whole number that a float certainly keeps
_SMALL, _LARGE = 18, 38  # digits of decimals: those that fit an integer of 64 bits, and all there are
_INTEGER_DIGITS = 19

Held = Mapping[str, int | None]


def wider(there: str, given: str, holds: int, brings: int) -> str | None:
    """The type that keeps values of both types, `there` wherever that does; None when there is none.

    `holds` and `brings` are the digits before the point that the values of each have at most.
    """
    if there == given:
        return there
    if {there, given} == {"date", "timestamp"}:
        return "timestamp"
    if {there, given} == {"integer", "float"}:
        return "float" if (holds if there == "integer" else brings) <= _FLOAT_DIGITS else None
    if _scale(there) is None or _scale(given) is None:
        return None
    scale = max(_scale(there) or 0, _scale(given) or 0)
    if scale == _scale(there) and brings <= room(there):
        return there
    digits = max(holds, brings) + scale
    if digits > _LARGE:
        return None
    own = arrow_type(there).precision if there != "integer" else 0
    return f"decimal({max(own, _SMALL if digits <= _SMALL else _LARGE)},{scale})"


def narrows(there: str, given: str) -> bool:
    """Would a column of a type have to become less to be of another?"""
    if given == "integer":
        return there != given
    return there != given and wider(there, given, 0, room(given)) == there


def room(kind: str) -> int:
    """Digits before the point that a type has at most; 0 where it is no exact number."""
    if kind == "integer":
        return _INTEGER_DIGITS
    arrow = arrow_type(kind)
    return arrow.precision - arrow.scale if pa.types.is_decimal(arrow) else 0


def held(columns: Sequence[Column], fragments: Iterable[Fragment]) -> Held:
    """By column: the digits before the point its values have at most, None when it has no value at all."""
    found: dict[str, int | None] = {column.name: None for column in columns}
    for fragment in fragments:
        for column in columns:
            if fragment.nulls.get(column.name) == fragment.rows:
                continue
            bounds = [side.get(column.name) for side in (fragment.minimum, fragment.maximum)]
            known = [_digits(each) for each in bounds if isinstance(each, int | Decimal)]
            digits = max(known) if len(known) == 2 else room(column.type)
            found[column.name] = max(found[column.name] or 0, digits)
    return found


def joined(
    name: str,
    there: Sequence[Column],
    given: Sequence[Column],
    holds: Held,
    brings: Held,
) -> tuple[Column, ...]:
    """The columns of a dataset after an append. BadInput where it has other columns, or would narrow one."""
    check_names(name, there, given)
    types = {column.name: column.type for column in given}
    return tuple(
        Column(each.name, _joined(name, each, types[each.name], holds[each.name], brings[each.name]))
        for each in there
    )


def check_names(name: str, there: Sequence[Column], given: Sequence[Column]) -> None:
    """BadInput unless an append brings exactly the columns the dataset has, in any order."""
    known, brought = {column.name for column in there}, {column.name for column in given}
    for column in given:
        if column.name not in known:
            raise BadInput(
                f"Dataset {name!r} has no column {column.name!r} to append to; "
                "leave it out or use mode 'replace'."
            )
    for column in there:
        if column.name not in brought:
            raise BadInput(
                f"Column {column.name!r} of dataset {name!r} is missing from what is appended; "
                "name its source in options.columns or use mode 'replace'."
            )


def narrowing(name: str, column: str, there: str, given: str) -> str:
    """Why a type does not go into a column, and what to do."""
    return (
        f"Column {column!r} is {there} in dataset {name!r} but {given} here; give it that type in "
        "options.columns, use mode 'replace', or import into another dataset."
    )


def rewritten(
    store: Store, fragment: Fragment, columns: Sequence[Column], time_column: str | None, key: str
) -> Fragment:
    """The same rows in the types of `columns`, as a fragment of its own."""
    names = [column.name for column in columns]
    tables = list(read_row_groups(store, fragment.path, None, names))
    whole = pa.concat_tables(tables) if tables else pa.table({name: pa.nulls(0) for name in names})
    arrays = [_cast(whole[column.name], column.arrow) for column in columns]
    return write_fragment(store, key, pa.Table.from_arrays(arrays, names=names), time_column)


def _joined(name: str, there: Column, given: str, holds: int | None, brings: int | None) -> str:
    if brings is None:  # nulls are of every type
        return there.type
    kind = given if holds is None else wider(there.type, given, holds, brings)
    if kind is None:
        raise BadInput(narrowing(name, there.name, there.type, given))
    return kind


def _cast(values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if values.type == kind:
        return values
    if values.null_count == len(values):
        return pa.chunked_array([pa.nulls(len(values), kind)])
    if pa.types.is_integer(values.type) and pa.types.is_decimal(kind):
        values = values.cast(pa.decimal128(_INTEGER_DIGITS, 0))
    return values.cast(kind)


def _scale(kind: str) -> int | None:
    """Digits behind the point; None for what is no exact number."""
    if kind == "integer":
        return 0
    arrow: Any = arrow_type(kind)
    return arrow.scale if pa.types.is_decimal(arrow) else None


def _digits(value: int | Decimal) -> int:
    return len(str(abs(int(value)))) if int(value) else 0
