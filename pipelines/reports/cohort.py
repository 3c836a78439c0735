"""`cohort`: who came first when, and how many of them came again in each period after.

An entity belongs to the period of its first row; rows that 'where' leaves out count as if they were not
there. `since` is how many periods later, 0 the first; `active` how many of the cohort had a row then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from pipelines.datasets import Dataset
from pipelines.plan import Json
from pipelines.reports import grains
from pipelines.reports.draft import Draft
from pipelines.reports.entries import Asking, ColumnName, add_conditions
from pipelines.reports.grains import Grain
from pipelines.reports.question import Condition, Question
from pipelines.reports.shape import AT
from pipelines.reports.table import Chart, Reply, Shown
from pipelines.reports.vector import Array

NAME = "cohort"
TITLE = "Cohort"
DESCRIPTION = "Retention: of those who first came in a period, how many came again, period by period."
EXAMPLE: Json = {"dataset": "sales", "entity": "customer_id", "grain": "quarter"}


class CohortParameters(Asking):
    """Parameters of `cohort`; `time` is the dataset's own time column where it is left out."""

    STAND_INS: ClassVar[Json] = {"entity": "", "grain": "month"}

    entity: ColumnName = Field(description="the column that says who: a customer, an account, a device")
    time: ColumnName | None = None
    grain: Grain = "month"
    periods: int | None = Field(None, ge=1, le=10_000, description="how many after the first are shown")


def question(parameters: CohortParameters, dataset: Dataset) -> Question:
    """Who was there in which period; or InvalidRequest."""
    draft = Draft(dataset)
    draft.key(parameters.entity, None, "entity", f"{AT}/entity")
    time = draft.time(parameters.time, f"{AT}/time")
    if time is not None:
        draft.key(time, parameters.grain, "period", f"{AT}/grain")
        draft.condition(Condition(time, "not-null"), AT)
    if parameters.entity in draft.kinds:
        draft.condition(Condition(parameters.entity, "not-null"), AT)
    add_conditions(draft, parameters.where)
    return draft.question()


def file_name(parameters: CohortParameters) -> str:
    return f"cohort-{parameters.dataset}"


def finish(parameters: CohortParameters, replies: Sequence[Reply]) -> Shown:
    """A row for each cohort and period since: its size, how many were active, their share."""
    table = replies[0].table
    periods = table["period"]
    number = grains.numbered(periods, parameters.grain)
    first = _first(table["entity"], number)
    width = int(number.max() - number.min()) + 1 if len(number) else 1
    pairs, active = np.unique(first * width + (number - first), return_counts=True)
    cohort, since = pairs // width, pairs % width
    starts, sizes = cohort[since == 0], active[since == 0]
    last = int(number.max(initial=0))
    most = last if parameters.periods is None else parameters.periods
    lengths = np.minimum(last - starts, most) + 1
    row = np.repeat(np.arange(len(starts)), lengths)
    offset = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    counts = np.zeros(len(row), np.int64)
    place = np.searchsorted(starts, cohort)
    shown = since < lengths[place]
    counts[(np.cumsum(lengths) - lengths)[place[shown]] + since[shown]] = active[shown]
    found = pa.table(
        {
            "cohort": grains.of_numbers(starts[row], parameters.grain, periods.type),
            "since": pa.array(offset, pa.int64()),
            "size": pa.array(sizes[row], pa.int64()),
            "active": pa.array(counts, pa.int64()),
            "share": pa.array(counts / np.maximum(sizes[row], 1), pa.float64()),
        }
    )
    chart = Chart("heat", ["cohort"], ["share"], ["since"])
    return Shown(found, {"cohort": parameters.grain}, ["cohort", "since"], chart)


def _first(entity: pa.ChunkedArray, number: Array) -> Array:
    """The first period of the entity of each row; rows come in the order of entities, then periods."""
    if not len(number):
        return number
    codes = entity.combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    starts = np.flatnonzero(np.concatenate([[True], codes[1:] != codes[:-1]]))
    return np.repeat(number[starts], np.diff(starts, append=len(number)))
