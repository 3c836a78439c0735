"""Run and Window: a job in the dispatcher's hands, and how many it takes at once. State, no decisions."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass

from pipelines.plan import Artifact
from service.cluster import RunKey
from service.cluster.meter import PLANNING
from service.model import Job


@dataclass
class Run:
    """One epoch of a job. `began` is the dispatcher's clock; `told` is what the tracker was last told."""

    job: Job
    began: float
    parts: int = 1
    total: int = 0
    done: int = 0
    phase: str = PLANNING
    told: tuple[int, str] = (0, PLANNING)
    publishing: Future[Artifact] | None = None

    @property
    def key(self) -> RunKey:
        return RunKey(self.job.id, self.job.epoch)

    @property
    def news(self) -> tuple[int, str] | None:
        """What the tracker does not know yet."""
        now = (self.done, self.phase)
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
