"""Why workers died: for want of memory, and under whose work. Judges what Dask calls a KilledWorker.

Dask suspects every task a dead worker was to do, also those that only waited there behind another. Each task
says when it begins (`pipelines.run`): who only waited is not to blame, that run counts as lost.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from service.cluster.outcomes import Lost, Struck

MEMORY_TOPIC = "worker-restart-memory"  # nannies say there whom they stop for using too much
_REMEMBERED = 60.0  # seconds
_WORKERS = 10_000  # whose last task is remembered


class Deaths:
    """`heard` and `begun` are called on the client's event loop, the rest by the cluster's one thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._memory: deque[tuple[float, str]] = deque(maxlen=1_000)
        self._begun: dict[str, str] = {}

    def heard(self, event: Any) -> None:
        """An event of `MEMORY_TOPIC`."""
        self._memory.append((self._clock(), str(event[1].get("worker"))))

    def begun(self, event: Any) -> None:
        """An event of `BEGUN_TOPIC`: what a worker is at from now on."""
        worker = str(event[1]["worker"])
        self._begun.pop(worker, None)
        self._begun[worker] = str(event[1]["task"])
        if len(self._begun) > _WORKERS:  # those that came first are long gone
            del self._begun[next(iter(self._begun))]

    def judge(self, error: Any) -> Struck | Lost:
        """What a KilledWorker means."""
        worker = str(error.last_worker.address)
        began = self._begun.get(worker)
        if began is not None and began != str(error.task):
            return Lost("its worker died under other work")
        since = self._clock() - _REMEMBERED
        return Struck(str(error), any(at >= since and who == worker for at, who in list(self._memory)))
