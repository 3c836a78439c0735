"""Transaction: one change of the tracker's tables, with its history and whom to tell once it is committed.

The functions of `moves`, `acceptance`, `followers`, `leases` and `retention` take one. No job logic here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, CursorResult, Executable, insert

from pipelines.plan import Json
from service.tracker import outbox
from service.tracker.database import Database
from service.tracker.tables import event

Values = dict[str, Any] | list[dict[str, Any]]


def _line(database: Database) -> Executable:
    return insert(event).values(at=database.now())


class Transaction:
    """`touched` are the jobs that changed; `work` says that a dispatcher has something to look at, `posted`
    that there are messages to send."""

    def __init__(self, connection: Connection, database: Database) -> None:
        self.connection, self.database = connection, database
        self.touched: set[str] = set()
        self.work = False
        self.posted = False

    def execute(self, statement: Executable, values: Values | None = None) -> CursorResult[Any]:
        return self.connection.execute(statement, values)

    def now(self) -> ColumnElement[datetime]:
        return self.database.now()

    def record(self, job_id: str, name: str, data: Json) -> None:
        """One line of history.

        Names: accepted started adopted planned progress sealed requeued successful failed dismissed removed
        cancel-requested foreseen; of shared work: promoted follows prioritized.
        """
        self.execute(self.database.prepared(_line), {"job_id": job_id, "name": name, "data": data})
        outbox.post(self, [job_id], name, data)
        self.touched.add(job_id)

    def record_all(self, job_ids: Sequence[str], name: str | None, data: Json) -> None:
        """The same line for many jobs; without a name they are only touched."""
        if job_ids and name is not None:
            lines = [{"job_id": job_id, "name": name, "data": data} for job_id in job_ids]
            self.execute(self.database.prepared(_line), lines)
            outbox.post(self, job_ids, name, data)
        self.touched.update(job_ids)
