"""Glances at running reports: the answer over what is known so far, for all who look at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.store import Store
from service.model import Job
from service.remembered import Remembered
from service.tracker import Tracker

if TYPE_CHECKING:
    from pipelines.reports.partial import SoFar

_SECONDS = 2.0  # between two looks at one job


class Glances:
    """Thread-safe. The work is done in this process; its size is bounded by `pipelines.reports.partial`."""

    def __init__(self, tracker: Tracker, store: Store) -> None:
        self._tracker, self._store = tracker, store
        self._known: Remembered[str, SoFar | None] = Remembered(_SECONDS, self._look)

    def so_far(self, job: Job) -> SoFar | None:
        """None for what is no running report, and where nothing can be told before the end."""
        if job.kind != "report" or job.plan is None or job.ended:
            return None
        return self._known[job.id]

    def _look(self, job_id: str) -> SoFar | None:
        from pipelines.reports.partial import so_far  # brings Arrow: not before somebody looks

        job = self._tracker.get(job_id)
        return None if job is None or job.plan is None else so_far(self._store, job.plan)
