"""What planning finds out about a file: its columns and what they become, its parts, its dialect.

Joins what the header says, what the options ask and what the dataset appended to demands. Shared by all
formats; reads nothing itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pipelines.datasets import Column
from pipelines.errors import BadInput, nearest
from pipelines.imports.convert import Target
from pipelines.plan import Json, Part

UNDECIDED = ""  # type of a column that only its values can decide
SOME_DECIMAL = "decimal"  # decimal asked for, precision and scale left to the values


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """One column of the file: its name there, its name and type in the dataset, how its cells are written.

    `decimal` is None where the file's numbers are written as the options say.
    """

    source: str
    name: str
    type: str
    format: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    nulls: tuple[str, ...] = ()
    doubt: str | None = None

    @property
    def target(self) -> Target:
        return Target(self.type, self.format)

    def typed(self, name: str) -> SourceColumn:
        return replace(self, type=name)

    def to_json(self) -> Json:
        return {**asdict(self), "nulls": list(self.nulls)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> SourceColumn:
        return cls(**{**value, "nulls": tuple(value["nulls"])})


@dataclass(frozen=True, slots=True)
class Survey:
    """All that a format learns from one look at a file.

    `types` are those the file itself declares, `samples` text to guess by before any part is read (columns by
    position), `worded` the columns the file calls text, `place` where the parts find their bytes if not in
    the file itself.
    """

    names: tuple[str, ...]
    parts: tuple[Part, ...]
    dialect: Mapping[str, Any]
    types: Mapping[str, str] = field(default_factory=dict)
    samples: tuple[Any, ...] = ()
    worded: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()
    place: Json | None = None


def columns_of(spec: Json) -> tuple[SourceColumn, ...]:
    """The columns of a planned spec."""
    return tuple(SourceColumn.from_json(each) for each in spec["columns"])


def settle(names: Sequence[str], spec: Json) -> list[SourceColumn]:
    """The file's columns under their final names, typed as far as options and an existing dataset say.

    BadInput for options of columns the file lacks.
    """
    wanted: Json = spec["options"].get("columns", {})
    plain = {name.strip().lower(): name for name in names}
    chosen: dict[str, Any] = {}
    for source, option in wanted.items():
        known = source if source in names else plain.get(" ".join(source.split()).lower())
        if known is None:
            raise BadInput(
                f"The file has no column {source!r}, which options.columns names{nearest(source, names)}"
            )
        chosen[known] = option
    there = dict(spec["target"]["columns"]) if spec["target"] else None
    columns = []
    for source in names:
        option = chosen.get(source) or {}
        name = option.get("name") or source
        kind = option.get("type") or UNDECIDED
        if there is not None and kind in (UNDECIDED, SOME_DECIMAL):
            kind = there.get(name, kind)
        columns.append(SourceColumn(source, name, kind, option.get("format")))
    _check_targets(columns)
    return columns


def in_dataset_order(columns: Sequence[SourceColumn], spec: Json) -> tuple[SourceColumn, ...]:
    """An append writes its columns in the order the dataset has them."""
    if not spec["target"]:
        return tuple(columns)
    order = {name: place for place, (name, _) in enumerate(spec["target"]["columns"])}
    return tuple(sorted(columns, key=lambda column: order.get(column.name, len(order))))


def as_dataset_columns(columns: Sequence[SourceColumn]) -> tuple[Column, ...]:
    return tuple(Column(column.name, column.type) for column in columns)


def no_rows(name: str) -> BadInput:
    return BadInput(f"The file {name!r} has a header but no rows; import a file that has some.")


def _check_targets(columns: Sequence[SourceColumn]) -> None:
    seen: dict[str, SourceColumn] = {}
    for column in columns:
        twin = seen.setdefault(column.name.lower(), column)
        if twin is not column:
            raise BadInput(
                f"Columns {twin.source!r} and {column.source!r} would both be called {column.name!r} "
                "(upper and lower case count as the same); give one another name in options.columns."
            )
