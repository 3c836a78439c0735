"""200 clients wait for a job of two minutes: by Retry-After, by long polls, and by asking each second.

For each way: polls a client, seconds from the end of the job until a client knew, latency of the polls that
did not wait on purpose, and what the server spent. The job is a report that sleeps in parts (`tests.faults`).
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))


from tests.faults import toy
from tests.faults.embedded import Embedded

Pause = Callable[[int], float]  # seconds until the next poll, by Retry-After


@dataclass(frozen=True)
class Way:
    """How a client waits: `query` of its polls, and how long it pauses after one."""

    name: str
    query: str
    pause: Pause


WAYS = (
    Way("by Retry-After", "", float),
    Way("wait=60, then Retry-After", "?wait=60", float),
    Way("each second", "", lambda told: 1.0),
)


@dataclass
class Seen:
    """What one client saw: seconds of its polls, and when it knew of the end."""

    took: list[float] = field(default_factory=list)
    refused: int = 0
    knew: float = 0.0


def client(port: int, job: str, way: Way, start: threading.Barrier) -> Seen:
    seen, connection = Seen(), http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    start.wait()
    while True:
        began = time.monotonic()
        connection.request("GET", f"/api/reports/{job}/status{way.query}")
        answer = connection.getresponse()
        body = json.loads(answer.read())
        seen.took.append(time.monotonic() - began)
        seen.refused += answer.status == 429
        if answer.status == 200 and body["status"] != "In Progress":
            seen.knew = time.time()
            connection.close()
            return seen
        time.sleep(way.pause(int(answer.headers["Retry-After"])))


def measure(site: Embedded, way: Way, clients: int, seconds: float) -> None:
    parts = max(8, round(2 * seconds))  # two workers, a second each
    tag = f"{way.name}-{time.time()}"
    job = site.client.submit(toy.body(tag=tag, parts=parts, seconds=1.0, keep=False))
    site.running_part(job)
    app, start = site.app(), threading.Barrier(clients)
    before = sum(app.cpu_times()[:2])
    with ThreadPoolExecutor(clients) as crowd:
        seen = [
            each.result()
            for each in [crowd.submit(client, site.port, job, way, start) for _ in range(clients)]
        ]
    spent = sum(app.cpu_times()[:2]) - before
    document = site.client.job(job)
    ended = datetime.fromisoformat(document["finished"])
    began = datetime.fromisoformat(document["started"])
    late = sorted(each.knew - ended.timestamp() for each in seen)
    polls = sorted(len(each.took) for each in seen)
    took = sorted(took for each in seen for took in each.took if not way.query)
    quick = (
        f"p50 {1000 * took[len(took) // 2]:.1f}, p99 {1000 * took[int(len(took) * 0.99)]:.1f} ms"
        if took
        else "-"
    )
    print(
        f"{way.name:26} job {(ended - began).total_seconds():.0f} s; polls a client: median "
        f"{statistics.median(polls):.0f}, mean {statistics.mean(polls):.1f}, most {polls[-1]}; "
        f"429: {sum(each.refused for each in seen)}; knew late by median {statistics.median(late):.1f}, "
        f"most {late[-1]:.1f} s; polls {quick}; server CPU {spent:.1f} s",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=120)
    arguments = parser.parse_args()
    print(f"load {os.getloadavg()}")
    site = Embedded().start()
    try:
        site.wait_for_workers()
        print(f"server memory before: {site.app().memory_info().rss >> 20} MiB", flush=True)
        for way in WAYS:
            measure(site, way, arguments.clients, arguments.seconds)
        print(f"server memory after: {site.app().memory_info().rss >> 20} MiB")
    finally:
        site.close()


if __name__ == "__main__":
    main()
