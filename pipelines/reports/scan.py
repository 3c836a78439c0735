"""Scanning: the row groups of a part, read one by one with the columns each needs, made into one partial.

What statistics already tell is not read: a condition that all rows satisfy, a time column whose rows all
fall in one bucket. Text comes as dictionary codes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from pipelines.datasets import read_row_groups, row_group_rows, row_group_stats
from pipelines.plan import Json
from pipelines.reports import grains
from pipelines.reports.kernel import Batch, Partial, empty, merge, summarise
from pipelines.reports.planning import Bounds, undecided
from pipelines.reports.program import Program
from pipelines.reports.question import Condition
from pipelines.store import Store

_MERGE_AT = 1 << 20  # groups and tallied values kept before they are put together


@dataclass(frozen=True, slots=True)
class _Read:
    """A row group and what must be read of it."""

    index: int
    rows: int
    where: tuple[Condition, ...]
    buckets: Mapping[int, int]
    columns: tuple[str, ...]


def scan(program: Program, store: Store, payload: Json, progress: Callable[[int], None]) -> Partial:
    """The partial of a part. `progress` gets the rows done so far after each row group, and may raise."""
    partials: list[Partial] = []
    done = kept = 0
    for run in payload["runs"]:
        for rows, partial in _partials(program, store, run):
            partials.append(partial)
            kept += partial.entries
            if kept > _MERGE_AT:
                partials = [merge(program, partials)]
                kept = 0
            done += rows
            progress(done)
    return merge(program, partials) if partials else empty(program)


def _partials(program: Program, store: Store, run: Json) -> Iterator[tuple[int, Partial]]:
    """The partial of each row group with the rows it cost."""
    texts = [name for name, kind in program.kinds.items() if kind.word == "text"]
    for columns, group in groupby(_reads(program, store, run), key=lambda read: read.columns):
        reads = list(group)
        dictionary = [name for name in texts if name in columns]
        indexes = [read.index for read in reads]
        tables = read_row_groups(store, run["path"], indexes, columns, dictionary=dictionary)
        for read, table in zip(reads, tables, strict=True):
            yield read.rows, summarise(program, Batch(program, table, read.where, read.buckets))


def _reads(program: Program, store: Store, run: Json) -> Iterator[_Read]:
    question = program.question
    timed = {key.column for key in question.keys if key.grain}
    names = list(dict.fromkeys([*(condition.column for condition in question.where), *timed]))
    rows = row_group_rows(store, run["path"])
    stats = row_group_stats(store, run["path"], names) if names else [{}] * len(rows)
    for index in run["row_groups"]:
        where = undecided(question, program.kinds, stats[index], rows[index])
        buckets = _buckets(program, stats[index])
        left = question.where if where is None else where
        yield _Read(index, rows[index], left, buckets, _columns(program, left, buckets))


def _buckets(program: Program, bounds: Bounds) -> dict[int, int]:
    """Time keys that are one value in a whole row group, by the number of the key."""
    found = {}
    for index, key in enumerate(program.question.keys):
        low, high, nulls = bounds.get(key.column, (None, None, None))
        if key.grain is None or nulls != 0:
            continue
        bucket = grains.single(key.grain, program.kinds[key.column], low, high)
        if bucket is not None:
            found[index] = bucket
    return found


def _columns(program: Program, where: tuple[Condition, ...], buckets: Mapping[int, int]) -> tuple[str, ...]:
    keys = [key.column for index, key in enumerate(program.question.keys) if index not in buckets]
    names = [*keys, *(condition.column for condition in where), *program.columns()]
    return tuple(dict.fromkeys(names))
