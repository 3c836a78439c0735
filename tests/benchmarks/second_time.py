"""`make bench-again`: the second time. What an equal question costs, one after an append, and a coarser one.

Over HTTP, with two workers, against DuckDB's full run on the original files, interleaved in one run. Appends
1 % of the rows each round. Wall and CPU-seconds of all processes; the receipts say what was read and reused.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import pyarrow.parquet as pq

from pipelines.samples import sales
from tests.benchmarks.contenders import Engine, OverHttp, machine, measured, report
from tests.benchmarks.report_questions import SALES, Asked
from tests.benchmarks.report_tables import imported, originals
from tests.live import Server, server

ROUNDS = 5
FULL = SALES[1]  # all years by month, region, category
_USUAL = FULL.parameters["measures"]
COARSER = {
    "fewer keys": {"by": ["region"], "measures": _USUAL},
    "a coarser grain": {"by": [{"time": "ordered_at", "grain": "year"}, "category"], "measures": _USUAL},
    "a subset of its measures": {"by": FULL.parameters["by"], "measures": _USUAL[:1]},
}


def measure(folder: Path, rows: int) -> None:
    home = folder / f"again-{rows}"
    home.mkdir(parents=True, exist_ok=True)
    paths = originals(folder, rows)["sales"]
    print(f"{rows:,} rows, {machine()}")
    with server(2, folder, home) as live:
        live.wait_for_workers(2)
        imported(live, "sales", paths, folder)
        asking = OverHttp("Haulier", live, int(time.time()))
        engine = Engine("DuckDB", "DuckDB", lambda name: f"{paths[0].parent}/*.parquet")
        try:
            engine.ask(FULL)
            asking.ask(FULL)
            appended(live, asking, engine, folder, rows)
            again(live, asking)
            coarser(asking)
        finally:
            engine.close()


def appended(live: Server, asking: OverHttp, engine: Engine, folder: Path, rows: int) -> None:
    """Append 1 % and ask; to DuckDB's files nothing is added: it has the easier question."""
    pairs, notes = [], []
    for number in range(ROUNDS):
        path = folder / "more.parquet"
        pq.write_table(sales(rows, max(1, rows // 100), rows, seed=100 + number), path, compression="zstd")
        body = {"dataset": "sales", "source": path.name, "options": {"mode": "append"}}
        live.watch(live.submit("/api/imports", body), every=0.1)
        pairs.append((_known(asking, FULL), measured(engine, FULL)))
        notes = asking.notes
    for what, figure in (("CPU-seconds", "cpu"), ("wall seconds", "wall")):
        ours = [getattr(a, figure) for a, _ in pairs]
        theirs = [getattr(b, figure) for _, b in pairs]
        ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
        print(
            f"  after 1 % more, {what}: {_of(ours)}; DuckDB over all: {_of(theirs)}; {ratio:.1f} times ours"
        )
    print(f"  {notes}")


def again(live: Server, asking: OverHttp) -> None:
    """The very same question: answered by the result that is there."""
    times = []
    for _ in range(20):
        started = time.perf_counter()
        report(live, FULL, asking.asked)
        times.append((time.perf_counter() - started) * 1000)
    print(f"  the equal question again, from POST to the last byte, ms: {_of(times[5:])}")


def coarser(asking: OverHttp) -> None:
    for name, parameters in COARSER.items():
        cost = _known(asking, replace(FULL, parameters=parameters))
        print(f"  {name}: {cost.wall:.2f} s, {cost.cpu:.2f} CPU-seconds; {asking.notes}")


def _known(asking: OverHttp, asked: Asked) -> Any:
    """The cost of a question under new names, with all that is kept."""
    asking.asked += 1
    return measured(_Kept(asking), asked)


class _Kept:
    """Haulier that may use what it kept."""

    name = "Haulier"

    def __init__(self, asking: OverHttp) -> None:
        self._asking = asking

    @property
    def pid(self) -> int:
        return self._asking.pid

    def ask(self, asked: Asked, save: Path | None = None) -> float:
        return self._asking.ask(asked, save, forget=False)


def _of(values: list[float]) -> str:
    return f"{statistics.median(values):.3f} ({min(values):.3f}-{max(values):.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=float, default=1e7)
    parser.add_argument("--folder", type=Path, help="where to keep the generated files and the home")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        measure((given.folder or Path(temporary)).resolve(), int(given.rows))


if __name__ == "__main__":
    main()
