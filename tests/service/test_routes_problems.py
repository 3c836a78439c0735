"""What is refused whatever the resource: unknown addresses, wrong methods, foreign hosts and pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.app import create_app
from service.errors import PROBLEMS
from tests.service.routing import REPORT, House, opened, refused, with_sales


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with opened(tmp_path / "home") as found:
        yield found


@pytest.mark.parametrize(
    "path", ["/api", "/api/reports/", "/api/nothing", "/static/none.css", "/jobs", "/a%00b"]
)
def test_an_unknown_address_is_a_problem(house: House, path: str) -> None:
    assert refused(house.get(path), 404, "not-found") == []


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/api/reports", {"POST", "OPTIONS"}),
        ("PUT", "/api/imports", {"POST", "OPTIONS"}),
        ("POST", "/api/datasets", {"GET", "HEAD", "OPTIONS"}),
        ("GET", "/api/jobs/x/cancel", {"POST", "OPTIONS"}),
    ],
)
def test_a_method_that_is_not_there_is_a_problem_that_names_those_that_are(
    house: House, method: str, path: str, allowed: set[str]
) -> None:
    answer = house.call(method, path)
    assert refused(answer, 405, "method-not-allowed") == []
    assert set(answer.headers["Allow"].split(", ")) == allowed


@pytest.mark.parametrize("code", sorted(PROBLEMS))
def test_the_type_of_every_problem_is_a_page(house: House, code: str) -> None:
    page = house.get(f"/problems/{code}")
    status, title, _ = PROBLEMS[code]
    assert (page.status_code, page.mimetype) == (200, "text/html")
    assert str(status) in page.text and title in page.text
    assert refused(house.get(f"/problems/{code}x"), 404, "not-found") == []


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8480", "10.0.0.1", "localhost.evil.example"])
def test_a_foreign_host_is_never_served(house: House, host: str) -> None:
    for path in ("/api/jobs", "/healthz", "/"):
        assert refused(house.get(path, Host=host), 421, "misdirected") == []
    assert refused(house.post(headers={"Host": host}), 421, "misdirected") == []


@pytest.mark.parametrize("host", ["a@127.0.0.1", "127.0.0.1:x", "127.0.0.1:0", "a b"])
def test_a_host_that_is_none_is_refused(house: House, host: str) -> None:
    assert refused(house.get("/api/jobs", Host=host), 400, "bad-host") == []


@pytest.mark.parametrize("host", ["127.0.0.1:8480", "localhost", "[::1]:8480", "LOCALHOST:1"])
def test_this_machine_is_served_under_all_its_names(house: House, host: str) -> None:
    assert house.get("/api/jobs", Host=host).status_code == 200


def test_behind_a_proxy_the_configured_address_is_served_and_shown(tmp_path: Path) -> None:
    with with_sales(tmp_path / "home") as house:
        settings = house.engine.settings
        house.engine.settings = type(settings).from_env(
            {}, home=str(settings.home), base_url="https://haul.example"
        )
        house.http = create_app(house.engine).test_client()
        answer = house.post(headers={"Host": "haul.example", "Origin": "https://haul.example"})
        own = answer.json["id"]
        assert answer.headers["Operation-Location"] == f"https://haul.example/api/operations/{own}"
        assert answer.headers["Link"] == f'<https://haul.example/api/jobs/{own}>; rel="monitor"'
        assert refused(house.get("/api/jobs", Host="evil.example"), 421, "misdirected") == []


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:9"])
def test_a_page_from_elsewhere_may_change_nothing(house: House, origin: str) -> None:
    assert refused(house.post(headers={"Origin": origin}), 403, "foreign-origin") == []
    for path in ("/api/datasets/sales", "/api/jobs/x"):
        answer = house.call("DELETE", path, headers={"Origin": origin})
        assert answer.status_code in (403, 405)
    assert house.jobs() == []
    assert house.get("/api/jobs", Origin=origin).status_code == 200


def test_our_own_pages_may_submit(tmp_path: Path) -> None:
    with with_sales(tmp_path / "home") as house:
        assert house.post(REPORT, {"Origin": "http://localhost"}).status_code == 202


def test_answers_cannot_be_taken_for_pages_and_are_not_kept_by_proxies(house: House) -> None:
    for path in ("/api/jobs", "/api/nothing"):
        headers = house.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'; sandbox"
        assert headers["Cache-Control"] == "private, no-cache"


def test_a_database_that_cannot_be_reached_is_no_fault_of_the_request(house: House) -> None:
    house.lose_database()
    answer = house.get("/api/jobs")
    assert refused(answer, 503, "unavailable") == []
    assert int(answer.headers["Retry-After"]) >= 1
