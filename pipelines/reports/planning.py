"""Planning: which row groups a question must read, cut into parts of even weight.

A part is a run of row groups, of as many rows as take `_SECONDS` by what a sample took. Statistics leave out
what cannot satisfy the conditions, first by fragment (in the web process already, for the size), then by row
group.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from pipelines.datasets import Fragment, row_group_rows, row_group_stats
from pipelines.plan import Json, Part
from pipelines.reports import conditions
from pipelines.reports.conditions import Share
from pipelines.reports.question import Condition, Question
from pipelines.reports.vector import Kind
from pipelines.store import Store

_SECONDS = 0.5  # of work a part takes: neither scheduling it nor waiting for it must be felt
_FEWEST, _MOST = 8, 2_000  # parts: progress must move and workers share, the scheduler must not drown
_SMALLEST, _LARGEST = 1 << 16, 1 << 22  # rows of a part
STRETCH = 4  # row groups
_LOG_ROUNDING = timedelta(milliseconds=1)  # table logs keep times in milliseconds

Bounds = Mapping[str, tuple[Any, Any, int | None]]


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a fragment: some row groups that are read, or found to be kept, together.

    `whole`: all row groups there are between the ends of the stretch, and all of their rows count.
    """

    path: str
    row_groups: tuple[int, ...]
    rows: int
    whole: bool

    @property
    def run(self) -> Json:
        return {"path": self.path, "row_groups": list(self.row_groups), "whole": self.whole}


def undecided(
    question: Question, kinds: Mapping[str, Kind], bounds: Bounds, rows: int
) -> tuple[Condition, ...] | None:
    """The conditions that statistics leave open; None when no row can satisfy all."""
    left = []
    for condition in question.where:
        low, high, nulls = bounds.get(condition.column, (None, None, None))
        share = conditions.decide(condition, kinds[condition.column], low, high, nulls, rows)
        if share is Share.NONE:
            return None
        if share is Share.SOME:
            left.append(condition)
    return tuple(left)


def wanted(question: Question, fragments: Iterable[Fragment]) -> list[Fragment]:
    """The fragments that may hold rows of the answer."""
    kinds = _kinds(question)
    names = {condition.column for condition in question.where}
    return [
        fragment
        for fragment in fragments
        if fragment.rows
        and undecided(question, kinds, _fragment_bounds(fragment, names), fragment.rows) is not None
    ]


def pieces(store: Store, question: Question, fragments: Iterable[Fragment]) -> list[Piece]:
    """The stretches to read, in dataset order. Where one ends does not depend on the question."""
    kinds = _kinds(question)
    names = question.stored(condition.column for condition in question.where)
    found = []
    for fragment in wanted(question, fragments):
        rows = row_group_rows(store, fragment.path)
        stats = row_group_stats(store, fragment.path, names) if names else [{}] * len(rows)
        left = [undecided(question, kinds, *each) for each in zip(stats, rows, strict=True)]
        for start in range(0, len(rows), STRETCH):
            span = range(start, min(start + STRETCH, len(rows)))
            chosen = tuple(index for index in span if rows[index] and left[index] is not None)
            whole = len(chosen) == len(span) and not any(left[index] for index in chosen)
            if chosen:
                found.append(Piece(fragment.path, chosen, sum(rows[index] for index in chosen), whole))
    return found


def cut(found: Sequence[Piece], seconds_a_row: float = 0.0) -> tuple[Part, ...]:
    """Pieces as parts; there is always one, so that an empty report has somebody to say so."""
    total = sum(piece.rows for piece in found)
    wanted = min(max(round(total * seconds_a_row / _SECONDS), _FEWEST), _MOST)
    target = max(min(-(-total // wanted), _LARGEST), -(-total // _MOST), _SMALLEST)
    parts: list[Part] = []
    run: list[Piece] = []
    weight = 0
    for piece in found:
        if run and weight + piece.rows // 2 > target:
            parts.append(_part(run))
            run, weight = [], 0
        run.append(piece)
        weight += piece.rows
    if run or not parts:
        parts.append(_part(run))
    return tuple(parts)


def _part(run: Sequence[Piece]) -> Part:
    return Part({"runs": [piece.run for piece in run]}, sum(piece.rows for piece in run))


def _kinds(question: Question) -> dict[str, Kind]:
    return {name: Kind.parse(text) for name, text in question.kinds.items()}


def _fragment_bounds(fragment: Fragment, names: Iterable[str]) -> Bounds:
    return {
        name: (
            _moved(fragment.minimum.get(name), -_LOG_ROUNDING),
            _moved(fragment.maximum.get(name), _LOG_ROUNDING),
            fragment.nulls.get(name),
        )
        for name in names
    }


def _moved(value: Any, by: timedelta) -> Any:
    """A bound of times, wide enough for what the log rounded off; others as they are."""
    if not isinstance(value, date) or type(value) is date:
        return value
    try:
        return value + by
    except OverflowError:
        return value
