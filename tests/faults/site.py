"""Site: one whole installation under test, what its tables, logs and disk say, and the verdict on it.

Embedded is `haulier serve` alone (SQLite, a Dask cluster of its own); Scaled is PostgreSQL, a Dask scheduler,
workers, web servers and dispatchers, each a process (see `scaled`).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.faults import toy
from tests.faults.checker import Row, Verdict, check
from tests.faults.history import ENDED, Client, History
from tests.faults.processes import MARK, Node, end, eventually, is_running, marked
from tests.live import free_port

ROOT = Path(__file__).parents[2]
LEASE = 3.0
LAUNCH = [sys.executable, "-m", "tests.faults.launch"]
_JSON = ("parameters", "spec", "plan", "artifact", "error", "outcome", "data")


class Site:
    """What both have. `harmed` are pids that a fault touched; `damaged` jobs whose files were."""

    workers_wanted = 2

    def __init__(self, **settings: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="haulier-faults-"))
        self.home, self.logs = self.folder / "home", self.folder / "logs"
        self.home.mkdir()
        self.logs.mkdir()
        self.mark, self.history = uuid.uuid4().hex, History()
        self.harmed: set[int] = set()
        self.damaged: set[str] = set()
        self.nodes: list[Node] = []
        self.client = Client(self.urls, self.history)
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HAULIER_")},
            MARK: self.mark,
            toy.LOG: str(self.folder / "executions.jsonl"),
            "PYTHONPATH": str(ROOT),
            "HAULIER_HOME": str(self.home),
            "HAULIER_WORKERS": str(self.workers_wanted),
            "HAULIER_LEASE_SECONDS": str(LEASE),
            **settings,
        }

    def urls(self) -> list[str]:
        raise NotImplementedError

    @property
    def store(self) -> Path:
        return Path(self.env.get("HAULIER_STORE_URL", self.home / "store"))

    def query(self, statement: str) -> list[dict[str, Any]]:
        """Rows of the job database, read beside the service."""
        raise NotImplementedError

    # --- what is there

    def rows(self) -> list[dict[str, Any]]:
        return [_decoded(row) for row in self.query("SELECT * FROM job ORDER BY sequence")]

    def row(self, job: str) -> dict[str, Any]:
        return next(row for row in self.rows() if row["id"] == job)

    def events(self) -> list[dict[str, Any]]:
        return [_decoded(row) for row in self.query("SELECT * FROM event ORDER BY sequence")]

    def executions(self) -> list[dict[str, Any]]:
        path = Path(self.env[toy.LOG])
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def running_part(self, job: str, part: int | str | None = None, seconds: float = 30.0) -> dict[str, Any]:
        """The execution of a part that has begun and not ended; waits for one."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            lines = [line for line in self.executions() if line["job"] == job and part in (None, line["part"])]
            over = {(line["epoch"], line["part"], line["pid"]) for line in lines if line["event"] != "start"}
            found[:] = [line for line in lines if (line["epoch"], line["part"], line["pid"]) not in over]
            return bool(found)

        eventually(f"part {part} of {job} running", look, seconds, every=0.02)
        return found[-1]

    def files(self) -> set[str]:
        """What lies in the store, but for the committed parts of datasets."""
        root, found = self.store, set()
        for folder, _, names in os.walk(root):
            found |= {str((Path(folder) / name).relative_to(root)) for name in names}
        return {path for path in found if not path.startswith("datasets/")} | self._loose(found)

    def _loose(self, found: set[str]) -> set[str]:
        """Parquet files of datasets that no version names."""
        from pipelines.datasets import Catalog
        from pipelines.store import Store

        catalog, named = Catalog(Store(str(self.store))), set()
        for name in catalog.names():
            for version in catalog.versions(name):
                named |= {each.path for each in catalog.fragments(name, version["version"])}
        return {path for path in found if path.startswith("datasets/") and path.endswith(".parquet")} - named

    def workers(self) -> list[psutil.Process]:
        """The processes that compute: children of a nanny."""
        return [process for process in marked(self.mark) if _is_worker(process)]

    def wait_for_workers(self, seconds: float = 60.0) -> None:
        raise NotImplementedError

    # --- judging

    def drain(self, seconds: float = 60.0) -> None:
        """Wait until no job is active; the checker says which did not end."""
        deadline = time.monotonic() + seconds
        active = "SELECT count(*) AS n FROM job WHERE state NOT IN ('successful', 'failed', 'dismissed')"
        while time.monotonic() < deadline and self.query(active)[0]["n"]:
            time.sleep(0.1)

    def verdict(self, *, settle: float = 6.0, drain: float = 60.0) -> Verdict:
        """Drain, give late removals `settle` seconds, check; all that clients ever saw of this site."""
        self.drain(drain)
        deadline = time.monotonic() + settle
        while True:
            found = self._check()
            leaks = all(line.startswith("I13") for line in found.violations)
            if not found.violations or not leaks or time.monotonic() > deadline:
                return found
            time.sleep(0.25)

    def _check(self) -> Verdict:
        executions = self.executions()
        dead = {line["pid"] for line in executions if not psutil.pid_exists(line["pid"])}
        return check(
            self.history.calls(),
            self.rows(),
            self.events(),
            executions,
            self.files(),
            harmed=self.harmed | dead,
            reference=reference,
            damaged=self.damaged,
        )

    def restore(self) -> None:
        """All running, awake and answering, as before the first fault."""
        raise NotImplementedError

    def tails(self) -> str:
        """The ends of all logs, for a test that failed."""
        return "\n".join(f"--- {node.name}\n{node.text()[-3000:]}" for node in self.nodes if node.text())

    def harm_workers(self) -> None:
        """Note that every worker of now may be lost with what it has."""
        self.harmed |= {process.pid for process in self.workers()}

    def close(self) -> None:
        """End all; nothing of it is left."""
        with ExitStack() as closing_all:
            closing_all.callback(shutil.rmtree, self.folder, ignore_errors=True)
            closing_all.callback(lambda: end(marked(self.mark)))
            for node in self.nodes:
                closing_all.callback(node.leave)


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
            return isinstance(answer, dict) and answer.get("workers", 0) >= self.workers_wanted

        eventually("the workers", come, seconds)

    def app(self) -> psutil.Process:
        """The process that has the database: granian's worker."""
        children = psutil.Process(self.server.pid).children()
        return next(child for child in children if "spawn_main" in " ".join(child.cmdline()))

    def scheduler(self) -> psutil.Process:
        return next(each for each in marked(self.mark) if _says(each, "dask-scheduler"))

    def crash(self) -> None:
        """kill -9 of the service; its Dask processes go with it."""
        self.harm_workers()
        end(self.server.family()[:1] + [self.app()])
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


def reference(row: Row) -> bytes | None:
    """The right bytes of a job's result, where they follow from the row."""
    return toy.content(row["spec"]["toy"]) if "toy" in row["spec"] else None


@contextmanager
def running(make: Callable[[], Site]) -> Iterator[Any]:
    """A site that is checked when the block ends well, and gone in any case."""
    site = make()
    try:
        yield site
        sound(site)
    finally:
        site.close()


def sound(site: Site, **more: Any) -> Verdict:
    found = site.verdict(**more)
    assert not found.violations, "\n".join(found.violations)
    return found


def _decoded(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: json.loads(value) if name in _JSON and isinstance(value, str) else value
        for name, value in row.items()
    }


def _says(process: psutil.Process, word: str) -> bool:
    try:
        return word in process.cmdline()
    except psutil.Error:
        return False


def _is_worker(process: psutil.Process) -> bool:
    try:
        parent = process.parent()
        if parent is None or not is_running(process):
            return False
        named = " ".join(parent.cmdline())
        return "spawn_main" in " ".join(process.cmdline()) and "dask" in named and "worker" in named
    except psutil.Error:
        return False


__all__ = ["ENDED", "Embedded", "Site", "reference", "running", "sound"]
