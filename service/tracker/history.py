"""The append-only history of jobs: one event a change, in the transaction of the change."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select

from pipelines.plan import Json
from service.eta import Run
from service.model import Event, JobState
from service.tracker.database import Database
from service.tracker.records import to_event
from service.tracker.tables import event, job


def record(connection: Connection, database: Database, job_id: str, name: str, data: Json) -> None:
    """Names: accepted started planned progress requeued successful failed dismissed cancel-requested."""
    connection.execute(insert(event).values(job_id=job_id, at=database.now(), name=name, data=data))


def events(connection: Connection, job_id: str, after: int, limit: int) -> list[Event]:
    rows = connection.execute(
        select(event)
        .where(event.c.job_id == job_id, event.c.sequence > after)
        .order_by(event.c.sequence)
        .limit(limit)
    )
    return [to_event(row) for row in rows]


def runs(connection: Connection, kind: str, type: str, limit: int) -> list[Run]:
    """The newest successful jobs of a type: what the first ETA goes by."""
    rows = connection.execute(
        select(job.c.size, job.c.started, job.c.finished)
        .where(job.c.kind == kind, job.c.type == type, job.c.state == JobState.SUCCESSFUL.value)
        .order_by(job.c.finished.desc())
        .limit(limit)
    )
    return [Run(row.size, (row.finished - row.started).total_seconds()) for row in rows]
