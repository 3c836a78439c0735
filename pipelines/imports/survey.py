"""What planning finds out about a file: its columns and what they become, its parts, its dialect.

Joins what the header says, what the options ask and what the dataset appended to demands. Shared by all
formats; reads nothing itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pipelines.datasets import Column
from pipelines.datasets.widening import narrowing, room, wider
from pipelines.errors import BadInput, nearest
from pipelines.imports.convert import Target
from pipelines.plan import Json, Part

UNDECIDED = ""  # type of a column that only its values can decide
SOME_DECIMAL = "decimal"  # decimal asked for, precision and scale left to the values


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """One column of the file: its name there, its name and type in the dataset, how its cells are written.

    `decimal` is None where the file's numbers are written as the options say; `dress` is the mark of amounts.
    `floor` is the type that the dataset appended to has, and what is read must keep to it or widen it;
    `holds` are the digits before the point of what is there, None when there is no value yet.
    """

    source: str
    name: str
    type: str
    format: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    nulls: tuple[str, ...] = ()
    doubt: str | None = None
    dress: str | None = None
    floor: str | None = None
    holds: int | None = None

    @property
    def target(self) -> Target:
        return Target(self.type, self.format)

    def typed(self, name: str) -> SourceColumn:
        return replace(self, type=name)

    def beside(self, given: str, brings: int) -> str | None:
        """The type for values of a type beside what the dataset has; None when they do not go together."""
        if self.floor is None or self.holds is None:
            return given
        exact = given == "integer" or given.startswith("decimal")
        return self.floor if self.floor == "float" and exact else wider(self.floor, given, self.holds, brings)

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
    columns = []
    for source in names:
        option = chosen.get(source) or {}
        name = option.get("name") or source
        column = SourceColumn(source, name, option.get("type") or UNDECIDED, option.get("format"))
        columns.append(_on_its_floor(column, spec))
    _check_targets(columns)
    return columns


def _on_its_floor(column: SourceColumn, spec: Json) -> SourceColumn:
    """A column of an append, bound by what the dataset has. BadInput when asked to be something else."""
    there = dict(spec["target"]["columns"]) if spec["target"] else {}
    if column.name not in there:
        return column
    column = replace(column, floor=there[column.name], holds=spec["target"]["held"][column.name])
    if column.floor == "text" and column.holds is not None:
        kind = "text" if column.type in (UNDECIDED, SOME_DECIMAL, "text") else None
    else:
        free = column.type in (UNDECIDED, SOME_DECIMAL)
        kind = column.type if free else column.beside(column.type, room(column.type))
    if kind is None:
        raise BadInput(narrowing(spec["dataset"], column.name, str(column.floor), column.type))
    return column.typed(kind)


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
