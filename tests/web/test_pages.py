"""The pages without a browser: what they say in each state, the forms, refusals for people."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.model import JobError
from tests.service.routing import OTHER, REPORT, Answer, House, opened, with_sales

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with with_sales(tmp_path / "home") as found:
        yield found


def send(house: House, path: str, **fields: Any) -> Answer:
    """A form as a browser of this machine sends it."""
    return house.call("POST", path, data=fields, headers={"Origin": "http://localhost", "Accept": BROWSER})


def text(answer: Answer) -> str:
    """What a reader sees: no tags, no runs of blanks."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text.partition("<main>")[2]))


def test_an_empty_home_offers_an_import_first(tmp_path: Path) -> None:
    with opened(tmp_path / "home") as empty:
        page = empty.get("/")
    assert "A report needs a dataset; import a file first." in text(page)
    assert re.search(r"<details[^>]* open>\s*<summary>Import a file", page.text)


def test_the_home_page_lists_jobs_and_datasets(house: House) -> None:
    page = house.get("/")
    assert "import into sales sales.csv complete" in text(page)
    assert "ordered_at, region, quantity, unit_price" in text(page)
    assert "data-active" not in page.text
    house.post()
    assert "data-active" in house.get("/").text, "an active job makes the page look again"


def test_a_report_by_the_form(house: House) -> None:
    page = house.get("/")
    assert page.headers["Referrer-Policy"] == "same-origin", "else a browser's Origin would be null"
    (key,) = re.findall(r'name="key" value="(\w+)"', page.text)
    fields = {"dataset": "sales", "year": "2023", "by": "month, region", "format": "csv", "key": key}
    answer = send(house, "/reports", **fields)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/jobs/{house.jobs()[0]['id']}")
    assert house.jobs()[0]["parameters"] == {
        "year": "2023",
        "dataset": "sales",
        "by": ["month", "region"],
        "time": "ordered_at",
    }
    assert send(house, "/reports", **fields).headers["Location"] == answer.headers["Location"]
    other = send(house, "/reports", **{**fields, "year": "2022"})
    assert other.headers["Location"] != answer.headers["Location"]


def test_a_refused_report_keeps_what_was_typed_and_says_every_fault(house: House) -> None:
    answer = send(house, "/reports", dataset="sales", year="20x3", by='regoin"><b>', format="csv")
    assert answer.status_code == 422
    assert "give four digits such as 2023" in answer.text
    assert "has no column &#39;regoin" in answer.text
    assert 'value="regoin&#34;&gt;&lt;b&gt;"' in answer.text
    assert len(house.jobs()) == 1


def test_an_import_by_the_form(house: House) -> None:
    fields = {"dataset": "more", "options": '{"mode": "create"}'}
    answer = send(house, "/imports", file=(io.BytesIO(b"a,b\n1,2\n"), "more.csv"), **fields)
    assert answer.status_code == 303
    assert house.jobs()[0]["parameters"]["dataset"] == "more"
    again = send(house, "/imports", file=(io.BytesIO(b"a\n1\n"), "x.csv"), **{**fields, "dataset": "sales"})
    assert again.status_code == 422
    assert "already exists" in again.text


@pytest.mark.parametrize("path", ["/reports", "/imports", "/jobs/x/cancel"])
def test_a_form_of_another_site_changes_nothing(house: House, path: str) -> None:
    for origin in ("http://evil.example", "null"):
        answer = house.call("POST", path, data={"year": "2023"}, headers={"Origin": origin})
        assert answer.status_code == 403


def test_the_page_of_a_job_says_where_it_is_and_how_it_ended(house: House) -> None:
    first, second = (str(house.post(question).json["id"]) for question in (REPORT, OTHER))
    page = house.get(f"/jobs/{second}")
    assert "waiting 1 job is ahead." in text(page)
    assert "data-active" in page.text and 'http-equiv="refresh"' in page.text
    answer = send(house, f"/jobs/{second}/cancel")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/jobs/{second}")
    page = house.get(f"/jobs/{second}")
    assert "canceled" in text(page)
    assert "data-active" not in page.text and "refresh" not in page.text
    assert send(house, f"/jobs/{second}/cancel").status_code == 303, "twice is no fault for a person"
    while not house.engine.jobs.get(first).ended:
        house.tick()
    page = house.get(f"/jobs/{first}")
    assert f'href="/api/reports/{first}/download">yearly-sales-2023.csv</a>' in page.text
    assert "2 rows" in text(page)


def test_the_page_of_a_failed_job_says_why(house: House) -> None:
    job_id = house.run(house.upload("broken", "a,b\n1,2\n3\n"))
    error = house.engine.jobs.get(job_id).error
    assert isinstance(error, JobError)
    page = house.get(f"/jobs/{job_id}")
    assert "failed" in text(page)
    assert error.detail.split("'")[0] in text(page)
    assert f"/problems/{error.code}" in page.text


def test_a_person_gets_a_page_and_a_program_a_document(house: House) -> None:
    for path in ("/nothing", "/jobs/nothing", "/problems/nothing"):
        page = house.get(path, Accept=BROWSER)
        assert (page.status_code, page.mimetype) == (404, "text/html")
        assert "HTTP status 404" in text(page)
        for accept in ("*/*", "application/json"):
            assert house.get(path, Accept=accept).mimetype == "application/problem+json"
    assert house.get("/api/jobs/nothing", Accept=BROWSER).mimetype == "application/problem+json"


@pytest.mark.parametrize("path", ["/", "/docs", "/problems/gone", "/jobs/{id}"])
def test_every_file_a_page_names_is_here(house: House, path: str) -> None:
    page = house.get(path.format(id=house.jobs()[0]["id"]))
    assert page.status_code == 200
    assert page.text.count("<h1") == (path != "/docs")
    for name in re.findall(r'(?:src|href)="(/(?:static|docs)/[^"]+)"', page.text):
        answer = house.get(name)
        assert answer.status_code == 200, name
        answer.close()
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page.text), "nothing comes from elsewhere"
