"""Outlook: what those who wait are told from: the feed of changes, the work there is, the types of jobs.

Reads only. `Tracker` has one as its `outlook`.
"""

from __future__ import annotations

from collections.abc import Sequence

from service.tracker import acceptance, changes, history, workload
from service.tracker.changes import Changes, Mark
from service.tracker.database import Database
from service.tracker.workload import Workload


class Outlook:
    """Thread-safe, as the database is."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def changes(self, owner: str, mark: Mark | None, limit: int = 200) -> Changes:
        """Jobs of an owner that changed after a mark; without one up to `limit` active jobs."""
        if mark is None:
            return self._database.read(lambda c: changes.present(c, self._database, owner, limit))
        return self._database.read(lambda c: changes.since(c, self._database, owner, mark))

    def types(self) -> Sequence[tuple[str, str]]:
        """Kind and type of all jobs the tracker remembers."""
        return self._database.read(history.types)

    def equal(self, owner: str, question: str) -> str | None:
        """The job whose result or work answers a question of this owner; None when none does."""
        return self._database.read(lambda c: acceptance.answering(c, self._database, owner, question))

    def workload(self) -> Workload:
        """What runs and what waits."""
        return self._database.read(workload.workload)
