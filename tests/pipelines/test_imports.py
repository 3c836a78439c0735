"""Imports of delimited text: what lands, what is refused and how it is told, what a failure leaves."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from pipelines.errors import BadInput, Canceled
from pipelines.imports import delimited, pipeline
from pipelines.imports.source import Source
from pipelines.plan import Json, Plan
from pipelines.run import Context
from tests.pipelines.importing import Workshop, types_of


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of a few records, so that a small file has many borders."""
    monkeypatch.setattr(delimited, "_BLOCK", 64)
    monkeypatch.setattr(delimited, "_HEAD", 4_096)
    for name in ("_RUN", "_SMALLEST", "_LARGEST"):
        monkeypatch.setattr(delimited, name, 50)


class TestReceipt:
    def test_it_says_what_was_read_and_how(self, shop: Workshop) -> None:
        content = b"id;price\n1;2,50\n2;\n"
        receipt = shop.load("sales", content, {"delimiter": ";", "decimal": ","})
        assert receipt == {
            "dataset": "sales",
            "version": 0,
            "rowsRead": 2,
            "rowsLoaded": 2,
            "rowsRejected": 0,
            "dialect": {
                "format": "csv",
                "delimiter": ";",
                "quote": '"',
                "escape": None,
                "encoding": "utf-8",
                "header": True,
                "skip": 0,
                "footer": 0,
                "decimal": ",",
                "thousands": None,
                "nullValues": ["", "\\N"],
            },
            "schema": [
                {"name": "id", "type": "integer", "sourceName": "id", "nulls": 0},
                {"name": "price", "type": "decimal(18,2)", "sourceName": "price", "nulls": 1},
            ],
            "source": {"name": "table.csv", "bytes": 19, "sha256": hashlib.sha256(content).hexdigest()},
            "warnings": [],
        }

    def test_the_log_keeps_the_lineage(self, shop: Workshop) -> None:
        receipt = shop.load("sales", "a\n1\n", job="01job")
        log = next(key for key in shop.files("datasets") if key.endswith(".json"))
        commit = json.loads(shop.store.read_range(log, 0, 1 << 20).splitlines()[0])["commitInfo"]
        assert commit["job"] == "01job"
        assert (commit["mode"], commit["source"]) == ("create", "table.csv")
        assert commit["sha256"] == receipt["source"]["sha256"]


