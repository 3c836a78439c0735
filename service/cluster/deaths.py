"""Why workers died: for want of memory, and under whose work. Judges what Dask calls a KilledWorker.

Dask suspects every task a dead worker was to do, also those that only waited there behind another. Who waited
is not to blame: the run counts as lost.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from service.cluster.outcomes import Lost, Struck

MEMORY_TOPIC = "worker-restart-memory"  # nannies say there whom they stop for using too much
_REMEMBERED = 60.0  # seconds


class Deaths:
    """`heard` is called on the client's event loop, the rest by the cluster's one thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._memory: deque[tuple[float, str]] = deque(maxlen=1_000)

    def heard(self, event: Any) -> None:
        """An event of `MEMORY_TOPIC`."""
        self._memory.append((self._clock(), str(event[1].get("worker"))))

    def judge(self, error: Any, suspected: Callable[[list[Any]], list[Any]]) -> Struck | Lost:
        """What a KilledWorker means. `suspected` tells which of some tasks the scheduler suspects too."""
        task, worker = error.task, error.last_worker
        since = self._clock() - _REMEMBERED
        memory = any(at >= since and address == worker.address for at, address in list(self._memory))
        others = [key for key in worker.executing if key != task]
        # as of the worker's last heartbeat: of these, one that has ended since is not suspected
        if task not in worker.executing and others and suspected(others):
            return Lost(f"its worker died under other work: {others}")
        return Struck(str(error), memory)


def suspects() -> Callable[..., Any]:
    """What `run_on_scheduler` calls; travels by value."""

    def haulier_suspects(keys: list[Any], dask_scheduler: Any = None) -> list[Any]:
        tasks = dask_scheduler.tasks
        return [key for key in keys if key in tasks and tasks[key].suspicious > 0]

    return haulier_suspects
