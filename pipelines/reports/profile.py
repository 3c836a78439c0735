"""`profile`: what is in each column: nulls, different values, smallest, largest, mean, the most frequent.

A row for each column. Values of all types stand as text, as csv writes them. All numbers are exact: how many
different values there are is how many groups the question for the most frequent ones has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
from pydantic import Field

from pipelines.datasets import Dataset
from pipelines.plan import Json
from pipelines.reports.cells import labels
from pipelines.reports.draft import Draft
from pipelines.reports.entries import Asking, ColumnName, add_conditions
from pipelines.reports.expression import quoted
from pipelines.reports.question import Condition, Order, Question
from pipelines.reports.shape import AT, pointer
from pipelines.reports.table import Chart, Reply, Shown

NAME = "profile"
TITLE = "Profile"
DESCRIPTION = "What is in each column: nulls, different values, smallest, largest, the most frequent values."
EXAMPLE: Json = {"dataset": "sales", "top": 3}
_TOGETHER = 8  # columns in one question
_MOST = 100


class ProfileParameters(Asking):
    """Parameters of `profile`; without `columns` all there are."""

    columns: list[ColumnName] | None = Field(None, min_length=1, max_length=_MOST)
    top: int = Field(3, ge=0, le=20, description="how many of the most frequent values are shown")


def question(parameters: ProfileParameters, dataset: Dataset) -> Sequence[Question]:
    """The numbers of some columns at a time, then the most frequent values of each; or InvalidRequest."""
    names = parameters.columns or [column.name for column in dataset.columns]
    check = Draft(dataset)
    for index, name in enumerate(names):
        check.kind(name, AT + pointer("columns", index))
    if len(names) > _MOST:
        said = f"The dataset has {len(names)} columns, and a profile takes {_MOST}; name those to look at."
        check.fault(f"{AT}/columns", said)
    if len(set(names)) < len(names):
        check.fault(f"{AT}/columns", "A column is named twice; name each once.")
    add_conditions(check, parameters.where)
    check.check()
    some = [names[start : start + _TOGETHER] for start in range(0, len(names), _TOGETHER)]
    numbers = [_numbers(Draft(dataset), each, parameters) for each in some]
    return [*numbers, *(_frequent(Draft(dataset), name, parameters) for name in names)]


def _numbers(draft: Draft, names: Sequence[str], parameters: ProfileParameters) -> Question:
    draft.measure("count", None, None, "rows", AT)
    for name in names:
        ops = ["count", "min", "max", *(["mean"] if draft.kinds[name].numeric else [])]
        for op in ops:
            draft.measure(op, quoted(name), None, f"{op} {name}", AT)
    add_conditions(draft, parameters.where)
    return draft.question()


def _frequent(draft: Draft, name: str, parameters: ProfileParameters) -> Question:
    draft.key(name, None, "value", AT)
    draft.measure("count", None, None, "rows", AT)
    draft.condition(Condition(name, "not-null"), AT)
    add_conditions(draft, parameters.where)
    return replace(draft.question(), order_by=(Order("rows", descending=True),), limit=max(parameters.top, 1))


def file_name(parameters: ProfileParameters) -> str:
    return f"profile-{parameters.dataset}"


def finish(parameters: ProfileParameters, replies: Sequence[Reply]) -> Shown:
    """A row for each column, in the order of the dataset."""
    numbers = [each for each in replies if not each.question.keys]
    frequent = {each.question.keys[0].column: each for each in replies if each.question.keys}
    rows = [
        _row(reply, measure.name.removeprefix("min "), parameters.top, frequent)
        for reply in numbers
        for measure in reply.question.measures
        if measure.op == "min"
    ]
    table = pa.Table.from_pylist(rows, _schema(parameters.top))
    return Shown(table, keys=["column"], chart=Chart("bars", ["column"], ["distinct"]))


def _schema(top: int) -> pa.Schema:
    text, whole, real = pa.string(), pa.int64(), pa.float64()
    plain = {"column": text, "type": text, "rows": whole, "nulls": whole, "null_share": real}
    plain |= {"distinct": whole, "min": text, "max": text, "mean": real}
    most = [
        (f"top_{n}{what}", kind) for n in range(1, top + 1) for what, kind in (("", text), ("_rows", whole))
    ]
    return pa.schema([*plain.items(), *most])


def _row(reply: Reply, name: str, top: int, frequent: dict[str, Reply]) -> dict[str, Any]:
    table = reply.table
    rows, some = table["rows"][0].as_py(), table[f"count {name}"][0].as_py()
    found: dict[str, Any] = {
        "column": name,
        "type": reply.question.kinds[name],
        "rows": rows,
        "nulls": rows - some,
        "null_share": (rows - some) / rows if rows else None,
        "distinct": frequent[name].groups,
    }
    for op in ("min", "max"):
        found[op] = labels(table[f"{op} {name}"], None)[0] if some else None
    if f"mean {name}" in table.column_names:
        found["mean"] = table[f"mean {name}"][0].as_py()
    if top:
        most = frequent[name].table
        values = zip(labels(most["value"], None), most["rows"].to_pylist(), strict=True)
        for n, (value, count) in enumerate(values, 1):
            found |= {f"top_{n}": value, f"top_{n}_rows": count}
    return found
