"""Hints between the processes of one PostgreSQL, and that nothing depends on them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from service.tracker import ProgressUpdate, Tracker
from tests.contract.postgres import execute
from tests.contract.test_tracker import ARTIFACT, accepted

SOON = 10.0  # seconds; hints take milliseconds


@pytest.fixture
def here(postgres_url: str) -> Iterator[Tracker]:
    opened = Tracker.open(postgres_url)
    opened.listen()
    assert opened.accepted.wait(SOON)  # it looks once, because it may have missed something
    opened.accepted.clear()
    yield opened
    opened.close()


@pytest.fixture
def there(postgres_url: str) -> Iterator[Tracker]:
    opened = Tracker.open(postgres_url)
    yield opened
    opened.close()


def listeners() -> int:
    return sum(thread.name == "haulier-listener" for thread in threading.enumerate())


def test_a_job_accepted_elsewhere_wakes_the_dispatcher_here(here: Tracker, there: Tracker) -> None:
    accepted(there)
    assert here.accepted.wait(SOON)


@pytest.mark.parametrize("what", ["cancel", "requeue", "hand over"])
def test_what_a_dispatcher_must_see_wakes_it_here(here: Tracker, there: Tracker, what: str) -> None:
    job_id = accepted(there)
    there.lease("d", 1, 60)
    assert here.accepted.wait(SOON)
    time.sleep(0.2)  # until all earlier hints are there
    here.accepted.clear()
    match what:
        case "cancel":
            there.request_cancel(job_id)
        case "requeue":
            there.requeue(job_id, 1, "lost")
        case _:
            there.hand_over("d")
    assert here.accepted.wait(SOON)


def test_every_change_elsewhere_reaches_who_watches_here(here: Tracker, there: Tracker) -> None:
    job_id, follower = accepted(there, equal="q"), accepted(there, equal="q")
    for change in (
        lambda: there.lease("d", 1, 60),
        lambda: there.planned(job_id, 1, {}, 10, "rows"),
        lambda: there.progress([ProgressUpdate(job_id, 1, 5, "working")]),
        lambda: there.seal(job_id, 1, {}),
        lambda: there.succeed(job_id, 1, ARTIFACT),
        lambda: there.remove_result(job_id),
    ):
        with here.watch(job_id) as changed, here.watch(follower) as followed:
            change()
            assert changed.wait(SOON)
            assert followed.wait(SOON)


def test_who_was_cut_off_listens_again_and_looks_at_once(
    here: Tracker, there: Tracker, postgres: str
) -> None:
    with here.watch(accepted(there)) as changed:
        time.sleep(0.2)
        changed.clear()
        here.accepted.clear()
        execute(postgres, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 't%'")
        assert here.accepted.wait(SOON)
        assert changed.wait(SOON)
    here.accepted.clear()
    accepted(there)
    assert here.accepted.wait(SOON)


def test_one_thread_listens_and_ends_with_the_tracker(postgres_url: str) -> None:
    before = listeners()
    tracker = Tracker.open(postgres_url)
    tracker.listen()
    tracker.listen()
    assert listeners() == before + 1
    began = time.monotonic()
    tracker.close()
    assert time.monotonic() - began < 2
    assert listeners() == before
    tracker.close()
    tracker.listen()
    assert listeners() == before


def test_a_hint_that_cannot_be_sent_harms_nothing(
    there: Tracker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("service.tracker.listener._SAY_WORK", text("SELECT no_such_function()"))
    with caplog.at_level(logging.INFO, "haulier.tracker"):
        job_id = accepted(there)
    assert there.get(job_id) is not None
    assert "could not tell of a change" in caplog.text


def test_sqlite_has_nobody_to_listen_to(sqlite_url: str) -> None:
    before = listeners()
    tracker = Tracker.open(sqlite_url)
    tracker.listen()
    assert listeners() == before
    tracker.close()
