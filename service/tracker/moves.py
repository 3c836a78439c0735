"""The changes of one job, each an UPDATE that says where it may come from, with its event beside it.

Functions on an open transaction. Zero rows means somebody was first; nothing is written then. What changes a
job changes those that follow it, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, case, func, literal, null, or_, select, update

from pipelines.plan import Artifact, Json
from service.errors import UnknownJob
from service.model import Job, JobError, JobState, sources_of
from service.tracker import followers
from service.tracker.followers import Leader
from service.tracker.history import FORESEEN
from service.tracker.records import ProgressUpdate, storable, to_job
from service.tracker.tables import LEADING, LEASED, UtcDateTime, job
from service.tracker.transaction import Transaction

Guard = tuple[ColumnElement[bool], ...]
_UNLEASED: dict[str, Any] = {"lease_owner": None, "lease_until": None, "cancel_requested": False}
_OPEN = job.c.outcome.is_(None)  # from the moment an outcome is kept, it is too late to cancel


def fence(epoch: int) -> ColumnElement[bool]:
    """What keeps out whoever held the job before."""
    return job.c.epoch == epoch


def _held(job_id: str, epoch: int) -> Guard:
    return job.c.id == job_id, fence(epoch), LEASED


def planned(tx: Transaction, job_id: str, epoch: int, plan: Json, total: int, unit: str) -> bool:
    values = {"plan": plan, "total": total, "unit": unit, "phase": "working", "last_progress": tx.now()}
    values |= {"pace_since": tx.now(), "pace_done": job.c.done}
    data = {"total": total, "unit": unit}
    return _mirrored(tx, _held(job_id, epoch), values, "planned", data)


def seal(tx: Transaction, job_id: str, epoch: int, outcome: Json) -> bool:
    """Keep what the work came to; True as well when this holder or the one before has kept it already."""
    wanted = (*_held(job_id, epoch), ~job.c.cancel_requested)
    values = {"outcome": outcome, "phase": "publishing"}
    if _mirrored(tx, (*wanted, _OPEN), values, "sealed", {"phase": "publishing"}):
        return True
    return tx.execute(select(job.c.id).where(*wanted)).one_or_none() is not None


def succeed(
    tx: Transaction, job_id: str, epoch: int, artifact: Artifact, expires: datetime | None = None
) -> bool:
    made = {"artifact": artifact.to_json(), "expires": literal(expires, UtcDateTime())}
    values = {"done": func.coalesce(job.c.total, job.c.done), "phase": "complete", "message": None}
    guard = (job.c.id == job_id, fence(epoch))
    row = _end(tx, guard, JobState.SUCCESSFUL, {**made, **values, "kept": artifact.bytes})
    if row is None:
        return False
    data = {"bytes": artifact.bytes}
    tx.record(job_id, "successful", data)
    shared = {**made, "cached": True, "finished": tx.now()}
    followers.end(tx, row, shared, "successful", {**data, "cached": True})
    return True


def fail(tx: Transaction, job_id: str, epoch: int, error: JobError) -> bool:
    return fail_where(tx, (job.c.id == job_id, fence(epoch)), error)


def fail_where(tx: Transaction, guard: Guard, error: JobError) -> bool:
    told = {"code": error.code, "detail": storable(error.detail)}
    row = _end(tx, guard, JobState.FAILED, {"error": told})
    if row is None:
        return False
    tx.record(row.id, "failed", told)
    followers.end(tx, row, {"error": told, "finished": tx.now()}, "failed", told)
    return True


def dismiss(tx: Transaction, job_id: str, epoch: int) -> bool:
    return _dismiss(tx, (job.c.id == job_id, fence(epoch), _may_become(JobState.DISMISSED), LEADING))


def requeue(
    tx: Transaction, job_id: str, epoch: int, reason: str, strike: bool = False, blameless: bool = False
) -> bool:
    """Back to the queue; a job whose cancel was asked for ends here instead.

    After a strike it begins from nothing, otherwise plan and progress stay. What was sealed always stays.
    """
    held = (job.c.id == job_id, fence(epoch), _may_become(JobState.ACCEPTED), LEADING)
    if _dismiss(tx, (*held, job.c.cancel_requested)):
        return True
    values: dict[str, Any] = {
        "state": JobState.ACCEPTED.value,
        "strikes": job.c.strikes + int(strike),
        "losses": job.c.losses + int(not strike and not blameless),
        "message": storable(reason),
        "phase": "queued",
        "started": None,
        "last_progress": None,
        "heartbeat": None,
        **_UNLEASED,
    }
    if strike:
        values["attempt"] = job.c.strikes + 2  # at once, so that no progress falls within an attempt
        for column, nothing in ((job.c.plan, null()), (job.c.done, 0), (job.c.total, null())):
            values[column.name] = case((_OPEN, nothing), else_=column)
    data = {"reason": storable(reason), "strike": strike}
    moved = _mirrored(tx, held, values, "requeued", data)
    tx.work |= moved
    return moved


def request_cancel(tx: Transaction, job_id: str) -> tuple[Job, bool]:
    """The job as it is afterwards, and whether this call changed it."""
    this = job.c.id == job_id
    held_by_nobody = or_(
        job.c.state == JobState.ACCEPTED.value, and_(job.c.state == JobState.RUNNING.value, ~LEADING)
    )
    changed = _dismiss(tx, (this, held_by_nobody))
    if not changed and _apply(tx, (this, LEASED, ~job.c.cancel_requested, _OPEN), {"cancel_requested": True}):
        tx.record(job_id, "cancel-requested", {})
        tx.work = changed = True
    row = tx.execute(select(job).where(this)).one_or_none()
    if row is None:
        raise UnknownJob(job_id)
    return to_job(row), changed


def progress(tx: Transaction, updates: Sequence[ProgressUpdate]) -> None:
    """Rows are taken in id order, so that writers never cross."""
    latest = {(each.job_id, each.epoch): each for each in updates}
    ids = sorted({each.job_id for each in updates})
    query = select(job.c.id, job.c.epoch, job.c.done, job.c.phase, job.c.message)
    held = query.where(job.c.id.in_(ids), LEASED).order_by(job.c.id).with_for_update()
    for row in tx.execute(held).all():
        told = latest.get((row.id, row.epoch))
        if told is not None:
            _advance(tx, row, told)


def foresee(tx: Transaction, job_id: str, epoch: int, guess: Json) -> bool:
    held = tx.execute(select(job.c.id).where(*_held(job_id, epoch))).one_or_none() is not None
    if held:
        tx.record(job_id, FORESEEN, guess)
    return held


def _advance(tx: Transaction, row: Row[*tuple[Any, ...]], told: ProgressUpdate) -> None:
    message = storable(told.message) if told.message is not None else row.message
    further, new_phase = told.done > row.done, told.phase != row.phase
    if not further and not new_phase and message == row.message:
        return
    values: dict[str, Any] = {
        "done": case((job.c.done < told.done, told.done), else_=job.c.done),
        "phase": told.phase,
        "message": message,
    }
    if further or new_phase:
        values["last_progress"] = tx.now()
    data = {"done": max(told.done, row.done), "phase": told.phase}
    _mirrored(tx, _held(row.id, told.epoch), values, "progress" if new_phase else None, data)


def _mirrored(tx: Transaction, guard: Guard, values: dict[str, Any], name: str | None, data: Json) -> bool:
    """A change that followers show too; False when it hit nothing."""
    row = _apply(tx, guard, values)
    if row is None:
        return False
    if name is not None:
        tx.record(row.id, name, data)
    followers.mirror(tx, row, name, data)
    return True


def _dismiss(tx: Transaction, guard: Guard) -> bool:
    values = {"state": JobState.DISMISSED.value, "finished": tx.now(), **_UNLEASED}
    row = _apply(tx, (*guard, _OPEN), values)
    if row is None:
        return False
    tx.record(row.id, "dismissed", {})
    followers.promote(tx, row)
    return True


def _end(tx: Transaction, guard: Guard, state: JobState, values: dict[str, Any]) -> Leader | None:
    values = {**values, **_UNLEASED, "state": state.value, "finished": tx.now()}
    return _apply(tx, (*guard, _may_become(state), LEADING), values)


def _apply(tx: Transaction, guard: Guard, values: dict[str, Any]) -> Leader | None:
    """One guarded UPDATE; what it hit, None for nothing. Every change counts up the revision."""
    change = update(job).where(*guard).values(revision=job.c.revision + 1, updated=tx.now(), **values)
    row = tx.execute(change.returning(*followers.CHANGED)).one_or_none()
    if row is not None:
        tx.touched.add(row.id)
    return row


def _may_become(state: JobState) -> ColumnElement[bool]:
    return or_(*(job.c.state == source.value for source in sorted(sources_of(state))))
