"""`aggregate`: any dataset, any question. The parameters as the contract has them, made into a Question."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from pipelines.datasets import Dataset
from pipelines.plan import Json
from pipelines.reports.draft import Draft
from pipelines.reports.entries import (
    Asking,
    KeyOrName,
    MeasureEntry,
    OrderEntry,
    add_conditions,
    add_keys,
    add_measures,
)
from pipelines.reports.question import Question

NAME = "aggregate"
TITLE = "Aggregate"
DESCRIPTION = "Any question to any dataset: measures, grouped by columns and time, filtered, sorted and cut."
EXAMPLE: Json = {
    "dataset": "sales",
    "by": ["region", {"time": "ordered_at", "grain": "month"}],
    "measures": [
        {"op": "sum", "of": "quantity * unit_price", "as": "revenue"},
        {"op": "count", "as": "rows"},
    ],
    "where": [{"column": "ordered_at", "op": ">=", "value": "2023-01-01"}],
    "orderBy": [{"column": "revenue", "descending": True}],
}


class AggregateParameters(Asking):
    """Parameters of `aggregate`. A `version` of null is the dataset's current one."""

    STAND_INS: ClassVar[Json] = {"measures": [{"op": "count"}]}

    by: list[KeyOrName] = Field(default_factory=list, max_length=32)
    measures: list[MeasureEntry] = Field(min_length=1, max_length=100)
    order_by: list[OrderEntry] = Field(default_factory=list, alias="orderBy", max_length=32)
    limit: int | None = Field(None, ge=1)


def question(parameters: AggregateParameters, dataset: Dataset) -> Question:
    """The question, or InvalidRequest."""
    draft = Draft(dataset)
    add_keys(draft, parameters.by)
    add_measures(draft, parameters.measures)
    add_conditions(draft, parameters.where)
    for order in parameters.order_by:
        draft.order(order.column, order.descending, f"{order.at}/column")
    return draft.question(parameters.limit, complete=parameters.complete)


def file_name(parameters: AggregateParameters) -> str:
    return f"aggregate-{parameters.dataset}"
