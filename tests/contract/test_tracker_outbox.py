"""Messages to callers: written with the change they tell of, sent by one sender at a time; both databases."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.model import Callback, CallbackEvent, Delivery, Job
from service.tracker import ProgressUpdate, Tracker
from tests.contract.test_tracker import ARTIFACT, ERROR, accepted, new_job, running

URL = "https://hooks.example/done?token=1"
ENDS = (CallbackEvent.SUCCEEDED, CallbackEvent.FAILED, CallbackEvent.CANCELED)
TO = (Callback(URL, ENDS),)
ALL = (Callback(URL, tuple(CallbackEvent)),)
SENT = {"at": "2026-01-01T00:00:00Z", "status": 204, "seconds": 0.1, "detail": None}


def told(tracker: Tracker, job_id: str) -> list[tuple[str, dict[str, Any]]]:
    return [(each.event.value, each.data) for each in tracker.outbox.deliveries(job_id)]


def claimed(tracker: Tracker, seconds: float = 30, without: tuple[str, ...] = ()) -> Delivery:
    found = tracker.outbox.claim(seconds, without)
    assert found is not None
    return found


def succeeded(tracker: Tracker, callbacks: tuple[Callback, ...] = TO, **changes: Any) -> Job:
    job = running(tracker, callbacks=callbacks, **changes)
    assert tracker.succeed(job.id, job.epoch, ARTIFACT)
    return job


def test_each_wanted_event_leaves_one_message_with_the_change(tracker: Tracker) -> None:
    job = running(tracker, callbacks=ALL)
    tracker.planned(job.id, job.epoch, {}, 100, "rows")
    tracker.progress([ProgressUpdate(job.id, job.epoch, 10, "working")])  # no new phase
    tracker.outbox.posted.clear()
    tracker.progress([ProgressUpdate(job.id, job.epoch, 100, "combining")])
    assert tracker.outbox.posted.is_set()
    tracker.succeed(job.id, job.epoch, ARTIFACT)
    assert told(tracker, job.id) == [
        ("job.started", {"epoch": 1, "attempt": 1}),
        ("job.progress", {"total": 100, "unit": "rows"}),
        ("job.progress", {"done": 100, "phase": "combining"}),
        ("job.succeeded", {"bytes": 12}),
    ]
    assert tracker.outbox.callbacks(job.id) == ALL
    assert tracker.outbox.waiting() == 4


def test_what_nobody_asked_for_leaves_none(tracker: Tracker) -> None:
    silent = running(tracker)
    job = running(tracker, callbacks=(Callback(URL, (CallbackEvent.FAILED,)),))
    for each in (silent, job):
        tracker.succeed(each.id, each.epoch, ARTIFACT)
        assert told(tracker, each.id) == []
    assert not tracker.outbox.posted.is_set()
    assert tracker.outbox.claim(30) is None


def test_a_change_that_does_not_happen_leaves_none(tracker: Tracker) -> None:
    job = running(tracker, callbacks=TO)
    assert not tracker.succeed(job.id, job.epoch + 1, ARTIFACT)
    assert told(tracker, job.id) == []


def test_failure_and_cancel_are_told(tracker: Tracker) -> None:
    job = running(tracker, callbacks=TO)
    tracker.fail(job.id, job.epoch, ERROR)
    waits = accepted(tracker, callbacks=TO)
    tracker.request_cancel(waits)
    assert told(tracker, job.id) == [("job.failed", {"code": ERROR.code, "detail": ERROR.detail})]
    assert told(tracker, waits) == [("job.canceled", {})]


def test_who_shares_the_work_of_another_is_told_as_well(tracker: Tracker) -> None:
    leader = running(tracker, equal="q")
    follower = accepted(tracker, equal="q", callbacks=TO)
    tracker.succeed(leader.id, leader.epoch, ARTIFACT, datetime.now(UTC) + timedelta(days=1))
    cached = accepted(tracker, equal="q", callbacks=TO)
    message = [("job.succeeded", {"bytes": 12, "cached": True})]
    assert told(tracker, follower) == told(tracker, cached) == message


def test_a_replayed_submission_subscribes_nobody_twice(tracker: Tracker) -> None:
    first, _ = tracker.accept(new_job(idempotency_key="k", idempotency_hash="h", callbacks=TO))
    tracker.accept(new_job(idempotency_key="k", idempotency_hash="h", callbacks=TO))
    tracker.request_cancel(first.id)
    assert len(told(tracker, first.id)) == 1


def test_a_message_is_sent_by_one_sender_until_its_time_is_over(tracker: Tracker) -> None:
    job = succeeded(tracker)
    first = claimed(tracker, seconds=0.3)
    assert (first.job_id, first.kind, first.type, first.url) == (job.id, "report", "yearly-sales", URL)
    assert (first.host, first.attempts, first.log) == ("hooks.example", 1, ())
    assert tracker.outbox.claim(30) is None
    threading.Event().wait(0.4)  # whoever had it is lost
    again = claimed(tracker)
    assert (again.sequence, again.attempts) == (first.sequence, 2)
    assert not tracker.outbox.settle(first, SENT, delivered=True)
    assert tracker.outbox.settle(again, SENT, delivered=True)
    assert not tracker.outbox.settle(again, SENT, delivered=True)
    [kept] = tracker.outbox.deliveries(job.id)
    assert (kept.due, kept.log, tracker.outbox.waiting()) == (None, (SENT,), 0)
    assert kept.delivered is not None


def test_a_message_that_failed_comes_again_later_and_is_given_up_at_the_end(tracker: Tracker) -> None:
    job = succeeded(tracker)
    failed = {**SENT, "status": None, "detail": "no answer\0"}
    assert tracker.outbox.settle(claimed(tracker), failed, again_in=0.2)
    assert tracker.outbox.claim(30) is None
    threading.Event().wait(0.3)
    assert tracker.outbox.settle(claimed(tracker), failed)
    [kept] = tracker.outbox.deliveries(job.id)
    assert (kept.due, kept.delivered, kept.attempts) == (None, None, 2)
    assert [entry["detail"] for entry in kept.log] == ["no answer", "no answer"]


def test_a_busy_host_keeps_no_other_waiting(tracker: Tracker) -> None:
    succeeded(tracker)
    other = succeeded(tracker, (Callback("http://Other.example:8080/", ENDS),))
    assert claimed(tracker, without=("hooks.example",)).job_id == other.id
    assert tracker.outbox.claim(30, ("hooks.example", "other.example:8080")) is None


@pytest.mark.parametrize("round_", range(3))
def test_many_senders_at_once_send_each_message_once(tracker: Tracker, round_: int) -> None:
    jobs = {succeeded(tracker).id for _ in range(12)}
    barrier = threading.Barrier(6)

    def send(_: int) -> list[str]:
        barrier.wait()
        found = []
        while tracker.outbox.waiting():
            if (message := tracker.outbox.claim(60)) is not None:
                found.append(message.job_id)
                assert tracker.outbox.settle(message, SENT, delivered=True)
        return found

    with ThreadPoolExecutor(6) as pool:
        sent = [job_id for found in pool.map(send, range(6)) for job_id in found]
    assert sorted(sent) == sorted(jobs)


def test_removing_a_job_takes_its_messages_along(tracker: Tracker) -> None:
    job = succeeded(tracker)
    message = claimed(tracker)
    assert tracker.erase(job.id)
    assert tracker.outbox.waiting() == 0
    assert not tracker.outbox.settle(message, SENT, again_in=1)
