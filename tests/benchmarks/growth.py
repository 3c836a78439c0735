"""`make bench-growth`: what reports cost as the work grows, and a question of very many groups.

Wall seconds, CPU-seconds of all processes, the peak of the largest worker and the number of parts, over HTTP
with two workers; DuckDB beside it, interleaved. The larger datasets hold the files of the smaller one several
times over (links, so they take no room); the last question groups by a column that is different in every row.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipelines.datasets import Catalog, Commit, Mode, commit_fragments
from pipelines.reports import pipeline
from pipelines.run import Context
from pipelines.store import open_store
from tests.benchmarks.contenders import Cost, Engine, OverHttp, machine, measured
from tests.benchmarks.report_questions import EVERY_ROW, SALES, Asked
from tests.benchmarks.report_tables import imported, originals
from tests.live import server

MILLIONS = (1, 5, 10, 50, 100)
MANY_GROUPS = 20_000_000
QUESTIONS = (SALES[1], SALES[5])  # few groups, many groups


def measure(folder: Path, millions: tuple[int, ...], runs: int) -> None:
    home = folder / "growth"
    home.mkdir(parents=True, exist_ok=True)
    print(machine())
    with server(2, folder, home) as live:
        live.wait_for_workers(2)
        files = {}
        for count in millions:
            source = min(count, 10)  # what is made; more of it is the same again
            if source not in files:
                files[source] = originals(folder, source * 1_000_000)["sales"]
                imported(live, f"sales{source}", files[source], folder)
            if count > source:
                _times(home, f"sales{source}", f"sales{count}", count // source)
            for asked in QUESTIONS:
                asking = OverHttp("Haulier", live, int(time.time()))
                _compare(asking, asked, f"sales{count}", count, runs, home)
    if max(millions) * 1_000_000 >= MANY_GROUPS:
        _many(folder, home, runs)


def _many(folder: Path, home: Path, runs: int) -> None:
    """As many groups as rows: pieces are put aside on disk, no worker holds them all."""
    rows = MANY_GROUPS
    with server(2, folder, home) as live:
        live.wait_for_workers(2)
        paths = originals(folder, rows)["sales"]
        imported(live, "many", paths, folder)
        asking = OverHttp("Haulier", live, int(time.time()))
        _compare(asking, EVERY_ROW, "many", rows // 1_000_000, runs, home)


def _compare(asking: OverHttp, asked: Asked, name: str, count: int, runs: int, home: Path) -> None:
    stored = f"{open_store(str(home / 'store')).path(f'datasets/{name}')}/*.parquet"
    engine = Engine("DuckDB", "DuckDB", lambda _: stored)
    ours, theirs = [], []
    try:
        for number in range(runs + 1):
            pair = (measured(asking, replace(asked, table=name)), measured(engine, asked))
            if number:  # the first one warms up
                ours.append(pair[0])
                theirs.append(pair[1])
    finally:
        engine.close()
    found = ", ".join(f"{who} {_of(costs)}" for who, costs in (("Haulier", ours), ("DuckDB", theirs)))
    print(
        f"{count:4} M rows, {asked.name}: {found}; {_parts(home, replace(asked, table=name))} parts",
        flush=True,
    )


def _parts(home: Path, asked: Asked) -> int:
    """How many parts the plan has."""
    url = str(home / "store")
    body = {"reportType": "aggregate", "parameters": {"dataset": asked.table, **asked.parameters}}
    spec = pipeline.parse(body, Catalog(open_store(url))).spec
    return len(pipeline.make_plan(Context("parts", 1, url), spec, None)["parts"])


def _of(costs: list[Cost]) -> str:
    wall, cpu, peak = (
        statistics.median(getattr(cost, what) for cost in costs) for what in ("wall", "cpu", "largest")
    )
    return f"{wall:.2f} s, {cpu:.2f} CPU-s, {peak:.0f} MiB the largest process"


def _times(home: Path, source: str, name: str, times: int) -> None:
    """A dataset of the files of another, several times over: hard links under names of their own."""
    store = open_store(str(home / "store"))
    catalog = Catalog(store)
    if name in catalog.names():
        return
    dataset, found = catalog.get(source), []
    for fragment in catalog.fragments(source, dataset.version):
        for number in range(times):
            job, _, rest = fragment.path.rsplit("/", 1)[-1].partition("-")
            path = f"datasets/{name}/{job}-{number}{rest}"
            os.makedirs(os.path.dirname(store.path(path)), exist_ok=True)
            if not store.exists(path):
                os.link(store.path(fragment.path), store.path(path))
            found.append(replace(fragment, path=path))
    commit = Commit(name, Mode.CREATE, dataset.columns, dataset.time_column, f"{name}growth", 1, {})
    commit_fragments(store, commit, found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=int, action="append", help="of rows; several times for several")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to keep the generated files and the home")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (given.folder or Path(temporary)).resolve()
        measure(folder, tuple(given.millions or MILLIONS), given.runs)


if __name__ == "__main__":
    main()
