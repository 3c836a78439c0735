"""Cancels against ends and beginnings, and a wall clock that jumps."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults import toy
from tests.faults.embedded import Embedded
from tests.faults.history import Call
from tests.faults.site import Site, running


def race(site: Site, count: int, seed: int) -> list[tuple[str, Call, Call]]:
    """Submit, then two cancels at once after a time that may be before, in or after the run."""
    dice = random.Random(seed)

    def one(n: int) -> tuple[str, Call, Call]:
        job = site.client.submit(toy.body(tag=f"race{seed}-{n}", parts=1, seconds=0.05, keep=False))
        delay = dice.choice((0.0, dice.random() * 0.6, dice.random() * 2.5))  # machines may be busy
        barrier = threading.Barrier(2)

        def cancel(_: int) -> Call:
            barrier.wait()
            threading.Event().wait(delay)
            return site.client.cancel(job)

        with ThreadPoolExecutor(2) as pair:
            first, second = pair.map(cancel, range(2))
        return job, first, second

    with ThreadPoolExecutor(8) as threads:
        return list(threads.map(one, range(count)))


def judge(site: Site, raced: list[tuple[str, Call, Call]]) -> None:
    """One end each, and the answers to the cancels agree with it."""
    site.drain(30)
    rows, ends = {row["id"]: row for row in site.rows()}, set()
    for job, *calls in raced:
        state = rows[job]["state"]
        ends.add(state)
        for call in calls:
            if call.status == 200:
                assert state == "dismissed", (state, call.answer)
            elif call.status == 409:
                assert state == "successful", (state, call.answer)
            else:
                assert call.status == 202 and state in ("dismissed", "successful"), (state, call)
    assert ends == {"dismissed", "successful"}, f"no race: all ended {ends}"


def test_cancel_races_completion(either: Site) -> None:
    """Row 37, 40 on each database."""
    judge(either, race(either, 40, 1))


@pytest.mark.slow
@pytest.mark.faults
def test_cancel_races_completion_five_hundred_times(either: Site) -> None:
    """Row 37, as often as it should be."""
    judge(either, race(either, 500, 2))


def test_what_is_canceled_in_the_queue_never_starts(either: Site) -> None:
    """Rows 37 and I8: twenty jobs behind a long one, canceled while they wait: no part of them ever runs."""
    blockers = [
        either.client.submit(toy.body(tag=f"blocker{n}", parts=8, seconds=0.4), priority="interactive")
        for n in range(90)
    ]
    jobs = [either.client.submit(toy.body(tag=f"never{n}"), priority="batch") for n in range(20)]
    with ThreadPoolExecutor(8) as threads:
        calls = list(threads.map(either.client.cancel, jobs))
        list(threads.map(either.client.cancel, blockers))
    waiting = {str(call.job) for call in calls if call.status == 200 and call.answer["started"] is None}
    assert waiting, "all of them had been started"
    ran = {line["job"] for line in either.executions()}
    assert not waiting & ran


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.parametrize("jump", [86_400.0, -86_400.0], ids=["ahead", "back"])
def test_a_jump_of_the_wall_clock_expires_nothing(jump: float) -> None:
    """Row 36: a day ahead or back in mid-job: no lease expires, no age is negative, hints stay sane."""
    file = None

    def make() -> Embedded:
        nonlocal file
        site = Embedded()
        file = site.folder / "clock"
        site.server.env["CLOCK"] = str(file)
        return site

    with running(make) as site:
        site.start()
        site.wait_for_workers()
        job = site.client.submit(toy.body(tag="jump", parts=24, seconds=0.3))
        site.client.until(job, _begun)
        assert file is not None
        file.write_text(str(jump))
        queued = site.client.submit(toy.body(tag="after the jump"))
        seen = []
        for _ in range(60):
            threading.Event().wait(0.1)
            call = site.client.call("job", "GET", f"/api/jobs/{job}", job=job)
            seen.append(call)
        for call in seen:
            age, eta = call.answer["health"]["heartbeatAgeSeconds"], call.answer["eta"]
            assert age is None or 0 <= age < 60, age
            assert eta is None or 0 <= eta["seconds"] < 3600, eta
            assert 1 <= int(call.headers.get("retry-after", 1)) <= 30
        for each in (job, queued):
            document = site.client.wait(each)
            assert (document["status"], document["attempt"]) == ("successful", 1)
        assert site.row(job)["epoch"] == 1, "its lease expired"


_begun: Callable[[dict[str, object]], bool] = lambda document: document["status"] == "running"  # noqa: E731
