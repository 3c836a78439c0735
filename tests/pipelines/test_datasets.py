"""Datasets: the layout on disk, versions, races between writers, exact statistics, what other readers see."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, QueryBuilder

from pipelines.datasets import (
    ROW_GROUP_ROWS,
    Column,
    Commit,
    Fragment,
    Mode,
    column_type,
    commit_fragments,
    find_time_column,
    is_dataset_name,
    read_row_groups,
    row_group_rows,
    row_group_stats,
    write_fragment,
)
from pipelines.errors import BadInput, UnknownDataset
from tests.pipelines.importing import Workshop

COLUMNS = (Column("at", "timestamp"), Column("n", "integer"), Column("price", "decimal(18,2)"))


def rows(count: int, start: int = 0) -> pa.Table:
    numbers = np.arange(start, start + count)[::-1]
    prices = [Decimal(int(n)).scaleb(-2) for n in numbers]
    return pa.table(
        {
            "at": pa.array(numbers * 1_000_000).cast(pa.timestamp("us")),
            "n": numbers,
            "price": pa.array(prices, pa.decimal128(18, 2)),
        }
    )


def publish(
    shop: Workshop,
    job: str,
    mode: Mode,
    table: pa.Table,
    *,
    name: str = "sales",
    epoch: int = 1,
    **changed: Any,
) -> int:
    fragment = write_fragment(shop.store, f"datasets/{name}/{job}-{epoch}-0.parquet", table, "at")
    commit = Commit(name, mode, changed.get("columns", COLUMNS), "at", job, epoch, {"source": "x.csv"})
    return commit_fragments(shop.store, commit, [fragment])


def all_types() -> pa.Table:
    return pa.table(
        {
            "i": pa.array([2**62 + 1, None, -5]),
            "f": pa.array([1.5, float("nan"), None]),
            "d": pa.array([Decimal("1234567890123456.78"), None, Decimal("-0.01")], pa.decimal128(18, 2)),
            "wide": pa.array([Decimal("1" * 30), None, Decimal(0)], pa.decimal128(38, 0)),
            "s": pa.array(["b", None, ""]),
            "t": pa.array(["2021-01-01T00:00:00.000001", None, "0001-01-01"]).cast(pa.timestamp("us")),
            "z": pa.array([datetime(2021, 1, 1, tzinfo=UTC)] * 2 + [None], pa.timestamp("us", "UTC")),
            "day": pa.array([date(2021, 1, 1), None, date(9999, 12, 31)]),
            "b": pa.array([True, None, False]),
        }
    )


class TestLayout:
    def test_rows_are_clustered_by_time_in_row_groups_of_one_size(self, shop: Workshop) -> None:
        fragment = write_fragment(shop.store, "datasets/x/j-1-0.parquet", rows(300_000), "at")
        assert row_group_rows(shop.store, fragment.path) == [ROW_GROUP_ROWS, ROW_GROUP_ROWS, 37_856]
        assert fragment.row_groups == 3
        bounds = [group["at"] for group in row_group_stats(shop.store, fragment.path, ["at"])]
        assert all(before[1] < after[0] for before, after in pairwise(bounds))

    def test_rows_of_one_moment_keep_their_order_and_missing_times_come_last(self, shop: Workshop) -> None:
        times = pa.array([2, None, 1, 2, 1, None]).cast(pa.timestamp("us"))
        table = pa.table({"at": times, "n": range(6)})
        fragment = write_fragment(shop.store, "datasets/x/j-1-0.parquet", table, "at")
        (read,) = read_row_groups(shop.store, fragment.path, None, ["n"])
        assert read["n"].to_pylist() == [2, 4, 0, 3, 1, 5]

    def test_numbers_are_delta_packed_and_pages_carry_checksums(self, shop: Workshop) -> None:
        table = all_types().append_column("few", pa.array(["x", "x", "y"]))
        fragment = write_fragment(shop.store, "datasets/x/j-1-0.parquet", table, None)
        path = shop.store.path(fragment.path)
        group = pq.read_metadata(path).row_group(0)
        found = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
        for name in ("i", "d", "t", "z", "day"):
            assert "DELTA_BINARY_PACKED" in found[name].encodings
            assert found[name].compression == "UNCOMPRESSED"
        assert found["d"].physical_type == "INT64"
        assert found["few"].has_dictionary_page
        assert found["i"].has_column_index
        damaged = bytearray(shop.store.read_range(fragment.path, 0, fragment.bytes))
        damaged[found["i"].data_page_offset + 40] ^= 1
        with pytest.raises(OSError, match="CRC"):
            pq.ParquetFile(pa.BufferReader(bytes(damaged)), page_checksum_verification=True).read()

    def test_a_column_without_nulls_is_declared_so(self, shop: Workshop) -> None:
        table = pa.table({"at": pa.array([1]).cast(pa.timestamp("us")), "n": pa.array([None], pa.int64())})
        fragment = write_fragment(shop.store, "datasets/x/j-1-0.parquet", table, "at")
        schema = pq.read_schema(shop.store.path(fragment.path))
        assert (schema.field("at").nullable, schema.field("n").nullable) == (False, True)

    def test_every_type_is_read_back_as_it_was(self, shop: Workshop) -> None:
        table = all_types()
        fragment = write_fragment(shop.store, "datasets/x/j-1-0.parquet", table, None)
        (read,) = read_row_groups(shop.store, fragment.path, [0], table.column_names)
        assert read.schema == table.schema
        assert read.drop_columns(["f"]).equals(table.drop_columns(["f"]))
        assert read["f"].to_pylist()[0] == 1.5
        assert np.isnan(read["f"].to_pylist()[1])

    def test_text_is_read_as_dictionary_on_request(self, shop: Workshop) -> None:
        fragment = write_fragment(shop.store, "datasets/x/j-1-0.parquet", all_types(), None)
        (read,) = read_row_groups(shop.store, fragment.path, None, ["s", "i"], dictionary=["s"])
        assert read.schema.types == [pa.dictionary(pa.int32(), pa.string()), pa.int64()]
        assert read.column_names == ["s", "i"]

    def test_no_columns_still_count_rows(self, shop: Workshop) -> None:
        fragment = write_fragment(shop.store, "datasets/x/j-1-0.parquet", rows(10), "at")
        assert [table.num_rows for table in read_row_groups(shop.store, fragment.path, None, [])] == [10]


class TestStatistics:
    def test_bounds_survive_the_log_exactly(self, shop: Workshop) -> None:
        table = all_types()
        columns = tuple(Column(field.name, column_type(field.type)) for field in table.schema)
        fragment = write_fragment(shop.store, "datasets/x/j-1-0.parquet", table, None)
        assert Fragment.from_json(fragment.to_json()) == fragment
        commit_fragments(shop.store, Commit("x", Mode.CREATE, columns, None, "j", 1, {}), [fragment])
        (read,) = shop.catalog.fragments("x", 0)
        assert read == fragment
        assert read.maximum["d"] == Decimal("1234567890123456.78")
        assert read.maximum["i"] == 2**62 + 1
        assert read.minimum["t"] == datetime(1, 1, 1)  # noqa: DTZ001
        assert read.nulls["s"] == 1

    def test_text_too_long_for_a_bound_has_none(self, shop: Workshop) -> None:
        table = pa.table({"s": ["x" * 100, "a"], "f": [float("inf"), 1.0]})
        fragment = write_fragment(shop.store, "datasets/x/j-1-0.parquet", table, None)
        assert fragment.minimum == {}
        assert fragment.nulls == {"s": 0, "f": 0}


class TestVersions:
    def test_each_commit_makes_a_version_and_old_ones_stay(self, shop: Workshop) -> None:
        assert publish(shop, "a", Mode.CREATE, rows(5)) == 0
        old = shop.catalog.get("sales")
        assert publish(shop, "b", Mode.APPEND, rows(3, 5)) == 1
        assert publish(shop, "c", Mode.REPLACE, rows(2)) == 2
        assert [shop.catalog.get("sales", version).rows for version in range(3)] == [5, 8, 2]
        assert old == shop.catalog.get("sales", 0)
        assert old.time_column == "at"
        assert shop.table("sales", 1)["n"].to_pylist() == [0, 1, 2, 3, 4, 5, 6, 7]
        history = shop.catalog.versions("sales")
        assert [(each["version"], each["rows"], each["mode"], each["job"]) for each in history] == [
            (0, 5, "create", "a"),
            (1, 8, "append", "b"),
            (2, 2, "replace", "c"),
        ]
        assert all(each["created"].tzinfo is UTC for each in history)

    def test_replace_may_bring_other_columns(self, shop: Workshop) -> None:
        publish(shop, "a", Mode.CREATE, rows(5))
        other = pa.table({"at": pa.array([1]).cast(pa.timestamp("us")), "name, of": ["x"]})
        columns = (Column("at", "timestamp"), Column("name, of", "text"))
        publish(shop, "b", Mode.REPLACE, other, columns=columns)
        assert shop.catalog.get("sales").columns == columns
        assert shop.catalog.get("sales").time_column == "at"
        assert shop.catalog.get("sales", 0).columns == COLUMNS

    def test_many_versions_stay_readable_past_a_checkpoint(self, shop: Workshop) -> None:
        publish(shop, "job0", Mode.CREATE, rows(1))
        for n in range(1, 105):
            publish(shop, f"job{n}", Mode.APPEND, rows(1, n))
        newest = shop.catalog.get("sales")
        assert (newest.version, newest.rows, shop.catalog.get("sales", 3).rows) == (104, 105, 4)
        bounds = [fragment.minimum["price"] for fragment in shop.catalog.fragments("sales", 104)]
        assert sorted(bounds) == [Decimal(n).scaleb(-2) for n in range(105)]
        assert len(shop.catalog.versions("sales")) == 105

    def test_publishing_twice_is_publishing_once(self, shop: Workshop) -> None:
        publish(shop, "a", Mode.CREATE, rows(5))
        assert publish(shop, "b", Mode.APPEND, rows(3)) == 1
        assert publish(shop, "b", Mode.APPEND, rows(3), epoch=2) == 1
        assert shop.catalog.get("sales").rows == 8

    @pytest.mark.parametrize(
        ("columns", "says"),
        [
            ((*COLUMNS, Column("extra", "text")), "no column 'extra'"),
            (COLUMNS[:2], "'price' of dataset 'sales' is missing"),
            (
                (*COLUMNS[:2], Column("price", "float")),
                r"is decimal\(18,2\) in dataset 'sales' but float here",
            ),
        ],
    )
    def test_an_append_of_other_columns_is_refused(
        self, shop: Workshop, columns: tuple[Column, ...], says: str
    ) -> None:
        publish(shop, "a", Mode.CREATE, rows(5))
        with pytest.raises(BadInput, match=says):
            publish(shop, "b", Mode.APPEND, rows(1), columns=columns)
        assert len(shop.catalog.versions("sales")) == 1

    def test_create_over_a_dataset_and_append_to_none_are_refused(self, shop: Workshop) -> None:
        with pytest.raises(BadInput, match="no dataset 'sales' to append to"):
            publish(shop, "a", Mode.APPEND, rows(1))
        publish(shop, "b", Mode.CREATE, rows(1))
        with pytest.raises(BadInput, match="already exists"):
            publish(shop, "c", Mode.CREATE, rows(1))

    def test_fragments_that_are_gone_are_never_committed(self, shop: Workshop) -> None:
        fragment = write_fragment(shop.store, "datasets/x/j-1-0.parquet", rows(1), "at")
        shop.store.delete(fragment.path)
        with pytest.raises(BadInput, match="deleted while the import ran"):
            commit_fragments(shop.store, Commit("x", Mode.CREATE, COLUMNS, "at", "j", 1, {}), [fragment])
        assert shop.catalog.names() == ()


class TestRaces:
    def race(self, shop: Workshop, calls: list[tuple[str, Mode]]) -> list[int | str]:
        results: list[int | str] = [""] * len(calls)
        gate = threading.Barrier(len(calls))

        def one(place: int, job: str, mode: Mode) -> None:
            gate.wait()
            try:
                results[place] = publish(shop, job, mode, rows(10))
            except BadInput as error:
                results[place] = error.detail

        threads = [threading.Thread(target=one, args=(n, *call)) for n, call in enumerate(calls)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    def test_concurrent_appends_all_land(self, shop: Workshop) -> None:
        publish(shop, "a", Mode.CREATE, rows(10))
        versions = self.race(shop, [(f"b{n}", Mode.APPEND) for n in range(6)])
        assert sorted(versions, key=str) == [1, 2, 3, 4, 5, 6]
        assert shop.catalog.get("sales").rows == 70

    def test_one_of_many_creators_wins(self, shop: Workshop) -> None:
        results = self.race(shop, [(f"b{n}", Mode.CREATE) for n in range(5)])
        assert results.count(0) == 1
        assert sum("already exists" in str(each) for each in results) == 4
        assert shop.catalog.get("sales").rows == 10

    def test_a_replace_drops_every_append_before_it_and_no_later_one(self, shop: Workshop) -> None:
        publish(shop, "a", Mode.CREATE, rows(10))
        results = self.race(shop, [*((f"b{n}", Mode.APPEND) for n in range(4)), ("c", Mode.REPLACE)])
        replaced = int(results[-1])
        assert shop.catalog.get("sales", replaced).rows == 10
        assert shop.catalog.get("sales").rows == 10 + 10 * (5 - replaced)

    def test_the_same_job_published_by_two_dispatchers_lands_once(self, shop: Workshop) -> None:
        publish(shop, "a", Mode.CREATE, rows(10))
        assert self.race(shop, [("b", Mode.APPEND)] * 4) == [1, 1, 1, 1]
        assert shop.catalog.get("sales").rows == 20


class TestCatalog:
    def test_unknown_names_and_versions_are_told_with_the_nearest(self, shop: Workshop) -> None:
        publish(shop, "a", Mode.CREATE, rows(1))
        with pytest.raises(UnknownDataset, match="did you mean 'sales'"):
            shop.catalog.get("sale")
        with pytest.raises(UnknownDataset, match="no version 7; its newest is 0"):
            shop.catalog.get("sales", 7)
        with pytest.raises(UnknownDataset, match="no version -1"):
            shop.catalog.get("sales", -1)
        with pytest.raises(UnknownDataset):
            shop.catalog.get("../sales")
        with pytest.raises(BadInput, match="did you mean 'price'"):
            shop.catalog.get("sales").column("prise")

    def test_preview_and_delete(self, shop: Workshop) -> None:
        publish(shop, "a", Mode.CREATE, rows(5))
        publish(shop, "b", Mode.APPEND, rows(5, 5))
        assert shop.catalog.preview("sales", 7)["n"].to_pylist() == [0, 1, 2, 3, 4, 5, 6]
        assert shop.catalog.preview("sales", 0).num_rows == 0
        shop.catalog.delete("sales")
        assert shop.catalog.names() == ()
        assert shop.files("datasets") == []
        assert publish(shop, "c", Mode.CREATE, rows(1)) == 0

    def test_files_without_a_commit_are_no_dataset(self, shop: Workshop) -> None:
        write_fragment(shop.store, "datasets/half/j-1-0.parquet", rows(1), "at")
        assert shop.catalog.names() == ()

    @pytest.mark.parametrize("name", ["", "Sales", "-a", "a b", "../x", "a" * 65, "é"])
    def test_names_that_are_no_dataset_names(self, name: str) -> None:
        assert not is_dataset_name(name)

    def test_the_time_column_is_the_first_timestamp_else_the_first_date(self) -> None:
        days, times = Column("d", "date"), Column("t", "timestamptz")
        assert find_time_column([Column("n", "integer"), days, times]) == "t"
        assert find_time_column([Column("n", "integer"), days]) == "d"
        assert find_time_column([Column("n", "integer")]) is None


def test_the_delta_library_reads_what_we_wrote(shop: Workshop) -> None:
    publish(shop, "a", Mode.CREATE, rows(1_000))
    publish(shop, "b", Mode.APPEND, rows(500, 1_000))
    table = DeltaTable(str(shop.home / "datasets" / "sales"))
    engine = QueryBuilder().register("sales", table)
    answer = pa.table(
        engine.execute("select count(*) as c, sum(price) as p from sales where n >= 100").read_all()
    )
    expected = pc.sum(shop.table("sales").filter(pc.field("n") >= 100)["price"]).as_py()
    assert answer.to_pylist() == [{"c": 1_400, "p": expected}]