class TestTypes:
    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            (["1", "-20", "0"], "integer"),
            (["007", "12"], "text"),
            (["-0", "1"], "float"),
            (["999999999999999"], "integer"),
            (["1234567890123456"], "text"),
            (["1234567890123456789"], "text"),
            (["+49123"], "text"),
            (["1.5", "-200", ".25"], "decimal(18,2)"),
            (["1.5", "1e5"], "float"),
            (["1.5", "nan"], "float"),
            (["nan"], "text"),
            (["00.5"], "text"),
            (["0.12345678901234567", "1"], "decimal(18,17)"),
            (["123.1234567890123", "0.12345678901234567"], "float"),
            (["0.1234567890123456789"], "decimal(38,19)"),
            (["2023-01-31"], "date"),
            (["2023-02-31"], "text"),
            (["2023-01-31", "2023-01-31 10:00"], "timestamp"),
            (["2023-01-31T10:00:00.123456"], "timestamp"),
            (["2023-01-31T10:00:00.1234567"], "text"),
            (["2023-01-31T10:00Z", "2023-01-31 10:00+02:00"], "timestamptz"),
            (["2023-01-31T10:00Z", "2023-01-31 10:00"], "text"),
            (["true", "FALSE"], "boolean"),
            (["true", "1"], "text"),
            (["", ""], "text"),
            (["12", "x"], "text"),
        ],
    )
    def test_a_column_nobody_typed_keeps_every_value_as_written(
        self, shop: Workshop, values: list[str], expected: str
    ) -> None:
        receipt = shop.load("t", "v,other\n" + "".join(f"{value},x\n" for value in values))
        assert types_of(receipt)["v"] == expected

    @pytest.mark.usefixtures("small_parts")
    def test_the_whole_file_decides(self, shop: Workshop) -> None:
        content = "v,w\n" + "".join(f"{n},{n}.5\n" for n in range(100)) + "007,x\n"
        assert types_of(shop.load("t", content)) == {"v": "text", "w": "text"}
        assert shop.table("t")["v"].to_pylist()[-1] == "007"

    def test_asked_types_are_honoured(self, shop: Workshop) -> None:
        columns = {
            "a": "int",
            "b": {"type": "DECIMAL(6, 3)"},
            "c": {"name": "when", "type": "timestamp", "format": "%m/%d/%Y %H:%M"},
            "d": "string",
            "e": "bool",
            "f": "double",
            "g": "decimal",
            "h": {"format": "%d.%m.%y"},
            "i": "timestamptz",
        }
        header = ",".join(columns) + "\n"
        row = "007,1.5,12/1/2010 8:26,007,yes,1,3.1400,31.12.99,2020-01-01T00:00+01:00\n"
        receipt = shop.load("t", header + row, {"columns": columns})
        assert list(types_of(receipt).values()) == [
            "integer",
            "decimal(6,3)",
            "timestamp",
            "text",
            "boolean",
            "float",
            "decimal(18,4)",
            "date",
            "timestamptz",
        ]
        assert shop.table("t").to_pylist() == [
            {
                "a": 7,
                "b": Decimal("1.500"),
                "when": datetime(2010, 12, 1, 8, 26),  # noqa: DTZ001
                "d": "007",
                "e": True,
                "f": 1.0,
                "g": Decimal("3.1400"),
                "h": date(1999, 12, 31),
                "i": datetime(2019, 12, 31, 23, 0, tzinfo=UTC),
            }
        ]
        assert shop.catalog.get("t").time_column == "when"

    def test_an_empty_cell_is_missing_and_a_quoted_one_is_empty_text(self, shop: Workshop) -> None:
        shop.load("t", 'a,n\n,1\n"",""\nNA,NA\n', {"nullValues": ["", "NA"], "columns": {"n": "int"}})
        assert shop.table("t").to_pylist() == [
            {"a": None, "n": 1},
            {"a": "", "n": None},
            {"a": None, "n": None},
        ]

    def test_numbers_as_other_countries_write_them(self, shop: Workshop) -> None:
        options = {"delimiter": ";", "decimal": ",", "thousands": ".", "columns": {"b": "decimal(10,2)"}}
        shop.load("t", "a;b\n1.234;1.234,50\n5;-,5\n", options)
        assert shop.table("t").to_pylist() == [
            {"a": 1234, "b": Decimal("1234.50")},
            {"a": 5, "b": Decimal("-0.50")},
        ]


class TestText:
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    @pytest.mark.usefixtures("small_parts")
    def test_any_line_end_and_quoted_ones_inside(self, shop: Workshop, end: str) -> None:
        lines = [f'{n},"x{end}""y"", {n}"' for n in range(40)]
        shop.load("t", end.join(["a,b", *lines]))
        assert shop.table("t").to_pylist() == [{"a": n, "b": f'x{end}"y", {n}'} for n in range(40)]

    @pytest.mark.usefixtures("small_parts")
    def test_a_quote_in_the_middle_of_a_cell_is_a_letter(self, shop: Workshop) -> None:
        lines = [f'{n},5" pipe\n{n},"two\nlines"\n' for n in range(30)]
        shop.load("t", "a,b\n" + "".join(lines))
        assert shop.table("t")["b"].to_pylist() == ['5" pipe', "two\nlines"] * 30

    def test_quoting_can_be_off(self, shop: Workshop) -> None:
        shop.load("t", 'a,b\n"1,2\n', {"quote": None})
        assert shop.table("t").to_pylist() == [{"a": '"1', "b": 2}]

    def test_encodings(self, shop: Workshop) -> None:
        shop.load("bom", "\ufeffa,b\n1,é\n")
        shop.load("western", "a,b\n1,é€\n".encode("cp1252"), {"encoding": "windows-1252"})
        assert shop.table("bom").to_pylist() == [{"a": 1, "b": "é"}]
        assert shop.table("western").to_pylist() == [{"a": 1, "b": "é€"}]

    def test_preamble_no_header_and_tabs(self, shop: Workshop) -> None:
        shop.load("a", 'A "title\nx,y,z\n\na,b\n1,2\n', {"skip": 2})
        shop.load("b", "1,x\n2,y\n", {"header": False, "columns": {"column2": {"name": "letter"}}})
        shop.load("c", shop.file("a\tb\n1\tx,y\n", "table.tsv"))
        assert shop.table("a").to_pylist() == [{"a": 1, "b": 2}]
        assert shop.table("b").to_pylist() == [{"column1": 1, "letter": "x"}, {"column1": 2, "letter": "y"}]
        assert shop.table("c").to_pylist() == [{"a": 1, "b": "x,y"}]


