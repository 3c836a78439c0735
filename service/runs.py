"""Run, Window, Limits: a job in the dispatcher's hands, how many it takes at once, how long one may take.

State and arithmetic, no decisions about jobs. Times are the dispatcher's clock, in seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass

from pipelines.plan import Artifact, Plan
from service.cluster import RunKey, Status
from service.cluster.meter import PLANNING
from service.model import Job, JobError

_QUICK = 0.5  # seconds: whoever waited so short a time was not told anything
_WARN = 0.5  # of the time a run may stall: then its message says so

Told = tuple[int, str, str | None]


@dataclass
class Run:
    """A job we hold. `began` is when its present run began, `moved` when it last got on; `told` is what the
    tracker knows."""

    job: Job
    began: float
    moved: float
    parts: int = 1
    total: int = 0
    done: int = 0
    phase: str = PLANNING
    message: str | None = None
    stalled: bool = False
    foreseen: bool = False
    told: Told = (0, PLANNING, None)
    publishing: Future[Artifact] | None = None

    @classmethod
    def of(cls, job: Job, now: float) -> Run:
        """A job just leased; one that was adopted has a past."""
        past = (job.updated - job.started).total_seconds() if job.started is not None else 0.0
        done, phase = job.progress.done, job.progress.phase
        told = (done, phase, job.message)
        return cls(job, now - max(0.0, past), now, done=done, phase=phase, message=job.message, told=told)

    @property
    def key(self) -> RunKey:
        return RunKey(self.job.id, self.job.run_epoch)

    def planned(self, plan: Plan) -> None:
        self.parts, self.total = len(plan.parts), plan.total

    def follow(self, status: Status, now: float) -> None:
        """Take over what the cluster says. Units never fall; a run that waits its turn does not stall."""
        done = max(self.done, status.done)
        if (done, status.phase) != (self.done, self.phase) or not status.busy:
            self.moved = now
            if self.stalled:
                self.stalled, self.message = False, ""
        self.done, self.phase = done, status.phase

    def foreseeable(self, now: float) -> bool:
        """Whether a guess of its end is worth keeping now: a fifth is done, and it is no quick job."""
        part = self.total / 5 <= self.done < self.total
        return part and not self.foreseen and now - self.began >= _QUICK

    @property
    def news(self) -> Told | None:
        """What the tracker does not know yet."""
        now = (self.done, self.phase, self.message)
        return now if now != self.told else None


@dataclass(frozen=True, slots=True)
class Window:
    """How much is in flight at once: late small jobs wait little, a lost scheduler costs little."""

    jobs: int = 32
    parts: int = 5_000

    def room(self, runs: Iterable[Run], workers: int) -> int:
        """How many more jobs to take. Without workers one job calls for them, the rest stay in the queue."""
        runs = list(runs)
        if sum(run.parts for run in runs) >= self.parts:
            return 0
        return (self.jobs if workers else 1) - len(runs)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a run may take, and how long it may show no progress while workers have it. Seconds."""

    run: float = 6 * 3600.0
    stall: float = 600.0

    def broken(self, run: Run, now: float) -> JobError | None:
        """Why a run must end now. Says so in its message when it stalls, long before."""
        if now - run.began > self.run:
            return JobError(
                "timeout",
                f"The job ran for more than {self.run:,.0f} seconds and was stopped; ask for less at once, "
                "add workers, or let the operator raise HAULIER_JOB_SECONDS.",
            )
        still = now - run.moved
        if still > self.stall:
            return JobError(
                "timeout",
                f"The job made no progress for {self.stall:,.0f} seconds while {run.phase} and was stopped; "
                "retry it, and if it stalls again show the workers' log to the operator "
                "(HAULIER_STALL_SECONDS is the limit).",
            )
        if still > self.stall * _WARN:
            run.stalled, run.message = True, f"No progress for {still // 10 * 10:.0f} seconds."
        return None
