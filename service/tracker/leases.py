"""Who works on which job, and for how long: taking, taking over, renewing, handing over.

Functions on an open transaction. Rows are taken one by one, each behind a savepoint: a row that nobody can
work with fails, and stops no other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, case, select, update
from sqlalchemy.exc import DataError as BadData
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError

from service.model import Job, JobError, JobState
from service.tracker import followers, moves
from service.tracker.queue import next_in_turn
from service.tracker.records import to_job
from service.tracker.tables import LEASED, WAITING, job
from service.tracker.transaction import Transaction

_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
_ROUNDS = 5  # looks for other rows when some turned out to be impossible
_IMPOSSIBLE = JobError("internal", "What is stored of this job cannot be read; submit it again.")
_LOST = "Whoever ran it stopped answering; it was started again."
_HANDED_OVER = "Whoever ran it was stopped; it was started again."
_log = logging.getLogger("haulier.tracker")


def lease(tx: Transaction, owner: str, limit: int, seconds: float, cluster: str | None) -> list[Job]:
    """Give up to `limit` jobs to `owner`: first those whose holder stopped renewing, then waiting ones."""

    def expired(wanted: int, without: Collection[int]) -> Sequence[Any]:
        return tx.execute(_expired(tx, wanted, without)).all()

    def waiting(wanted: int, without: Collection[int]) -> Sequence[Any]:
        order = next_in_turn(tx.connection, wanted, without)
        rows = tx.execute(select(*_SEEN).where(job.c.sequence.in_(order)))
        return sorted(rows, key=lambda row: order.index(row.sequence))

    holder = _Holder(tx, owner, seconds, cluster)
    jobs = _each(tx, limit, expired, holder.take_over)
    return jobs + _each(tx, limit - len(jobs), waiting, holder.start)


def renew(tx: Transaction, owner: str, seconds: float) -> frozenset[tuple[str, int]]:
    mine = (LEASED, job.c.lease_owner == owner)
    _lock(tx, *mine)
    kept = update(job).where(*mine).values(lease_until=tx.database.lease_end(seconds), heartbeat=tx.now())
    return frozenset((row.id, row.epoch) for row in tx.execute(kept.returning(job.c.id, job.c.epoch)))


def hand_over(tx: Transaction, owner: str) -> int:
    """Without an owner, so that whoever takes the job next counts no loss."""
    return _expire(tx, {"lease_owner": None}, LEASED, job.c.lease_owner == owner)


def expire_all(tx: Transaction) -> int:
    return _expire(tx, {}, LEASED)


def _expire(tx: Transaction, values: dict[str, Any], *which: ColumnElement[bool]) -> int:
    _lock(tx, *which)
    ended = tx.execute(update(job).where(*which).values(lease_until=_LONG_AGO, **values)).rowcount
    tx.work |= ended > 0
    return ended


def _lock(tx: Transaction, *which: ColumnElement[bool]) -> None:
    """In one order, as progress does it: two transactions that cross would be a deadlock."""
    tx.execute(select(job.c.sequence).where(*which).order_by(job.c.id).with_for_update())


_SEEN = (job.c.sequence, job.c.id, job.c.epoch, job.c.lease_owner)
_Seen = Row[*tuple[Any, ...]]


def _expired(tx: Transaction, limit: int, without: Collection[int]) -> Any:
    return (
        select(*_SEEN)
        .where(LEASED, job.c.lease_until < tx.database.lease_now(), job.c.sequence.not_in(without))
        .order_by(job.c.priority, job.c.sequence)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )


def _each(
    tx: Transaction,
    limit: int,
    find: Callable[[int, Collection[int]], Sequence[_Seen]],
    take: Callable[[_Seen], Job | None],
) -> list[Job]:
    """Take up to `limit` rows; for each that proves impossible, look for another one."""
    jobs: list[Job] = []
    impossible: set[int] = set()
    for _ in range(_ROUNDS):
        if len(jobs) >= limit:
            break
        before = len(impossible)
        for row in find(limit - len(jobs), impossible):
            try:
                with tx.connection.begin_nested():
                    taken = take(row)
                if taken is not None:
                    jobs.append(taken)
            except Exception as error:
                if _is_of_the_database(error):
                    raise
                _log.exception("job %s cannot be leased", row.id)
                impossible.add(row.sequence)
                _give_up(tx, row)
        if len(impossible) == before:
            break
    return jobs


def _is_of_the_database(error: Exception) -> bool:
    """Whether the database is in trouble, and not just this row."""
    return isinstance(error, DBAPIError) and not isinstance(
        error, IntegrityError | ProgrammingError | BadData
    )


def _give_up(tx: Transaction, row: _Seen) -> None:
    try:
        with tx.connection.begin_nested():
            moves.fail_where(tx, (job.c.sequence == row.sequence, job.c.epoch == row.epoch), _IMPOSSIBLE)
    except Exception as error:
        if _is_of_the_database(error):
            raise
        _log.exception("job %s cannot even be failed", row.id)


class _Holder:
    """Who takes jobs, for how long, and the scheduler that is to have them."""

    def __init__(self, tx: Transaction, owner: str, seconds: float, cluster: str | None) -> None:
        self._tx, self._cluster = tx, cluster
        self._values = {
            "state": JobState.RUNNING.value,
            "epoch": job.c.epoch + 1,
            "attempt": job.c.strikes + 1,
            "lease_owner": owner,
            "lease_until": tx.database.lease_end(seconds),
            "heartbeat": tx.now(),
            "cluster": cluster,
            "phase": case(
                (job.c.outcome.is_not(None), "publishing"),
                (job.c.plan.is_not(None), "working"),
                else_="planning",
            ),
            "revision": job.c.revision + 1,
            "updated": tx.now(),
        }

    def start(self, row: _Seen) -> Job | None:
        """A waiting job begins a run; one that was sealed goes on to be published."""
        fresh = {
            "run_epoch": case((job.c.outcome.is_not(None), job.c.run_epoch), else_=job.c.epoch + 1),
            "started": self._tx.now(),
            **self._pace(),
        }
        taken = self._take((job.c.sequence == row.sequence, WAITING), fresh)
        return None if taken is None else self._told(taken, "started")

    def take_over(self, row: _Seen) -> Job | None:
        """A job whose holder is gone: its work goes on where the same scheduler still has it."""
        goes_on: ColumnElement[bool] = job.c.outcome.is_not(None)
        if self._cluster is not None:
            goes_on = goes_on | and_(job.c.plan.is_not(None), job.c.cluster == self._cluster)
        where = (
            job.c.sequence == row.sequence,
            job.c.epoch == row.epoch,
            job.c.lease_until < self._tx.database.lease_now(),
        )
        again = {
            "run_epoch": case((goes_on, job.c.run_epoch), else_=job.c.epoch + 1),
            "started": case((goes_on, job.c.started), else_=self._tx.now()),
            "last_progress": case((goes_on, job.c.last_progress), else_=None),
            "message": case((goes_on, job.c.message), else_=None),
            "losses": job.c.losses + int(row.lease_owner is not None),
        }
        pace = self._pace()
        again |= {name: case((goes_on, job.c[name]), else_=pace[name]) for name in pace}
        taken = self._take((LEASED, *where), again)
        if taken is None:
            return None
        if taken.run_epoch != taken.epoch:
            return self._told(taken, "adopted")
        reason = _LOST if row.lease_owner is not None else _HANDED_OVER
        self._tx.record(taken.id, "requeued", {"reason": reason, "strike": False})
        return self._told(taken, "started")

    def _pace(self) -> dict[str, Any]:
        """Throughput counts from here: work under an old plan begins at once."""
        return {
            "pace_since": case((job.c.plan.is_not(None), self._tx.now()), else_=None),
            "pace_done": job.c.done,
        }

    def _take(self, where: tuple[ColumnElement[bool], ...], more: dict[str, Any]) -> _Seen | None:
        taken = update(job).where(*where).values(self._values | more).returning(job)
        return self._tx.execute(taken).one_or_none()

    def _told(self, row: _Seen, name: str) -> Job:
        data = {"epoch": row.epoch, "attempt": row.attempt}
        self._tx.record(row.id, name, data)
        followers.mirror(self._tx, row, name, data)
        return to_job(row)