class TestRefused:
    @pytest.mark.parametrize(
        ("content", "options", "says"),
        [
            ("a,b\n", {}, "has a header but no rows"),
            ("\n\n", {}, "has no text in it"),
            ("a,b\n1,2\n", {"columns": {"pric": "int"}}, "no column 'pric'"),
            ("price,b\n1,2\n", {"columns": {"pric": "int"}}, "did you mean 'price'"),
            (
                'a,b\n1,2\n3,"4\n5,6\n',
                {"onBadRow": "fail"},
                "Line 3: the quote that opens here is never closed",
            ),
            (b"\x00\x01\x02\x03\x04\x05\x00\x01\x02\x03\x04\x05\xff", {}, "is not text"),
        ],
    )
    def test_files_that_are_no_table(
        self, shop: Workshop, content: str | bytes, options: Json, says: str
    ) -> None:
        with pytest.raises(BadInput, match=says):
            shop.load("t", content, options)
        assert shop.catalog.names() == ()

    @pytest.mark.parametrize(
        ("content", "kind", "says"),
        [
            ("a,b\n1,x\n", "int", "Line 2, column 'b': 'x' is not an integer"),
            ('a,b\n"1\n2",3\n4,0x1F\n', "int", "Line 4, column 'b': '0x1F' is not an integer"),
            ("a,b\n1,1\n\n\n2,9223372036854775808\n", "int", "Line 5, column 'b'"),
            ("a,b\n1,99.999\n", "decimal(4,2)", r"Line 2, column 'b': '99.999' does not fit decimal\(4,2\)"),
            ("a,b\n1,100\n", "decimal(4,2)", r"'100' does not fit decimal\(4,2\)"),
            ("a,b\n1,1e999\n", "float", "'1e999' is not a number"),
            ("a,b\n1,2021-02-29\n", "date", "'2021-02-29' is not a date"),
            ("a,b\n1,2021-02-28 10:00Z\n", "timestamp", "is not a time like"),
            ("a,b\n1,2021-02-28 10:00\n", "timestamptz", "with an offset"),
            ("a,b\n1,maybe\n", "bool", "'maybe' is not true or false"),
            ("a,b\n1," + "x" * 200 + "\n", "int", "'x{79}…' is not"),
            ("a,b\r\n1,2\r\n3\r\n", "int", "Line 3: 1 value for 2 columns; correct"),
            ("a,b\n1,2\n3,4,5\nx,y\n", "int", "Line 3: 3 values for 2 columns"),
            ("a,b\n1,2\nx,y\n3,4,5\n", "int", "Line 3, column 'b': 'y'"),
            (b"a,b\n1,2\n\xe9t\xe9,3\n", "int", "Line 3: byte 0xe9 is not utf-8"),
            (b"a,b\n1,x\n\xe9t\xe9,3\n", "int", "Line 2, column 'b': 'x'"),
        ],
    )
    def test_the_first_bad_row_is_named_by_its_line(
        self, shop: Workshop, content: str | bytes, kind: str, says: str
    ) -> None:
        with pytest.raises(BadInput, match=says):
            shop.load("t", content, {"columns": {"b": kind}, "encoding": "utf-8", "onBadRow": "fail"})
        assert shop.catalog.names() == ()

    @pytest.mark.parametrize(
        "value",
        ["2/30/2010 8:26", "13/1/2010 8:26", "1/1/2010 24:00", "1/1/2010", "1/1/2010 8:26 ", "1/1/10 8:26"],
    )
    def test_a_time_in_a_format_is_checked_strictly(self, shop: Workshop, value: str) -> None:
        column = {"type": "timestamp", "format": "%m/%d/%Y %H:%M"}
        with pytest.raises(BadInput, match=f"Line 3, column 'a': '{value}' is not a time in the format"):
            shop.load("t", f"a\n12/1/2010 8:26\n{value}\n", {"columns": {"a": column}, "onBadRow": "fail"})

    @pytest.mark.usefixtures("small_parts")
    @pytest.mark.parametrize("bad", [0, 7, 23, 49])
    def test_the_line_is_that_of_the_whole_file_in_any_part(self, shop: Workshop, bad: int) -> None:
        records = [f'"{n}\r\nx",{"oops" if n == bad else n}\r\n' for n in range(50)]
        options = {"skip": 1, "columns": {"b": "int"}, "onBadRow": "fail"}
        with pytest.raises(BadInput, match=rf"^Line {2 * bad + 4}, column 'b': 'oops'"):
            shop.load("t", "skipped\r\n\r\na,b\r\n" + "".join(records), options)


