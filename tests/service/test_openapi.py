"""The OpenAPI document is true: examples fit their schemas, and what comes back is what it says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
    use_after_free,
)

from tests.service.routing import REPORT, House, with_sales

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    unsupported_method,
    use_after_free,
]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with with_sales(tmp_path_factory.mktemp("openapi") / "home") as found:
        yield found


@pytest.fixture(scope="module")
def document(house: House) -> dict[str, Any]:
    found: dict[str, Any] = house.get("/openapi.json").json
    return found


def examples(document: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Any]]:
    for schema in document["components"]["schemas"].values():
        for example in schema.get("examples", ()):
            yield schema, example


def test_every_example_fits_its_schema(document: dict[str, Any]) -> None:
    found = list(examples(document))
    assert len(found) > 15
    for schema, example in found:
        Draft202012Validator({**schema, "components": document["components"]}).validate(example)


@pytest.mark.parametrize("path", ["/api/reports", "/api/imports", "/api/videos"])
def test_submissions_say_what_is_sent_to_callbacks(document: dict[str, Any], path: str) -> None:
    [(where, told)] = document["paths"][path]["post"]["callbacks"]["job"].items()
    assert where == "{$request.body#/callbacks/0/url}"
    assert set(told["post"]["requestBody"]["content"]) == {"application/cloudevents+json"}
    named = {parameter["name"] for parameter in told["post"]["parameters"]}
    assert named == {"webhook-id", "webhook-timestamp", "webhook-signature"}


def test_the_report_of_an_example_is_accepted(house: House, document: dict[str, Any]) -> None:
    for example in document["components"]["schemas"]["ReportRequest"]["examples"]:
        body = {name: value for name, value in example.items() if name != "callbacks"}
        assert house.call("POST", "/api/reports?dryRun=true", json=body).status_code == 200, body


ROUNDS = settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def test_what_comes_back_is_what_the_document_says(house: House) -> None:
    """Requests made up from the document, right and wrong, of what is there and what is not."""
    there = {"id": house.run(house.post()), "name": "sales", "version": 1}
    schema = schemathesis.openapi.from_wsgi("/openapi.json", house.http.application)
    operations = [result.ok() for result in schema.get_all_operations()]
    for operation in sorted(operations, key=lambda each: each.method.upper() == "DELETE"):
        probed(operation, there)


def probed(operation: Any, there: dict[str, Any]) -> None:
    named = {name: there[name] for name in re.findall(r"{(\w+)}", operation.path)}
    made_up = [operation.as_strategy(generation_mode=mode) for mode in GenerationMode]
    if named:
        made_up += [operation.as_strategy(path_parameters=named)] * 2
    if operation.path == "/api/reports":
        made_up.append(operation.as_strategy(body=REPORT))

    @ROUNDS
    @given(case=st.one_of(made_up))
    def probe(case: Any) -> None:
        case.call_and_validate(checks=CHECKS)

    probe()
