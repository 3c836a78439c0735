"""How long a job will take: earlier runs of its type first, then its own throughput. Pure; in seconds.

Nothing here reads a clock or a database, so every claim about the numbers can be tested.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from service.model import Job, JobState

_NEAREST = 10  # runs of the most similar size count; a run of another order of magnitude tells little
_HISTORY_SPREAD = 1.3  # p90 is at least this many times p50: few runs understate the spread
_LIVE_SPREAD = 0.5  # what throughput so far may be wrong by at the start of a job; falls to 0 at its end
_FLOOR = 0.1  # an active job is never said to need no time
_STALL = 0.1  # of the time that work without any progress would suggest


@dataclass(frozen=True, slots=True)
class Run:
    """A finished job of the past: its size (in the unit of its kind) and its seconds from start to end."""

    size: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds from now until the end: the middle guess, one that holds nine times of ten, and why."""

    seconds: float
    p90: float
    basis: str


def estimate(job: Job, now: datetime, history: Sequence[Run], ahead_seconds: float = 0) -> Estimate | None:
    """None for an ended job, and while there is nothing to go by."""
    whole = _whole(job.size, history)
    if job.state is JobState.ACCEPTED:
        if whole is None:
            return None
        middle, high = whole
        basis = _runs(history) + (" and the jobs ahead" if ahead_seconds else "")
        return _estimate(middle + ahead_seconds, high + ahead_seconds * _HISTORY_SPREAD, basis)
    if job.state is JobState.RUNNING and job.started is not None:
        return _running(job, job.started, now, whole, history)
    return None


def _running(
    job: Job, started: datetime, now: datetime, whole: tuple[float, float] | None, history: Sequence[Run]
) -> Estimate | None:
    elapsed = max(0.0, (now - started).total_seconds())
    done, total = job.progress.done, job.progress.total
    if not total or done <= 0:
        if whole is None:
            return None
        middle, high = (max(each - elapsed, _STALL * each) for each in whole)
        return _estimate(middle, high, _runs(history))
    share = min(1.0, done / total)
    pace = _Pace.of(job, started, now, done)
    if pace.done <= 0:
        return (
            None
            if whole is None
            else _estimate(whole[0] * (1 - share), whole[1] * (1 - share), _runs(history))
        )
    live = pace.spent * (total - done) / pace.done
    middle, high, basis = live, live * (1 + _LIVE_SPREAD * (1 - share)), "throughput so far"
    if whole is not None and share < 0.5:
        weight = 2 * share  # the more is done, the more the job speaks for itself
        middle = weight * middle + (1 - weight) * whole[0] * (1 - share)
        high = weight * high + (1 - weight) * whole[1] * (1 - share)
        basis = f"{_runs(history)} and throughput so far"
    # between two reports time passes and work goes on; without any report for long the guess must grow again
    stalled = _STALL * (pace.spent + pace.since) * (total - done) / pace.done
    return _estimate(max(middle - pace.since, stalled), max(high - pace.since, stalled), basis)


@dataclass(frozen=True, slots=True)
class _Pace:
    """How many units the present run did in how many seconds of work, and the seconds that passed since."""

    done: int
    spent: float
    since: float

    @classmethod
    def of(cls, job: Job, started: datetime, now: datetime, done: int) -> _Pace:
        """Planning is no work, and what an earlier run did tells nothing of this one."""
        begun = max(started, job.pace_since or started)
        measured = min(now, max(begun, job.last_progress or now))  # the moment at which `done` was true
        spent, since = (measured - begun).total_seconds(), (now - measured).total_seconds()
        return cls(done - job.pace_done, max(0.0, spent), max(0.0, since))


def _whole(size: int, history: Sequence[Run]) -> tuple[float, float] | None:
    """p50 and p90 of the whole job, each earlier run scaled to this job's size."""
    if not history:
        return None
    near = sorted(history, key=lambda run: abs(_ratio(size, run.size) - 1))[:_NEAREST]
    scaled = sorted(run.seconds * _ratio(size, run.size) for run in near)
    middle = median(scaled)
    return middle, max(scaled[min(len(scaled) - 1, len(scaled) * 9 // 10)], middle * _HISTORY_SPREAD)


def _ratio(size: int, other: int) -> float:
    return size / other if size > 0 and other > 0 else 1.0


def _runs(history: Sequence[Run]) -> str:
    return "1 earlier run" if len(history) == 1 else f"{len(history)} earlier runs"


def _estimate(middle: float, high: float, basis: str) -> Estimate:
    middle = round(max(middle, _FLOOR), 1)
    return Estimate(middle, max(middle, round(high, 1)), basis)
