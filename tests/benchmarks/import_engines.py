"""The other engines that make a Parquet file of a CSV file: each runs once in a process of its own.

`python -m tests.benchmarks.import_engines NAME CSV PARQUET` prints "ready" once the engine is loaded, begins
at a line on its input, and prints the seconds it took. Loading is not counted, what is written is synced.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any


def duckdb(source: str, target: str, options: str = "") -> Callable[[], Any]:
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET threads = 2")
    copy = f"COPY (SELECT * FROM read_csv('{source}'{options})) TO '{target}' (FORMAT parquet)"
    return partial(connection.execute, copy)


def duckdb_rejects(source: str, target: str) -> Callable[[], Any]:
    """With bad rows set aside, as our imports do."""
    return duckdb(source, target, ", store_rejects = true")


def polars(source: str, target: str) -> Callable[[], Any]:
    import polars

    return lambda: polars.scan_csv(source, try_parse_dates=True).sink_parquet(target)


def pandas(source: str, target: str) -> Callable[[], Any]:
    import pandas

    return lambda: pandas.read_csv(source).to_parquet(target)


ENGINES: dict[str, Callable[[str, str], Callable[[], Any]]] = {
    "DuckDB": duckdb,
    "DuckDB, rejects stored": duckdb_rejects,
    "Polars": polars,
    "pandas": pandas,
}


def main() -> None:
    name, source, target = sys.argv[1:]
    work = ENGINES[name](source, target)
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.perf_counter()
    work()
    with open(target, "rb") as file:
        os.fsync(file.fileno())
    print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()
