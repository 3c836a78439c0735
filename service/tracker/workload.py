"""What there is to do: the running jobs and how far they are, the waiting ones by type. Reads only."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from service.tracker.tables import LEASED, WAITING, job

_MOST = 200  # running jobs looked at


@dataclass(frozen=True, slots=True)
class Work:
    """So many jobs of a type and priority, of `size` on average, of which a `share` is done."""

    kind: str
    type: str
    rank: int
    jobs: int
    size: int
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class Workload:
    running: tuple[Work, ...]
    waiting: tuple[Work, ...]


def workload(connection: Connection) -> Workload:
    this = (job.c.kind, job.c.type, job.c.priority)
    running = connection.execute(
        select(*this, job.c.size, job.c.done, job.c.total).where(LEASED).limit(_MOST)
    ).all()
    waiting = connection.execute(
        select(*this, func.count(), func.avg(job.c.size)).where(WAITING).group_by(*this)
    ).all()
    return Workload(
        tuple(
            Work(kind, type, rank, 1, size, min(1.0, done / total) if total else 0.0)
            for kind, type, rank, size, done, total in running
        ),
        tuple(Work(kind, type, rank, count, int(size)) for kind, type, rank, count, size in waiting),
    )
