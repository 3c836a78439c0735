"""Dispatchers that die, freeze, meet each other or crash at each step of their way."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter

import pytest

from tests.faults import toy
from tests.faults.embedded import Embedded
from tests.faults.failpoints import AT_DISPATCHER
from tests.faults.processes import Node
from tests.faults.scaled import Scaled
from tests.faults.site import LAUNCH, LEASE


def half_done(document: dict[str, object]) -> bool:
    return int(str(document["progress"])) >= 50


def begun(site: Scaled, job: str) -> list[int | str]:
    """Parts (and "finish") that were begun; combines have no names of their own."""
    lines = [line for line in site.executions() if line["job"] == job and line["event"] == "start"]
    return [line["part"] for line in lines if line["part"] != "combine"]


def test_service_killed_with_two_running_and_twenty_queued(embedded: Embedded) -> None:
    """Row 9, SQLite: kill -9 of everything at once; all 22 end, none is blamed."""
    long = [embedded.client.submit(toy.body(tag=f"long{n}", parts=8, seconds=0.3)) for n in range(2)]
    for job in long:
        embedded.running_part(job)
    short = [embedded.client.submit(toy.body(tag=f"short{n}", parts=1, seconds=0.05)) for n in range(20)]
    embedded.crash()
    embedded.start()
    for job in long + short:
        document = embedded.client.wait(job)
        assert (document["status"], document["attempt"]) == ("successful", 1)


def test_a_dead_dispatchers_work_is_adopted(scaled: Scaled) -> None:
    """Row 9, external scheduler: at 50 % the only dispatcher is killed; attempt 1, and no part runs twice."""
    first, second = scaled.dispatchers
    second.rest()
    long = scaled.client.submit(toy.body(tag="adopted", parts=24, seconds=0.3))
    queued = [scaled.client.submit(toy.body(tag=f"queued{n}", parts=1, seconds=0.05)) for n in range(20)]
    scaled.client.until(long, half_done)
    first.kill()
    second.start()
    for job in (long, *queued):
        document = scaled.client.wait(job)
        assert (document["status"], document["attempt"]) == ("successful", 1)
    ran = begun(scaled, long)
    assert len(ran) == len(set(ran)) == 24 + 1  # the parts and the finish
    row = scaled.row(long)
    assert row["run_epoch"] < row["epoch"], "it was started again, not adopted"


def test_a_dispatcher_told_to_leave_hands_its_work_over(scaled: Scaled) -> None:
    """SIGTERM with an external scheduler: the next adopts at once, nothing runs twice, nobody is blamed."""
    first, second = scaled.dispatchers
    second.rest()
    job = scaled.client.submit(toy.body(tag="handed", parts=20, seconds=0.3))
    scaled.client.until(job, half_done)
    first.signal(signal.SIGTERM)
    assert first.wait(20) == 0
    second.start()
    document = scaled.client.wait(job)
    assert (document["status"], document["attempt"]) == ("successful", 1)
    ran = begun(scaled, job)
    assert len(ran) == len(set(ran))


def test_a_frozen_dispatcher_wakes_as_a_stranger(scaled: Scaled) -> None:
    """Row 10, PostgreSQL: SIGSTOP past its lease, another takes over, CONT: its writes hit nothing."""
    first, second = scaled.dispatchers
    second.rest()
    jobs = [scaled.client.submit(toy.body(tag=f"frozen{n}", parts=10, seconds=0.3)) for n in range(3)]
    scaled.client.until(jobs[0], half_done)
    first.stop()
    second.start()
    documents = [scaled.client.wait(jobs[0])]
    first.wake()
    documents += [scaled.client.wait(job) for job in jobs[1:]]
    assert [(each["status"], each["attempt"]) for each in documents] == [("successful", 1)] * 3
    time.sleep(LEASE / 2)  # a late write would come now; the checker looks for it
    job = scaled.client.submit(toy.body(tag="after the thaw"))
    assert scaled.client.wait(job)["status"] == "successful"


@pytest.mark.slow
@pytest.mark.faults
def test_a_second_service_on_a_home_is_kept_out(embedded: Embedded) -> None:
    """Rows 10, 11 and 29, SQLite: refused in words, also while the first is frozen; nothing is harmed."""
    job = embedded.client.submit(toy.body(tag="one home", parts=6, seconds=0.3))
    embedded.running_part(job)
    embedded.app().suspend()
    refused = subprocess.run(
        [*LAUNCH, "serve", "--port", "0"], env=embedded.env, capture_output=True, text=True, timeout=30
    )
    embedded.app().resume()
    assert refused.returncode != 0 and "in use" in refused.stderr, refused
    alone = subprocess.run(
        [*LAUNCH, "dispatch"], env=embedded.env, capture_output=True, text=True, timeout=30
    )
    assert alone.returncode == 2 and "SQLite" in alone.stderr, alone
    assert embedded.client.wait(job)["status"] == "successful"


@pytest.mark.slow
@pytest.mark.faults
def test_two_dispatchers_share_three_hundred_jobs(scaled: Scaled) -> None:
    """Row 11: each (job, epoch) is taken once; both work. The checker compares every event."""
    began = time.monotonic()
    jobs = [
        scaled.client.submit(toy.body(tag=f"many{n}", parts=1, seconds=0, keep=False)) for n in range(300)
    ]
    scaled.drain(120)
    print(f"300 jobs in {time.monotonic() - began:.1f} s")  # noqa: T201
    rows = {row["id"]: row for row in scaled.rows()}
    assert {rows[job]["state"] for job in jobs} == {"successful"}
    taken = Counter(event["job_id"] for event in scaled.events() if event["name"] in ("started", "adopted"))
    assert {job: taken[job] for job in jobs} == {job: rows[job]["epoch"] for job in jobs}
    # a busy machine may hold a dispatcher up for longer than its lease of three seconds
    assert sum(rows[job]["epoch"] == 1 for job in jobs) > 250


@pytest.mark.slow
@pytest.mark.faults
def test_a_crash_at_each_point_of_the_way(scaled: Scaled) -> None:
    """Row 12: one dispatcher for each point dies there; one more does what all of them left."""
    for node in scaled.dispatchers:
        node.rest()
    doomed = {
        point: Node(f"dies-{point}", [*LAUNCH, "dispatch"], {**scaled.env, "FAILPOINT": point}, scaled.logs)
        for point in AT_DISPATCHER
    }
    scaled.nodes += doomed.values()
    count = 0
    waiting = list(doomed.items())
    while waiting:
        for _, node in waiting[:3]:  # a few at a time: they get in each other's way, and that is wanted
            if node.code is None:
                node.start()
        deadline = time.monotonic() + 60
        while not [node for _, node in waiting[:3] if not node.alive]:
            assert time.monotonic() < deadline, [(p, node.text()[-1000:]) for p, node in waiting[:3]]
            if _active(scaled) < 4:
                count += 1
                scaled.client.submit(toy.body(tag=f"crash{count}", parts=3, seconds=0.1, keep=False))
                if count % 4 == 1:
                    scaled.client.import_file(f"crash{count}x{os.getpid()}", "a.csv", b"id,x\n1,2\n2,3\n")
            time.sleep(0.05)
        waiting = [(point, node) for point, node in waiting if node.code is None]
    assert {point: node.code for point, node in doomed.items()} == dict.fromkeys(doomed, 137)
    scaled.dispatchers[0].start()
    scaled.drain(60)
    rows = scaled.rows()
    assert all(row["state"] == "successful" and row["strikes"] == 0 for row in rows if _of_crash(row))


_ALSO = [pytest.param(point, marks=[pytest.mark.slow, pytest.mark.faults]) for point in AT_DISPATCHER[:-1]]


@pytest.mark.parametrize("point", [*_ALSO, AT_DISPATCHER[-1]])
def test_an_embedded_service_crashes_and_starts_again(embedded: Embedded, point: str) -> None:
    """Row 12, SQLite."""
    embedded.terminate()
    embedded.start(FAILPOINT=point)
    job = embedded.client.submit(toy.body(tag=point, parts=4, seconds=0.2))
    embedded.gone(30)
    embedded.harmed |= {line["pid"] for line in embedded.executions()}
    embedded.start()
    document = embedded.client.wait(job)
    assert (document["status"], document["attempt"]) == ("successful", 1)


@pytest.mark.slow
@pytest.mark.faults
def test_a_locked_database_starts_no_storm(embedded: Embedded) -> None:
    """Row 13: somebody else holds the SQLite file's lock for 10 s; answers may fail, nothing is lost."""
    import sqlite3

    job = embedded.client.submit(toy.body(tag="locked", parts=30, seconds=0.3))
    embedded.running_part(job)
    other = sqlite3.connect(embedded.home / "haulier.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    time.sleep(10)
    during = embedded.client.submit_once(toy.body(tag="during"), "during-the-lock")
    other.execute("ROLLBACK")
    other.close()
    assert during.status in (0, 202, 503)
    assert embedded.client.submit(toy.body(tag="during"), key="during-the-lock")
    document = embedded.client.wait(job)
    assert (document["status"], document["attempt"]) == ("successful", 1)


def _active(site: Scaled) -> int:
    where = "state NOT IN ('successful', 'failed', 'dismissed')"
    return int(site.query(f"SELECT count(*) AS n FROM job WHERE {where}")[0]["n"])


def _of_crash(row: dict[str, object]) -> bool:
    return "crash" in str(row["parameters"])
