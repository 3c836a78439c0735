"""Numbers for operators at `/metrics`: requests as they were served, jobs as the tracker has them.

Requests are counted in this process since its start; with several behind one address, scrape each of them.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator

from flask import Flask, Response, current_app, g, request

from service.exposition import CONTENT_TYPE, Family, Histogram, Sample, family, render
from service.remembered import Remembered
from service.routes.openapi import TEXT, blueprint
from service.routes.requests import NoQuery
from service.routes.site import site

api = blueprint("metrics")

_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_FRESH = 5.0  # seconds: counting a million jobs takes a while, and nobody needs them newer


class Traffic:
    """What was served: requests by route and status, and how long each took that did not wait on purpose."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._seconds: dict[tuple[str, str], Histogram] = {}

    def count(self, method: str, route: str, status: int, seconds: float | None) -> None:
        with self._lock:
            self._requests[method, route, status] += 1
            if seconds is not None:
                self._seconds.setdefault((method, route), Histogram(_BOUNDS)).observe(seconds)

    def families(self) -> list[Family]:
        with self._lock:
            requests = [
                Sample(count, {"method": method, "route": route, "status": str(status)})
                for (method, route, status), count in sorted(self._requests.items())
            ]
            seconds = [
                sample
                for (method, route), histogram in sorted(self._seconds.items())
                for sample in histogram.samples({"method": method, "route": route})
            ]
        return [
            Family("haulier_http_requests_total", "counter", "Requests answered", requests),
            Family(
                "haulier_http_request_seconds",
                "histogram",
                "Seconds until the answer began, of requests that did not wait for a change",
                seconds,
            ),
        ]


def install(app: Flask) -> None:
    traffic = app.extensions["haulier-traffic"] = Traffic()
    app.extensions["haulier-recent"] = Remembered[None, list[Family]](_FRESH, lambda _: list(_jobs()))

    def begin() -> None:
        g.began = time.perf_counter()

    def end(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule is not None else "none"
        waited = g.get("waited", False)
        took = None if waited or "began" not in g else time.perf_counter() - g.began
        traffic.count(request.method, route, response.status_code, took)
        return response

    app.before_request(begin)
    app.after_request(end)


@api.get("/metrics", responses={"200": TEXT})
def metrics(query: NoQuery) -> Response:
    """Counters and gauges as Prometheus reads them"""
    traffic: Traffic = current_app.extensions["haulier-traffic"]
    recent: Remembered[None, list[Family]] = current_app.extensions["haulier-recent"]
    found = [*recent[None], *_house(), *traffic.families()]
    return Response(render(found), content_type=CONTENT_TYPE)


def _jobs() -> Iterator[Family]:
    counts = {state.value: float(count) for state, count in site().jobs.counts().items()}
    yield family("haulier_jobs", "gauge", "Jobs the tracker remembers, by status", counts, "status")

    yield from _estimates()


def _estimates() -> Iterator[Family]:
    """How right ETAs were, over the newest 50 jobs of each type: before the start, and at a fifth."""
    errors, held, jobs = [], [], []
    for (kind, type, moment), record in sorted(site().jobs.waiting.records().items()):
        labels = {"kind": kind, "type": type, "moment": moment}
        errors.append(Sample(record.error, labels))
        held.append(Sample(record.under_p90, labels))
        jobs.append(Sample(record.jobs, labels))
    yield Family("haulier_eta_error_ratio", "gauge", "Median error of ETAs, as a share of the truth", errors)
    yield Family("haulier_eta_under_p90_ratio", "gauge", "Share of jobs that ended within their p90", held)
    yield Family("haulier_eta_jobs", "gauge", "Finished jobs these are measured on", jobs)


def _house() -> Iterator[Family]:
    here, health = site(), site().health()
    yield family("haulier_database_up", "gauge", "1 when the job database answers", float(health.database))
    yield family("haulier_store_up", "gauge", "1 when the store answers", float(health.store))
    if health.workers is not None:
        yield family("haulier_workers", "gauge", "Dask workers this process sees", health.workers)
    held = {"wait": here.waiters.taken, "stream": here.streams.taken}
    yield family("haulier_held_requests", "gauge", "Requests that wait for a change now", held, "kind")
    full = {"wait": here.waiters.refused, "stream": here.streams.refused}
    yield family(
        "haulier_unheld_requests_total", "counter", "Requests answered at once for lack of room", full, "kind"
    )
    yield family(
        "haulier_polls_refused_total", "counter", "Polls refused as too fast (429)", here.pacing.refused
    )
