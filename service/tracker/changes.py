"""What changed since somebody last looked: the histories of all jobs as one feed, read from a mark.

Numbers of events are given out before their transactions are committed, so on PostgreSQL a lower one may
appear after a higher one was read. A mark therefore remembers the numbers that were missing, until they are
so old that whoever had them must have given up. Functions on an open connection.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, or_, select

from service.model import Job
from service.tracker.database import Database
from service.tracker.history import FORESEEN
from service.tracker.records import to_job
from service.tracker.tables import ACTIVE, event, job

_SETTLED = timedelta(seconds=60)  # no transaction is open for so long: a statement is given 30 s
_MISSING = 200  # numbers remembered at most, the newest
_LINES = 1000  # events read at once
_FORM = re.compile(r"c(\d{1,18})((?:\.\d{1,18}){0,200})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Mark:
    """All events up to `high` have been seen, but for those `missing`."""

    high: int = 0
    missing: tuple[int, ...] = ()

    def to_cursor(self) -> str:
        text = ".".join([f"c{self.high}", *map(str, self.missing)])
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def from_cursor(cls, cursor: str) -> Mark:
        """ValueError for what is no cursor of this feed."""
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        except (binascii.Error, ValueError):
            raw = ""
        found = _FORM.fullmatch(raw)
        if found is None:
            raise ValueError(f"{cursor!r} is no cursor of the changes.")
        return cls(int(found[1]), tuple(int(each) for each in found[2].split(".")[1:]))


@dataclass(frozen=True, slots=True)
class Changes:
    """Jobs as they are now, by their last change, and from where to read on; `more` when there is more."""

    jobs: tuple[Job, ...]
    mark: Mark
    more: bool = False


def present(connection: Connection, database: Database, owner: str, limit: int) -> Changes:
    """The active jobs of an owner, the newest at most, and the mark of now."""
    newest = select(event.c.sequence, event.c.at < _settled(database))
    rows = connection.execute(newest.order_by(event.c.sequence.desc()).limit(_MISSING)).all()[::-1]
    mark = _moved(Mark(rows[0][0] - 1 if rows else 0), rows, database)
    active = select(job).where(job.c.state.in_(ACTIVE), job.c.owner == owner)
    found = connection.execute(active.order_by(job.c.sequence.desc()).limit(limit)).all()
    return Changes(tuple(to_job(row) for row in reversed(found)), mark)


def since(connection: Connection, database: Database, owner: str, mark: Mark) -> Changes:
    """The jobs of an owner that changed after the mark."""
    query = (
        select(event.c.sequence, event.c.at < _settled(database), event.c.job_id, event.c.name, job.c.owner)
        .join(job, job.c.id == event.c.job_id)
        .where(or_(event.c.sequence > mark.high, event.c.sequence.in_(mark.missing)))
        .order_by(event.c.sequence)
        .limit(_LINES)
    )
    rows = connection.execute(query).all()
    last = {row.job_id: row.sequence for row in rows if row.owner == owner and row.name != FORESEEN}
    jobs = _jobs(connection, last.keys())
    jobs.sort(key=lambda each: last[each.id])
    return Changes(tuple(jobs), _moved(mark, rows, database), len(rows) == _LINES)


def _jobs(connection: Connection, ids: Collection[str]) -> list[Job]:
    return [to_job(row) for row in connection.execute(select(job).where(job.c.id.in_(ids)))]


def _settled(database: Database) -> ColumnElement[Any]:
    return database.ago(_SETTLED.total_seconds())


def _moved(mark: Mark, rows: Collection[Row[*tuple[Any, ...]]], database: Database) -> Mark:
    """The mark after these events, which are in order: (number, whether it is from long ago)."""
    missing = set(mark.missing)
    high = mark.high
    for number, settled, *_ in rows:
        missing.discard(number)
        if number <= high:
            continue
        if settled:  # whoever had a lower number has long committed or given up
            missing.clear()
        elif not database.in_order:
            missing.update(range(max(high + 1, number - _MISSING), number))
        high = number
    return Mark(high, tuple(sorted(missing)[-_MISSING:]))
