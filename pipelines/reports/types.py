"""The report types there are. To add one: a file with its parameters and question, a line in REPORTS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.datasets import Dataset
from pipelines.plan import Json
from pipelines.reports import aggregate, cohort, compare, distribution, pivot, profile, top, yearly_sales
from pipelines.reports.question import Question
from pipelines.reports.shape import Parameters
from pipelines.reports.table import Reply, Shown


@dataclass(frozen=True)
class ReportType:
    """`question(parameters, dataset)` raises InvalidRequest; `file_name(parameters)` lacks the ending.

    The answer of the question is the report, unless there is a `finish(parameters, replies)`: it makes the
    report of the answers, which are small, on a worker. `example` is a value of `parameters`.
    """

    name: str
    title: str
    description: str
    Parameters: type[Parameters]
    question: Callable[[Any, Dataset], Question | Sequence[Question]]
    file_name: Callable[[Any], str]
    finish: Callable[[Any, Sequence[Reply]], Shown] | None = None
    example: Json | None = None


REPORTS: dict[str, ReportType] = {
    "yearly-sales": ReportType(
        yearly_sales.NAME,
        yearly_sales.TITLE,
        yearly_sales.DESCRIPTION,
        yearly_sales.YearlySalesParameters,
        yearly_sales.question,
        yearly_sales.file_name,
        example=yearly_sales.EXAMPLE,
    ),
    "aggregate": ReportType(
        aggregate.NAME,
        aggregate.TITLE,
        aggregate.DESCRIPTION,
        aggregate.AggregateParameters,
        aggregate.question,
        aggregate.file_name,
        example=aggregate.EXAMPLE,
    ),
    "top": ReportType(
        top.NAME,
        top.TITLE,
        top.DESCRIPTION,
        top.TopParameters,
        top.question,
        top.file_name,
        top.finish,
        top.EXAMPLE,
    ),
    "pivot": ReportType(
        pivot.NAME,
        pivot.TITLE,
        pivot.DESCRIPTION,
        pivot.PivotParameters,
        pivot.question,
        pivot.file_name,
        pivot.finish,
        pivot.EXAMPLE,
    ),
    "compare": ReportType(
        compare.NAME,
        compare.TITLE,
        compare.DESCRIPTION,
        compare.CompareParameters,
        compare.question,
        compare.file_name,
        compare.finish,
        compare.EXAMPLE,
    ),
    "cohort": ReportType(
        cohort.NAME,
        cohort.TITLE,
        cohort.DESCRIPTION,
        cohort.CohortParameters,
        cohort.question,
        cohort.file_name,
        cohort.finish,
        cohort.EXAMPLE,
    ),
    "distribution": ReportType(
        distribution.NAME,
        distribution.TITLE,
        distribution.DESCRIPTION,
        distribution.DistributionParameters,
        distribution.question,
        distribution.file_name,
        distribution.finish,
        distribution.EXAMPLE,
    ),
    "profile": ReportType(
        profile.NAME,
        profile.TITLE,
        profile.DESCRIPTION,
        profile.ProfileParameters,
        profile.question,
        profile.file_name,
        profile.finish,
        profile.EXAMPLE,
    ),
}


def describe() -> list[Json]:
    """Every report type with the JSON Schema of its parameters and a body: for `/api/report-types`."""
    return [
        {
            "name": each.name,
            "title": each.title,
            "description": each.description,
            "parameters": each.Parameters.model_json_schema(by_alias=True),
            **({"example": {"reportType": each.name, "parameters": each.example}} if each.example else {}),
        }
        for each in REPORTS.values()
    ]
