"""The Cluster protocol: the same behaviour in this process and on a real Dask cluster of two workers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.plan import Json, Plan
from service.cluster import (
    Cluster,
    DaskCluster,
    Failed,
    Finished,
    InlineCluster,
    Lost,
    Outcome,
    RunKey,
    Stage,
    Status,
)
from service.compute import LocalCompute
from service.model import Priority
from tests import toys

_numbers = iter(range(10**6))


def new_key() -> RunKey:
    return RunKey(f"01test{next(_numbers):06d}", 1)


@pytest.fixture(params=["inline", "dask"])
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    store_url = str(tmp_path / "store")
    if request.param == "inline":
        yield InlineCluster(store_url)
        return
    compute: LocalCompute = request.getfixturevalue("compute")
    connected = DaskCluster(lambda: compute.address, store_url)
    wait_for_workers(connected, 2)
    yield connected
    connected.close()


def wait_for_workers(cluster: Cluster, count: int, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not cluster.ready() or (cluster.poll() is not None and cluster.workers() != count):
        assert time.monotonic() < deadline, f"{cluster.workers()} workers"
        time.sleep(0.05)


def follow(cluster: Cluster, key: RunKey, seconds: float = 60) -> list[Status]:
    """Every distinct status until the stage ends; the last one has the outcome."""
    seen: list[Status] = []
    deadline = time.monotonic() + seconds
    while True:
        status = cluster.poll()[key]
        if not seen or status != seen[-1]:
            seen.append(status)
        if status.outcome is not None:
            return seen
        assert time.monotonic() < deadline, seen
        time.sleep(0.01)


def plan(cluster: Cluster, given: Json, key: RunKey) -> Outcome:
    cluster.plan(key, "report", toys.PLAN, given, Priority.INTERACTIVE)
    outcome = follow(cluster, key)[-1].outcome
    assert outcome is not None
    return outcome


def work(cluster: Cluster, given: Json, key: RunKey | None = None) -> list[Status]:
    key = key or new_key()
    cluster.start(key, "report", toys.plan_of(given), Priority.INTERACTIVE)
    seen = follow(cluster, key)
    cluster.forget(key)
    return seen


def numbers(outcome: Outcome | None) -> str:
    assert isinstance(outcome, Finished), outcome
    return str(outcome.value["name"])


def test_a_job_is_planned_then_worked_under_one_key(cluster: Cluster) -> None:
    key, given = new_key(), toys.spec(5)
    planned = plan(cluster, given, key)
    assert isinstance(planned, Finished)
    assert Plan.from_json(planned.value) == toys.plan_of(given)
    seen = work(cluster, given, key)
    assert seen[-1].stage is Stage.WORK
    assert numbers(seen[-1].outcome) == "0,1,2,3,4"
    assert key not in cluster.poll()


@pytest.mark.parametrize("parts", [0, 1, 2, 3, 4, 10, 28])
@pytest.mark.parametrize("combine", [True, False])
def test_partials_reach_finish_in_part_order(cluster: Cluster, parts: int, combine: bool) -> None:
    seen = work(cluster, toys.spec(parts, combine=combine))
    assert numbers(seen[-1].outcome) == ",".join(map(str, range(parts)))


def test_done_rises_and_ends_at_the_total(cluster: Cluster) -> None:
    seen = work(cluster, toys.spec(8, seconds=0.1))
    done = [status.done for status in seen]
    assert done == sorted(done)
    assert len(set(done)) >= 4
    assert max(done) <= toys.plan_of(toys.spec(8)).total
    assert "reading" in {status.phase for status in seen}


def test_an_error_meant_for_the_user_arrives_in_its_own_words(cluster: Cluster) -> None:
    outcome = work(cluster, toys.spec(fail="bad-input"))[-1].outcome
    assert isinstance(outcome, Failed)
    assert (outcome.error.code, outcome.error.detail) == (
        "bad-input",
        "Line 3 has 4 fields where 5 were expected.",
    )
    assert outcome.cause is None


@pytest.mark.parametrize(
    ("fail", "code", "help"),
    [("memory", "out-of-memory", "give each worker more"), ("disk", "no-space", "free some space")],
)
def test_a_machine_at_its_limits_is_named_with_what_to_do(
    cluster: Cluster, fail: str, code: str, help: str
) -> None:
    outcome = work(cluster, toys.spec(fail=fail))[-1].outcome
    assert isinstance(outcome, Failed)
    assert outcome.error.code == code
    assert help in outcome.error.detail
    assert outcome.cause is None


def test_a_run_goes_on_with_what_an_earlier_one_kept(cluster: Cluster, tmp_path: Path) -> None:
    log = tmp_path / "parts.log"
    given = toys.spec(6, seconds=0.1, keep="job/digest", log=str(log))
    assert numbers(work(cluster, given)[-1].outcome) == "0,1,2,3,4,5"
    assert len(log.read_text().splitlines()) == 6
    for n in (1, 4):
        (tmp_path / "store" / "kept" / "job" / "digest" / f"v1-{n}").write_bytes(b"torn")
    seen = work(cluster, given)
    assert numbers(seen[-1].outcome) == "0,1,2,3,4,5"
    assert seen[-1].done == 60
    assert sorted(line[-1] for line in log.read_text().splitlines()[6:]) == ["1", "4"]


def test_a_run_that_is_let_go_is_joined_by_who_starts_it_again(cluster: Cluster, tmp_path: Path) -> None:
    log, key = tmp_path / "parts.log", new_key()
    plan = toys.plan_of(toys.spec(6, seconds=0.3, log=str(log)))
    cluster.start(key, "report", plan, Priority.INTERACTIVE)
    deadline = time.monotonic() + 30
    while cluster.poll()[key].done < 20:
        assert time.monotonic() < deadline
    cluster.let_go(key)
    assert key not in cluster.poll()
    cluster.start(key, "report", plan, Priority.INTERACTIVE)
    assert numbers(follow(cluster, key)[-1].outcome) == "0,1,2,3,4,5"
    cluster.forget(key)
    assert sorted(line[-1] for line in log.read_text().splitlines()) == list("012345")


def test_a_cluster_says_which_scheduler_it_is(cluster: Cluster) -> None:
    identity = cluster.identity()
    assert identity
    assert cluster.identity() == identity


def test_an_error_nobody_foresaw_is_internal_and_keeps_its_cause_for_the_log(cluster: Cluster) -> None:
    outcome = work(cluster, toys.spec(fail="unexpected"))[-1].outcome
    assert isinstance(outcome, Failed)
    assert outcome.error.code == "internal"
    assert "secret" not in outcome.error.detail
    assert isinstance(outcome.cause, ZeroDivisionError)
    assert outcome.cause.__traceback__ is not None


def test_a_plan_that_fails_says_why(cluster: Cluster) -> None:
    outcome = plan(cluster, toys.spec(fail_plan="bad-input"), new_key())
    assert isinstance(outcome, Failed)
    assert outcome.error.code == "bad-input"


def test_a_canceled_run_is_gone_and_its_worker_free(cluster: Cluster, tmp_path: Path) -> None:
    key = new_key()
    cluster.start(key, "report", toys.plan_of(toys.spec(8, seconds=4)), Priority.BATCH)
    deadline = time.monotonic() + 1.5  # long enough for both workers to be busy with it
    while time.monotonic() < deadline:
        cluster.poll()
        if isinstance(cluster, InlineCluster):
            break
        time.sleep(0.05)
    started = time.monotonic()
    cluster.cancel(key)
    assert key not in cluster.poll()
    assert numbers(work(cluster, toys.spec(2))[-1].outcome) == "0,1"
    assert time.monotonic() - started < 2  # a part looks every 0.4 s here


def test_two_runs_progress_side_by_side(cluster: Cluster) -> None:
    first, second = new_key(), new_key()
    for key in (first, second):
        cluster.start(key, "report", toys.plan_of(toys.spec(3)), Priority.INTERACTIVE)
    assert {numbers(follow(cluster, key)[-1].outcome) for key in (first, second)} == {"0,1,2"}
    for key in (first, second):
        cluster.forget(key)
    assert cluster.poll() == {}


# --- only on Dask


@pytest.fixture
def on_dask(compute: LocalCompute, tmp_path: Path) -> Iterator[DaskCluster]:
    connected = DaskCluster(lambda: compute.address, str(tmp_path / "store"))
    wait_for_workers(connected, 2)
    yield connected
    connected.close()


def test_the_end_of_a_run_wakes_who_waits_for_it(on_dask: DaskCluster) -> None:
    woken = threading.Event()
    on_dask.notify(woken.set)
    key = new_key()
    on_dask.start(key, "report", toys.plan_of(toys.spec(2)), Priority.INTERACTIVE)
    assert woken.wait(10)
    assert follow(on_dask, key, 5)[-1].outcome is not None


def test_units_inside_a_part_count_before_it_ends(on_dask: DaskCluster) -> None:
    done = {status.done for status in work(on_dask, toys.spec(1, seconds=2, weight=1000))}
    assert len(done) >= 4


def test_nothing_stays_on_the_scheduler_after_forget(on_dask: DaskCluster, compute: LocalCompute) -> None:
    import distributed

    work(on_dask, toys.spec(4))
    with distributed.Client(compute.address, set_as_default=False) as client:
        deadline = time.monotonic() + 5
        while client.list_datasets() or client.run_on_scheduler(
            lambda dask_scheduler: len(dask_scheduler.tasks)
        ):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_interactive_work_passes_a_queue_of_batch_parts(on_dask: DaskCluster) -> None:
    batch = new_key()
    on_dask.start(batch, "report", toys.plan_of(toys.spec(60, seconds=0.3)), Priority.BATCH)
    time.sleep(0.5)
    started = time.monotonic()
    work(on_dask, toys.spec(2))
    assert time.monotonic() - started < 3  # behind the queue it would be about 9 s
    on_dask.cancel(batch)


def test_no_scheduler_means_lost_and_not_waiting(tmp_path: Path) -> None:
    cluster = DaskCluster("tcp://127.0.0.1:1", str(tmp_path), timeout=0.5)
    started = time.monotonic()
    assert not cluster.ready()
    key = new_key()
    cluster.start(key, "report", toys.plan_of(toys.spec(2)), Priority.INTERACTIVE)
    assert isinstance(cluster.poll()[key].outcome, Lost)
    assert time.monotonic() - started < 1
    assert cluster.workers() == 0
    assert cluster.identity() is None
    cluster.close()


def test_a_run_that_waits_for_its_turn_is_not_busy(on_dask: DaskCluster) -> None:
    first, second = new_key(), new_key()
    on_dask.start(first, "report", toys.plan_of(toys.spec(2, seconds=2)), Priority.INTERACTIVE)
    on_dask.start(second, "report", toys.plan_of(toys.spec(2, seconds=5)), Priority.INTERACTIVE)
    assert not on_dask._runs[first].busy
    time.sleep(1.2)  # a worker says what it does every half second
    statuses = on_dask.poll()
    assert (statuses[first].busy, statuses[second].busy) == (True, False)
    follow(on_dask, first)
    deadline = time.monotonic() + 3
    while not on_dask.poll()[second].busy:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for key in (first, second):
        on_dask.cancel(key)
