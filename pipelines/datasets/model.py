"""What a dataset is: columns with logical types, fragments with statistics, one version of it all.

Pure values and the mapping between type names and Arrow types; no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from pipelines.errors import BadInput, nearest
from pipelines.plan import Json

_DATASET_NAME = re.compile(r"[a-z0-9_][a-z0-9_-]{0,63}")
_DECIMAL = re.compile(r"decimal\((\d+),(\d+)\)")
_PLAIN: dict[str, pa.DataType] = {
    "integer": pa.int64(),
    "float": pa.float64(),
    "text": pa.string(),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", "UTC"),
    "date": pa.date32(),
    "boolean": pa.bool_(),
}
_NAMES = {arrow: name for name, arrow in _PLAIN.items()}


def is_dataset_name(name: str) -> bool:
    """Lower-case letters, digits, `_` and `-`; at most 64; no `-` in front."""
    return _DATASET_NAME.fullmatch(name) is not None


def dataset_key(name: str) -> str:
    """Where a dataset lives in the store. ValueError for what is not a dataset name."""
    if not is_dataset_name(name):
        raise ValueError(f"{name!r} is not a dataset name")
    return f"datasets/{name}"


def arrow_type(name: str) -> pa.DataType:
    """The Arrow type of a logical type name; ValueError for an unknown one."""
    if name in _PLAIN:
        return _PLAIN[name]
    found = _DECIMAL.fullmatch(name)
    if found is None or not 1 <= int(found[1]) <= 38 or int(found[2]) > int(found[1]):
        raise ValueError(f"{name!r} is not a column type")
    return pa.decimal128(int(found[1]), int(found[2]))


def column_type(arrow: pa.DataType) -> str:
    """The logical type name of one of our Arrow types; ValueError for any other."""
    if pa.types.is_decimal(arrow):
        return f"decimal({arrow.precision},{arrow.scale})"
    if arrow not in _NAMES:
        raise ValueError(f"{arrow} is not a logical type")
    return _NAMES[arrow]


@dataclass(frozen=True, slots=True)
class Column:
    """A name and a type: integer, float, decimal(p,s), text, timestamp, timestamptz, date or boolean."""

    name: str
    type: str

    @property
    def arrow(self) -> pa.DataType:
        return arrow_type(self.type)


@dataclass(frozen=True, slots=True)
class Fragment:
    """One Parquet file of a dataset. `path` is its store key, `bytes` its size; statistics may lack columns.

    A column is in `minimum` and `maximum` only when both hold for every value that is not null (NaN aside).
    """

    path: str
    rows: int
    bytes: int
    row_groups: int
    minimum: Mapping[str, Any]
    maximum: Mapping[str, Any]
    nulls: Mapping[str, int]

    def to_json(self) -> Json:
        """Small JSON that keeps decimals and times exact."""
        bounds = {
            name: {k: _tagged(v) for k, v in getattr(self, name).items()} for name in ("minimum", "maximum")
        }
        return {
            **{each: getattr(self, each) for each in ("path", "rows", "bytes", "row_groups")},
            **bounds,
        } | {"nulls": dict(self.nulls)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Fragment:
        bounds = {name: {k: _untagged(v) for k, v in value[name].items()} for name in ("minimum", "maximum")}
        return cls(**{**value, **bounds})


@dataclass(frozen=True, slots=True)
class Dataset:
    """One version of a dataset. `id` tells a dataset from a later one of the same name."""

    name: str
    version: int
    columns: tuple[Column, ...]
    rows: int
    bytes: int
    time_column: str | None
    id: str = ""

    @property
    def arrow_schema(self) -> pa.Schema:
        """The logical Arrow schema: what every reader hands out."""
        return pa.schema([(column.name, column.arrow) for column in self.columns])

    def column(self, name: str) -> Column:
        """The column of that name; BadInput with the nearest names for none."""
        for column in self.columns:
            if column.name == name:
                return column
        known = nearest(name, (column.name for column in self.columns))
        raise BadInput(f"Dataset {self.name!r} has no column {name!r}{known}")


def find_time_column(columns: Iterable[Column]) -> str | None:
    """What a dataset is clustered by when nobody says: its first timestamp, else its first date."""
    by_type: dict[str, str] = {}
    for column in columns:
        kind = "timestamp" if column.type.startswith("timestamp") else column.type
        by_type.setdefault(kind, column.name)
    return by_type.get("timestamp") or by_type.get("date")


def _tagged(value: Any) -> Any:
    if isinstance(value, Decimal):
        return {"decimal": str(value)}
    if isinstance(value, datetime):
        return {"time": value.isoformat()}
    return {"date": value.isoformat()} if isinstance(value, date) else value


def _untagged(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    ((tag, text),) = value.items()
    if tag == "decimal":
        return Decimal(text)
    return datetime.fromisoformat(text) if tag == "time" else date.fromisoformat(text)
