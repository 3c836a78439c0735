"""Made-up sales that look real: four years of growth and seasons, heavy-tailed customers and products, nulls.

The same seed gives the same rows, whatever the number of processes that make them. `haulier demo` and
`data/make_samples.py` write them; nothing else depends on them.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

CHUNK = 250_000  # rows made at a time: what bounds memory

# options.columns of an import of what `write_sales` wrote as csv
IMPORT_OPTIONS: dict[str, dict[str, str]] = {
    "order_id": {"type": "integer"},
    "ordered_at": {"type": "timestamp"},
    "customer_id": {"type": "integer"},
    "region": {"type": "text"},
    "country": {"type": "text"},
    "category": {"type": "text"},
    "channel": {"type": "text"},
    "product_id": {"type": "integer"},
    "quantity": {"type": "integer"},
    "unit_price": {"type": "decimal(10,2)"},
    "discount": {"type": "decimal(4,2)"},
    "note": {"type": "text"},
}

_REGIONS = {
    "Europe North": ["SE", "NO", "DK", "FI", "EE"],
    "Europe West": ["DE", "FR", "NL", "GB", "IE", "BE"],
    "Europe South": ["IT", "ES", "PT", "GR", "HR"],
    "North America": ["US", "CA"],
    "Latin America": ["BR", "MX", "AR", "CL", "CO"],
    "Asia Pacific": ["JP", "KR", "AU", "NZ", "SG", "TH"],
    "South Asia": ["IN", "BD", "LK", "PK"],
    "Middle East and Africa": ["ZA", "AE", "KE", "EG", "MA", "NG"],
}
_CATEGORIES = [
    f"{line} {kind}"
    for line in ("Home", "Office", "Sport", "Garden", "Kids", "Travel")
    for kind in ("Basics", "Tools", "Audio", "Wear", "Spares")
]
_CHANNELS = ["web", "app", "store", "partner", "phone"]
_NOTES = ["gift", "rush", "fragile", "call", "door", "left", "neighbour", "invoice", "please"]
_NOTES += ["blue", "second", "box", "return", "size", "swap", "late", "promo"]
_PRODUCTS = 20_000
_START, _END = (np.datetime64(day, "s").astype(np.int64) for day in ("2021-01-01", "2025-01-01"))
_DAY = 86_400


class _Shop:
    """The fixed part of the world: the same for every seed."""

    def __init__(self) -> None:
        random = np.random.default_rng(20_210_101)
        self.countries = [country for countries in _REGIONS.values() for country in countries]
        self.region_of = np.repeat(np.arange(len(_REGIONS)), [len(each) for each in _REGIONS.values()])
        self.country_weights = np.sort(random.pareto(1.2, len(self.countries)) + 0.1)[::-1]
        random.shuffle(self.country_weights)
        self.country_weights /= self.country_weights.sum()
        self.category_of = random.integers(0, len(_CATEGORIES), _PRODUCTS)
        self.price_of = np.exp(random.normal(3.1, 0.9, _PRODUCTS)).clip(0.5, 2_500.0)
        days = np.arange((_END - _START) // _DAY)
        season = 1 + 0.25 * np.cos((days % 365.25 - 340) / 365.25 * 2 * np.pi)
        week = 1 + 0.15 * np.isin((days + 4) % 7, (5, 6))  # 1 January 2021 was a Friday
        growth = 1 + 0.35 * days / 365.25
        demand = np.cumsum(growth * season * week)
        self.demand = np.concatenate([[0.0], demand / demand[-1]])


@lru_cache(maxsize=1)
def _shop() -> _Shop:
    return _Shop()


def sales(first: int, count: int, total: int, seed: int = 7) -> pa.Table:
    """Rows `first` to `first + count` of `total`; `first` is a multiple of CHUNK."""
    shop, random = _shop(), np.random.default_rng([seed, first])
    product = (_PRODUCTS * random.beta(0.6, 2.6, count)).astype(np.int64)
    customers = max(1_000, total // 8)
    customer = 100_000 + (customers * random.beta(0.7, 2.2, count)).astype(np.int64) * 7_919 % 90_000_049
    country = random.choice(len(shop.countries), count, p=shop.country_weights)
    cents = np.rint(shop.price_of[product] * random.normal(1, 0.04, count).clip(0.8, 1.2) * 100).astype(
        np.int64
    )
    discount = random.choice([0, 0, 0, 0, 5, 10, 15, 25], count)
    return pa.table(
        {
            "order_id": np.arange(first, first + count) + 1_000_001,
            "ordered_at": pa.array(_times(first, count, total, random)).cast(pa.timestamp("us")),
            "customer_id": pa.array(customer, mask=random.random(count) < 0.01),
            "region": _pick(list(_REGIONS), shop.region_of[country]),
            "country": _pick(shop.countries, country),
            "category": _pick(_CATEGORIES, shop.category_of[product]),
            "channel": _pick(_CHANNELS, random.choice(5, count, p=[0.44, 0.26, 0.15, 0.1, 0.05])),
            "product_id": product + 10_001,
            "quantity": np.minimum(random.geometric(0.45, count), 24),
            "unit_price": _hundredths(np.maximum(cents, 1), 10),
            "discount": _hundredths(discount, 4),
            "note": _notes(count, random),
        }
    )


def _times(first: int, count: int, total: int, random: np.random.Generator) -> npt.NDArray[Any]:
    """Whole seconds that grow with the row but for late arrivals, dense where demand is high."""
    shop = _shop()
    share = (np.arange(first, first + count) + random.random(count)) / total
    days = np.interp(share, shop.demand, np.arange(len(shop.demand)))
    late = (random.exponential(0.2, count) * _DAY).astype(np.int64)
    seconds = (_START + (days * _DAY).astype(np.int64) - late).clip(_START, _END - 1)
    return seconds.astype("M8[s]")


def _pick(values: list[str], codes: npt.NDArray[Any]) -> pa.Array:
    return pa.array(values).take(pa.array(codes))


def _hundredths(values: npt.NDArray[Any], precision: int) -> pa.Array:
    whole = pa.array(values.astype(np.int64)).cast(pa.decimal128(19, 0))
    scaled = pa.Array.from_buffers(pa.decimal128(19, 2), len(whole), whole.buffers())
    return scaled.cast(pa.decimal128(precision, 2))


def _notes(count: int, random: np.random.Generator) -> pa.Array:
    words = [_pick(_NOTES, random.integers(0, len(_NOTES), count)) for _ in range(3)]
    number = pa.array(random.integers(1, 100_000, count)).cast(pa.string())
    text = pc.binary_join_element_wise(*words, number, " ")
    return pc.if_else(pa.array(random.random(count) < 0.35), pa.scalar(None, pa.string()), text)


def write_sales(path: Path | str, rows: int, seed: int = 7, file_format: str = "csv") -> Path:
    """One file of sales, made in this process."""
    path = Path(path)
    with _Writer(path, file_format) as writer:
        for first, count in _chunks(rows):
            writer.write(_encoded(first, count, rows, seed, file_format))
    return path


def write_sales_files(
    folder: Path | str,
    rows: int,
    seed: int = 7,
    file_format: str = "csv",
    files: int = 1,
    processes: int | None = None,
) -> Iterator[Path]:
    """The same rows over several files (cut between chunks), made by several processes in bounded memory.

    Yields each file when it is whole. Spawns processes: call it under `if __name__ == "__main__"`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    processes = processes or os.cpu_count() or 1
    chunks = list(_chunks(rows))
    files = max(1, min(files, len(chunks)))
    bounds = [len(chunks) * n // files for n in range(files + 1)]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        made = _in_order(pool, [(*chunk, rows, seed, file_format) for chunk in chunks], 2 * processes)
        for n in range(files):
            path = folder / f"sales-{n:04d}.{file_format}"
            with _Writer(path, file_format) as writer:
                for _ in range(bounds[n], bounds[n + 1]):
                    writer.write(next(made))
            yield path


def _in_order(
    pool: ProcessPoolExecutor, calls: list[tuple[Any, ...]], window: int
) -> Iterator[bytes | pa.Table]:
    """Results in call order, with at most `window` calls under way or waiting to be taken."""
    waiting: deque[Future[bytes | pa.Table]] = deque()
    for call in calls:
        if len(waiting) >= window:
            yield waiting.popleft().result()
        waiting.append(pool.submit(_encoded, *call))
    while waiting:
        yield waiting.popleft().result()


def _chunks(rows: int) -> Iterator[tuple[int, int]]:
    for first in range(0, rows, CHUNK):
        yield first, min(CHUNK, rows - first)


def _encoded(first: int, count: int, total: int, seed: int, file_format: str) -> bytes | pa.Table:
    """A chunk as csv text without a header, or as the table itself for parquet."""
    table = sales(first, count, total, seed)
    if file_format == "parquet":
        return table
    whole_seconds = table["ordered_at"].cast(pa.timestamp("s"))
    table = table.set_column(1, "ordered_at", whole_seconds)
    sink = pa.BufferOutputStream()
    pacsv.write_csv(table, sink, pacsv.WriteOptions(include_header=False))
    return sink.getvalue().to_pybytes()


class _Writer:
    """A file of sales, csv or parquet, under another name until it is whole."""

    def __init__(self, path: Path, file_format: str) -> None:
        self._path, self._parquet = path, file_format == "parquet"
        self._temporary = path.with_name(path.name + ".part")
        self._file: IO[bytes] = self._temporary.open("wb")  # closed by __exit__
        self._rows: pq.ParquetWriter | None = None
        if not self._parquet:
            self._file.write((",".join(IMPORT_OPTIONS) + "\n").encode())

    def write(self, piece: bytes | pa.Table) -> None:
        if isinstance(piece, bytes):
            self._file.write(piece)
            return
        if self._rows is None:
            self._rows = pq.ParquetWriter(self._file, piece.schema, compression="zstd")
        self._rows.write_table(piece)

    def __enter__(self) -> _Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._rows is not None and kind is None:
            self._rows.close()
        self._file.close()
        if kind is None:
            os.replace(self._temporary, self._path)
        else:
            self._temporary.unlink(missing_ok=True)
