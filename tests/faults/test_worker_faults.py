"""Workers that are killed, told to leave, frozen or hung, and jobs that kill them."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator

import psutil
import pytest

from tests.faults import toy
from tests.faults.embedded import Embedded
from tests.faults.processes import eventually, is_running
from tests.faults.scaled import WORKER_TTL, Scaled
from tests.faults.site import Site, running, sound


def test_a_killed_worker_costs_its_part_only(either: Site) -> None:
    """Row 17: the job goes on elsewhere within the lease; attempt 1; other parts run once."""
    job = either.client.submit(toy.body(tag=f"killed{time.monotonic()}", parts=12, seconds=0.3))
    eventually("some parts done", lambda: len(_ends(either, job)) >= 4)
    victim = either.running_part(job)
    either.harmed.add(victim["pid"])
    began = time.monotonic()
    psutil.Process(victim["pid"]).kill()
    eventually("another part begun", lambda: _starts_after(either, job, began), 3 + 0.5 + 2)
    document = either.client.wait(job)
    assert (document["status"], document["attempt"]) == ("successful", 1)
    again = [line for line in either.executions() if line["job"] == job and line["event"] == "start"]
    assert len(again) <= 12 + 1 + 12 // 2, "more than the dead worker had was done again"


@pytest.mark.parametrize(
    "how",
    [
        "exit",
        pytest.param("segv", marks=[pytest.mark.slow, pytest.mark.faults]),
        pytest.param("kill", marks=[pytest.mark.slow, pytest.mark.faults]),
    ],
)
def test_a_poison_job_is_stopped_and_blamed_alone(scaled: Scaled, how: str) -> None:
    """Row 18: two strikes of two deaths each, then failed; neighbours end well in their first attempt."""
    poison = scaled.client.submit(toy.body(tag=f"poison-{how}", parts=2, seconds=0.1, die=how))
    neighbours = [
        scaled.client.submit(toy.body(tag=f"beside-{how}{n}", parts=6, seconds=0.3)) for n in range(2)
    ]
    document = scaled.client.wait(poison, 90)
    assert document["status"] == "failed"
    assert document["error"]["code"] in ("worker-killed", "attempts-exhausted"), document["error"]
    for job in neighbours:
        beside = scaled.client.wait(job, 90)
        assert (beside["status"], beside["attempt"]) == ("successful", 1)
    deaths = {line["pid"] for line in _starts(scaled, poison) if line["part"] == 0}
    assert len(deaths) <= 4


def test_a_worker_told_to_leave_is_nobodys_fault(scaled: Scaled) -> None:
    """Row 19: SIGTERM to `dask worker` in mid-job: the job ends well, no attempt is charged."""
    job = scaled.client.submit(toy.body(tag="sigterm", parts=12, seconds=0.3))
    victim = scaled.running_part(job)
    nanny = next(n for n in scaled.nannies if victim["pid"] in {p.pid for p in n.family()})
    scaled.harmed.add(victim["pid"])
    nanny.signal(signal.SIGTERM)
    document = scaled.client.wait(job)
    assert (document["status"], document["attempt"]) == ("successful", 1)


@pytest.mark.parametrize(
    "nanny",
    [True, False],
    ids=["nanny", "no-nanny"],
)
@pytest.mark.slow
@pytest.mark.faults
def test_a_frozen_worker_wakes_too_late(request: pytest.FixtureRequest, nanny: bool) -> None:
    """Row 20: SIGSTOP past worker-ttl in the last step, done again elsewhere, CONT: the bytes stay right.

    A nanny ends its frozen worker; one without a nanny wakes and writes its result over the winner's.
    """
    if nanny:
        freeze_in_the_last_step(request.getfixturevalue("scaled"))
        return
    with running(lambda: Scaled(nanny=False)) as site:
        site.start()
        freeze_in_the_last_step(site)


def freeze_in_the_last_step(site: Scaled) -> None:
    asked = {"tag": "zombie", "parts": 2, "finish_seconds": 1.0, "write_seconds": 2.0, "bytes": 100_000}
    job = site.client.submit(toy.body(**asked))
    victim = site.running_part(job, "finish")
    site.harmed.add(victim["pid"])
    frozen = psutil.Process(victim["pid"])
    frozen.suspend()
    document = site.client.wait(job, 3 * WORKER_TTL + 10)
    with contextlib.suppress(psutil.NoSuchProcess):
        frozen.resume()
    assert (document["status"], document["attempt"]) == ("successful", 1)
    downloads(site, job, 4.0)


def downloads(site: Site, job: str, seconds: float) -> None:
    """Look at the result again and again: whole each time, for no server is hurt here."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        call = site.client.download(job)
        assert call.status == 200, f"I6: a download of a finished job broke: {call.status} {call.error}"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def strict() -> Iterator[Embedded]:
    """A service that gives a run 4 seconds."""
    with running(lambda: Embedded(HAULIER_JOB_SECONDS="4")) as site:
        site.start()
        site.wait_for_workers()
        yield site


