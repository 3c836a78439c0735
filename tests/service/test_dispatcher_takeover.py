"""What a dispatcher leaves when it dies, and what the next one makes of it; strikes, deadlines, stalls."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.cluster import InlineCluster, RunKey, Struck
from service.dispatcher import Dispatcher
from service.model import Job, JobState
from service.runs import Limits
from tests import toys
from tests.service.test_dispatcher import House, inject, open_house, until


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    yield from open_house(tmp_path)


def another(house: House, cluster: InlineCluster | None = None) -> Dispatcher:
    return Dispatcher(
        house.tracker, cluster or house.cluster, house.store, pipelines=toys.pipelines(), clock=house.clock
    )


def run_with(house: House, dispatcher: Dispatcher, job_id: str) -> Job:
    deadline = time.monotonic() + 20
    while not house.job(job_id).ended:
        assert time.monotonic() < deadline, house.job(job_id)
        dispatcher.tick()
        house.clock.now += 0.1
    dispatcher.close()
    return house.job(job_id)


def test_the_work_of_a_dead_dispatcher_is_adopted_under_its_own_keys(house: House) -> None:
    job_id = house.submit(10)
    house.tick(6)
    before = house.job(job_id).progress.done
    assert before > 0
    house.cluster.let_go(RunKey(job_id, 1))  # its holder is dead, the work goes on
    house.tracker.expire_leases()
    other = another(house)
    other.tick()
    adopted = house.job(job_id)
    assert (adopted.epoch, adopted.run_epoch, adopted.attempt) == (2, 1, 1)
    assert adopted.progress.done >= before
    job = run_with(house, other, job_id)
    assert (job.state, job.losses) == (JobState.SUCCESSFUL, 1)
    assert {key for key, _ in house.cluster.started} == {RunKey(job_id, 1)}
    assert job.artifact is not None
    assert job.artifact.path == f"results/{job_id}/1/report.txt"


def test_work_that_the_scheduler_no_longer_has_begins_anew_under_other_keys(house: House) -> None:
    job_id = house.submit(10)
    house.tick(6)
    house.cluster.forget(RunKey(job_id, 1))
    house.tracker.expire_leases()
    job = run_with(house, another(house), job_id)
    assert (job.state, job.run_epoch, job.attempt) == (JobState.SUCCESSFUL, 3, 1)


def test_the_work_of_a_dead_dispatcher_on_another_cluster_begins_anew(house: House) -> None:
    job_id = house.submit(10)
    house.tick(6)
    house.tracker.expire_leases()
    job = run_with(house, another(house, InlineCluster(house.store.url)), job_id)
    assert (job.state, job.run_epoch, job.attempt) == (JobState.SUCCESSFUL, 2, 1)


def test_what_was_sealed_is_published_by_whoever_comes_next(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = house.submit(2)
    monkeypatch.setattr(house.dispatcher._endings, "publish", lambda run, outcome: None)  # dies just here
    while house.job(job_id).outcome is None:
        house.tick()
    started = len(house.cluster.started)
    house.tracker.expire_leases()
    job = run_with(house, another(house), job_id)
    assert job.state is JobState.SUCCESSFUL
    assert len(house.cluster.started) == started, "nothing was computed again"


def test_a_lease_whose_answer_was_lost_goes_back_to_the_queue(house: House) -> None:
    job_id = house.submit(2)
    (lost,) = house.tracker.lease(house.dispatcher.owner, 1, 30)
    assert lost.id == job_id
    house.clock.now += 8
    (job,) = house.run(job_id)
    assert (job.state, job.attempt, job.losses) == (JobState.SUCCESSFUL, 1, 0)


def test_closing_beside_a_cluster_that_lives_on_hands_the_work_over(tmp_path: Path) -> None:
    for house in open_house(tmp_path, adoptable=True):
        job_id = house.submit(10)
        house.tick(6)
        house.dispatcher.close()
        assert house.cluster.canceled == []
        job = run_with(house, another(house), job_id)
        assert (job.state, job.epoch, job.run_epoch, job.losses) == (JobState.SUCCESSFUL, 2, 1, 0)


def test_strikes_for_memory_are_named_so(house: House) -> None:
    job_id = house.submit(3)
    for _ in range(2):
        house.tick(2)
        inject(house, job_id, Struck("KilledWorker", memory=True))
    house.tick()
    job = house.job(job_id)
    assert job.error is not None
    assert job.error.code == "out-of-memory"


def test_a_run_past_its_time_is_stopped_and_leaves_nothing(tmp_path: Path) -> None:
    for house in open_house(tmp_path, limits=Limits(run=60, stall=1000)):
        job_id = house.submit(1000)
        house.tick(5)
        house.clock.now += 61
        house.tick()
        job = house.job(job_id)
        assert job.error is not None
        assert job.error.code == "timeout"
        assert "HAULIER_JOB_SECONDS" in job.error.detail
        assert RunKey(job_id, 1) in house.cluster.canceled
        house.clock.now += 3
        house.tick()
        files = house.files
        until(lambda files=files, job_id=job_id: files(job_id) == [])  # type: ignore[misc]


def test_a_run_that_stalls_says_so_then_is_stopped_but_not_one_that_waits_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for house in open_house(tmp_path, limits=Limits(stall=100)):
        job_id = house.submit(1000)
        house.tick(5)
        said: dict[str, Any] = {"now": house.cluster.poll()}
        monkeypatch.setattr(house.cluster, "poll", lambda progress=True, said=said: said["now"])
        still = said["now"]
        said["now"] = {key: replace(status, busy=False) for key, status in still.items()}
        house.tick()
        house.clock.now += 150
        house.tick()
        assert house.job(job_id).state is JobState.RUNNING
        said["now"] = still
        house.clock.now += 60
        house.tick()
        assert (house.job(job_id).message or "").startswith("No progress for ")
        house.clock.now += 60
        house.tick()
        job = house.job(job_id)
        assert job.error is not None
        assert job.error.code == "timeout"
        assert "no progress for 100 seconds" in job.error.detail
