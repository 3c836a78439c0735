"""What DaskCluster tells of killed workers, killed schedulers, foreign workers. Real processes and kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from service.cluster import DaskCluster, Finished, Lost, Outcome, RunKey, Skewed, Struck
from service.compute import LocalCompute
from service.model import Priority
from tests import toys
from tests.conftest import ROOT

_numbers = iter(range(10**6))


@pytest.fixture(scope="module")
def own_compute(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCompute]:
    """Two workers for this module: what is killed here comes back."""
    with LocalCompute(2, tmp_path_factory.mktemp("faults"), python_path=[ROOT]) as started:
        yield started


@pytest.fixture
def cluster(own_compute: LocalCompute, tmp_path: Path) -> Iterator[DaskCluster]:
    connected = DaskCluster(lambda: own_compute.address, str(tmp_path / "store"))
    until(lambda: workers(connected) == 2, 60)
    yield connected
    until(lambda: workers(connected) == 2, 30)
    connected.close()


def until(true: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def workers(cluster: DaskCluster) -> int:
    cluster.ready()
    cluster.poll()
    return cluster.workers()


def start(cluster: DaskCluster, **spec: object) -> RunKey:
    key = RunKey(f"01fault{next(_numbers):05d}", 1)
    cluster.start(key, "report", toys.plan_of(toys.spec(**spec)), Priority.INTERACTIVE)
    return key


def end(cluster: DaskCluster, key: RunKey, seconds: float = 60) -> Outcome:
    until(lambda: cluster.poll()[key].outcome is not None, seconds)
    outcome = cluster.poll()[key].outcome
    cluster.forget(key)
    assert outcome is not None
    return outcome


def worker_processes(compute: LocalCompute) -> list[psutil.Process]:
    """The processes that compute: children of the process that nurses them."""
    found = psutil.Process(compute.pids["workers"]).children()
    return [process for process in found if "spawn_main" in " ".join(process.cmdline())]


def test_a_worker_killed_under_a_run_changes_nothing_but_the_time(
    cluster: DaskCluster, own_compute: LocalCompute
) -> None:
    key = start(cluster, parts=12, seconds=0.3)
    until(lambda: cluster.poll()[key].done >= 20, 30)
    worker_processes(own_compute)[0].kill()
    outcome = end(cluster, key)
    assert isinstance(outcome, Finished)
    assert outcome.value["name"] == ",".join(map(str, range(12)))
    until(lambda: workers(cluster) == 2, 30)


def test_a_part_that_keeps_killing_its_worker_strikes(cluster: DaskCluster) -> None:
    assert isinstance(end(cluster, start(cluster, parts=2, die=100)), Struck)
    until(lambda: workers(cluster) == 2, 30)


def test_a_killed_scheduler_loses_runs_and_comes_back_at_its_address(
    cluster: DaskCluster, own_compute: LocalCompute
) -> None:
    address = own_compute.address
    key = start(cluster, parts=8, seconds=30)
    time.sleep(0.5)
    os.kill(own_compute.pids["scheduler"], signal.SIGKILL)
    started = time.monotonic()
    assert isinstance(end(cluster, key, 15), Lost)
    assert time.monotonic() - started < 15
    until(lambda: workers(cluster) == 2, 30)
    assert own_compute.address == address
    seen = start(cluster, parts=2, seconds=1, weight=1000)
    done = set()
    while (status := cluster.poll()[seen]).outcome is None:
        done.add(status.done)
        time.sleep(0.05)
    assert isinstance(status.outcome, Finished)
    assert any(0 < units < 2000 and units % 1000 for units in done), "the topic is subscribed again"


def test_a_run_that_lost_its_scheduler_near_the_end_redoes_little(
    cluster: DaskCluster, own_compute: LocalCompute, tmp_path: Path
) -> None:
    log, plan = tmp_path / "parts.log", toys.spec(40, seconds=0.1, keep="job/plan")
    plan["log"] = str(log)
    first, second = (RunKey("01resume", epoch) for epoch in (1, 2))
    cluster.start(first, "report", toys.plan_of(plan), Priority.INTERACTIVE)
    until(lambda: cluster.poll()[first].done >= 360, 30)
    os.kill(own_compute.pids["scheduler"], signal.SIGKILL)
    assert isinstance(end(cluster, first, 15), Lost)
    until(lambda: workers(cluster) == 2, 30)
    before = len(log.read_text().splitlines())
    cluster.start(second, "report", toys.plan_of(plan), Priority.INTERACTIVE)
    outcome = end(cluster, second)
    assert isinstance(outcome, Finished)
    assert outcome.value["name"] == ",".join(map(str, range(40)))
    again = len(log.read_text().splitlines()) - before
    assert again <= 8, f"{again} of 40 parts after {before}"


@pytest.mark.parametrize("stalled", [1.0, pytest.param(5.0, marks=pytest.mark.slow)])
def test_a_scheduler_that_stalls_loses_nothing(
    cluster: DaskCluster, own_compute: LocalCompute, tmp_path: Path, stalled: float
) -> None:
    log = tmp_path / "parts.log"
    key, identity = start(cluster, parts=16, seconds=0.5, log=str(log)), cluster.identity()
    until(lambda: cluster.poll()[key].done >= 20, 30)
    scheduler = psutil.Process(own_compute.pids["scheduler"])
    scheduler.suspend()
    resumed = time.monotonic() + stalled
    while time.monotonic() < resumed:
        started = time.monotonic()
        assert cluster.poll()[key].outcome is None
        assert time.monotonic() - started < 3.5
        time.sleep(0.1)
    scheduler.resume()
    outcome = end(cluster, key, 30)
    assert isinstance(outcome, Finished), outcome
    assert outcome.value["name"] == ",".join(map(str, range(16)))
    assert len(log.read_text().splitlines()) == 16, "no part ran twice"
    assert cluster.identity() == identity


def test_a_client_that_has_just_closed_itself_loses_the_run_it_was_to_take(
    cluster: DaskCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = cluster._connection.client()
    with monkeypatch.context() as patch:
        patch.setattr(cluster._connection, "client", lambda: client)
        client.close()
        key = start(cluster, parts=2)
    assert isinstance(end(cluster, key, 5), Lost)
    until(lambda: workers(cluster) == 2, 30)
    assert isinstance(end(cluster, start(cluster, parts=2)), Finished)


def test_workers_ended_by_anyone_are_started_again(cluster: DaskCluster, own_compute: LocalCompute) -> None:
    os.kill(own_compute.pids["workers"], signal.SIGTERM)
    until(lambda: workers(cluster) < 2, 20)
    until(lambda: workers(cluster) == 2, 30)
    assert isinstance(end(cluster, start(cluster, parts=2)), Finished)


def test_cancel_stops_the_parts_that_run(cluster: DaskCluster, tmp_path: Path) -> None:
    key = start(cluster, parts=6, seconds=2)  # each looks every 0.2 s
    time.sleep(1)
    cluster.cancel(key)
    scratch = tmp_path / "store" / "scratch" / key.job_id / "1"
    until(lambda: scratch.exists() and len(list(scratch.iterdir())) == 2, 1)  # written on the way out
    started = time.monotonic()
    assert isinstance(end(cluster, start(cluster, parts=2)), Finished)
    assert time.monotonic() - started < 2


BARE_WORKER = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("pipelines", "service"):
            raise ModuleNotFoundError("No module named " + repr(name), name=name)
sys.meta_path.insert(0, Block())
from distributed.cli.dask_worker import main
main([sys.argv[1], "--host", "127.0.0.1", "--no-nanny", "--no-dashboard", "--nthreads", "1", *sys.argv[2:]])
"""


