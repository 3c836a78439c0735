"""What an import finds out by itself, and how it says so: dialects, types, JSON, Excel, bad rows."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import zipfile
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import xlsxwriter

from pipelines.errors import BadInput
from pipelines.imports import delimited
from tests.pipelines.importing import Workshop, types_of

ROWS = "".join(f"{n},x{n}\n" for n in range(40))


def rows_of(shop: Workshop, dataset: str = "t") -> list[dict[str, Any]]:
    return shop.table(dataset).to_pylist()


class TestNumbersAndDates:
    @pytest.mark.parametrize(
        ("values", "kind", "last"),
        [
            (["45,06", "7,5", "100"], "decimal(18,2)", Decimal(100)),
            (["1.234,50", "12"], "decimal(18,2)", Decimal(12)),
            (["1,234", "9,508,234"], "integer", 9_508_234),
            (["1 234,5", "7"], "decimal(18,1)", Decimal(7)),
            (["1'234.5", "7"], "decimal(18,1)", Decimal(7)),
            ([" 27,275.25 ", "1.00"], "decimal(18,2)", Decimal(1)),
            (["5", "NA", "7"], "integer", 7),
            (["1.5", "****", "2.5"], "decimal(18,1)", Decimal("2.5")),
            (["28/01/2018", "03/02/2018"], "date", date(2018, 2, 3)),
            (["01/28/2018", "03/02/2018"], "date", date(2018, 3, 2)),
            (["23-Sep-11", "06-Oct-11"], "date", date(2011, 10, 6)),
            (["Jun 12 1998", "Aug 7 1998"], "date", date(1998, 8, 7)),
            (["2018/01/28 10:00:00", "2018/01/28 10:30:00"], "timestamp", datetime(2018, 1, 28, 10, 30)),  # noqa: DTZ001
            (["5,5", "5.555"], "text", "5.555"),
            (["2024-03-08", "03/10/2024"], "text", "03/10/2024"),
            (["0123", "0456"], "text", "0456"),
            (["NA", "NULL"], "text", "NULL"),
        ],
    )
    def test_a_column_says_how_it_is_written(
        self, shop: Workshop, values: list[str], kind: str, last: Any
    ) -> None:
        receipt = shop.load("t", "k;v\n" + "".join(f"x{n};{value}\n" for n, value in enumerate(values)))
        assert types_of(receipt)["v"] == kind
        assert rows_of(shop)[-1]["v"] == last

    def test_day_and_month_that_could_be_swapped_follow_another_column_or_stay_text(
        self, shop: Workshop
    ) -> None:
        receipt = shop.load("t", "a;b\n01/02/2020;x\n03/04/2020;y\n")
        assert types_of(receipt)["a"] == "text"
        assert any("day or the month first" in said for said in receipt["warnings"])
        receipt = shop.load("u", "a;b\n01/02/2020;25/12/2020\n03/04/2020;26/12/2020\n")
        assert receipt["dialect"]["columns"]["a"] == {"format": "%d/%m/%Y"}

    def test_words_for_missing_are_said(self, shop: Workshop) -> None:
        receipt = shop.load("t", "n,word\n1,NA\nNA,x\n")
        assert rows_of(shop) == [{"n": 1, "word": "NA"}, {"n": None, "word": "x"}]
        assert receipt["dialect"]["columns"] == {"n": {"nullValues": ["NA"]}}
        assert any("'NA'" in said for said in receipt["warnings"])

    def test_a_late_drift_is_seen_by_every_part(
        self, shop: Workshop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("_RUN", "_SMALLEST", "_LARGEST", "_BLOCK"):
            monkeypatch.setattr(delimited, name, 200)
        monkeypatch.setattr(delimited, "_SAMPLED", 30)
        content = (
            "a,b,c\n" + "".join(f"{n},{n}.5,2020-01-{n % 28 + 1:02}\n" for n in range(200)) + "x,1.25,1\n"
        )
        receipt = shop.load("t", content)
        assert types_of(receipt) == {"a": "text", "b": "decimal(18,2)", "c": "text"}
        assert [row["a"] for row in rows_of(shop)] == [*map(str, range(200)), "x"]
        assert len(shop.files("datasets/t")) == len(shop.catalog.fragments("t", 0)) + 1


class TestDialects:
    @pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "||", "~"])
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be", "cp1252"])
    def test_delimiter_and_encoding(self, shop: Workshop, delimiter: str, encoding: str) -> None:
        lines = [
            delimiter.join(["né", "b", "c"]),
            *(delimiter.join([str(n), f"é{n}", "x y"]) for n in range(9)),
        ]
        receipt = shop.load("t", "\r\n".join(lines).encode(encoding))
        assert receipt["dialect"]["delimiter"] == delimiter
        assert rows_of(shop)[0] == {"né": 0, "b": "é0", "c": "x y"}

    def test_preamble_header_and_footer(self, shop: Workshop) -> None:
        content = "Sales of the year\n\nname,n,price\nab,1,2.5\ncd,2,3.5\n\n(c) some office 2020\n"
        receipt = shop.load("t", content)
        assert rows_of(shop) == [
            {"name": "ab", "n": 1, "price": Decimal("2.5")},
            {"name": "cd", "n": 2, "price": Decimal("3.5")},
        ]
        assert (receipt["dialect"]["skip"], receipt["dialect"]["footer"]) == (2, 1)
        assert len(receipt["warnings"]) == 2

    def test_names_that_lack_or_repeat(self, shop: Workshop) -> None:
        receipt = shop.load("t", "id,,id,ID\n1,2,3,4\n5,6,7,8\n")
        assert list(types_of(receipt)) == ["id", "column2", "id_2", "ID_2"] or list(types_of(receipt)) == [
            *("id", "column2", "id_2", "ID_3")
        ]
        assert len(receipt["warnings"]) == 3

    def test_no_header_and_backslashes(self, shop: Workshop) -> None:
        receipt = shop.load("t", '1,"a \\"quoted\\" word",x\n2,"b, c",y\n3,plain,z\n')
        assert receipt["dialect"]["header"] is False
        assert receipt["dialect"]["escape"] == "\\"
        assert [row["column2"] for row in rows_of(shop)] == ['a "quoted" word', "b, c", "plain"]

    def test_two_tables_in_one_file(self, shop: Workshop) -> None:
        table = "Label,Sum\nab,1\ncd,2\nef,3\n"
        with pytest.raises(BadInput, match=r"Line 8 of 'table.csv' begins a second table"):
            shop.load("t", f"First,\n{table},\nSecond,\n{table}")


class TestPacked:
    @pytest.mark.parametrize("wrapping", ["gz", "gz2", "bz2", "zst", "zip"])
    def test_any_wrapping(self, shop: Workshop, wrapping: str) -> None:
        data = ("a,b\n" + ROWS).encode()
        packed = {
            "gz": lambda: gzip.compress(data),
            "gz2": lambda: gzip.compress(data[:50]) + gzip.compress(data[50:]),
            "bz2": lambda: bz2.compress(data[:50]) + bz2.compress(data[50:]),
            "zst": lambda: pa.compress(data, "zstd", asbytes=True),
            "zip": lambda: zipped({"folder/t.csv": data, "__MACOSX/t.csv": b"x", "folder/.hidden": b"x"}),
        }[wrapping]()
        receipt = shop.load("t", shop.file(packed, f"t.csv.{wrapping}"))
        assert receipt["rowsLoaded"] == 40
        assert receipt["source"]["bytes"] == len(packed)
        assert shop.files("scratch") == []

    def test_many_members(self, shop: Workshop) -> None:
        path = shop.file(
            zipped({"one.csv": b"a,b\n1,2\n", "two.csv": b"b;a\n4;3\n", "no.txt": b"c\nx\n"}), "t.zip"
        )
        with pytest.raises(BadInput, match=r"holds 3 files .*options.member"):
            shop.load("t", path)
        with pytest.raises(BadInput, match=r"not one table: 'no.txt' lacks column 'a'"):
            shop.load("t", path, {"member": "*"})
        assert shop.load("t", path, {"member": "two.csv"})["rowsLoaded"] == 1
        both = shop.file(zipped({"one.csv": b"a,b\n1,2\n", "two.csv": b"b;a\n4;3\n"}), "t.zip")
        receipt = shop.load("u", both, {"member": "*"})
        assert rows_of(shop, "u") == [{"a": 1, "b": 2}, {"a": 3, "b": 4}]
        assert receipt["dialect"]["files"] == [{"name": "two.csv", "delimiter": ";"}]
        one = {"rowsRead": 1, "rowsLoaded": 1, "rowsRejected": 0}
        assert receipt["source"]["members"] == [{"name": "one.csv", **one}, {"name": "two.csv", **one}]

    def test_many_files_are_one_version(self, shop: Workshop) -> None:
        paths = [shop.file(f"a,b\n{n},x\n", f"{n}.csv") for n in range(3)]
        paths.append(shop.file('[{"a": 7, "b": "y"}]', "t.json"))
        receipt = shop.load("t", paths)
        assert (receipt["rowsRead"], shop.catalog.get("t").version) == (4, 0)
        assert [row["a"] for row in rows_of(shop)] == [0, 1, 2, 7]
        assert [each["name"] for each in receipt["source"]["files"]] == ["0.csv", "1.csv", "2.csv", "t.json"]

    def test_two_files_of_one_name_stay_apart_in_what_is_said(self, shop: Workshop) -> None:
        good = shop.file("a,b\n" + "1,x\n" * 20, "t.csv")
        (shop.home.parent / "other").mkdir()
        bad = shop.file("a,b\n" + "1,x\n" * 20 + "2\n", "other/t.csv")
        receipt = shop.load("t", [good, bad, good])
        assert [row[1] for row in shop.rejects()] == ["t.csv (2): 1 value for 2 columns"]
        assert [each["rowsRejected"] for each in receipt["source"]["files"]] == [0, 1, 0]
        assert receipt["warnings"][0] == (
            "The files 't.csv' and 't.csv' have the same content; it was loaded twice."
        )


class TestJson:
    def test_lines_arrays_and_one_object(self, shop: Workshop) -> None:
        rows = [{"a": 1, "b": {"c": "x", "d": [1, 2.50]}}, {"a": 2.5, "e": {"$date": "2020-01-01T00:00:00Z"}}]
        for name, text in {
            "t.json": json.dumps(rows),
            "t.jsonl": "\n".join(map(json.dumps, rows)),
            "u.json": json.dumps({"took": 3, "rows": rows}, indent=1),
        }.items():
            receipt = shop.load(name.replace(".", "-"), shop.file(text, name))
            assert types_of(receipt) == {
                "a": "decimal(18,1)",
                "b.c": "text",
                "b.d": "text",
                "e": "timestamptz",
            }
            assert {row["b.d"] for row in rows_of(shop, name.replace(".", "-"))} == {"[1, 2.5]", None}

    def test_text_stays_text(self, shop: Workshop) -> None:
        shop.load("t", shop.file('{"zip": "12345", "n": 7}\n{"zip": "23456", "n": null}\n', "t.jsonl"))
        assert rows_of(shop) == [{"zip": "12345", "n": 7}, {"zip": "23456", "n": None}]

    def test_broken_lines_are_rejected(self, shop: Workshop) -> None:
        lines = [f'{{"a": {n}}}' for n in range(30)]
        lines[3] = '{"a": '
        lines[7] = "# note"
        receipt = shop.load("t", shop.file("\n".join(lines), "t.jsonl"))
        assert (receipt["rowsRead"], receipt["rowsRejected"]) == (30, 2)
        assert [line for line, _, _ in shop.rejects()] == ["4", "8"]
        with pytest.raises(BadInput, match=r"Line 4: not a JSON object"):
            shop.load("u", shop.file("\n".join(lines), "t.jsonl"), {"onBadRow": "fail"})


class TestExcel:
    def test_a_sheet_with_notes_around_its_table(self, shop: Workshop, tmp_path: Path) -> None:
        path = tmp_path / "book.xlsx"
        with xlsxwriter.Workbook(path, {"default_date_format": "yyyy-mm-dd"}) as book:
            book.add_worksheet("empty")
            sheet = book.add_worksheet("data")
            sheet.write(0, 0, "A title")
            sheet.write_row(2, 0, ["id", "name", "day", "price"])
            for n in range(9):
                sheet.write_row(3 + n, 0, [n, f"00{n}", date(2020, 1, 1 + n), n + 0.5])
            sheet.write(13, 0, "Source: a note below")
            book.add_worksheet("other").write(0, 0, "x")
        receipt = shop.load("t", path)
        assert list(types_of(receipt).values()) == ["integer", "text", "date", "decimal(18,1)"]
        assert rows_of(shop)[0] == {"id": 0, "name": "000", "day": date(2020, 1, 1), "price": Decimal("0.5")}
        assert receipt["dialect"]["sheet"] == "data"
        assert any("'other'" in said for said in receipt["warnings"])
        with pytest.raises(BadInput, match="has no sheet 'dat'; did you mean 'data'"):
            shop.load("u", path, {"sheet": "dat"})


class TestBadRows:
    CONTENT = "a,b\n" + ROWS + '7,"open\n8,x,y\n' + ROWS

    def test_they_are_set_aside_with_line_and_reason(self, shop: Workshop) -> None:
        receipt = shop.load("t", self.CONTENT, {"columns": {"a": "int"}})
        assert (receipt["rowsRead"], receipt["rowsLoaded"], receipt["rowsRejected"]) == (82, 80, 2)
        assert shop.rejects() == [
            ["42", "the quote that opens here is never closed", '7,"open'],
            ["43", "3 values for 2 columns", "8,x,y"],
        ]
        assert "2 rows were not loaded" in receipt["warnings"][-1]

    def test_cells_of_a_given_type(self, shop: Workshop) -> None:
        content = "a,b\n" + ROWS + "oops,1\n0x1F,2\n" + ROWS
        receipt = shop.load("t", content, {"columns": {"a": "int"}})
        assert receipt["rowsRejected"] == 2
        assert shop.rejects()[0] == [
            "42",
            "column 'a': 'oops' is not an integer of at most 64 bits",
            "oops,1",
        ]

    def test_too_many_fail_the_import(self, shop: Workshop) -> None:
        content = "a,b\n1,2\n3\n4,5\n"
        with pytest.raises(
            BadInput, match=r"1 of 3 rows are bad \(33.3%\).* 10% .*Line 3: 1 value for 2 columns"
        ):
            shop.load("t", content)
        assert shop.load("t", content, {"maxBadShare": 0.4})["rowsLoaded"] == 2
        with pytest.raises(BadInput, match=r"^Line 3: 1 value"):
            shop.load("u", content, {"onBadRow": "fail"})

    def test_a_dry_run_loads_nothing(self, shop: Workshop) -> None:
        receipt = shop.load("t", self.CONTENT, {"dryRun": True})
        assert (receipt["dryRun"], receipt["version"], receipt["rowsRead"]) == (True, None, 82)
        assert receipt["rejects"][0] == "Line 42: the quote that opens here is never closed"
        assert shop.catalog.names() == ()
        assert shop.files("datasets") == []

    def test_bytes_of_another_encoding(self, shop: Workshop) -> None:
        content = ("a,b\n" + ROWS + "1,é\n").encode() + b"2,\xff\n" + ("3,ö\n" + ROWS).encode()
        receipt = shop.load("t", content)
        assert receipt["rowsRejected"] == 1
        assert shop.rejects()[0][:2] == [
            "43",
            "byte 0xff is not utf-8; options.encoding may name another",
        ]


def zipped(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return packed.getvalue()
