"""Nemesis: a seeded sequence of faults at a site, spread evenly over everything that can be hurt."""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable

import psutil

from tests.faults.embedded import Embedded
from tests.faults.processes import Node, end
from tests.faults.scaled import Scaled
from tests.faults.site import Site

KILLS = ("kill", "term")


class Nemesis:
    """Every fault comes once, in random order, before any comes again. `counts` is by "what: how"."""

    def __init__(self, site: Site, seed: int, pause: tuple[float, float] = (3.0, 6.5)) -> None:
        self.site, self.counts = site, Counter[str]()
        self._dice, self._pause, self._stop = random.Random(seed), pause, threading.Event()
        self._faults = _of_embedded(self) if isinstance(site, Embedded) else _of_scaled(self)
        self._thread = threading.Thread(target=self._run, name="nemesis")
        self.error: BaseException | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """No more faults; what was stopped or killed is back on its way."""
        self._stop.set()
        self._thread.join(120)

    @property
    def kills(self) -> int:
        return sum(n for name, n in self.counts.items() if name.split(": ")[1].startswith(KILLS))

    def a_while(self, low: float, high: float) -> None:
        time.sleep(self._dice.uniform(low, high))

    def pick(self, nodes: list[Node]) -> Node:
        return self._dice.choice(nodes)

    def worker(self) -> psutil.Process | None:
        found = self.site.workers()
        return self._dice.choice(found) if found else None

    def _run(self) -> None:
        names: list[str] = []
        try:
            while not self._stop.wait(self._dice.uniform(*self._pause)):
                names = names or self._dice.sample(sorted(self._faults), len(self._faults))
                name = names.pop()
                with contextlib.suppress(psutil.NoSuchProcess, StopIteration):
                    self._faults[name]()
                    self.counts[name] += 1
        except BaseException as error:
            self.error = error
            raise


def _frozen(nemesis: Nemesis, process: psutil.Process | None, low: float, high: float) -> None:
    if process is not None:
        process.suspend()
        nemesis.a_while(low, high)
        process.resume()


def _worker_faults(nemesis: Nemesis) -> dict[str, Callable[[], None]]:
    def kill() -> None:
        if (worker := nemesis.worker()) is not None:
            nemesis.site.harmed.add(worker.pid)
            worker.kill()

    def freeze() -> None:
        if (worker := nemesis.worker()) is not None:
            nemesis.site.harmed.add(worker.pid)
            _frozen(nemesis, worker, 2, 8)

    return {"worker: kill": kill, "worker: stop and wake": freeze}


def _of_embedded(nemesis: Nemesis) -> dict[str, Callable[[], None]]:
    site = nemesis.site
    assert isinstance(site, Embedded)

    def again(how: Callable[[], object]) -> Callable[[], None]:
        def act() -> None:
            site.harm_workers()
            how()
            nemesis.a_while(0.1, 1.5)
            site.start()

        return act

    def one_of(find: Callable[[], psutil.Process]) -> Callable[[], None]:
        def act() -> None:
            end([find()])
            site.gone()

        return act

    def scheduler() -> None:
        site.harm_workers()
        end([site.scheduler()])

    def nanny() -> None:
        site.harm_workers()
        end([worker.parent() for worker in site.workers()[:1]])

    return {
        "server: kill all": again(site.crash),
        "server: kill app": again(one_of(site.app)),
        "server: kill parent": again(one_of(lambda: psutil.Process(site.server.pid))),
        "server: term": again(site.terminate),
        "server: stop and wake": lambda: _frozen(nemesis, site.app(), 1, 6),
        "scheduler: kill": scheduler,
        "nanny: kill": nanny,
        **_worker_faults(nemesis),
    }


def _of_scaled(nemesis: Nemesis) -> dict[str, Callable[[], None]]:
    site = nemesis.site
    assert isinstance(site, Scaled)

    def killed(nodes: list[Node]) -> Callable[[], None]:
        def act() -> None:
            node = nemesis.pick(nodes)
            end(node.family())
            node.kill()
            nemesis.a_while(0.1, 3)
            node.start()

        return act

    def terminated(nodes: list[Node]) -> Callable[[], None]:
        def act() -> None:
            node = nemesis.pick(nodes)
            node.signal(signal.SIGTERM)
            node.wait(40)
            nemesis.a_while(0.1, 2)
            node.start()

        return act

    def frozen(nodes: list[Node], low: float, high: float) -> Callable[[], None]:
        def act() -> None:
            family = nemesis.pick(nodes).family()
            for process in family:
                process.suspend()
            nemesis.a_while(low, high)
            for process in reversed(family):
                process.resume()

        return act

    def scheduler() -> None:
        site.harm_workers()
        site.scheduler.kill()

    def nanny(how: int) -> Callable[[], None]:
        def act() -> None:
            node = nemesis.pick(site.nannies)
            site.harmed.update(process.pid for process in node.family())
            node.signal(how)

        return act

    def database(how: int) -> Callable[[], None]:
        def act() -> None:
            site.postgres.stop(how)
            nemesis.a_while(0.2, 2)
            site.postgres.start()

        return act

    return {
        "server: kill": killed(site.servers),
        "server: term": terminated(site.servers),
        "server: stop and wake": frozen(site.servers, 1, 6),
        "dispatcher: kill": killed(site.dispatchers),
        "dispatcher: term": terminated(site.dispatchers),
        "dispatcher: stop and wake": frozen(site.dispatchers, 1, 8),
        "scheduler: kill": scheduler,
        "scheduler: stop and wake": frozen([site.scheduler], 1, 3),
        "nanny: kill": nanny(signal.SIGKILL),
        "nanny: term": nanny(signal.SIGTERM),
        "database: restart at once": database(signal.SIGQUIT),
        "database: restart": database(signal.SIGINT),
        **_worker_faults(nemesis),
    }
