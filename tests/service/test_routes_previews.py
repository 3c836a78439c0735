"""dryRun: what a submission would cost, on every kind, with nothing left behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from tests.service.routing import OTHER, REPORT, SALES, House, pointers, with_sales


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with with_sales(tmp_path / "home") as found:
        yield found


def preview(house: House, body: Any = REPORT, path: str = "/api/reports?dryRun=true") -> dict[str, Any]:
    answer = house.call("POST", path, json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json
    return found


def test_a_report_is_told_what_it_reads_with_every_default_filled_in(house: House) -> None:
    before, jobs = house.files(), house.jobs()
    found = preview(house)
    assert found["valid"] is True
    asked = found["request"]
    assert (asked["reportType"], asked["format"]) == ("yearly-sales", "csv")
    assert asked["dataset"] == {"name": "sales", "version": 0}
    assert asked["parameters"]["amount"] == "quantity * unit_price"
    assert {name: found["reads"][name] for name in ("fragments", "rows")} == {"fragments": 1, "rows": 4}
    assert found["reads"]["bytes"] > 0
    assert found["computed"] == {"rows": 0, "answeredBy": None}
    assert found["queue"] == {"jobsAhead": 0, "seconds": 0}
    assert (found["estimate"], found["pastError"]) == (None, None)  # nobody ran one before
    assert (house.files(), house.jobs()) == (before, jobs)


def test_the_estimate_and_its_past_error_come_from_earlier_jobs(house: House) -> None:
    for year in ("2022", "2021"):
        house.run(house.post({**REPORT, "parameters": {"year": year}}))
    found = preview(house)
    assert found["estimate"]["seconds"] > 0
    assert found["estimate"]["p90"] >= found["estimate"]["seconds"]
    assert found["estimate"]["basis"] == "2 earlier runs"
    assert found["pastError"]["jobs"] == 1
    assert 0 <= found["pastError"]["underP90"] <= 1


def test_the_queue_is_part_of_what_is_told(house: House) -> None:
    house.run(house.post(OTHER))
    for year in ("2020", "2021"):
        house.post({**REPORT, "parameters": {"year": year}})
    found = preview(house)
    assert found["queue"]["jobsAhead"] == 2
    assert found["estimate"]["basis"].endswith("and the jobs ahead")


def test_an_equal_question_is_named(house: House) -> None:
    own = house.run(house.post())
    assert preview(house)["computed"]["answeredBy"] == own
    assert preview(house, OTHER)["computed"]["answeredBy"] is None


def test_a_member_of_the_body_says_the_same(house: House) -> None:
    found = preview(house, {**REPORT, "dryRun": True}, "/api/reports")
    assert found["valid"]
    submitted = house.post({**REPORT, "dryRun": False})
    assert submitted.status_code == 202


def test_what_is_wrong_is_told_as_for_a_submission(house: House) -> None:
    wrong = {"reportType": "yearly-sales", "parameters": {"year": "soon"}, "format": "pdf"}
    answer = house.call("POST", "/api/reports?dryRun=true", json=wrong)
    assert pointers(answer) == ["/format", "/parameters/year"]
    assert pointers(house.call("POST", "/api/reports?dryRun=maybe", json=REPORT)) == [""]
    assert pointers(house.post({**REPORT, "dryRun": "yes"})) == ["/dryRun"]


@pytest.mark.parametrize("way", ["raw", "form", "named"])
def test_an_import_is_told_its_size_and_leaves_no_upload(house: House, way: str) -> None:
    before, jobs = house.files(), house.jobs()
    if way == "raw":
        path = "/api/imports?dataset=more&filename=more.csv&dryRun=true"
        answer = house.call("POST", path, data=SALES)
    elif way == "form":
        form = {"dataset": "more", "file": (BytesIO(SALES.encode()), "more.csv")}
        answer = house.call("POST", "/api/imports?dryRun=true", data=form)
    else:
        (house.engine.settings.home / "input" / "more.csv").write_text(SALES)
        answer = house.call(
            "POST", "/api/imports?dryRun=true", json={"dataset": "more", "source": "more.csv"}
        )
    assert answer.status_code == 200, answer.text
    found = answer.json
    assert found["request"] == {"type": "csv", "dataset": "more", "source": "more.csv"}
    assert (found["reads"]["files"], found["reads"]["bytes"]) == (1, len(SALES))
    assert found["estimate"]["basis"] == "1 earlier run"
    assert (house.files(), house.jobs()) == (before, jobs)
    assert str(house.engine.settings.home) not in json.dumps(found)


def test_a_wrong_import_is_refused_and_leaves_no_upload(house: House) -> None:
    before = house.files()
    path = "/api/imports?dataset=No%20Name&filename=more.csv&dryRun=true"
    assert pointers(house.call("POST", path, data=SALES)) == ["/dataset"]
    assert house.files() == before
