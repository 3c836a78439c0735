"""The engine: tracker, store, a real local cluster and the dispatcher thread, opened and closed together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from service.compute import LocalCompute
from service.engine import Engine
from service.model import Callback, CallbackEvent, Job, JobState, NewJob, new_id
from service.settings import Settings
from service.tracker import HomeInUse
from tests import toys
from tests.service.receiving import SECRET, receiver

ROOT = Path(__file__).parents[2]


def settings(home: Path, **more: Any) -> Settings:
    return Settings.from_env({}, home=str(home), workers=2, **more)


def submit(engine: Engine, parts: int = 2, **more: Any) -> str:
    new = NewJob(new_id(datetime.now(UTC)), "report", "toy", {}, toys.spec(parts, **more), 1, "rows")
    return engine.tracker.accept(new)[0].id


def ended(engine: Engine, job_id: str, seconds: float = 60) -> Job:
    deadline = time.monotonic() + seconds
    while True:
        job = engine.tracker.get(job_id)
        assert job is not None
        if job.ended:
            return job
        assert time.monotonic() < deadline, job
        time.sleep(0.005)


@pytest.fixture
def engine(tmp_path: Path, compute: LocalCompute) -> Iterator[Engine]:
    """On the session's cluster, as an external scheduler by address."""
    given = settings(tmp_path, scheduler=compute.address)
    with Engine(given, pipelines=toys.pipelines()) as opened:
        deadline = time.monotonic() + 60
        while opened.health().workers < 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield opened


@pytest.fixture
def own_engine(tmp_path: Path, own_compute: LocalCompute) -> Iterator[Engine]:
    with Engine(settings(tmp_path), pipelines=toys.pipelines(), compute=own_compute) as opened:
        yield opened


def test_a_small_job_takes_well_under_a_second_on_a_warm_cluster(engine: Engine) -> None:
    ended(engine, submit(engine))
    seconds = []
    for _ in range(5):
        started = time.monotonic()
        assert ended(engine, submit(engine)).state is JobState.SUCCESSFUL
        seconds.append(time.monotonic() - started)
    assert sorted(seconds)[2] < 0.5, seconds


def test_a_webhook_is_sent_when_a_job_has_ended(tmp_path: Path, compute: LocalCompute) -> None:
    secrets = {"webhook_secret": SECRET, "webhook_allow_private": "yes"}
    given = settings(tmp_path, scheduler=compute.address, **secrets)
    with receiver() as inbox, Engine(given, pipelines=toys.pipelines()) as engine:
        to = (Callback(inbox.url, (CallbackEvent.SUCCEEDED,)),)
        own = new_id(datetime.now(UTC))
        new = NewJob(own, "report", "toy", {}, toys.spec(2), 1, "rows", callbacks=to)
        engine.tracker.accept(new)
        [post] = inbox.wait(seconds=60)
        assert post.event().get_subject() == own
        assert ended(engine, own).state is JobState.SUCCESSFUL


def test_health_tells_what_works(engine: Engine) -> None:
    health = engine.health()
    assert (health.database, health.store, health.workers, health.dispatching) == (True, True, 2, True)


def test_jobs_are_accepted_before_any_worker_is_there(tmp_path: Path, own_compute: LocalCompute) -> None:
    with Engine(settings(tmp_path), pipelines=toys.pipelines(), compute=own_compute) as engine:
        assert engine.health().workers == 0
        job_id = submit(engine)
        assert ended(engine, job_id).state is JobState.SUCCESSFUL


def test_a_short_job_shows_several_values_of_progress(engine: Engine) -> None:
    job_id, seen = submit(engine, 10, seconds=0.1), set()
    while (job := engine.tracker.get(job_id)) is not None and not job.ended:
        seen.add(job.progress.done)
        time.sleep(0.01)
    assert len(seen) >= 4


