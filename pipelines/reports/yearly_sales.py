"""`yearly-sales`: orders, units and revenue of one year, by month and what else is asked."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, WithJsonSchema

from pipelines.datasets import Dataset
from pipelines.plan import Json
from pipelines.reports.draft import Draft
from pipelines.reports.grains import GRAINS
from pipelines.reports.question import Condition, Question
from pipelines.reports.shape import AT, Parameters, pointer

NAME = "yearly-sales"
TITLE = "Yearly sales"
DESCRIPTION = "Orders, units and revenue of one year, by month, category or any other column."
EXAMPLE: Json = {"year": "2023", "by": ["month", "category"]}

_UNITS = "quantity"


def _year(value: Any) -> int:
    year = int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{4}", value) else value
    if not isinstance(year, int) or isinstance(year, bool) or not 1 <= year <= 9999:
        raise ValueError(f"'year' is {value!r}; give four digits such as 2023.")
    return year


Year = Annotated[
    int,
    BeforeValidator(_year),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": "^[0-9]{4}$"},
                {"type": "integer", "minimum": 1, "maximum": 9999},
            ]
        }
    ),
]


class YearlySalesParameters(Parameters):
    """Parameters of `yearly-sales`; the defaults are the columns of the sample dataset.

    An entry of `by` that is a grain (year, quarter, month, week, day, hour) cuts the time column; any other
    is a column.
    """

    STAND_INS: ClassVar[Json] = {"year": 2000}

    year: Year
    dataset: str = "sales"
    time: str = "ordered_at"
    amount: str = Field("quantity * unit_price", description="a column or an expression")
    by: list[str] = Field(default_factory=lambda: ["month"], max_length=32)


def question(parameters: YearlySalesParameters, dataset: Dataset) -> Question:
    """The question, or InvalidRequest."""
    draft = Draft(dataset)
    timed = draft.timed(parameters.time, f"{AT}/time") is not None
    for index, name in enumerate(parameters.by):
        at = AT + pointer("by", index)
        if name not in GRAINS:
            draft.key(name, None, None, at)
        elif timed:
            draft.key(parameters.time, name, name, at)
    draft.measure("count", None, None, "orders", AT)
    if _UNITS in draft.kinds and draft.kinds[_UNITS].numeric:
        draft.measure("sum", _UNITS, None, "units", AT)
    draft.measure("sum", parameters.amount, None, "revenue", AT, f"{AT}/amount")
    if timed:
        for condition in _within(parameters.time, parameters.year):
            draft.condition(condition, AT, f"{AT}/year")
    return draft.question(complete=parameters.complete)


def _within(time: str, year: int) -> list[Condition]:
    start = Condition(time, ">=", f"{year:04}-01-01")
    if year == 9999:
        return [start]
    return [start, Condition(time, "<", f"{year + 1:04}-01-01")]


def file_name(parameters: YearlySalesParameters) -> str:
    return f"yearly-sales-{parameters.year:04}"
