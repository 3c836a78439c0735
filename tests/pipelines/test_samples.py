"""The sample generator: the same rows for a seed however they are made, and importable as promised."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipelines import samples
from tests.pipelines.importing import Workshop, types_of


def test_rows_do_not_depend_on_files_formats_and_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = samples.write_sales(tmp_path / "one.csv", 600_000, seed=3)
    two = list(samples.write_sales_files(tmp_path / "two", 600_000, seed=3, files=2, processes=2))
    (parquet,) = samples.write_sales_files(
        tmp_path / "pq", 600_000, seed=3, file_format="parquet", processes=1
    )
    header, _, rest = whole.read_bytes().partition(b"\n")
    parts = [path.read_bytes().partition(b"\n") for path in two]
    assert [part[0] for part in parts] == [header, header]
    assert b"".join(part[2] for part in parts) == rest
    chunks = [samples.sales(first, count, 600_000, 3) for first, count in samples._chunks(600_000)]
    assert pq.read_table(parquet).equals(pa.concat_tables(chunks))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.csv", "pq", "two"]


def test_sales_look_real() -> None:
    table = samples.sales(0, 100_000, 100_000, seed=7)
    assert not table.equals(samples.sales(0, 100_000, 100_000, seed=8))
    assert table.column_names == list(samples.IMPORT_OPTIONS)
    years = pc.value_counts(pc.year(table["ordered_at"])).to_pylist()
    assert [each["values"] for each in years] == [2021, 2022, 2023, 2024]
    assert years[0]["counts"] < years[3]["counts"]
    assert len(table["region"].unique()) == 8
    assert len(table["category"].unique()) == 30
    assert 0.005 < table["customer_id"].null_count / 100_000 < 0.02
    assert 0.3 < table["note"].null_count / 100_000 < 0.4
    assert pc.min(table["unit_price"]).as_py() > 0
    bought = sorted(
        (each["counts"] for each in pc.value_counts(table["product_id"]).to_pylist()), reverse=True
    )
    assert sum(bought[: len(bought) // 10]) > 30_000


def test_they_import_with_their_options(shop: Workshop) -> None:
    path = samples.write_sales(shop.home.parent / "sales.csv", 20_000)
    receipt = shop.load("sales", path, {"columns": samples.IMPORT_OPTIONS})
    assert types_of(receipt) == {name: each["type"] for name, each in samples.IMPORT_OPTIONS.items()}
    assert shop.catalog.get("sales").time_column == "ordered_at"
    imported = shop.table("sales").sort_by("order_id")
    assert imported.equals(samples.sales(0, 20_000, 20_000).cast(imported.schema))
