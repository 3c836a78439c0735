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
}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with with_sales(tmp_path / "home") as found:
        yield found


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_of_every_type_can_be_had(house: House, name: str) -> None:
    parameters, expected = ASKED[name]
    own = house.run(house.post({"reportType": name, "parameters": parameters}))
    answer = house.get(f"/api/reports/{own}/download")
    assert answer.text == expected
    assert house.job(own)["result"]["rows"] == len(expected.splitlines()) - 1
