"""How long a job will take: earlier runs of its type first, then its own throughput. Pure; in seconds.

    waiting          the work ahead + what such a job takes
    before progress  what such a job takes, less the time that has passed
    with progress    throughput for what is left, blended with the earlier runs by how far each can be
                     trusted, + the tail: combining, finishing, publishing
    standing still   what was left at the last progress, and since when there was none

Nothing here reads a clock or a database, so every claim about the numbers can be tested. How right it was is
`service.track_record`'s business.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from service.likeness import Traits, traits, unlikeness
from service.model import Job, JobState

_NEAREST = 12  # runs of the most similar size count; a run of another order of magnitude tells little
_UNLIKE = 3.0  # a run with no trait in common is as far as one of e to this power times the size
_NEAR = 1.0  # and runs so much further than the nearest do not count
_SPREAD = 1.25  # p90 is at least this many times p50: few runs understate the spread
_GROWTH = 0.9  # time grows with size to this power, as long as nothing else is known
_LIVE = 0.4  # what throughput so far may be wrong by at the start of a job; falls to 0 at its end
_HOPELESS = 10.0  # an error as a share, beyond which nothing is worth telling apart
_FLOOR = 0.1  # an active job is never said to need no time
_OVERDUE = 0.1  # of the expected time, when all of that has passed
_STILL = (10.0, 0.2)  # a stall: no progress for so many seconds, and for so large a share of the work so far


@dataclass(frozen=True, slots=True)
class Guess:
    """What was guessed at some moment, and what was true: seconds from then on."""

    seconds: float
    p90: float
    truth: float


@dataclass(frozen=True, slots=True)
class Run:
    """A finished job of the past: its size (in the unit of its kind) and its seconds from start to end.

    `head` are the seconds of them before work began (planning), `tail` those after all units were done;
    `guess` is what was guessed of it when a fifth of them were; `traits` are what it was asked.
    """

    size: int
    seconds: float
    head: float = 0.0
    tail: float = 0.0
    guess: Guess | None = None
    traits: Traits = frozenset()


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds from now until the end: the middle guess, one that holds nine times of ten, and why."""

    seconds: float
    p90: float
    basis: str


@dataclass(frozen=True, slots=True)
class Whole:
    """What a job of some size takes from start to end: middle, p90, the tail in it; from how many runs."""

    middle: float
    high: float
    tail: float
    runs: int

    @property
    def basis(self) -> str:
        return "1 earlier run" if self.runs == 1 else f"{self.runs} earlier runs"

    @property
    def error(self) -> float:
        """What the middle may be wrong by, as a share: the way to the p90, and more for few runs."""
        spread = (self.high / self.middle - 1) / 1.3 if self.middle > 0 else 1.0
        return min(_HOPELESS, max(0.05, spread)) + 0.3 / self.runs


def whole(size: int, history: Sequence[Run], asked: Traits = frozenset()) -> Whole | None:
    """From earlier runs that were asked nearly the same, each scaled to this size; None without any."""
    if not history:
        return None

    def distance(run: Run) -> float:
        return abs(math.log(_ratio(size, run.size))) + _UNLIKE * unlikeness(asked, run.traits)

    near = sorted(history, key=distance)[:_NEAREST]
    power = _growth(near)
    near = [run for run in near if distance(run) <= distance(near[0]) + _NEAR]
    scaled = sorted(run.seconds * _ratio(size, run.size) ** power for run in near)
    tail = median(run.tail * _ratio(size, run.size) ** power for run in near)
    middle = median(scaled)
    # the ninth of ten, and above: with n runs the best guess for p90 lies at (n + 1) * 0.9
    ninth = scaled[min(len(scaled) - 1, math.ceil((len(scaled) + 1) * 0.9) - 1)]
    unlike = abs(math.log(_ratio(size, near[0].size)))  # nobody has seen a job of this size
    return Whole(middle, max(ninth, middle * _SPREAD) * (1 + 0.2 * unlike), tail, len(history))


def estimate(job: Job, now: datetime, history: Sequence[Run], ahead_seconds: float = 0) -> Estimate | None:
    """From earlier runs; None for an ended job, and while there is nothing to go by."""
    return judge(job, now, whole(job.size, history, traits(job.parameters)), ahead_seconds)


def judge(job: Job, now: datetime, known: Whole | None, ahead_seconds: float = 0) -> Estimate | None:
    """The same from what such a job takes."""
    if job.state is JobState.ACCEPTED:
        return None if known is None else waiting(known, ahead_seconds)
    if job.state is JobState.RUNNING and job.started is not None:
        return _running(job, job.started, now, known)
    return None


