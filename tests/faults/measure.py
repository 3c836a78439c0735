"""Figures about faults: how quick a cancel is, the pace after each fault, and a queue of 100,000 jobs.

`python -m tests.faults.measure cancel|pace|queue [--database postgresql]`. Prints JSON; judges nothing.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import statistics
import sys
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import click
import psutil

from service.model import NewJob, Priority, new_id
from service.tracker import Tracker, utcnow
from tests.faults import toy
from tests.faults.embedded import Embedded
from tests.faults.history import ENDED, NeverAnswered
from tests.faults.processes import end, marked
from tests.faults.scaled import Scaled
from tests.faults.site import Site, says

TIMES = 20
WINDOW = 20.0
FAULTY = 30.0  # seconds after a fault at which the pace is looked at


def cancel(site: Site) -> dict[str, Any]:
    """Seconds from the call to "dismissed", to the last part gone, to the first part of the waiting job."""
    found: dict[str, Any] = {}
    for kind, more in {"listening": {}, "deaf": {"hang": "gil", "keep": False}}.items():
        runs = [_cancel_once(site, f"{kind}{n}", more) for n in range(TIMES)]
        found[kind] = {
            name: {"median": round(statistics.median(each), 3), "worst": round(max(each), 3)}
            for name, each in zip(
                ("canceled", "processesFree", "nextStarted"), zip(*runs, strict=True), strict=True
            )
        }
    return found


def _cancel_once(site: Site, tag: str, more: dict[str, Any]) -> tuple[float, float, float]:
    _warm(site, tag)
    job = site.client.submit(toy.body(tag=tag, parts=2, seconds=60, **more))
    _until(lambda: len(_lines(site, job, "start")) == 2)
    pids = {line["pid"] for line in _lines(site, job, "start")}
    waiting = site.client.submit(toy.body(tag=f"{tag}-next", parts=1, seconds=0, keep=False))
    site.harmed |= pids if more else set()
    began = time.monotonic()
    site.client.cancel(job)
    _until(lambda: site.client.job(job)["status"] == "dismissed")
    canceled = time.monotonic() - began
    _until(lambda: not [p for p in pids - {e["pid"] for e in _lines(site, job, "broken")} if _lives(p)])
    free = time.monotonic() - began
    _until(lambda: _lines(site, waiting, "start"))
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


def pace(site: Site) -> dict[str, Any]:
    """Jobs a second in 20 s before each fault and in the 20 s that begin 30 s after it."""
    ends: list[float] = []
    stop = threading.Event()
    users = [threading.Thread(target=_user, args=(site, stop, ends, n)) for n in range(8)]
    for user in users:
        user.start()
    found: dict[str, Any] = {}
    time.sleep(5)
    for name, fault in _faults(site).items():
        time.sleep(WINDOW)
        moment = time.monotonic()
        fault()
        time.sleep(moment + FAULTY + WINDOW - time.monotonic())
        before = _rate(ends, moment - WINDOW, moment)
        after = _rate(ends, moment + FAULTY, moment + FAULTY + WINDOW)
        first = min((at - moment for at in ends if at > moment + 0.5), default=None)
        found[name] = {
            "before": round(before, 2),
            "after": round(after, 2),
            "ratio": round(after / before, 2),
            "firstEndAfter": None if first is None else round(first, 2),
        }
    stop.set()
    for user in users:
        user.join()
    return found


def _user(site: Site, stop: threading.Event, ends: list[float], n: int) -> None:
    while not stop.is_set():
        try:
            job = site.client.submit(toy.body(tag=uuid.uuid4().hex, parts=2, seconds=0.2, keep=False))
            while (status := site.client.job(job)["status"]) not in ENDED:
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

    def scheduler() -> None:
        site.harm_workers()
        if isinstance(site, Scaled):
            site.scheduler.kill()
        else:
            end([process for process in marked(site.mark) if says(process, "dask-scheduler")])

    if isinstance(site, Embedded):

        def server() -> None:
            site.crash()
            site.start()

        return {"nothing": lambda: None, "worker": worker, "scheduler": scheduler, "server": server}
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

    return {
        "nothing": lambda: None,
        "worker": worker,
        "scheduler": scheduler,
        "server": node("servers"),
        "dispatcher": node("dispatchers"),
        "database": database,
    }


def queue(site: Site, many: int = 100_000) -> dict[str, Any]:
    """p95 seconds of accept, status and pick-up with 100 and with many batch jobs waiting; memory as well."""
    _preload(site, 100)
    few = _latencies(site)
    before = _memory(site)
    _preload(site, many)
    full = _latencies(site)
    after = _memory(site)
    ratios = {name: round(full[name] / few[name], 2) for name in few if name.endswith("P95")}
    return {
        "queued100": few,
        f"queued{many}": full,
        "ratios": ratios,
        "memoryBefore": before,
        "memoryAfter": after,
    }


def _preload(site: Site, count: int) -> None:
    """Batch jobs of a second each, written with the service's own tracker while the service is down."""
    if isinstance(site, Embedded):
        if site.server.alive:
            site.terminate()
        url = f"sqlite:///{site.home}/haulier.sqlite"
    else:
        url = site.env["HAULIER_DATABASE_URL"]
    tracker = Tracker.open(url)

    def one(n: int) -> None:
        given = {**toy.DEFAULTS, "tag": f"q{n}", "parts": 1, "seconds": 1.0, "keep": False}
        tracker.accept(
            NewJob(
                id=new_id(utcnow()),
                kind="report",
                type="toy",
                parameters={},
                spec={"toy": given},
                size=10,
                unit="rows",
                priority=Priority.BATCH,
            )
        )

    with ThreadPoolExecutor(32) as threads:
        list(threads.map(one, range(count)))
    tracker.close()
    site.restore()