@pytest.mark.parametrize(
    "how",
    [
        pytest.param("python", marks=[pytest.mark.slow, pytest.mark.faults]),
        "gil",
        pytest.param("sleep", marks=[pytest.mark.slow, pytest.mark.faults]),
    ],
)
def test_a_hung_job_ends_at_its_deadline(strict: Embedded, how: str) -> None:
    """Row 22: failed with `timeout`, and the slots of both workers are free within seconds."""
    began = time.monotonic()
    job = strict.client.submit(toy.body(tag=f"hung-{how}", parts=1, hang=how, keep=False))
    document = strict.client.wait(job, 30)
    assert (document["status"], document["error"]["code"]) == ("failed", "timeout"), document["error"]
    assert time.monotonic() - began < 4 + 4
    after = [strict.client.submit(toy.body(tag=f"after-{how}{n}", parts=4, seconds=0.1)) for n in range(2)]
    for each in after:
        assert strict.client.wait(each, 10)["status"] == "successful"
    assert {line["pid"] for line in _starts(strict, after[0])}


def test_a_cancel_of_a_hung_job_frees_its_slot(scaled: Scaled) -> None:
    """Cancel of a part that looks at nothing: Canceled at once, its process gone, the slot free in 2 s."""
    job = scaled.client.submit(toy.body(tag="hung", parts=2, hang="gil", keep=False))
    victim = scaled.running_part(job, 0)
    began = time.monotonic()
    scaled.harmed.add(victim["pid"])
    scaled.client.cancel(job)
    assert scaled.client.wait(job, 5)["status"] == "dismissed"
    assert time.monotonic() - began < 2
    worker = psutil.Process(victim["pid"]) if psutil.pid_exists(victim["pid"]) else None
    eventually("the hung process gone", lambda: worker is None or not is_running(worker), 4)
    eventually("both workers back", lambda: scaled.registered() == 2, 15)
    assert scaled.client.wait(scaled.client.submit(toy.body(tag="next")), 10)["status"] == "successful"


@pytest.mark.slow
@pytest.mark.faults
def test_a_memory_hog_is_told_so(scaled: Scaled) -> None:
    """Row 21: past its limit the nanny ends the worker; the error says memory; neighbours are not charged."""
    job = scaled.client.submit(toy.body(tag="hog", parts=1, hog=3 << 30, keep=False))
    document = scaled.client.wait(job, 120)
    assert (document["status"], document["error"]["code"]) == ("failed", "out-of-memory"), document["error"]
    assert scaled.client.wait(scaled.client.submit(toy.body(tag="small")), 30)["attempt"] == 1


@pytest.mark.slow
@pytest.mark.faults
def test_a_worker_does_not_outlive_its_nanny(scaled: Scaled) -> None:
    """Row 23: kill -9 of the nanny; its worker goes too, the job ends elsewhere."""
    job = scaled.client.submit(toy.body(tag="nanny", parts=20, seconds=0.3))
    victim = scaled.running_part(job)
    nanny = next(n for n in scaled.nannies if victim["pid"] in {p.pid for p in n.family()})
    worker = psutil.Process(victim["pid"])
    scaled.harmed.add(victim["pid"])
    nanny.kill()
    eventually("the orphan's end", lambda: not is_running(worker), 20)
    document = scaled.client.wait(job, 90)
    assert (document["status"], document["attempt"]) == ("successful", 1)
    sound(scaled)


def _starts(site: Site, job: str) -> list[dict[str, object]]:
    return [line for line in site.executions() if line["job"] == job and line["event"] == "start"]


def _ends(site: Site, job: str) -> list[dict[str, object]]:
    return [line for line in site.executions() if line["job"] == job and line["event"] == "end"]


def _starts_after(site: Site, job: str, moment: float) -> bool:
    with contextlib.suppress(ValueError):
        return any(float(str(line["at"])) > moment for line in _starts(site, job))
    return False
