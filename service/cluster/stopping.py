"""How a canceled run is made to stop: its tasks are asked first, then the workers that did not listen go.

`cancel` of Dask never stops a running thread, so parts look for themselves and end within some 0.2 s. A part
that hangs in a C call cannot look: the process it hangs in is restarted through its nanny, other work of that
process moves elsewhere without blame. All of it happens on the client's event loop; nobody waits.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Sequence
from typing import Any

import structlog

log = structlog.get_logger()

_GRACE = 0.5  # seconds a part has to notice that it was canceled; it looks five times a second
_ANSWER = 0.3  # seconds a worker has to say what it runs; one that holds the GIL never does
_RPC = 3.0  # seconds a call to the scheduler may take

Groups = Sequence[tuple[str, int]]


async def stop(client: Any, future: Any, groups: Groups) -> None:
    """Cancel the run whose final key `future` is, and see to it that no worker goes on with it."""
    final = future.key
    asked = client.run_on_scheduler(
        _cancel_there(), client.id, final, list(groups), asynchronous=True, callback_timeout=_RPC
    )
    workers = await asked
    del future  # it had to last until the scheduler knew
    if not workers:
        return
    await asyncio.sleep(_GRACE)
    names = [final, *(name for name, _ in groups)]
    answers = await asyncio.gather(*(_runs_on(client, worker, names) for worker in workers))
    hung = [worker for worker, runs in zip(workers, answers, strict=True) if runs]
    if not hung:
        return
    log.warning("a canceled part does not stop, restarting its worker", run=final, workers=hung)
    left = await client.run_on_scheduler(_restart_there(), hung, asynchronous=True, callback_timeout=_RPC * 2)
    for worker, reason in left.items():
        log.error("a worker that hangs could not be restarted", run=final, worker=worker, reason=reason)


async def _runs_on(client: Any, worker: str, names: list[str]) -> bool:
    """Whether a thread of the worker is still at a task of these names. One that does not answer hangs."""
    call = client.run(_active_there(), names, workers=[worker], on_error="return", asynchronous=True)
    try:
        answer = (await asyncio.wait_for(call, _ANSWER)).get(worker)
    except (TimeoutError, concurrent.futures.TimeoutError):
        return True
    except Exception:  # it left meanwhile
        return False
    return answer is True


# Nested functions travel by value: what runs them needs nothing of this package.


def _cancel_there() -> Callable[..., Any]:
    def haulier_cancel(
        client: str, final: str, groups: list[tuple[str, int]], dask_scheduler: Any = None
    ) -> list[str]:
        tasks, workers = dask_scheduler.tasks, set()
        for key in [final, *((name, n) for name, size in groups for n in range(size))]:
            task = tasks.get(key)
            if task is not None and task.processing_on is not None:
                workers.add(task.processing_on.address)
        # force: the published name wants the key too, and so may others
        dask_scheduler.stimulus_cancel(
            keys=[final], client=client, force=True, reason="haulier", msg="The job was canceled."
        )
        return sorted(workers)

    return haulier_cancel


def _active_there() -> Callable[..., Any]:
    def haulier_active(names: list[str], dask_worker: Any = None) -> bool:
        with dask_worker.active_threads_lock:
            keys = list(dask_worker.active_threads.values())
        return any((key[0] if isinstance(key, tuple) else key) in names for key in keys)

    return haulier_active


def _restart_there() -> Callable[..., Any]:
    """Returns why a worker could not be restarted, for each that could not."""

    async def haulier_restart(workers: list[str], dask_scheduler: Any = None) -> dict[str, str]:
        left = {}
        for address in workers:
            worker = dask_scheduler.workers.get(address)
            if worker is None:
                continue
            if worker.nanny is None:
                left[address] = "it has no nanny"
                continue
            nanny = worker.nanny
            # first out of the books, as expected: what else it was to do is not under suspicion then
            await dask_scheduler.remove_worker(
                address, stimulus_id="haulier-restart", expected=True, close=False
            )
            try:
                await dask_scheduler.rpc(nanny).kill(timeout=0.25, reason="haulier-restart")
            except Exception as error:
                if "TimeoutError" not in repr(error):  # killed, only not yet buried
                    left[address] = repr(error)
        return left

    return haulier_restart
