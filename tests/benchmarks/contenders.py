"""Contenders: processes that answer the same questions, and what each answer costs.

CPU-seconds are those of every process of a contender as the kernel counts them, memory is the sum of the
highest resident sizes its processes reached while they answered. Linux only.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from service.compute import MALLOC
from tests.benchmarks.report_questions import Asked
from tests.live import MiB, Server, peak_bytes


@dataclass(frozen=True, slots=True)
class Cost:
    """What one answer took. `largest` is the peak of the largest single process."""

    wall: float
    cpu: float
    peak: int
    largest: int


class Contender(Protocol):
    """`ask` answers and returns wall seconds; with `save` it leaves the answer there as Parquet."""

    name: str

    @property
    def pid(self) -> int: ...

    def ask(self, asked: Asked, save: Path | None = None) -> float: ...


@dataclass
class Engine:
    """An engine of `report_engines` in a process of its own; `place` finds what it reads."""

    name: str
    engine: str
    place: Callable[[str], str]
    _process: subprocess.Popen[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        root = Path(__file__).parents[2]
        command = [sys.executable, "-W", "ignore", "-m", "tests.benchmarks.report_engines", self.engine]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root, env=environment()
        )
        self._read()

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, asked: Asked, save: Path | None = None) -> float:
        line = {"question": asked.name, "files": self.place(asked.table), "save": str(save or "")}
        assert self._process.stdin
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()
        return float(self._read()["seconds"])

    def close(self) -> None:
        for process in reversed(family(self.pid)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()

    def _read(self) -> Any:
        assert self._process.stdout
        while line := self._process.stdout.readline():
            if line.startswith("{"):
                return json.loads(line)
        raise RuntimeError(f"{self.name} ended")


@dataclass
class OverHttp:
    """The service: from before the POST until the last byte is downloaded. Asks for nothing twice."""

    name: str
    live: Server
    asked: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def pid(self) -> int:
        return self.live.process.pid

    def ask(self, asked: Asked, save: Path | None = None, *, forget: bool = True) -> float:
        if forget:
            forget_kept(self.live.home)
            self.asked += 1
        started = time.perf_counter()
        job, data = report(self.live, asked, self.asked)
        seconds = time.perf_counter() - started
        self.notes = self.live.call("GET", f"/api/jobs/{job}/results")[2]["outputs"]["report"].get(
            "notes", []
        )
        if save:
            table = pq.read_table(pa.BufferReader(data))
            names = [name.removesuffix(f"_{self.asked}") for name in table.column_names]
            pq.write_table(table.rename_columns(names), save)
        return seconds


def environment() -> dict[str, str]:
    """The allocator keeps freed memory for everybody, as it does for Haulier's workers."""
    kept = {name: str(value) for name, value in MALLOC.items()}
    return {**os.environ, **kept}


def report(live: Server, asked: Asked, number: int) -> tuple[str, bytes]:
    """The job and its file. Another `number` is another question: its measures have other names."""
    renamed = [{**each, "as": f"{each['as']}_{number}"} for each in asked.parameters["measures"]]
    order = [{**each, "column": f"{each['column']}_{number}"} for each in asked.parameters.get("orderBy", ())]
    parameters = {**asked.parameters, "dataset": asked.table, "measures": renamed, "orderBy": order}
    body = {"reportType": "aggregate", "parameters": parameters, "format": "parquet"}
    headers = {"Content-Type": "application/json", "Prefer": "wait=60"}
    request = urllib.request.Request(f"{live.url}/api/reports", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as response:
        job = json.load(response)["id"]
    while live.call("GET", f"/api/reports/{job}/status?wait=60")[2]["status"] == "In Progress":
        pass
    with urllib.request.urlopen(f"{live.url}/api/reports/{job}/download") as response:
        return job, response.read()


def forget_kept(home: Path) -> None:
    """Remove what reports have kept for later ones."""
    import shutil

    shutil.rmtree(home / "store" / "kept", ignore_errors=True)


def measured(contender: Contender, asked: Asked) -> Cost:
    """Ask once."""
    processes = family(contender.pid)
    for process in processes:
        with contextlib.suppress(OSError):
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # the peak begins anew
    before = cpu_seconds(processes)
    wall = contender.ask(asked)
    cpu = cpu_seconds(processes) - before
    peaks = [peak_bytes(process) for process in processes]
    return Cost(wall, cpu, sum(peaks) // MiB, max(peaks) // MiB)


def family(pid: int) -> list[psutil.Process]:
    """A process and all below it."""
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def cpu_seconds(processes: list[psutil.Process]) -> float:
    """Of all their threads, to the nanosecond: the processes' own clocks."""
    total = 0.0
    for process in processes:
        with contextlib.suppress(OSError):
            total += time.clock_gettime((~process.pid << 3) | 2)
    return total


def answers_of(path: Path) -> list[tuple[Any, ...]]:
    """The rows of a saved answer as numbers, dates and texts that compare, in an order of their own."""
    table = pq.read_table(path)
    columns = [_comparable(table.column(index)) for index in range(table.num_columns)]
    rows = zip(*columns, strict=True)
    return sorted(
        rows,
        key=lambda row: [
            (each is None, f"{each:.6g}" if isinstance(each, float) else str(each)) for each in row
        ],
    )


def _comparable(column: pa.ChunkedArray) -> list[Any]:
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_temporal(kind):
        return column.cast(pa.timestamp("us")).to_pylist()
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return [str(each) for each in column.to_pylist()]
    return [None if each is None or each != each else float(each) for each in column.to_pylist()]


def same(left: list[tuple[Any, ...]], right: list[tuple[Any, ...]], within: float) -> bool:
    """Whether two answers are equal, floats up to a share of themselves."""
    return len(left) == len(right) and all(
        a == b
        or (isinstance(a, float) and isinstance(b, float) and abs(a - b) <= within * max(abs(a), abs(b)))
        for one, other in zip(left, right, strict=True)
        for a, b in zip(one, other, strict=True)
    )


def machine() -> str:
    """What it ran on, and how busy that was."""
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        "unknown processor",
    )
    memory = psutil.virtual_memory().total / (1 << 30)
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return f"{os.cpu_count()} cores of {model}, {memory:.0f} GiB; load before: {load}"
