"""The command line: what goes to which stream, which exit code says what; nobody sees a traceback."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service import cli
from tests.service.scripted import JOB, Script, accepted, document, done, serve

CSV = b"month,orders\n2023-01,3\n"
Run = Callable[..., int]


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def run(script: Script) -> Iterator[Run]:
    server = serve(script)
    yield lambda *words: cli.run([*words, "--server", f"http://127.0.0.1:{server.server_port}"])
    server.shutdown()
    server.server_close()


def test_a_report_leaves_its_id_on_stdout(
    run: Run, script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    accepted(script).then(200, document())
    assert (
        run("report", "yearly-sales", "year=2023", 'by=["month", "region"]', "amount=quantity * price") == 0
    )
    out, err = capsys.readouterr()
    assert out == f"{JOB}\n"
    assert f"haulier wait {JOB}" in err
    assert json.loads(script.requests[0][3]) == {
        "reportType": "yearly-sales",
        "parameters": {"year": 2023, "by": ["month", "region"], "amount": "quantity * price"},
        "format": "csv",
    }


def test_waiting_for_a_report_prints_nothing_but_the_data(
    run: Run, script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    accepted(script).then(200, document(progress=40)).then(200, done(CSV, "text/csv")).then(200, CSV)
    assert run("report", "yearly-sales", "year=2023", "--wait") == 0
    out, err = capsys.readouterr()
    assert out == CSV.decode()
    assert "100 % complete" in err


def test_output_saves_the_result(
    run: Run, script: Script, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    accepted(script).then(200, done(CSV, "text/csv")).then(200, CSV)
    assert run("report", "yearly-sales", "year=2023", "--output", str(tmp_path / "out.csv")) == 0
    assert (tmp_path / "out.csv").read_bytes() == CSV
    assert capsys.readouterr().out == ""


def test_a_folder_that_is_not_there_is_one_line(
    run: Run, script: Script, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script.then(200, done(CSV, "text/csv")).then(200, CSV)
    assert run("download", JOB, "--output", str(tmp_path / "nowhere" / "out.csv")) == 1
    assert capsys.readouterr().err == f"haulier: {tmp_path}/nowhere: there is no such folder.\n"


def test_json_prints_the_wire_body(run: Run, script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    script.then(200, document(progress=40))
    assert run("status", JOB, "--json") == 0
    assert json.loads(capsys.readouterr().out) == document(progress=40)
    script.then(200, {"jobs": [document()], "cursor": None})
    assert run("list", "--json", "--status", "running") == 0
    assert json.loads(capsys.readouterr().out) == {"jobs": [document()], "cursor": None}
    assert script.paths[-1] == "GET /api/jobs?status=running&limit=20"


def test_a_retry_prints_the_id_of_the_new_job(
    run: Run, script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    script.then(200, document()).then(202, {"id": "again", "status": "NotStarted"})
    script.then(200, {**document(), "id": "again"})
    assert run("retry", JOB) == 0
    assert capsys.readouterr().out == "again\n"
    assert script.paths[-2:] == [f"POST /api/jobs/{JOB}/retry", "GET /api/jobs/again"]


def test_lists_are_tables(run: Run, script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    script.then(200, {"jobs": [document(progress=40)], "cursor": None})
    assert run("list") == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["ID", "JOB", "STATUS", "DONE", "DETAILS"]
    assert row.split()[:5] == [JOB, "yearly-sales", "running", "40", "%"]


def test_an_empty_list_says_so_and_prints_no_table(
    run: Run, script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    script.then(200, {"jobs": [], "cursor": None}).then(200, {"datasets": []})
    assert run("list", "--status", "canceled") == 0
    assert script.paths[-1] == "GET /api/jobs?status=dismissed&limit=20"
    assert run("datasets") == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "no such jobs" in err and "haulier import FILE" in err


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        (done(b""), 0),
        (document("failed", error={"code": "bad-input", "detail": "Line 7 has 3 fields."}), 1),
        (document("dismissed"), 3),
    ],
)
def test_the_exit_code_of_wait_says_how_the_job_ended(
    run: Run, script: Script, ended: dict[str, object], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    script.then(200, ended)
    assert run("wait", JOB) == code
    assert ("Line 7 has 3 fields." in capsys.readouterr().err) == (code == 1)


def test_a_timeout_is_exit_code_4(run: Run, script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    script.fallback = lambda *_: (200, {}, json.dumps(document()).encode())
    assert run("wait", JOB, "--timeout", "0.3") == 4
    assert "it goes on" in capsys.readouterr().err


def test_nobody_at_the_address_is_exit_code_5(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["status", JOB, "--server", "http://127.0.0.1:9"]) == 5
    assert "haulier: http://127.0.0.1:9 refused the connection; start it" in capsys.readouterr().err


def test_a_refused_request_is_a_usage_error_that_names_every_fault(
    run: Run, script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    faults = [
        {"pointer": "/parameters/year", "detail": "'20x3' is no year."},
        {"pointer": "/x", "detail": "?"},
    ]
    script.then(422, {"detail": "The request has 2 faults.", "code": "invalid-parameters", "errors": faults})
    assert run("report", "yearly-sales", "year=20x3") == 2
    assert "/parameters/year: '20x3' is no year." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["report", "yearly-sales", "2023"], "write NAME=VALUE"),
        (["report", "aggregate", 'by=["region"'], "begins like JSON"),
        (["report", "aggregate", "measures=@/no/such.json"], "cannot be read"),
        (["import", "/no/such.csv", "--dataset", "x"], "does not exist"),
        (["import", __file__, "--dataset", "x", "-p", "mode=append"], "no import option for -p"),
        (["status", JOB, "--server", "localhost:80"], "write --server http://host:port"),
        (["report"], "Missing argument"),
        (["list", "--status", "done"], "give one of waiting, running, complete, failed, canceled"),
        (["reprot"], "No such command"),
    ],
)
def test_usage_errors_are_one_line_and_exit_code_2(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(words) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err


def test_a_wrong_setting_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HAULIER_PROT", "1")
    assert cli.run(["status", JOB]) == 2
    assert capsys.readouterr().err.startswith("haulier: HAULIER_PROT is not a setting; did you mean")


def test_the_server_address_comes_from_the_settings(
    script: Script, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve(script)
    monkeypatch.setenv("HAULIER_BASE_URL", f"http://127.0.0.1:{server.server_port}")
    script.then(200, document(progress=40))
    assert cli.run(["status", JOB]) == 0
    assert "40 % running" in capsys.readouterr().out
    server.shutdown()
    server.server_close()


def test_import_sends_columns_from_a_file(
    run: Run, script: Script, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "columns.json").write_text('{"day": {"type": "date"}}')
    (tmp_path / "sales.csv").write_bytes(CSV)
    accepted(script).then(200, document(kind="import"))
    words = [
        "--dataset",
        "sales",
        "--mode",
        "append",
        "--columns",
        f"@{tmp_path}/columns.json",
        "-p",
        "header=true",
    ]
    assert run("import", str(tmp_path / "sales.csv"), *words) == 0
    options = json.loads(script.requests[0][2]["Haulier-Options"])
    assert options == {"mode": "append", "columns": {"day": {"type": "date"}}, "header": True}


def test_a_dispatcher_alone_refuses_sqlite(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HAULIER_HOME", str(tmp_path))
    assert cli.run(["dispatch"]) == 2
    assert "HAULIER_DATABASE_URL=postgresql://" in capsys.readouterr().err


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    heavy = {"flask", "sqlalchemy", "dask", "distributed", "pandas", "pyarrow", "pydantic", "urllib3"}
    code = "import sys; from service import cli; cli.run(['-h']); print(sorted(sys.modules), file=sys.stderr)"
    began = time.monotonic()
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert time.monotonic() - began < 3
    assert heavy.isdisjoint(ast.literal_eval(run.stderr))
    assert "demo" in run.stdout
