"""Scaled: PostgreSQL, a Dask scheduler, workers, web servers and dispatchers, each a process of its own."""

from __future__ import annotations

import sys
import urllib.request
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from tests.contract.postgres import Postgres, execute
from tests.faults.processes import Node, eventually, marked
from tests.faults.site import LAUNCH, Site
from tests.live import free_port

WORKER_TTL = 6.0  # Dask wants at least ten heartbeats


class Scaled(Site):
    """Scheduler and workers are supervised; servers and dispatchers stay down until a test starts them.

    `own_clusters`: each dispatcher has its own local cluster instead of the common scheduler.
    """

    def __init__(
        self,
        *,
        servers: int = 1,
        dispatchers: int = 1,
        workers: int = 2,
        preload: str | None = None,
        nanny: bool = True,
        own_clusters: bool = False,
        **settings: str,
    ) -> None:
        super().__init__(**settings)
        self.workers_wanted = workers
        self.postgres = Postgres()
        self.postgres.start()
        execute(self.postgres.folder, "CREATE DATABASE haulier")
        self.env["HAULIER_DATABASE_URL"] = f"postgresql://haulier@/haulier?host={self.postgres.folder}"
        self.address = f"tcp://127.0.0.1:{free_port()}"
        self.env["HAULIER_SCHEDULER"] = self.address
        self.dask = {
            **self.env,
            "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": f"{WORKER_TTL}s",
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
            "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s",
            "DASK_TEMPORARY_DIRECTORY": str(self.folder / "dask"),
        }
        self.schedulers = [self._scheduler()]
        self.nannies = [self._nanny(n, preload, nanny) for n in range(workers)]
        self.servers = [self._server(n, free_port()) for n in range(servers)]
        self.dispatchers = [self._dispatcher(n, own_clusters) for n in range(dispatchers)]
        self.nodes += [*self.dispatchers, *self.servers, *self.nannies, *self.schedulers]

    @property
    def scheduler(self) -> Node:
        return self.schedulers[0]

    def restore(self) -> None:
        for process in marked(self.mark):
            process.resume()
        self.postgres.start()
        if not all(node.alive for node in self.nodes) or self.registered() < self.workers_wanted:
            self.start()

    def start(self) -> Scaled:
        """Everything, and wait until it answers and the workers are there."""
        for node in [*self.schedulers, *self.nannies, *self.servers[:1]]:
            node.start()
        eventually("the first server", lambda: self.answers(self.urls()[0]))  # it makes the tables
        for node in [*self.servers[1:], *self.dispatchers]:
            node.start()
        for url in self.urls():
            eventually("a server answering", lambda url=url: self.answers(url))
        self.wait_for_workers()
        return self

    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{self._ports[node.name]}" for node in self.servers]

    def answers(self, url: str) -> bool:
        try:
            with urllib.request.urlopen(url + "/healthz", timeout=2):
                return True
        except OSError:
            return False

    def wait_for_workers(self, seconds: float = 60.0) -> None:
        """Until as many as wanted have registered at the scheduler."""
        eventually("the workers", lambda: self.registered() >= self.workers_wanted, seconds, every=0.2)

    def registered(self) -> int:
        """Workers the scheduler knows, asked from a process of no site."""
        import distributed

        connect: Any = distributed.Client
        try:
            with connect(self.address, timeout=3, set_as_default=False) as client:
                return len(client.scheduler_info(n_workers=-1)["workers"])
        except (OSError, TimeoutError, RuntimeError):
            return 0

    def query(self, statement: str) -> list[dict[str, Any]]:
        folder = self.postgres.folder
        with psycopg.connect(
            host=folder, user="haulier", dbname="haulier", row_factory=dict_row
        ) as connection:
            return connection.execute(statement.encode()).fetchall()

    def close(self) -> None:
        try:
            super().close()
        finally:
            self.postgres.remove()

    def _scheduler(self) -> Node:
        host, port = self.address.removeprefix("tcp://").split(":")
        command = [_dask(), "scheduler", "--host", host, "--port", port]
        return Node(
            "scheduler", [*command, "--dashboard-address", f"{host}:0"], self.dask, self.logs, supervised=True
        )

    def _dispatcher(self, n: int, own_cluster: bool) -> Node:
        env = dict(self.env)
        if own_cluster:  # a home for its logs and workers, the same store
            del env["HAULIER_SCHEDULER"]
            env |= {"HAULIER_HOME": str(self.folder / f"home{n}"), "HAULIER_STORE_URL": str(self.store)}
        return Node(f"dispatcher{n}", [*LAUNCH, "dispatch"], env, self.logs)

    def _nanny(self, n: int, preload: str | None, nanny: bool) -> Node:
        options = ["--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0", "--nthreads", "1"]
        options += ["--nworkers", "1", "--memory-limit", "1GiB", "--death-timeout", "30"]
        options += ["--nanny" if nanny else "--no-nanny"]
        options += ["--local-directory", str(self.folder / f"dask{n}")]
        options += ["--preload", preload] if preload else []
        command = [_dask(), "worker", self.address, *options]
        return Node(f"worker{n}", command, self.dask, self.logs, supervised=True)

    def _server(self, n: int, port: int) -> Node:
        name = f"server{n}"
        self._ports = {**getattr(self, "_ports", {}), name: port}
        return Node(name, [*LAUNCH, "serve", "--no-dispatch", "--port", str(port)], self.env, self.logs)


def _dask() -> str:
    return str(Path(sys.executable).with_name("dask"))
