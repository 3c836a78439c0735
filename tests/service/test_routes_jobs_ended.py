"""What can be done over HTTP with jobs that have ended: run again, remove; and the monitor until then."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from service.model import JobState
from service.pacing import Pacing
from tests.service.routing import OTHER, SALES, YEAR, House, refused, with_sales


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with with_sales(tmp_path / "home") as found:
        yield found


def failed(house: House) -> str:
    return house.run(house.upload("bad", SALES + "2023-01-01 00:00:00,EU,1\n"))


def canceled(house: House) -> str:
    own = str(house.post(OTHER).json["id"])
    house.cancel(own)
    return own


# --- retry


def test_a_canceled_job_runs_again_as_a_new_job_with_the_same_question(house: House) -> None:
    own = canceled(house)
    answer = house.call("POST", f"/api/jobs/{own}/retry")
    again = answer.json["id"]
    assert (answer.status_code, answer.headers["Location"]) == (202, f"/api/reports/{again}/status")
    assert again != own
    house.run(answer)
    assert house.job(again)["status"] == "successful"
    assert house.job(again)["parameters"] == house.job(own)["parameters"]
    assert house.job(own)["status"] == "dismissed"  # an end is final


def test_a_failed_import_runs_again_with_what_was_uploaded(house: House) -> None:
    own = failed(house)
    again = house.run(house.call("POST", f"/api/jobs/{own}/retry"))
    assert house.job(again)["error"]["detail"] == house.job(own)["error"]["detail"]


def test_a_failed_import_whose_upload_is_gone_says_so(house: House) -> None:
    own = failed(house)
    house.engine.store.delete("uploads")
    assert refused(house.call("POST", f"/api/jobs/{own}/retry"), 410, "input-gone") == []


def test_an_active_or_successful_job_cannot_be_run_again(house: House) -> None:
    waiting = house.post(OTHER).json["id"]
    assert refused(house.call("POST", f"/api/jobs/{waiting}/retry"), 409, "not-retryable") == []
    done = house.run(house.post())
    assert refused(house.call("POST", f"/api/jobs/{done}/retry"), 409, "not-retryable") == []
    assert refused(house.call("POST", "/api/jobs/01nothing/retry"), 404, "unknown-job") == []


def test_a_retry_that_is_sent_again_is_the_same_job(house: House) -> None:
    own = canceled(house)
    headers = {"Idempotency-Key": "again-1"}
    first = house.call("POST", f"/api/jobs/{own}/retry", headers=headers)
    second = house.call("POST", f"/api/jobs/{own}/retry", headers=headers)
    assert first.json["id"] == second.json["id"]
    assert second.headers["Idempotency-Replayed"] == "true"
    assert refused(house.post(OTHER, headers), 422, "idempotency-key-reused") == []


# --- delete


def test_deleting_a_waiting_job_cancels_it_and_deleting_it_again_removes_it(house: House) -> None:
    own = house.post(OTHER).json["id"]
    answer = house.call("DELETE", f"/api/jobs/{own}")
    assert (answer.status_code, answer.json["status"]) == (200, "dismissed")
    gone = house.call("DELETE", f"/api/jobs/{own}")
    assert (gone.status_code, gone.data) == (204, b"")
    assert refused(house.get(f"/api/jobs/{own}"), 404, "unknown-job") == []
    assert refused(house.call("DELETE", f"/api/jobs/{own}"), 404, "unknown-job") == []


def test_deleting_a_running_job_stops_it(house: House) -> None:
    own = str(house.post(OTHER).json["id"])
    while house.engine.jobs.get(own).state is not JobState.RUNNING:
        house.tick()
    answer = house.call("DELETE", f"/api/jobs/{own}")
    assert (answer.status_code, answer.json["status"]) == (202, "running")
    house.tick()
    assert house.job(own)["status"] == "dismissed"


def test_deleting_a_successful_job_takes_its_result_history_and_key_along(house: House) -> None:
    before = house.files()
    headers = {"Idempotency-Key": "k"}
    own = house.run(house.post(headers=headers))
    assert house.call("DELETE", f"/api/jobs/{own}").status_code == 204
    assert [name for name in house.files() if name not in before and not name.startswith("kept/")] == []
    assert house.engine.jobs.events(own) == []
    for path in (f"/api/reports/{own}/download", f"/api/reports/{own}/status", f"/api/operations/{own}"):
        assert refused(house.get(path), 404, "unknown-job") == []
    again = house.run(house.post(headers=headers))
    assert (again != own, house.job(again)["cached"]) == (True, False)


def test_jobs_that_share_a_deleted_result_say_that_it_is_gone(house: House) -> None:
    first = house.run(house.post())
    second = house.run(house.post())
    assert house.job(second)["cached"]
    assert house.call("DELETE", f"/api/jobs/{first}").status_code == 204
    assert refused(house.get(f"/api/reports/{second}/download"), 410, "gone") == []
    third = house.run(house.post())
    assert house.get(f"/api/reports/{third}/download").text == YEAR


def test_deleting_one_that_shares_a_result_leaves_the_result(house: House) -> None:
    first = house.run(house.post())
    second = house.run(house.post())
    assert house.call("DELETE", f"/api/jobs/{second}").status_code == 204
    assert house.get(f"/api/reports/{first}/download").text == YEAR


def test_deleting_an_import_leaves_its_dataset(house: House) -> None:
    loaded = house.jobs()[-1]["id"]
    assert house.call("DELETE", f"/api/jobs/{loaded}").status_code == 204
    assert house.get(f"/api/reports/{house.run(house.post())}/download").text == YEAR


# --- monitor


def test_the_monitor_is_202_until_the_results_are_there(house: House) -> None:
    own = house.post(OTHER).json["id"]
    waiting = house.get(f"/api/jobs/{own}/monitor")
    assert (waiting.status_code, waiting.json["status"]) == (202, "In Progress")
    assert int(waiting.headers["Retry-After"]) >= 1
    assert (waiting.headers["X-Progress"], waiting.headers["Location"]) == (
        "0 %",
        f"http://localhost/api/jobs/{own}/monitor",
    )
    with house.dispatching():
        done = house.get(f"/api/jobs/{own}/monitor?wait=60")
        while done.status_code == 202:
            done = house.get(f"/api/jobs/{own}/monitor?wait=60")
    assert (done.status_code, "Retry-After" in done.headers) == (200, False)
    assert done.json == house.get(f"/api/jobs/{own}/results").json


def test_the_monitor_of_a_job_without_a_result_is_its_problem(house: House) -> None:
    bad = house.get(f"/api/jobs/{failed(house)}/monitor")
    assert (bad.status_code, bad.content_type) == (422, "application/problem+json")
    assert bad.json["code"] == "bad-input"
    gone = house.get(f"/api/jobs/{canceled(house)}/monitor")
    assert (gone.status_code, gone.json["code"], "Retry-After" in gone.headers) == (409, "canceled", False)


# --- pace


def alone(house: House) -> None:
    """From now on nobody may be a crowd."""
    extensions = house.http.application.extensions
    extensions["haulier"] = replace(extensions["haulier"], pacing=Pacing(crowd=1))


def test_who_polls_without_a_pause_is_refused_and_told_when_to_come_back(house: House) -> None:
    alone(house)
    own = house.post(OTHER).json["id"]
    answers = [house.get(f"/api/reports/{own}/status") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429, 429]
    last = answers[-1]
    assert refused(last, 429, "polling-too-fast") == []
    assert int(last.headers["Retry-After"]) >= 1
    house.cancel(own)
    assert house.get(f"/api/reports/{own}/status").json == {"status": "Canceled"}  # an end is always told


def test_a_poll_that_waits_is_not_too_fast(house: House) -> None:
    alone(house)
    own = house.post(OTHER).json["id"]
    tag = house.get(f"/api/jobs/{own}").headers["ETag"]
    while house.get(f"/api/jobs/{own}").status_code != 429:
        pass
    answer = house.get(f"/api/jobs/{own}?wait=1", If_None_Match=tag)
    assert answer.status_code == 304


def test_when_too_many_wait_the_answer_comes_at_once(house: House) -> None:
    own = house.post(OTHER).json["id"]
    waiters = house.http.application.extensions["haulier"].waiters
    taken = [waiters.enter() for _ in range(waiters.places)]
    assert all(taken)
    assert house.get(f"/api/reports/{own}/status?wait=60").status_code == 200
    assert waiters.refused == 1


def test_a_wait_for_a_status_ends_with_a_new_state_and_not_with_progress(house: House) -> None:
    own = str(house.post(OTHER).json["id"])
    seen: list[str] = []

    def watch() -> None:
        answer = house.engine.jobs
        client = house.http.application.test_client()
        client.get(f"/api/reports/{own}/status?wait=30")
        seen.append(answer.get(own).state)

    watcher = threading.Thread(target=watch)
    watcher.start()
    house.tick()
    watcher.join(10)
    assert seen == [JobState.RUNNING]


# --- metrics


def test_metrics_tell_jobs_requests_and_who_waits(house: House) -> None:
    house.run(house.post())
    answer = house.get("/metrics")
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    lines = answer.text.splitlines()
    assert 'haulier_jobs{status="successful"} 2' in lines
    assert 'haulier_http_requests_total{method="POST",route="/api/reports",status="202"} 1' in lines
    assert 'haulier_held_requests{kind="wait"} 0' in lines
    assert "haulier_polls_refused_total 0" in lines
    assert all(line.startswith("#") or " " in line for line in lines)
