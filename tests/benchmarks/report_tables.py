"""The tables of `make bench-reports`: generated Parquet as others would keep it, and the same imported.

Sales are those of `pipelines.samples`; lineitems have the columns, ranges and rules of TPC-H, in no order of
time. Both lie in files of a million rows, written by pyarrow's defaults with zstd. Made once for a folder.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.datasets import Catalog
from pipelines.samples import write_sales_files
from pipelines.store import open_store
from tests.live import Server

FILE_ROWS = 1_000_000
TIME = {"sales": "ordered_at", "lineitem": "l_shipdate"}


@dataclass(frozen=True, slots=True)
class Table:
    """Where a table lies: `original` files and those of `layout`, as patterns every engine takes."""

    name: str
    rows: int
    original: str
    layout: str


def originals(folder: Path, rows: int, processes: int = 2) -> dict[str, list[Path]]:
    """The generated files of each table; those that are there already are left as they are."""
    found = {}
    for name in TIME:
        place = folder / f"{name}-{rows}"
        if not (place / "whole").exists():
            _write(name, place, rows, processes)
            (place / "whole").touch()
        found[name] = sorted(place.glob("*.parquet"))
    return found


def imported(live: Server, name: str, paths: list[Path], folder: Path) -> None:
    """Import the files into the dataset over HTTP, unless it is there."""
    known = {each["name"] for each in live.call("GET", "/api/datasets")[2]["datasets"]}
    if name in known:
        return
    for number, path in enumerate(paths):
        options = {"mode": "append" if number else "create"}
        body = {"dataset": name, "source": str(path.relative_to(folder)), "options": options}
        live.watch(live.submit("/api/imports", body), every=0.1)


def table(store_home: Path, name: str, paths: list[Path]) -> Table:
    """Both places of an imported table."""
    store = open_store(str(store_home))
    rows = Catalog(store).get(name).rows
    return Table(name, rows, f"{paths[0].parent}/*.parquet", f"{store.path(f'datasets/{name}')}/*.parquet")


def _write(name: str, place: Path, rows: int, processes: int) -> None:
    place.mkdir(parents=True, exist_ok=True)
    files = max(1, rows // FILE_ROWS)
    if name == "sales":
        for _ in write_sales_files(place, rows, file_format="parquet", files=files, processes=processes):
            pass
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        list(pool.map(_write_lineitems, [(place, number, rows // files) for number in range(files)]))


def _write_lineitems(asked: tuple[Path, int, int]) -> None:
    place, number, count = asked
    pq.write_table(
        lineitems(number, count),
        place / f"lineitem-{number:04d}.parquet",
        compression="zstd",
        row_group_size=250_000,
    )


def lineitems(number: int, count: int) -> pa.Table:
    """`count` lineitems, those of the `number`-th file; TPC-H 4.2.3 has the rules of the columns."""
    random = np.random.default_rng([11, number])
    part = random.integers(1, 200_001, count)
    quantity = random.integers(1, 51, count)
    cents = quantity * (90_000 + part // 10 % 20_001 + 100 * (part % 1_000))
    ordered = np.datetime64("1992-01-01").astype(np.int64) + random.integers(0, 2_406 - 151, count)
    shipped = ordered + random.integers(1, 122, count)
    received = shipped + random.integers(1, 31, count)
    today = np.datetime64("1995-06-17").astype(np.int64)
    returned = np.where(received <= today, random.integers(0, 2, count), 2)
    return pa.table(
        {
            "l_orderkey": number * count + np.arange(count) // 4,
            "l_partkey": part,
            "l_suppkey": random.integers(1, 10_001, count),
            "l_linenumber": np.arange(count) % 4 + 1,
            "l_quantity": _decimal(quantity * 100),
            "l_extendedprice": _decimal(cents),
            "l_discount": _decimal(random.integers(0, 11, count)),
            "l_tax": _decimal(random.integers(0, 9, count)),
            "l_returnflag": _pick(["R", "A", "N"], returned),
            "l_linestatus": _pick(["O", "F"], (shipped <= today).astype(np.int64)),
            "l_shipdate": _date(shipped),
            "l_commitdate": _date(ordered + random.integers(30, 91, count)),
            "l_receiptdate": _date(received),
            "l_shipinstruct": _pick(_INSTRUCTIONS, random.integers(0, 4, count)),
            "l_shipmode": _pick(_MODES, random.integers(0, 7, count)),
            "l_comment": _pick(_COMMENTS, random.integers(0, len(_COMMENTS), count)),
        }
    )


_INSTRUCTIONS = ["DELIVER IN PERSON", "COLLECT COD", "NONE", "TAKE BACK RETURN"]
_MODES = ["REG AIR", "AIR", "RAIL", "SHIP", "TRUCK", "MAIL", "FOB"]
_WORDS = ["carefully", "final", "deposits", "sleep", "furiously", "ironic", "requests", "haggle", "nag"]
_COMMENTS = [f"{a} {b} {c}" for a in _WORDS for b in _WORDS for c in _WORDS]


def _decimal(hundredths: Any) -> pa.Array:
    pairs = np.zeros((len(hundredths), 2), np.int64)
    pairs[:, 0] = hundredths
    return pa.Array.from_buffers(pa.decimal128(15, 2), len(hundredths), [None, pa.py_buffer(pairs)])


def _date(days: Any) -> pa.Array:
    return pa.array(days.astype(np.int32)).cast(pa.date32())


def _pick(values: list[str], codes: Any) -> pa.Array:
    return pa.array(values).take(pa.array(codes))
