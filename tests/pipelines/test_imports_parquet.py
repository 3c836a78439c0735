"""Imports of Parquet: every value keeps its value, or the import says which does not."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import BadInput
from pipelines.imports import columnar
from pipelines.plan import Json
from tests.pipelines.importing import Workshop, types_of

MOMENT = datetime(2023, 5, 6, 7, 8, 9, 123456)  # noqa: DTZ001


def write(shop: Workshop, table: pa.Table, **how: Any) -> Path:
    path = shop.home.parent / "table.parquet"
    pq.write_table(table, path, **how)
    return path


def load(shop: Workshop, table: pa.Table, options: Json | None = None, **how: Any) -> Json:
    return shop.load("t", write(shop, table, **how), options)


def test_types_of_others_become_ours_without_loss(shop: Workshop) -> None:
    table = pa.table(
        {
            "u8": pa.array([255, None], pa.uint8()),
            "u64": pa.array([2**63 - 1, 0], pa.uint64()),
            "f32": pa.array([0.1, float("nan")], pa.float32()),
            "large": pa.array(["é", None], pa.large_string()),
            "coded": pa.array(["x", "x"]).dictionary_encode(),
            "bytes": pa.array([b"abc", None]),
            "ms": pa.array([MOMENT.replace(microsecond=123_000), None], pa.timestamp("ms")),
            "ns": pa.array([MOMENT, None], pa.timestamp("ns")),
            "paris": pa.array([MOMENT.replace(tzinfo=UTC), None], pa.timestamp("ms", "Europe/Paris")),
            "day": pa.array([date(2023, 5, 6), None], pa.date64()),
            "money": pa.array([Decimal("1.10"), None], pa.decimal128(38, 2)),
            "yes": [True, None],
            "none": pa.nulls(2),
            "with, comma": [1, 2],
        }
    )
    receipt = load(shop, table)
    assert list(types_of(receipt).values()) == [
        *["integer", "integer", "float", "text", "text", "text", "timestamp", "timestamp", "timestamptz"],
        *["date", "decimal(38,2)", "boolean", "text", "integer"],
    ]
    first, second = shop.table("t").to_pylist()
    assert first == {
        "u8": 255,
        "u64": 2**63 - 1,
        "f32": float(np.float32(0.1)),
        "large": "é",
        "coded": "x",
        "bytes": "abc",
        "ms": MOMENT.replace(microsecond=123_000),
        "ns": MOMENT,
        "paris": MOMENT.replace(microsecond=123_000, tzinfo=UTC),
        "day": date(2023, 5, 6),
        "money": Decimal("1.10"),
        "yes": True,
        "none": None,
        "with, comma": 1,
    }
    assert np.isnan(second["f32"])


def test_columns_are_renamed_and_cast_as_asked(shop: Workshop) -> None:
    table = pa.table({"a": ["12/1/2010 8:26", None], "b": [1, 2], "c": [1.25, 2.5], "d": ["7", "8"]})
    columns = {
        "a": {"name": "at", "type": "timestamp", "format": "%m/%d/%Y %H:%M"},
        "b": "text",
        "c": "decimal(6,2)",
        "d": "int",
    }
    load(shop, table, {"columns": columns})
    assert shop.table("t").to_pylist() == [
        {"at": datetime(2010, 12, 1, 8, 26), "b": "1", "c": Decimal("1.25"), "d": 7},  # noqa: DTZ001
        {"at": None, "b": "2", "c": Decimal("2.50"), "d": 8},
    ]


@pytest.mark.parametrize(
    ("values", "kind", "says"),
    [
        (
            pa.array([1, 2**63], pa.uint64()),
            None,
            "Row 2, column 'v': '9223372036854775808' is not an integer",
        ),
        (pa.array([0, 1], pa.timestamp("ns")), None, "Row 2, column 'v'"),
        (pa.array([1.5, 1.255]), "decimal(6,2)", "Row 2, column 'v': '1.255' does not fit"),
        (pa.array([1.0, 1.5]), "int", "Row 2, column 'v': '1.5' is not an integer"),
        (pa.array([1, 2**53 + 1]), "float", "Row 2, column 'v'"),
        (pa.array(["1", "x"]), "int", "Row 2, column 'v': 'x' is not an integer"),
        (pa.array([b"a", b"\xff"]), None, "Row 2, column 'v'"),
        (pa.array([1, 300_000], pa.int64()).cast(pa.timestamp("s")), "date", "Row 1, column 'v'"),
        (pa.array([0, 2**55]).cast(pa.timestamp("ms")), None, "Row 2, column 'v'"),
    ],
)
def test_a_value_that_would_change_is_named(
    shop: Workshop, values: pa.Array, kind: str | None, says: str
) -> None:
    with pytest.raises(BadInput, match=says):
        load(shop, pa.table({"v": values}), {"columns": {"v": kind}} if kind else None)
    assert shop.catalog.names() == ()


@pytest.mark.parametrize(
    ("values", "kind", "says"),
    [
        (pa.array([[1]]), None, "Column 'v' is of type list"),
        (pa.array([{"a": 1}]), None, "Column 'v' is of type struct"),
        (pa.array([1], pa.time32("s")), None, "Column 'v' is of type time32"),
        (pa.array([1], pa.duration("s")), None, "Column 'v' is of type duration"),
        (pa.array([MOMENT]), "timestamptz", "cannot become timestamptz"),
        (pa.array([1.5]), "decimal", "say how exact"),
    ],
)
def test_types_without_a_place_are_refused_by_name(
    shop: Workshop, values: pa.Array, kind: str | None, says: str
) -> None:
    with pytest.raises(BadInput, match=says):
        load(shop, pa.table({"v": values}), {"columns": {"v": kind}} if kind else None)


def test_parts_are_row_groups_and_rows_count_through_them(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columnar, "_PART_ROWS", 20)
    monkeypatch.setattr(columnar, "_BATCH", 15)
    path = write(shop, pa.table({"v": [str(n) for n in range(99)] + ["x"]}), row_group_size=10)
    spec = shop.spec("t", path)
    plan = shop.plan("j", spec)
    assert [part.payload["groups"] for part in plan.parts] == [[n, n + 1] for n in range(0, 10, 2)]
    shop.work("j", plan)
    assert "datasets/t/j-4-1-1.parquet" in shop.files("datasets")
    with pytest.raises(BadInput, match="Row 100, column 'v': 'x'"):
        shop.load("u", path, {"columns": {"v": "int"}})


def test_no_rows_and_damaged_files_are_refused(shop: Workshop) -> None:
    with pytest.raises(BadInput, match="has a header but no rows"):
        load(shop, pa.table({"v": pa.array([], pa.int64())}))
    path = write(shop, pa.table({"v": range(1000)}), write_page_checksum=True, compression="none")
    good = path.read_bytes()
    path.write_bytes(good[:500] + bytes([good[500] ^ 1]) + good[501:])
    with pytest.raises(BadInput, match="not a Parquet file that can be read"):
        shop.load("t", path)
    path.write_bytes(good[:-20])
    with pytest.raises(BadInput, match="not a Parquet file that can be read") as caught:
        shop.load("t", path)
    assert str(shop.home.parent) not in caught.value.detail
