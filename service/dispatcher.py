"""Dispatcher: makes true what the tracker remembers: leases jobs, has them run, follows them to their ends.

`tick` is one look at everything and never waits for work: the cluster computes, the publisher moves files,
`endings` says how a run leaves our hands. Every write is fenced by the job's epoch, so a dispatcher that lost
a lease can do no harm. One bad job stops nothing. Knows neither SQL nor Dask.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import structlog

from pipelines.plan import Plan
from pipelines.store import Store
from service.cluster import Cluster, Failed, Finished, Lost, Skewed, Stage, Status, Struck
from service.cluster.outcomes import internal_error
from service.endings import Endings
from service.errors import Unavailable
from service.publisher import Publisher
from service.runs import Limits, Run, Window
from service.tracker import ProgressUpdate, Tracker
from service.waiting import Waiting

if TYPE_CHECKING:
    from pipelines.registry import Pipeline

log = structlog.get_logger()

LEASE = 30.0  # seconds; longer than any stall of a tick
_BEATS = 4.3  # renewals a lease
_LOOK = 1.0  # seconds between two looks at the queue when nobody wakes us
_FEW = 2  # runs that may be counted very often


class Dispatcher:
    """`tick` belongs to one thread: that of `run`, or a test's. `pipelines` default to the registry's.

    `keep` is how long results stay (None: for ever). `adoptable` says that the cluster outlives us, so that
    another dispatcher can go on with what we leave.
    """

    def __init__(
        self,
        tracker: Tracker,
        cluster: Cluster,
        store: Store,
        *,
        pipelines: Mapping[str, Pipeline] | None = None,
        window: Window | None = None,
        limits: Limits | None = None,
        lease: float = LEASE,
        keep: timedelta | None = None,
        adoptable: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.owner = f"dispatcher-{uuid.uuid4().hex[:12]}"
        self._tracker, self._cluster, self._given = tracker, cluster, pipelines
        self._window, self._limits = window or Window(), limits or Limits()
        self._waiting = Waiting(tracker, tracker.clock)
        self._lease, self._clock, self._adoptable = lease, clock, adoptable
        self._publisher = Publisher(store, self._pipelines, tracker.accepted.set, clock)
        self._endings = Endings(tracker, cluster, self._publisher, clock, keep)
        self._runs = self._endings.runs
        self._stopped = threading.Event()
        self._renewed = self._looked = self._counted = float("-inf")
        cluster.notify(tracker.accepted.set)

    def run(self) -> None:
        """Tick until `stop`, woken by new jobs, cancels and the ends of runs."""
        woken, asked = True, self._tracker.asked
        while not self._stopped.is_set():
            try:
                self.tick(woken)
            except Unavailable as error:
                log.warning("database not reachable", error=str(error))
                self._stopped.wait(_LOOK)
            except Exception:
                log.exception("dispatcher tick failed")
                self._stopped.wait(_LOOK)
            self._tracker.accepted.wait(self._cadence())
            self._tracker.accepted.clear()
            known, asked = asked, self._tracker.asked
            woken = asked != known  # else it was the cluster, and there is nothing new to lease

    def stop(self) -> None:
        """Ask `run` to return."""
        self._stopped.set()
        self._tracker.accepted.set()

    def close(self) -> None:
        """After `run` has returned: end what is being published, leave the rest to whoever comes next."""
        self._publisher.close()
        for run in list(self._runs.values()):
            if run.publishing is not None:
                self._guarded(run, self._endings.collect)
            elif not self._adoptable:
                self._guarded(run, partial(self._endings.requeue, reason=_STOPPED, blameless=True))
        for run in list(self._runs.values()):
            self._endings.let_go(run)
        try:
            self._tracker.hand_over(self.owner)
        except Unavailable as error:
            log.warning("database not reachable", error=str(error))

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
        if look or self._endings.room:
            self._endings.room = False
            self._take_jobs(now)
        self._tell()
        self._publisher.sweep()

    # --- keeping and taking jobs

    def _renew(self) -> None:
        held = self._tracker.renew(self.owner, self._lease)
        ours = {(run.job.id, run.job.epoch): run for run in self._runs.values()}
        for lease, run in ours.items():
            if lease not in held:
                self._endings.let_go(run)
        for job_id, epoch in held - ours.keys():  # the answer to our leasing was lost on its way
            self._tracker.requeue(job_id, epoch, "Its start was interrupted.", blameless=True)

    def _obey_cancels(self) -> None:
        for job_id, epoch in self._tracker.cancel_requests(self.owner):
            run = self._endings.find(job_id, epoch)
            if run is not None and run.publishing is not None:
                continue  # too late: what is published stays
            if self._tracker.dismiss(job_id, epoch) and run is not None:
                self._endings.drop(run)

    def _take_jobs(self, now: float) -> None:
        room = self._window.room(self._runs.values(), self._cluster.workers())
        if room < 1 or now < self._endings.held_until or not self._cluster.ready():
            return
        for job in self._tracker.lease(self.owner, room, self._lease, self._cluster.identity()):
            run = Run.of(job, now)
            self._runs[run.key] = run
            self._guarded(run, self._begin)

    def _begin(self, run: Run) -> None:
        """Where the last holder left off: publish, go on with its plan (and its work), or start with one."""
        job = run.job
        if self._endings.exhausted(run):
            return
        adopted = job.run_epoch != job.epoch
        if job.outcome is not None:
            self._endings.publish(run, job.outcome)
        elif adopted and not self._cluster.knows(run.key, job.kind):
            # it went with who started it; its keys are never used again: parts of it may still be running
            self._endings.requeue(run, _GONE, blameless=True)
        elif job.plan is not None:
            self._start(run, Plan.from_json(job.plan))
        else:
            self._cluster.plan(run.key, job.kind, self._pipelines()[job.kind].plan, job.spec, job.priority)

    def _start(self, run: Run, plan: Plan) -> None:
        run.planned(plan)
        self._cluster.start(run.key, run.job.kind, plan, run.job.priority)

    # --- following runs

    def _follow_all(self, now: float) -> None:
        workers = self._cluster.workers()
        count = now - self._counted >= self._cadence() or not workers
        if count:
            self._counted = now
        statuses = self._cluster.poll(count)
        self._endings.room |= self._cluster.workers() > workers
        for key, status in statuses.items():
            run = self._runs.get(key)
            if run is None:
                self._cluster.forget(key)
            elif run.publishing is None:
                self._guarded(run, partial(self._follow, status=status, now=now))
        for run in list(self._runs.values()):
            if run.publishing is None and run.key not in statuses:  # the database was away when it began
                self._guarded(run, self._begin)
            elif run.publishing is not None and run.publishing.done():
                self._guarded(run, self._endings.collect)

    def _guarded(self, run: Run, step: Callable[[Run], None]) -> None:
        """A fault nobody foresaw fails its own job only; an absent database is nobody's: try again later."""
        try:
            try:
                step(run)
            except Unavailable:
                raise
            except Exception as error:
                self._endings.fail(run, internal_error(run.job.id), error)
        except Unavailable as error:
            log.warning("database not reachable", job_id=run.job.id, error=str(error))

    def _follow(self, run: Run, status: Status, now: float) -> None:
        run.follow(status, now)
        match status.outcome:
            case Finished(value) if status.stage is Stage.PLAN:
                self._planned(run, Plan.from_json(value))
            case Finished(value):
                self._endings.seal(run, value)
            case Failed(error, cause):
                self._endings.fail(run, error, cause)
            case Lost(reason):
                self._endings.lost(run, reason)
            case Struck():
                self._endings.struck(run, status.outcome)
            case Skewed(reason):
                self._endings.skewed(run, reason)
            case None:
                if (broken := self._limits.broken(run, now)) is not None:
                    self._endings.fail(run, broken)

    def _planned(self, run: Run, plan: Plan) -> None:
        if not self._tracker.planned(run.job.id, run.job.epoch, plan.to_json(), plan.total, plan.unit):
            self._endings.let_go(run)
            return
        run.told = (run.done, run.phase, run.message)  # the tracker has begun a new phase by itself
        self._start(run, plan)

    # --- telling

    def _tell(self) -> None:
        """All progress in one transaction."""
        news = [(run, told) for run in self._runs.values() if (told := run.news) is not None]
        if news:
            self._tracker.progress([ProgressUpdate(run.job.id, run.job.epoch, *told) for run, told in news])
        for run, told in news:
            run.told = told
            if run.foreseeable(self._clock()):
                run.foreseen = True
                self._foresee(run)

    def _foresee(self, run: Run) -> None:
        """Keep what is guessed of a job at a fifth of its work: how right it was is told to those who ask."""
        job = self._tracker.get(run.job.id)
        guess = None if job is None else self._waiting.estimate(job)
        if guess is not None:
            told = {"seconds": guess.seconds, "p90": guess.p90}
            self._tracker.foresee(run.job.id, run.job.epoch, told)

    def _cadence(self) -> float:
        """Seconds between two counts: short while a job is young, so that short jobs show progress too."""
        if not self._runs:
            return _LOOK if self._cluster.workers() else 0.2
        age = self._clock() - max(run.began for run in self._runs.values())
        return min(1.0, max(0.05 if len(self._runs) <= _FEW else 0.1, age / 12))

    def _pipelines(self) -> Mapping[str, Pipeline]:
        if self._given is None:
            from pipelines.registry import PIPELINES  # brings Arrow: not before the first job

            self._given = PIPELINES
        return self._given


_STOPPED = "The service was stopped; it goes on with the next start."
_GONE = "Its work was lost; it starts again with what was kept."
