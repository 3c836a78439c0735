"""Scanning: the row groups of a part, read one by one with the columns each needs, made into one partial.

What statistics already tell is not read: a condition that all rows satisfy, a time column whose rows all
fall in one bucket. Text comes as dictionary codes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby, islice

from pipelines.datasets import read_batches, row_group_rows, row_group_stats
from pipelines.plan import Json
from pipelines.reports import grains, lookup
from pipelines.reports.kernel import Batch, Partial, empty, merge, summarise
from pipelines.reports.planning import Bounds, undecided
from pipelines.reports.program import Program
from pipelines.reports.question import Condition
from pipelines.reports.reuse import Shelf
from pipelines.store import Store

_MERGE_AT = 1 << 20  # groups and tallied values kept before they are put together


@dataclass(frozen=True, slots=True)
class _Read:
    """A row group, or several at once, and what must be read of it."""

    indexes: tuple[int, ...]
    rows: int
    where: tuple[Condition, ...]
    buckets: Mapping[int, int]
    columns: tuple[str, ...]


def scan(
    program: Program,
    store: Store,
    payload: Json,
    progress: Callable[[int], None],
    batch: int = 1,
    shelf: Shelf | None = None,
) -> Partial:
    """The partial of a part. `progress` gets the rows done so far after each batch, and may raise.

    `batch` row groups are taken at once: one stays in a core's cache, several are better where rows do not
    become much fewer by grouping them. What is on the shelf is not read.
    """
    partials: list[Partial] = []
    for partial in stretches(program, store, payload, progress, batch, shelf):
        partials.append(partial)
        if sum(each.entries for each in partials) > _MERGE_AT:
            partials = [merge(program, partials)]
    return merge(program, partials) if partials else empty(program)


def stretches(
    program: Program,
    store: Store,
    payload: Json,
    progress: Callable[[int], None],
    batch: int,
    shelf: Shelf | None,
) -> Iterator[Partial]:
    """The partials of a part's runs, see `scan`."""
    done = 0
    for run in payload["runs"]:
        partial = shelf.find(run) if shelf else None
        if partial is None:
            started = time.thread_time()
            partial = _stretch(program, store, run, batch, lambda rows: progress(done + rows))  # noqa: B023
            if shelf:
                shelf.keep(run, partial, time.thread_time() - started)
        yield partial
        done += sum(row_group_rows(store, run["path"])[index] for index in run["row_groups"])
        progress(done)


def _stretch(
    program: Program, store: Store, run: Json, batch: int, progress: Callable[[int], None]
) -> Partial:
    """The partial of one run of row groups."""
    partials, done = [], 0
    for rows, partial in _partials(program, store, run, batch):
        partials.append(partial)
        done += rows
        progress(done)
    return replace(merge(program, partials), read=done)


def _partials(program: Program, store: Store, run: Json, batch: int) -> Iterator[tuple[int, Partial]]:
    """The partial of each batch of row groups with the rows it cost."""
    program = replace(program, tables=lookup.load(store, program.question.lookups))
    texts = [name for name, kind in program.kinds.items() if kind.word == "text"]
    reads = [_joined(program, some) for some in _batched(_reads(program, store, run), batch)]
    for columns, group in groupby(reads, key=lambda read: read.columns):
        same = list(group)
        dictionary = [name for name in texts if name in columns]
        batches = [read.indexes for read in same]
        tables = read_batches(store, run["path"], batches, columns, dictionary=dictionary)
        for read, table in zip(same, tables, strict=True):
            yield read.rows, summarise(program, Batch(program, table, read.where, read.buckets))


def _batched(reads: Iterable[_Read], size: int) -> Iterator[list[_Read]]:
    left = iter(reads)
    while some := list(islice(left, size)):
        yield some


def _joined(program: Program, reads: list[_Read]) -> _Read:
    """Several row groups as one: what one of them must be asked all are, what is known must be so of all."""
    if len(reads) == 1:
        return reads[0]
    where = tuple(each for each in program.question.where if any(each in read.where for read in reads))
    buckets = {
        key: value
        for key, value in reads[0].buckets.items()
        if all(read.buckets.get(key) == value for read in reads)
    }
    indexes = tuple(index for read in reads for index in read.indexes)
    rows = sum(read.rows for read in reads)
    return _Read(indexes, rows, where, buckets, _columns(program, where, buckets))


def _reads(program: Program, store: Store, run: Json) -> Iterator[_Read]:
    question = program.question
    timed = {key.column for key in question.keys if key.grain}
    names = question.stored([*(condition.column for condition in question.where), *timed])
    rows = row_group_rows(store, run["path"])
    stats = row_group_stats(store, run["path"], names) if names else [{}] * len(rows)
    for index in run["row_groups"]:
        where = undecided(question, program.kinds, stats[index], rows[index])
        buckets = _buckets(program, stats[index])
        left = question.where if where is None else where
        yield _Read((index,), rows[index], left, buckets, _columns(program, left, buckets))


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
    return tuple(program.question.stored(program.reach(names)))
