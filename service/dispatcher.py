"""Dispatcher: makes true what the tracker remembers: leases jobs, has them run, writes down how they end.

`tick` is one look at everything and never waits for work: the cluster computes, the publisher moves files.
Every write is fenced by the job's epoch, so a dispatcher that lost a lease can do no harm. One bad job stops
nothing. Knows neither SQL nor Dask.
"""

from __future__ import annotations

import threading
import time
import traceback
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import structlog

from pipelines.errors import PipelineError
from pipelines.plan import Json, Plan
from pipelines.store import Store
from service.cluster import Cluster, Failed, Finished, Lost, RunKey, Skewed, Stage, Status, Struck
from service.cluster.meter import PUBLISHING
from service.cluster.outcomes import internal_error
from service.errors import Unavailable
from service.model import JobError, JobState
from service.publisher import Publisher
from service.runs import Run, Window
from service.tracker import ProgressUpdate, Tracker

if TYPE_CHECKING:
    from pipelines.registry import Pipeline

log = structlog.get_logger()

LEASE = 30.0  # seconds; longer than any stall of a tick
_BEATS = 4.3  # renewals a lease
_LOOK = 1.0  # seconds between two looks at the queue when nobody wakes us
_STRIKES = 2  # attempts whose workers died before the job is to blame
_LOSSES = 20  # times the cluster may lose a job before somebody should look
_HOLD_LOST, _HOLD_SKEWED = 0.5, 10.0  # seconds without new leases after a loss, after a skew
_SKEWED = "The workers run another version of Haulier; it waits for the right one."
_KILLED = (
    "The workers that ran this job were killed again and again, probably because it needs more memory than "
    "they have; give the workers more memory or ask for less at once."
)


