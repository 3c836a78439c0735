"""The client against a scripted server on a real socket: what it does when the network is not kind."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import date
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
from pyarrow import parquet

from service import client as client_module
from service.client import (
    BadDownload,
    Hauler,
    JobCanceled,
    JobFailed,
    Rejected,
    StillRunning,
    Unreachable,
    connect,
)
from service.progress_bar import TerminalScreen, card, line
from service.transport import JobStatus
from tests.service.scripted import JOB, Answer, Script, accepted, document, done, serve


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def hauler(script: Script) -> Iterator[Hauler]:
    server = serve(script)
    with connect(f"http://127.0.0.1:{server.server_port}") as found:
        yield found
    server.shutdown()
    server.server_close()


def table_bytes() -> bytes:
    sink = io.BytesIO()
    pandas.DataFrame({"month": ["2023-01", "2023-02"], "orders": [3, 4]}).to_parquet(sink)
    return sink.getvalue()


def test_a_report_is_posted_as_the_contract_writes_it(script: Script, hauler: Hauler) -> None:
    accepted(script)
    job = hauler.report("yearly-sales", year=numpy.int64(2023), since=date(2023, 1, 2), priority="batch")
    method, path, headers, body = script.requests[0]
    assert (method, path, job.id) == ("POST", "/api/reports", JOB)
    assert json.loads(body) == {
        "reportType": "yearly-sales",
        "parameters": {"year": 2023, "since": "2023-01-02"},
        "format": "parquet",
    }
    assert headers["Haulier-Priority"] == "batch"
    assert headers["Idempotency-Key"]


def test_an_aggregate_leaves_out_what_was_not_asked(script: Script, hauler: Hauler) -> None:
    accepted(script)
    hauler.aggregate(
        "sales", by=["region"], measures=[{"op": "count"}], order_by=[{"column": "region"}], key="q3"
    )
    assert json.loads(script.requests[0][3]) == {
        "reportType": "aggregate",
        "parameters": {
            "dataset": "sales",
            "by": ["region"],
            "measures": [{"op": "count"}],
            "orderBy": [{"column": "region"}],
        },
        "format": "parquet",
    }
    assert script.requests[0][2]["Idempotency-Key"] == "q3"


def test_an_order_may_be_spelled_as_on_the_wire_but_not_twice(script: Script, hauler: Hauler) -> None:
    accepted(script)
    order: list[dict[str, Any]] = [{"column": "count", "descending": True}]
    hauler.aggregate("sales", measures=[{"op": "count"}], orderBy=order)
    assert json.loads(script.requests[0][3])["parameters"]["orderBy"] == order
    with pytest.raises(TypeError, match="order_by and orderBy"):
        hauler.aggregate("sales", measures=[{"op": "count"}], orderBy=order, order_by=order)
    assert len(script.requests) == 2, "nothing was sent"


def test_an_import_sends_the_file_itself(script: Script, hauler: Hauler, tmp_path: Path) -> None:
    source = tmp_path / "my sales.csv"
    source.write_bytes(b"a,b\n1,2\n")
    accepted(script)
    hauler.import_file(source, dataset="sales", mode="append", columns={"a": {"type": "integer"}})
    method, path, headers, body = script.requests[0]
    assert (method, path) == ("POST", "/api/imports?dataset=sales&filename=my+sales.csv")
    assert body == b"a,b\n1,2\n"
    assert json.loads(headers["Haulier-Options"]) == {"mode": "append", "columns": {"a": {"type": "integer"}}}


def test_options_too_long_for_a_header_travel_in_a_form(
    script: Script, hauler: Hauler, tmp_path: Path
) -> None:
    source = tmp_path / "wide.csv"
    source.write_bytes(b"a\n1\n")
    accepted(script)
    columns = {f"column {n}": {"name": f"c{n}", "type": "decimal(18,4)"} for n in range(300)}
    hauler.import_file(source, dataset="wide", columns=columns)
    _, path, headers, body = script.requests[0]
    assert path == "/api/imports"
    assert headers["Content-Type"].startswith("multipart/form-data; boundary=")
    assert b"\r\n\r\na\n1\n\r\n--" in body
    assert json.dumps({"columns": columns}).encode() in body


def test_several_files_travel_in_one_form(script: Script, hauler: Hauler, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.csv", "b.csv")]
    for number, path in enumerate(paths):
        path.write_bytes(b"a\n%d\n" % number)
    accepted(script)
    hauler.import_file(paths, dataset="many", delimiter=";")
    _, path_, headers, body = script.requests[0]
    assert path_ == "/api/imports"
    assert int(headers["Content-Length"]) == len(body)
    assert body.count(b'name="file"') == 2
    assert body.index(b'filename="a.csv"') < body.index(b"\r\n\r\na\n0\n\r\n--") < body.index(b"b.csv")
    assert b"\r\n\r\na\n1\n\r\n--" in body


def test_a_refusal_says_every_fault(script: Script, hauler: Hauler) -> None:
    problem = {
        "title": "Invalid parameters",
        "detail": "The request has 1 fault.",
        "code": "invalid-parameters",
        "errors": [{"pointer": "/parameters/year", "detail": "'20x3' is no year; write 2023."}],
    }
    script.then(422, problem)
    with pytest.raises(Rejected, match="/parameters/year: '20x3' is no year") as caught:
        hauler.report("yearly-sales", year="20x3")
    assert (caught.value.status, caught.value.code) == (422, "invalid-parameters")


def test_a_lost_answer_is_asked_again_with_the_same_key(script: Script, hauler: Hauler) -> None:
    script.answers.append(lambda *_: None)
    accepted(script)
    hauler.report("yearly-sales", year=2023)
    first, second = script.requests[:2]
    assert first[2]["Idempotency-Key"] == second[2]["Idempotency-Key"]
    assert first[3] == second[3]


def test_a_busy_server_is_asked_again_after_retry_after(script: Script, hauler: Hauler) -> None:
    accepted(script)
    job = hauler.report("yearly-sales", year=2023)
    script.then(503, {}, Retry_After="1").then(200, done(b""))
    began = time.monotonic()
    assert job.status().state == "successful"
    assert 1.0 <= time.monotonic() - began < 2.5


def test_nobody_at_the_address_is_said_at_once_and_clearly() -> None:
    server = serve(Script())
    port = server.server_port
    server.shutdown()
    server.server_close()
    began = time.monotonic()
    with (
        connect(f"http://127.0.0.1:{port}") as nobody,
        pytest.raises(Unreachable, match=f"127.0.0.1:{port} refused the connection; start it with `haulier"),
    ):
        nobody.jobs()
    assert time.monotonic() - began < 4


def test_waiting_survives_a_restart_of_the_server(script: Script) -> None:
    server = serve(script)
    port = server.server_port
    with connect(f"http://127.0.0.1:{port}") as hauler:
        accepted(script)
        job = hauler.report("yearly-sales", year=2023)
        script.fallback = lambda *_: None
        server.shutdown()
        server.server_close()
        second = Script().then(200, document(progress=50)).then(200, done(b""))
        later: list[ThreadingHTTPServer] = []
        timer = threading.Timer(1.0, lambda: later.append(serve(second, port)))
        timer.start()
        assert job.wait(timeout=30).state == "successful"
        timer.join()
        later[0].shutdown()
        later[0].server_close()


def test_a_timeout_is_wall_time_and_leaves_the_job_running(script: Script, hauler: Hauler) -> None:
    accepted(script)
    job = hauler.report("yearly-sales", year=2023)
    script.fallback = lambda *_: (200, {"Retry-After": "9", "ETag": 'W/"2"'}, json.dumps(document()).encode())
    began = time.monotonic()
    with pytest.raises(StillRunning, match="goes on"):
        job.wait(timeout=1.5)
    assert 1.3 < time.monotonic() - began < 3
    assert not any("cancel" in path for path in script.paths)


def test_waiting_uses_the_long_poll_and_the_tag(script: Script, hauler: Hauler) -> None:
    accepted(script)
    job = hauler.report("yearly-sales", year=2023)

    def slowly(*_: Any) -> Answer:
        time.sleep(0.8)
        return 304, {"Content-Length": "0"}, b""

    script.then(200, document(), ETag='W/"2"')
    script.answers.append(slowly)
    script.then(200, done(b""), ETag='W/"3"')
    job.wait()
    polls = script.requests[3:]
    assert [path for _, path, _, _ in polls] == [f"/api/jobs/{JOB}?wait=20"] * 2
    assert [headers["If-None-Match"] for _, _, headers, _ in polls] == ['W/"2"'] * 2


def test_a_server_without_the_long_poll_is_asked_at_its_own_pace(script: Script, hauler: Hauler) -> None:
    accepted(script)
    job = hauler.report("yearly-sales", year=2023)
    same = json.dumps(document()).encode()
    script.fallback = lambda *_: (200, {"Retry-After": "1", "ETag": 'W/"2"'}, same)
    with pytest.raises(StillRunning):
        job.wait(timeout=3.5)
    assert len(script.requests) - 2 <= 6


def test_a_parquet_result_is_a_data_frame(script: Script, hauler: Hauler) -> None:
    data = table_bytes()
    accepted(script)
    job = hauler.report("yearly-sales", year=2023)
    script.then(200, done(data)).then(200, data)
    frame = job.result()
    assert frame.to_dict("list") == {"month": ["2023-01", "2023-02"], "orders": [3, 4]}


def test_a_cut_download_goes_on_where_it_stopped(script: Script, hauler: Hauler, tmp_path: Path) -> None:
    data = table_bytes()
    accepted(script)
    job = hauler.report("yearly-sales", year=2023)
    name = 'attachment; filename="yearly-sales-2023.parquet"'
    script.then(200, done(data))
    script.then(200, data[:100], Content_Length=str(len(data)), Content_Disposition=name)
    script.then(206, data[100:], Content_Disposition=name)
    saved = job.download(tmp_path)
    assert saved == tmp_path / "yearly-sales-2023.parquet"
    assert saved.read_bytes() == data
    assert script.requests[-1][2]["Range"] == "bytes=100-"
    assert script.requests[-1][2]["If-Range"] == f'"{hashlib.sha256(data).hexdigest()}"'
    assert list(tmp_path.iterdir()) == [saved]


def test_a_download_that_starts_again_is_not_glued_to_the_old_bytes(
    script: Script, hauler: Hauler, tmp_path: Path
) -> None:
    data = table_bytes()
    accepted(script)
    job = hauler.report("yearly-sales", year=2023)
    script.then(200, done(data)).then(200, data[:100], Content_Length=str(len(data))).then(200, data)
    assert job.download(tmp_path / "x.parquet").read_bytes() == data


@pytest.mark.parametrize("wrong", [b"other bytes", b""])
def test_wrong_bytes_are_refused_and_leave_no_file(
    script: Script, hauler: Hauler, tmp_path: Path, wrong: bytes
) -> None:
    data = table_bytes()
    accepted(script)
    job = hauler.report("yearly-sales", year=2023)
    script.then(200, done(data))
    script.fallback = lambda *_: (200, {}, wrong.ljust(len(data), b"\0") if wrong else wrong)
    with pytest.raises(BadDownload, match="promised were"):
        job.download(tmp_path / "x.parquet")
    assert not (tmp_path / "x.parquet").exists()


def test_failed_and_canceled_jobs_raise_what_happened(script: Script, hauler: Hauler) -> None:
    accepted(script)
    job = hauler.report("yearly-sales", year=2023)
    script.then(200, document("failed", error={"code": "bad-input", "detail": "Line 7 has 3 fields."}))
    with pytest.raises(JobFailed, match=r"\(bad-input\): Line 7 has 3 fields") as caught:
        job.result()
    assert (caught.value.code, caught.value.detail) == ("bad-input", "Line 7 has 3 fields.")
    accepted(script)
    other = hauler.report("yearly-sales", year=2023)
    script.then(200, document("dismissed"))
    with pytest.raises(JobCanceled):
        other.result()


def test_an_import_gives_its_receipt(script: Script, hauler: Hauler) -> None:
    receipt = json.dumps({"dataset": "sales", "rowsLoaded": 2}).encode()
    ended = done(receipt, "application/json", kind="import", type="csv")
    script.then(200, ended).then(200, receipt)
    assert hauler.job(JOB).result() == {"dataset": "sales", "rowsLoaded": 2}


def test_progress_in_a_log_is_a_line_each_tenth(script: Script, hauler: Hauler) -> None:
    accepted(script)
    job = hauler.report("yearly-sales", year=2023)
    for percent in (3, 5, 31, 38, 77):
        units = {"done": percent * 10, "total": 1000, "kind": "rows"}
        eta = {"seconds": 10 - percent / 10, "p90": 12, "basis": "throughput"}
        script.then(200, document(progress=percent, units=units, phase="reading", eta=eta))
    script.then(200, done(b"12345"))
    out = io.StringIO()
    job.progress(out=out)
    lines = out.getvalue().splitlines()
    assert [each.split("%")[0].split()[-1] for each in lines] == ["3", "31", "77", "100"]
    assert "running: reading, 310 of 1,000 rows, about 7 s left" in lines[1]
    assert lines[-1].endswith("complete: 9 rows read, result 2 rows, 5 bytes, 2.5 s")


def test_an_import_is_called_after_its_dataset_and_counts_its_rows() -> None:
    parameters = {"dataset": "orders", "source": "orders.csv"}
    status = JobStatus.from_document(done(b"{}", kind="import", type="csv", parameters=parameters))
    assert line(status).startswith("import into orders ")
    assert line(status).endswith("100 % complete: 2 rows loaded, 2.5 s")


def test_a_terminal_cuts_what_changes_and_says_the_end_in_full() -> None:
    out = io.StringIO()
    detail = "Line 7 has three fields where five are expected; correct the line and import the file again."
    running = JobStatus.from_document(document(phase="x" * 200))
    failed = JobStatus.from_document(document("failed", error={"code": "bad-input", "detail": detail}))
    screen = TerminalScreen(out)
    screen.draw(running)
    screen.draw(failed)
    screen.end()
    first, last = out.getvalue().split("\r")[1:]
    assert len(first) < 200
    assert last.rstrip().endswith(detail)


def test_the_card_shows_hostile_text_as_text() -> None:
    status = JobStatus.from_document(
        document("failed", type="<b>x</b>", error={"code": "bad-input", "detail": "<script>"})
    )
    assert "<script>" not in card(status)
    assert "&lt;script&gt;" in card(status)
    assert "bad-input: <script>" in line(status)


def test_wrong_addresses_are_explained() -> None:
    with pytest.raises(ValueError, match="http://host:port"):
        connect("localhost:8480")
    with pytest.raises(ValueError, match="leave them out"):
        connect("http://127.0.0.1:1", scheduler="tcp://127.0.0.1:2")


def test_importing_the_client_imports_nothing_heavy() -> None:
    heavy = "{'flask', 'sqlalchemy', 'dask', 'distributed', 'pandas', 'pyarrow', 'numpy', 'urllib3', 'click'}"
    code = f"import sys, {client_module.__name__}; print(sorted({heavy} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.strip() == "[]"


def test_the_result_can_be_arrow(script: Script, hauler: Hauler) -> None:
    data = table_bytes()
    script.then(200, done(data)).then(200, data)
    assert hauler.job(JOB).arrow() == parquet.read_table(io.BytesIO(data))
