"""Who works on which job, and for how long: leasing in fair order, renewing, and the place in the queue.

Functions on an open transaction; `service.tracker.tracker` gives them one. The order of leasing: interactive
before batch; then owners in turn, counting what each has running already; then who waited longest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import CTE, Connection, Select, case, func, select, update

from service.model import Job, JobState
from service.tracker.database import Database
from service.tracker.history import record
from service.tracker.records import RANKS, to_job
from service.tracker.tables import LEASED, WAITING, job

_PRIORITIES = tuple(sorted(RANKS.values()))
_SPARE = 3  # candidates looked at per job wanted, so that rows another leaser has locked leave us some


@dataclass(frozen=True, slots=True)
class _Queue:
    """The waiting jobs of one owner at one priority: its first row and what speaks against its turn."""

    priority: int
    owner: str
    first: int
    running: int
    last_started: datetime | None

    def turn(self, position: int, sequence: int) -> tuple[int, int, float, int]:
        """What the job at `position` (from 1) of this queue is sorted by."""
        last = self.last_started.timestamp() if self.last_started else 0.0
        return self.priority, self.running + position, last, sequence


def lease(connection: Connection, database: Database, owner: str, limit: int, seconds: float) -> list[Job]:
    """Give up to `limit` jobs to `owner`: first those whose holder stopped renewing, then waiting ones."""
    if limit < 1:
        return []
    lost = connection.execute(_expired(database, limit)).all()
    jobs = [_take_over(connection, database, row, owner, seconds) for row in lost]
    waiting = _next_in_turn(connection, limit - len(jobs))
    jobs += [_start(connection, database, sequence, owner, seconds) for sequence in waiting]
    return [each for each in jobs if each is not None]


def renew(
    connection: Connection, database: Database, owner: str, seconds: float
) -> frozenset[tuple[str, int]]:
    mine = select(job.c.sequence).where(LEASED, job.c.lease_owner == owner)
    # locked in one order, as progress does it: two transactions that cross would be a deadlock
    connection.execute(mine.order_by(job.c.id).with_for_update())
    rows = connection.execute(
        update(job)
        .where(LEASED, job.c.lease_owner == owner)
        .values(lease_until=database.later(seconds), heartbeat=database.now())
        .returning(job.c.id, job.c.epoch)
    )
    return frozenset((row.id, row.epoch) for row in rows)


def ahead(connection: Connection, job_id: str) -> int:
    """How many waiting jobs have their turn before this one; 0 when it is next or no longer waits."""
    row = connection.execute(
        select(job.c.priority, job.c.owner, job.c.sequence).where(job.c.id == job_id, WAITING)
    ).one_or_none()
    if row is None:
        return 0
    queues = _queues(connection)
    own = next((each for each in queues if (each.priority, each.owner) == (row.priority, row.owner)), None)
    if own is None:
        return 0
    position = _count(connection, own, job.c.sequence <= row.sequence)
    turn = own.turn(position, row.sequence)
    before = max(0, position - 1)  # 0 rows: it was leased between two looks
    for other in queues:
        if other is own or other.priority > own.priority:
            continue
        before += _count(connection, other) if other.priority < own.priority else 0
        if other.priority == own.priority:
            before += _before(connection, other, turn)
    return before


def _before(connection: Connection, other: _Queue, turn: tuple[int, int, float, int]) -> int:
    """How many jobs of another owner's queue come before a turn: all of lower rank, maybe one of the same."""
    rank = turn[1] - other.running  # the position at which the other queue reaches our rank
    if rank < 1:
        return 0
    rows = connection.execute(_first(other, rank)).scalars().all()
    tied = len(rows) == rank and other.turn(rank, rows[-1]) > turn
    return len(rows) - tied


def _count(connection: Connection, queue: _Queue, *further: Any) -> int:
    where = (WAITING, job.c.priority == queue.priority, job.c.owner == queue.owner, *further)
    return connection.execute(select(func.count()).select_from(job).where(*where)).scalar_one()


def _expired(database: Database, limit: int) -> Select[int, str, int, str | None]:
    return (
        select(job.c.sequence, job.c.id, job.c.epoch, job.c.lease_owner)
        .where(LEASED, job.c.lease_until < database.now())
        .order_by(job.c.priority, job.c.sequence)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )


