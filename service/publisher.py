"""Publisher: makes outcomes visible and removes what runs left, on a few threads beside the dispatcher's.

What to publish and what to remove is each pipeline's own knowledge (`pipelines.registry`); when, is the
dispatcher's. Knows neither tracker nor cluster.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import structlog

from pipelines.plan import Artifact, Json
from pipelines.store import Store
from service.model import Job

if TYPE_CHECKING:
    from pipelines.registry import Pipeline

T = TypeVar("T")
log = structlog.get_logger()

_STRAGGLER = 2.0  # seconds after which a part that was told to stop cannot write any more


class Publisher:
    """A publication that waits for a slow store delays neither leases nor other jobs."""

    def __init__(
        self,
        store: Store,
        pipelines: Callable[[], Mapping[str, Pipeline]],
        wake: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._pipelines, self._wake, self._clock = store, pipelines, wake, clock
        self._litter: list[tuple[float, Job]] = []
        self._pool = ThreadPoolExecutor(4, "haulier-publish")

    def publish(self, job: Job, outcome: Json) -> Future[Artifact]:
        """Begin; `wake` is called at the end. The future raises what `publish` of the pipeline raises."""
        publish = self._pipelines()[job.kind].publish
        future = self._begin(partial(publish, self._store, job.id, job.run_epoch, job.spec, outcome))
        future.add_done_callback(lambda _: self._wake())
        return future

    def discard(self, job: Job) -> None:
        """Remove all that an ended job left: now, and once more when no part of it can write any more."""
        self._later(job)
        self._litter.append((self._clock() + _STRAGGLER, job))

    def sweep(self) -> None:
        """Do the second removals that are due."""
        now = self._clock()
        due = [job for at, job in self._litter if at <= now]
        self._litter = [each for each in self._litter if each[0] > now]
        for job in due:
            self._later(job)

    def close(self) -> None:
        """Wait for what is being published; what is discarded from now on goes at once."""
        self._pool.shutdown(wait=True)

    def _later(self, job: Job) -> None:
        self._begin(partial(self._remove, job))

    def _begin(self, work: Callable[[], T]) -> Future[T]:
        """On another thread; on this one once the pool is closed, by us or by an interpreter that is ending:
        that closes all pools before anybody can close us."""
        try:
            return self._pool.submit(work)
        except RuntimeError:
            done: Future[T] = Future()
        try:
            done.set_result(work())
        except Exception as error:
            done.set_exception(error)
        return done

    def _remove(self, job: Job) -> None:
        try:
            self._pipelines()[job.kind].discard(self._store, job.id, job.spec)
        except Exception:
            log.exception("could not remove what a run left", job_id=job.id, epoch=job.epoch)
