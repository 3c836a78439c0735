"""One report of every type over HTTP: posted, run, downloaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.reports.types import REPORTS
from tests.service.routing import House, with_sales

REVENUE = {"op": "sum", "of": "quantity * unit_price", "as": "revenue"}
SPANS = {
    "current": {"from": "2023-01-01", "to": "2024-01-01"},
    "previous": {"from": "2022-01-01", "to": "2023-01-01"},
}
ASKED: dict[str, tuple[dict[str, Any], str]] = {
    "yearly-sales": ({"year": 2022}, "month,orders,units,revenue\r\n2022-12,1,1,1.00\r\n"),
    "aggregate": (
        {"dataset": "sales", "by": ["region"], "measures": [REVENUE]},
        "region,revenue\r\nEU,22.00\r\nUS,10.25\r\n",
    ),
    "top": (
        {"dataset": "sales", "by": ["region"], "measures": [REVENUE], "n": 1, "others": True},
        "rank,region,revenue,share\r\n1,EU,22.00,0.6821705426356589\r\n,(others),10.25,0.3178294573643411\r\n",
    ),
    "pivot": (
        {
            "dataset": "sales",
            "rows": ["region"],
            "columns": [{"time": "ordered_at", "grain": "year"}],
            "measures": [REVENUE],
            "total": True,
        },
        "region,2022,2023,total\r\nEU,1.00,21.00,22.00\r\nUS,,10.25,10.25\r\n",
    ),
    "compare": (
        {"dataset": "sales", "by": ["region"], "measures": [REVENUE], **SPANS},
        "region,revenue,revenue_before,revenue_change,revenue_change_share\r\n"
        "EU,21.00,1.00,20.00,20.0\r\nUS,10.25,,10.25,\r\n",
    ),
    "cohort": (
        {"dataset": "sales", "entity": "region"},
        "cohort,since,size,active,share\r\n"
        "2022-12,0,1,1,1.0\r\n2022-12,1,1,1,1.0\r\n2022-12,2,1,0,0.0\r\n2022-12,3,1,0,0.0\r\n"
        "2023-01,0,1,1,1.0\r\n2023-01,1,1,0,0.0\r\n2023-01,2,1,1,1.0\r\n",
    ),
    "distribution": (
        {"dataset": "sales", "of": "unit_price", "bins": 3, "quantiles": [0.5]},
        "part,from,to,value,rows,share,cumulative_share\r\n"
        "bin,0.0,5.0,,3,0.75,0.75\r\nbin,5.0,10.0,,0,0.0,0.75\r\nbin,10.0,15.0,,1,0.25,1.0\r\n"
        "min,,,1.0,,,\r\np50,,,3.125,,,\r\nmax,,,10.5,,,\r\nmean,,,4.4375,,,\r\n"
        "stddev,,,4.2640698477706325,,,\r\n",
    ),
    "profile": (
        {"dataset": "sales", "columns": ["region", "quantity"], "top": 1},
        "column,type,rows,nulls,null_share,distinct,min,max,mean,top_1,top_1_rows\r\n"
        "region,text,4,0,0.0,2,EU,US,,EU,2\r\nquantity,integer,4,0,0.0,3,1,3,1.75,1,2\r\n",
    ),
}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with with_sales(tmp_path / "home") as found:
        yield found


def test_what_is_looked_up_in_another_dataset_is_a_column_like_any(house: House) -> None:
    house.run(house.upload("regions", "code,name\nEU,Europe\nAP,Asia\n"))
    lookup = {"dataset": "regions", "on": "region", "key": "code", "columns": ["name"]}
    asked = {"dataset": "sales", "by": ["name"], "measures": [REVENUE], "lookup": [lookup]}
    own = house.run(house.post({"reportType": "aggregate", "parameters": asked, "format": "json"}))
    assert house.get(f"/api/reports/{own}/download").json == [
        {"name": "Europe", "revenue": 22.0},
        {"name": None, "revenue": 10.25},
    ]


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_of_every_type_can_be_read_as_a_page(house: House, name: str) -> None:
    own = house.run(house.post({"reportType": name, "parameters": ASKED[name][0], "format": "html"}))
    answer = house.get(f"/api/reports/{own}/download")
    assert (answer.mimetype, answer.text.count("<h1>")) == ("text/html", 1)
    assert REPORTS[name].title in answer.text
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="')


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_of_every_type_can_be_had(house: House, name: str) -> None:
    parameters, expected = ASKED[name]
    own = house.run(house.post({"reportType": name, "parameters": parameters}))
    answer = house.get(f"/api/reports/{own}/download")
    assert answer.text == expected
    assert house.job(own)["result"]["rows"] == len(expected.splitlines()) - 1
