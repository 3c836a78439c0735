"""Accepting a job: its key, its row, and whether the work of another job answers it.

Functions on an open transaction. A job whose question equals that of one that is there becomes its follower,
or takes its result at once. The work shared is always the same owner's.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Insert, Row, Select, and_, bindparam, case, func, or_, select, update

from service.errors import KeyReused
from service.model import Job, JobState, NewJob
from service.tracker import outbox
from service.tracker.database import Database
from service.tracker.records import RANKS, to_columns, to_job
from service.tracker.tables import ACTIVE, KEPT, LEADING, WAITING, job
from service.tracker.transaction import Transaction

# what a follower shows of its leader
MIRRORED = (
    *(job.c.state, job.c.attempt, job.c.strikes, job.c.losses, job.c.started, job.c.last_progress),
    *(job.c.heartbeat, job.c.done, job.c.total, job.c.unit, job.c.phase, job.c.message),
    *(job.c.pace_since, job.c.pace_done),
)


def accept(tx: Transaction, new: NewJob) -> tuple[Job, bool]:
    root = None if new.equal is None else _equal(tx, new)
    insert = tx.database.prepared(_insert_ended if root is not None and root.artifact else _insert)
    columns = to_columns(new) | ({} if root is None else _shared(root))
    row = tx.execute(insert, columns).one_or_none()
    if row is None:
        known = with_key(tx.connection, new.owner, new.kind, new.idempotency_key or "", new.idempotency_hash)
        if known is None:
            raise RuntimeError(f"the key of job {new.id} is taken by no job")
        return known, True
    outbox.subscribe(tx, new.id, new.callbacks)
    tx.record(new.id, "accepted", {} if root is None else {"leader": root.id})
    if root is None:
        tx.work = True
    else:
        _join(tx, new, root, row)
    return to_job(row), False


def with_key(connection: Connection, owner: str, kind: str, key: str, digest: str | None) -> Job | None:
    """The job an idempotency key stands for; KeyReused when it came with another request."""
    same = (job.c.owner == owner, job.c.kind == kind, job.c.idempotency_key == key)
    row = connection.execute(select(job).where(*same)).one_or_none()
    if row is None:
        return None
    if row.idempotency_hash != digest:
        raise KeyReused(key)
    return to_job(row)


def answering(connection: Connection, database: Database, owner: str, question: str) -> str | None:
    """The id of the job that `accept` would share the work of."""
    asked = {"asker": owner, "question": question}
    row = connection.execute(_equal_ones(database), asked).first()
    return None if row is None else str(row.id)


def _equal(tx: Transaction, new: NewJob) -> Row[*tuple[Any, ...]] | None:
    """A job of the same owner that has the answer, or else one whose work will bring it; locked."""
    tx.database.one_at_a_time(tx.connection, f"equal {new.owner} {new.equal}")
    question = {"asker": new.owner, "question": new.equal}
    return tx.execute(tx.database.prepared(_find_equal), question).one_or_none()


def _insert(database: Database) -> Insert:
    return database.insert_once().values(created=database.now(), updated=database.now()).returning(job)


def _insert_ended(database: Database) -> Insert:
    return _insert(database).values(finished=database.now())


def _find_equal(database: Database) -> Select[Any]:
    # locked, so that neither its end nor the removal of its result passes by the new follower
    return _equal_ones(database).with_for_update()


def _equal_ones(database: Database) -> Select[Any]:
    fresh = or_(job.c.expires.is_(None), job.c.expires > database.now())
    answered = and_(job.c.state == JobState.SUCCESSFUL.value, KEPT, fresh)
    working = and_(job.c.state.in_(ACTIVE), ~job.c.cancel_requested)
    same = (job.c.owner == bindparam("asker"), job.c.equal == bindparam("question"), LEADING)
    return (
        select(job)
        .where(*same, job.c.state.in_((*ACTIVE, JobState.SUCCESSFUL.value)), or_(answered, working))
        .order_by(case((answered, 0), else_=1), job.c.sequence)
        .limit(1)
    )


def _shared(root: Row[*tuple[Any, ...]]) -> dict[str, Any]:
    """The columns of a job that shares the work of `root`."""
    if root.state != JobState.SUCCESSFUL.value:
        return {column.name: root._mapping[column] for column in MIRRORED} | {"leader": root.id}
    return {
        "leader": root.id,
        "cached": True,
        "state": root.state,
        "artifact": root.artifact,
        "expires": root.expires,
        "phase": root.phase,
        "done": root.done,
        "total": root.total,
        "unit": root.unit,
    }


def _join(tx: Transaction, new: NewJob, root: Row[*tuple[Any, ...]], row: Row[*tuple[Any, ...]]) -> None:
    """Say how far the shared work is; a follower in more of a hurry than its waiting leader hurries both."""
    if root.state == JobState.SUCCESSFUL.value:
        tx.record(new.id, "successful", {"bytes": row.artifact["bytes"], "cached": True})
        return
    if root.state == JobState.RUNNING.value:
        tx.record(new.id, "started", {"epoch": root.epoch, "attempt": root.attempt})
    elif root.priority > RANKS[new.priority]:
        hurry = {"priority": RANKS[new.priority], "revision": job.c.revision + 1, "updated": tx.now()}
        tx.execute(update(job).where(job.c.id == root.id, WAITING).values(hurry))
        tx.record(root.id, "prioritized", {"priority": new.priority.value})
        tx.work = True


def waiting_behind(connection: Connection, job_id: str) -> str:
    """The job whose turn a job waits for: its leader, or itself."""
    leader = connection.execute(select(func.max(job.c.leader)).where(job.c.id == job_id)).scalar()
    return leader or job_id
