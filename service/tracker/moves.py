"""The changes of one job, each an UPDATE that says where it may come from, with its event beside it.

Functions on an open transaction. Zero rows means somebody was first; nothing is written then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, case, func, or_, select, update

from pipelines.plan import Artifact, Json
from service.errors import KeyReused, UnknownJob
from service.model import Job, JobError, JobState, NewJob, sources_of
from service.tracker.database import Database
from service.tracker.history import record
from service.tracker.records import ProgressUpdate, storable, to_columns, to_job
from service.tracker.tables import LEASED, job

Guard = tuple[ColumnElement[bool], ...]
_UNLEASED: dict[str, Any] = {"lease_owner": None, "lease_until": None, "cancel_requested": False}


def accept(connection: Connection, database: Database, new: NewJob) -> tuple[Job, bool]:
    now = database.now()
    insert = database.insert_once().values(**to_columns(new), created=now, updated=now)
    row = connection.execute(insert.returning(job)).one_or_none()
    if row is not None:
        record(connection, database, new.id, "accepted", {})
        return to_job(row), False
    known = with_key(connection, new.owner, new.kind, new.idempotency_key or "", new.idempotency_hash)
    if known is None:
        raise RuntimeError(f"the key of job {new.id} is taken by no job")
    return known, True


def with_key(connection: Connection, owner: str, kind: str, key: str, digest: str | None) -> Job | None:
    """The job an idempotency key stands for; KeyReused when it came with another request."""
    same = (job.c.owner == owner, job.c.kind == kind, job.c.idempotency_key == key)
    row = connection.execute(select(job).where(*same)).one_or_none()
    if row is None:
        return None
    if row.idempotency_hash != digest:
        raise KeyReused(key)
    return to_job(row)


def planned(
    connection: Connection, database: Database, job_id: str, epoch: int, plan: Json, total: int, unit: str
) -> bool:
    values = {"plan": plan, "total": total, "unit": unit, "phase": "working", "last_progress": database.now()}
    data = {"total": total, "unit": unit}
    return _apply(connection, database, job_id, (job.c.epoch == epoch, LEASED), values, "planned", data)


def succeed(connection: Connection, database: Database, job_id: str, epoch: int, artifact: Artifact) -> bool:
    values: dict[str, Any] = {"artifact": artifact.to_json(), "done": func.coalesce(job.c.total, job.c.done)}
    values |= {"phase": "complete", "message": None}
    return _end(connection, database, job_id, epoch, JobState.SUCCESSFUL, values, {"bytes": artifact.bytes})


def fail(connection: Connection, database: Database, job_id: str, epoch: int, error: JobError) -> bool:
    told = {"code": error.code, "detail": storable(error.detail)}
    return _end(connection, database, job_id, epoch, JobState.FAILED, {"error": told}, told)


def dismiss(connection: Connection, database: Database, job_id: str, epoch: int) -> bool:
    return _end(connection, database, job_id, epoch, JobState.DISMISSED, {}, {})


def requeue(
    connection: Connection, database: Database, job_id: str, epoch: int, reason: str, strike: bool
) -> bool:
    """Back to the queue with nothing done; a job whose cancel was asked for ends here instead."""
    held = (job.c.epoch == epoch, _may_become(JobState.ACCEPTED))
    if _apply(
        connection, database, job_id, (*held, job.c.cancel_requested), _dismissed(database), "dismissed", {}
    ):
        return True
    values: dict[str, Any] = {
        "state": JobState.ACCEPTED.value,
        "strikes": job.c.strikes + int(strike),
        "message": storable(reason),
        "phase": "queued",
        "plan": None,
        "done": 0,
        "total": None,
        "started": None,
        "last_progress": None,
        "heartbeat": None,
        **_UNLEASED,
    }
    data = {"reason": storable(reason), "strike": strike}
    return _apply(connection, database, job_id, held, values, "requeued", data)


def request_cancel(connection: Connection, database: Database, job_id: str) -> tuple[Job, bool]:
    """The job as it is afterwards, and whether this call changed it."""
    waiting = (job.c.state == JobState.ACCEPTED.value,)
    running = (LEASED, ~job.c.cancel_requested)
    flag = {"cancel_requested": True}
    changed = _apply(connection, database, job_id, waiting, _dismissed(database), "dismissed", {}) or _apply(
        connection, database, job_id, running, flag, "cancel-requested", {}
    )
    row = connection.execute(select(job).where(job.c.id == job_id)).one_or_none()
    if row is None:
        raise UnknownJob(job_id)
    return to_job(row), changed


def progress(connection: Connection, database: Database, updates: Sequence[ProgressUpdate]) -> list[str]:
    """The ids of the jobs whose row changed. Rows are taken in id order, so that writers never cross."""
    latest = {(each.job_id, each.epoch): each for each in updates}
    ids = sorted({each.job_id for each in updates})
    query = select(job.c.id, job.c.epoch, job.c.done, job.c.phase, job.c.message)
    held = query.where(job.c.id.in_(ids), LEASED).order_by(job.c.id).with_for_update()
    rows = [(row, latest.get((row.id, row.epoch))) for row in connection.execute(held).all()]
    return [row.id for row, told in rows if told is not None and _advance(connection, database, row, told)]


def _advance(
    connection: Connection, database: Database, row: Row[*tuple[Any, ...]], told: ProgressUpdate
) -> bool:
    message = storable(told.message) if told.message is not None else row.message
    further, new_phase = told.done > row.done, told.phase != row.phase
    if not further and not new_phase and message == row.message:
        return False
    values: dict[str, Any] = {
        "done": case((job.c.done < told.done, told.done), else_=job.c.done),
        "phase": told.phase,
        "message": message,
    }
    if further or new_phase:
        values["last_progress"] = database.now()
    data = {"done": max(told.done, row.done), "phase": told.phase}
    guard = (job.c.epoch == told.epoch, LEASED)
    return _apply(connection, database, row.id, guard, values, "progress" if new_phase else None, data)


def _end(
    connection: Connection,
    database: Database,
    job_id: str,
    epoch: int,
    state: JobState,
    values: dict[str, Any],
    data: Json,
) -> bool:
    guard = (job.c.epoch == epoch, _may_become(state))
    values = {**values, **_UNLEASED, "state": state.value, "finished": database.now()}
    return _apply(connection, database, job_id, guard, values, state.value, data)


def _apply(
    connection: Connection,
    database: Database,
    job_id: str,
    guard: Guard,
    values: dict[str, Any],
    name: str | None,
    data: Json,
) -> bool:
    """One guarded UPDATE and, when it hit, its event. Every change counts up the revision."""
    change = (
        update(job)
        .where(job.c.id == job_id, *guard)
        .values(revision=job.c.revision + 1, updated=database.now(), **values)
    )
    changed = connection.execute(change).rowcount == 1
    if changed and name is not None:
        record(connection, database, job_id, name, data)
    return changed


def _dismissed(database: Database) -> dict[str, Any]:
    return {"state": JobState.DISMISSED.value, "finished": database.now(), **_UNLEASED}


def _may_become(state: JobState) -> ColumnElement[bool]:
    return or_(*(job.c.state == source.value for source in sorted(sources_of(state))))
