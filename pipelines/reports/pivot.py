"""`pivot`: one row for each group, one column for each value of another; the numbers where they cross.

Columns stand in the order of their values. Where no row is, a count is 0 and any other measure null. A total
over all columns is asked of the rows themselves, so that it is right for means and distinct counts too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from pipelines.datasets import Dataset
from pipelines.errors import BadInput
from pipelines.plan import Json
from pipelines.reports.cells import labels
from pipelines.reports.draft import Draft
from pipelines.reports.entries import (
    Asking,
    KeyOrName,
    MeasureEntry,
    add_conditions,
    add_keys,
    add_measures,
)
from pipelines.reports.question import Measure, Question
from pipelines.reports.table import Chart, Reply, Shown, identify, scattered

NAME = "pivot"
TITLE = "Pivot"
DESCRIPTION = "Rows by columns: a measure for each pair of groups, with the values of one as columns."
EXAMPLE: Json = {
    "dataset": "sales",
    "rows": ["region"],
    "columns": [{"time": "ordered_at", "grain": "quarter"}],
    "measures": [{"op": "sum", "of": "quantity * unit_price", "as": "revenue"}],
    "total": True,
}
_CELLS = 50_000_000  # of a result: what one worker may hold


class PivotParameters(Asking):
    """Parameters of `pivot`. More columns of numbers than `maxColumns` fail the report."""

    STAND_INS: ClassVar[Json] = {"rows": [], "columns": [], "measures": [{"op": "count"}]}

    rows: list[KeyOrName] = Field(max_length=32)
    columns: list[KeyOrName] = Field(min_length=1, max_length=4)
    measures: list[MeasureEntry] = Field(min_length=1, max_length=100)
    max_columns: int = Field(200, alias="maxColumns", ge=1, le=5_000)
    total: bool = Field(False, description="a last column for each measure, over all columns")


def question(parameters: PivotParameters, dataset: Dataset) -> Sequence[Question]:
    """All pairs, and the rows alone where a total is asked for; or InvalidRequest."""
    draft = Draft(dataset)
    add_keys(draft, parameters.rows)
    add_keys(draft, parameters.columns)
    add_measures(draft, parameters.measures)
    add_conditions(draft, parameters.where)
    found = draft.question()
    rows = len(parameters.rows)
    return [found, replace(found, keys=found.keys[:rows])] if parameters.total else [found]


def file_name(parameters: PivotParameters) -> str:
    return f"pivot-{parameters.dataset}"


def finish(parameters: PivotParameters, replies: Sequence[Reply]) -> Shown:
    """The keys of the rows, then a column for each pair of a column's value and a measure."""
    pairs, measures = replies[0], replies[0].question.measures
    rows = [key.name for key in pairs.question.keys[: len(parameters.rows)]]
    across = [key.name for key in pairs.question.keys[len(parameters.rows) :]]
    kept, row = identify(pairs.table, rows)
    heads, column = identify(pairs.table, across)
    size = kept.num_rows if rows else 1
    _check_size(parameters, across, heads.num_rows * len(measures), size)
    columns = {name: kept[name] for name in rows}
    for index, head in enumerate(_heads(heads, across, pairs.grains)):
        (places,) = (column == index).nonzero()
        part = pairs.table.take(pa.array(places))
        for measure in measures:
            values = scattered(part[measure.name], row[places], size)
            name = f"{head} {measure.name}" if len(measures) > 1 else head
            columns[_free(name, columns)] = _nothing(values, measure)
    drawn = [name for name in columns if name not in rows][:: len(measures)]
    if parameters.total:
        for measure in measures:
            name = f"total {measure.name}" if len(measures) > 1 else "total"
            columns[_free(name, columns)] = replies[1].table[measure.name]
    kept_grains = {name: grain for name, grain in pairs.grains.items() if name in rows}
    return Shown(pa.table(columns), kept_grains, rows, Chart("heat", rows, drawn))


def _check_size(parameters: PivotParameters, across: Sequence[str], columns: int, rows: int) -> None:
    if columns > parameters.max_columns:
        raise BadInput(
            f"The pivot would have {columns:,} columns of numbers ({', '.join(across)}), and at most "
            f"{parameters.max_columns:,} are asked for; filter with 'where', take a coarser grain, swap rows "
            "and columns or raise 'maxColumns' (to 5,000)."
        )
    if columns * rows > _CELLS:
        raise BadInput(
            f"The pivot would have {rows:,} rows of {columns:,} columns, and {_CELLS:,} cells are the most "
            "there may be; filter with 'where' or ask for an 'aggregate', which has a row for each pair."
        )


def _heads(heads: pa.Table, names: Sequence[str], grains: dict[str, str]) -> list[str]:
    """What each column is called: its value, several with blanks between."""
    parts = [labels(heads[name], grains.get(name)) for name in names]
    return [" ".join(each) for each in zip(*parts, strict=True)]


def _free(name: str, taken: dict[str, pa.Array]) -> str:
    """A name nobody has: values may look alike, or like the name of a key."""
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    return found


def _nothing(values: pa.Array, measure: Measure) -> pa.Array:
    return pc.fill_null(values, 0) if measure.op in ("count", "distinct") else values
