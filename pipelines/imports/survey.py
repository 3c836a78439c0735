"""What planning finds out about a file: its columns and what they become, its parts, its digest.

Joins what the header says, what the options ask and what the dataset appended to demands. Shared by all
formats; reads nothing itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from pipelines.datasets import Column
from pipelines.errors import BadInput, nearest
from pipelines.imports.convert import Target
from pipelines.plan import Json, Part

UNDECIDED = ""  # type of a column that only its values can decide
SOME_DECIMAL = "decimal"  # decimal asked for, precision and scale left to the values


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """One column of the file: its place and name there, its name and type in the dataset."""

    index: int
    source: str
    name: str
    type: str
    format: str | None = None

    @property
    def target(self) -> Target:
        return Target(self.type, self.format)

    def typed(self, name: str) -> SourceColumn:
        return replace(self, type=name)

    def to_json(self) -> Json:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Survey:
    """All that a format learns from one pass over its file."""

    columns: tuple[SourceColumn, ...]
    parts: tuple[Part, ...]
    dialect: Mapping[str, Any]
    sha256: str


def columns_of(spec: Json) -> tuple[SourceColumn, ...]:
    """The columns of a planned spec."""
    return tuple(SourceColumn(**each) for each in spec["columns"])


def settle(names: Sequence[str], spec: Json) -> list[SourceColumn]:
    """The file's columns under their final names, typed as far as options and an existing dataset say.

    BadInput for empty and repeated names, and for options of columns the file lacks.
    """
    _check_names(names)
    wanted: Json = spec["options"].get("columns", {})
    for source in wanted:
        if source not in names:
            known = nearest(source, names)
            raise BadInput(f"The file has no column {source!r}, which options.columns names{known}")
    there = dict(spec["target"]["columns"]) if spec["target"] else None
    columns = []
    for index, source in enumerate(names):
        option = wanted.get(source) or {}
        name = option.get("name") or source
        kind = option.get("type") or UNDECIDED
        if there is not None and kind in (UNDECIDED, SOME_DECIMAL):
            kind = there.get(name, kind)
        columns.append(SourceColumn(index, source, name, kind, option.get("format")))
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


def _check_names(names: Sequence[str]) -> None:
    for place, name in enumerate(names, 1):
        if not name.strip():
            raise BadInput(
                f"Column {place} of the header has no name; name it in the file, "
                "or set options.header to false and options.skip to 1."
            )
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        places = [str(place) for place, name in enumerate(names, 1) if name == repeated[0]]
        raise BadInput(
            f"The header names {repeated[0]!r} more than once (columns {', '.join(places)}); "
            "rename it in the file, or set options.header to false and options.skip to 1."
        )


def _check_targets(columns: Sequence[SourceColumn]) -> None:
    seen: dict[str, SourceColumn] = {}
    for column in columns:
        twin = seen.setdefault(column.name.lower(), column)
        if twin is not column:
            raise BadInput(
                f"Columns {twin.source!r} and {column.source!r} would both be called {column.name!r} "
                "(upper and lower case count as the same); give one another name in options.columns."
            )