def _latencies(site: Site) -> dict[str, float]:
    accept, status, picked = [], [], []
    time.sleep(3)
    for n in range(60):
        began = time.monotonic()
        job = site.client.submit(toy.body(tag=f"probe{n}{began}", parts=1, seconds=0, keep=False))
        accept.append(time.monotonic() - began)
        for _ in range(5):
            began_status = time.monotonic()
            site.client.job(job)
            status.append(time.monotonic() - began_status)
        _until(lambda job=job: site.client.job(job)["started"] or site.client.job(job)["status"] in ENDED)
        picked.append(time.monotonic() - began)
        time.sleep(0.1)
    named = {"accept": accept, "status": status, "pickUp": picked}
    return {
        f"{name}{label}": round(sorted(each)[int(len(each) * share)], 4)
        for name, each in named.items()
        for label, share in (("P50", 0.5), ("P95", 0.95))
    }


def _memory(site: Site) -> dict[str, int]:
    """MiB of the largest process of each role."""
    found: dict[str, int] = {}
    for process in marked(site.mark):
        role = "scheduler" if says(process, "scheduler") or says(process, "dask-scheduler") else "others"
        role = "dispatcher" if says(process, "dispatch") else role
        role = "server" if says(process, "serve") else role
        if isinstance(site, Embedded) and process == site.app():
            role = "server"
        found[role] = max(found.get(role, 0), process.memory_info().rss >> 20)
    return found


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


def _rate(ends: list[float], low: float, high: float) -> float:
    return sum(low <= at < high for at in ends) / (high - low)


def _until(wanted: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not wanted():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.01)


def main() -> None:
    parser = argparse.ArgumentParser(description="Figures about faults.")
    parser.add_argument("what", choices=("cancel", "pace", "queue"))
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # nothing it started may stay
    site: Site = Embedded() if given.database == "sqlite" else Scaled(servers=2, dispatchers=2)
    try:
        site.restore()
        figures = {"cancel": cancel, "pace": pace, "queue": queue}[given.what](site)
    finally:
        site.close()
    click.echo(json.dumps({"what": given.what, "database": given.database, **figures}, indent=2))


if __name__ == "__main__":
    main()
