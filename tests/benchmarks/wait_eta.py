"""How wrong ETAs are: mixed jobs on a running service, each asked at a fifth of its true time.

Reports of a part or all of the sales, asked in many ways, and imports of several sizes come in a fixed
random order, one after the other. Each is watched closely; what the document said when a fifth of the time it
took was over is compared with what was left then. The first of each type have no history: they count.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipelines.samples import write_sales
from tests.live import Server, server

Seen = list[tuple[float, dict[str, Any] | None]]  # seconds since the 202, and `eta`


@dataclass(frozen=True)
class Ask:
    """A job to come: where it is posted, and what."""

    what: str
    path: str
    body: dict[str, Any]


def asks(rows: int, jobs: int) -> Iterator[Ask]:
    """In a fixed order; no two reports share what they find out."""
    chance = random.Random(7)
    measures = [
        {"op": "distinct", "of": "customer_id", "as": "c"},
        {"op": "quantile", "of": "unit_price", "q": 0.9},
    ]
    for number in range(jobs):
        if number % 3 == 2:
            size = chance.choice([rows // 20, rows // 10, rows // 5])
            body = {"dataset": f"copy{number}", "source": f"sales-{size}.csv"}
            yield Ask(f"import of {size:,}", "/api/imports", body)
            continue
        since = chance.choice(["2019-01-01", "2021-01-01", "2022-01-01", "2023-01-01"])
        amount = f"quantity * unit_price + {number}"
        parameters = {
            "dataset": "sales",
            "by": [chance.choice(["product_id", "customer_id", "region"])],
            "measures": [{"op": "sum", "of": amount, "as": "s"}, chance.choice(measures)],
            "where": [{"column": "ordered_at", "op": ">=", "value": since}],
            "limit": 100,
        }
        body = {"reportType": "aggregate", "parameters": parameters}
        yield Ask(f"report since {since} by {parameters['by'][0]}", "/api/reports", body)


def watched(live: Server, ask: Ask) -> tuple[Seen, float]:
    """What the job said of itself, and how long it took."""
    own = live.submit(ask.path, ask.body)
    began, seen = time.monotonic(), []
    while True:
        document = live.call("GET", f"/api/jobs/{own}")[2]
        now = time.monotonic() - began
        if document["status"] not in ("accepted", "running"):
            assert document["status"] == "successful", document["error"]
            return seen, now
        seen.append((now, document["eta"]))
        time.sleep(0.03)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=float, default=2e7, help="rows of the largest dataset")
    parser.add_argument("--jobs", type=int, default=30)
    arguments = parser.parse_args()
    rows = int(arguments.rows)
    print(f"load {os.getloadavg()}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for size in (rows, rows // 5, rows // 10, rows // 20):
            write_sales(Path(folder) / f"sales-{size}.csv", size)
        with server(2, input_folder=Path(folder)) as live:
            live.wait_for_workers(2)
            live.watch(live.submit("/api/imports", {"dataset": "sales", "source": f"sales-{rows}.csv"}), 0.5)
            report(live, list(asks(rows, arguments.jobs)))


def report(live: Server, jobs: list[Ask]) -> None:
    errors, starts, held, silent = [], [], [], 0
    for ask in jobs:
        seen, took = watched(live, ask)
        said = [(at, eta) for at, eta in seen if at >= took / 5]
        at, eta = said[0] if said else (took, None)
        if eta is None:
            silent += 1
            print(f"{ask.what:44} took {took:6.1f} s; nothing was said at a fifth", flush=True)
            continue
        left = took - at
        errors.append(abs(eta["seconds"] - left) / left)
        held.append(left <= eta["p90"])
        if (first := seen[0][1]) is not None:
            starts.append(abs(first["seconds"] - (took - seen[0][0])) / took)
        print(
            f"{ask.what:44} took {took:6.1f} s; at a fifth said {eta['seconds']:6.1f} "
            f"(p90 {eta['p90']:6.1f}), true {left:6.1f}: off by {errors[-1]:4.0%}; {eta['basis']}",
            flush=True,
        )
    print(
        f"{len(errors)} jobs: median error at a fifth {statistics.median(errors):.0%}, "
        f"worst {max(errors):.0%}; under p90 {sum(held) / len(held):.0%}; "
        f"before the start {statistics.median(starts):.0%} of {len(starts)}; {silent} said nothing; "
        f"load {os.getloadavg()[0]:.1f}"
    )
    with urllib.request.urlopen(f"{live.url}/metrics") as answer:
        told = answer.read().decode().splitlines()
    print("\n".join(line for line in told if line.startswith("haulier_eta")))


if __name__ == "__main__":
    main()
