"""Adoption: whoever starts a run that another client began joins it. Two clients on one real scheduler."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from service.cluster import DaskCluster, Finished, RunKey
from service.compute import LocalCompute
from service.model import Priority
from tests import toys

_numbers = iter(range(10**6))
PARTS = 12

Connect = Callable[[], DaskCluster]


@pytest.fixture
def connect(compute: LocalCompute, tmp_path: Path) -> Iterator[Connect]:
    with ExitStack() as stack:

        def another() -> DaskCluster:
            cluster = DaskCluster(lambda: compute.address, str(tmp_path / "store"))
            stack.callback(cluster.close)
            until(lambda: cluster.ready() and bool(cluster.poll() or cluster.workers() == 2), 60)
            return cluster

        yield another


def until(true: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Work:
    """A run of twelve parts that write down when they begin."""

    def __init__(self, folder: Path, **more: object) -> None:
        self.log = folder / "parts.log"
        self.log.touch()
        self.key = RunKey(f"01adopt{next(_numbers):05d}", 1)
        self.plan = toys.plan_of(toys.spec(PARTS, seconds=0.3, log=str(self.log), **more))

    def start(self, cluster: DaskCluster) -> None:
        cluster.start(self.key, "report", self.plan, Priority.INTERACTIVE)

    def begun(self) -> list[int]:
        return [int(line.split()[-1]) for line in self.log.read_text().splitlines()]

    def ends_in(self, cluster: DaskCluster) -> None:
        """Finished, right, and no part ran twice."""
        until(lambda: cluster.poll()[self.key].outcome is not None)
        outcome = cluster.poll()[self.key].outcome
        cluster.forget(self.key)
        assert isinstance(outcome, Finished), outcome
        assert outcome.value["name"] == ",".join(map(str, range(PARTS)))
        assert sorted(self.begun()) == list(range(PARTS))


def nothing_is_left(cluster: DaskCluster) -> bool:
    client = cluster._connection.client()
    tasks = client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))
    return not client.list_datasets() and not tasks


def test_both_see_one_scheduler(connect: Connect) -> None:
    assert connect().identity() == connect().identity() is not None


@pytest.mark.parametrize("combine", [True, False])
@pytest.mark.parametrize("at", [0, 3, 9])
def test_a_run_let_go_by_one_is_joined_by_another(
    connect: Connect, tmp_path: Path, at: int, combine: bool
) -> None:
    first, second, work = connect(), connect(), Work(tmp_path, combine=combine)
    work.start(first)
    until(lambda: len(work.begun()) >= at)
    first.let_go(work.key)
    first.close()
    work.start(second)
    work.ends_in(second)
    until(lambda: nothing_is_left(second))


def test_units_are_seen_by_who_joined(connect: Connect, tmp_path: Path) -> None:
    first, second, work = connect(), connect(), Work(tmp_path)
    work.start(first)
    until(lambda: first.poll()[work.key].done >= 50)
    first.let_go(work.key)
    work.start(second)
    until(lambda: second.poll()[work.key].done >= 50, 2)
    work.ends_in(second)


HOLDER = """
import sys, time
from tests.contract.test_cluster_adopt import DaskCluster, Priority, RunKey, toys
import json
address, store, job, spec = sys.argv[1:]
cluster = DaskCluster(address, store)
while not cluster.ready():
    time.sleep(0.02)
cluster.start(RunKey(job, 1), "report", toys.plan_of(json.loads(spec)), Priority.INTERACTIVE)
print("started", flush=True)
while True:
    cluster.poll()
    time.sleep(0.05)
"""


def hold(work: Work, compute: LocalCompute, store: Path) -> subprocess.Popen[bytes]:
    """A process of its own that starts the run and holds it."""
    import json

    call = [sys.executable, "-c", HOLDER, compute.address, str(store), work.key.job_id]
    holder = subprocess.Popen([*call, json.dumps(work.plan.spec)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"started\n"
    return holder


def kill(holder: subprocess.Popen[bytes]) -> None:
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert holder.stdout is not None
    holder.stdout.close()


@pytest.mark.parametrize("at", [2, 7, PARTS])
def test_a_run_whose_holder_was_killed_is_joined(
    connect: Connect, compute: LocalCompute, tmp_path: Path, at: int
) -> None:
    second, work = connect(), Work(tmp_path)
    holder = hold(work, compute, tmp_path / "store")
    until(lambda: len(work.begun()) >= at)
    kill(holder)
    time.sleep(0.5)  # the scheduler has noticed
    work.start(second)
    work.ends_in(second)
    until(lambda: nothing_is_left(second))


@pytest.mark.parametrize("killed", [True, False])
def test_a_run_that_ended_unseen_is_joined_with_its_result(
    connect: Connect, compute: LocalCompute, tmp_path: Path, killed: bool
) -> None:
    second, work = connect(), Work(tmp_path)
    if killed:
        holder = hold(work, compute, tmp_path / "store")
        until(lambda: len(work.begun()) == PARTS)
        kill(holder)
    else:
        first = connect()
        work.start(first)
        until(lambda: len(work.begun()) == PARTS)
        first.let_go(work.key)
        first.close()
    time.sleep(2)  # finish is through
    started = time.monotonic()
    work.start(second)
    work.ends_in(second)
    assert time.monotonic() - started < 1
    until(lambda: nothing_is_left(second))


def test_a_holder_that_wakes_up_late_does_no_harm(
    connect: Connect, compute: LocalCompute, tmp_path: Path
) -> None:
    first, second, work = connect(), connect(), Work(tmp_path)
    work.start(first)
    until(lambda: len(work.begun()) >= 3)
    work.start(second)  # while the first still holds it
    first.let_go(work.key)
    work.ends_in(second)
    until(lambda: nothing_is_left(second))


def test_who_joined_can_cancel(connect: Connect, tmp_path: Path) -> None:
    first, second, work = connect(), connect(), Work(tmp_path)
    work.start(first)
    until(lambda: len(work.begun()) >= 2)
    work.start(second)
    second.cancel(work.key)
    until(lambda: nothing_is_left(second), 3)
    begun = len(work.begun())
    time.sleep(1)
    assert len(work.begun()) == begun
    first.let_go(work.key)
