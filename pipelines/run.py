"""How a task enters this package on a worker, reports progress and learns that it was canceled.

The one place in `pipelines` that talks to Dask. `run` is called through the dispatcher's by-value trampoline,
so a worker that lacks this package raises an ordinary ModuleNotFoundError instead of dying.
"""

from __future__ import annotations

import contextlib
import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pipelines import kept
from pipelines.errors import Canceled
from pipelines.plan import Json
from pipelines.store import Store, open_store

TOPIC = "haulier"
BEGUN_TOPIC = "haulier-begun"
_HEARD_WITHIN = 5.0  # seconds a scheduler may take to hear that a task begins
_REPORT_EVERY = 0.25  # seconds between two progress events of one task


@dataclass
class Context:
    """What an entry may know of its job: where bytes live, whom to tell, whether to go on.

    `part` is the index of the part (None in plan, combine and finish), `keep` the name its partial is kept
    under, if it is, `bucket` what a combine has to put together (None: all). `slots()` is how many parts
    could be worked on at once right now, this task's own place included. Not thread-safe: one a task.
    """

    job_id: str
    epoch: int
    store_url: str
    part: int | None = None
    keep: str | None = None
    bucket: int | None = None
    send: Callable[[Json], None] = field(default=lambda event: None, repr=False)
    canceled: Callable[[], bool] = field(default=lambda: False, repr=False)
    slots: Callable[[], int] = field(default=lambda: 1, repr=False)
    _sent: float = field(default=0.0, repr=False)

    @property
    def store(self) -> Store:
        return open_store(self.store_url)

    @property
    def scratch(self) -> str:
        """Store key prefix for what this run writes before it is published."""
        return f"scratch/{self.job_id}/{self.epoch}"

    @property
    def results(self) -> str:
        """Store key prefix for this run's artifacts."""
        return f"results/{self.job_id}/{self.epoch}"

    def progress(self, done: int) -> None:
        """Report units done inside this part so far; also raises Canceled when the job was canceled."""
        self.check()
        now = time.monotonic()
        if now - self._sent >= _REPORT_EVERY:
            self._sent = now
            self.send({"job": self.job_id, "epoch": self.epoch, "part": self.part, "done": done})

    def check(self) -> None:
        """Raise Canceled when the job was canceled. Cheap: call it at least every 0.2 s of work."""
        if self.canceled():
            raise Canceled("The job was canceled.")


def load(entry: str) -> Callable[..., Any]:
    """The function behind "module:function"."""
    module, _, name = entry.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def run(entry: str, job: Json, spec: Json, argument: Any) -> Any:
    """Perform an entry on a Dask worker. `job` has job_id, epoch, store_url, part, perhaps keep."""
    _say_begun()
    context = Context(**job, send=_send, canceled=_canceled(), slots=_slots)
    return perform(entry, context, spec, argument)


def perform(entry: str, context: Context, spec: Json, argument: Any) -> Any:
    """Call `entry(context, spec, argument)`, or take what it gave in an earlier run."""
    context.check()
    if context.keep is None or context.part is None:
        return load(entry)(context, spec, argument)
    compute = partial(load(entry), context, spec, argument)
    return kept.through(context.store, context.keep, context.part, compute)


def _send(event: Json) -> None:
    from distributed import get_worker

    get_worker().log_event(TOPIC, event)


def _slots() -> int:
    """Threads of all workers that have nothing to do, and ours; 1 when the scheduler does not say."""
    from distributed import get_worker
    from distributed.utils import sync

    worker = get_worker()
    try:
        ask = (worker.scheduler.ncores, worker.scheduler.processing)
        cores, tasks = (sync(worker.loop, each, callback_timeout=_HEARD_WITHIN) for each in ask)
    except (OSError, TimeoutError):
        return 1
    free = 1 + sum(max(0, threads - len(tasks.get(name, ()))) for name, threads in cores.items())
    return int(max(1, free))


def _say_begun() -> None:
    """Tell the scheduler which task this worker begins, and wait until it has heard it.

    If the worker dies now, this is what it died under; heartbeats are too seldom to tell. Costs some
    milliseconds a task.
    """
    from dask.context import thread_state
    from distributed import get_worker
    from distributed.utils import sync

    worker = get_worker()
    message = {"worker": worker.address, "task": str(thread_state.key)}
    with contextlib.suppress(OSError, TimeoutError):  # the scheduler is going: nobody will ask
        sync(
            worker.loop,
            worker.scheduler.log_event,
            callback_timeout=_HEARD_WITHIN,
            topic=BEGUN_TOPIC,
            msg=message,
        )


def _canceled() -> Callable[[], bool]:
    """A cheap look at the worker's own task state: `cancel()` never stops a running thread, so tasks poll."""
    from dask.context import thread_state
    from distributed import get_worker

    tasks, key = get_worker().state.tasks, thread_state.key

    def canceled() -> bool:
        task = tasks.get(key)
        return task is None or task.state in ("cancelled", "resumed")

    return canceled
