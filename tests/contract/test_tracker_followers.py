"""Equal questions of one owner are worked on once: followers, and results that are there; both databases."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.model import Job, JobState, Priority
from service.tracker import ProgressUpdate, Tracker
from tests.contract.test_tracker import ARTIFACT, ERROR, accepted, job_of, names, new_job

LATER = datetime.now(UTC) + timedelta(days=7)


def ask(tracker: Tracker, equal: str = "q", **changes: Any) -> str:
    return accepted(tracker, equal=equal, **changes)


def lead(tracker: Tracker, job_id: str) -> Job:
    return next(job for job in tracker.lease("me", 100, 60, "s1") if job.id == job_id)


def answered(tracker: Tracker, expires: datetime | None = LATER, **changes: Any) -> str:
    job = lead(tracker, ask(tracker, **changes))
    assert tracker.planned(job.id, job.epoch, {}, 100, "rows")
    assert tracker.succeed(job.id, job.epoch, ARTIFACT, expires)
    return job.id


# --- a result that is there


def test_an_equal_question_takes_the_result_that_is_there(tracker: Tracker) -> None:
    first = answered(tracker)
    tracker.accepted.clear()
    job, replayed = tracker.accept(new_job(equal="q"))
    assert (job.state, job.cached, job.leader, replayed) == (JobState.SUCCESSFUL, True, first, False)
    assert (job.artifact, job.expires, job.progress) == (ARTIFACT, LATER, job_of(tracker, first).progress)
    assert (job.started, job.epoch) == (None, 0)
    assert job.finished is not None
    assert names(tracker, job.id) == ["accepted", "successful"]
    assert tracker.lease("me", 10, 60) == []
    assert not tracker.accepted.is_set()
    assert not job_of(tracker, first).cached
    # who asks again has the same root, not a chain
    assert job_of(tracker, ask(tracker)).leader == first


def test_another_owner_another_question_or_none_share_nothing(tracker: Tracker) -> None:
    answered(tracker)
    ids = {ask(tracker, owner="ann"), ask(tracker, "other"), accepted(tracker)}
    assert {job.id for job in tracker.lease("me", 10, 60)} == ids


def test_a_result_past_its_time_or_removed_is_not_shared(tracker: Tracker) -> None:
    answered(tracker, expires=datetime.now(UTC) - timedelta(seconds=1))
    again = ask(tracker)
    assert job_of(tracker, again).state is JobState.ACCEPTED
    job = lead(tracker, again)
    tracker.succeed(job.id, job.epoch, ARTIFACT, LATER)
    assert tracker.remove_result(job.id)
    assert job_of(tracker, ask(tracker)).state is JobState.ACCEPTED


def test_failed_and_dismissed_work_answers_nobody(tracker: Tracker) -> None:
    job = lead(tracker, ask(tracker))
    tracker.fail(job.id, job.epoch, ERROR)
    tracker.request_cancel(ask(tracker))
    assert job_of(tracker, ask(tracker)).leader is None


def test_a_repeated_key_gives_the_first_job_before_any_equal_one(tracker: Tracker) -> None:
    first, _ = tracker.accept(new_job(equal="q", idempotency_key="k", idempotency_hash="h"))
    before = job_of(tracker, first.id)
    again, replayed = tracker.accept(new_job(equal="q", idempotency_key="k", idempotency_hash="h"))
    assert replayed
    assert again == before == job_of(tracker, first.id)


# --- following


def test_a_follower_shows_what_its_leader_does_and_ends_with_it(tracker: Tracker) -> None:
    first, second = ask(tracker), ask(tracker)
    follower = job_of(tracker, second)
    assert (follower.leader, follower.state, follower.cached) == (first, JobState.ACCEPTED, False)
    assert [job.id for job in tracker.lease("me", 10, 60)] == [first]
    third = ask(tracker)
    assert tracker.planned(first, 1, {"parts": []}, 100, "rows")
    with tracker.watch(second) as changed:
        tracker.progress([ProgressUpdate(first, 1, 40, "working", "reading")])
        assert changed.is_set()
    leader = job_of(tracker, first)
    for job in (job_of(tracker, second), job_of(tracker, third)):
        assert (job.state, job.progress, job.message) == (JobState.RUNNING, leader.progress, "reading")
        assert (job.attempt, job.started, job.epoch, job.plan) == (1, leader.started, 0, None)
    assert tracker.seal(first, 1, {"x": 1})
    assert job_of(tracker, second).progress.phase == "publishing"
    assert tracker.succeed(first, 1, ARTIFACT, LATER)
    for job in (job_of(tracker, second), job_of(tracker, third)):
        assert (job.state, job.artifact, job.cached, job.leader) == (
            JobState.SUCCESSFUL,
            ARTIFACT,
            True,
            first,
        )
        assert (job.expires, job.progress.percent) == (LATER, 100)
        assert job.finished is not None
    steps = ["accepted", "started", "planned", "sealed", "successful"]
    assert names(tracker, second) == names(tracker, third) == steps
    assert len(tracker.history("report", "yearly-sales")) == 1


def test_followers_hold_no_lease_and_nobody_can_end_them_from_outside(tracker: Tracker) -> None:
    first, second = ask(tracker), ask(tracker)
    lead(tracker, first)
    before = job_of(tracker, second)
    assert tracker.renew("me", 60) == {(first, 1)}
    assert tracker.expire_leases() == 1
    for epoch in (0, 1):
        assert not tracker.succeed(second, epoch, ARTIFACT)
        assert not tracker.fail(second, epoch, ERROR)
        assert not tracker.dismiss(second, epoch)
        assert not tracker.requeue(second, epoch, "no")
        assert not tracker.seal(second, epoch, {})
    assert job_of(tracker, second) == before


def test_a_leader_that_fails_takes_its_followers_along(tracker: Tracker) -> None:
    first, second = ask(tracker), ask(tracker)
    lead(tracker, first)
    tracker.fail(first, 1, ERROR)
    job = job_of(tracker, second)
    assert (job.state, job.error) == (JobState.FAILED, ERROR)
    assert job.finished is not None


def test_a_leader_that_is_lost_or_to_blame_waits_with_its_followers(tracker: Tracker) -> None:
    first, second = ask(tracker), ask(tracker)
    lead(tracker, first)
    tracker.planned(first, 1, {}, 100, "rows")
    tracker.progress([ProgressUpdate(first, 1, 40, "working")])
    tracker.requeue(first, 1, "The cluster was restarted.")
    job = job_of(tracker, second)
    assert (job.state, job.progress.done, job.losses) == (JobState.ACCEPTED, 40, 1)
    assert job.message == "The cluster was restarted."
    lead(tracker, first)
    tracker.requeue(first, 2, "Its worker was killed.", strike=True)
    assert job_of(tracker, second).progress.done == 0
    lead(tracker, first)
    assert job_of(tracker, second).attempt == 2
    tracker.expire_leases()
    lead(tracker, first)
    assert names(tracker, second)[-2:] == ["started", "started"]


def test_a_follower_waits_where_its_leader_waits(tracker: Tracker) -> None:
    ids = [accepted(tracker) for _ in range(3)]
    first = ask(tracker)
    other = accepted(tracker)
    second = ask(tracker)
    assert [tracker.ahead(job_id) for job_id in (ids[2], first, second, other)] == [2, 3, 3, 4]
    assert [job.id for job in tracker.lease("me", 10, 60)] == [*ids, first, other]


def test_a_follower_in_a_hurry_hurries_its_waiting_leader(tracker: Tracker) -> None:
    first = ask(tracker, priority=Priority.BATCH)
    interactive = accepted(tracker)
    ask(tracker, priority=Priority.BATCH)
    assert job_of(tracker, first).priority is Priority.BATCH
    ask(tracker)
    assert job_of(tracker, first).priority is Priority.INTERACTIVE
    assert [job.id for job in tracker.lease("me", 10, 60)] == [first, interactive]


# --- cancel


def test_a_follower_is_canceled_alone(tracker: Tracker) -> None:
    first, second, third = ask(tracker), ask(tracker), ask(tracker)
    assert tracker.request_cancel(third).state is JobState.DISMISSED
    lead(tracker, first)
    assert tracker.request_cancel(second).state is JobState.DISMISSED
    assert not job_of(tracker, first).cancel_requested
    assert tracker.succeed(first, 1, ARTIFACT)
    assert {job_of(tracker, each).state for each in (second, third)} == {JobState.DISMISSED}


def test_a_waiting_leader_that_is_canceled_leaves_its_place_to_the_first_follower(tracker: Tracker) -> None:
    first, second, third = ask(tracker), ask(tracker), ask(tracker)
    assert tracker.request_cancel(first).state is JobState.DISMISSED
    assert job_of(tracker, second).leader is None
    assert job_of(tracker, third).leader == second
    assert names(tracker, second)[-1] == "promoted"
    assert [job.id for job in tracker.lease("me", 10, 60)] == [second]


def test_a_running_leader_that_is_canceled_hands_its_plan_and_its_blame_on(tracker: Tracker) -> None:
    first, second, third = ask(tracker), ask(tracker), ask(tracker)
    lead(tracker, first)
    tracker.requeue(first, 1, "Its worker was killed.", strike=True)
    lead(tracker, first)
    tracker.planned(first, 2, {"parts": [1]}, 100, "rows")
    tracker.progress([ProgressUpdate(first, 2, 40, "working")])
    tracker.request_cancel(first)
    assert job_of(tracker, ask(tracker)).leader is None  # who is about to go gets no new followers
    tracker.accepted.clear()
    assert tracker.dismiss(first, 2)
    assert tracker.accepted.is_set()
    for job in (job_of(tracker, second), job_of(tracker, third)):
        assert (job.state, job.progress.done, job.progress.phase) == (JobState.ACCEPTED, 40, "queued")
    heir = lead(tracker, second)
    assert (heir.epoch, heir.attempt, heir.plan, heir.progress.done) == (1, 2, {"parts": [1]}, 40)
    assert tracker.succeed(second, 1, ARTIFACT)
    assert job_of(tracker, third).state is JobState.SUCCESSFUL


def test_a_leader_whose_cancel_was_asked_for_leaves_its_place_also_when_it_is_lost(tracker: Tracker) -> None:
    first, second = ask(tracker), ask(tracker)
    lead(tracker, first)
    tracker.request_cancel(first)
    assert tracker.requeue(first, 1, "lost")
    assert job_of(tracker, first).state is JobState.DISMISSED
    assert [job.id for job in tracker.lease("me", 1, 60)] == [second]


# --- all at once


@pytest.mark.parametrize("round_", range(3))
def test_equal_questions_at_the_same_time_make_one_leader(tracker: Tracker, round_: int) -> None:
    barrier = threading.Barrier(16)

    def submit(_: int) -> str:
        barrier.wait()
        return ask(tracker)

    with ThreadPoolExecutor(16) as pool:
        ids = list(pool.map(submit, range(16)))
    [leader] = tracker.lease("me", 100, 60)
    assert {job_of(tracker, each).leader for each in ids} == {None, leader.id}
    tracker.succeed(leader.id, 1, ARTIFACT)
    assert {job_of(tracker, each).state for each in ids} == {JobState.SUCCESSFUL}


def test_nobody_who_joins_while_the_work_ends_is_left_behind(tracker: Tracker) -> None:
    """Joining, progress, cancels and ends at once: whatever the order, every job ends."""
    ids: list[str] = []
    stop = threading.Event()

    def submit(number: int) -> None:
        for n in range(25):
            job_id = ask(tracker)
            ids.append(job_id)
            if (n + number) % 5 == 0:
                tracker.request_cancel(job_id)

    def work(owner: str) -> None:
        while not stop.is_set():
            for job in tracker.lease(owner, 2, 60):
                tracker.progress([ProgressUpdate(job.id, job.epoch, 1, "working")])
                if job.cancel_requested or not tracker.succeed(
                    job.id, job.epoch, ARTIFACT, datetime.now(UTC)
                ):
                    tracker.dismiss(job.id, job.epoch)

    workers = [threading.Thread(target=work, args=(f"d{n}",)) for n in range(2)]
    submitters = [threading.Thread(target=submit, args=(n,)) for n in range(4)]
    for thread in (*workers, *submitters):
        thread.start()
    for thread in submitters:
        thread.join()
    for _ in range(300):
        if not any(tracker.counts()[each] for each in (JobState.ACCEPTED, JobState.RUNNING)):
            break
        stop.wait(0.1)
    stop.set()
    for thread in workers:
        thread.join()
    assert {job_of(tracker, each).ended for each in ids} == {True}
