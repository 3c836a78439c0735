"""Two ways to break the product on purpose. A harness that does not notice them proves nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def install(name: str) -> None:
    {"no-fence": no_fence, "torn-put": torn_put}[name]()


def no_fence() -> None:
    """Every write of a job counts, whoever holds the job by now: the epoch asked for is the row's own."""
    from service.tracker import Tracker

    leased: dict[str, int] = {}
    get, lease = Tracker.get, Tracker.lease

    class Everything(frozenset[Any]):
        def __contains__(self, value: object) -> bool:
            return True

    def remembered(self: Tracker, *args: Any, **named: Any) -> Any:
        jobs = lease(self, *args, **named)
        leased.update({job.id: job.epoch for job in jobs})
        return jobs

    def believed(self: Tracker, job_id: str) -> Any:
        job = get(self, job_id)
        epoch = leased.get(job_id)
        return job if job is None or epoch is None else dataclasses.replace(job, epoch=epoch)

    def unfenced(real: Any) -> Any:
        @functools.wraps(real)
        def write(self: Tracker, job_id: str, epoch: int, *args: Any, **named: Any) -> Any:
            job = get(self, job_id)
            return real(self, job_id, epoch if job is None else job.epoch, *args, **named)

        return write

    for name, method in list(vars(Tracker).items()):
        if inspect.isfunction(method) and list(inspect.signature(method).parameters)[1:3] == [
            "job_id",
            "epoch",
        ]:
            setattr(Tracker, name, unfenced(method))
    Tracker.lease = remembered  # type: ignore[method-assign]
    Tracker.get = believed  # type: ignore[method-assign]
    Tracker.renew = lambda self, owner, seconds: Everything()  # type: ignore[method-assign]


def torn_put() -> None:
    """A put writes under the final name at once, as a plain `open(path, "wb")` would."""
    from pipelines.store import Sink, Store

    @contextmanager
    def put(self: Store, key: str) -> Iterator[Sink]:
        path = self.path(key)
        with contextlib.suppress(FileExistsError):
            os.makedirs(os.path.dirname(path))
        with open(path, "wb") as file:
            yield Sink(file)

    Store.put = put  # type: ignore[method-assign]


def dask_setup(worker: object) -> None:
    """`dask worker --preload tests.faults.mutants`."""
    if name := os.environ.get("MUTANT"):
        install(name)
