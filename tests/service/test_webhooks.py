"""Webhooks arrive signed, at least once, whatever dies; no receiver harms a job. Real sockets on loopback."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import WebhookVerificationError

from service.model import Callback, CallbackEvent, JobError
from service.tracker import Tracker
from service.webhooks import SCHEDULE, Sender, Signer
from tests.contract.test_tracker import ARTIFACT, new_job
from tests.service.receiving import SECRET, Receiver, receiver, said

ROOT = Path(__file__).parents[2]
OTHER = SECRET[:-4] + "AAA="
BASE = "https://haulier.example"


@pytest.fixture
def tracker(quick_folder: Path) -> Iterator[Tracker]:
    opened = Tracker.open(f"sqlite:///{quick_folder / 'haulier.db'}")
    yield opened
    opened.close()


@pytest.fixture
def inbox() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


@contextmanager
def sending(tracker: Tracker, **more: Any) -> Iterator[Sender]:
    given = {"private": True, "base_url": BASE, "schedule": (0.1, 0.1), **more}
    sender = Sender(tracker.outbox, Signer.of(given.pop("secret", SECRET)), **given)
    sender.start()
    try:
        yield sender
    finally:
        sender.stop()


def done(tracker: Tracker, url: str, events: tuple[CallbackEvent, ...] = (CallbackEvent.SUCCEEDED,)) -> str:
    """A job that has ended well."""
    job_id = tracker.accept(new_job(callbacks=(Callback(url, events),)))[0].id
    [job] = tracker.lease("me", 1, 60)
    assert tracker.succeed(job.id, job.epoch, ARTIFACT)
    return job_id


def log_of(tracker: Tracker, job_id: str, over: bool = True, attempts: int = 1) -> list[dict[str, Any]]:
    """How the attempts of the job's one message went, once it is over or has had some."""
    deadline = time.monotonic() + 20
    while True:
        [message] = tracker.outbox.deliveries(job_id)
        if (message.due is None) is over and len(message.log) >= attempts:
            return list(message.log)
        assert time.monotonic() < deadline, message
        time.sleep(0.01)


def test_both_official_libraries_take_a_message(tracker: Tracker, inbox: Receiver) -> None:
    with sending(tracker):
        job_id = done(tracker, f"{inbox.url}/hook?for=me")
        [post] = inbox.wait()
    event = post.event()
    assert post.path == "/hook?for=me"
    assert post.headers["content-type"].startswith("application/cloudevents+json")
    assert post.headers["host"] == inbox.url.removeprefix("http://")
    assert event.get_id() == post.headers["webhook-id"]
    assert (event.get_type(), event.get_subject()) == ("job.succeeded", job_id)
    assert event.get_source() == f"{BASE}/api/jobs/{job_id}"
    assert event.get_time() is not None
    assert event.get_data() == {
        "id": job_id,
        "kind": "report",
        "type": "yearly-sales",
        "status": "successful",
        "bytes": 12,
        "results": f"{BASE}/api/jobs/{job_id}/results",
    }
    with pytest.raises(WebhookVerificationError):
        post.event(OTHER)


def test_while_a_secret_is_changed_receivers_may_have_either(tracker: Tracker, inbox: Receiver) -> None:
    with sending(tracker, secret=f"{OTHER} {SECRET}"):
        done(tracker, inbox.url)
        [post] = inbox.wait()
    assert post.event(SECRET).get_id() == post.event(OTHER).get_id()


def test_failure_cancel_and_start_say_what_happened(tracker: Tracker, inbox: Receiver) -> None:
    to = (Callback(inbox.url, tuple(CallbackEvent)),)
    with sending(tracker):
        tracker.accept(new_job(callbacks=to))
        [job] = tracker.lease("me", 1, 60)
        tracker.fail(job.id, job.epoch, JobError("bad-input", "Line 3 is short."))
        waits = tracker.accept(new_job(callbacks=to))[0].id
        tracker.request_cancel(waits)
        events = {event.get_type(): event.get_data() for event in (p.event() for p in inbox.wait(3))}
    assert events["job.started"]["status"] == "running"
    assert events["job.started"]["attempt"] == 1
    assert events["job.failed"]["error"] == {"code": "bad-input", "detail": "Line 3 is short."}
    assert events["job.canceled"] == {
        "id": waits,
        "kind": "report",
        "type": "yearly-sales",
        "status": "dismissed",
    }


def test_a_receiver_that_is_down_for_a_while_gets_the_same_message_later(
    tracker: Tracker, inbox: Receiver
) -> None:
    answers = iter((500, 302, 204))
    inbox.answer = lambda handler: said(handler, next(answers), Location=f"{inbox.url}/elsewhere")
    with sending(tracker):
        job_id = done(tracker, inbox.url)
        log = log_of(tracker, job_id)
    assert [entry["status"] for entry in log] == [500, 302, 204]
    assert len({post.headers["webhook-id"] for post in inbox.posts}) == 1
    assert len({post.body for post in inbox.posts}) == 1
    assert {post.path for post in inbox.posts} == {"/"}  # no redirect was followed
    for post in inbox.posts:
        post.event()


