"""Site: one whole installation under test, what its tables, logs and disk say, and the verdict on it.

Two kinds: `embedded.Embedded` and `scaled.Scaled`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.faults import toy
from tests.faults.checker import Row, Verdict, check
from tests.faults.history import Client, History
from tests.faults.processes import MARK, Node, end, eventually, is_running, marked

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
        self.reference: Callable[[Row], bytes | None] = reference
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
            "GRACE": "2",
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
            lines = [
                line for line in self.executions() if line["job"] == job and part in (None, line["part"])
            ]
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

    def digests(self, files: set[str]) -> dict[str, str]:
        """sha256 of the results that lie on the disk."""
        found = {}
        for path in files:
            with contextlib.suppress(FileNotFoundError):  # swept just now
                if path.startswith("results/"):
                    found[path] = hashlib.sha256((self.store / path).read_bytes()).hexdigest()
        return found

    def _loose(self, found: set[str]) -> set[str]:
        """Parquet files of datasets that no version names."""
        from pipelines.datasets import Catalog
        from pipelines.store import Store

        catalog, named = Catalog(Store(str(self.store))), set()
        for name in catalog.names():
            for version in catalog.versions(name):
                named |= {each.path for each in catalog.fragments(name, version["version"])}
        return {
            path
            for path in found
            if path.startswith("datasets/") and path.endswith(".parquet") and "/_delta_log/" not in path
        } - named

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

    def verdict(self, *, settle: float = 15.0, drain: float = 60.0) -> Verdict:
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
        executions, files = self.executions(), self.files()
        dead = {line["pid"] for line in executions if not psutil.pid_exists(line["pid"])}
        return check(
            self.history.calls(),
            self.rows(),
            self.events(),
            executions,
            files,
            harmed=self.harmed | dead,
            reference=self.reference,
            damaged=self.damaged,
            digests=self.digests(files),
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


def says(process: psutil.Process, word: str) -> bool:
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
