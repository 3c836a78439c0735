"""Strategy: how to compute a question, from what a few row groups of it cost and give.

tree    partials are small: they travel between workers and are combined in a tree
keys    many groups: partials are put aside in pieces by key, each bucket is answered on its own
values  many different values in few groups: pieces by value, whose numbers add up
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pipelines.datasets import row_group_stats
from pipelines.plan import Json
from pipelines.reports import grains, kernel, split
from pipelines.reports.planning import STRETCH, Piece
from pipelines.reports.program import Program
from pipelines.reports.scan import scan
from pipelines.reports.split import Cut
from pipelines.reports.tallies import Distinct
from pipelines.store import Store

SAMPLES = 3  # row groups looked at, spread evenly
MANY = 400_000  # groups, or tallied values, of all parts' partials together: from here on they are split
_BUCKET = 600_000  # of them for one bucket
_BUCKETS = (4, 128)  # at least (workers share them), at most


@dataclass(frozen=True, slots=True)
class Strategy:
    """`by` is tree, keys or values; `cuts` are those between buckets by key; chosen for so many `rows`."""

    by: str = "tree"
    buckets: int = 0
    cuts: Sequence[Cut] = field(default_factory=tuple)
    batch: int = STRETCH
    seconds_a_row: float = 0.0
    rows: int = 0

    def fits(self, rows: int) -> bool:
        """Whether it will do for so many rows."""
        return rows <= 2 * self.rows

    def to_json(self) -> Json:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Json) -> Strategy:
        return cls(**value)


def choose(program: Program, store: Store, found: Sequence[Piece]) -> Strategy:
    """Look at some row groups, if there are so many that it pays."""
    total = sum(piece.rows for piece in found)
    if sum(len(piece.row_groups) for piece in found) <= 2 * SAMPLES:
        return Strategy(rows=total)
    step = len(found) / SAMPLES
    chosen = [found[int(step * (n + 0.5))] for n in range(SAMPLES)]
    started = time.thread_time()
    partials = [scan(program, store, _first(piece), lambda rows: None) for piece in chosen]
    took = time.thread_time() - started
    merged = kernel.merge(program, partials)
    rows = sum(partial.read for partial in partials)
    more = total / rows
    shape: dict[str, Any] = {"seconds_a_row": took / rows, "rows": total}
    groups = _grown([partial.groups.num_rows for partial in partials], merged.groups.num_rows, more)
    entries = _grown([partial.entries for partial in partials], merged.entries, more)
    if groups >= MANY and program.key_kinds:
        at = split.cuts(program, merged, _buckets(entries))
        return Strategy("keys", len(at) + 1, at, **shape)
    if any(isinstance(each.tallying, Distinct) for each in program.tallies) and entries >= MANY:
        times = _times(program, store, found, _buckets(entries))
        if len(times) >= _BUCKETS[0]:
            return Strategy("keys", len(times) + 1, times, **shape)
        return Strategy("values", _buckets(entries), **shape)
    return Strategy(**shape)


def _times(program: Program, store: Store, found: Sequence[Piece], buckets: int) -> list[Cut]:
    """Cuts between times of the first key, if it is one: rows lie in the order of time, so that most parts
    have no more than a few of the buckets."""
    key = program.question.keys[0] if program.question.keys else None
    if key is None or key.grain is None or not program.question.stored([key.column]):
        return []
    starts = set()
    for piece in (found[n * len(found) // buckets] for n in range(1, buckets)):
        low = row_group_stats(store, piece.path, [key.column])[piece.row_groups[0]][key.column][0]
        bucket = grains.single(key.grain, program.kinds[key.column], low, low)
        if bucket is not None:
            starts.add(bucket)
    return [[start] for start in sorted(starts)]


def _grown(each: Sequence[int], together: int, more: float) -> float:
    """How many there will be of `more` times as many rows: those that hardly grew over the samples stay."""
    if len(each) < 2:
        return together * more
    power = math.log(max(together, 1) / max(sum(each) / len(each), 1)) / math.log(len(each))
    return float(together * more ** max(power, 0.0))


def _buckets(entries: float) -> int:
    return min(max(int(entries / _BUCKET), _BUCKETS[0]), _BUCKETS[1])


def _first(piece: Piece) -> Json:
    return {"runs": [{**piece.run, "row_groups": [piece.row_groups[0]]}]}
