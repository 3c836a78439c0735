"""How a long queue feels: accept, status, pick-up and memory with 100 and with very many jobs waiting."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from service.model import NewJob, Priority, new_id
from service.tracker import Tracker, utcnow
from tests.faults import toy
from tests.faults.embedded import Embedded
from tests.faults.figures import Table, until
from tests.faults.history import ENDED
from tests.faults.processes import marked
from tests.faults.scaled import Scaled
from tests.faults.site import Site, says

FEW, MANY = 100, 100_000
PROBES = 60
ROLES = ("server", "dispatcher", "scheduler", "others")


def queue(site: Site, many: int = MANY) -> Table:
    """Seconds of a call with few and with many batch jobs waiting; MiB of the largest process of a role."""
    preload(site, FEW)
    few, before = _latencies(site), _memory(site)
    preload(site, many)
    full, after = _latencies(site), _memory(site)
    named = [
        (f"{name}, s", few[name], full[name], round(full[name] / few[name], 2) if few[name] else "")
        for name in few
    ]
    memory = [(f"{role}, MiB", before[role], after[role], "") for role in ROLES if role in before]
    return Table(("what", f"{FEW} queued", f"{many} queued", "ratio"), [*named, *memory])


def preload(site: Site, count: int) -> None:
    """Batch jobs of a second each, written with the service's own tracker while nobody dispatches."""
    if isinstance(site, Embedded):
        if site.server.alive:
            site.terminate()
        url = f"sqlite:///{site.home}/haulier.sqlite"
    else:
        assert isinstance(site, Scaled)
        for node in site.dispatchers:
            node.rest()
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

    with ThreadPoolExecutor(16) as threads:
        for _ in threads.map(one, range(count), chunksize=100):
            pass
    tracker.close()
    site.restore()


def _latencies(site: Site) -> dict[str, float]:
    accept, status, picked = [], [], []
    time.sleep(3)
    for n in range(PROBES):
        began = time.monotonic()
        job = site.client.submit(toy.body(tag=f"probe{n}{began}", parts=1, seconds=0, keep=False))
        accept.append(time.monotonic() - began)
        for _ in range(5):
            asked = time.monotonic()
            site.client.job(job)
            status.append(time.monotonic() - asked)
        until(lambda job=job: _begun(site.client.job(job)))
        picked.append(time.monotonic() - began)
        time.sleep(0.1)
    named = {"accept": accept, "status": status, "pick-up": picked}
    return {
        f"{name} {label}": round(sorted(each)[int(len(each) * share)], 4)
        for name, each in named.items()
        for label, share in (("p50", 0.5), ("p95", 0.95))
    }


def _begun(document: dict[str, Any]) -> bool:
    return bool(document["started"]) or document["status"] in ENDED


def _memory(site: Site) -> dict[str, int]:
    found: dict[str, int] = {}
    for process in marked(site.mark):
        role = "scheduler" if says(process, "scheduler") or says(process, "dask-scheduler") else "others"
        role = "dispatcher" if says(process, "dispatch") else role
        parent = process.parent()  # the app is a child of the process that was told to serve
        served = says(process, "serve") or (parent is not None and says(parent, "serve"))
        role = "server" if served and role == "others" else role
        found[role] = max(found.get(role, 0), process.memory_info().rss >> 20)
    return found
