"""`make bench-reports`: the report questions, every contender side by side in one run, interleaved.

Writes a table (Markdown, CSV) and a plot to tests/benchmarks/results/. Nothing is answered from what is kept:
each time the kept partials are removed and the question has other names. The first round warms every
contender up and its answers are held against each other.
"""

from __future__ import annotations

import argparse
import contextlib
import platform
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks import results
from tests.benchmarks.contenders import (
    Contender,
    Cost,
    Engine,
    OverHttp,
    answers_of,
    machine,
    measured,
    same,
)
from tests.benchmarks.report_questions import SALES, TPCH, Asked
from tests.benchmarks.report_tables import Table, imported, originals, table
from tests.live import server

SLOW = ("dask.dataframe", "pandas")
SLOW_ROWS, SLOW_RUNS = 20_000_000, 1
WORKERS = 2


@dataclass(frozen=True, slots=True)
class Options:
    rows: int
    runs: int
    folder: Path
    only: tuple[str, ...]
    questions: tuple[str, ...]

    @property
    def asked(self) -> list[Asked]:
        known = [*SALES, *TPCH]
        return [each for each in known if not self.questions or any(q in each.name for q in self.questions)]


def run(options: Options) -> None:
    folder = options.folder
    home = folder / f"home-{options.rows}"
    home.mkdir(parents=True, exist_ok=True)
    files = originals(folder, options.rows)
    with server(WORKERS, folder, home) as live:
        live.wait_for_workers(WORKERS)
        for name, paths in files.items():
            imported(live, name, paths, folder)
        tables = {name: table(home / "store", name, paths) for name, paths in files.items()}
        before = machine()
        with contenders(options, live, tables, home) as playing:
            check(playing, options.asked, folder)
            costs = compare(playing, options)
    title = f"{options.rows:,} rows, {before}; Python {platform.python_version()}, " + ", ".join(
        f"{each} {version(each)}" for each in ("duckdb", "polars", "pandas", "dask", "pyarrow", "numpy")
    )
    results.write(f"reports-{options.rows}", title, costs)


@contextlib.contextmanager
def contenders(
    options: Options, live: object, tables: dict[str, Table], home: Path
) -> Iterator[list[Contender]]:
    """All that are wanted, running."""

    def original(name: str) -> str:
        return tables[name].original

    def layout(name: str) -> str:
        return tables[name].layout

    def store(name: str) -> str:
        return str(home / "store")

    known = {
        "Haulier over HTTP": ("", store),
        "Haulier on Dask": ("plan", store),
        "Haulier's kernel": ("kernel", store),
        "DuckDB": ("DuckDB", original),
        "DuckDB, our layout": ("DuckDB", layout),
        "Polars": ("Polars", original),
        "Polars, our layout": ("Polars", layout),
        "dask.dataframe": ("dask.dataframe", original),
        "pandas": ("pandas", original),
    }
    playing: list[Contender] = []
    try:
        for name, (engine, place) in known.items():
            if options.only and name not in options.only:
                continue
            playing.append(Engine(name, engine, place) if engine else OverHttp(name, live))  # type: ignore[arg-type]
        yield playing
    finally:
        for each in playing:
            if isinstance(each, Engine):
                each.close()


def check(playing: list[Contender], questions: list[Asked], folder: Path) -> None:
    """Warm everybody up; AssertionError where two answers differ."""
    for asked in questions:
        found = {}
        for each in playing:
            save = folder / "answer.parquet"
            each.ask(asked, save)
            found[each.name] = answers_of(save)
        within = 0.01 if "p95" in asked.name else 1e-6  # ours is a sketch past a bound, and says so
        first, *others = found
        for other in others:
            assert same(found[first], found[other], within), f"{asked.name}: {first} and {other} differ"


def compare(playing: list[Contender], options: Options) -> dict[tuple[str, str], list[Cost]]:
    """The costs by question and contender; who begins changes from round to round."""
    costs: dict[tuple[str, str], list[Cost]] = {}
    for number in range(options.runs):
        for asked in options.asked:
            turn = number % len(playing)
            for each in [*playing[turn:], *playing[:turn]]:
                slow = each.name in SLOW and options.rows > SLOW_ROWS
                if not slow or number < SLOW_RUNS:
                    costs.setdefault((asked.name, each.name), []).append(measured(each, asked))
        print(f"round {number + 1} of {options.runs}", flush=True)
    for asked in options.asked:
        medians = {
            each.name: statistics.median(cost.cpu for cost in costs[asked.name, each.name])
            for each in playing
        }
        print(asked.name, {name: round(value, 3) for name, value in medians.items()})
    return costs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=float, default=1e7, help="rows of each table")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to keep the generated files and the homes")
    parser.add_argument("--only", action="append", default=[], help="a contender; several times for several")
    parser.add_argument("--question", action="append", default=[], help="part of a question's name")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (given.folder or Path(temporary)).resolve()
        run(Options(int(given.rows), given.runs, folder, tuple(given.only), tuple(given.question)))


if __name__ == "__main__":
    main()