class TestAtomicity:
    def test_nothing_is_seen_until_it_is_published(self, shop: Workshop) -> None:
        spec = shop.spec("sales", shop.file("a\n1\n"))
        outcome = shop.work("j", shop.plan("j", spec))
        assert shop.catalog.names() == ()
        pipeline.publish(shop.store, "j", 1, spec, outcome)
        assert shop.catalog.names() == ("sales",)

    def test_discard_leaves_no_file(self, shop: Workshop) -> None:
        spec = shop.spec("sales", shop.file("a\n1\n"))
        shop.work("j", shop.plan("j", spec))
        shop.home.joinpath("datasets/sales/j-1-9.parquet.0123.part").write_bytes(
            b"of a worker that was killed"
        )
        assert shop.files("datasets")
        pipeline.discard(shop.store, "j", spec)
        pipeline.discard(shop.store, "j", spec)
        assert [key for prefix in ("datasets", "scratch", "results") for key in shop.files(prefix)] == []

    def test_discard_keeps_what_was_published_and_what_others_write(self, shop: Workshop) -> None:
        spec = shop.spec("sales", shop.file("a\n1\n"))
        outcome = shop.work("j", shop.plan("j", spec))
        shop.work("j1", shop.plan("j1", spec))
        pipeline.publish(shop.store, "j", 1, spec, outcome)
        pipeline.discard(shop.store, "j", spec)
        assert shop.table("sales").num_rows == 1
        assert any("/j1-0-0-1" in key for key in shop.files("datasets"))

    def test_a_job_that_runs_again_publishes_once_and_tidies_up(self, shop: Workshop) -> None:
        spec = shop.spec("sales", shop.file("a\n1\n"))
        first = pipeline.publish(shop.store, "j", 1, spec, shop.work("j", shop.plan("j", spec)))
        again = pipeline.publish(shop.store, "j", 1, spec, {"receipt": first.path})
        assert again == first
        outcome = shop.work("j", shop.plan("j", spec, epoch=2), epoch=2)
        second = pipeline.publish(shop.store, "j", 2, spec, outcome)
        assert (second.sha256, second.rows) == (first.sha256, 1)
        assert shop.catalog.get("sales").rows == 1
        assert [key for key in shop.files("datasets/sales") if key.endswith(".parquet")] == [
            "datasets/sales/j-0-0-1.parquet"
        ]

    def test_a_dataset_made_meanwhile_fails_the_create(self, shop: Workshop) -> None:
        spec = shop.spec("sales", shop.file("a\n1\n"))
        outcome = shop.work("slow", shop.plan("slow", spec))
        shop.load("sales", "a\n2\n")
        with pytest.raises(BadInput, match="already exists"):
            pipeline.publish(shop.store, "slow", 1, spec, outcome)
        pipeline.discard(shop.store, "slow", spec)
        assert shop.table("sales")["a"].to_pylist() == [2]

    def test_a_file_that_changes_meanwhile_fails_the_import(self, shop: Workshop) -> None:
        path = shop.file("a\n1\n")
        spec = shop.spec("sales", path)
        plan = shop.plan("j", spec)
        path.write_text("a\n1\n2\n")
        with pytest.raises(BadInput, match="changed while it was imported"):
            shop.work("j", plan)
        with pytest.raises(BadInput, match="has 6 bytes where 4 were announced"):
            shop.plan("j", spec)
        path.unlink()
        with pytest.raises(BadInput, match="not there any more"):
            shop.plan("j", spec)

    def test_an_upload_that_is_not_what_was_hashed_is_refused(self, shop: Workshop) -> None:
        with shop.store.put("uploads/1/data") as sink:
            sink.write(b"a\n1\n")
        payload = {"dataset": "t", "source": {"store": "uploads/1/data"}, "name": "t.csv", "bytes": 4}
        good = pipeline.parse({**payload, "sha256": sink.sha256}, shop.catalog)
        assert (good.size, good.unit, good.type) == (4, "bytes", "csv")
        assert shop.plan("j", good.spec).total == 2
        bad = pipeline.parse({**payload, "sha256": "0" * 64}, shop.catalog)
        with pytest.raises(BadInput, match="sha256 differs"):
            shop.plan("j", bad.spec)


