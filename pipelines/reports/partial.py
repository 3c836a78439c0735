"""A report over what is known so far: the answer of a running job, from the partials that are kept of it.

Runs in the web process, and needs no worker: what parts found out lies in the store (see `reuse`). Where
there are many groups nobody puts them together for a glance, and small reports keep nothing.
"""

from __future__ import annotations

import io
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, cast

from pipelines.datasets import row_group_rows
from pipelines.plan import Json, Plan
from pipelines.reports import render
from pipelines.reports.kernel import Partial
from pipelines.reports.pipeline import shown_of
from pipelines.reports.reuse import Shelf
from pipelines.reports.work import Work
from pipelines.store import Sink, Store

_MOST = 10_000  # rows of the answer


@dataclass(frozen=True, slots=True)
class SoFar:
    """`report` is JSON text, an array of row objects, over `covered` of `total` rows of the dataset."""

    report: str
    rows: int
    covered: int
    total: int

    @property
    def coverage(self) -> float:
        """0 to 1, rounded down."""
        return int(1000 * self.covered / self.total) / 1000 if self.total else 0.0


def so_far(store: Store, plan: Json) -> SoFar | None:
    """The answer over the stretches that are known; None where there is none to be had before the end."""
    found = Plan.from_json(plan)
    works = [Work.from_json(each) for each in found.spec["works"]]
    if any(work.strategy.buckets or work.shelf is None for work in works):
        return None
    shelves = [Shelf(store, work.program, cast(Json, work.shelf)) for work in works]
    partials: dict[int, list[Partial]] = defaultdict(list)
    covered = 0
    for part in found.parts:
        number = part.payload["question"]
        for run in part.payload["runs"]:
            partial = shelves[number].find(run)
            if partial is not None:
                partials[number].append(partial)
                covered += _rows(store, run)
    answers = [work.answer(partials[number]) for number, work in enumerate(works)]
    shown = shown_of(found.spec, works, answers)
    if shown.table.num_rows > _MOST:
        return None
    sink = io.BytesIO()
    render.FORMATS["json"].write(shown, cast(Sink, sink))
    text = sink.getvalue().decode().replace("\n", "")  # in strings they are escaped
    return SoFar(text, shown.table.num_rows, covered, found.total)


def _rows(store: Store, run: dict[str, Any]) -> int:
    rows = row_group_rows(store, run["path"])
    return sum(rows[index] for index in run["row_groups"])
