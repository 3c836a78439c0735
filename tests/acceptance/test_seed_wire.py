"""The seed wire to the letter: contract section 2 against `haulier serve`, by nothing but urllib.

Where a job must stay in progress for a look at it, the one worker is stopped (SIGSTOP) and goes on after.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from email.message import Message
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.live import Server, server

YEAR = {"reportType": "yearly-sales", "parameters": {"year": "2023"}}
SALES = (
    b"ordered_at,category,quantity,unit_price\n"
    b"2022-12-31 23:59:59,tea,9,9.99\n"
    b"2023-01-05 10:00:00,tea,2,10.50\n"
    b"2023-01-06 11:00:00,rye,1,4.25\n"
    b"2023-03-01 00:00:00,rye,3,2.00\n"
)
EXPECTED = b"month,orders,units,revenue\r\n2023-01,2,3,25.25\r\n2023-03,1,3,6.00\r\n"
ESTIMATE = re.compile(r"[1-9][0-9]* seconds")


@dataclass
class Answer:
    """What came back, whatever its status."""

    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Wire:
    """The service as a client sees it, and the process behind it."""

    live: Server
    input: Path
    asked: int = 0
    first_status: Any = None  # of the first job of all, right after its 202

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        url = path if path.startswith("http://") else self.live.url + path
        request = urllib.request.Request(url, body, headers or {}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=90) as response:
                return Answer(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())

    def get(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        return self.send("GET", path, headers=headers)

    def report(self, body: dict[str, Any] = YEAR) -> Answer:
        return self.send(
            "POST", "/api/reports", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )

    def new_report(self) -> Answer:
        """A question nobody asked before: an equal one would be answered at once."""
        self.asked += 1
        amount = f"quantity * unit_price * {self.asked}"
        return self.report({"reportType": "yearly-sales", "parameters": {"year": "2023", "amount": amount}})

    def ended(self, status_path: str) -> dict[str, Any]:
        """Poll as the contract asks for, by Retry-After, until the status is a terminal one."""
        deadline = time.monotonic() + 90
        while True:
            answer = self.get(status_path)
            found: dict[str, Any] = answer.json
            if found["status"] != "In Progress":
                return found
            assert time.monotonic() < deadline, found
            time.sleep(min(0.1, int(answer.headers["Retry-After"])))

    @contextmanager
    def worker_stopped(self) -> Iterator[None]:
        [worker] = self.live.workers()
        worker.suspend()
        try:
            yield
        finally:
            with suppress(psutil.NoSuchProcess):  # a cancel restarts a worker that does not listen
                worker.resume()


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    """A service that has imported `sales` and answered one report."""
    folder = tmp_path_factory.mktemp("input")
    with server(1, input_folder=folder) as live:
        found = Wire(live, folder)
        # before the worker is there: no earlier run, nothing to estimate from
        first = found.send("POST", "/api/imports?dataset=sales&filename=sales.csv", SALES)
        found.first_status = found.get(first.headers["Location"]).json
        live.wait_for_workers(1)
        assert found.ended(first.headers["Location"])["status"] == "Complete"
        yield found


@pytest.fixture(scope="module")
def report(wire: Wire) -> str:
    """The id of a finished report."""
    answer = wire.report()
    assert wire.ended(answer.headers["Location"])["status"] == "Complete"
    return str(answer.json["id"])


def check_accepted(wire: Wire, answer: Answer, kind: str) -> str:
    """The 202 of a submission, every header and key of it; the id."""
    assert answer.status == 202
    assert set(answer.json) == {"id", "status"}
    own = str(answer.json["id"])
    assert answer.json["status"] in ("NotStarted", "Running")
    assert re.fullmatch(r"[A-Za-z0-9_~-]{20,}", own)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Location"] == f"/api/{kind}/{own}/status"
    assert answer.headers["Operation-Location"] == f"{wire.live.url}/api/operations/{own}"
    assert answer.headers["Link"] == f'<{wire.live.url}/api/jobs/{own}>; rel="monitor"'
    assert re.fullmatch(r"[1-9][0-9]*", answer.headers["Retry-After"])
    assert wire.get(answer.headers["Operation-Location"]).json["id"] == own
    monitor = wire.get(f"{wire.live.url}/api/jobs/{own}").json
    assert monitor["id"] == own
    assert wire.get(f"/api/{kind}/{own}").json["id"] == own
    return own


def check_download(wire: Wire, path: str, name: str, kind: str) -> bytes:
    """Every header, range and condition of a finished download; its bytes."""
    answer = wire.get(path)
    data, digest = answer.body, hashlib.sha256(answer.body)
    tag = f'"{digest.hexdigest()}"'
    assert answer.status == 200
    assert answer.headers["Content-Type"] == kind
    assert answer.headers["Content-Length"] == str(len(data))
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'
    assert answer.headers["ETag"] == tag
    assert answer.headers["Repr-Digest"] == f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
    assert answer.headers["Accept-Ranges"] == "bytes"

    part = wire.get(path, {"Range": "bytes=6-11"})
    assert (part.status, part.body) == (206, data[6:12])
    assert part.headers["Content-Range"] == f"bytes 6-11/{len(data)}"
    assert (part.headers["Content-Length"], part.headers["ETag"]) == ("6", tag)
    tail = wire.get(path, {"Range": "bytes=-5"})
    assert (tail.status, tail.body) == (206, data[-5:])

    same = wire.get(path, {"Range": "bytes=6-11", "If-Range": tag})
    assert (same.status, same.body) == (206, data[6:12])
    other = wire.get(path, {"Range": "bytes=6-11", "If-Range": f'"{"0" * 64}"'})
    assert (other.status, other.body) == (200, data)

    beyond = wire.get(path, {"Range": f"bytes={len(data)}-"})
    assert (beyond.status, beyond.headers["Content-Range"]) == (416, f"bytes */{len(data)}")
    assert beyond.headers["Content-Type"] == "application/problem+json"

    known = wire.get(path, {"If-None-Match": tag})
    assert (known.status, known.body, known.headers["ETag"]) == (304, b"", tag)

    head = wire.send("HEAD", path)
    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", str(len(data)))
    return data


def check_not_ready(wire: Wire, path: str) -> None:
    answer = wire.get(path)
    assert answer.status == 409
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["code"] == "not-ready"
    assert re.fullmatch(r"[1-9][0-9]*", answer.headers["Retry-After"])


def check_problem(problem: dict[str, Any], code: str) -> None:
    assert set(problem) == {"type", "title", "status", "detail", "instance", "code", "errors"}
    assert problem["code"] == code


# --- reports


def test_a_report_goes_from_202_to_its_bytes(wire: Wire) -> None:
    own = check_accepted(wire, wire.report(), "reports")
    assert wire.ended(f"/api/reports/{own}/status") == {
        "status": "Complete",
        "reportURL": f"/api/reports/{own}/download",
    }
    answer = wire.get(f"/api/reports/{own}/download")
    assert (answer.status, answer.body) == (200, EXPECTED)


def test_a_finished_report_is_served_with_digests_ranges_and_conditions(wire: Wire, report: str) -> None:
    path = f"/api/reports/{report}/download"
    data = check_download(wire, path, "yearly-sales-2023.csv", "text/csv; charset=utf-8")
    assert data == EXPECTED
    job = wire.get(f"/api/reports/{report}").json
    assert (job["result"]["bytes"], job["result"]["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert job == wire.get(f"/api/jobs/{report}").json


def test_a_report_in_progress_estimates_in_whole_seconds_and_has_no_file(wire: Wire, report: str) -> None:
    with wire.worker_stopped():
        own = check_accepted(wire, wire.new_report(), "reports")
        answer = wire.get(f"/api/reports/{own}/status")
        assert answer.status == 200
        assert set(answer.json) == {"status", "estimatedTimeRemaining"}
        assert answer.json["status"] == "In Progress"
        assert ESTIMATE.fullmatch(answer.json["estimatedTimeRemaining"])
        assert re.fullmatch(r"[1-9][0-9]*", answer.headers["Retry-After"])
        check_not_ready(wire, f"/api/reports/{own}/download")
        check_not_ready(wire, f"/api/jobs/{own}/results")
    assert wire.ended(f"/api/reports/{own}/status")["status"] == "Complete"


def test_queued_and_running_reports_are_both_in_progress(wire: Wire, report: str) -> None:
    with wire.worker_stopped():
        ids = [str(wire.new_report().json["id"]) for _ in range(40)]  # more than are taken at once
        deadline = time.monotonic() + 30
        while wire.get(f"/api/jobs/{ids[0]}").json["status"] != "running":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        for own, word in ((ids[0], "running"), (ids[-1], "accepted")):
            assert wire.get(f"/api/jobs/{own}").json["status"] == word
            assert wire.get(f"/api/reports/{own}/status").json["status"] == "In Progress"
        for own in ids:
            assert wire.send("POST", f"/api/jobs/{own}/cancel").status in (200, 202)
    for own in ids:
        assert wire.ended(f"/api/reports/{own}/status") == {"status": "Canceled"}


def test_a_canceled_report_says_so_and_nothing_more(wire: Wire) -> None:
    with wire.worker_stopped():
        own = str(wire.new_report().json["id"])
        wire.send("POST", f"/api/jobs/{own}/cancel")
        assert wire.ended(f"/api/reports/{own}/status") == {"status": "Canceled"}
    answer = wire.get(f"/api/reports/{own}/download")
    assert (answer.status, "Retry-After" in answer.headers) == (409, False)
    check_problem(answer.json, "job-canceled")


def test_a_failed_report_has_its_problem_in_its_status(wire: Wire) -> None:
    loaded = wire.send("POST", "/api/imports?dataset=brief&filename=brief.csv", SALES)
    wire.ended(loaded.headers["Location"])
    with wire.worker_stopped():
        answer = wire.report({"reportType": "yearly-sales", "parameters": {"year": 2023, "dataset": "brief"}})
        assert wire.send("DELETE", "/api/datasets/brief").status == 204
    status = wire.ended(answer.headers["Location"])
    assert set(status) == {"status", "error"}
    assert status["status"] == "Failed"
    check_problem(status["error"], "unknown-dataset")
    assert status["error"]["instance"] == f"/api/jobs/{answer.json['id']}"


def test_the_row_is_there_when_the_202_is(wire: Wire) -> None:
    answers = [wire.report() for _ in range(3)]
    listed = wire.get("/api/jobs?kind=report&limit=3").json["jobs"]
    assert [job["id"] for job in listed] == [answer.json["id"] for answer in answers][::-1]
    assert sorted(answer.json["id"] for answer in answers) == [answer.json["id"] for answer in answers]
    for job in listed:
        assert job["created"].endswith("Z") and datetime.fromisoformat(job["created"])
    for answer in answers:
        wire.ended(answer.headers["Location"])


def test_a_refused_report_is_one_problem_document_and_no_job(wire: Wire) -> None:
    before = wire.get("/api/jobs?limit=1").json["jobs"]
    answer = wire.report(
        {
            "reportType": "yearly-sales",
            "parameters": {"year": "20x3", "by": ["moth"]},
            "format": "pdf",
            "x": 1,
        }
    )
    assert answer.status == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    check_problem(answer.json, "invalid-parameters")
    assert (answer.json["status"], answer.json["instance"]) == (422, "/api/reports")
    assert {fault["pointer"] for fault in answer.json["errors"]} == {
        "/parameters/year",
        "/parameters/by/0",
        "/format",
        "/x",
    }
    assert all(set(fault) == {"pointer", "detail"} for fault in answer.json["errors"])
    assert wire.get("/api/jobs?limit=1").json["jobs"] == before


def test_an_unchanged_status_is_304_and_a_waiting_one_answers_at_the_end(wire: Wire) -> None:
    with wire.worker_stopped():
        own = str(wire.new_report().json["id"])
        deadline = time.monotonic() + 30
        while wire.get(f"/api/jobs/{own}").json["status"] != "running":  # from here on nothing can change
            assert time.monotonic() < deadline
            time.sleep(0.05)
        path = f"/api/reports/{own}/status"
        tag = wire.get(path).headers["ETag"]
        assert re.fullmatch(r'W/"[^"]+"', tag)
        same = wire.get(path, {"If-None-Match": tag})
        assert (same.status, same.body, same.headers["ETag"]) == (304, b"", tag)
    for _ in range(50):
        answer = wire.get(f"{path}?wait=60")
        if answer.json["status"] != "In Progress":
            break
    assert answer.json == {"status": "Complete", "reportURL": f"/api/reports/{own}/download"}


# --- imports


def test_a_first_job_without_any_basis_for_an_estimate_has_a_status_of_one_key(wire: Wire) -> None:
    assert wire.first_status == {"status": "In Progress"}


def form(fields: dict[str, str], name: str, data: bytes) -> tuple[bytes, dict[str, str]]:
    """A multipart/form-data body with one file, as RFC 7578 writes it."""
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'.encode()
        for field, value in fields.items()
    ]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    body = b"".join(parts) + head.encode() + data + f"\r\n--{boundary}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def submit(wire: Wire, way: str, dataset: str, data: bytes = SALES) -> Answer:
    options = json.dumps({"columns": {"quantity": {"name": "units", "type": "integer"}}})
    if way == "form":
        return wire.send(
            "POST", "/api/imports", *form({"dataset": dataset, "options": options}, "my.csv", data)
        )
    if way == "raw":
        address = f"/api/imports?dataset={dataset}&filename=my.csv"
        headers = {"Haulier-Options": options, "Content-Type": "application/octet-stream"}
        return wire.send("POST", address, data, headers)
    (wire.input / "my.csv").write_bytes(data)
    body = {"dataset": dataset, "source": "my.csv", "options": json.loads(options)}
    return wire.send("POST", "/api/imports", json.dumps(body).encode(), {"Content-Type": "application/json"})


@pytest.mark.parametrize("way", ["form", "raw", "json"])
def test_an_import_goes_from_202_to_its_receipt(wire: Wire, way: str) -> None:
    own = check_accepted(wire, submit(wire, way, f"by-{way}"), "imports")
    path = f"/api/imports/{own}/download"
    assert wire.ended(f"/api/imports/{own}/status") == {"status": "Complete", "resultURL": path}
    receipt = json.loads(check_download(wire, path, f"by-{way}-import.json", "application/json"))
    assert set(receipt) == {
        *("dataset", "version", "rowsRead", "rowsLoaded", "rowsRejected"),
        *("dialect", "schema", "source", "warnings"),
    }
    assert [receipt[name] for name in ("dataset", "version", "rowsRead", "rowsLoaded", "rowsRejected")] == [
        f"by-{way}",
        0,
        4,
        4,
        0,
    ]
    assert receipt["source"] == {
        "name": "my.csv",
        "bytes": len(SALES),
        "sha256": hashlib.sha256(SALES).hexdigest(),
    }
    assert [(each["name"], each["sourceName"], each["nulls"]) for each in receipt["schema"]] == [
        ("ordered_at", "ordered_at", 0),
        ("category", "category", 0),
        ("units", "quantity", 0),
        ("unit_price", "unit_price", 0),
    ]
    assert all(set(each) == {"name", "type", "sourceName", "nulls"} for each in receipt["schema"])
    assert wire.get(f"/api/imports/{own}/rejects").headers["Content-Type"] == "text/csv; charset=utf-8"


@pytest.mark.parametrize("way", ["form", "raw", "json"])
def test_an_import_in_progress_has_no_receipt_and_no_reader_sees_any_of_it(wire: Wire, way: str) -> None:
    name = f"slow-{way}"
    with wire.worker_stopped():
        own = check_accepted(wire, submit(wire, way, name), "imports")
        status = wire.get(f"/api/imports/{own}/status").json
        assert set(status) == {"status", "estimatedTimeRemaining"}
        assert status["status"] == "In Progress"
        assert ESTIMATE.fullmatch(status["estimatedTimeRemaining"])
        check_not_ready(wire, f"/api/imports/{own}/download")
        check_not_ready(wire, f"/api/imports/{own}/rejects")
        assert wire.get(f"/api/datasets/{name}").status == 404
        wire.send("POST", f"/api/jobs/{own}/cancel")
        assert wire.ended(f"/api/imports/{own}/status") == {"status": "Canceled"}
    assert wire.get(f"/api/datasets/{name}").status == 404


@pytest.mark.parametrize("way", ["form", "raw", "json"])
def test_an_import_with_a_bad_row_fails_with_its_line_and_leaves_no_dataset(wire: Wire, way: str) -> None:
    answer = submit(wire, way, f"bad-{way}", SALES + b"2023-04-01 00:00:00,rye\n")
    status = wire.ended(answer.headers["Location"])
    assert set(status) == {"status", "error"}
    assert status["status"] == "Failed"
    check_problem(status["error"], "bad-input")
    assert "Line 6:" in status["error"]["detail"]
    assert wire.get(f"/api/datasets/bad-{way}").status == 404


@pytest.mark.parametrize("way", ["form", "raw", "json"])
def test_an_import_that_can_be_known_wrong_is_refused_before_any_job(wire: Wire, way: str) -> None:
    before = wire.get("/api/jobs?limit=1").json["jobs"]
    answer = submit(wire, way, "sales")  # it exists, and the mode is to create
    assert (answer.status, answer.headers["Content-Type"]) == (422, "application/problem+json")
    check_problem(answer.json, "invalid-parameters")
    assert [fault["pointer"] for fault in answer.json["errors"]] == ["/dataset"]
    assert wire.get("/api/jobs?limit=1").json["jobs"] == before