class Dispatcher:
    """`tick` belongs to one thread: that of `run`, or a test's. `pipelines` default to the registry's."""

    def __init__(
        self,
        tracker: Tracker,
        cluster: Cluster,
        store: Store,
        *,
        pipelines: Mapping[str, Pipeline] | None = None,
        window: Window | None = None,
        lease: float = LEASE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.owner = f"dispatcher-{uuid.uuid4().hex[:12]}"
        self._tracker, self._cluster, self._given = tracker, cluster, pipelines
        self._publisher = Publisher(store, self._pipelines, tracker.accepted.set, clock)
        self._window, self._lease, self._clock = window or Window(), lease, clock
        self._runs: dict[RunKey, Run] = {}
        self._losses: Counter[str] = Counter()
        self._stopped = threading.Event()
        self._room = True  # whether a run has ended or workers have come since the last look at the queue
        self._renewed = self._looked = self._counted = self._held_until = float("-inf")
        cluster.notify(tracker.accepted.set)

    def run(self) -> None:
        """Tick until `stop`, woken by new jobs, cancels and the ends of runs."""
        woken = True
        while not self._stopped.is_set():
            try:
                self.tick(woken)
            except Unavailable as error:
                log.warning("database not reachable", error=str(error))
                self._stopped.wait(_LOOK)
            except Exception:
                log.exception("dispatcher tick failed")
                self._stopped.wait(_LOOK)
            woken = self._tracker.accepted.wait(self._cadence())
            self._tracker.accepted.clear()

    def stop(self) -> None:
        """Ask `run` to return."""
        self._stopped.set()
        self._tracker.accepted.set()

    def close(self) -> None:
        """After `run` has returned: end what is being published, give everything else back to the queue."""
        self._publisher.close()
        for run in list(self._runs.values()):
            if run.publishing is not None:
                self._guarded(run, self._collect)
            else:
                self._guarded(run, partial(self._requeue, reason="The service was stopped."))

    def in_flight(self) -> int:
        """Jobs in our hands."""
        return len(self._runs)

    def tick(self, woken: bool = True) -> None:
        """One look at everything."""
        now = self._clock()
        if now - self._renewed >= self._lease / _BEATS:
            self._renew()
            self._renewed = now
        look = woken or now - self._looked >= _LOOK
        if look:
            self._looked = now
            self._obey_cancels()
        self._follow_all(now)
        if look or self._room:
            self._room = False
            self._take_jobs(now)
        self._tell()
        self._publisher.sweep()

    # --- keeping and taking jobs

    def _renew(self) -> None:
        held = self._tracker.renew(self.owner, self._lease)
        for run in list(self._runs.values()):
            if (run.job.id, run.job.epoch) not in held:
                log.warning("lease lost", job_id=run.job.id, epoch=run.job.epoch)
                self._drop(run)

    def _obey_cancels(self) -> None:
        for job_id, epoch in self._tracker.cancel_requests(self.owner):
            run = self._runs.get(RunKey(job_id, epoch))
            if run is None:
                self._tracker.dismiss(job_id, epoch)
            elif run.publishing is None:  # else it is too late: what is published stays
                self._tracker.dismiss(job_id, epoch)
                self._drop(run)

    def _take_jobs(self, now: float) -> None:
        room = self._window.room(self._runs.values(), self._cluster.workers())
        if room < 1 or now < self._held_until or not self._cluster.ready():
            return
        for job in self._tracker.lease(self.owner, room, self._lease):
            run = Run(job, now)
            self._runs[run.key] = run
            self._guarded(run, self._begin)

    def _begin(self, run: Run) -> None:
        job = run.job
        self._cluster.plan(run.key, job.kind, self._pipelines()[job.kind].plan, job.spec, job.priority)

    # --- following runs

    def _follow_all(self, now: float) -> None:
        workers = self._cluster.workers()
        count = now - self._counted >= self._cadence() or not workers
        if count:
            self._counted = now
        statuses = self._cluster.poll(count)
        self._room |= self._cluster.workers() > workers
        for key, status in statuses.items():
            run = self._runs.get(key)
            if run is None:
                self._cluster.forget(key)
            elif run.publishing is None:
                self._guarded(run, partial(self._follow, status=status))
        for run in list(self._runs.values()):
            if run.publishing is not None and run.publishing.done():
                self._guarded(run, self._collect)

    def _guarded(self, run: Run, step: Callable[[Run], None]) -> None:
        """A fault nobody foresaw fails its own job only; an absent database is nobody's: try again later."""
        try:
            try:
                step(run)
            except Unavailable:
                raise
            except Exception as error:
                self._fail(run, internal_error(run.job.id), error)
        except Unavailable as error:
            log.warning("database not reachable", job_id=run.job.id, error=str(error))

    def _follow(self, run: Run, status: Status) -> None:
        run.done, run.phase = max(run.done, status.done), status.phase
        match status.outcome:
            case Finished(value) if status.stage is Stage.PLAN:
                self._planned(run, Plan.from_json(value))
            case Finished(value):
                self._publish(run, value)
            case Failed(error, cause):
                self._fail(run, error, cause)
            case Lost(reason):
                self._lost(run, reason)
            case Struck(reason):
                self._struck(run, reason)
            case Skewed(reason):
                log.error("workers run another version", job_id=run.job.id, reason=reason)
                self._held_until = self._clock() + _HOLD_SKEWED
                self._requeue(run, _SKEWED)

    def _planned(self, run: Run, plan: Plan) -> None:
        if not self._tracker.planned(run.job.id, run.job.epoch, plan.to_json(), plan.total, plan.unit):
            self._drop(run)
            return
        run.parts, run.total = len(plan.parts), plan.total
        run.told = (run.done, run.phase)  # the tracker has begun a new phase by itself
        self._cluster.start(run.key, run.job.kind, plan, run.job.priority)

    def _publish(self, run: Run, outcome: Json) -> None:
        """Have the outcome made visible, after one more look whether the job is ours and still wanted."""
        job = self._tracker.get(run.job.id)
        if job is None or job.epoch != run.job.epoch or job.state is not JobState.RUNNING:
            self._drop(run)
            return
        run.done, run.phase = run.total, PUBLISHING
        run.publishing = self._publisher.publish(job, outcome)
        self._cluster.forget(run.key)

    def _collect(self, run: Run) -> None:
        assert run.publishing is not None
        try:
            artifact = run.publishing.result()
        except PipelineError as error:
            self._fail(run, JobError(error.code, error.detail))
            return
        # False would mean somebody else ended the job; what is published stays, publishing is idempotent
        self._tracker.succeed(run.job.id, run.job.epoch, artifact)
        self._release(run)

    # --- other ends

    def _fail(self, run: Run, error: JobError, cause: BaseException | None = None) -> None:
        self._tracker.fail(run.job.id, run.job.epoch, error)
        if cause is not None:  # as text: a renderer may show local variables, and with them users' data
            text = "".join(traceback.format_exception(cause))
            log.error("unexpected error", job_id=run.job.id, epoch=run.job.epoch, exception=text)
        self._drop(run)

    def _lost(self, run: Run, reason: str) -> None:
        log.warning("run lost", job_id=run.job.id, epoch=run.job.epoch, reason=reason)
        losses = self._losses[run.job.id] + 1
        if losses >= _LOSSES:
            detail = f"The cluster lost this job {losses} times; see the log of the scheduler, then retry."
            self._fail(run, JobError("cluster-lost", detail))
            return
        self._held_until = self._clock() + _HOLD_LOST
        self._requeue(run, "The cluster lost it; it starts again.")
        self._losses[run.job.id] = losses

    def _struck(self, run: Run, reason: str) -> None:
        log.warning("workers killed", job_id=run.job.id, attempt=run.job.attempt, reason=reason)
        if run.job.attempt < _STRIKES:
            self._requeue(run, "Its workers were killed; it starts again.", strike=True)
        else:
            self._fail(run, JobError("worker-killed", _KILLED))

    def _requeue(self, run: Run, reason: str, *, strike: bool = False) -> None:
        self._tracker.requeue(run.job.id, run.job.epoch, reason, strike=strike)
        self._drop(run)

    def _drop(self, run: Run) -> None:
        """Stop a run and remove what it left."""
        self._cluster.cancel(run.key)
        self._release(run)
        self._publisher.discard(run.job)

    def _release(self, run: Run) -> None:
        self._runs.pop(run.key, None)
        self._cluster.forget(run.key)
        self._losses.pop(run.job.id, None)
        self._room = True

    # --- telling

    def _tell(self) -> None:
        """All progress in one transaction."""
        news = [(run, told) for run in self._runs.values() if (told := run.news) is not None]
        if news:
            self._tracker.progress([ProgressUpdate(run.job.id, run.job.epoch, *told) for run, told in news])
        for run, told in news:
            run.told = told

    def _cadence(self) -> float:
        """Seconds between two counts: short while a job is young, so that short jobs show progress too."""
        if not self._runs:
            return _LOOK if self._cluster.workers() else 0.2
        age = self._clock() - max(run.began for run in self._runs.values())
        return min(1.0, max(0.05, age / 20))

    def _pipelines(self) -> Mapping[str, Pipeline]:
        if self._given is None:
            from pipelines.registry import PIPELINES  # brings Arrow: not before the first job

            self._given = PIPELINES
        return self._given
