"""How long a POST takes while the cluster starts, while the service idles, and while its workers are busy."""

from __future__ import annotations

import itertools
import statistics
import time
from pathlib import Path

from tests.live import Server, server

RUNS = 40
_NUMBERS = itertools.count(1)
HEAVY = {
    "reportType": "aggregate",
    "parameters": {
        "dataset": "sales",
        "by": ["customer_id"],
        "measures": [
            {"op": "quantile", "of": "unit_price", "q": 0.5},
            {"op": "distinct", "of": "product_id"},
        ],
        "limit": 10,
    },
}


def question() -> dict[str, object]:
    """Revenue of a year by month. Never the same twice: an equal one would be answered at once."""
    amount = f"quantity * unit_price * {next(_NUMBERS)}"
    return {"reportType": "yearly-sales", "parameters": {"year": 2023, "dataset": "sales", "amount": amount}}


def milliseconds(live: Server, runs: int = RUNS) -> list[float]:
    """Times of single POSTs, one after another on this machine's loopback."""
    times = []
    for body in [question() for _ in range(runs)]:
        start = time.perf_counter()
        status, _, answer = live.call("POST", "/api/reports", body)
        times.append((time.perf_counter() - start) * 1000)
        assert status == 202, answer
    return times


def wait_until_quiet(live: Server) -> None:
    while (
        live.call("GET", "/api/jobs?status=running&limit=1")[2]["jobs"]
        or (live.call("GET", "/api/jobs?status=accepted&limit=1")[2]["jobs"])
    ):
        time.sleep(0.2)


def measure(home: Path) -> None:
    """`home` holds a `sales` dataset. Prints the medians and their ratios to the idle one."""
    with server(2, home=home) as live:
        starting = milliseconds(live)
        ready = live.call("GET", "/readyz")[2]["workers"]
        live.wait_for_workers(2)
        wait_until_quiet(live)
        idle = milliseconds(live)
        wait_until_quiet(live)
        heavy = [
            live.submit("/api/reports", {**HEAVY, "format": form}) for form in ("csv", "json", "parquet")
        ]
        time.sleep(1)
        busy = milliseconds(live)
        still = live.call("GET", f"/api/jobs/{heavy[-1]}")[2]["status"]
        for job in heavy:
            live.call("POST", f"/api/jobs/{job}/cancel")
    print(f"POST, median of {RUNS} (min-max), ms; workers up after `starting`: {ready}; heavy job: {still}")
    base = statistics.median(idle)
    for name, times in (("starting", starting), ("idle", idle), ("busy", busy)):
        median = statistics.median(times)
        print(
            f"  {name:9} {median:7.1f} ({min(times):.1f}-{max(times):.1f})  ratio to idle {median / base:.2f}"
        )
