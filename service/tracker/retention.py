"""Results and how long they stay: which are due, how much there is, and what ended jobs still need.

Only the job whose run made a result keeps it (`kept`, its bytes); jobs that share it go with it. Functions on
an open transaction or connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import CTE, Connection, func, select, update

from pipelines.plan import Json
from service.model import Job, JobState
from service.tracker.database import Database
from service.tracker.records import to_job
from service.tracker.tables import ACTIVE, KEPT, LEADING, job
from service.tracker.transaction import Transaction

_MANY = 500  # ids in one question


def expired(connection: Connection, database: Database, limit: int) -> list[Job]:
    due = select(job).where(KEPT, job.c.expires <= database.now())
    return [to_job(row) for row in connection.execute(due.order_by(job.c.expires).limit(limit))]


def oldest(connection: Connection, limit: int) -> list[Job]:
    return [
        to_job(row)
        for row in connection.execute(select(job).where(KEPT).order_by(job.c.finished).limit(limit))
    ]


def total_bytes(connection: Connection) -> int:
    return int(connection.execute(select(func.coalesce(func.sum(job.c.kept), 0)).where(KEPT)).scalar_one())


def remove(tx: Transaction, job_id: str) -> bool:
    """Mark it for its maker first: that row is what a job locks that is about to share the result."""
    gone: dict[str, Any] = {
        "removed": tx.now(),
        "kept": None,
        "revision": job.c.revision + 1,
        "updated": tx.now(),
    }
    made = update(job).where(job.c.id == job_id, KEPT).values(gone)
    row = tx.execute(made.returning(job.c.owner, job.c.equal)).one_or_none()
    if row is None:
        return False
    tx.record(job_id, "removed", {})
    if row.equal is not None:
        same = (job.c.owner == row.owner, job.c.equal == row.equal, job.c.leader == job_id)
        shared = update(job).where(*same, job.c.state == JobState.SUCCESSFUL.value).values(gone)
        tx.record_all(tx.execute(shared.returning(job.c.id)).scalars().all(), "removed", {})
    return True


def states(connection: Connection, ids: Iterable[str]) -> dict[str, JobState]:
    wanted = list(ids)
    found: dict[str, JobState] = {}
    for start in range(0, len(wanted), _MANY):
        query = select(job.c.id, job.c.state).where(job.c.id.in_(wanted[start : start + _MANY]))
        found |= {row.id: JobState(row.state) for row in connection.execute(query)}
    return found


def keepers(connection: Connection, ids: Iterable[str]) -> set[str]:
    wanted = list(ids)
    found: set[str] = set()
    for start in range(0, len(wanted), _MANY):
        query = select(job.c.id).where(job.c.id.in_(wanted[start : start + _MANY]), KEPT)
        found |= set(connection.execute(query).scalars())
    return found


def specs_in_use(
    connection: Connection, database: Database, kind: str, failed_within: float | None
) -> list[Json]:
    types = _types(kind)
    needed = job.c.state.in_(ACTIVE)
    query = select(job.c.spec).join(types, job.c.type == types.c.type).where(job.c.kind == kind, LEADING)
    specs: Sequence[Json] = connection.execute(query.where(needed)).scalars().all()
    if failed_within is not None:
        lately = job.c.finished > database.ago(failed_within)
        failed = query.where(job.c.state == JobState.FAILED.value, lately)
        specs = [*specs, *connection.execute(failed).scalars()]
    return list(specs)


def _types(kind: str) -> CTE:
    """The types of a kind, each found in the index from the one before; ends in a NULL."""
    first = select(func.min(job.c.type).label("type")).where(job.c.kind == kind)
    types = first.cte("types", recursive=True)
    hop = select(func.min(job.c.type)).where(job.c.kind == kind, job.c.type > types.c.type)
    return types.union_all(select(hop.scalar_subquery()).where(types.c.type.is_not(None)))
