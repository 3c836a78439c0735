"""How results go: which are due, how much there is, and what is still needed; on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from service.model import Job, JobState
from service.tracker import Tracker
from tests.contract.test_tracker import ARTIFACT, ERROR, accepted, job_of, names, running

NOW = datetime.now(UTC)
PAST, FUTURE = NOW - timedelta(days=1), NOW + timedelta(days=1)


def finished(tracker: Tracker, expires: datetime | None, bytes: int = 12, **changes: Any) -> Job:
    job = running(tracker, **changes)
    assert tracker.succeed(job.id, job.epoch, replace(ARTIFACT, bytes=bytes), expires)
    return job_of(tracker, job.id)


def ids(jobs: Any) -> list[str]:
    return [job.id for job in jobs]


def test_results_are_due_by_their_time_the_longest_due_first(tracker: Tracker) -> None:
    late = finished(tracker, PAST)
    later = finished(tracker, PAST - timedelta(days=1))
    finished(tracker, FUTURE)
    finished(tracker, None)
    failed = running(tracker)
    tracker.fail(failed.id, failed.epoch, ERROR)
    assert ids(tracker.expired(10)) == [later.id, late.id]
    assert ids(tracker.expired(1)) == [later.id]


def test_results_that_are_there_are_counted_and_sorted_by_age(tracker: Tracker) -> None:
    assert tracker.result_bytes() == 0
    jobs = [finished(tracker, expires, size) for expires, size in ((None, 5), (PAST, 7), (FUTURE, 11))]
    running(tracker)
    assert ids(tracker.oldest_results(10)) == ids(jobs)
    assert ids(tracker.oldest_results(2)) == ids(jobs[:2])
    assert tracker.result_bytes() == 23
    assert tracker.remove_result(jobs[0].id)
    assert ids(tracker.oldest_results(10)) == ids(jobs[1:])
    assert tracker.result_bytes() == 18


def test_a_removed_result_is_named_so_and_is_removed_once(tracker: Tracker) -> None:
    job = finished(tracker, PAST)
    assert tracker.remove_result(job.id)
    gone = job_of(tracker, job.id)
    assert gone.removed is not None
    assert (gone.state, gone.artifact, gone.expires) == (JobState.SUCCESSFUL, job.artifact, PAST)
    assert gone.revision == job.revision + 1
    assert names(tracker, job.id)[-1] == "removed"
    assert not tracker.remove_result(job.id)
    assert not tracker.remove_result("nobody")
    assert not tracker.remove_result(running(tracker).id)
    assert job_of(tracker, job.id) == gone
    assert tracker.expired(10) == []


def test_who_shares_a_result_counts_nothing_and_goes_with_it(tracker: Tracker) -> None:
    leader = running(tracker, equal="q")
    follower = accepted(tracker, equal="q")
    tracker.succeed(leader.id, leader.epoch, ARTIFACT, FUTURE)
    cached = accepted(tracker, equal="q")
    other = finished(tracker, FUTURE, equal="other")
    assert tracker.result_bytes() == 24
    assert ids(tracker.oldest_results(10)) == [leader.id, other.id]
    assert not tracker.remove_result(cached)
    assert tracker.remove_result(leader.id)
    for job_id in (leader.id, follower, cached):
        assert job_of(tracker, job_id).removed is not None
        assert names(tracker, job_id)[-1] == "removed"
    assert job_of(tracker, other.id).removed is None
    assert tracker.result_bytes() == 12


def test_states_are_told_of_those_that_are_jobs(tracker: Tracker) -> None:
    done, waiting = finished(tracker, None).id, accepted(tracker)
    many = [f"nobody{n}" for n in range(2000)]
    assert tracker.states([*many, done, waiting]) == {done: JobState.SUCCESSFUL, waiting: JobState.ACCEPTED}
    assert tracker.states([]) == {}


def test_what_jobs_need_is_named_until_they_end(tracker: Tracker) -> None:
    def spec(number: int) -> dict[str, Any]:
        return {"spec": {"source": number}, "kind": "import", "type": f"t{number % 2}"}

    running(tracker, **spec(1))
    accepted(tracker, **spec(2))
    finished(tracker, None, **spec(3))
    failed = running(tracker, **spec(4))
    tracker.fail(failed.id, failed.epoch, ERROR)
    accepted(tracker, spec={"source": 5})
    asked = {each["source"] for each in tracker.active_specs("import")}
    assert asked == {1, 2}
    assert {each["source"] for each in tracker.active_specs("import", failed_within=60)} == {1, 2, 4}
    assert {each["source"] for each in tracker.active_specs("import", failed_within=-60)} == {1, 2}
    assert tracker.active_specs("nothing") == []
