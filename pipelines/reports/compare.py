"""`compare`: every measure now and before, the difference, and the difference as a share of before.

Either two spans of time, `current` and `previous`, or a grain and how many of it lie between: then there is
a row for each period, beside what it was `shift` periods earlier. A span is from its first moment to its
last, which is excluded.

A group that is missing on one side is shown, with null there. Its difference counts nothing as zero for sum,
count and distinct, and is null for other measures; a share of nothing or of zero is null. Differences of
exact numbers are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from pipelines.datasets import Dataset
from pipelines.errors import Fault, InvalidRequest
from pipelines.plan import Json
from pipelines.reports import arithmetic, conditions, grains
from pipelines.reports.answer import kind_of
from pipelines.reports.draft import Draft
from pipelines.reports.entries import (
    Asking,
    ColumnName,
    KeyOrName,
    MeasureEntry,
    add_conditions,
    add_keys,
    add_measures,
)
from pipelines.reports.expression import parse
from pipelines.reports.grains import Grain
from pipelines.reports.program import prepare
from pipelines.reports.question import Condition, Measure, Question
from pipelines.reports.shape import AT, Entry
from pipelines.reports.table import Chart, Reply, Shown, identify, scattered
from pipelines.reports.vector import Vector, from_arrow, shown

NAME = "compare"
TITLE = "Compare"
DESCRIPTION = "Period over period: measures now and before, the difference and the relative change."
EXAMPLE: Json = {
    "dataset": "sales",
    "by": ["region"],
    "measures": [{"op": "sum", "of": "quantity * unit_price", "as": "revenue"}],
    "current": {"from": "2023-01-01", "to": "2024-01-01"},
    "previous": {"from": "2022-01-01", "to": "2023-01-01"},
}
_FROM_ZERO = ("sum", "count", "distinct")  # what nothing counts as zero for
_COUNTS = ("count", "distinct")


class Span(Entry):
    """From a moment up to another, which is excluded; dates or times as in a condition."""

    start: str = Field(alias="from")
    end: str = Field(alias="to")


class CompareParameters(Asking):
    """Parameters of `compare`; `time` is the dataset's own time column where it is left out.

    `current` and `previous`, or `grain` with `shift` (1), which may be bounded by `from` and `to`.
    """

    STAND_INS: ClassVar[Json] = {"measures": [{"op": "count"}], "grain": "month"}

    time: ColumnName | None = None
    by: list[KeyOrName] = Field(default_factory=list, max_length=32)
    measures: list[MeasureEntry] = Field(min_length=1, max_length=100)
    current: Span | None = None
    previous: Span | None = None
    grain: Grain | None = None
    shift: int | None = Field(None, ge=1, le=10_000, description="how many periods before; 1")
    start: str | None = Field(None, alias="from")
    end: str | None = Field(None, alias="to")

    @property
    def steps(self) -> int:
        return self.shift or 1

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        spans = (self.current, self.previous)
        if self.grain is None and None in spans:
            raise ValueError(
                "Nothing says what is compared: give 'current' and 'previous', or 'grain' and 'shift'."
            )
        if self.grain is not None and spans != (None, None):
            raise ValueError("'current' and 'previous' exclude 'grain'; leave one of the two ways out.")
        if self.grain is None and (self.shift, self.start, self.end) != (None, None, None):
            raise ValueError("'shift', 'from' and 'to' belong to 'grain'; leave them out or give a grain.")
        return self


def question(parameters: CompareParameters, dataset: Dataset) -> Sequence[Question]:
    """Two spans, or all periods; or InvalidRequest."""
    draft = Draft(dataset)
    time = draft.time(parameters.time, f"{AT}/time")
    if time is not None and parameters.grain is not None:
        draft.key(time, parameters.grain, None, f"{AT}/grain")
    add_keys(draft, parameters.by)
    add_measures(draft, parameters.measures)
    add_conditions(draft, parameters.where)
    if time is not None:
        _bound(draft, parameters, time)
    found = draft.question()
    faults = [*_words(found, parameters), *_twice(found)]
    if faults:
        raise InvalidRequest(faults)
    if parameters.grain is not None:
        return [found]
    own = len(parameters.where)
    user, spans = found.where[:own], found.where[own:]
    return [replace(found, where=user + spans[:2]), replace(found, where=user + spans[2:])]


def _bound(draft: Draft, parameters: CompareParameters, time: str) -> None:
    """The conditions of the spans, two each; or of all periods, and of those before them."""
    if parameters.grain is None:
        for name, span in (("current", parameters.current), ("previous", parameters.previous)):
            if span is not None:
                _add_span(draft, span, time, f"{AT}/{name}")
        return
    draft.condition(Condition(time, "not-null"), AT)
    for op, name, value in ((">=", "from", parameters.start), ("<", "to", parameters.end)):
        if value is not None:
            found = _edge(draft, Condition(time, op, value), f"{AT}/{name}", parameters)
            draft.condition(found, AT, f"{AT}/{name}")


def _add_span(draft: Draft, span: Span, time: str, at: str) -> None:
    kind = draft.kinds[time]
    ends = (Condition(time, ">=", span.start), Condition(time, "<", span.end))
    for end, name in zip(ends, ("from", "to"), strict=True):
        draft.condition(end, at, f"{at}/{name}")
    if any(conditions.problem(end, kind) is not None for end in ends):
        return
    first, last = (grains.ticks(datetime.fromisoformat(end.value), kind) for end in ends)
    if first >= last:
        draft.fault(f"{at}/to", f"{span.end!r} is not after 'from'; name a later moment.")


def _edge(draft: Draft, asked: Condition, at: str, parameters: CompareParameters) -> Condition:
    """An end of the periods; the first one is earlier by what is compared with."""
    kind, grain = draft.kinds[asked.column], parameters.grain or "day"
    if conditions.problem(asked, kind) is not None:
        return asked
    moment = datetime.fromisoformat(asked.value)
    if not grains.begins(moment, kind, grain):
        draft.fault(at, f"{asked.value!r} is not where a {grain} begins; name the first moment of one.")
    elif asked.op == ">=":
        try:
            first = grains.bucket(moment, grain, pa.timestamp("us"))
            return replace(asked, value=grains.moved(first, grain, -parameters.steps)[0].as_py().isoformat())
        except (OverflowError, ValueError):
            draft.fault(at, f"There is no {grain} {parameters.steps} before {asked.value!r}; lower 'shift'.")
    return asked


def _names(measure: Measure) -> tuple[str, str, str]:
    return f"{measure.name}_before", f"{measure.name}_change", f"{measure.name}_change_share"


def _twice(found: Question) -> list[Fault]:
    """Names that the columns added here would share with others."""
    names = {*(key.name for key in found.keys), *(measure.name for measure in found.measures)}
    return [
        Fault(f"{AT}/measures/{index}/as", f"Two columns would be called {name!r}; give another name.")
        for index, measure in enumerate(found.measures)
        for name in _names(measure)
        if name in names
    ]


def _words(found: Question, parameters: CompareParameters) -> list[Fault]:
    """Measures that are no numbers."""
    program = prepare(found)
    return [
        Fault(f"{asked.at}/of", f"{measure.of!r} is no number, and only numbers have differences.")
        for asked, measure in zip(parameters.measures, found.measures, strict=True)
        if measure.op in ("min", "max", "first", "last")
        and measure.of is not None
        and not program.kind(program.nodes[measure.of]).numeric
    ]


def file_name(parameters: CompareParameters) -> str:
    return f"compare-{parameters.dataset}"


def finish(parameters: CompareParameters, replies: Sequence[Reply]) -> Shown:
    """Keys, then for each measure now, before, change and its share."""
    question, now = replies[0].question, replies[0].table
    keys = [key.name for key in question.keys]
    if parameters.grain is None:
        table = _matched(now, replies[1].table, keys, question.measures)
    else:
        before = now.set_column(0, keys[0], grains.moved(now[keys[0]], parameters.grain, parameters.steps))
        table = _matched(now, before, keys, question.measures)
        table = _within(table, now[keys[0]], parameters)
    first = question.measures[0]
    sides, split = [first.name, _names(first)[0]], keys[1:]
    if parameters.grain is None:
        chart = Chart("bars", keys, sides) if keys else None
    else:
        chart = Chart("lines", keys[:1], sides[:1] if split else sides, split)
    return Shown(table, replies[0].grains, keys, chart)


def _matched(now: pa.Table, before: pa.Table, keys: Sequence[str], measures: Sequence[Measure]) -> pa.Table:
    """Every group of either side, in the order of the keys."""
    found, places = identify(pa.concat_tables([now.select(keys), before.select(keys)]), keys)
    size = found.num_rows if keys else 1
    left, right = places[: now.num_rows], places[now.num_rows :]
    if not keys:  # one row each, which a table without columns does not tell
        left = right = np.zeros(1, np.int64)
    columns: dict[str, pa.Array | pa.ChunkedArray] = {name: found[name] for name in keys}
    for measure in measures:
        sides = [scattered(now[measure.name], left, size), scattered(before[measure.name], right, size)]
        if measure.op in _COUNTS:
            sides = [pc.fill_null(side, 0) for side in sides]
        columns[measure.name], columns[_names(measure)[0]] = sides
        columns |= zip(_names(measure)[1:], _change(measure, *sides), strict=True)
    return pa.table(columns)


def _change(measure: Measure, now: pa.Array, before: pa.Array) -> tuple[pa.Array, pa.Array]:
    """The difference and its share of before."""
    sides = {"now": from_arrow(now, kind_of(now.type)), "before": from_arrow(before, kind_of(before.type))}
    share = arithmetic.evaluate(parse("(now - before) / before"), sides.__getitem__, len(now))
    if measure.op in _FROM_ZERO:
        some = pc.or_(pc.is_valid(now), pc.is_valid(before)).to_numpy(zero_copy_only=False)
        sides = {name: Vector(side.kind, side.data, some) for name, side in sides.items()}
    change = arithmetic.evaluate(parse("now - before"), sides.__getitem__, len(now))
    return shown(change), shown(share)


def _within(table: pa.Table, seen: pa.ChunkedArray, parameters: CompareParameters) -> pa.Table:
    """Only the periods asked for, and none after the last there is."""
    period, last = table.column(0), pc.max(seen)
    if not last.is_valid:
        return table.slice(0, 0)
    keep = pc.less_equal(period, last)
    if parameters.start is not None and parameters.grain is not None:
        moment = datetime.fromisoformat(parameters.start)
        first = grains.bucket(moment, parameters.grain, period.type)[0]
        keep = pc.and_(keep, pc.greater_equal(period, first))
    return table.filter(keep)
