"""The dispatcher on a real SQLite tracker and store; the cluster runs in this process, the clock is ours."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import structlog

from pipelines.plan import Artifact, Json
from pipelines.store import Store
from service.cluster import InlineCluster, Lost, RunKey, Skewed, Stage, Struck
from service.dispatcher import Dispatcher
from service.errors import Unavailable
from service.model import Job, JobState, NewJob, Priority, new_id
from service.runs import Window
from service.tracker import Tracker
from tests import toys


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class House:
    """All there is around a dispatcher."""

    tracker: Tracker
    store: Store
    cluster: InlineCluster
    clock: Clock
    dispatcher: Dispatcher
    jobs: list[str] = field(default_factory=list)

    def submit(self, parts: int = 3, priority: Priority = Priority.INTERACTIVE, **more: Any) -> str:
        spec = toys.spec(parts, **more)
        new = NewJob(new_id(datetime.now(UTC)), "report", "toy", {}, spec, 1, "rows", priority=priority)
        self.tracker.accept(new)
        return new.id

    def job(self, job_id: str) -> Job:
        found = self.tracker.get(job_id)
        assert found is not None
        return found

    def tick(self, count: int = 1) -> None:
        for _ in range(count):
            self.dispatcher.tick()
            self.clock.now += 0.1

    def run(self, *job_ids: str) -> list[Job]:
        """Tick until the jobs have ended. Publishing happens on other threads, hence the real time limit."""
        deadline = time.monotonic() + 20
        while not all(self.job(job_id).ended for job_id in job_ids):
            assert time.monotonic() < deadline, [self.job(job_id) for job_id in job_ids]
            self.tick()
        return [self.job(job_id) for job_id in job_ids]

    def files(self, job_id: str) -> list[str]:
        """What the store holds of a job."""
        return [
            stat.key
            for prefix in ("scratch", "results")
            for stat in self.store.list(prefix)
            if job_id in stat.key
        ]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    yield from open_house(tmp_path)


def open_house(tmp_path: Path, **more: Any) -> Iterator[House]:
    tracker = Tracker.open(f"sqlite:///{tmp_path / 'haulier.db'}")
    store, clock = Store(str(tmp_path / "store")), Clock()
    cluster = InlineCluster(store.url)
    dispatcher = Dispatcher(tracker, cluster, store, pipelines=toys.pipelines(), clock=clock, **more)
    yield House(tracker, store, cluster, clock, dispatcher)
    dispatcher.stop()
    dispatcher.close()
    tracker.close()


def inject(house: House, job_id: str, outcome: Any) -> None:
    house.cluster.inject(RunKey(job_id, house.job(job_id).epoch), outcome)


def test_an_accepted_job_ends_successful_with_its_artifact(house: House) -> None:
    (job,) = house.run(house.submit(5))
    assert job.state is JobState.SUCCESSFUL
    assert job.artifact is not None
    assert job.artifact.name == "0,1,2,3,4"
    assert house.store.stat(job.artifact.path).bytes == job.artifact.bytes
    assert (job.progress.done, job.progress.total, job.progress.unit) == (50, 50, "rows")
    assert (job.epoch, job.attempt) == (1, 1)
    assert house.dispatcher.in_flight() == 0


def test_progress_is_written_part_by_part_with_a_phase_in_words(house: House) -> None:
    job_id, seen = house.submit(6), []
    while not house.job(job_id).ended:
        house.tick()
        progress = house.job(job_id).progress
        if not seen or seen[-1] != (progress.done, progress.phase):
            seen.append((progress.done, progress.phase))
    done = [units for units, _ in seen]
    assert done == sorted(done)
    assert set(done) >= {0, 10, 20, 30, 40, 50, 60}
    assert [phase for n, (_, phase) in enumerate(seen) if phase not in [p for _, p in seen[:n]]][:3] == [
        "planning",
        "working",
        "reading",
    ]


def test_an_error_meant_for_the_user_fails_the_job_and_leaves_no_file(house: House) -> None:
    job_id = house.submit(fail="bad-input")
    (job,) = house.run(job_id)
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert (job.error.code, job.error.detail) == ("bad-input", "Line 3 has 4 fields where 5 were expected.")
    until(lambda: house.files(job_id) == [])


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("stage", ["fail_plan", "fail", "fail_publish"])
def test_an_error_nobody_foresaw_is_internal_to_the_user_and_whole_in_the_log(
    house: House, stage: str
) -> None:
    with structlog.testing.capture_logs() as logged:
        (job,) = house.run(house.submit(**{stage: "unexpected"}))
    assert job.error is not None
    assert job.error.code == "internal"
    assert job.id in job.error.detail
    assert "secret" not in job.error.detail
    (entry,) = [entry for entry in logged if entry["event"] == "unexpected error"]
    assert entry["job_id"] == job.id
    assert "a secret of the code" in entry["exception"]


def test_a_refused_publication_fails_with_its_own_words(house: House) -> None:
    (job,) = house.run(house.submit(fail_publish="bad-input"))
    assert job.error is not None
    assert job.error.code == "bad-input"


def test_a_job_of_an_unknown_kind_stops_no_other(house: House) -> None:
    strange = NewJob(new_id(datetime.now(UTC)), "teleport", "toy", {}, {}, 1, "rows")
    house.tracker.accept(strange)
    bad, good = house.run(strange.id, house.submit())
    assert (bad.state, good.state) == (JobState.FAILED, JobState.SUCCESSFUL)


def test_a_lost_run_starts_again_without_blame(house: House) -> None:
    job_id = house.submit(3)
    house.tick(3)
    inject(house, job_id, Lost("the scheduler is gone"))
    house.tick()
    waiting = house.job(job_id)
    assert (waiting.state, waiting.losses, waiting.attempt) == (JobState.ACCEPTED, 1, 1)
    assert waiting.plan is not None
    (job,) = house.run(job_id)
    assert (job.state, job.epoch, job.attempt) == (JobState.SUCCESSFUL, 2, 1)
    assert [stage for key, stage in house.cluster.started if key == RunKey(job_id, 2)] == [Stage.WORK]
    assert f"results/{job_id}/2/report.txt" in house.files(job_id)


def test_a_job_that_is_always_lost_fails_in_the_end(house: House) -> None:
    job_id = house.submit(3)
    while not house.job(job_id).ended:
        house.tick()
        if house.job(job_id).state is JobState.RUNNING:
            inject(house, job_id, Lost("again"))
    failed = house.job(job_id)
    assert failed.error is not None
    assert failed.error.code == "attempts-exhausted"
    assert (failed.losses, failed.epoch) == (20, 21)


def test_a_second_strike_fails_the_job(house: House) -> None:
    job_id = house.submit(3)
    house.tick(2)
    inject(house, job_id, Struck("KilledWorker"))
    house.tick()
    assert (house.job(job_id).state, house.job(job_id).attempt) == (JobState.RUNNING, 2)
    inject(house, job_id, Struck("KilledWorker"))
    house.tick()
    job = house.job(job_id)
    assert job.error is not None
    assert job.error.code == "worker-killed"
    assert "memory" in job.error.detail


def test_workers_of_another_version_hold_the_queue(house: House) -> None:
    job_id = house.submit(3)
    house.tick(2)
    inject(house, job_id, Skewed("No module named pipelines"))
    house.tick(20)
    assert house.job(job_id).state is JobState.ACCEPTED
    house.clock.now += 10
    (job,) = house.run(job_id)
    assert (job.state, job.attempt, job.losses) == (JobState.SUCCESSFUL, 1, 0)


def test_workers_that_stay_of_another_version_fail_the_job_in_the_end(house: House) -> None:
    job_id = house.submit(3)
    while not house.job(job_id).ended:
        house.tick()
        if house.job(job_id).state is JobState.RUNNING:
            inject(house, job_id, Skewed("No module named pipelines"))
        house.clock.now += 11
    job = house.job(job_id)
    assert job.error is not None
    assert job.error.code == "version-skew"


def test_cancel_of_a_running_job_dismisses_it_at_once_and_removes_its_files(house: House) -> None:
    job_id = house.submit(30)
    house.tick(8)
    assert house.files(job_id) != []
    house.tracker.request_cancel(job_id)
    house.tick()
    assert house.job(job_id).state is JobState.DISMISSED
    assert RunKey(job_id, 1) in house.cluster.canceled
    until(lambda: house.files(job_id) == [])


def test_what_a_slow_part_writes_after_the_cancel_is_removed_too(house: House) -> None:
    job_id = house.submit(30)
    house.tick(8)
    house.tracker.request_cancel(job_id)
    house.tick()
    until(lambda: house.files(job_id) == [])
    with house.store.put(f"scratch/{job_id}/1/straggler"):
        pass
    house.clock.now += 3
    house.tick()
    until(lambda: house.files(job_id) == [])


def test_nothing_is_leased_while_the_cluster_is_away(house: House) -> None:
    house.cluster.up = False
    job_id = house.submit()
    house.tick(5)
    assert house.job(job_id).state is JobState.ACCEPTED
    house.cluster.up = True
    assert house.run(job_id)[0].state is JobState.SUCCESSFUL


def test_the_window_bounds_jobs_in_flight(tmp_path: Path) -> None:
    for house in open_house(tmp_path, window=Window(jobs=2)):
        jobs = [house.submit(2) for _ in range(6)]
        for _ in range(10):
            house.tick()
            assert house.dispatcher.in_flight() <= 2
        assert {job.state for job in house.run(*jobs)} == {JobState.SUCCESSFUL}


def test_the_window_bounds_parts_in_flight(tmp_path: Path) -> None:
    for house in open_house(tmp_path, window=Window(parts=10)):
        house.submit(50)
        house.tick(3)
        late = house.submit(1)
        house.tick(3)
        assert house.job(late).state is JobState.ACCEPTED


def test_a_job_whose_lease_went_to_another_is_forgotten(house: House) -> None:
    job_id = house.submit(50)
    house.tick(3)
    house.tracker.expire_leases()
    (taken,) = house.tracker.lease("somebody else", 1, 30)
    assert taken.id == job_id
    house.clock.now += 8
    house.tick()
    assert house.dispatcher.in_flight() == 0
    assert (house.job(job_id).state, house.job(job_id).epoch) == (JobState.RUNNING, 2)
    assert house.cluster.canceled == [], "who has it now may have adopted the very same work"


def test_a_result_that_comes_after_the_lease_went_is_not_published(house: House) -> None:
    job_id = house.submit(1)
    house.tick(3)
    house.tracker.expire_leases()
    house.tracker.lease("somebody else", 1, 30)
    house.tick(10)
    assert house.job(job_id).artifact is None
    assert house.job(job_id).state is JobState.RUNNING, "its files are the new holder's to use or remove"


def test_leases_are_renewed_long_before_they_end(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    beats: list[float] = []
    renew = house.tracker.renew

    def counting(owner: str, seconds: float) -> frozenset[tuple[str, int]]:
        beats.append(house.clock.now)
        assert seconds == 30
        return renew(owner, seconds)

    monkeypatch.setattr(house.tracker, "renew", counting)
    for _ in range(40):
        house.tick()
        house.clock.now += 0.9
    assert all(6 < later - earlier < 9 for earlier, later in pairwise(beats))
    assert len(beats) >= 5


@pytest.mark.parametrize("method", ["planned", "seal", "succeed", "progress"])
def test_an_absent_database_ends_no_job(house: House, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    job_id = house.submit(2)
    down = [True]
    real = getattr(house.tracker, method)

    def failing(*arguments: Any) -> Any:
        if down[0]:
            raise Unavailable("The database cannot be reached.")
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(house.tracker, method, failing)
        for _ in range(20):
            with_database_away(house)
        down[0] = False
        patch.undo()
    assert house.run(job_id)[0].state is JobState.SUCCESSFUL


def test_a_database_away_when_a_run_is_to_begin_ends_no_job(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = house.submit(2)
    for _ in range(20):
        (job,) = house.tracker.lease("another", 1, 30)
        house.tracker.requeue(lost, job.epoch, "Its scheduler went away.")

    def failing(*arguments: Any) -> bool:
        raise Unavailable("The database cannot be reached.")

    with monkeypatch.context() as patch:
        patch.setattr(house.tracker, "fail", failing)
        house.tick(3)
    assert house.job(lost).state is JobState.RUNNING
    (job,) = house.run(lost)
    assert job.error is not None
    assert job.error.code == "attempts-exhausted"


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), FileNotFoundError("the manifest")])
def test_a_store_that_fails_once_does_not_end_a_job_that_is_to_be_published(
    house: House, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    failures = [error]

    def publish(store: Store, job_id: str, epoch: int, spec: Json, outcome: Json) -> Artifact:
        if failures:
            raise failures.pop()
        return Artifact.from_json(outcome)

    monkeypatch.setattr(toys, "publish", publish)
    given = Dispatcher(
        house.tracker, house.cluster, house.store, pipelines=toys.pipelines(), clock=house.clock
    )
    monkeypatch.setattr(house, "dispatcher", given)
    (job,) = house.run(house.submit(2))
    if isinstance(error, FileNotFoundError):  # what is not there will not come
        assert job.error is not None and job.error.code == "internal"
    else:
        assert (job.state, job.attempt, job.losses) == (JobState.SUCCESSFUL, 1, 1)
    given.close()


def test_an_interpreter_that_is_ending_fails_no_job(house: House) -> None:
    """It closes every thread pool before anybody hears of it, and the dispatcher goes on meanwhile."""
    house.dispatcher._publisher._pool.shutdown()
    (job,) = house.run(house.submit(2))
    assert job.state is JobState.SUCCESSFUL
    canceled = house.submit(30)
    house.tick(5)
    house.tracker.request_cancel(canceled)
    house.tick()
    assert house.files(canceled) == []


def with_database_away(house: House) -> None:
    try:
        house.tick()
    except Unavailable:  # `run` waits a second and goes on
        house.clock.now += 1


def test_publishing_slowly_holds_up_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(store: Store, job_id: str, epoch: int, spec: Json, outcome: Json) -> Artifact:
        if spec.get("slow"):
            time.sleep(1)
        return Artifact.from_json(outcome)

    monkeypatch.setattr(toys, "publish", slowly)
    for house in open_house(tmp_path):
        slow, quick = house.submit(1, slow=True), house.submit(1)
        house.run(quick)
        assert house.job(slow).progress.phase == "publishing"
        assert house.job(slow).state is JobState.RUNNING
        assert house.tracker.request_cancel(slow).cancel_requested is False, "too late"
        assert house.run(slow)[0].state is JobState.SUCCESSFUL, "published is published"


def test_closing_gives_running_jobs_back(tmp_path: Path) -> None:
    job_id = ""
    for house in open_house(tmp_path):
        job_id = house.submit(50)
        house.tick(4)
    tracker = Tracker.open(f"sqlite:///{tmp_path / 'haulier.db'}")
    job = tracker.get(job_id)
    assert job is not None
    assert (job.state, job.attempt) == (JobState.ACCEPTED, 1)
    tracker.close()