class TestModes:
    def test_append_takes_types_and_order_from_the_dataset(self, shop: Workshop) -> None:
        shop.load("sales", "code,price,day\n007,1.25,2023-01-01\n")
        receipt = shop.load("sales", "price,day,code\n3,2023-01-02,8\n", {"mode": "append"})
        assert (receipt["version"], list(types_of(receipt))) == (1, ["code", "price", "day"])
        assert shop.table("sales").to_pylist() == [
            {"code": "007", "price": Decimal("1.25"), "day": date(2023, 1, 1)},
            {"code": "8", "price": Decimal("3.00"), "day": date(2023, 1, 2)},
        ]
        assert shop.table("sales", 0).num_rows == 1

    def test_append_of_what_does_not_fit_is_refused(self, shop: Workshop) -> None:
        shop.load("sales", "a,b\n1,2\n")
        with pytest.raises(BadInput, match="Line 2, column 'b': 'x' is not an integer"):
            shop.load("sales", "a,b\n1,x\n", {"mode": "append"})
        with pytest.raises(BadInput, match="'b' of dataset 'sales' is missing"):
            shop.load("sales", "a\n1\n", {"mode": "append"})
        with pytest.raises(BadInput, match="no column 'c'"):
            shop.load("sales", "a,b,c\n1,2,3\n", {"mode": "append"})

    def test_replace_brings_a_new_schema_and_keeps_the_old_version(self, shop: Workshop) -> None:
        shop.load("sales", "a,b\n1,2\n")
        assert shop.load("sales", "c\nx\n", {"mode": "replace"})["version"] == 1
        assert shop.table("sales").to_pylist() == [{"c": "x"}]
        assert shop.table("sales", 0).to_pylist() == [{"a": 1, "b": 2}]


class TestParts:
    def test_parts_cover_the_file_and_progress_counts_bytes(self, shop: Workshop) -> None:
        content = "a,b\n" + "".join(f"{n},{'x' * 90}\n" for n in range(200_000))
        spec = shop.spec("t", shop.file(content))
        plan = shop.plan("j", spec)
        assert len(plan.parts) == 2
        assert (plan.unit, plan.total) == ("bytes", len(content) - 4)
        shop.events.clear()
        shop.work("j", plan)
        assert {event["part"] for event in shop.events} == {0, 1}
        assert all(0 < event["done"] <= plan.parts[event["part"]].weight for event in shop.events)

    def test_fragments_carry_job_and_epoch(self, shop: Workshop) -> None:
        spec = shop.spec("t", shop.file("a\n1\n"))
        shop.work("j", shop.plan("j", spec, epoch=4), epoch=4)
        assert "datasets/t/j-0-0-4.parquet" in shop.files("datasets")

    def test_a_canceled_job_stops(self, shop: Workshop) -> None:
        spec = shop.spec("t", shop.file("a\n1\n"))
        plan = Plan.from_json(pipeline.make_plan(shop.context("j"), spec, None))
        canceled = Context("j", 1, str(shop.home), canceled=lambda: True)
        with pytest.raises(Canceled):
            pipeline.make_plan(canceled, spec, None)
        with pytest.raises(Canceled):
            pipeline.read_part(canceled, plan.spec, plan.parts[0].payload)

    def test_a_source_hides_where_it_lies(self, shop: Workshop, tmp_path: Path) -> None:
        source = Source("mine.csv", shop.store, file=str(tmp_path / "none.csv"))
        with pytest.raises(BadInput) as caught:
            source.read(0, 1)
        assert str(tmp_path) not in caught.value.detail
