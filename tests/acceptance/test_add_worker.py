"""Scaling out while a job runs: `dask worker ADDRESS`, as the README says, takes parts of it at once.

The worker of the service is stopped (SIGSTOP) in the middle of an import until the added one has moved it on:
a small file is long enough then, and nothing depends on how fast this machine is.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import distributed
import pandas as pd
import pytest

from pipelines.samples import IMPORT_OPTIONS, write_sales
from tests.live import Server, server

DASK = str(Path(sys.executable).with_name("dask"))
ROWS = 500_000  # some parts of 8 MiB


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "input"
    folder.mkdir()
    with server(1, input_folder=folder) as running:
        running.wait_for_workers(1)
        yield running


@contextmanager
def added_worker(address: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """What an operator types on another machine; ended as an operator would, by SIGTERM."""
    env = {**os.environ, "DASK_TEMPORARY_DIRECTORY": str(folder)}
    with (folder / "added.log").open("wb") as log:
        process = subprocess.Popen(
            [DASK, "worker", address], cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield process
            process.terminate()
            process.wait(30)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def until(condition: Callable[[], Any], seconds: float = 90) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def tasks_by_worker(client: distributed.Client, job: str) -> dict[str, int]:
    """How many tasks of a job each worker finished, as the scheduler saw it."""
    found: dict[str, int] = {}
    for each in client.get_task_stream():
        if job in str(each["key"]):
            found[each["worker"]] = found.get(each["worker"], 0) + 1
    return found


def test_a_worker_that_joins_while_a_job_runs_takes_parts_of_it(live: Server, tmp_path: Path) -> None:
    source = write_sales(tmp_path / "input" / "sales.csv", ROWS)
    ready = live.call("GET", "/readyz")[2]
    [first] = live.workers()
    with distributed.Client(ready["scheduler"], set_as_default=False) as client:
        client.get_task_stream()  # from now on
        [own] = client.scheduler_info()["workers"]
        options = {"columns": IMPORT_OPTIONS}
        job = live.submit("/api/imports", {"dataset": "sales", "source": "sales.csv", "options": options})

        def document() -> dict[str, Any]:
            found: dict[str, Any] = live.call("GET", f"/api/jobs/{job}")[2]
            return found

        until(lambda: document()["units"]["done"] > 0)
        first.suspend()
        try:
            stopped = document()
            assert (stopped["status"], stopped["progress"] < 100) == ("running", True)
            with added_worker(ready["scheduler"], tmp_path) as worker:
                until(lambda: live.call("GET", "/readyz")[2]["workers"] == 2)
                until(lambda: document()["units"]["done"] > stopped["units"]["done"])
                assert document()["attempt"] == 1
                first.resume()
                live.watch(job)
                [added] = set(client.scheduler_info()["workers"]) - {own}
                shares = tasks_by_worker(client, job)
                assert set(shares) == {own, added}
                assert min(shares.values()) >= 1, shares
                check(live, source, job)
            assert worker.returncode is not None
            until(lambda: live.call("GET", "/readyz")[2]["workers"] == 1)
        finally:
            first.resume()
        check(live, source, job)  # it was only help: the service goes on without it


def check(live: Server, source: Path, job: str) -> None:
    """Every row once, and the totals that pandas gets from the file."""
    with urllib.request.urlopen(f"{live.url}/api/imports/{job}/download") as response:
        receipt = json.load(response)
    assert (receipt["rowsRead"], receipt["rowsLoaded"], receipt["rowsRejected"]) == (ROWS, ROWS, 0)
    body = {"reportType": "yearly-sales", "parameters": {"year": "2023"}, "format": "json"}
    report = live.submit("/api/reports", body)
    live.watch(report)
    with urllib.request.urlopen(f"{live.url}/api/reports/{report}/download") as response:
        found = json.loads(response.read(), parse_float=Decimal)
    columns = ["ordered_at", "quantity", "unit_price"]
    table = pd.read_csv(source, usecols=columns, dtype={"unit_price": "str"})
    table = table[table.ordered_at.str.startswith("2023-")]
    cents = table.unit_price.str.replace(".", "", regex=False).astype("int64")
    groups = table.assign(month=table.ordered_at.str[:7], cents=cents * table.quantity).groupby("month")
    assert [(row["month"], row["orders"], row["units"], row["revenue"]) for row in found] == [
        (month, len(group), group.quantity.sum(), Decimal(int(group.cents.sum())) / 100)
        for month, group in groups
    ]
    assert len(found) == 12
