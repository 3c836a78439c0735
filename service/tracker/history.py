"""Reading the append-only history of jobs; `Transaction.record` writes it, beside each change."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select

from service.eta import Guess, Run
from service.likeness import traits
from service.model import Event, JobState
from service.tracker.records import to_event
from service.tracker.tables import LEADING, event, job

FORESEEN = "foreseen"  # the line that keeps an estimate, to be measured by: it is no news of the job
_PHASES = ("planned", "progress", "sealed", FORESEEN)
_AFTER = ("combining", "finishing", "publishing")  # phases after the last unit


def events(connection: Connection, job_id: str, after: int, limit: int) -> list[Event]:
    rows = connection.execute(
        select(event)
        .where(event.c.job_id == job_id, event.c.sequence > after, event.c.name != FORESEEN)
        .order_by(event.c.sequence)
        .limit(limit)
    )
    return [to_event(row) for row in rows]


def counts(connection: Connection) -> dict[str, int]:
    """Jobs by state."""
    query = select(job.c.state, func.count()).group_by(job.c.state)
    return {row[0]: row[1] for row in connection.execute(query)}


def types(connection: Connection) -> list[tuple[str, str]]:
    """The kinds and types of all jobs, each found in the index from the one before."""
    found: list[tuple[str, str]] = []
    kind = connection.execute(select(func.min(job.c.kind))).scalar()
    while kind is not None:
        own = job.c.kind == kind
        type = connection.execute(select(func.min(job.c.type)).where(own)).scalar()
        while type is not None:
            found.append((kind, type))
            later = select(func.min(job.c.type)).where(own, job.c.type > type)
            type = connection.execute(later).scalar()
        kind = connection.execute(select(func.min(job.c.kind)).where(job.c.kind > kind)).scalar()
    return found


def runs(connection: Connection, kind: str, type: str, limit: int) -> list[Run]:
    """The newest successful runs of a type, without results that were there: what an ETA goes by."""
    rows = connection.execute(
        select(job.c.id, job.c.size, job.c.started, job.c.finished, job.c.parameters)
        .where(job.c.kind == kind, job.c.type == type, job.c.state == JobState.SUCCESSFUL.value, LEADING)
        .where(job.c.started.is_not(None))
        .order_by(job.c.finished.desc())
        .limit(limit)
    ).all()
    lines = defaultdict(list)
    told = select(event.c.job_id, event.c.at, event.c.name, event.c.data)
    told = told.where(event.c.job_id.in_([row.id for row in rows]), event.c.name.in_(_PHASES))
    for line in connection.execute(told.order_by(event.c.sequence)):
        lines[line.job_id].append(line)
    return [_run(row, lines[row.id]) for row in rows]


def _run(row: Row[*tuple[Any, ...]], lines: Sequence[Row[*tuple[Any, ...]]]) -> Run:
    """A run with the seconds before its work began and after its last unit, and what was foreseen of it."""
    begun: datetime = row.started
    worked: datetime | None = None
    guess = None
    for line in lines:
        if line.at < row.started:  # of an earlier run
            continue
        if line.name == "planned":
            begun = line.at
        elif line.name == FORESEEN:
            truth = (row.finished - line.at).total_seconds()
            guess = Guess(line.data["seconds"], line.data["p90"], truth)
        elif worked is None and line.data.get("phase") in _AFTER:
            worked = line.at
    head = (begun - row.started).total_seconds()
    tail = (row.finished - worked).total_seconds() if worked is not None else 0.0
    seconds = (row.finished - row.started).total_seconds()
    return Run(row.size, seconds, head, tail, guess, traits(row.parameters))
