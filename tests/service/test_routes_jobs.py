"""Jobs over HTTP: status and document in every state, conditional and waiting requests, the list, cancel."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.core import PipelineClient
from azure.core.exceptions import HttpResponseError
from azure.core.polling import LROPoller
from azure.core.polling.base_polling import LROBasePolling
from azure.core.rest import HttpRequest
from werkzeug.serving import make_server

from service.model import JobState
from tests.service.routing import OTHER, REPORT, SALES, YEAR, House, opened, pointers, refused, with_sales

DOCUMENT = {
    *("id", "kind", "type", "parameters", "status", "progress", "units", "phase", "message"),
    *("created", "started", "updated", "finished", "eta", "queue", "health", "attempt", "priority"),
    *("cached", "result", "error", "links"),
}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with with_sales(tmp_path / "home") as found:
        yield found


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[House]:
    with opened(tmp_path / "home") as found:
        yield found


def running(house: House) -> str:
    """A report that a worker has begun. Its question is another than that of `house.post()`."""
    own = str(house.post(OTHER).json["id"])
    while house.engine.jobs.get(own).state is not JobState.RUNNING:
        house.tick()
    return own


def failed(house: House) -> str:
    """An import whose fourth row is bad."""
    return house.run(house.upload("bad", SALES + "2023-01-01 00:00:00,EU,1\n"))


def canceled(house: House) -> str:
    own = str(house.post(OTHER).json["id"])
    house.cancel(own)
    return own


def utc(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    assert text.endswith("Z") and moment.utcoffset() == timedelta(0)
    return moment


# --- status


def test_a_status_without_any_basis_for_an_estimate_has_one_key(empty: House) -> None:
    answer = empty.get(empty.upload("sales").headers["Location"])
    assert answer.json == {"status": "In Progress"}
    assert int(answer.headers["Retry-After"]) >= 1


def test_queued_and_running_are_in_progress_with_an_estimate_from_earlier_runs(house: House) -> None:
    house.run(house.post())
    queued = str(house.post({**REPORT, "format": "json"}).json["id"])
    for own in (queued, running(house)):
        status = house.get(f"/api/reports/{own}/status").json
        assert set(status) == {"status", "estimatedTimeRemaining"}
        assert status["status"] == "In Progress"
        number, word = status["estimatedTimeRemaining"].split(" ")
        assert (word, int(number) >= 1) == ("seconds", True)


def test_the_status_of_ended_jobs_has_the_contracts_keys_and_no_retry_after(house: House) -> None:
    report = house.run(house.post())
    loaded = house.jobs()[-1]["id"]
    done = house.get(f"/api/reports/{report}/status")
    assert done.json == {"status": "Complete", "reportURL": f"/api/reports/{report}/download"}
    assert house.get(f"/api/imports/{loaded}/status").json == {
        "status": "Complete",
        "resultURL": f"/api/imports/{loaded}/download",
    }
    assert house.get(f"/api/reports/{canceled(house)}/status").json == {"status": "Canceled"}
    assert "Retry-After" not in done.headers


def test_a_failed_status_has_the_problem_of_the_job(house: House) -> None:
    own = failed(house)
    status = house.get(f"/api/imports/{own}/status").json
    assert set(status) == {"status", "error"}
    assert status["status"] == "Failed"
    error = status["error"]
    assert set(error) == {"type", "title", "status", "detail", "instance", "code", "errors"}
    assert (error["code"], error["instance"]) == ("bad-input", f"/api/jobs/{own}")
    assert error["detail"].startswith("1 of 5 rows are bad")
    assert "Line 6:" in error["detail"]
    assert house.job(own)["error"] == error


@pytest.mark.parametrize("tail", ["", "/status", "/download"])
def test_a_job_of_another_kind_is_not_found_under_this_one(house: House, tail: str) -> None:
    own = house.post().json["id"]
    assert refused(house.get(f"/api/imports/{own}{tail}"), 404, "unknown-job") == []
    assert refused(house.get(f"/api/reports/{own[:-1]}{tail}"), 404, "unknown-job") == []


# --- the document


def test_the_document_of_a_waiting_job_says_why_it_waits(house: House) -> None:
    house.post(OTHER)
    own = house.post().json["id"]
    document = house.job(own)
    assert set(document) == DOCUMENT
    assert (document["status"], document["progress"], document["attempt"]) == ("accepted", 0, 0)
    assert document["queue"] == {"position": 1, "reason": "1 job is ahead."}
    assert [document[name] for name in ("started", "finished", "result", "error")] == [None] * 4
    assert utc(document["created"]) <= utc(document["updated"])


def test_an_equal_question_waits_for_the_job_that_has_it_and_gets_its_result(house: House) -> None:
    first = house.post().json["id"]
    second = house.post().json["id"]
    assert second != first
    document = house.job(second)
    assert (document["status"], document["cached"]) == ("accepted", False)
    assert first in document["queue"]["reason"]
    house.run(house.post(headers={"Prefer": "respond-async"}))
    own, shared = house.job(first), house.job(second)
    assert (own["cached"], shared["cached"]) == (False, True)
    assert shared["result"]["sha256"] == own["result"]["sha256"]
    assert house.get(shared["result"]["href"]).data == YEAR.encode()
    third = house.job(house.run(house.post()))
    assert (third["status"], third["cached"], third["progress"]) == ("successful", True, 100)


def test_the_document_of_a_running_job_has_no_queue(house: House) -> None:
    document = house.job(running(house))
    assert (document["status"], document["queue"], document["attempt"]) == ("running", None, 1)
    assert utc(document["created"]) <= utc(document["started"])
    assert document["health"]["heartbeatAgeSeconds"] >= 0


def test_the_document_of_a_finished_job_describes_its_result(house: House) -> None:
    own = house.run(house.post())
    document = house.job(own)
    assert set(document) == DOCUMENT
    assert (document["status"], document["progress"], document["eta"]) == ("successful", 100, None)
    assert document["units"] == {"done": 4, "total": 4, "kind": "rows"}
    file = house.get(document["result"]["href"])
    assert document["result"] == {
        "href": f"/api/reports/{own}/download",
        "mediaType": "text/csv; charset=utf-8",
        "bytes": len(file.data),
        "rows": 2,
        "sha256": file.headers["ETag"].strip('"'),
        "expires": None,
        "notes": ["Read 4 rows."],
        "media": None,
    }
    assert utc(document["started"]) <= utc(document["finished"])
    assert {link["rel"] for link in document["links"]} >= {"self", "status", "result", "results"}
    assert house.get(f"/api/reports/{own}").json == document


def test_every_link_of_a_document_leads_somewhere(house: House) -> None:
    for own in (house.run(house.post()), canceled(house), failed(house)):
        for link in house.job(own)["links"]:
            if link["rel"] != "retry":  # takes a POST
                assert house.get(link["href"]).status_code == 200, link


def test_the_results_are_a_manifest_of_what_the_job_left(house: House) -> None:
    own = house.run(house.post())
    result = house.job(own)["result"]
    expected = {name: result[name] for name in ("href", "bytes", "rows", "sha256")}
    manifest = house.get(f"/api/jobs/{own}/results").json
    assert manifest == {"outputs": {"report": {**expected, "type": result["mediaType"]}}}


# --- conditional requests and waiting


@pytest.mark.parametrize("address", ["/api/reports/{}/status", "/api/jobs/{}", "/api/operations/{}"])
def test_an_unchanged_job_is_not_sent_again(house: House, address: str) -> None:
    path = address.format(house.post().json["id"])
    tag = house.get(path).headers["ETag"]
    assert tag.startswith('W/"')
    same = house.get(path, If_None_Match=tag)
    assert (same.status_code, same.data, same.headers["ETag"]) == (304, b"", tag)
    assert int(same.headers["Retry-After"]) >= 1
    house.tick()  # it starts
    news = house.get(path, If_None_Match=tag)
    assert (news.status_code, news.headers["ETag"] != tag) == (200, True)


@pytest.mark.parametrize("header", [False, True])
def test_a_waiting_request_answers_at_the_next_change(house: House, header: bool) -> None:
    own = house.post().json["id"]
    path = f"/api/reports/{own}/status"
    timer = threading.Timer(0.2, house.engine.jobs.cancel, [own])
    timer.start()
    answer = house.get(path, Prefer="wait=30") if header else house.get(f"{path}?wait=30")
    timer.join()
    assert answer.json == {"status": "Canceled"}
    assert answer.headers.get("Preference-Applied") == ("wait=30" if header else None)


def test_a_waiting_request_that_sees_no_change_answers_after_its_seconds(house: House) -> None:
    own = house.post().json["id"]
    tag = house.get(f"/api/jobs/{own}").headers["ETag"]
    answer = house.get(f"/api/jobs/{own}?wait=1", If_None_Match=tag)
    assert answer.status_code == 304


def test_a_waiting_request_does_not_wait_for_an_ended_job_or_with_an_old_tag(house: House) -> None:
    own = house.post().json["id"]
    stale = house.get(f"/api/jobs/{own}?wait=60", If_None_Match='W/"old"')
    assert stale.json["status"] == "accepted"
    house.cancel(own)
    assert house.get(f"/api/jobs/{own}?wait=60").json["status"] == "dismissed"


@pytest.mark.parametrize("query", ["wait=soon", "wait=-1", "wait=1.5", "wait=", "waits=1"])
@pytest.mark.parametrize("address", ["/api/jobs/{}", "/api/reports/{}/status", "/api/operations/{}"])
def test_a_wait_that_is_no_number_of_seconds_is_refused(house: House, address: str, query: str) -> None:
    own = house.post().json["id"]
    assert pointers(house.get(f"{address.format(own)}?{query}")) == [""]


# --- the list


def test_the_list_is_newest_first_and_its_pages_join_without_gap_or_repeat(house: House) -> None:
    expected = [str(house.post().json["id"]) for _ in range(5)][::-1]
    seen, path, pages = [], "/api/jobs?kind=report&limit=2", 0
    while path:
        answer = house.get(path)
        seen += [job["id"] for job in answer.json["jobs"]]
        house.post()  # a newcomer moves no later page
        links = {link["rel"]: link["href"] for link in answer.json["links"]}
        assert links["self"] == path
        path, pages = links.get("next", ""), pages + 1
        assert (answer.json["cursor"] is None) == (not path) == ("Link" not in answer.headers)
        if path:
            assert answer.headers["Link"] == f'<http://localhost{path}>; rel="next"'
    assert (seen, pages) == (expected, 3)


def test_the_list_can_be_narrowed(house: House) -> None:
    report, gone, bad = house.run(house.post()), canceled(house), failed(house)

    def found(query: str) -> set[str]:
        return {job["id"] for job in house.get(f"/api/jobs?{query}").json["jobs"]}

    assert found("kind=report") == {report, gone}
    assert found("kind=report&status=successful") == {report}
    assert found("status=dismissed") == {gone}
    assert found("status=failed") == {bad}
    assert found("type=aggregate") == set()
    assert found("type=csv&kind=import&status=failed") == {bad}


@pytest.mark.parametrize(
    ("query", "faults"),
    [
        ("kind=film", 1),
        ("status=done", 1),
        ("limit=0", 1),
        ("limit=201", 1),
        ("cursor=", 1),
        ("cursor=bm90aGluZw", 1),
        ("sort=created", 1),
        ("kind=film&status=done&limit=many&sort=created", 4),
    ],
)
def test_a_wrong_query_is_refused_with_every_fault(house: House, query: str, faults: int) -> None:
    assert pointers(house.get(f"/api/jobs?{query}")) == [""] * faults


# --- cancel


def test_a_queued_job_that_is_canceled_has_ended_at_once_and_never_starts(house: House) -> None:
    own = house.post().json["id"]
    answer = house.cancel(own)
    assert (answer.status_code, answer.json["status"]) == (200, "dismissed")
    started = len(house.cluster.started)
    house.run(house.post())
    assert all(key.job_id != own for key, _ in house.cluster.started[started:])
    document = house.job(own)
    assert (document["status"], document["started"], document["attempt"]) == ("dismissed", None, 0)


def test_a_running_job_that_is_canceled_ends_canceled_and_leaves_no_file(house: House) -> None:
    before = house.files()
    own = running(house)
    answer = house.cancel(own)
    assert (answer.status_code, answer.json["status"]) == (202, "running")
    house.tick()
    assert house.get(f"/api/reports/{own}/status").json == {"status": "Canceled"}
    assert house.files() == before


def test_canceling_again_changes_nothing(house: House) -> None:
    own = canceled(house)
    answer = house.cancel(own)
    assert (answer.status_code, answer.json["status"]) == (200, "dismissed")


def test_a_job_that_ended_by_itself_cannot_be_canceled(house: House) -> None:
    done, bad = house.run(house.post()), failed(house)
    for own, word in ((done, "successful"), (bad, "failed")):
        answer = house.cancel(own)
        assert refused(answer, 409, "not-cancelable") == []
        assert word in answer.json["detail"]
        assert house.job(own)["status"] == word


def test_an_unknown_job_cannot_be_canceled(house: House) -> None:
    assert refused(house.cancel("01nothing"), 404, "unknown-job") == []


# --- operations


def operation(house: House, own: str) -> dict[str, Any]:
    found: dict[str, Any] = house.get(f"/api/operations/{own}").json
    return found


def test_an_operation_tells_the_same_in_azures_words(house: House) -> None:
    queued = house.post().json["id"]
    assert operation(house, queued) == {"id": queued, "status": "NotStarted"}
    begun = running(house)
    assert operation(house, begun)["status"] == "Running"
    own = house.run(house.post())
    where = f"http://localhost/api/jobs/{own}/results"
    assert operation(house, own) == {
        "id": own,
        "status": "Succeeded",
        "percentComplete": 100,
        "resourceLocation": where,
    }
    assert house.get(where).json["outputs"]["report"]["href"] == f"/api/reports/{own}/download"


def test_an_operation_without_a_result_says_why(house: House) -> None:
    bad, gone = operation(house, failed(house)), operation(house, canceled(house))
    assert (bad["status"], bad["error"]["code"]) == ("Failed", "bad-input")
    assert "Line 6:" in bad["error"]["message"]
    assert gone["status"] == "Canceled"
    assert gone["error"] == {"code": "canceled", "message": "The job was canceled."}


@pytest.fixture
def azure(house: House) -> Iterator[PipelineClient[Any, Any]]:
    """azure-core's own client, as it is sold, on a real socket."""
    server = make_server("127.0.0.1", 0, house.http.application, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    client: PipelineClient[Any, Any] = PipelineClient(f"http://127.0.0.1:{server.server_port}")
    with client:
        yield client
    server.shutdown()
    thread.join(30)
    server.server_close()


def poller(client: PipelineClient[Any, Any]) -> LROPoller[Any]:
    request = HttpRequest("POST", client.format_url("/api/reports"), json=REPORT)
    first = client._pipeline.run(request)
    return LROPoller(client, first, lambda last: last.http_response.json(), LROBasePolling(timeout=0.1))


def test_azures_poller_follows_a_report_to_its_manifest(
    house: House, azure: PipelineClient[Any, Any]
) -> None:
    with house.dispatching():
        following = poller(azure)
        href = following.result(60)["outputs"]["report"]["href"]
    assert following.status() == "Succeeded"
    assert house.get(href).text == YEAR


def test_azures_poller_raises_for_a_canceled_job(house: House, azure: PipelineClient[Any, Any]) -> None:
    following = poller(azure)
    house.cancel(house.jobs()[0]["id"])
    with pytest.raises(HttpResponseError):
        following.result(60)
    assert following.status() == "Canceled"
