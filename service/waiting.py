"""Waiting: what is said to those who wait for a job: when it will be done, why it waits, that it changed.

Reads the tracker and the clock; the arithmetic of an estimate is `service.eta`'s. What many ask for at once
(earlier runs, the work there is) is read from the database once a second or two.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from pipelines.plan import Request
from service.errors import UnknownJob
from service.eta import Estimate, Run, Whole, judge, waiting, whole
from service.likeness import Traits, traits
from service.model import Job, JobState
from service.remembered import Remembered
from service.track_record import Record, at_fifth, at_start, record
from service.tracker import Changes, Mark, Tracker, Work, Workload

Records = dict[tuple[str, str, str], Record]

_TOGETHER = 0.05  # seconds in which changes are gathered: all jobs together change often
_PLACE, _WORKLOAD, _HISTORY, _RECORD = 0.25, 1.0, 2.0, 30.0  # seconds for which they are good enough


@dataclass(frozen=True, slots=True)
class QueuePlace:
    """How many have their turn before a job (0 = next); why it waits, and until when, in words."""

    position: int
    reason: str


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a job would meet that were submitted now: its estimate, the wait in it, and past errors."""

    estimate: Estimate | None
    queue_seconds: float
    ahead: int
    record: Record | None


class Waiting:
    """Thread-safe, as the tracker is. `workers` counts the workers, as far as this process sees any."""

    def __init__(self, tracker: Tracker, clock: Callable[[], datetime]) -> None:
        self._tracker, self._clock = tracker, clock
        self.workers: Callable[[], int | None] = lambda: None
        self._history: Remembered[tuple[str, str], Sequence[Run]] = Remembered(
            _HISTORY, lambda key: tracker.history(*key)
        )
        self._whole: Remembered[tuple[str, str, int, Traits], Whole | None] = Remembered(
            _HISTORY, lambda key: whole(key[2], self._history[key[0], key[1]], key[3])
        )
        self._ahead: Remembered[str, int] = Remembered(_PLACE, tracker.ahead)
        self._workload: Remembered[None, Workload] = Remembered(
            _WORKLOAD, lambda _: tracker.outlook.workload()
        )
        self._records: Remembered[None, Records] = Remembered(_RECORD, lambda _: self._read_records())

    # --- when

    def estimate(self, job: Job) -> Estimate | None:
        """When the job will be done, from earlier runs and its own throughput; None without any basis."""
        if job.ended:
            return None
        ahead = 0.0
        if job.state is JobState.ACCEPTED:
            ahead = self._seconds_ahead(self._ahead[job.id])
        known = self._whole[job.kind, job.type, job.size, traits(job.parameters)]
        return judge(job, self._clock(), known, ahead)

    def outlook(self, kind: str, request: Request, share: float = 0.0) -> Outlook:
        """Of a job that were submitted now, of whose work a `share` is done already."""
        ahead = sum(work.jobs for work in self._workload.fresh(None).waiting)
        seconds = self._seconds_ahead(ahead)
        history = self._history.fresh((kind, request.type))
        known = whole(request.size, history, traits(request.parameters))
        found = None
        if known is not None:
            left = 1 - share
            rest = Whole(known.middle * left, known.high * left, known.tail * left, known.runs)
            found = waiting(rest, seconds)
        return Outlook(found, seconds, ahead, record(at_start(history)))

    def records(self) -> Records:
        """How right estimates were, by kind, type and moment (`start`, `fifth`)."""
        return self._records[None]

    def _seconds_ahead(self, position: int) -> float:
        """The work before a place in the queue: what is left of running jobs, and the jobs ahead."""
        work = self._workload[None]
        running = sum(self._seconds(each) for each in work.running)
        queued = sum(each.jobs for each in work.waiting)
        if not position or not queued:
            return running
        ahead = sum(each.jobs * self._seconds(each) for each in work.waiting)
        return running + ahead * min(1.0, position / queued)

    def _seconds(self, work: Work) -> float:
        """What is left of it; nothing is known of types that were never run."""
        known = self._whole[work.kind, work.type, work.size, frozenset()]
        return 0.0 if known is None else known.middle * (1 - work.share)

    def _read_records(self) -> Records:
        found: Records = {}
        for kind, type in self._tracker.outlook.types():
            runs = self._history[kind, type]
            for moment, guesses in (("start", at_start(runs)), ("fifth", at_fifth(runs))):
                if (measured := record(guesses)) is not None:
                    found[kind, type, moment] = measured
        return found

    # --- why

    def heartbeat_age(self, job: Job) -> float | None:
        """Seconds since whoever runs the job said that it is alive; None when nobody does."""
        if job.heartbeat is None or job.ended:
            return None
        return max(0.0, (self._clock() - job.heartbeat).total_seconds())

    def queue(self, job: Job) -> QueuePlace | None:
        """The place of a waiting job; None once it runs or has ended."""
        if job.state is not JobState.ACCEPTED:
            return None
        position = self._ahead[job.id]
        if job.leader is not None:
            said = f"Job {job.leader} answers the same question; this one gets its result."
            return QueuePlace(position, said)
        return QueuePlace(position, " ".join(self._reasons(job, position)))

    def _reasons(self, job: Job, position: int) -> Iterable[str]:
        """Why it was put back; what is ahead, and until when; who should do the work."""
        if job.message:
            yield job.message
        workers, busy = self.workers(), len(self._workload[None].running)
        seconds = self._seconds_ahead(position)
        start = f"; it may start in about {seconds:.0f} s." if seconds >= 1 else "."
        if position:
            yield ("1 job is ahead" if position == 1 else f"{position} jobs are ahead") + start
        if workers == 0:
            yield "No worker has come yet."
        elif not position and busy:
            yield f"It is next; the workers are busy with {_jobs(busy)}" + start
        elif not position:
            yield "It is next and waits for a free worker."

    # --- until

    def changes(self, owner: str, cursor: str | None, seconds: float) -> Changes:
        """The owner's jobs that changed after a cursor, as soon as there are any; none after `seconds`.

        Without a cursor those that are active, at once. ValueError for a bad one.
        """
        if cursor is None:
            return self._tracker.outlook.changes(owner, None)
        mark, deadline = Mark.from_cursor(cursor), time.monotonic() + seconds
        with self._tracker.watch() as changed:
            while True:
                changed.clear()
                found = self._tracker.outlook.changes(owner, mark)
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


def _jobs(count: int) -> str:
    return "1 running job" if count == 1 else f"{count} running jobs"
