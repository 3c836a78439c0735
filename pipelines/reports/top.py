"""`top`: the groups with the most of a measure, with their rank and their share of the whole.

Two questions: the first n groups and one more, which tells whether the cut goes through a tie; and the same
measures of all rows. Equal groups share a rank, and the next one is as far behind as there are of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import Field

from pipelines.datasets import Dataset
from pipelines.plan import Json
from pipelines.reports.draft import Draft
from pipelines.reports.entries import (
    Asking,
    KeyOrName,
    MeasureEntry,
    add_conditions,
    add_keys,
    add_measures,
)
from pipelines.reports.question import Order, Question
from pipelines.reports.shape import AT
from pipelines.reports.table import Chart, Reply, Shown

NAME = "top"
TITLE = "Top"
DESCRIPTION = "The groups with the most of a measure: rank, value, share of the whole, the others together."
EXAMPLE: Json = {
    "dataset": "sales",
    "by": ["product_id"],
    "measures": [{"op": "sum", "of": "quantity * unit_price", "as": "revenue"}],
    "n": 10,
    "others": True,
}
_ADDITIVE = ("sum", "count")  # what the parts of a whole add up to it
OTHERS = "(others)"


class TopParameters(Asking):
    """Parameters of `top`. The first measure ranks; a share is given where it is a sum or a count."""

    STAND_INS: ClassVar[Json] = {"by": [], "measures": [{"op": "count"}]}

    by: list[KeyOrName] = Field(min_length=1, max_length=32)
    measures: list[MeasureEntry] = Field(min_length=1, max_length=100)
    n: int = Field(10, ge=1, le=100_000)
    lowest: bool = Field(False, description="the groups with the least of it")
    others: bool = Field(False, description="a last row, without a rank, for all other groups together")


def question(parameters: TopParameters, dataset: Dataset) -> Sequence[Question]:
    """The first n + 1 groups, and the whole; or InvalidRequest."""
    draft = Draft(dataset)
    draft.reserve("rank", "share")
    add_keys(draft, parameters.by)
    add_measures(draft, parameters.measures)
    add_conditions(draft, parameters.where)
    mixed = next((each for each in parameters.measures if each.op not in _ADDITIVE), None)
    if parameters.others and mixed is not None:
        draft.fault(
            f"{AT}/others",
            f"What {mixed.op!r} gives of the other groups cannot be told from the whole; leave 'others' out "
            "or ask for sum and count only.",
        )
    found = draft.question()
    order = (Order(found.measures[0].name, not parameters.lowest),)
    return [replace(found, order_by=order, limit=parameters.n + 1), replace(found, keys=())]


def file_name(parameters: TopParameters) -> str:
    return f"top-{parameters.n}-{parameters.dataset}"


def finish(parameters: TopParameters, replies: Sequence[Reply]) -> Shown:
    """Rank, keys, measures, share."""
    ranked, whole = replies
    table = ranked.table.slice(0, parameters.n)
    keys = [key.name for key in ranked.question.keys]
    measures = ranked.question.measures
    first = ranked.table[measures[0].name].to_pylist()
    more = len(first) > parameters.n
    ranks = _ranks(first[: parameters.n])
    total = whole.table[measures[0].name][0].as_py()
    with_others = parameters.others and more
    columns: dict[str, pa.Array] = {"rank": pa.array([*ranks, *[None] * with_others], pa.int64())}
    for name in keys:
        others = OTHERS if pa.types.is_string(table[name].type) else None
        columns[name] = pa.array([*table[name].to_pylist(), *[others] * with_others], table[name].type)
    for measure in measures:
        shown, all_ = table[measure.name].to_pylist(), whole.table[measure.name]
        rest = [_less(all_[0].as_py(), shown)] if with_others else []
        columns[measure.name] = pa.array([*shown, *rest], all_.type)
    if measures[0].op in _ADDITIVE:
        values = columns[measures[0].name].to_pylist()
        columns["share"] = pa.array([_share(value, total) for value in values], pa.float64())
    chart = Chart("bars", keys, [measures[0].name])
    notes = []
    if more and _same(first[parameters.n - 1], first[parameters.n]):
        notes.append(
            f"More groups have the same {measures[0].name} as the last one shown; which of them are among "
            f"the first {parameters.n} was decided by the order of {', '.join(keys)}."
        )
    return Shown(pa.table(columns), ranked.grains, keys, chart, tuple(notes))


def _ranks(values: Sequence[Any]) -> list[int]:
    ranks: list[int] = []
    for index, value in enumerate(values):
        tied = index > 0 and _same(value, values[index - 1])
        ranks.append(ranks[-1] if tied else index + 1)
    return ranks


def _same(one: Any, other: Any) -> bool:
    return bool(one == other or (one != one and other != other))


def _less(total: Any, shown: Sequence[Any]) -> Any:
    """What is left of a total; of floats as near as their sums are."""
    known = [value for value in shown if value is not None]
    return None if total is None else total - sum(known, type(total)(0))


def _share(value: Any, total: Any) -> float | None:
    return None if value is None or not total else float(value) / float(total)
