"""What waiting clients read of the tracker, on both databases: the feed of changes; jobs that are erased."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from service.model import JobState, Priority
from service.tracker import Mark, ProgressUpdate, Tracker, Work
from tests.contract.test_tracker import ARTIFACT, accepted, names, new_job


def ids(tracker: Tracker, mark: Mark | None) -> tuple[list[str], Mark]:
    found = tracker.outlook.changes("local", mark)
    return [job.id for job in found.jobs], found.mark


def test_the_feed_starts_with_what_is_active_and_tells_each_change_once(tracker: Tracker) -> None:
    first, second = accepted(tracker), accepted(tracker)
    active, mark = ids(tracker, None)
    assert active == [first, second]
    assert ids(tracker, mark)[0] == []
    tracker.request_cancel(second)
    third = accepted(tracker)
    changed, mark = ids(tracker, mark)
    assert changed == [second, third]
    assert ids(tracker, mark)[0] == []


def test_the_feed_is_the_owners_own(tracker: Tracker) -> None:
    _, mark = ids(tracker, None)
    other, _ = tracker.accept(new_job(owner="somebody"))
    assert ids(tracker, mark)[0] == []
    assert [job.id for job in tracker.outlook.changes("somebody", mark).jobs] == [other.id]


def test_no_change_is_missed_while_many_write_at_once(tracker: Tracker) -> None:
    _, mark = ids(tracker, None)
    seen: list[str] = []
    with ThreadPoolExecutor(8) as pool:
        writing = [pool.submit(accepted, tracker) for _ in range(200)]
        while not all(each.done() for each in writing):
            some, mark = ids(tracker, mark)
            seen += some
    some, mark = ids(tracker, mark)
    seen += some
    assert sorted(seen) == sorted(each.result() for each in writing)


def test_a_change_that_is_committed_late_is_told_all_the_same(postgres_url: str) -> None:
    tracker = Tracker.open(postgres_url)
    job_id = accepted(tracker)
    _, mark = ids(tracker, None)
    line = f"INSERT INTO event (job_id, at, name, data) VALUES ('{job_id}', now(), 'progress', '{{}}')"
    slow = tracker.database._engine.connect()  # type: ignore[attr-defined]
    slow.execute(text(line))  # has its number, and is not committed
    quick = accepted(tracker)
    changed, mark = ids(tracker, mark)
    assert changed == [quick]
    assert len(mark.missing) == 1
    assert Mark.from_cursor(mark.to_cursor()) == mark
    slow.commit()
    slow.close()
    changed, mark = ids(tracker, mark)
    assert (changed, mark.missing) == ([job_id], ())
    tracker.close()


@pytest.mark.parametrize("cursor", ["", "abc", "czE", "Yw", "Y3g", "é", "Y" * 5000])
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(ValueError, match="cursor"):
        Mark.from_cursor(cursor)


def test_an_ended_job_can_be_erased_and_an_active_one_not(tracker: Tracker) -> None:
    job_id = accepted(tracker)
    assert not tracker.erase(job_id)
    tracker.request_cancel(job_id)
    assert tracker.erase(job_id)
    assert tracker.get(job_id) is None
    assert tracker.events(job_id) == []
    assert not tracker.erase(job_id)


def test_a_shared_result_goes_with_the_job_that_made_it(tracker: Tracker) -> None:
    maker, _ = tracker.accept(new_job(equal="q"))
    [leased] = tracker.lease("d", 1, 30)
    assert tracker.succeed(maker.id, leased.epoch, ARTIFACT)
    sharer, _ = tracker.accept(new_job(equal="q"))
    assert sharer.state is JobState.SUCCESSFUL and sharer.removed is None
    assert tracker.erase(maker.id)
    left = tracker.get(sharer.id)
    assert left is not None and left.removed is not None
    fresh, _ = tracker.accept(new_job(equal="q"))
    assert fresh.state is JobState.ACCEPTED


def test_an_earlier_run_tells_its_planning_its_tail_and_what_was_foreseen(tracker: Tracker) -> None:
    job_id = accepted(tracker)
    [job] = tracker.lease("d", 1, 30)
    time.sleep(0.05)
    assert tracker.planned(job_id, job.epoch, {"parts": []}, 10, "rows")
    time.sleep(0.1)
    assert tracker.foresee(job_id, job.epoch, {"seconds": 0.2, "p90": 0.3})
    assert not tracker.foresee(job_id, job.epoch + 1, {"seconds": 9, "p90": 9})
    tracker.progress([ProgressUpdate(job_id, job.epoch, 10, "combining")])
    time.sleep(0.15)
    assert tracker.succeed(job_id, job.epoch, ARTIFACT)
    [run] = tracker.history("report", job.type)
    assert run.seconds >= 0.3
    assert 0.05 <= run.head < 0.1 + 0.05
    assert 0.15 <= run.tail < run.seconds - 0.1
    assert run.guess is not None
    assert (run.guess.seconds, run.guess.p90) == (0.2, 0.3)
    assert 0.15 <= run.guess.truth < run.seconds
    assert "foreseen" not in names(tracker, job_id)  # it is no news


def test_the_workload_is_what_runs_and_what_waits_by_type(tracker: Tracker) -> None:
    running, _ = tracker.accept(new_job(size=100))
    [job] = tracker.lease("d", 1, 30)
    assert tracker.planned(running.id, job.epoch, {"parts": []}, 10, "rows")
    tracker.progress([ProgressUpdate(running.id, job.epoch, 4, "reading")])
    for size in (10, 30):
        tracker.accept(new_job(size=size))
    tracker.accept(new_job(kind="import", type="csv", size=7, priority=Priority.BATCH))
    work = tracker.outlook.workload()
    assert work.running == (Work("report", job.type, 0, 1, 100, 0.4),)
    assert set(work.waiting) == {Work("report", job.type, 0, 2, 20), Work("import", "csv", 1, 1, 7)}
    assert tracker.outlook.types() == [("import", "csv"), ("report", job.type)]