def _take_over(
    connection: Connection, database: Database, row: Any, owner: str, seconds: float
) -> Job | None:
    """The work of the old holder is lost with its epoch, so plan and progress begin again."""
    same = (job.c.sequence == row.sequence, job.c.epoch == row.epoch, job.c.lease_until < database.now())
    taken = _lease_row(connection, database, same, owner, seconds, started=database.now(), message=None)
    if taken is not None:
        reason = "Whoever ran it stopped answering; it was started again."
        record(connection, database, taken.id, "requeued", {"reason": reason, "strike": False})
        record(connection, database, taken.id, "started", {"epoch": taken.epoch, "attempt": taken.attempt})
    return taken


def _start(
    connection: Connection, database: Database, sequence: int, owner: str, seconds: float
) -> Job | None:
    waiting = (job.c.sequence == sequence, WAITING)
    taken = _lease_row(connection, database, waiting, owner, seconds, started=database.now())
    if taken is not None:
        record(connection, database, taken.id, "started", {"epoch": taken.epoch, "attempt": taken.attempt})
    return taken


def _lease_row(
    connection: Connection,
    database: Database,
    where: tuple[Any, ...],
    owner: str,
    seconds: float,
    **more: Any,
) -> Job | None:
    row = connection.execute(
        update(job)
        .where(*where)
        .values(
            state=JobState.RUNNING.value,
            epoch=job.c.epoch + 1,
            attempt=job.c.strikes + 1,
            lease_owner=owner,
            lease_until=database.later(seconds),
            heartbeat=database.now(),
            phase="planning",
            plan=None,
            done=0,
            total=None,
            last_progress=None,
            revision=job.c.revision + 1,
            updated=database.now(),
            **more,
        )
        .returning(job)
    ).one_or_none()
    return None if row is None else to_job(row)


def _next_in_turn(connection: Connection, limit: int) -> Sequence[int]:
    """Locked rows of waiting jobs in leasing order. Reads a few rows an owner, however long the queues."""
    if limit < 1:
        return []
    wanted = limit * _SPARE
    # the first `wanted` jobs in turn all belong to the first `wanted` queues by the turn of their first job
    queues = sorted(_queues(connection), key=lambda queue: queue.turn(1, queue.first))[:wanted]
    turns = sorted(
        queue.turn(position, sequence)
        for queue in queues
        for position, sequence in enumerate(connection.execute(_first(queue, wanted)).scalars(), start=1)
    )
    order = {turn[-1]: place for place, turn in enumerate(turns[:wanted])}
    if not order:
        return []
    return (
        connection.execute(
            select(job.c.sequence)
            .where(job.c.sequence.in_(order), WAITING)
            .order_by(case(order, value=job.c.sequence))
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        .scalars()
        .all()
    )


def _first(queue: _Queue, count: int) -> Select[int]:
    return (
        select(job.c.sequence)
        .where(WAITING, job.c.priority == queue.priority, job.c.owner == queue.owner)
        .order_by(job.c.sequence)
        .limit(count)
    )


def _queues(connection: Connection) -> list[_Queue]:
    """Every queue that has jobs. Hops from owner to owner through the index; the queues are not read."""
    owners = _owners()
    other = job.alias("other")
    mine = other.c.owner == owners.c.owner
    running = select(func.count()).where(other.c.state == JobState.RUNNING.value, mine)
    last = select(func.max(other.c.started)).where(mine)
    waiting = select(func.min(other.c.sequence)).where(other.c.state == JobState.ACCEPTED.value, mine)
    firsts = [waiting.where(other.c.priority == priority).scalar_subquery() for priority in _PRIORITIES]
    rows = connection.execute(
        select(owners.c.owner, running.scalar_subquery(), last.scalar_subquery(), *firsts).where(
            owners.c.owner.is_not(None)
        )
    )
    return [
        _Queue(priority, owner, first, busy, started)
        for owner, busy, started, *heads in rows
        for priority, first in zip(_PRIORITIES, heads, strict=True)
        if first is not None
    ]


def _owners() -> CTE:
    """Who has waiting jobs, each found from the one before; ends in a NULL."""
    smallest = select(func.min(job.c.owner)).where(WAITING).scalar_subquery()
    owners = select(smallest.label("owner")).cte("owners", recursive=True)
    hop = select(func.min(job.c.owner)).where(WAITING, job.c.owner > owners.c.owner).scalar_subquery()
    return owners.union_all(select(hop).where(owners.c.owner.is_not(None)))
