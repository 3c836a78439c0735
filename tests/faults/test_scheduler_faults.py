"""The Dask scheduler dies and comes back, or does not, or cannot be reached for a while."""

from __future__ import annotations

import time

import pytest

from tests.faults import toy
from tests.faults.embedded import Embedded
from tests.faults.processes import end, eventually
from tests.faults.proxy import Proxy
from tests.faults.scaled import Scaled


def nearly_done(document: dict[str, object]) -> bool:
    return int(str(document["progress"])) >= 90


def test_scheduler_killed_at_ninety_percent_redoes_little(scaled: Scaled) -> None:
    """Row 14: kill -9 and restart on the same port; the finished parts are kept, nobody is blamed."""
    parts = 30
    job = scaled.client.submit(toy.body(tag="ninety", parts=parts, seconds=0.25))
    scaled.client.until(job, nearly_done)
    scaled.harm_workers()
    scaled.scheduler.kill()
    document = scaled.client.wait(job)
    assert (document["status"], document["attempt"]) == ("successful", 1)
    ran = [
        line["part"]
        for line in scaled.executions()
        if line["job"] == job and line["event"] == "start" and isinstance(line["part"], int)
    ]
    again = len(ran) - len(set(ran))
    print(f"{again} of {parts} parts ran again")  # noqa: T201
    assert again <= parts * 0.2
    scaled.wait_for_workers()
    lively = scaled.client.submit(toy.body(tag="lively", parts=4, seconds=1.0))
    inside = scaled.client.until(
        lively, lambda d: 0 < d["units"]["done"] < 10 * 4, 20
    )  # the topic is live again
    assert inside["units"]["done"] % 10, "progress inside parts is not told any more"
    assert scaled.client.wait(lively)["attempt"] == 1


def test_embedded_scheduler_killed(embedded: Embedded) -> None:
    """Row 14, embedded: the service starts both again by itself."""
    job = embedded.client.submit(toy.body(tag="scheduler", parts=10, seconds=0.3))
    embedded.running_part(job)
    embedded.harm_workers()
    end([embedded.scheduler()])
    document = embedded.client.wait(job)
    assert (document["status"], document["attempt"]) == ("successful", 1)


@pytest.mark.slow
@pytest.mark.faults
def test_scheduler_gone_for_good_costs_nobody_anything(scaled: Scaled) -> None:
    """Row 15: jobs wait, accepts go on, no attempt is burned; all end once it is back."""
    job = scaled.client.submit(toy.body(tag="gone", parts=10, seconds=0.3))
    scaled.running_part(job)
    scaled.harm_workers()
    scaled.scheduler.rest()
    more = [scaled.client.submit(toy.body(tag=f"meanwhile{n}")) for n in range(5)]
    time.sleep(15)
    for each in (job, *more):
        document = scaled.client.job(each)
        assert document["status"] in ("accepted", "running") and document["attempt"] <= 1, document
    scaled.scheduler.start()
    scaled.wait_for_workers(90)
    for each in (job, *more):
        assert scaled.client.wait(each)["attempt"] == 1


@pytest.mark.slow
@pytest.mark.faults
def test_a_partition_from_the_scheduler_heals(scaled: Scaled) -> None:
    """Row 16: bytes between a dispatcher and the scheduler are held for 15 s, with a job in the middle."""
    first, second = scaled.dispatchers
    second.rest()
    first.rest()
    host, port = scaled.address.removeprefix("tcp://").split(":")
    with Proxy((host, int(port))) as proxy:
        first.start(HAULIER_SCHEDULER=f"tcp://127.0.0.1:{proxy.port}")
        job = scaled.client.submit(toy.body(tag="partition", parts=20, seconds=0.3))
        scaled.running_part(job)
        proxy.hold()
        time.sleep(15)
        proxy.let_go()
        document = scaled.client.wait(job)
        assert (document["status"], document["attempt"]) == ("successful", 1)
        first.rest()
    eventually("the dispatcher gone", lambda: not first.alive)
