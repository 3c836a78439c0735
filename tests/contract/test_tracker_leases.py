"""Who has a job after its holder died, was stopped, or was paused; on both databases."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from pipelines.plan import Json
from service.model import Job, JobState
from service.tracker import ProgressUpdate, SteadyClock, Tracker
from tests.contract.test_tracker import ARTIFACT, ERROR, accepted, attempt, job_of, names, running

PLAN: Json = {"parts": [1, 2]}
OUTCOME: Json = {"file": "results/x/1/report.csv"}


def half_done(tracker: Tracker, cluster: str | None = "s1", **changes: Any) -> Job:
    """A job that "old" leased and brought to 40 of 100."""
    job_id = accepted(tracker, **changes)
    job = next(job for job in tracker.lease("old", 100, 60, cluster) if job.id == job_id)
    assert tracker.planned(job.id, job.epoch, PLAN, 100, "rows")
    tracker.progress([ProgressUpdate(job.id, job.epoch, 40, "working")])
    return job_of(tracker, job.id)


def taken_over(tracker: Tracker, cluster: str | None = "s1") -> Job:
    tracker.expire_leases()
    [job] = tracker.lease("new", 10, 60, cluster)
    return job


# --- adoption


def test_work_on_the_same_scheduler_is_adopted(tracker: Tracker) -> None:
    before = half_done(tracker)
    assert (before.run_epoch, before.cluster) == (1, "s1")
    after = taken_over(tracker)
    assert (after.epoch, after.run_epoch, after.attempt, after.losses) == (2, 1, 1, 1)
    assert (after.plan, after.progress, after.started) == (PLAN, before.progress, before.started)
    assert names(tracker, after.id)[-1] == "adopted"
    assert not tracker.succeed(after.id, 1, ARTIFACT)
    assert tracker.succeed(after.id, 2, ARTIFACT)


def test_adopted_work_may_be_adopted_again(tracker: Tracker) -> None:
    half_done(tracker)
    taken_over(tracker)
    third = taken_over(tracker)
    assert (third.epoch, third.run_epoch, third.attempt, third.losses) == (3, 1, 1, 2)


@pytest.mark.parametrize(("was", "now"), [("s1", "s2"), ("s1", None), (None, "s1"), (None, None)])
def test_work_on_another_scheduler_is_run_again_with_its_plan(
    tracker: Tracker, was: str | None, now: str | None
) -> None:
    half_done(tracker, was)
    after = taken_over(tracker, now)
    assert (after.epoch, after.run_epoch, after.attempt, after.losses) == (2, 2, 1, 1)
    assert (after.plan, after.progress.done, after.cluster) == (PLAN, 40, now)
    assert names(tracker, after.id)[-2:] == ["requeued", "started"]


def test_work_that_was_not_planned_is_run_again(tracker: Tracker) -> None:
    accepted(tracker)
    tracker.lease("old", 1, 60, "s1")
    after = taken_over(tracker)
    assert (after.run_epoch, after.plan, after.progress.phase) == (2, None, "planning")


def test_a_job_that_was_requeued_runs_again_also_on_the_same_scheduler(tracker: Tracker) -> None:
    job = half_done(tracker)
    tracker.requeue(job.id, 1, "The scheduler lost it.")
    [again] = tracker.lease("new", 1, 60, "s1")
    assert (again.epoch, again.run_epoch, again.plan, again.progress.done) == (2, 2, PLAN, 40)


# --- an orderly stop


def test_what_is_handed_over_is_adopted_without_a_loss(tracker: Tracker) -> None:
    job = half_done(tracker)
    other = next(iter(tracker.lease("other", 1, 60)), None)
    assert other is None
    tracker.accepted.clear()
    assert tracker.hand_over("old") == 1
    assert tracker.accepted.is_set()
    assert tracker.hand_over("old") == 0
    assert tracker.renew("old", 60) == frozenset()
    [after] = tracker.lease("new", 1, 60, "s1")
    assert (after.id, after.epoch, after.run_epoch, after.losses) == (job.id, 2, 1, 0)


def test_only_the_own_jobs_are_handed_over(tracker: Tracker) -> None:
    half_done(tracker)
    assert tracker.hand_over("somebody") == 0
    assert len(tracker.renew("old", 60)) == 1


# --- sealed outcomes


def test_a_sealed_job_cannot_be_canceled_any_more(tracker: Tracker) -> None:
    job = half_done(tracker)
    assert tracker.seal(job.id, 1, OUTCOME)
    sealed = job_of(tracker, job.id)
    assert (sealed.outcome, sealed.progress.phase, sealed.state) == (OUTCOME, "publishing", JobState.RUNNING)
    assert tracker.request_cancel(job.id) == sealed
    assert not tracker.dismiss(job.id, 1)
    assert job_of(tracker, job.id) == sealed
    assert tracker.succeed(job.id, 1, ARTIFACT)


def test_a_cancel_that_came_first_keeps_the_outcome_out(tracker: Tracker) -> None:
    job = half_done(tracker)
    tracker.request_cancel(job.id)
    assert not tracker.seal(job.id, 1, OUTCOME)
    assert tracker.dismiss(job.id, 1)


def test_the_first_outcome_stays_and_only_its_holder_may_seal(tracker: Tracker) -> None:
    job = half_done(tracker)
    assert not tracker.seal(job.id, 7, OUTCOME)
    assert tracker.seal(job.id, 1, OUTCOME)
    assert tracker.seal(job.id, 1, {"file": "another"})  # told again after a lost answer
    assert job_of(tracker, job.id).outcome == OUTCOME
    assert names(tracker, job.id).count("sealed") == 1


@pytest.mark.parametrize("cluster", ["s1", "s2", None])
def test_who_takes_over_a_sealed_job_gets_it_as_it_is(tracker: Tracker, cluster: str | None) -> None:
    job = half_done(tracker)
    tracker.seal(job.id, 1, OUTCOME)
    after = taken_over(tracker, cluster)
    assert (after.epoch, after.run_epoch, after.outcome) == (2, 1, OUTCOME)
    assert (after.progress.phase, after.progress.done) == ("publishing", 40)


@pytest.mark.parametrize("strike", [False, True])
def test_a_sealed_job_that_is_requeued_stays_sealed(tracker: Tracker, strike: bool) -> None:
    job = half_done(tracker)
    tracker.seal(job.id, 1, OUTCOME)
    assert tracker.requeue(job.id, 1, "The store was away.", strike=strike)
    waiting = job_of(tracker, job.id)
    assert (waiting.state, waiting.outcome, waiting.progress.done) == (JobState.ACCEPTED, OUTCOME, 40)
    assert tracker.request_cancel(job.id) == waiting  # parts of it may be visible already
    [after] = tracker.lease("new", 1, 60, "s2")
    assert (after.run_epoch, after.outcome, after.progress.phase) == (1, OUTCOME, "publishing")


def test_a_sealed_job_can_fail(tracker: Tracker) -> None:
    job = half_done(tracker)
    tracker.seal(job.id, 1, OUTCOME)
    assert tracker.fail(job.id, 1, ERROR)


# --- one bad row stops nothing


def broken(tracker: Tracker, job_id: str) -> None:
    """Make a row that cannot be read."""
    spoil = text("UPDATE job SET error = :junk WHERE id = :id")
    values = {"junk": json.dumps({"neither": "code nor detail"}), "id": job_id}
    tracker.database.write(lambda connection: connection.execute(spoil, values))


@pytest.mark.parametrize("waiting", [True, False])
@pytest.mark.parametrize("limit", [1, 10])
def test_a_row_that_cannot_be_read_fails_and_stops_no_other(
    tracker: Tracker, waiting: bool, limit: int, caplog: pytest.LogCaptureFixture
) -> None:
    ids = [accepted(tracker) for _ in range(3)]
    if not waiting:
        tracker.lease("old", 10, 60)
        tracker.expire_leases()
    broken(tracker, ids[0])
    taken = [job.id for _ in range(2) for job in tracker.lease("new", limit, 60)]
    assert taken == ids[1:]
    spoiled = job_of(tracker, ids[0])
    assert spoiled.state is JobState.FAILED
    assert spoiled.error is not None and spoiled.error.code == "internal"
    assert "cannot be leased" in caplog.text


def forbid(tracker: Tracker, job_id: str) -> None:
    """Make a row that refuses every change."""
    if tracker.database.look_again == 1.0:
        says = [
            f"CREATE TRIGGER no BEFORE UPDATE ON job WHEN OLD.id = '{job_id}' "
            "BEGIN SELECT RAISE(ABORT, 'impossible'); END"
        ]
    else:
        says = [
            "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE check_violation USING MESSAGE = 'impossible'; END $$",
            f"CREATE TRIGGER no BEFORE UPDATE ON job FOR EACH ROW WHEN (OLD.id = '{job_id}') "
            "EXECUTE FUNCTION no()",
        ]
    tracker.database.write(lambda connection: [connection.exec_driver_sql(each) for each in says])


@pytest.mark.parametrize("waiting", [True, False])
def test_a_row_that_cannot_be_changed_stops_no_other(tracker: Tracker, waiting: bool) -> None:
    ids = [accepted(tracker) for _ in range(3)]
    if not waiting:
        tracker.lease("old", 10, 60)
        tracker.expire_leases()
    forbid(tracker, ids[0])
    taken = [job.id for _ in range(3) for job in tracker.lease("new", 1, 60)]
    assert taken == ids[1:]


# --- the clock of leases


class Wall:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.elapsed = 1000.0

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def steady(sqlite_url: str, wall: Wall) -> Iterator[Tracker]:
    lease_clock = SteadyClock(wall, lambda: wall.elapsed)
    opened = Tracker.open(sqlite_url, clock=wall, lease_clock=lease_clock)
    yield opened
    opened.close()


@pytest.mark.parametrize("days", [-1, 1])
def test_who_sets_the_wall_clock_ends_no_lease(steady: Tracker, wall: Wall, days: int) -> None:
    accepted(steady)
    [job] = steady.lease("me", 1, 30)
    wall.now += timedelta(days=days)
    wall.elapsed += 29
    assert steady.lease("other", 1, 30) == []
    assert steady.renew("me", 30) == {(job.id, 1)}
    assert job_of(steady, job.id).heartbeat == wall.now
    wall.elapsed += 29
    assert steady.lease("other", 1, 30) == []
    wall.elapsed += 2
    assert [job.epoch for job in steady.lease("other", 1, 30)] == [2]


def test_a_steady_clock_begins_with_the_wall(wall: Wall) -> None:
    clock = SteadyClock(wall, lambda: wall.elapsed)
    wall.elapsed += 1.5
    wall.now -= timedelta(days=30)
    assert clock() == datetime(2026, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)


def test_moves_by_who_holds_nothing_change_nothing(tracker: Tracker) -> None:
    job = running(tracker)
    for target in (JobState.SUCCESSFUL, JobState.FAILED, JobState.DISMISSED, JobState.ACCEPTED):
        tracker.expire_leases()
        [taken] = tracker.lease("next", 1, 60)
        before = job_of(tracker, job.id)
        assert not attempt(tracker, job, target)
        assert job_of(tracker, job.id) == before == taken
