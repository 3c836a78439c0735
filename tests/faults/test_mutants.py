"""The harness must notice what it is for: two deliberate faults, each in the row that finds it."""

from __future__ import annotations

import time

import pytest

from tests.faults import toy
from tests.faults.scaled import Scaled
from tests.faults.site import running
from tests.faults.test_worker_faults import freeze_in_the_last_step


def freeze_a_dispatcher_with_a_cluster_of_its_own(site: Scaled) -> None:
    """Row 10, hardest case: the frozen dispatcher's workers go on and finish under its stale epoch."""
    first, second = site.dispatchers
    job = site.client.submit(toy.body(tag="two clusters", parts=4, seconds=0.3, keep=False))
    site.running_part(job)
    first.stop()
    second.start()
    site.client.until(job, lambda document: site.row(job)["epoch"] > 1, 60)
    site.running_part(job, 0)  # of the second run, which is slowed below: the first to end must not count
    first.wake()
    site.client.wait(job)
    time.sleep(1)


def _twins(**settings: str) -> Scaled:
    site = Scaled(own_clusters=True, dispatchers=2, workers=0, HAULIER_WORKERS="1", **settings)
    for node in (*site.schedulers, *site.servers, site.dispatchers[0]):
        node.start()
    return site


@pytest.mark.slow
@pytest.mark.faults
def test_with_its_fence_a_stale_dispatcher_publishes_nothing() -> None:
    """Row 10 with two clusters."""
    with running(_twins) as site:
        freeze_a_dispatcher_with_a_cluster_of_its_own(site)


@pytest.mark.slow
@pytest.mark.faults
def test_without_the_fence_the_checker_finds_it() -> None:
    """Mutant a: every write counts, whoever holds the job."""

    def mutant() -> None:
        with running(lambda: _twins(MUTANT="no-fence")) as site:
            freeze_a_dispatcher_with_a_cluster_of_its_own(site)

    with pytest.raises(AssertionError, match=r"I[345]: "):
        mutant()


@pytest.mark.slow
@pytest.mark.faults
def test_with_a_torn_publish_the_checker_finds_it() -> None:
    """Mutant b: results are written under their final name; whoever reads meanwhile gets half of one."""

    def mutant() -> None:
        site: Scaled
        with running(lambda: Scaled(nanny=False, preload="tests.faults.mutants", MUTANT="torn-put")) as site:
            site.start()
            freeze_in_the_last_step(site)

    with pytest.raises(AssertionError, match=r"I(6|13): "):
        mutant()
