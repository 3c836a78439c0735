"""The routes over a real engine whose jobs run in this process: a test decides when, and how far."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from service.app import create_app
from service.cluster import InlineCluster
from service.dispatcher import Dispatcher
from service.engine import Engine
from service.settings import Settings

SALES = (
    "ordered_at,region,quantity,unit_price\n"
    "2022-12-31 23:59:59,EU,1,1.00\n"
    "2023-01-05 10:00:00,EU,2,10.50\n"
    "2023-01-06 11:00:00,US,1,4.25\n"
    "2023-03-01 00:00:00,US,3,2.00\n"
)
YEAR = "month,orders,units,revenue\r\n2023-01,2,3,25.25\r\n2023-03,1,3,6.00\r\n"
REPORT: dict[str, Any] = {"reportType": "yearly-sales", "parameters": {"year": "2023"}}
OTHER: dict[str, Any] = {"reportType": "yearly-sales", "parameters": {"year": "2022"}}
PROBLEM = {"type", "title", "status", "detail", "instance", "code", "errors"}


class Answer(TestResponse):
    """As Flask's client gives it; where a test looks into JSON, it knows what it expects there."""

    @property
    def json(self) -> Any: ...


@dataclass
class House:
    """An engine without processes. Nothing runs until `run`, `tick` or `dispatching`."""

    engine: Engine
    http: FlaskClient
    dispatcher: Dispatcher
    cluster: InlineCluster

    def call(self, method: str, path: str, **more: Any) -> Answer:
        return cast(Answer, self.http.open(path, method=method, **more))

    def get(self, path: str, **headers: str) -> Answer:
        """`If_None_Match="..."` is the header If-None-Match."""
        return self.call("GET", path, headers={name.replace("_", "-"): headers[name] for name in headers})

    def post(self, body: Any = REPORT, headers: dict[str, str] | None = None) -> Answer:
        """A report."""
        return self.call("POST", "/api/reports", json=body, headers=headers)

    def upload(self, dataset: str, text: str = SALES, headers: dict[str, str] | None = None) -> Answer:
        """An import of a raw body."""
        address = f"/api/imports?dataset={dataset}&filename={dataset}.csv"
        return self.call("POST", address, data=text, headers=headers)

    def cancel(self, job_id: str) -> Answer:
        return self.call("POST", f"/api/jobs/{job_id}/cancel")

    def tick(self) -> None:
        self.dispatcher.tick()

    def run(self, response: Answer) -> str:
        """Run the job of a 202 to its end; its id."""
        assert response.status_code == 202, response.text
        job_id = str(response.json["id"])
        deadline = time.monotonic() + 60
        while not self.engine.jobs.get(job_id).ended:
            assert time.monotonic() < deadline
            self.tick()
        return job_id

    def job(self, job_id: str) -> dict[str, Any]:
        document: dict[str, Any] = self.get(f"/api/jobs/{job_id}").json
        return document

    def jobs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get("/api/jobs").json["jobs"]
        return found

    def files(self) -> list[str]:
        return stored(Path(self.engine.settings.store_url))

    def lose_database(self) -> None:
        """From now on nobody can open it."""
        self.engine.tracker.close()
        for path in self.engine.settings.home.glob("haulier.sqlite*"):
            path.unlink()
        (self.engine.settings.home / "haulier.sqlite").mkdir()

    @contextmanager
    def dispatching(self) -> Iterator[None]:
        """Jobs run by themselves meanwhile."""
        thread = threading.Thread(target=self.dispatcher.run)
        thread.start()
        try:
            yield
        finally:
            self.dispatcher.stop()
            thread.join(30)


@contextmanager
def opened(home: Path, **more: Any) -> Iterator[House]:
    """`more` are settings."""
    folder = home / "input"
    folder.mkdir(parents=True, exist_ok=True)
    settings = Settings.from_env({}, home=str(home), input_folders=str(folder), **more)
    with Engine(settings, dispatch=False) as engine:
        cluster = InlineCluster(settings.store_url)
        dispatcher = Dispatcher(engine.tracker, cluster, engine.store)
        yield House(engine, create_app(engine).test_client(), dispatcher, cluster)
        dispatcher.close()


@cache
def _furnished() -> Path:
    """A closed home that has the dataset `sales`: made once, for copies."""
    folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    atexit.register(folder.cleanup)
    home = Path(folder.name) / "home"
    with opened(home) as house:
        house.run(house.upload("sales"))
    return home


@contextmanager
def with_sales(home: Path, **more: Any) -> Iterator[House]:
    """As `opened`, after one import: the dataset `sales`."""
    shutil.copytree(_furnished(), home)
    with opened(home, **more) as house:
        yield house


def refused(response: Answer, status: int, code: str) -> list[tuple[str, str]]:
    """The (pointer, detail) of each fault, after a look that this is one problem document and whole."""
    assert (response.status_code, response.content_type) == (status, "application/problem+json"), (
        response.text
    )
    document = json.loads(response.text)
    assert set(document) == PROBLEM
    assert (document["status"], document["code"], document["type"]) == (status, code, f"/problems/{code}")
    assert document["instance"] == response.request.path
    assert document["title"] and document["detail"]
    assert all(set(fault) == {"pointer", "detail"} for fault in document["errors"])
    return [(fault["pointer"], fault["detail"]) for fault in document["errors"]]


def pointers(response: Answer) -> list[str]:
    """Where the faults of a refused submission are."""
    return sorted(pointer for pointer, _ in refused(response, 422, "invalid-parameters"))


def stored(root: Path) -> list[str]:
    """Every file of a store, whole or in the making."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
