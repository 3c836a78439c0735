"""What every tracker keeps to, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipelines.plan import Artifact
from service.errors import KeyReused, UnknownJob
from service.model import MOVES, TERMINAL, Job, JobError, JobState, NewJob, Priority, new_id
from service.tracker import ProgressUpdate, Tracker

ARTIFACT = Artifact("results/x/1/report.csv", "report.csv", "text/csv", 12, "ab" * 32, 3)
ERROR = JobError("bad-input", "Line 3 has 4 fields and the header has 5.")


def new_job(**changes: Any) -> NewJob:
    given: dict[str, Any] = {
        "id": new_id(datetime.now(UTC)),
        "kind": "report",
        "type": "yearly-sales",
        "parameters": {"year": "2023", "by": ["month"]},
        "spec": {"dataset": "sales", "version": 3},
        "size": 1000,
        "unit": "rows",
    }
    return NewJob(**{**given, **changes})


def accepted(tracker: Tracker, **changes: Any) -> str:
    return tracker.accept(new_job(**changes))[0].id


def running(tracker: Tracker, **changes: Any) -> Job:
    job_id = accepted(tracker, **changes)
    return next(job for job in tracker.lease("me", 100, 60) if job.id == job_id)


def job_of(tracker: Tracker, job_id: str) -> Job:
    found = tracker.get(job_id)
    assert found is not None
    return found


def names(tracker: Tracker, job_id: str) -> list[str]:
    return [event.name for event in tracker.events(job_id)]


# --- accept


def test_an_accepted_job_comes_back_as_it_was_given(tracker: Tracker) -> None:
    new = new_job(priority=Priority.BATCH, owner="ann", parameters={"z": 1, "a": [None, 1.5, "ü\0"]})
    job, replayed = tracker.accept(new)
    assert not replayed
    assert job == tracker.get(new.id)
    assert (job.id, job.owner, job.priority, job.state) == (new.id, "ann", Priority.BATCH, JobState.ACCEPTED)
    assert list(job.parameters) == ["z", "a"]  # the order of the client's members stays
    assert job.parameters == new.parameters
    assert (job.epoch, job.attempt, job.progress.unit, job.progress.total) == (0, 0, "rows", None)
    assert tracker.accepted.is_set()


def test_times_are_aware_utc_and_keep_their_microseconds(tracker: Tracker) -> None:
    before = datetime.now(UTC)
    job = running(tracker)
    assert job.started is not None
    for moment in (job.created, job.updated, job.started, tracker.events(job.id)[0].at):
        assert moment.utcoffset() == timedelta(0)
        assert abs(moment - before) < timedelta(seconds=30)


def test_an_unknown_job_is_none(tracker: Tracker) -> None:
    assert tracker.get("nobody") is None


def test_the_same_key_and_request_give_the_first_job_again(tracker: Tracker) -> None:
    first, _ = tracker.accept(new_job(idempotency_key="k", idempotency_hash="h"))
    again, replayed = tracker.accept(new_job(idempotency_key="k", idempotency_hash="h"))
    assert replayed
    assert again == first
    assert names(tracker, first.id) == ["accepted"]
    assert tracker.find_key("local", "report", "k", "h") == first


def test_a_key_with_another_request_is_refused_and_leaves_no_row(tracker: Tracker) -> None:
    tracker.accept(new_job(idempotency_key="k", idempotency_hash="h"))
    with pytest.raises(KeyReused, match="used before with another request"):
        tracker.accept(new_job(idempotency_key="k", idempotency_hash="other"))
    with pytest.raises(KeyReused):
        tracker.find_key("local", "report", "k", "other")
    assert tracker.counts()[JobState.ACCEPTED] == 1


def test_a_key_belongs_to_one_owner_and_kind(tracker: Tracker) -> None:
    scopes = [{}, {"owner": "ann"}, {"kind": "import"}]
    assert (
        len({accepted(tracker, idempotency_key="k", idempotency_hash="h", **scope) for scope in scopes}) == 3
    )


def test_sixteen_threads_with_one_key_make_one_job(tracker: Tracker) -> None:
    barrier = threading.Barrier(16)

    def submit(_: int) -> tuple[Job, bool]:
        barrier.wait()
        return tracker.accept(new_job(idempotency_key="k", idempotency_hash="h"))

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(submit, range(16)))
    assert len({job.id for job, _ in answers}) == 1
    assert sum(not replayed for _, replayed in answers) == 1
    assert tracker.counts()[JobState.ACCEPTED] == 1


# --- moves


def drive(tracker: Tracker, state: JobState) -> Job:
    """A job brought to a state by the methods that lead there."""
    job = running(tracker)
    match state:
        case JobState.ACCEPTED:
            assert tracker.requeue(job.id, job.epoch, "the scheduler went away")
        case JobState.SUCCESSFUL:
            assert tracker.succeed(job.id, job.epoch, ARTIFACT)
        case JobState.FAILED:
            assert tracker.fail(job.id, job.epoch, ERROR)
        case JobState.DISMISSED:
            assert tracker.dismiss(job.id, job.epoch)
    return job_of(tracker, job.id)


def attempt(tracker: Tracker, job: Job, target: JobState) -> bool:
    """Try to move a job on; whether the tracker says it moved."""
    match target:
        case JobState.ACCEPTED:
            return tracker.requeue(job.id, job.epoch, "again")
        case JobState.RUNNING:
            return any(each.id == job.id for each in tracker.lease("other", 10, 60))
        case JobState.SUCCESSFUL:
            return tracker.succeed(job.id, job.epoch, ARTIFACT)
        case JobState.FAILED:
            return tracker.fail(job.id, job.epoch, ERROR)
        case JobState.DISMISSED:
            return tracker.dismiss(job.id, job.epoch)


@pytest.mark.parametrize(("source", "target"), [*itertools.product(JobState, JobState)])
def test_only_the_moves_of_the_table_happen(tracker: Tracker, source: JobState, target: JobState) -> None:
    job = drive(tracker, source)
    assert job.state is source
    allowed = target in MOVES[source]
    assert attempt(tracker, job, target) is allowed
    after = job_of(tracker, job.id)
    assert after.state is (target if allowed else source)
    assert after == job or allowed  # a refused move changes nothing at all


@pytest.mark.parametrize("end", sorted(TERMINAL))
def test_an_end_carries_its_time_and_its_outcome_and_no_lease(tracker: Tracker, end: JobState) -> None:
    job = drive(tracker, end)
    assert job.finished is not None
    assert (job.artifact is not None) == (end is JobState.SUCCESSFUL)
    assert job.error == (ERROR if end is JobState.FAILED else None)
    assert tracker.renew("me", 60) == frozenset()
    assert names(tracker, job.id)[-1] == end.value


def test_every_change_counts_up_the_revision_and_leaves_one_event(tracker: Tracker) -> None:
    job = running(tracker)
    revisions = [job.revision]
    assert tracker.planned(job.id, job.epoch, {"parts": []}, 100, "rows")
    revisions.append(job_of(tracker, job.id).revision)
    tracker.progress([ProgressUpdate(job.id, job.epoch, 10, "working")])
    revisions.append(job_of(tracker, job.id).revision)
    tracker.progress([ProgressUpdate(job.id, job.epoch, 100, "combining")])
    revisions.append(job_of(tracker, job.id).revision)
    assert tracker.succeed(job.id, job.epoch, ARTIFACT)
    revisions.append(job_of(tracker, job.id).revision)
    assert revisions == sorted(set(revisions))
    events = tracker.events(job.id)
    # progress leaves an event where the phase changes, not for each number
    assert [event.name for event in events] == ["accepted", "started", "planned", "progress", "successful"]
    assert [event.sequence for event in events] == sorted({event.sequence for event in events})
    assert tracker.events(job.id, after=events[2].sequence, limit=1) == [events[3]]


# --- leases and fences


def test_a_leased_job_runs_under_a_new_epoch(tracker: Tracker) -> None:
    job = running(tracker)
    assert (job.state, job.epoch, job.attempt) == (JobState.RUNNING, 1, 1)
    assert job.started is not None
    assert job.heartbeat is not None
    assert tracker.lease("other", 10, 60) == []
    assert tracker.renew("me", 60) == {(job.id, 1)}
    assert tracker.renew("other", 60) == frozenset()


def test_a_loser_of_a_lease_can_neither_report_nor_finish(tracker: Tracker) -> None:
    old = accepted(tracker)
    tracker.lease("frozen", 1, 0.05)
    time.sleep(0.1)
    [taken] = tracker.lease("healthy", 1, 60)
    assert (taken.id, taken.epoch, taken.attempt) == (old, 2, 1)
    assert tracker.renew("frozen", 60) == frozenset()
    before = tracker.get(old)
    tracker.progress([ProgressUpdate(old, 1, 900, "working")])
    assert not tracker.planned(old, 1, {}, 10, "rows")
    assert not tracker.succeed(old, 1, ARTIFACT)
    assert not tracker.fail(old, 1, ERROR)
    assert not tracker.dismiss(old, 1)
    assert not tracker.requeue(old, 1, "lost")
    assert tracker.get(old) == before
    assert tracker.succeed(old, 2, ARTIFACT)
    assert names(tracker, old) == ["accepted", "started", "requeued", "started", "successful"]


def test_leases_that_were_given_up_can_be_taken_at_once(tracker: Tracker) -> None:
    job = running(tracker)
    assert tracker.expire_leases() == 1
    [again] = tracker.lease("me", 5, 60)
    assert (again.id, again.epoch) == (job.id, 2)


def test_a_renewed_lease_is_not_taken(tracker: Tracker) -> None:
    accepted(tracker)
    tracker.lease("me", 1, 0.05)
    tracker.renew("me", 60)
    time.sleep(0.1)
    assert tracker.lease("other", 1, 60) == []


def test_leasers_never_get_the_same_job(tracker: Tracker) -> None:
    ids = {accepted(tracker) for _ in range(60)}
    taken: list[str] = []

    def work(owner: str) -> None:
        deadline = time.monotonic() + 60
        while len(taken) < len(ids) and time.monotonic() < deadline:
            taken.extend(job.id for job in tracker.lease(owner, 3, 60))

    threads = [threading.Thread(target=work, args=(f"d{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(ids)


def test_interactive_jobs_go_first_then_the_oldest(tracker: Tracker) -> None:
    batch = [accepted(tracker, priority=Priority.BATCH) for _ in range(2)]
    interactive = [accepted(tracker) for _ in range(2)]
    assert [tracker.lease("me", 1, 60)[0].id for _ in range(4)] == [*interactive, *batch]


def test_owners_take_turns_however_long_their_queues(tracker: Tracker) -> None:
    ann = [accepted(tracker, owner="ann") for _ in range(4)]
    bob = [accepted(tracker, owner="bob") for _ in range(2)]
    assert [job.id for job in tracker.lease("me", 6, 60)] == [ann[0], bob[0], ann[1], bob[1], ann[2], ann[3]]


def test_an_owner_with_work_running_waits_for_one_without(tracker: Tracker) -> None:
    ann = [accepted(tracker, owner="ann") for _ in range(4)]
    tracker.lease("me", 2, 60)
    bob = accepted(tracker, owner="bob")
    assert [job.id for job in tracker.lease("me", 2, 60)] == [bob, ann[2]]


def test_owners_take_turns_even_one_job_at_a_time(tracker: Tracker) -> None:
    for owner in ("ann", "ann", "ann", "bob"):
        accepted(tracker, owner=owner)
    order = []
    for _ in range(4):
        [job] = tracker.lease("me", 1, 60)
        order.append(job.owner)
        tracker.succeed(job.id, job.epoch, ARTIFACT)
    assert order == ["ann", "bob", "ann", "ann"]


def test_the_queue_position_is_the_order_of_leasing(tracker: Tracker) -> None:
    owners = ["ann", "ann", "ann", "bob", "ann", "cid", "bob", "cid", "cid", "ann"]
    ids = [
        accepted(tracker, owner=owner, priority=Priority.BATCH if n % 3 == 0 else Priority.INTERACTIVE)
        for n, owner in enumerate(owners)
    ]
    tracker.lease("me", 2, 60)
    waiting = [job_id for job_id in ids if job_of(tracker, job_id).state is JobState.ACCEPTED]
    positions = {job_id: tracker.ahead(job_id) for job_id in waiting}
    order = [job.id for job in tracker.lease("me", 100, 60)]
    assert sorted(positions, key=lambda job_id: positions[job_id]) == order
    assert sorted(positions.values()) == list(range(len(waiting)))
    assert tracker.ahead(order[0]) == 0  # it no longer waits


def test_a_job_that_was_lost_without_blame_goes_on_where_it_was(tracker: Tracker) -> None:
    job = running(tracker)
    tracker.planned(job.id, 1, {"parts": []}, 100, "rows")
    tracker.progress([ProgressUpdate(job.id, 1, 40, "working")])
    tracker.accepted.clear()
    assert tracker.requeue(job.id, 1, "The cluster was restarted.")
    assert tracker.accepted.is_set()
    waiting = job_of(tracker, job.id)
    assert (waiting.progress.done, waiting.progress.total, waiting.progress.phase) == (40, 100, "queued")
    assert (waiting.plan, waiting.losses) == ({"parts": []}, 1)
    assert (waiting.message, waiting.started) == ("The cluster was restarted.", None)
    [again] = tracker.lease("me", 1, 60)
    assert (again.epoch, again.run_epoch, again.attempt) == (2, 2, 1)
    assert (again.plan, again.progress.done, again.progress.phase) == ({"parts": []}, 40, "working")
    assert tracker.requeue(job.id, 2, "The service was stopped.", blameless=True)
    assert job_of(tracker, job.id).losses == 1


def test_a_job_that_was_to_blame_begins_again_as_the_next_attempt(tracker: Tracker) -> None:
    job = running(tracker)
    tracker.planned(job.id, 1, {"parts": []}, 100, "rows")
    tracker.progress([ProgressUpdate(job.id, 1, 40, "working")])
    assert tracker.requeue(job.id, 1, "Its worker was killed.", strike=True)
    waiting = job_of(tracker, job.id)
    assert (waiting.plan, waiting.progress.done, waiting.progress.total) == (None, 0, None)
    assert waiting.losses == 0
    [again] = tracker.lease("me", 1, 60)
    assert (again.epoch, again.attempt, again.progress.phase) == (2, 2, "planning")


# --- progress


def test_progress_never_goes_back_and_never_wakes_an_ended_job(tracker: Tracker) -> None:
    job = running(tracker)
    tracker.planned(job.id, 1, {}, 100, "rows")
    tracker.progress([ProgressUpdate(job.id, 1, 60, "working", "reading")])
    tracker.progress([ProgressUpdate(job.id, 1, 30, "working")])
    seen = job_of(tracker, job.id)
    assert (seen.progress.done, seen.progress.percent, seen.message) == (60, 60, "reading")
    assert seen.last_progress is not None
    tracker.succeed(job.id, 1, ARTIFACT)
    ended = job_of(tracker, job.id)
    assert (ended.progress.done, ended.progress.percent) == (100, 100)
    tracker.progress([ProgressUpdate(job.id, 1, 70, "working")])
    assert tracker.get(job.id) == ended


def test_progress_that_says_nothing_new_changes_no_revision(tracker: Tracker) -> None:
    job = running(tracker)
    update = ProgressUpdate(job.id, 1, 5, "working")
    tracker.progress([update])
    before = job_of(tracker, job.id)
    tracker.progress([update, ProgressUpdate("nobody", 1, 5, "working")])
    assert tracker.get(job.id) == before


def test_text_no_database_can_keep_is_cleaned(tracker: Tracker) -> None:
    job = running(tracker)
    tracker.progress([ProgressUpdate(job.id, 1, 1, "working", "a\0b\ud800")])
    assert job_of(tracker, job.id).message == "ab?"
    assert tracker.fail(job.id, 1, JobError("bad-input", "cell 'x\0\ud800'"))
    assert job_of(tracker, job.id).error == JobError("bad-input", "cell 'x?'")


# --- cancel


def test_a_waiting_job_is_canceled_at_once_and_never_leased(tracker: Tracker) -> None:
    job_id = accepted(tracker)
    assert tracker.request_cancel(job_id).state is JobState.DISMISSED
    assert tracker.lease("me", 5, 60) == []
    assert names(tracker, job_id) == ["accepted", "dismissed"]


def test_a_running_job_gets_the_wish_and_its_holder_sees_it(tracker: Tracker) -> None:
    job = running(tracker)
    tracker.accepted.clear()
    asked = tracker.request_cancel(job.id)
    assert (asked.state, asked.cancel_requested) == (JobState.RUNNING, True)
    assert tracker.request_cancel(job.id).revision == asked.revision  # the second wish changes nothing
    assert tracker.accepted.is_set()
    assert tracker.cancel_requests("me") == [(job.id, 1)]
    assert tracker.cancel_requests("other") == []
    assert tracker.dismiss(job.id, 1)
    assert tracker.cancel_requests("me") == []
    assert names(tracker, job.id) == ["accepted", "started", "cancel-requested", "dismissed"]


def test_a_job_lost_after_the_wish_to_cancel_it_does_not_start_again(tracker: Tracker) -> None:
    job = running(tracker)
    tracker.request_cancel(job.id)
    assert tracker.requeue(job.id, 1, "lost")
    assert job_of(tracker, job.id).state is JobState.DISMISSED


def test_canceling_an_ended_job_changes_nothing_and_an_unknown_one_is_an_error(tracker: Tracker) -> None:
    job = drive(tracker, JobState.SUCCESSFUL)
    assert tracker.request_cancel(job.id) == job
    with pytest.raises(UnknownJob):
        tracker.request_cancel("nobody")


# --- looking


def test_pages_hold_every_job_once_while_new_ones_arrive(tracker: Tracker) -> None:
    ids = [accepted(tracker) for _ in range(7)]
    seen: list[str] = []
    cursor = None
    while True:
        page = tracker.list(limit=3, cursor=cursor)
        seen += [job.id for job in page.jobs]
        accepted(tracker)
        cursor = page.cursor
        if cursor is None:
            break
    assert seen == ids[::-1]


def test_lists_filter_by_kind_type_and_state(tracker: Tracker) -> None:
    accepted(tracker, kind="import", type="csv")
    report = running(tracker, type="aggregate")
    assert [job.id for job in tracker.list(kind="report").jobs] == [report.id]
    assert [job.id for job in tracker.list(type="aggregate", state=JobState.RUNNING).jobs] == [report.id]
    assert tracker.list(kind="import", type="aggregate").jobs == ()


@pytest.mark.parametrize("cursor", ["", "x", "c3h4", "cy0x", "éé", "czk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5"])
def test_a_cursor_that_was_never_given_is_refused(tracker: Tracker, cursor: str) -> None:
    with pytest.raises(ValueError, match="no cursor"):
        tracker.list(cursor=cursor)


def test_history_tells_the_newest_successful_runs(tracker: Tracker) -> None:
    drive(tracker, JobState.FAILED)
    for size in (10, 20, 30):
        job = running(tracker, size=size)
        tracker.succeed(job.id, 1, ARTIFACT)
    runs = tracker.history("report", "yearly-sales", limit=2)
    assert [run.size for run in runs] == [30, 20]
    assert all(0 <= run.seconds < 60 for run in runs)
    assert tracker.history("report", "aggregate") == []


def test_counts_name_every_state(tracker: Tracker) -> None:
    accepted(tracker)
    assert tracker.counts() == {state: int(state is JobState.ACCEPTED) for state in JobState}


def test_a_watcher_hears_of_its_job_and_of_no_other(tracker: Tracker) -> None:
    mine, other = accepted(tracker), accepted(tracker)
    with tracker.watch(mine) as changed:
        tracker.request_cancel(other)
        assert not changed.is_set()
        tracker.request_cancel(mine)
        assert changed.is_set()
