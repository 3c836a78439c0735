"""Waiting: what is said to those who wait for a job: when it will be done, why it waits, that it changed.

Reads the tracker and the clock; the arithmetic of an estimate is `service.eta`'s.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from service.errors import UnknownJob
from service.eta import Estimate, estimate
from service.model import Job, JobState
from service.tracker import Changes, Mark, Tracker

_TOGETHER = 0.05  # seconds in which changes are gathered: all jobs together change often


@dataclass(frozen=True, slots=True)
class QueuePlace:
    """Why a job waits: how many have their turn before it (0 = next), and that in words."""

    position: int
    reason: str


class Waiting:
    """Thread-safe, as the tracker is."""

    def __init__(self, tracker: Tracker, clock: Callable[[], datetime]) -> None:
        self._tracker, self._clock = tracker, clock

    def estimate(self, job: Job) -> Estimate | None:
        """When the job will be done, from earlier runs and its own throughput; None without any basis."""
        if job.ended:
            return None
        history = self._tracker.history(job.kind, job.type)
        waits = job.state is JobState.ACCEPTED and bool(history)
        # the jobs ahead are taken to be like the earlier ones, worked off one after another
        ahead = self._tracker.ahead(job.id) * median(run.seconds for run in history) if waits else 0.0
        return estimate(job, self._clock(), history, ahead)

    def heartbeat_age(self, job: Job) -> float | None:
        """Seconds since whoever runs the job said that it is alive; None when nobody does."""
        if job.heartbeat is None or job.ended:
            return None
        return max(0.0, (self._clock() - job.heartbeat).total_seconds())

    def queue(self, job: Job) -> QueuePlace | None:
        """The place of a waiting job; None once it runs or has ended."""
        if job.state is not JobState.ACCEPTED:
            return None
        if job.leader is not None:
            return QueuePlace(0, f"Job {job.leader} answers the same question; this one gets its result.")
        position = self._tracker.ahead(job.id)
        if position == 0:
            return QueuePlace(0, "It is next and waits for a free worker.")
        return QueuePlace(position, "1 job is ahead." if position == 1 else f"{position} jobs are ahead.")

    def changes(self, owner: str, cursor: str | None, seconds: float) -> Changes:
        """The owner's jobs that changed after a cursor, as soon as there are any; none after `seconds`.

        Without a cursor those that are active, at once. ValueError for a bad one.
        """
        if cursor is None:
            return self._tracker.changes(owner, None)
        mark, deadline = Mark.from_cursor(cursor), time.monotonic() + seconds
        with self._tracker.watch() as changed:
            while True:
                changed.clear()
                found = self._tracker.changes(owner, mark)
                mark = found.mark
                left = deadline - time.monotonic()
                over = left <= 0 or self._tracker.leaving.is_set()
                if found.jobs or (over and not found.more):
                    return found
                if not found.more:
                    changed.wait(min(left, self._tracker.look_again))
                    time.sleep(min(max(0.0, left), _TOGETHER))

    def until_changed(self, job_id: str, seconds: float, revision: int | None = None) -> Job:
        """The job once it differs from `revision` (default: from now) or has ended, else after `seconds`."""
        if revision is None:
            revision = self._get(job_id).revision
        return self.until(job_id, seconds, lambda job: job.revision != revision)

    def until(self, job_id: str, seconds: float, done: Callable[[Job], bool]) -> Job:
        """The job once `done` says so or it has ended; else after `seconds`, or when the service leaves."""
        deadline = time.monotonic() + seconds
        with self._tracker.watch(job_id) as changed:
            while True:
                changed.clear()
                job = self._get(job_id)
                left = deadline - time.monotonic()
                if job.ended or done(job) or left <= 0 or self._tracker.leaving.is_set():
                    return job
                changed.wait(min(left, self._tracker.look_again))

    def _get(self, job_id: str) -> Job:
        job = self._tracker.get(job_id)
        if job is None:
            raise UnknownJob(job_id)
        return job
