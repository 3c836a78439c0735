"""Appends: what they may change of a dataset's types, what they may not, and two of them at once."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from threading import Barrier, Thread
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from hypothesis import given
from hypothesis import strategies as st

from pipelines.datasets import arrow_type
from pipelines.datasets.widening import room, wider
from pipelines.errors import BadInput, InvalidRequest
from pipelines.imports import pipeline
from pipelines.plan import Json
from tests.pipelines.importing import Workshop, types_of

APPEND = {"mode": "append"}
BIG = "12345678901234"


def column(shop: Workshop, version: int | None = None) -> list[Any]:
    return shop.table("t", version)["v"].to_pylist()


def text(*cells: str) -> str:
    return "n,v\n" + "".join(f"{n},{cell}\n" for n, cell in enumerate(cells))


class TestWidening:
    @pytest.mark.parametrize(
        ("first", "then", "kind", "values"),
        [
            (["1", "20"], ["1.5"], "decimal(18,1)", [Decimal("1.0"), Decimal("20.0"), Decimal("1.5")]),
            (["1", "20"], ["1e-7"], "float", [1.0, 20.0, 1e-7]),
            (["1.5"], ["2.125"], "decimal(18,3)", [Decimal("1.500"), Decimal("2.125")]),
            (["1.5"], ["7"], "decimal(18,1)", [Decimal("1.5"), Decimal("7.0")]),
            ([f"{BIG}.5"], ["0.12345"], "decimal(38,5)", [Decimal(f"{BIG}.50000"), Decimal("0.12345")]),
            (["2024-01-31"], ["2024-02-01 08:30:00"], "timestamp", None),
            (["2024-02-01 08:30:00"], ["2024-01-31"], "timestamp", None),
            (["", ""], ["5"], "integer", [None, None, 5]),
            (["", ""], ["2024-01-31"], "date", [None, None, date(2024, 1, 31)]),
            (["", ""], ["a"], "text", [None, None, "a"]),
            (["5"], ["", ""], "integer", [5, None, None]),
            (["1,5", "2,25"], ["3,5"], "decimal(18,2)", [Decimal("1.50"), Decimal("2.25"), Decimal("3.50")]),
            (["a"], ["7"], "text", ["a", "7"]),
            (["1.5", "1e-7"], ["2"], "float", [1.5, 1e-7, 2.0]),
            (["true"], ["1"], "boolean", [True, True]),
        ],
    )
    def test_a_dataset_takes_what_does_not_change_a_value(
        self, shop: Workshop, first: list[str], then: list[str], kind: str, values: list[Any] | None
    ) -> None:
        quoted = [[f'"{cell}"' if "," in cell else cell for cell in some] for some in (first, then)]
        before = shop.load("t", text(*quoted[0]))
        old = shop.table("t")
        receipt = shop.load("t", text(*quoted[1]), APPEND)
        assert types_of(receipt)["v"] == kind
        if values is not None:
            assert column(shop) == values
        assert shop.table("t", 0).equals(old)  # who reads the version before sees what was there
        changed = types_of(before)["v"] != kind
        said = [each for each in receipt["warnings"] if "becomes" in each]
        assert bool(said) == changed
        if changed:
            assert f"was {types_of(before)['v']} and becomes {kind}" in said[0]
        assert [each["rows"] for each in shop.catalog.versions("t")] == [len(first), len(first) + len(then)]

    def test_dates_become_midnights(self, shop: Workshop) -> None:
        shop.load("t", text("2024-01-31"))
        shop.load("t", text("2024-02-01 08:30:00"), APPEND)
        assert column(shop) == [datetime(2024, 1, 31), datetime(2024, 2, 1, 8, 30)]  # noqa: DTZ001
        assert shop.catalog.get("t").time_column == "v"

    def test_times_may_come_to_a_dataset_that_had_none(self, shop: Workshop) -> None:
        shop.load("t", text("1"))
        shop.load("t", text("2024-02-01 08:30:00"), {"mode": "replace"})
        assert column(shop) == [datetime(2024, 2, 1, 8, 30)]  # noqa: DTZ001
        assert [(each["mode"], each["rows"]) for each in shop.catalog.versions("t")] == [
            ("create", 1),
            ("replace", 1),
        ]

    def test_every_file_has_the_types_of_the_schema_so_that_other_readers_get_on(
        self, shop: Workshop
    ) -> None:
        for cells in (["1"], ["2"], ["2.5"]):
            shop.load("t", text(*cells), APPEND if shop.jobs else None)
        found = shop.catalog.get("t")
        kinds = {
            pq.read_schema(shop.home / fragment.path).field("v").type
            for fragment in shop.catalog.fragments("t", found.version)
        }
        assert kinds == {pa.decimal128(18, 1)}
        table = DeltaTable(str(shop.home / "datasets" / "t")).to_pyarrow_table()
        assert sorted(table["v"].to_pylist()) == [Decimal("1.0"), Decimal("2.0"), Decimal("2.5")]
        assert column(shop) == [Decimal("1.0"), Decimal("2.0"), Decimal("2.5")]  # in the order they came

    def test_a_file_that_declares_its_types_widens_too(self, shop: Workshop) -> None:
        shop.load("t", text("1", "2"))
        path = shop.home.parent / "more.parquet"
        pq.write_table(pa.table({"n": [1], "v": [0.5]}), path)
        assert types_of(shop.load("t", path, APPEND))["v"] == "float"
        assert column(shop) == [1.0, 2.0, 0.5]

    def test_a_dry_run_says_it_and_changes_nothing(self, shop: Workshop) -> None:
        shop.load("t", text("1"))
        files = shop.files("datasets")
        receipt = shop.load("t", text("1.5"), {**APPEND, "dryRun": True})
        assert types_of(receipt)["v"] == "decimal(18,1)"
        assert "was integer and becomes decimal(18,1)" in receipt["warnings"][0]
        assert shop.files("datasets") == files


class TestNarrowing:
    @pytest.mark.parametrize(
        ("first", "then", "types"),
        [
            ("1", "abc", ("integer", "text")),
            ("2024-01-31", "17", ("date", "integer")),
            ("1.5", "2024-01-31", ("decimal(18,1)", "date")),
            ("true", "2.5", ("boolean", "decimal(18,1)")),
        ],
    )
    def test_values_of_another_kind_fail_by_column_both_types_and_what_to_do(
        self, shop: Workshop, first: str, then: str, types: tuple[str, str]
    ) -> None:
        shop.load("t", text(first))
        with pytest.raises(BadInput) as refused:
            shop.load("t", text(then), APPEND)
        there, here = types
        assert f"Column 'v' looks like {here} but is {there} in dataset 't'" in refused.value.detail
        assert "use mode 'replace'" in refused.value.detail
        assert shop.catalog.get("t").version == 0

    def test_some_bad_cells_are_set_aside_and_the_receipt_says_why(self, shop: Workshop) -> None:
        shop.load("t", text("1"))
        receipt = shop.load("t", text(*map(str, range(40)), "x"), APPEND)
        assert (receipt["rowsLoaded"], receipt["rowsRejected"]) == (40, 1)
        assert "looks like text but is integer" in " ".join(receipt["warnings"])
        assert shop.rejects()[0][1] == "column 'v': 'x' is not an integer of at most 64 bits"

    @pytest.mark.parametrize("kind", ["integer", "text", "date", "float"])
    def test_a_type_that_would_narrow_is_refused_at_once(self, shop: Workshop, kind: str) -> None:
        shop.load("t", text("1.5"))
        with pytest.raises(InvalidRequest) as refused:
            shop.load("t", text("2"), {**APPEND, "columns": {"v": {"type": kind}}})
        [fault] = refused.value.faults
        assert fault.pointer == "/options/columns/v/type"
        assert f"is decimal(18,1), and an append can only widen it, not make it {kind}" in fault.detail

    def test_a_wider_type_may_be_asked_for(self, shop: Workshop) -> None:
        shop.load("t", text("1"))
        for kind, became in (("decimal(10,2)", "decimal(18,2)"), ("decimal", "decimal(18,2)")):
            receipt = shop.load("t", text("2"), {**APPEND, "columns": {"v": {"type": kind}}})
            assert types_of(receipt)["v"] == became


class TestAtOnce:
    """Imports that were planned on the same version and publish one after the other."""

    def prepared(self, shop: Workshop, name: str, *cells: str) -> tuple[str, Json, Json]:
        spec = shop.spec("t", shop.file(text(*cells), f"{name}.csv"), APPEND)
        return name, spec, shop.work(name, shop.plan(name, spec))

    def receipt(self, shop: Workshop, name: str, spec: Json, outcome: Json) -> Json:
        artifact = pipeline.publish(shop.store, name, 1, spec, outcome)
        with shop.store.open(artifact.path) as file:
            found: Json = json.load(file)
        return found

    @pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (1, 2, 0)])
    def test_all_land_whichever_widens_first(self, shop: Workshop, order: tuple[int, ...]) -> None:
        shop.load("t", text("1"))
        all_of_them = [
            self.prepared(shop, "a", "2"),
            self.prepared(shop, "b", "2.5"),
            self.prepared(shop, "c", "2.125"),
        ]
        receipts = [self.receipt(shop, *all_of_them[index]) for index in order]
        values = sorted(column(shop))
        assert values == [Decimal("1.000"), Decimal("2.000"), Decimal("2.125"), Decimal("2.500")]
        assert types_of(receipts[-1])["v"] == "decimal(18,3)"
        assert [each["version"] for each in receipts] == [1, 2, 3]
        table = DeltaTable(str(shop.home / "datasets" / "t")).to_pyarrow_table()
        assert sorted(table["v"].to_pylist()) == values
        again = pipeline.publish(shop.store, all_of_them[0][0], 2, *all_of_them[0][1:])
        assert again.rows == 1
        assert shop.catalog.get("t").version == 3

    def test_many_threads(self, shop: Workshop) -> None:
        shop.load("t", text("1"))
        prepared = [self.prepared(shop, f"j{n}", f"2.{'1' * (n % 4)}" if n % 4 else "2") for n in range(8)]
        barrier = Barrier(len(prepared))

        def publish(name: str, spec: Json, outcome: Json) -> None:
            barrier.wait()
            pipeline.publish(shop.store, name, 1, spec, outcome)

        threads = [Thread(target=publish, args=each) for each in prepared]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert shop.catalog.get("t").version == 8
        expected = [Decimal("1"), *(Decimal(f"2.{'1' * (n % 4)}" if n % 4 else "2") for n in range(8))]
        assert sorted(column(shop)) == sorted(expected)

    def test_a_replace_that_comes_between_is_what_the_append_must_fit(self, shop: Workshop) -> None:
        shop.load("t", text("1"))
        fits, misfits = self.prepared(shop, "a", "2.5"), self.prepared(shop, "b", "3")
        shop.load("t", text("x"), {"mode": "replace"})
        for each in (fits, misfits):
            with pytest.raises(BadInput, match="Column 'v' is text in dataset 't' but"):
                self.receipt(shop, *each)
        assert column(shop) == ["x"]


DECIMALS = st.tuples(st.integers(1, 38), st.integers(0, 38)).filter(lambda each: each[1] <= each[0])
KINDS = st.one_of(
    st.just("integer"), DECIMALS.map(lambda each: f"decimal({each[0]},{each[1]})"), st.just("float")
)


@given(st.data(), KINDS, KINDS)
def test_what_is_wider_holds_the_values_of_both(data: Any, there: str, brought: str) -> None:
    def value(kind: str) -> Any:
        if kind == "float":
            return data.draw(st.floats(allow_nan=False, allow_infinity=False))
        if kind == "integer":
            return data.draw(st.integers(-(2**63), 2**63 - 1))
        arrow = arrow_type(kind)
        unscaled = data.draw(st.integers(-(10**arrow.precision) + 1, 10**arrow.precision - 1))
        return Decimal((unscaled < 0, tuple(map(int, str(abs(unscaled)))), -arrow.scale))

    values = [value(there), value(brought)]
    digits = [0 if isinstance(v, float) or not int(v) else len(str(abs(int(v)))) for v in values]
    kind = wider(there, brought, *digits)
    if kind is None:
        return
    arrow = arrow_type(kind)
    for each in values:
        kept = each if kind == "integer" else float(each) if kind == "float" else Decimal(each)
        assert pa.array([kept], arrow).to_pylist() == [each]
    assert room(kind) >= max(digits) or kind == "float"
