"""Embedded: `haulier serve` alone: SQLite, and a Dask cluster of its own."""

from __future__ import annotations

import signal
import sqlite3
import time
import urllib.request
from contextlib import closing
from typing import Any

import psutil

from tests.faults.processes import Node, end, eventually, marked
from tests.faults.site import LAUNCH, Site, says
from tests.live import free_port


class Embedded(Site):
    """`haulier serve`: everything in one, on SQLite."""

    def __init__(self, **settings: str) -> None:
        super().__init__(**settings)
        self.port = free_port()
        self.server = Node("server", [*LAUNCH, "serve", "--port", str(self.port)], self.env, self.logs)
        self.nodes.append(self.server)

    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{self.port}"]

    def start(self, **env: str) -> Embedded:
        """Start and wait until it answers; workers come later."""
        self.server.start(**env)
        eventually("the server answering", lambda: self.answers() or not self.server.alive)
        assert self.server.alive, self.server.text()[-2000:]
        return self

    def restore(self) -> None:
        if self.server.alive:
            for process in marked(self.mark):
                process.resume()
        self.start()
        self.wait_for_workers()

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.urls()[0] + "/healthz", timeout=2):
                return True
        except OSError:
            return False

    def wait_for_workers(self, seconds: float = 60.0) -> None:
        def come() -> bool:
            answer = self.client.call("ready", "GET", "/readyz").answer
            return isinstance(answer, dict) and (answer.get("workers") or 0) >= self.workers_wanted

        eventually("the workers", come, seconds)

    def app(self) -> psutil.Process:
        """The process that has the database: granian's worker."""
        children = psutil.Process(self.server.pid).children()
        return next(child for child in children if "spawn_main" in " ".join(child.cmdline()))

    def scheduler(self) -> psutil.Process:
        return next(each for each in marked(self.mark) if says(each, "dask-scheduler"))

    def crash(self) -> None:
        """kill -9 of the service; its Dask processes go with it."""
        self.harm_workers()
        end([*self.server.family()[:1], self.app()])
        self.gone()

    def gone(self, seconds: float = 20.0) -> None:
        """Wait until no process of the site is left; whatever its own way to end was."""
        if self.server.alive:
            self.server.wait(seconds)
        eventually("the end of every process", lambda: not marked(self.mark), seconds)

    def terminate(self, seconds: float = 30.0) -> float:
        """SIGTERM; how long it took until the last process was gone."""
        began = time.monotonic()
        self.harm_workers()
        self.server.signal(signal.SIGTERM)
        self.gone(seconds)
        return time.monotonic() - began

    def query(self, statement: str) -> list[dict[str, Any]]:
        path = self.env.get("HAULIER_DATABASE_URL", f"sqlite:///{self.home}/haulier.sqlite")
        name = path.removeprefix("sqlite:///")
        with closing(sqlite3.connect(f"file:{name}?mode=ro", uri=True, timeout=10)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(statement)]