def test_a_dead_receiver_is_given_up_and_the_job_never_knew(tracker: Tracker) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with sending(tracker):
        job_id = done(tracker, url)
        job = tracker.get(job_id)
        log = log_of(tracker, job_id)
        assert tracker.get(job_id) == job
    assert [entry["status"] for entry in log] == [None, None, None]
    assert log[0]["detail"] == "Nobody listens at 127.0.0.1."
    [message] = tracker.outbox.deliveries(job_id)
    assert message.delivered is None


def test_a_receiver_that_wants_no_more_is_asked_once(tracker: Tracker, inbox: Receiver) -> None:
    inbox.answer = lambda handler: said(handler, 410)
    with sending(tracker):
        log = log_of(tracker, done(tracker, inbox.url))
    assert [entry["status"] for entry in log] == [410]


def test_a_receiver_that_sends_byte_by_byte_is_left_after_some_seconds(
    tracker: Tracker, inbox: Receiver
) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        try:
            for _ in range(200):
                handler.wfile.write(b"H")
                time.sleep(0.05)
        except OSError:
            pass

    inbox.answer = drip
    with sending(tracker, seconds=0.5, schedule=()):
        [entry] = log_of(tracker, done(tracker, inbox.url))
    assert (entry["status"], entry["detail"]) == (None, "There was no whole answer after 0.5 s.")
    assert 0.4 < entry["seconds"] < 5


def test_receivers_that_hang_keep_no_other_waiting(tracker: Tracker, inbox: Receiver) -> None:
    with receiver() as stuck:
        stuck.answer = lambda handler: time.sleep(3)
        with sending(tracker):
            for _ in range(8):
                done(tracker, stuck.url)
            stuck.wait(2)
            began = time.monotonic()
            done(tracker, inbox.url)
            inbox.wait()
            assert time.monotonic() - began < 2
            assert len(stuck.posts) == 2


KILLED = """
import os, signal, sys
from service.tracker import Tracker
from tests.service.test_webhooks import done
done(Tracker.open(sys.argv[1]), sys.argv[2])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_committed_before_a_kill_is_sent_by_the_next(quick_folder: Path, inbox: Receiver) -> None:
    url = f"sqlite:///{quick_folder / 'killed.db'}"
    killed = subprocess.run([sys.executable, "-c", KILLED, url, inbox.url], cwd=ROOT, timeout=60)
    assert (killed.returncode, inbox.posts) == (-signal.SIGKILL, [])
    tracker = Tracker.open(url)
    with sending(tracker):
        [post] = inbox.wait()
        job_id = post.event().get_subject()
        log_of(tracker, job_id)
    tracker.close()
    assert len(inbox.posts) == 1


def test_what_a_dead_sender_had_taken_is_sent_again(tracker: Tracker, inbox: Receiver) -> None:
    job_id = done(tracker, inbox.url)
    assert tracker.outbox.claim(0.5) is not None  # and the process is gone, perhaps after it has sent
    with sending(tracker):
        log_of(tracker, job_id)
    [message] = tracker.outbox.deliveries(job_id)
    assert (message.attempts, len(inbox.posts)) == (2, 1)


def test_two_senders_send_each_message_once(tracker: Tracker, inbox: Receiver) -> None:
    with sending(tracker), sending(tracker):
        jobs = [done(tracker, inbox.url) for _ in range(10)]
        for job_id in jobs:
            log_of(tracker, job_id)
    assert sorted(post.event().get_subject() for post in inbox.posts) == sorted(jobs)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1"])
def test_this_machine_is_refused_unless_it_is_allowed(tracker: Tracker, inbox: Receiver, host: str) -> None:
    url = inbox.url.replace("127.0.0.1", host)
    with sending(tracker, private=False, schedule=()):
        [entry] = log_of(tracker, done(tracker, url))
    assert (entry["status"], inbox.posts) == (None, [])
    assert "private network; it was refused" in entry["detail"]


def test_the_address_that_was_checked_is_the_one_connected_to(
    tracker: Tracker, inbox: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []

    def lookup(host: str, port: int, **_: Any) -> list[Any]:
        """Public first and this machine after: what a rebinding name server says."""
        looked.append(host)
        address = "127.0.0.1" if len(looked) > 1 else "203.0.113.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr("service.outward.socket.getaddrinfo", lookup)
    monkeypatch.setattr("service.outward.is_public", lambda address: str(address) != "127.0.0.1")
    with sending(tracker, private=False, schedule=(), seconds=0.3):
        port = inbox.url.rpartition(":")[2]
        [entry] = log_of(tracker, done(tracker, f"http://rebind.example:{port}/"))
    assert (looked, inbox.posts, entry["status"]) == (["rebind.example"], [], None)


def test_the_pauses_grow_to_a_day_and_are_spread() -> None:
    assert list(SCHEDULE) == sorted(SCHEDULE)
    assert 3 * 86_400 < sum(SCHEDULE) < 5 * 86_400
    sender = Sender(None, Signer(()))  # type: ignore[arg-type]
    pauses = {sender._pause(1) for _ in range(20)}
    assert len(pauses) > 1
    assert all(pause is not None and 5 <= pause <= 6 for pause in pauses)
    assert sender._pause(len(SCHEDULE) + 1) is None
