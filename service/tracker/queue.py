"""The order of the queue: interactive before batch; then owners in turn, counting what each has running
already; then who waited longest.

Reads a few rows an owner, however long the queues. Followers of equal jobs do not queue.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import CTE, Connection, Select, case, func, select

from service.model import JobState
from service.tracker.acceptance import waiting_behind
from service.tracker.records import RANKS
from service.tracker.tables import LEADING, WAITING, job

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


def ahead(connection: Connection, job_id: str) -> int:
    """How many waiting jobs have their turn before this one; 0 when it is next or no longer waits.

    A follower has the place of its leader.
    """
    mine = select(job.c.priority, job.c.owner, job.c.sequence)
    row = connection.execute(
        mine.where(job.c.id == waiting_behind(connection, job_id), WAITING)
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


def next_in_turn(connection: Connection, limit: int, without: Collection[int] = ()) -> Sequence[int]:
    """Locked rows of waiting jobs in leasing order. Reads a few rows an owner, however long the queues."""
    if limit < 1:
        return []
    wanted = (limit + len(without)) * _SPARE
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
            # coalesce hides the state from SQLite, which would search all that wait for these few
            .where(job.c.sequence.in_(order.keys() - set(without)), LEADING)
            .where(func.coalesce(job.c.state, "") == JobState.ACCEPTED.value)
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
    mine, leading = other.c.owner == owners.c.owner, other.c.leader == ""
    running = select(func.count()).where(other.c.state == JobState.RUNNING.value, leading, mine)
    last = select(func.max(other.c.started)).where(mine)
    waiting = select(func.min(other.c.sequence)).where(
        other.c.state == JobState.ACCEPTED.value, leading, mine
    )
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
