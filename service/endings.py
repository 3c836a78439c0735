"""Endings: how a run leaves the dispatcher's hands: published, failed, given back to the queue, let go.

Every write is fenced by the job's epoch: where the tracker says no, somebody else holds the job, and nothing
of it is touched. What an ended job left is removed; what a lost one left is kept, its next run builds on it.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog

from pipelines.errors import PipelineError
from pipelines.plan import Json
from service.cluster import Cluster, RunKey, Struck
from service.cluster.meter import PUBLISHING
from service.model import JobError
from service.publisher import Publisher
from service.runs import Run
from service.tracker import Tracker

log = structlog.get_logger()

_STRIKES = 2  # runs whose workers died before the job is to blame
_LOSSES = 20  # times a job may be lost before somebody should look
_HOLD_LOST, _HOLD_SKEWED = 0.5, 10.0  # seconds without new leases after a loss, after a skew
_SKEW_PATIENCE = 600.0  # seconds that workers of another version are waited for: a deployment takes minutes
_KILLED = (
    "The workers that ran this job were killed again and again, probably because it needs more memory than "
    "they have; give the workers more memory or ask for less at once."
)
_MEMORY = (
    "The workers that ran this job were stopped again and again because it needs more memory than they have; "
    "give each worker more memory, use fewer workers, or ask for less at once."
)
_EXHAUSTED = (
    "Its workers, scheduler or dispatcher went away {losses} times before it was done; see their logs, then "
    "submit it again."
)
_SKEWED = (
    "The workers run another version of Haulier than the service, and no right one came in time; update "
    "them, then submit it again."
)


class Endings:
    """Belongs to the dispatcher's thread. `runs` is what is held, `room` whether something has left it."""

    def __init__(
        self,
        tracker: Tracker,
        cluster: Cluster,
        publisher: Publisher,
        clock: Callable[[], float],
        keep: timedelta | None = None,
    ) -> None:
        self.runs: dict[RunKey, Run] = {}
        self.room = True
        self.held_until = float("-inf")
        self._tracker, self._cluster, self._publisher = tracker, cluster, publisher
        self._clock, self._keep = clock, keep
        self._skewed_since: dict[str, float] = {}

    def find(self, job_id: str, epoch: int) -> Run | None:
        """The run of a lease, if it is ours."""
        runs = (run for run in self.runs.values() if run.job.id == job_id and run.job.epoch == epoch)
        return next(runs, None)

    # --- a result

    def seal(self, run: Run, outcome: Json) -> None:
        """Write down what the work came to, then make it visible; from here on it is too late to cancel."""
        if self._tracker.seal(run.job.id, run.job.epoch, outcome):
            self._cluster.forget(run.key)
            self.publish(run, outcome)
        elif self._tracker.dismiss(run.job.id, run.job.epoch):  # a cancel came first
            self.drop(run)
        else:
            self.let_go(run)

    def publish(self, run: Run, outcome: Json) -> None:
        run.done, run.phase, run.message = max(run.done, run.total), PUBLISHING, None
        run.told = (run.done, run.phase, None)
        run.publishing = self._publisher.publish(run.job, outcome)

    def collect(self, run: Run) -> None:
        """Write down that the result is there."""
        assert run.publishing is not None
        try:
            artifact = run.publishing.result()
        except PipelineError as error:
            self.fail(run, JobError(error.code, error.detail))
            return
        except FileNotFoundError:  # what is to be published is not there: trying again brings nothing
            raise
        except OSError as error:
            self.lost(run, f"publishing failed: {error}")
            return
        expires = None if self._keep is None else datetime.now(UTC) + self._keep
        # False: somebody else ends the job, with the same result, for publishing is idempotent
        self._tracker.succeed(run.job.id, run.job.epoch, artifact, expires)
        self._skewed_since.pop(run.job.id, None)
        self.release(run)

    # --- no result

    def fail(self, run: Run, error: JobError, cause: BaseException | None = None) -> None:
        ours = self._tracker.fail(run.job.id, run.job.epoch, error)
        if cause is not None:  # as text: a renderer may show local variables, and with them users' data
            text = "".join(traceback.format_exception(cause))
            log.error("unexpected error", job_id=run.job.id, epoch=run.job.epoch, exception=text)
        self._skewed_since.pop(run.job.id, None)
        if ours:
            self.drop(run)
        else:
            self.let_go(run)

    def exhausted(self, run: Run) -> bool:
        """Fail a job that was lost too often."""
        if run.job.losses < _LOSSES:
            return False
        self.fail(run, JobError("attempts-exhausted", _EXHAUSTED.format(losses=run.job.losses)))
        return True

    def lost(self, run: Run, reason: str) -> None:
        log.warning("run lost", job_id=run.job.id, epoch=run.job.epoch, reason=reason)
        self.held_until = self._clock() + _HOLD_LOST
        self.requeue(run, "The cluster lost it; it starts again with what was kept.")

    def struck(self, run: Run, strike: Struck) -> None:
        log.warning("workers killed", job_id=run.job.id, attempt=run.job.attempt, reason=strike.reason)
        if run.job.attempt < _STRIKES:
            self.requeue(run, "Its workers were killed; it starts again.", strike=True)
        elif strike.memory:
            self.fail(run, JobError("out-of-memory", _MEMORY))
        else:
            self.fail(run, JobError("worker-killed", _KILLED))

    def skewed(self, run: Run, reason: str) -> None:
        log.error("workers run another version", job_id=run.job.id, reason=reason)
        now = self._clock()
        since = self._skewed_since.setdefault(run.job.id, now)
        self.held_until = now + _HOLD_SKEWED
        if now - since > _SKEW_PATIENCE:
            self.fail(run, JobError("version-skew", _SKEWED))
            return
        waits = "The workers run another version of Haulier; it waits for the right one."
        self.requeue(run, waits, blameless=True)

    def requeue(self, run: Run, reason: str, *, strike: bool = False, blameless: bool = False) -> None:
        """Give a job back to the queue; what its parts have kept stays for the next run."""
        if not self._tracker.requeue(run.job.id, run.job.epoch, reason, strike=strike, blameless=blameless):
            self.let_go(run)
            return
        job = self._tracker.get(run.job.id)
        if job is not None and job.ended:  # its cancel had been asked for
            self.drop(run)
        else:
            self._cluster.cancel(run.key)
            self.release(run)

    # --- letting go

    def drop(self, run: Run) -> None:
        """Stop the work of a job that has ended and remove what it left."""
        self._cluster.cancel(run.key)
        self.release(run)
        self._publisher.discard(run.job)

    def let_go(self, run: Run) -> None:
        """Hands off a job that somebody else holds now, who may have adopted the very same work."""
        log.warning("lease lost", job_id=run.job.id, epoch=run.job.epoch)
        self._cluster.let_go(run.key)
        self.release(run)

    def release(self, run: Run) -> None:
        self.runs.pop(run.key, None)
        self._cluster.forget(run.key)
        self.room = True
