"""A canceled run stops though a part of it does not: real workers that hang, are restarted, and are back."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from service.cluster import DaskCluster, Finished, Lost, Outcome, RunKey, Struck
from service.compute import LocalCompute
from service.model import Priority
from tests import toys
from tests.conftest import ROOT

_numbers = iter(range(10**6))


@pytest.fixture(scope="module")
def own_compute(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCompute]:
    """Two workers for this module: those that are killed here come back."""
    with LocalCompute(2, tmp_path_factory.mktemp("stop"), python_path=[ROOT]) as started:
        yield started


@pytest.fixture
def cluster(own_compute: LocalCompute, tmp_path: Path) -> Iterator[DaskCluster]:
    connected = DaskCluster(lambda: own_compute.address, str(tmp_path / "store"))
    until(lambda: workers(connected) == 2, 60)
    yield connected
    connected.close()


def until(true: Callable[[], bool], seconds: float) -> float:
    """Wait; how long it took."""
    started = time.monotonic()
    while not true():
        assert time.monotonic() - started < seconds
        time.sleep(0.02)
    return time.monotonic() - started


def workers(cluster: DaskCluster) -> int:
    cluster.ready()
    cluster.poll()
    return cluster.workers()


def start(cluster: DaskCluster, priority: Priority = Priority.INTERACTIVE, **spec: object) -> RunKey:
    key = RunKey(f"01stop{next(_numbers):06d}", 1)
    cluster.start(key, "report", toys.plan_of(toys.spec(**spec)), priority)
    return key


def end(cluster: DaskCluster, key: RunKey, seconds: float = 60) -> Outcome:
    until(lambda: cluster.poll()[key].outcome is not None, seconds)
    outcome = cluster.poll()[key].outcome
    cluster.forget(key)
    assert outcome is not None
    return outcome


def processes(compute: LocalCompute) -> set[int]:
    """The processes that compute: children of the process that nurses them."""
    found = set()
    for process in psutil.Process(compute.pids["workers"]).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # or dead and not yet buried
            if "spawn_main" in " ".join(process.cmdline()):
                found.add(process.pid)
    return found


@pytest.mark.parametrize("hang", [pytest.param("sleep", marks=pytest.mark.slow), "gil"])
def test_a_part_that_hangs_in_c_is_ended_with_its_process(
    cluster: DaskCluster, own_compute: LocalCompute, tmp_path: Path, hang: str
) -> None:
    log = tmp_path / "parts.log"
    key = start(cluster, parts=1, hang=hang, log=str(log))
    until(log.exists, 10)
    time.sleep(0.3)
    before = processes(own_compute)
    started = time.monotonic()
    cluster.cancel(key)
    assert time.monotonic() - started < 1, "the dispatcher's thread does not wait"
    until(lambda: len(processes(own_compute) & before) == 1, 4)
    assert isinstance(end(cluster, start(cluster, parts=1), 10), Finished)  # the other worker is free anyway
    until(lambda: workers(cluster) == 2, 30)
    both = [start(cluster, parts=1, seconds=5) for _ in range(2)]
    began = time.monotonic()
    assert all(isinstance(end(cluster, each), Finished) for each in both)
    assert time.monotonic() - began < 9.5, "both workers take work"


@pytest.mark.slow
def test_both_workers_hang_and_the_next_job_begins_soon(cluster: DaskCluster, tmp_path: Path) -> None:
    waits = []
    for n in range(3):
        log = tmp_path / f"parts{n}.log"
        hung = [start(cluster, parts=1, hang="sleep", log=str(log)) for _ in range(2)]
        until(lambda log=log: log.exists() and len(log.read_text().split("\n")) == 3, 20)  # type: ignore[misc]
        for key in hung:
            cluster.cancel(key)
        started = time.monotonic()
        assert isinstance(end(cluster, start(cluster, parts=1), 15), Finished)
        waits.append(time.monotonic() - started)
    assert statistics.median(waits) < 30


def test_a_part_that_listens_costs_no_worker(
    cluster: DaskCluster, own_compute: LocalCompute, tmp_path: Path
) -> None:
    before, waits = processes(own_compute), []
    for n in range(5):
        log = tmp_path / f"parts{n}.log"
        key = start(cluster, parts=4, seconds=2, log=str(log))  # looks every 0.2 s
        until(lambda log=log: log.exists() and len(log.read_text().split("\n")) == 3, 10)  # type: ignore[misc]
        cluster.cancel(key)
        started = time.monotonic()
        both = [start(cluster, parts=1) for _ in range(2)]
        assert all(isinstance(end(cluster, each), Finished) for each in both)
        waits.append(time.monotonic() - started)
    time.sleep(1.5)
    assert processes(own_compute) == before
    assert max(waits) < 20


@pytest.mark.slow
def test_other_work_of_a_restarted_worker_moves_without_blame(cluster: DaskCluster, tmp_path: Path) -> None:
    """What waits behind a part that hangs is sent elsewhere, any number of times."""
    other = start(cluster, Priority.BATCH, parts=40, seconds=0.25)
    for n in range(3):
        log = tmp_path / f"parts{n}.log"
        key = start(cluster, parts=1, hang="sleep", log=str(log))
        until(log.exists, 20)
        time.sleep(0.5)
        cluster.cancel(key)
        time.sleep(2)
        assert cluster.poll()[other].outcome is None or isinstance(cluster.poll()[other].outcome, Finished)
    assert isinstance(end(cluster, other), Finished)


def test_a_plan_that_hangs_is_ended_too(
    cluster: DaskCluster, own_compute: LocalCompute, tmp_path: Path
) -> None:
    key = RunKey(f"01stop{next(_numbers):06d}", 1)
    cluster.plan(key, "report", "tests.toys:make_plan", toys.spec(hang_plan="sleep"), Priority.INTERACTIVE)
    time.sleep(1)
    before = processes(own_compute)
    cluster.cancel(key)
    until(lambda: len(processes(own_compute) & before) == 1, 4)


# --- who is to blame for a death


def test_a_job_that_eats_its_memory_is_struck_and_says_so(tmp_path: Path) -> None:
    with LocalCompute(2, tmp_path / "home", memory=0.1, python_path=[ROOT]) as compute:
        cluster = DaskCluster(lambda: compute.address, str(tmp_path / "store"))
        until(lambda: workers(cluster) == 2, 60)
        limit = int(psutil.virtual_memory().total * 0.1 / 2)
        outcome = end(cluster, start(cluster, parts=1, eat=int(limit * 1.2)), 90)
        assert isinstance(outcome, Struck), outcome
        assert outcome.memory
        cluster.close()


def test_a_job_whose_workers_just_die_is_struck_without_that(cluster: DaskCluster) -> None:
    outcome = end(cluster, start(cluster, parts=1, die=100))
    assert isinstance(outcome, Struck), outcome
    assert not outcome.memory


@pytest.mark.slow
def test_who_waits_behind_a_killer_is_not_to_blame(cluster: DaskCluster) -> None:
    """Its parts are on the workers that die, and Dask suspects them as well."""
    innocent = start(cluster, parts=60, seconds=0.3)
    killers = [start(cluster, parts=1, die=100, die_after=1.0) for _ in range(3)]
    ends = [end(cluster, key) for key in killers]
    assert any(isinstance(outcome, Struck) for outcome in ends), ends
    assert isinstance(end(cluster, innocent), Finished | Lost)
