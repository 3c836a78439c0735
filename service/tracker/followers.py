"""Followers: jobs that wait for the work of an equal one. What becomes of their leader becomes of them.

Functions on an open transaction that has just changed the leader, and so holds its row: nobody joins or
leaves meanwhile but a follower that is canceled by itself. Found by owner and question, which they share.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Row, select, update

from pipelines.plan import Json
from service.model import JobState
from service.tracker.acceptance import MIRRORED
from service.tracker.tables import ACTIVE, job
from service.tracker.transaction import Transaction

# what every change of a leader hands back: enough to find and update its followers
CHANGED = (job.c.id, job.c.owner, job.c.equal, job.c.epoch, *MIRRORED)
Leader = Row[*tuple[Any, ...]]


def mirror(tx: Transaction, leader: Leader, name: str | None, data: Json) -> None:
    """Followers show what their leader shows; with the same line of history when it has a name."""
    _change(tx, leader, {column.name: leader._mapping[column] for column in MIRRORED}, name, data)


def end(tx: Transaction, leader: Leader, values: dict[str, Any], name: str, data: Json) -> None:
    """Followers end as their leader does."""
    shown = {column.name: leader._mapping[column] for column in MIRRORED}
    _change(tx, leader, shown | values, name, data)


def promote(tx: Transaction, leader: Leader) -> None:
    """The leader was dismissed: the follower that came first leads the others, and starts where it was."""
    if leader.equal is None:
        return
    first = select(job.c.id).where(*_following(leader)).order_by(job.c.sequence).limit(1)
    heir: str | None = tx.execute(first.with_for_update()).scalar()
    if heir is None:
        return
    old = job.alias("old")
    again: dict[str, Any] = {
        "state": JobState.ACCEPTED.value,
        "phase": "queued",
        "message": None,
        "started": None,
        "last_progress": None,
        "heartbeat": None,
        "done": leader.done,
        "total": leader.total,
        "revision": job.c.revision + 1,
        "updated": tx.now(),
    }
    plan = select(old.c.plan).where(old.c.id == leader.id).scalar_subquery()  # equal questions, equal plans
    tx.execute(update(job).where(job.c.id == heir).values(**again, leader="", plan=plan))
    tx.record(heir, "promoted", {"from": leader.id})
    others = update(job).where(*_following(leader)).values(**again, leader=heir)
    tx.record_all(tx.execute(others.returning(job.c.id)).scalars().all(), "follows", {"leader": heir})
    tx.work = True


def _change(tx: Transaction, leader: Leader, values: dict[str, Any], name: str | None, data: Json) -> None:
    if leader.equal is None:
        return
    change = (
        update(job)
        .where(*_following(leader))
        .values(**values, revision=job.c.revision + 1, updated=tx.now())
        .returning(job.c.id)
    )
    tx.record_all(tx.execute(change).scalars().all(), name, data)


def _following(leader: Leader) -> tuple[ColumnElement[bool], ...]:
    same = (job.c.owner == leader.owner, job.c.equal == leader.equal)
    return (*same, job.c.leader == leader.id, job.c.state.in_(ACTIVE))
