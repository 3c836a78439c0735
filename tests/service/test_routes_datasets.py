"""Datasets over HTTP: the list, one of them, its first rows, its removal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from tests.service.routing import SALES, House, opened, pointers, refused

COLUMNS = [
    {"name": "ordered_at", "type": "timestamp"},
    {"name": "region", "type": "text"},
    {"name": "quantity", "type": "integer"},
    {"name": "unit_price", "type": "decimal(18,2)"},
]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with opened(tmp_path / "home") as found:
        found.run(found.upload("sales"))
        yield found


def append(house: House) -> str:
    return house.run(house.upload("sales", headers={"Haulier-Options": '{"mode": "append"}'}))


def test_the_list_has_every_dataset_at_its_newest_version(house: House) -> None:
    house.run(house.upload("more"))
    append(house)
    found = house.get("/api/datasets").json
    assert set(found) == {"datasets"}
    assert [(each["name"], each["version"], each["rows"]) for each in found["datasets"]] == [
        ("more", 0, 4),
        ("sales", 1, 8),
    ]


def test_a_version_says_where_it_came_from(house: House) -> None:
    own = append(house)
    versions = house.get("/api/datasets/sales").json["versions"]
    assert [(each["source"], each["options"]) for each in versions] == [
        ("sales.csv", {}),
        ("sales.csv", {"mode": "append"}),
    ]
    assert versions[1]["sha256"] == hashlib.sha256(SALES.encode()).hexdigest()
    found = house.get(versions[1]["links"][0]["href"]).json
    told = house.get(f"/api/imports/{own}/download").json
    assert {**told, "version": None} == found["receipt"]
    assert (found["version"], found["job"]) == (1, own)
    for missing in ("/api/datasets/sales/versions/7", "/api/datasets/none/versions/0"):
        assert house.get(missing).status_code == 404


def test_a_dataset_shows_schema_size_and_versions(house: House) -> None:
    first, second = house.jobs()[0]["id"], append(house)
    found = house.get("/api/datasets/sales").json
    assert (found["name"], found["version"], found["rows"]) == ("sales", 1, 8)
    assert (found["schema"], found["timeColumn"]) == (COLUMNS, "ordered_at")
    files = [name for name in house.files() if name.endswith(".parquet")]
    root = Path(house.engine.settings.store_url)
    assert found["bytes"] == sum((root / name).stat().st_size for name in files)
    assert [(each["version"], each["rows"], each["mode"], each["job"]) for each in found["versions"]] == [
        (0, 4, "create", first),
        (1, 8, "append", second),
    ]
    created = [each["created"] for each in found["versions"]]
    assert all(moment.endswith("Z") for moment in created)
    assert datetime.fromisoformat(created[0]) <= datetime.fromisoformat(created[1])
    assert all(house.get(link["href"]).status_code == 200 for link in found["links"])


def test_the_preview_shows_the_first_rows_with_all_their_digits(house: House) -> None:
    answer = house.get("/api/datasets/sales/preview?limit=2")
    found = json.loads(answer.text, parse_float=Decimal)
    assert (found["dataset"], found["columns"]) == ("sales", [column["name"] for column in COLUMNS])
    assert found["rows"] == [
        {"ordered_at": "2022-12-31T23:59:59", "region": "EU", "quantity": 1, "unit_price": Decimal("1.00")},
        {"ordered_at": "2023-01-05T10:00:00", "region": "EU", "quantity": 2, "unit_price": Decimal("10.50")},
    ]
    assert str(found["rows"][1]["unit_price"]) == "10.50"
    assert len(house.get("/api/datasets/sales/preview").json["rows"]) == 4


def test_the_preview_of_numbers_that_json_lacks_is_still_json(house: House) -> None:
    house.run(house.upload("odd", "x,y\n1.5,a\nNaN,b\n-inf,\n"))
    rows = json.loads(house.get("/api/datasets/odd/preview").text, parse_constant=pytest.fail)["rows"]
    assert len(rows) == 3


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=few", "offset=3"])
def test_a_wrong_query_is_refused(house: House, query: str) -> None:
    assert pointers(house.get(f"/api/datasets/sales/preview?{query}")) == [""]
    assert pointers(house.get("/api/datasets?name=x")) == [""]
    assert pointers(house.get("/api/datasets/sales?version=0")) == [""]
    assert pointers(house.call("DELETE", "/api/datasets/sales?version=0")) == [""]
    assert house.get("/api/datasets/sales").status_code == 200


@pytest.mark.parametrize("name", ["salse", "No", "..", "a%2Fb", "%00", "x" * 300])
def test_an_unknown_dataset_is_not_found_whatever_its_name(house: House, name: str) -> None:
    code = "not-found" if "%2F" in name else "unknown-dataset"
    for method, tail in (("GET", ""), ("GET", "/preview"), ("DELETE", "")):
        answer = house.call(method, f"/api/datasets/{name}{tail}")
        assert refused(answer, 404, code) == []
    if name == "salse":
        assert "did you mean 'sales'?" in answer.json["detail"]


def test_a_deleted_dataset_is_gone_with_all_its_files_and_its_name_is_free(house: House) -> None:
    append(house)
    answer = house.call("DELETE", "/api/datasets/sales")
    assert (answer.status_code, answer.data) == (204, b"")
    assert refused(house.get("/api/datasets/sales"), 404, "unknown-dataset") == []
    assert refused(house.call("DELETE", "/api/datasets/sales"), 404, "unknown-dataset") == []
    assert house.get("/api/datasets").json == {"datasets": []}
    assert [name for name in house.files() if not name.startswith(("uploads/", "results/"))] == []
    assert pointers(house.post()) == ["/parameters/dataset"]
    house.run(house.upload("sales", SALES + "2023-05-01 00:00:00,EU,1,1.00\n"))
    assert house.get("/api/datasets/sales").json["rows"] == 5


def test_a_report_whose_dataset_is_deleted_before_it_starts_fails_and_says_so(house: House) -> None:
    answer = house.post()
    house.call("DELETE", "/api/datasets/sales")
    own = house.run(answer)
    error = house.get(f"/api/reports/{own}/status").json["error"]
    assert (error["code"], "sales" in error["detail"]) == ("unknown-dataset", True)
