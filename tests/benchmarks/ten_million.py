"""Import and report of generated sales: progress, ETA, memory of each worker, two workers against one."""

from __future__ import annotations

import itertools
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

from pipelines.samples import IMPORT_OPTIONS
from tests.live import MiB, Server, peak_bytes, server

PAIRS = 5
_NUMBERS = itertools.count(1)
ALL_YEARS = {
    "reportType": "aggregate",
    "parameters": {
        "dataset": "sales",
        "by": [{"time": "ordered_at", "grain": "month"}, "region", "category"],
        "measures": [
            {"op": "count", "as": "orders"},
            {"op": "sum", "of": "quantity", "as": "units"},
            {"op": "sum", "of": "quantity * unit_price", "as": "revenue"},
            {"op": "distinct", "of": "customer_id", "as": "customers"},
        ],
    },
}
# much to compute and little to ship: what a second worker can help with most
BY_CATEGORY = {
    "reportType": "aggregate",
    "parameters": {
        "dataset": "sales",
        "by": [{"time": "ordered_at", "grain": "month"}, "region", "category"],
        "measures": [
            {"op": "count", "as": "orders"},
            *(
                {"op": op, "of": f"quantity * unit_price * {factor}", "as": f"{op}_{factor}"}
                for factor in (1, 2, 3)
                for op in ("sum", "mean", "stddev", "min", "max")
            ),
        ],
    },
}
ONE_YEAR = {"reportType": "yearly-sales", "parameters": {"year": 2023, "by": ["month", "category"]}}


def describe(name: str, documents: list[dict[str, object]], seconds: float) -> None:
    values = sorted({int(str(d["progress"])) for d in documents})
    etas = [d["eta"]["seconds"] for d in documents if d.get("eta")]  # type: ignore[index]
    print(f"  {name}: {seconds:.1f} s, {len(values)} progress values {values[:24]}, ETA seen {etas[:30]}")


def import_sales(live: Server, file: Path) -> None:
    start = time.perf_counter()
    body = {"dataset": "sales", "source": file.name, "options": {"columns": IMPORT_OPTIONS}}
    documents = live.watch(live.submit("/api/imports", body))
    describe("import", documents, time.perf_counter() - start)


def never_asked(body: dict[str, Any]) -> dict[str, Any]:
    """The same work under another question: what was asked before, or is kept, is answered at once."""
    odd = next(_NUMBERS)
    measures = [
        {**each, "of": f"{each['of']} + {odd}"} if "*" in each.get("of", "") else each
        for each in body["parameters"]["measures"]
    ]
    return {**body, "parameters": {**body["parameters"], "measures": measures}}


def timed_report(live: Server, body: dict[str, Any]) -> float:
    body = never_asked(body)
    start = time.perf_counter()
    live.watch(live.submit("/api/reports", body), every=0.02)
    return time.perf_counter() - start


def measure(file: Path, home: Path) -> None:
    """Import `file` with two workers into `home`, report with progress, then pair two workers with one."""
    with server(2, file.parent, home) as live:
        live.wait_for_workers(2)
        import_sales(live, file)
        for name, body in (
            ("yearly-sales by month and category", ONE_YEAR),
            ("all years, four measures", ALL_YEARS),
        ):
            start = time.perf_counter()
            describe(
                name, live.watch(live.submit("/api/reports", body), every=0.02), time.perf_counter() - start
            )
        peaks = [peak_bytes(process) // MiB for process in live.workers()]
        print(f"  peak memory of each worker: {peaks} MiB")
    other = home.with_name("one-worker")
    shutil.copytree(home / "store", other / "store")
    with server(2, home=home) as two, server(1, home=other) as one:
        two.wait_for_workers(2)
        one.wait_for_workers(1)
        for name, body in (("15 measures of products", BY_CATEGORY), ("one of them distinct", ALL_YEARS)):
            compare(name, body, one, two)


def compare(name: str, body: dict[str, Any], one: Server, two: Server) -> None:
    for live in (two, one):
        timed_report(live, body)
    pairs = [(timed_report(one, body), timed_report(two, body)) for _ in range(PAIRS)]
    ratios = sorted(a / b for a, b in pairs)
    print(f"  {name}: seconds with one worker and with two {[(round(a, 2), round(b, 2)) for a, b in pairs]}")
    print(f"    two against one: median {statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})")
