"""Entries: the parameters that report types share, as the contract has them, and how they join a draft.

What only one type takes stands in the file of that type.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from pipelines.reports.draft import Draft
from pipelines.reports.grains import Grain
from pipelines.reports.question import Condition, Op, Test
from pipelines.reports.shape import Entry, Parameters

ColumnName = Annotated[str, Field(min_length=1, max_length=1_000)]
OutputName = Annotated[str, Field(min_length=1, max_length=200)]


class KeyEntry(Entry):
    """`"region"`, `{"column": "region", "as"?}` or `{"time": "ordered_at", "grain": "month", "as"?}`."""

    column: ColumnName | None = None
    time: ColumnName | None = None
    grain: Grain | None = None
    name: OutputName | None = Field(None, alias="as")

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.column is None) == (self.time is None):
            raise ValueError("A group is a column, or a time with a grain: give one of 'column' and 'time'.")
        if (self.time is None) != (self.grain is None):
            raise ValueError("'time' and 'grain' belong together; give both, such as grain 'month'.")
        return self


def _key(value: Any) -> Any:
    return {"column": value} if isinstance(value, str) else value


KeyOrName = Annotated[
    KeyEntry,
    BeforeValidator(_key),
    WithJsonSchema({"anyOf": [{"type": "string"}, KeyEntry.model_json_schema(by_alias=True)]}),
]


class MeasureEntry(Entry):
    """One column of numbers; without `as` called after op and `of`: sum_quantity, p95_unit_price, count."""

    op: Op
    of: str | None = Field(None, description="a column or an expression: + - * / ( ), numbers, column names")
    q: Annotated[float, Field(ge=0, le=1)] | None = Field(None, description="for quantile, 0 to 1")
    name: OutputName | None = Field(None, alias="as")


class ConditionEntry(Entry):
    """What a row must satisfy."""

    column: ColumnName
    op: Test
    value: Any = None


class OrderEntry(Entry):
    """Sort by a column of the report."""

    column: ColumnName
    descending: bool = False


class Asking(Parameters):
    """What every question to rows takes. A `version` of null is the dataset's current one."""

    dataset: str
    version: int | None = Field(None, ge=0)
    where: list[ConditionEntry] = Field(default_factory=list, max_length=100)

    @property
    def dataset_version(self) -> int | None:
        return self.version


def add_keys(draft: Draft, keys: Iterable[KeyEntry]) -> None:
    """Group by each of them."""
    for key in keys:
        column = key.column or key.time or ""
        at = key.member("column" if key.column else "time")
        draft.key(column, key.grain, key.name, at, f"{key.at}/as" if key.name else at)


def add_measures(draft: Draft, measures: Iterable[MeasureEntry]) -> None:
    for measure in measures:
        draft.measure(measure.op, measure.of, measure.q, measure.name, measure.at)


def add_conditions(draft: Draft, where: Iterable[ConditionEntry]) -> None:
    for each in where:
        draft.condition(Condition(each.column, each.op, each.value), each.at)
