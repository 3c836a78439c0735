"""The report types there are. To add one: a file with its parameters and question, a line in REPORTS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipelines.datasets import Dataset
from pipelines.plan import Json
from pipelines.reports import aggregate, yearly_sales
from pipelines.reports.question import Question
from pipelines.reports.shape import Parameters


@dataclass(frozen=True)
class ReportType:
    """`question(parameters, dataset)` raises InvalidRequest; `file_name(parameters)` lacks the ending."""

    name: str
    title: str
    description: str
    Parameters: type[Parameters]
    question: Callable[[Any, Dataset], Question]
    file_name: Callable[[Any], str]


REPORTS: dict[str, ReportType] = {
    "yearly-sales": ReportType(
        yearly_sales.NAME,
        yearly_sales.TITLE,
        yearly_sales.DESCRIPTION,
        yearly_sales.YearlySalesParameters,
        yearly_sales.question,
        yearly_sales.file_name,
    ),
    "aggregate": ReportType(
        aggregate.NAME,
        aggregate.TITLE,
        aggregate.DESCRIPTION,
        aggregate.AggregateParameters,
        aggregate.question,
        aggregate.file_name,
    ),
}


def describe() -> list[Json]:
    """Every report type with the JSON Schema of its parameters: what `/api/report-types` answers."""
    return [
        {
            "name": each.name,
            "title": each.title,
            "description": each.description,
            "parameters": each.Parameters.model_json_schema(by_alias=True),
        }
        for each in REPORTS.values()
    ]