def test_cancel_of_a_running_job_is_quick_and_frees_the_workers(engine: Engine) -> None:
    job_id = submit(engine, 20, seconds=5)
    time.sleep(1)
    started = time.monotonic()
    engine.tracker.request_cancel(job_id)
    assert ended(engine, job_id).state is JobState.DISMISSED
    assert time.monotonic() - started < 1
    assert ended(engine, submit(engine)).state is JobState.SUCCESSFUL
    assert time.monotonic() - started < 3


@pytest.mark.slow
def test_a_job_whose_workers_keep_dying_fails_and_the_next_one_runs(own_engine: Engine) -> None:
    job = ended(own_engine, submit(own_engine, die=1000))
    assert job.error is not None
    assert job.error.code == "worker-killed"
    assert job.attempt == 2
    assert ended(own_engine, submit(own_engine)).state is JobState.SUCCESSFUL


@pytest.mark.slow
def test_a_killed_scheduler_delays_a_job_and_is_not_its_fault(
    own_engine: Engine, own_compute: LocalCompute
) -> None:
    job_id = submit(own_engine, 6, seconds=0.5)
    while not ((job := own_engine.tracker.get(job_id)) and job.progress.done > 0):
        time.sleep(0.02)
    os.kill(own_compute.pids["scheduler"], signal.SIGKILL)
    job = ended(own_engine, job_id)
    assert (job.state, job.epoch, job.attempt) == (JobState.SUCCESSFUL, 2, 1)


def test_closing_gives_a_running_job_to_the_next_engine_at_once(
    tmp_path: Path, compute: LocalCompute
) -> None:
    given = settings(tmp_path, scheduler=compute.address)
    with Engine(given, pipelines=toys.pipelines()) as first:
        job_id = submit(first, 4, seconds=1)
        while not ((job := first.tracker.get(job_id)) and job.progress.total):
            time.sleep(0.02)
    with Engine(given, pipelines=toys.pipelines()) as second:
        started = time.monotonic()
        assert ended(second, job_id).attempt == 1
        assert time.monotonic() - started < 15  # not a lease


def test_one_process_a_home(tmp_path: Path) -> None:
    with Engine(settings(tmp_path), dispatch=False), pytest.raises(HomeInUse):
        Engine(settings(tmp_path))
    Engine(settings(tmp_path)).close()


def test_without_dispatch_jobs_wait_and_no_process_is_started(tmp_path: Path) -> None:
    with Engine(settings(tmp_path), dispatch=False, pipelines=toys.pipelines()) as engine:
        job_id = submit(engine)
        time.sleep(0.3)
        job = engine.tracker.get(job_id)
        assert job is not None
        assert job.state is JobState.ACCEPTED
        assert not engine.health().dispatching
        assert engine.scheduler_address is None


CRASH = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from service.compute import LocalCompute
from service.engine import Engine
from tests.service.test_engine import ROOT, settings, submit
from tests import toys
home = Path(sys.argv[1])
engine = Engine(settings(home), pipelines=toys.pipelines(), compute=LocalCompute(2, home, python_path=[ROOT]))
engine.start()
job_id = submit(engine, 8, seconds=1)
while not engine.tracker.get(job_id).progress.done:
    time.sleep(0.02)
print(job_id, flush=True)
time.sleep(600)
"""


@pytest.mark.slow
def test_after_a_crash_the_running_job_is_run_again_and_no_process_is_left(tmp_path: Path) -> None:
    crashing = subprocess.Popen(
        [sys.executable, "-c", CRASH, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    assert crashing.stdout is not None
    lines = iter(crashing.stdout.readline, "")
    job_id = next(line.strip() for line in lines if line.startswith("01"))
    children = psutil.Process(crashing.pid).children(recursive=True)
    assert len(children) >= 4
    crashing.kill()
    crashing.wait()
    crashing.stdout.close()
    _gone, alive = psutil.wait_procs(children, timeout=15)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
    compute = LocalCompute(2, tmp_path, python_path=[ROOT])
    with Engine(settings(tmp_path), pipelines=toys.pipelines(), compute=compute) as engine:
        job = ended(engine, job_id, 30)
        assert (job.state, job.epoch, job.attempt) == (JobState.SUCCESSFUL, 2, 1)
