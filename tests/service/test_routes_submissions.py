"""POST /api/reports: the 202, what its headers ask for, and every refusal before a row exists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.service.routing import REPORT, YEAR, House, pointers, refused, with_sales


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with with_sales(tmp_path / "home") as found:
        yield found


def raw(house: House, body: bytes, kind: str = "application/json") -> Any:
    return house.call("POST", "/api/reports", data=body, content_type=kind)


def yearly(**parameters: Any) -> dict[str, Any]:
    return {"reportType": "yearly-sales", "parameters": {"year": "2023", **parameters}}


def count(**measure: Any) -> dict[str, Any]:
    return {"reportType": "aggregate", "parameters": {"dataset": "sales", "measures": [measure]}}


def test_a_202_names_every_address_and_its_body_only_id_and_status(house: House) -> None:
    answer = house.post()
    own = answer.json["id"]
    assert answer.status_code == 202
    assert answer.json == {"id": own, "status": "NotStarted"}
    assert answer.headers["Location"] == f"/api/reports/{own}/status"
    assert answer.headers["Operation-Location"] == f"http://localhost/api/operations/{own}"
    assert answer.headers["Link"] == f'<http://localhost/api/jobs/{own}>; rel="monitor"'
    assert int(answer.headers["Retry-After"]) >= 1
    assert house.job(own)["parameters"] == {"year": "2023"}


def test_the_report_of_a_posted_year_has_a_row_a_month(house: House) -> None:
    own = house.run(house.post())
    assert house.get(f"/api/reports/{own}/download").text == YEAR


@pytest.mark.parametrize(
    ("body", "where", "said"),
    [
        ({"reportType": "yearly-salse"}, "/reportType", "did you mean 'yearly-sales'?"),
        ({"parameters": {}}, "/reportType", "'reportType' is missing; known are"),
        ({"reportType": 7}, "/reportType", "7 is no reportType"),
        (yearly(year="20x3"), "/parameters/year", "'year' is '20x3'; give four digits such as 2023."),
        (yearly(year=20233), "/parameters/year", "20233"),
        (yearly(year=True), "/parameters/year", "True"),
        ({"reportType": "yearly-sales"}, "/parameters/year", "'year' is missing; add it."),
        ({"reportType": "yearly-sales", "parameters": []}, "/parameters", "'parameters' is []"),
        (yearly(dataset="sale"), "/parameters/dataset", "did you mean 'sales'?"),
        (yearly(by=["month", "regoin"]), "/parameters/by/1", "did you mean 'region'?"),
        (yearly(amount="quantity * unit_prize"), "/parameters/amount", "did you mean 'unit_price'?"),
        (yearly(yaer=1), "/parameters/yaer", "did you mean 'year'?"),
        (count(op="sum", of="quantitty"), "/parameters/measures/0/of", "did you mean 'quantity'?"),
        (count(op="summ", of="quantity"), "/parameters/measures/0/op", "did you mean 'sum'?"),
        ({**REPORT, "format": "cvs"}, "/format", "did you mean 'csv'?"),
        ({**REPORT, "fromat": "csv"}, "/fromat", "did you mean 'format'?"),
    ],
)
def test_one_fault_is_named_with_its_place_and_leaves_no_job(
    house: House, body: Any, where: str, said: str
) -> None:
    [(pointer, detail)] = refused(house.post(body), 422, "invalid-parameters")
    assert (pointer, said in detail) == (where, True), detail
    assert len(house.jobs()) == 1  # the import of the fixture


def test_several_faults_are_told_in_one_document(house: House) -> None:
    wrong = yearly(year="20x3", dataset="sales", by=["moth"], amount="quantity * prize", extra=1)
    answer = house.post({**wrong, "format": "pdf", "more": None})
    assert pointers(answer) == sorted(
        [
            "/format",
            "/more",
            "/parameters/amount",
            "/parameters/by/0",
            "/parameters/extra",
            "/parameters/year",
        ]
    )
    assert answer.json["detail"] == "The request has 6 faults; see errors."


def test_faults_of_headers_and_body_are_told_together(house: House) -> None:
    headers = {"Haulier-Priority": "urgent", "Idempotency-Key": "x" * 256}
    faults = refused(house.post(yearly(year="20x3"), headers), 422, "invalid-parameters")
    assert [pointer for pointer, _ in faults] == ["", "", "/parameters/year"]
    assert "Haulier-Priority is 'urgent'" in faults[0][1] and "Idempotency-Key" in faults[1][1]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "line 1, column 1"),
        (b'{"reportType": "yearly-sales",\n "parameters": {year: 2023}}', "line 2, column 17"),
        (b'{"reportType": "yearly-sales"} {}', "Extra data"),
        (b'{"year": NaN}', "NaN is no JSON number"),
        (b'{"year": 1e999}', "1e999"),
        (b'{"year": -1e999}', "-1e999"),
        (b'{"a": "\xff"}', "not UTF-8 at byte 7"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"n": ' + b"9" * 5000 + b"}", "not JSON"),
    ],
)
def test_malformed_json_is_refused_with_the_place(house: House, body: bytes, said: str) -> None:
    answer = raw(house, body)
    assert refused(answer, 400, "malformed-json") == []
    assert said in answer.json["detail"]
    assert len(house.jobs()) == 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"[]", "it is an array"),
        (b'"yearly-sales"', "it is a string"),
        (b"null", "it is null"),
        (b"2023", "it is a number"),
        (b'{"reportType": "yearly-sales", "reportType": "aggregate"}', "'reportType' twice"),
        (b'{"reportType": "a\\u0000b"}', "NUL"),
        (b'{"reportType": "\\ud800"}', "surrogate"),
    ],
)
def test_json_that_is_no_plain_object_is_refused(house: House, body: bytes, said: str) -> None:
    [(pointer, detail)] = refused(raw(house, body), 422, "invalid-parameters")
    assert (pointer, said in detail) == ("", True), detail
    assert len(house.jobs()) == 1


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_a_body_of_another_type_is_refused(house: House, kind: str) -> None:
    assert refused(raw(house, b'{"reportType": "yearly-sales"}', kind), 415, "unsupported-media-type") == []


def test_a_body_of_more_than_a_mebibyte_is_refused(house: House) -> None:
    assert refused(raw(house, b" " * (1 << 20) + b"{}"), 413, "too-large") == []


def test_a_submission_takes_no_query(house: House) -> None:
    answer = house.call("POST", "/api/reports?wait=5&format=csv", json=REPORT)
    assert pointers(answer) == ["", ""]
    assert len(house.jobs()) == 1


# --- Idempotency-Key


def test_the_same_key_and_body_give_the_first_202_again(house: House) -> None:
    first = house.post(headers={"Idempotency-Key": "q1"})
    again = house.post(dict(reversed(REPORT.items())), {"Idempotency-Key": "q1"})
    assert again.status_code == 202
    assert again.json == first.json
    assert [again.headers[name] for name in ("Location", "Operation-Location", "Link")] == [
        first.headers[name] for name in ("Location", "Operation-Location", "Link")
    ]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert len(house.jobs()) == 2


def test_a_key_is_replayed_after_the_job_has_ended_and_never_with_a_terminal_word(house: House) -> None:
    own = house.run(house.post(headers={"Idempotency-Key": "q1"}))
    again = house.post(headers={"Idempotency-Key": "q1"})
    assert (again.status_code, again.json) == (202, {"id": own, "status": "Running"})


def test_a_key_with_another_body_is_refused_and_leaves_no_job(house: House) -> None:
    house.post(headers={"Idempotency-Key": "q1"})
    answer = house.post(yearly(year="2022"), {"Idempotency-Key": "q1"})
    assert refused(answer, 422, "idempotency-key-reused") == []
    assert "'q1'" in answer.json["detail"]
    assert len(house.jobs()) == 2


def test_a_refused_request_does_not_use_up_its_key(house: House) -> None:
    assert pointers(house.post(yearly(year="20x3"), {"Idempotency-Key": "q1"})) == ["/parameters/year"]
    answer = house.post(headers={"Idempotency-Key": "q1"})
    assert answer.status_code == 202
    assert "Idempotency-Replayed" not in answer.headers


def test_without_a_key_the_same_body_is_another_job(house: House) -> None:
    assert house.post().json["id"] != house.post().json["id"]


# --- Prefer and Haulier-Priority


def test_prefer_wait_answers_once_the_job_has_ended(house: House) -> None:
    with house.dispatching():
        answer = house.post(headers={"Prefer": "respond-async, wait=30"})
    assert answer.status_code == 202
    assert answer.headers["Preference-Applied"] == "respond-async, wait=30"
    assert answer.json["status"] == "Running"  # a 202 never holds a terminal word
    assert house.get(answer.headers["Location"]).json["status"] == "Complete"


def test_prefer_wait_gives_up_after_its_seconds(house: House) -> None:
    answer = house.post(headers={"Prefer": "wait=1"})
    assert (answer.status_code, answer.json["status"]) == (202, "NotStarted")


@pytest.mark.parametrize("given", ["wait=soon", "wait=-1", "wait", "handling=lenient", "wait=0"])
def test_a_preference_that_cannot_be_met_is_no_reason_to_refuse(house: House, given: str) -> None:
    answer = house.post(headers={"Prefer": given})
    assert answer.status_code == 202
    assert "Preference-Applied" not in answer.headers


@pytest.mark.parametrize("given", ["interactive", "batch"])
def test_the_priority_of_the_header_is_that_of_the_job(house: House, given: str) -> None:
    answer = house.post(headers={"Haulier-Priority": given})
    assert house.job(answer.json["id"])["priority"] == given
