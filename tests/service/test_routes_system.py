"""Health, the OpenAPI document and its page, and the report types."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.service.routing import House, opened, pointers


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with opened(tmp_path / "home") as found:
        yield found


def test_healthz_says_that_the_process_lives(house: House) -> None:
    answer = house.get("/healthz")
    assert (answer.status_code, answer.json) == (200, {"status": "ok"})


def test_readyz_tells_the_workers_and_does_not_require_them(house: House) -> None:
    answer = house.get("/readyz")
    assert answer.status_code == 200
    assert answer.json == {
        "status": "ready",
        "database": True,
        "store": True,
        "workers": None,
        "dispatching": False,
        "scheduler": None,
    }


def test_readyz_is_503_without_the_database(house: House) -> None:
    house.lose_database()
    answer = house.get("/readyz")
    assert (answer.status_code, answer.json["status"]) == (503, "not ready")
    assert (answer.json["database"], answer.json["store"]) == (False, True)
    assert house.get("/healthz").status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/api/report-types"])
def test_what_takes_no_query_refuses_one(house: House, path: str) -> None:
    assert pointers(house.get(f"{path}?verbose=1")) == [""]


@pytest.fixture
def document(house: House) -> dict[str, Any]:
    found: dict[str, Any] = house.get("/openapi.json").json
    return found


def test_the_openapi_document_has_every_served_route_and_method(
    house: House, document: dict[str, Any]
) -> None:
    served = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(rule)), method.lower())
        for rule in house.http.application.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if str(rule).startswith(("/api/", "/healthz", "/readyz", "/metrics"))
    }
    told = {(path, method) for path, methods in document["paths"].items() for method in methods}
    assert told == served
    assert document["openapi"].startswith("3.1.")


def test_every_reference_of_the_openapi_document_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in set(re.findall(r'"\$ref": "(.*?)"', json.dumps(document))):
        assert reference.startswith("#/")
        place: Any = document
        for name in reference.removeprefix("#/").split("/"):
            place = place[name]


def test_every_route_says_how_it_refuses_and_submissions_name_their_headers(
    document: dict[str, Any],
) -> None:
    for methods in document["paths"].values():
        for route in methods.values():
            assert "application/problem+json" in route["responses"]["default"]["content"]
    for path in ("/api/reports", "/api/imports"):
        post = document["paths"][path]["post"]
        assert {"Idempotency-Key", "Prefer", "Haulier-Priority"} <= {
            parameter["name"] for parameter in post["parameters"] if parameter["in"] == "header"
        }
        assert "202" in post["responses"]


def test_the_docs_page_loads_only_files_that_are_here(house: House) -> None:
    page = house.get("/docs")
    assert (page.status_code, page.mimetype) == (200, "text/html")
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    files = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert files
    for name in files:
        assert name.startswith("/")
        answer = house.get(name)
        assert answer.status_code == 200, name
        answer.close()


def test_report_types_have_the_schema_of_their_parameters(house: House) -> None:
    found = {each["name"]: each for each in house.get("/api/report-types").json["reportTypes"]}
    assert set(found) >= {"yearly-sales", "aggregate"}
    assert "year" in found["yearly-sales"]["parameters"]["required"]
    assert found["aggregate"]["parameters"]["additionalProperties"] is False
    assert all(each["example"]["reportType"] == name for name, each in found.items())


def test_readyz_does_not_fail_when_the_store_is_empty(house: House) -> None:
    shutil.rmtree(house.engine.settings.store_url, ignore_errors=True)
    assert house.get("/readyz").json["store"] is True
