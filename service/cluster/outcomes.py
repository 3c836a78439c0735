"""What the dispatcher is told of a run: its key, its status, its end; and the protocol every cluster keeps.

The rules that turn an exception into an end live here and nowhere else. No Dask calls, no I/O.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from pipelines.errors import Canceled, foreseen
from pipelines.plan import Json, Plan
from service.model import JobError, Priority


@dataclass(frozen=True, slots=True)
class RunKey:
    """One run of one job: `epoch` is that in which it was begun. A repeated run has a higher one; whoever
    goes on with a run that another began uses the same."""

    job_id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The stage ended well: the plan, or the outcome that `publish` takes."""

    value: Json


@dataclass(frozen=True, slots=True)
class Failed:
    """The job's own failure. `error` is safe to show; `cause` is set when nobody foresaw it, for the log."""

    error: JobError
    cause: BaseException | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Lost:
    """The cluster lost the run: nobody's fault, run it again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Struck:
    """Workers died under the run: perhaps its fault, a few times may be tried. `memory`: they were stopped
    because they used too much of it."""

    reason: str
    memory: bool = False


@dataclass(frozen=True, slots=True)
class Skewed:
    """Scheduler or worker have another version of the code than we have: hold, and say so."""

    reason: str


Outcome = Finished | Failed | Lost | Struck | Skewed


class Stage(StrEnum):
    """A run is planned, then worked."""

    PLAN = "plan"
    WORK = "work"


@dataclass(frozen=True, slots=True)
class Status:
    """How a run stands: units done of its plan, the phase in words, the outcome once the stage has ended.

    `busy`: whether a worker computes for it now, or did when last seen; otherwise it waits for its turn.
    """

    stage: Stage
    done: int
    phase: str
    outcome: Outcome | None = None
    busy: bool = True


class Cluster(Protocol):
    """Runs plans. All but `workers` is called by one thread; nothing blocks for more than a few seconds."""

    def notify(self, wake: Callable[[], None]) -> None:
        """Call `wake`, from any thread, whenever `poll` may have something new."""

    def ready(self) -> bool:
        """Whether a run started now would reach a scheduler."""

    def identity(self) -> str | None:
        """What tells this scheduler process from every other, restarted ones too; None while unconnected."""

    def workers(self) -> int:
        """Worker processes last seen; 0 while there is no connection."""

    def plan(self, key: RunKey, kind: str, entry: str, spec: Json, priority: Priority) -> None:
        """Start the plan stage: one task, `entry(context, spec, None)`, whose value is a Plan as JSON."""

    def start(self, key: RunKey, kind: str, plan: Plan, priority: Priority) -> None:
        """Start the work stage of a run, planned before under this key or an earlier one.

        A run that another client began, and that the scheduler still knows, is joined: no part runs twice.
        """

    def knows(self, key: RunKey, kind: str) -> bool:
        """Whether the scheduler still has the work stage of a run that somebody else started."""

    def poll(self, progress: bool = True) -> dict[RunKey, Status]:
        """Every run not yet forgotten. Without `progress` only ends are looked at, which costs nothing."""

    def cancel(self, key: RunKey) -> None:
        """Stop a run and forget it; its parts learn of it when they next check."""

    def let_go(self, key: RunKey) -> None:
        """Hands off a run that somebody else holds now: it goes on, and its results stay for the other."""

    def forget(self, key: RunKey) -> None:
        """Forget an ended or lost run; its results are dropped."""

    def close(self) -> None:
        """Leave the cluster; runs are dropped."""


def classify(error: BaseException, job_id: str) -> Outcome:
    """The end that an exception of a task or of its future means."""
    name = type(error).__name__
    if isinstance(error, Canceled):  # we forget what we cancel: somebody else told the part to stop
        return Lost("a part was told to stop")
    if (known := foreseen(error)) is not None:
        return Failed(JobError(known.code, known.detail))
    if name == "KilledWorker":
        return Struck(str(error))
    if isinstance(error, concurrent.futures.CancelledError) or name in _INFRASTRUCTURE:
        return Lost(f"{name}: {error}")
    if _is_skew(error):
        return Skewed(f"{name}: {error}")
    return Failed(internal_error(job_id), error)


def internal_error(job_id: str) -> JobError:
    """What a user is told of an error nobody foresaw."""
    detail = f"An unexpected error ended the job; the log of job {job_id} has the details."
    return JobError("internal", detail)


# By name, so that classifying needs no import of distributed where no Dask is used.
_INFRASTRUCTURE = frozenset(
    {"CommClosedError", "FutureCancelledError", "FuturesCancelledError", "NoValidWorkerError"}
)


def _is_skew(error: BaseException) -> bool:
    if isinstance(error, ModuleNotFoundError):
        return (error.name or "").partition(".")[0] == "pipelines"
    return isinstance(error, RuntimeError) and "Error during deserialization" in str(error)