@contextmanager
def bare_scheduler_and_worker(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A Dask of somebody else's, reached by address, whose worker has never heard of this package."""
    file = folder / "scheduler.json"
    log = (folder / "bare.log").open("wb")
    call = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    call += ["--dashboard-address", "127.0.0.1:0", "--scheduler-file", str(file)]
    scheduler = subprocess.Popen(call, stdout=log, stderr=log)
    try:
        until(file.exists, 30)
        address = json.loads(file.read_text())["address"]
        call = [sys.executable, "-c", BARE_WORKER, address, "--local-directory", str(folder / "dask")]
        worker = subprocess.Popen(call, stdout=log, stderr=log)
        try:
            yield address, worker
        finally:
            worker.kill()
            worker.wait(10)
    finally:
        scheduler.kill()
        scheduler.wait(10)
        log.close()


def test_a_worker_without_the_package_survives_and_is_named_skewed(tmp_path: Path) -> None:
    with bare_scheduler_and_worker(tmp_path) as (address, worker):
        cluster = DaskCluster(address, str(tmp_path / "store"))
        until(lambda: workers(cluster) == 1, 60)
        outcome = end(cluster, start(cluster, parts=2))
        assert isinstance(outcome, Skewed), outcome
        assert "ModuleNotFoundError" in outcome.reason
        assert worker.poll() is None
        assert workers(cluster) == 1
        cluster.close()
