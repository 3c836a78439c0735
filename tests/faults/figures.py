"""Figures of faults: how quick a cancel is, what is done again after a crash, the pace after each fault.

Each function takes a running site and gives a table; judging is the reader's. The queue is `backlog`'s.
"""

from __future__ import annotations

import random
import signal
import statistics
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from tests.faults import toy
from tests.faults.embedded import Embedded
from tests.faults.history import ENDED, NeverAnswered
from tests.faults.processes import end
from tests.faults.scaled import Scaled
from tests.faults.site import Site

TIMES = 20
CRASHES = 5
PARTS = 40
WINDOW = 20.0
FAULTY = 30.0  # seconds after a fault at which the pace is looked at


@dataclass(frozen=True)
class Table:
    """Titles of the columns and the rows under them."""

    titles: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def lines(self) -> list[str]:
        cells = [[str(cell) for cell in row] for row in (self.titles, *self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        padded = [
            [cell.ljust(width) if n == 0 else cell.rjust(width) for n, (cell, width) in enumerate(pairs)]
            for pairs in (list(zip(row, widths, strict=True)) for row in cells)
        ]
        return ["  ".join(row).rstrip() for row in padded]


# --- cancel


def cancel(site: Site) -> Table:
    """Seconds from the call to "dismissed", to the last part gone, to the first part of the waiting job."""
    rows = []
    for kind, more in {"listening": {}, "deaf": {"hang": "gil", "keep": False}}.items():
        runs = [_cancel_once(site, f"{kind}{n}", more) for n in range(TIMES)]
        for name, each in zip(
            ("canceled", "processes free", "next started"), zip(*runs, strict=True), strict=True
        ):
            rows.append(
                (f"{kind}: {name}", round(statistics.median(each), 3), round(max(each), 3), len(each))
            )
    return Table(("cancel, s", "median", "worst", "times"), rows)


def _cancel_once(site: Site, tag: str, more: dict[str, Any]) -> tuple[float, float, float]:
    _warm(site, tag)
    job = site.client.submit(toy.body(tag=tag, parts=2, seconds=60, **more))
    until(lambda: len(_lines(site, job, "start")) == 2)
    pids = {line["pid"] for line in _lines(site, job, "start")}
    waiting = site.client.submit(toy.body(tag=f"{tag}-next", parts=1, seconds=0, keep=False))
    site.harmed |= pids if more else set()
    began = time.monotonic()
    site.client.cancel(job)
    until(lambda: site.client.job(job)["status"] == "dismissed")
    canceled = time.monotonic() - began
    until(lambda: not [p for p in pids - {e["pid"] for e in _lines(site, job, "broken")} if _lives(p)])
    free = time.monotonic() - began
    until(lambda: _lines(site, waiting, "start"))
    started = _lines(site, waiting, "start")[0]["at"] - began
    site.client.wait(waiting)
    return canceled, free, started


def _warm(site: Site, tag: str) -> None:
    """Until both workers work: one that was ended a moment ago is missed only after a while."""
    for n in range(60):
        job = site.client.submit(toy.body(tag=f"{tag}-warm{n}", parts=4, seconds=0.15, keep=False))
        site.client.wait(job)
        if len({line["pid"] for line in _lines(site, job, "start")}) == 2:
            return
    raise AssertionError("one worker does all")


# --- what is done again


def again(site: Site) -> Table:
    """Parts that ran more than once when the dispatcher died at 50 % and the scheduler at 90 %."""
    rows = []
    for name, share, crash in (
        ("dispatcher killed at 50 %", 50, _dispatcher_dies),
        ("scheduler killed at 90 %", 90, _scheduler_dies),
    ):
        found = [_again_once(site, f"{name}{n}", share, crash) for n in range(CRASHES)]
        twice = [parts for parts, _, _ in found]
        attempts = max(attempt for _, attempt, _ in found)
        seconds = statistics.median(took for _, _, took in found)
        rows.append((name, PARTS, statistics.median(twice), max(twice), attempts, round(seconds, 1)))
    titles = ("parts run again", "parts", "median", "worst", "attempt", "s after the kill")
    return Table(titles, rows)


def _again_once(site: Site, tag: str, share: int, crash: Callable[[Site], None]) -> tuple[int, int, float]:
    site.restore()
    _warm(site, tag)
    job = site.client.submit(toy.body(tag=f"{tag}{uuid.uuid4().hex}", parts=PARTS, seconds=0.25))
    site.client.until(job, lambda document: int(document["progress"]) >= share)
    killed = time.monotonic()
    crash(site)
    document = site.client.wait(job, 120)
    assert document["status"] == "successful", document
    ran = [line["part"] for line in _lines(site, job, "start")]
    return len(ran) - len(set(ran)), int(document["attempt"]), time.monotonic() - killed


def _dispatcher_dies(site: Site) -> None:
    """The one that has the job and, so that nobody is there at once, the other; they start again."""
    if isinstance(site, Embedded):  # its Dask goes with it
        site.crash()
        site.start()
        return
    assert isinstance(site, Scaled)
    for node in site.dispatchers:
        node.kill()
    for node in site.dispatchers:
        node.start()


def _scheduler_dies(site: Site) -> None:
    site.harm_workers()
    if isinstance(site, Embedded):
        end([site.scheduler()])
    else:
        assert isinstance(site, Scaled)
        site.scheduler.kill()


# --- pace


def pace(site: Site) -> Table:
    """Jobs a second in 20 s before each fault and in the 20 s that begin 30 s after it."""
    ends: list[float] = []
    stop = threading.Event()
    users = [threading.Thread(target=_user, args=(site, stop, ends), daemon=True) for _ in range(8)]
    for user in users:
        user.start()
    rows = []
    time.sleep(5)
    for name, fault in _faults(site).items():
        time.sleep(WINDOW)
        moment = time.monotonic()
        fault()
        time.sleep(max(0.0, moment + FAULTY + WINDOW - time.monotonic()))
        before = _rate(ends, moment - WINDOW, moment)
        after = _rate(ends, moment + FAULTY, moment + FAULTY + WINDOW)
        first = min((at - moment for at in ends if at > moment + 0.5), default=float("nan"))
        ratio = after / before if before else float("nan")
        rows.append((name, round(before, 2), round(after, 2), round(ratio, 2), round(first, 2)))
    stop.set()
    for user in users:
        user.join(120)
    return Table(("fault", "jobs/s before", "30 s after", "ratio", "first end after, s"), rows)


def _user(site: Site, stop: threading.Event, ends: list[float]) -> None:
    while not stop.is_set():
        try:
            job = site.client.submit(toy.body(tag=uuid.uuid4().hex, parts=2, seconds=0.2, keep=False))
            while (status := site.client.job(job)["status"]) not in ENDED and not stop.is_set():
                time.sleep(0.05)
        except NeverAnswered:
            continue
        if status == "successful":
            ends.append(time.monotonic())


def _faults(site: Site) -> dict[str, Callable[[], None]]:
    def worker() -> None:
        victim = random.choice(site.workers())
        site.harmed.add(victim.pid)
        victim.kill()

    common = {"nothing": lambda: None, "worker": worker, "scheduler": lambda: _scheduler_dies(site)}
    if isinstance(site, Embedded):
        return {**common, "service": lambda: _dispatcher_dies(site)}
    assert isinstance(site, Scaled)
    scaled = site

    def node(which: str) -> Callable[[], None]:
        def act() -> None:
            victim = getattr(scaled, which)[0]
            end(victim.family())
            victim.kill()
            victim.start()

        return act

    def database() -> None:
        scaled.postgres.stop(signal.SIGQUIT)
        time.sleep(1)
        scaled.postgres.start()

    return {**common, "server": node("servers"), "dispatcher": node("dispatchers"), "database": database}


def _rate(ends: list[float], low: float, high: float) -> float:
    return sum(low <= at < high for at in ends) / (high - low)


# --- looking


def _lines(site: Site, job: str, event: str) -> list[dict[str, Any]]:
    return [
        line
        for line in site.executions()
        if line["job"] == job and line["event"] == event and isinstance(line["part"], int)
    ]


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def until(wanted: Callable[[], object], seconds: float = 60.0) -> None:
    """Look a hundred times a second."""
    deadline = time.monotonic() + seconds
    while not wanted():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.01)
