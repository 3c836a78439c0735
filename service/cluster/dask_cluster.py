"""DaskCluster: runs plans on a Dask scheduler by address. One graph a job, one future held.

Truth is the future's status and the scheduler's own task states, looked at by `poll`; callbacks only wake the
dispatcher. Whatever the scheduler forgets is reported as Lost: the row in the database is what lasts.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from pipelines.plan import Json, Plan
from pipelines.run import BEGUN_TOPIC, TOPIC
from service.cluster import graph
from service.cluster.connection import Connection, disconnected, infrastructure, quiet
from service.cluster.deaths import MEMORY_TOPIC, Deaths
from service.cluster.meter import PLANNING, WAITING, Meter
from service.cluster.outcomes import Finished, Lost, Outcome, RunKey, Stage, Status, classify
from service.cluster.stopping import stop
from service.model import Priority

_PRIORITY = {Priority.INTERACTIVE: 10, Priority.BATCH: 0}
_RPC = 3.0  # seconds a call to the scheduler may take before the connection counts as lost
_ADRIFT = 10.0  # seconds to find the scheduler again before its runs count as lost
_UNKNOWN = 10.0  # seconds the scheduler may not know a run before it counts as lost


@dataclass
class _Run:
    stage: Stage
    keys: graph.Keys
    meter: Meter
    groups: list[tuple[str, int]]  # part and combine groups with their sizes, for the census
    build: Callable[[], Any]  # the graph
    priority: Priority
    scheduler: str | None = None  # whom it was given to
    adrift: float | None = None  # since when it is out of reach
    future: Any = None
    published: Any = None
    outcome: Outcome | None = None
    known: float = 0.0  # when the scheduler last knew the final key, or was told it
    busy: bool = False


class DaskCluster:
    """See `Cluster`. `address` may be a callable: a restarted local scheduler may be on another port."""

    def __init__(self, address: str | Callable[[], str], store_url: str, *, timeout: float = _RPC) -> None:
        self._store_url, self._timeout = store_url, timeout
        self._runs: dict[RunKey, _Run] = {}
        self._workers = 0
        self._events: deque[Any] = deque(maxlen=20_000)  # the client's event loop may only append
        self._pending: set[concurrent.futures.Future[Any]] = set()
        self._abandoned: set[str] = set()  # published names lost with a connection, to be let go of
        self._wake: Callable[[], None] = lambda: None
        where = address if callable(address) else lambda: address
        self._deaths = Deaths()
        topics = {TOPIC: self._events.append, MEMORY_TOPIC: self._deaths.heard}
        topics[BEGUN_TOPIC] = self._deaths.begun
        self._connection = Connection(where, topics, lambda: self._wake(), timeout=timeout)

    def notify(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def ready(self) -> bool:
        return self._connection.client() is not None

    def identity(self) -> str | None:
        return self._connection.identity()

    def workers(self) -> int:
        return self._workers

    def plan(self, key: RunKey, kind: str, entry: str, spec: Json, priority: Priority) -> None:
        keys = graph.Keys(kind, key)
        build = partial(graph.planning, keys, entry, spec, self._store_url)
        self._runs[key] = run = _Run(Stage.PLAN, keys, Meter(kind, None), [], build, priority)
        self._submit(run, self._connection.client())

    def start(self, key: RunKey, kind: str, plan: Plan, priority: Priority) -> None:
        keys = graph.Keys(kind, key)
        combines = [(keys.combine(level), size) for level, size in enumerate(graph.levels(plan))]
        groups = [(keys.parts, len(plan.parts)), *combines]
        build = partial(graph.working, keys, plan, self._store_url)
        self._runs[key] = run = _Run(Stage.WORK, keys, Meter(kind, plan), groups, build, priority)
        self._submit(run, self._connection.client())

    def knows(self, key: RunKey, kind: str) -> bool:
        client = self._connection.client()
        if client is None:
            return False
        asked: list[Any] = [(graph.Keys(kind, key).final, [])]
        try:
            _, _, (answer,) = client.run_on_scheduler(graph.census(), asked, callback_timeout=self._timeout)
        except infrastructure():
            return False
        return answer is not None

    def poll(self, progress: bool = True) -> dict[RunKey, Status]:
        client = self._connection.client()
        for key, run in self._runs.items():
            if run.outcome is None and client is not None and run.adrift is None:
                run.outcome = self._outcome(key, run)
        if (client := self._connection.client()) is None:
            self._workers = 0
            self._set_adrift()
        else:
            self._rejoin(client)
            if progress:
                self._count(client)
        return {key: self._status(run) for key, run in self._runs.items()}

    def cancel(self, key: RunKey) -> None:
        run, client = self._runs.pop(key, None), self._connection.client()
        if run is None or run.future is None:
            return
        if client is None or run.adrift is not None:
            self._abandon(run)
            return
        self._later(client, stop(client, run.future, run.groups))
        self._unpublish(client, run)

    def let_go(self, key: RunKey) -> None:
        run, client = self._runs.pop(key, None), self._connection.client()
        if run is None or run.published is None:
            return
        self._abandoned.discard(run.keys.final)
        if client is not None and run.adrift is None:
            # our future must last until the scheduler has published it, else the run ends with it
            self._later(client, _hold(run.future, run.published))

    def forget(self, key: RunKey) -> None:
        run, client = self._runs.pop(key, None), self._connection.client()
        if run is not None and client is not None:
            self._unpublish(client, run)

    def close(self) -> None:
        for key in list(self._runs):
            self.cancel(key)
        concurrent.futures.wait(
            tuple(self._pending), timeout=self._timeout
        )  # else a name stays published for ever
        self._connection.close()
        self._workers = 0

    def _submit(self, run: _Run, client: Any) -> None:
        if client is None:
            run.outcome = Lost("there is no connection to the scheduler")
            return
        run.scheduler, priority = self._connection.identity(), _PRIORITY[run.priority]
        try:
            run.future = client.compute(
                run.build(), optimize_graph=False, retries=0, priority=priority, fifo_timeout="0s"
            )
        except infrastructure() as error:
            run.outcome = Lost(f"{type(error).__name__}: {error}")
            return
        run.known = time.monotonic()
        run.future.add_done_callback(lambda future: self._wake())
        if run.stage is Stage.WORK:  # keeps the run alive when this process dies
            publish = client.publish_dataset(
                run.future, name=run.keys.final, override=True, asynchronous=True
            )
            run.published = self._later(client, publish)

    def _outcome(self, key: RunKey, run: _Run) -> Outcome | None:
        status = run.future.status
        if status == "pending":
            return None
        if status == "cancelled" and disconnected(run.future):
            self._connection.drop()  # this Client's futures are gone, even if it connects again
            return None
        if status in ("cancelled", "lost"):
            return Lost(f"the scheduler lost the run ({status})")
        try:
            return Finished(run.future.result(timeout=self._timeout))
        except TimeoutError as error:  # finished: its worker died just now, the scheduler computes it again
            return classify(error, key.job_id) if status == "error" else None
        except BaseException as error:  # a task may raise anything, SystemExit too
            if type(error).__name__ == "KilledWorker":
                return self._deaths.judge(error)
            if status == "error":
                return classify(error, key.job_id)
            return Lost(f"the result could not be fetched: {type(error).__name__}: {error}")

    def _status(self, run: _Run) -> Status:
        phase = PLANNING if run.stage is Stage.PLAN else run.meter.phase
        if not self._workers and run.outcome is None:
            phase = WAITING
        return Status(run.stage, run.meter.done, phase, run.outcome, run.busy)

    def _count(self, client: Any) -> None:
        """Ask the scheduler once for all runs, and add what parts said of themselves."""
        running = [run for run in self._runs.values() if run.outcome is None and run.adrift is None]
        asked = [(run.future.key, run.groups) for run in running]
        answers: list[Any] = []
        try:
            if asked:
                identity, self._workers, answers = client.run_on_scheduler(
                    graph.census(), asked, callback_timeout=self._timeout
                )
            else:  # leaves no line in the log of somebody else's scheduler
                who = client.sync(client.scheduler.identity, n_workers=0, callback_timeout=self._timeout)
                identity, self._workers = str(who["id"]), int(who["n_workers"])
        except infrastructure():
            self._connection.drop()  # the next poll reports the runs as lost
            return
        if (
            identity != self._connection.identity()
        ):  # a Client may reconnect by itself, and hears nothing then
            self._connection.drop()
            return
        now = time.monotonic()
        for run, answer in zip(running, answers, strict=True):
            if answer is not None:
                run.known = now
                _read(run, answer)
            elif now - run.known > _UNKNOWN and run.future.status == "pending":
                run.outcome = Lost("the scheduler does not know the run")
        self._drain_events()
        self._release_abandoned(client)

    def _drain_events(self) -> None:
        while self._events:
            _, event = self._events.popleft()
            run = self._runs.get(RunKey(event["job"], event["epoch"]))
            if run is not None:
                run.meter.inside(event["part"], event["done"])

    def _set_adrift(self) -> None:
        """Without a connection: the scheduler may be there, and work on. What it published is found again."""
        now = time.monotonic()
        for run in (run for run in self._runs.values() if run.outcome is None):
            run.adrift, run.busy = run.adrift or now, False
            if run.published is None or now - run.adrift > _ADRIFT:
                run.outcome = Lost("the connection to the scheduler was lost")
                self._abandon(run)

    def _rejoin(self, client: Any) -> None:
        """With a new connection: to the same scheduler, all goes on; another knows nothing of our runs."""
        for run in (run for run in self._runs.values() if run.outcome is None and run.adrift is not None):
            if run.scheduler == self._connection.identity():
                run.adrift = None
                self._submit(run, client)
            else:
                run.outcome = Lost("the scheduler was restarted")

    def _abandon(self, run: _Run) -> None:
        if run.published is not None:
            self._abandoned.add(run.keys.final)

    def _release_abandoned(self, client: Any) -> None:
        """After a broken connection the scheduler may still work for names nobody waits for any more."""
        if self._abandoned:
            names, self._abandoned = sorted(self._abandoned), set()
            self._later(client, client.unpublish_dataset(names, asynchronous=True))

    def _unpublish(self, client: Any, run: _Run) -> None:
        if run.published is not None:
            self._later(client, _after(run.published, client, run.keys.final))

    def _later(self, client: Any, coroutine: Any) -> concurrent.futures.Future[Any]:
        """Run on the client's event loop without waiting; a failure is the sweep's to notice."""
        future = asyncio.run_coroutine_threadsafe(quiet(coroutine), client.loop.asyncio_loop)
        self._pending.add(future)
        future.add_done_callback(self._pending.discard)
        return future


def _read(run: _Run, answer: tuple[bool, list[list[int]]]) -> None:
    run.busy, over = answer
    if over:
        run.meter.finished(over[0])
        run.meter.combined(sum(map(len, over[1:])), sum(size for _, size in run.groups[1:]))


async def _hold(future: Any, until: concurrent.futures.Future[Any]) -> None:
    await asyncio.wrap_future(until)
    del future


async def _after(first: concurrent.futures.Future[Any], client: Any, name: str) -> None:
    """Unpublish once the publishing is through: they travel on different connections."""
    await asyncio.wrap_future(first)
    await client.unpublish_dataset(name, asynchronous=True)