def waiting(known: Whole, ahead_seconds: float) -> Estimate:
    """Of a job that waits for the work ahead of it, which is as uncertain as its own."""
    basis = known.basis + (" and the jobs ahead" if ahead_seconds >= 0.05 else "")
    high = math.hypot(known.high - known.middle, ahead_seconds * (_SPREAD - 1))
    return _estimate(known.middle + ahead_seconds, known.middle + ahead_seconds + high, basis)


def _running(job: Job, started: datetime, now: datetime, known: Whole | None) -> Estimate | None:
    elapsed = max(0.0, (now - started).total_seconds())
    done, total = job.progress.done, job.progress.total
    pace = _Pace.of(job, started, now, done)
    share = min(1.0, done / total) if total else 0.0
    if not total or pace.done <= 0:
        return None if known is None else _unmeasured(known, elapsed, share, pace.done <= 0 < done)
    live = pace.spent * (total - done) / pace.done
    error = _LIVE * (1 - share)
    basis, tail = "throughput so far", 0.0
    if known is not None:
        tail = known.tail
        if share < 0.5:
            live, error = _blended(known, live, error, share, pace)
            basis = f"{known.basis} and throughput so far"
    return _told(live, tail, error, basis, pace)


def _blended(known: Whole, live: float, error: float, share: float, pace: _Pace) -> tuple[float, float]:
    """Seconds left by both, and what that may be wrong by. Earlier runs count the less, the more this job
    disagrees with them, and no more from its half on."""
    work = max(0.0, known.middle - known.tail)
    expected = work * pace.done / pace.total if pace.total else 0.0
    apart = 0.0
    if expected > 0 and pace.spent > 0:  # by logarithms: the quotient may be too large for a number
        apart = min(_HOPELESS, abs(math.log(pace.spent) - math.log(expected))) * math.sqrt(share)
    past_error, live_error = math.hypot(known.error, apart), error / math.sqrt(share)
    trust = past_error**2 / (past_error**2 + live_error**2)
    trust += (1 - trust) * (2 * share) ** 2
    blended = trust * live + (1 - trust) * work * (1 - share)
    return blended, max(error, math.sqrt(trust * live_error**2 + (1 - trust) * past_error**2))


def _unmeasured(known: Whole, elapsed: float, share: float, went_on: bool) -> Estimate:
    """Nothing was done yet in this run; what an earlier run had done stays done."""
    if went_on:
        return _estimate(known.middle * (1 - share), known.high * (1 - share), known.basis)
    middle, high = (max(each - elapsed, _OVERDUE * each) for each in (known.middle, known.high))
    if elapsed > known.high:
        return _estimate(middle, high + elapsed - known.high, f"{known.basis}, and it takes longer")
    return _estimate(middle, high, known.basis)


def _told(live: float, tail: float, error: float, basis: str, pace: _Pace) -> Estimate:
    """`live` seconds were left at the last progress: time passes since, unless the work stands still."""
    left = live + tail
    if live > 0 and pace.since > max(_STILL[0], _STILL[1] * pace.spent, live * _OVERDUE):
        return _estimate(left, left * (1 + error) + pace.since, f"no progress for {pace.since:.0f} s")
    middle = max(left - pace.since, min(left, _OVERDUE * (pace.since + tail)))
    return _estimate(middle, middle + left * error + tail * error, basis)


@dataclass(frozen=True, slots=True)
class _Pace:
    """How many units the present run did in how many seconds of work, and the seconds that passed since."""

    done: int
    spent: float
    since: float
    total: int

    @classmethod
    def of(cls, job: Job, started: datetime, now: datetime, done: int) -> _Pace:
        """Planning is no work, and what an earlier run did tells nothing of this one."""
        begun = max(started, job.pace_since or started)
        measured = min(now, max(begun, job.last_progress or now))  # the moment at which `done` was true
        spent, since = (measured - begun).total_seconds(), (now - measured).total_seconds()
        return cls(done - job.pace_done, max(0.0, spent), max(0.0, since), job.progress.total or 0)


def _growth(runs: Sequence[Run]) -> float:
    """The power of size by which these runs took longer, between 0 (all overhead) and 1."""
    points = [(math.log(run.size), math.log(run.seconds)) for run in runs if run.size > 0 and run.seconds > 0]
    if len(points) < 3:
        return _GROWTH
    mean_x, mean_y = (sum(each) / len(points) for each in zip(*points, strict=True))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points)
    # a guess counts as much as one run of three times the size
    return float(min(1.0, max(0.0, (slope + _GROWTH) / (spread + 1.0))))


def _ratio(size: int, other: int) -> float:
    return size / other if size > 0 and other > 0 else 1.0


def _estimate(middle: float, high: float, basis: str) -> Estimate:
    middle = round(max(middle, _FLOOR), 1)
    return Estimate(middle, max(middle, round(high, 1)), basis)
