"""Reading the append-only history of jobs; `Transaction.record` writes it, beside each change."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from service.eta import Run
from service.model import Event, JobState
from service.tracker.records import to_event
from service.tracker.tables import LEADING, event, job


def events(connection: Connection, job_id: str, after: int, limit: int) -> list[Event]:
    rows = connection.execute(
        select(event)
        .where(event.c.job_id == job_id, event.c.sequence > after)
        .order_by(event.c.sequence)
        .limit(limit)
    )
    return [to_event(row) for row in rows]


def counts(connection: Connection) -> dict[str, int]:
    """Jobs by state."""
    query = select(job.c.state, func.count()).group_by(job.c.state)
    return {row[0]: row[1] for row in connection.execute(query)}


def runs(connection: Connection, kind: str, type: str, limit: int) -> list[Run]:
    """The newest successful runs of a type, without results that were there: what the first ETA goes by."""
    rows = connection.execute(
        select(job.c.size, job.c.started, job.c.finished)
        .where(job.c.kind == kind, job.c.type == type, job.c.state == JobState.SUCCESSFUL.value, LEADING)
        .order_by(job.c.finished.desc())
        .limit(limit)
    )
    return [Run(row.size, (row.finished - row.started).total_seconds()) for row in rows]
