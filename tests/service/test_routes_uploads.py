"""POST /api/imports: three ways to hand over a file, and what broken or wrong ones leave: nothing."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import io
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.live import Server, server
from tests.service.routing import PROBLEM, SALES, Answer, House, opened, pointers, refused, stored

DATA = SALES.encode()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with opened(tmp_path / "home") as found:
        yield found


def form(house: House, *, headers: dict[str, str] | None = None, **fields: Any) -> Answer:
    return house.call(
        "POST", "/api/imports", data=fields, headers=headers, content_type="multipart/form-data"
    )


def file(data: bytes = DATA, name: str = "sales.csv") -> tuple[io.BytesIO, str]:
    return io.BytesIO(data), name


def named(house: House, **members: Any) -> Answer:
    return house.call("POST", "/api/imports", json=members)


def receipt(house: House, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = house.get(f"/api/imports/{job_id}/download").json
    return found


# --- three ways in


def test_a_form_imports_its_file(house: House) -> None:
    answer = form(house, dataset="sales", file=file(), options=json.dumps({"format": "csv"}))
    own = answer.json["id"]
    assert (answer.status_code, answer.headers["Location"]) == (202, f"/api/imports/{own}/status")
    found = receipt(house, house.run(answer))
    assert (found["dataset"], found["rowsLoaded"]) == ("sales", 4)
    assert found["source"] == {
        "name": "sales.csv",
        "bytes": len(DATA),
        "sha256": hashlib.sha256(DATA).hexdigest(),
    }
    assert house.job(own)["parameters"]["options"] == {"format": "csv"}


def test_fields_of_a_form_may_follow_its_file(house: House) -> None:
    assert receipt(house, house.run(form(house, file=file(), dataset="sales")))["rowsLoaded"] == 4


def test_a_raw_body_is_the_file_and_options_travel_in_a_header(house: House) -> None:
    columns = {"quantity": {"name": "units", "type": "decimal(6,1)"}}
    answer = house.upload("sales", headers={"Haulier-Options": json.dumps({"columns": columns})})
    found = receipt(house, house.run(answer))
    assert found["source"]["sha256"] == hashlib.sha256(DATA).hexdigest()
    assert {column["sourceName"]: column["name"] for column in found["schema"]}["quantity"] == "units"


def test_a_file_of_an_input_folder_is_imported_by_its_name(house: House) -> None:
    [folder] = house.engine.settings.input_folders
    (folder / "sales.csv").write_bytes(DATA)
    answer = named(house, dataset="sales", source="sales.csv", options={"format": "csv"})
    found = receipt(house, house.run(answer))
    assert (found["rowsLoaded"], found["source"]["name"]) == (4, "sales.csv")


def test_several_files_of_a_form_are_one_version_and_each_says_what_became_of_it(house: House) -> None:
    lines = SALES.splitlines(keepends=True)
    more = "".join([lines[0], "2023-04-01 00:00:00,EU,1\n", *lines[1:] * 5]).encode()
    found = receipt(
        house, house.run(form(house, file=[file(name="a.csv"), file(more, "b.csv")], dataset="sales"))
    )
    counts = [(each["name"], each["rowsLoaded"], each["rowsRejected"]) for each in found["source"]["files"]]
    assert counts == [("a.csv", 4, 0), ("b.csv", 20, 1)]
    assert [each["sha256"] for each in found["source"]["files"]] == [
        hashlib.sha256(data).hexdigest() for data in (DATA, more)
    ]
    assert (found["rowsRead"], found["version"]) == (25, 0)
    assert house.get("/api/datasets/sales").json["rows"] == 24


def test_files_of_an_input_folder_are_named_by_a_list(house: House) -> None:
    [folder] = house.engine.settings.input_folders
    for name in ("a.csv", "b.csv"):
        (folder / name).write_bytes(DATA)
    answer = named(house, dataset="sales", source=["a.csv", "b.csv"])
    found = receipt(house, house.run(answer))
    assert found["rowsLoaded"] == 8
    assert any("same content" in said for said in found["warnings"])
    assert house.job(answer.json["id"])["parameters"]["source"] == ["a.csv", "b.csv"]


def test_files_that_are_not_one_table_fail_by_name_and_column(house: House) -> None:
    other = DATA.replace(b"region", b"country")
    own = house.run(form(house, dataset="sales", file=[file(name="a.csv"), file(other, "b.csv")]))
    detail = house.job(own)["error"]["detail"]
    assert "'b.csv' lacks column 'region', other than 'a.csv'" in detail
    assert house.get("/api/datasets").json == {"datasets": []}


@pytest.mark.parametrize("name", ["../../etc/passwd", "C:\\data\\passwd", "/etc/passwd", "a\tb/passwd"])
def test_the_name_of_a_file_loses_its_folders(house: House, name: str) -> None:
    query = {"dataset": "sales", "filename": name}
    own = house.call("POST", "/api/imports", query_string=query, data=DATA).json["id"]
    assert house.job(own)["parameters"]["source"] == "passwd"


def test_an_ended_import_has_a_table_of_rejected_rows_and_a_waiting_one_not_yet(house: House) -> None:
    answer = house.upload("sales")
    path = f"/api/imports/{answer.json['id']}/rejects"
    early = house.get(path)
    assert refused(early, 409, "not-ready") == []
    assert int(early.headers["Retry-After"]) >= 1
    house.run(answer)
    assert house.get(path).text == "line,reason,text\r\n"


def test_rejected_rows_can_be_fetched(house: House) -> None:
    own = house.run(
        house.upload("sales", SALES + "2023-01-01 00:00:00,EU,2,5.00\n" * 20 + "2023-01-01,EU,1\n")
    )
    found = house.get(f"/api/imports/{own}/download").json
    assert (found["rowsRead"], found["rowsLoaded"], found["rowsRejected"]) == (25, 24, 1)
    rejects = house.get(f"/api/imports/{own}/rejects")
    assert rejects.text.splitlines() == ["line,reason,text", '26,3 values for 4 columns,"2023-01-01,EU,1"']
    assert int(rejects.headers["Content-Length"]) == len(rejects.data)


# --- what is refused leaves nothing


def nothing_left(house: House) -> bool:
    return house.jobs() == [] and house.files() == []


@pytest.mark.parametrize(
    ("query", "faults"),
    [
        ("dataset=sales", ["/source"]),
        ("filename=a.csv", ["/dataset"]),
        ("dataset=&filename=", ["/dataset", "/source"]),
        ("dataset=No&filename=a.csv", ["/dataset"]),
        ("dataset=sales&filename=a.csv&mode=append", [""]),
        ("dataset=sales&filename=a.csv&dataset=b", [""]),
        ("dataset=No&mode=append", ["", "/dataset", "/source"]),
    ],
)
def test_a_wrong_query_of_a_raw_upload_is_refused(house: House, query: str, faults: list[str]) -> None:
    assert pointers(house.call("POST", f"/api/imports?{query}", data=DATA)) == faults
    assert nothing_left(house)


@pytest.mark.parametrize(
    ("options", "faults"),
    [
        ("{", ["/options"]),
        ("[]", ["/options"]),
        ('{"mode": "upsert"}', ["/options/mode"]),
        ('{"fromat": "csv", "skip": -1}', ["/options/fromat", "/options/skip"]),
        ('{"columns": {"quantity": {"type": "intteger"}}}', ["/options/columns/quantity/type"]),
    ],
)
def test_wrong_options_are_refused_in_a_header_and_in_a_form(
    house: House, options: str, faults: list[str]
) -> None:
    assert pointers(house.upload("sales", headers={"Haulier-Options": options})) == faults
    assert pointers(form(house, dataset="sales", file=file(), options=options)) == faults
    assert nothing_left(house)


def test_all_faults_of_a_form_are_told_at_once(house: House) -> None:
    answer = form(house, datasett="sales", options="{", file="no file", extra=file())
    assert pointers(answer) == ["/dataset", "/datasett", "/extra", "/file", "/options"]
    assert "did you mean 'dataset'?" in answer.text
    assert nothing_left(house)


def test_one_wrong_file_of_several_is_named_and_none_stays(house: House) -> None:
    assert pointers(form(house, dataset="sales", file=[file(), file(b""), file()])) == ["/source/1"]
    assert pointers(form(house, dataset="sales", file=[file(), file()], options="{")) == ["/options"]
    assert nothing_left(house)


def test_a_form_with_fields_twice_is_refused(house: House) -> None:
    assert pointers(form(house, dataset=["a", "b"], file=file())) == ["/dataset"]
    assert nothing_left(house)


def test_a_file_and_a_raw_query_at_once_are_refused(house: House) -> None:
    """Else the frame of the form would be imported as if it were the file."""
    answer = house.call(
        "POST",
        "/api/imports?dataset=sales&filename=sales.csv",
        data={"dataset": "sales", "file": file()},
        content_type="multipart/form-data",
    )
    assert pointers(answer) == [""]
    assert nothing_left(house)


def test_a_body_that_is_no_form_is_refused(house: House) -> None:
    for kind, code in (("multipart/form-data", "malformed-form"), ("text/csv", "unsupported-media-type")):
        status = 400 if code == "malformed-form" else 415
        assert refused(house.call("POST", "/api/imports", data=DATA, content_type=kind), status, code) == []
    assert nothing_left(house)


@pytest.mark.parametrize(
    ("members", "faults"),
    [
        ({}, ["/dataset", "/source"]),
        ({"dataset": "sales", "source": "none.csv"}, ["/source"]),
        ({"dataset": "sales", "source": "../haulier.sqlite"}, ["/source"]),
        ({"dataset": "sales", "source": "/etc/passwd"}, ["/source"]),
        ({"dataset": "sales", "source": 7}, ["/source"]),
        ({"dataset": "sales", "source": []}, ["/source"]),
        ({"dataset": "No", "source": ["none.csv", 7]}, ["/dataset", "/source/0", "/source/1"]),
        ({"dataset": 7, "source": "none.csv", "options": []}, ["/dataset", "/options", "/source"]),
        ({"dataset": "sales", "sorce": "none.csv"}, ["/sorce", "/source"]),
        ({"dataset": "No", "options": {"mode": "upsert"}}, ["/dataset", "/options/mode", "/source"]),
    ],
)
def test_a_wrong_json_import_is_refused_with_every_fault(
    house: House, members: Any, faults: list[str]
) -> None:
    assert pointers(named(house, **members)) == faults
    assert nothing_left(house)


def test_an_empty_file_is_refused(house: House) -> None:
    assert pointers(house.upload("sales", "")) == ["/source"]
    assert pointers(form(house, dataset="sales", file=file(b""))) == ["/source"]
    assert nothing_left(house)


def test_a_dataset_that_exists_is_not_created_again(house: House) -> None:
    house.run(house.upload("sales"))
    before = house.files()
    [(pointer, said)] = refused(house.upload("sales"), 422, "invalid-parameters")
    assert (pointer, "already exists" in said) == ("/dataset", True)
    assert (len(house.jobs()), house.files()) == (1, before)


def test_too_many_bad_rows_fail_the_import_and_no_dataset_appears(house: House) -> None:
    own = house.run(house.upload("sales", SALES + "2023-01-01 00:00:00,EU,1\n"))
    detail = house.get(f"/api/imports/{own}/status").json["error"]["detail"]
    assert detail.startswith("1 of 5 rows are bad") and "Line 6:" in detail
    assert house.get("/api/datasets").json == {"datasets": []}
    [rejects] = what_stays(house)
    assert rejects.endswith("/rejects.csv")
    assert house.get(f"/api/imports/{own}/rejects").text.splitlines()[1:] == [
        '6,3 values for 4 columns,"2023-01-01 00:00:00,EU,1"'
    ]


def what_stays(house: House) -> list[str]:
    """Files beside uploads, once what a failed job left is swept; that goes on beside us for a moment."""
    found = ["not", "looked", "yet"]
    deadline = time.monotonic() + 5
    while len(found) > 1 and time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError):
            found = [path for path in house.files() if not path.startswith("uploads/")]
    return found


# --- Idempotency-Key


@pytest.mark.parametrize("way", ["raw", "form", "two files"])
def test_an_upload_with_a_known_key_gives_the_first_202_again_and_is_not_kept(house: House, way: str) -> None:
    def send(data: bytes = DATA) -> Answer:
        headers = {"Idempotency-Key": "u1"}
        if way == "form":
            return form(house, dataset="sales", file=file(data), headers=headers)
        if way == "two files":
            return form(house, dataset="sales", file=[file(DATA), file(data)], headers=headers)
        return house.upload("sales", data.decode(), headers)

    first = send()
    before = house.files()
    again = send()
    assert (again.status_code, again.json) == (202, first.json)
    assert again.headers["Idempotency-Replayed"] == "true"
    other = send(DATA.replace(b"EU", b"US"))
    assert refused(other, 422, "idempotency-key-reused") == []
    assert (len(house.jobs()), house.files()) == (1, before)
    house.run(first)
    assert send().json["id"] == first.json["id"]  # although the dataset is there by now


# --- broken connections, on the real server


@pytest.fixture(scope="module")
def live() -> Iterator[Server]:
    with server(1) as running:
        yield running


def send(
    live: Server, head: list[str], body: bytes, *, whole: bool = False
) -> tuple[int, str, dict[str, Any]]:
    """Send a request as it stands; unless `whole`, close our half then, as a client that dies does."""
    address = urlsplit(live.url)
    lines = [*head, f"Host: {address.netloc}", "", ""]
    with socket.create_connection((address.hostname, address.port), timeout=60) as line:
        line.sendall("\r\n".join(lines).encode() + body)
        if not whole:
            line.shutdown(socket.SHUT_WR)
        with http.client.HTTPResponse(line) as response:
            response.begin()
            return response.status, response.headers["Content-Type"], json.load(response)


def left(live: Server) -> tuple[int, list[str]]:
    """How many jobs there are, and the files in the store."""
    return len(live.call("GET", "/api/jobs")[2]["jobs"]), stored(live.home / "store")


RAW = "POST /api/imports?dataset=sales&filename=sales.csv HTTP/1.1"
FORM = ["POST /api/imports HTTP/1.1", "Content-Type: multipart/form-data; boundary=B"]
PARTS = (
    b'--B\r\nContent-Disposition: form-data; name="dataset"\r\n\r\nsales\r\n'
    b'--B\r\nContent-Disposition: form-data; name="file"; filename="sales.csv"\r\n\r\n' + DATA + b"\r\n"
)


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


@pytest.mark.parametrize(
    ("head", "body", "announced"),
    [
        ([RAW], DATA, len(DATA) + 1),
        ([RAW], DATA[:40], len(DATA)),
        ([RAW], b"", len(DATA)),
        (FORM, PARTS[:50], len(PARTS) + 7),
        (FORM, PARTS[:-30], len(PARTS) + 7),
        (FORM, PARTS, len(PARTS) + 7),
        (FORM, PARTS + b"--B--\r\n", len(PARTS) + 20),
    ],
    ids=[
        "raw by 1",
        "raw",
        "raw empty",
        "form in a field",
        "form in the file",
        "form at its end",
        "epilogue",
    ],
)
def test_an_upload_shorter_than_announced_leaves_no_job_and_no_file(
    live: Server, head: list[str], body: bytes, announced: int
) -> None:
    before = left(live)
    status, kind, problem = send(live, [*head, f"Content-Length: {announced}"], body)
    assert (status, kind, problem["code"]) == (400, "application/problem+json", "incomplete-upload")
    assert set(problem) == PROBLEM
    assert f"{len(body)} of {announced} announced bytes" in problem["detail"]
    assert left(live) == before


def test_a_form_in_chunks_that_breaks_off_leaves_no_job_and_no_file(live: Server) -> None:
    before = left(live)
    status, _, problem = send(live, [*FORM, "Transfer-Encoding: chunked"], chunk(PARTS))
    assert (status, problem["code"]) == (400, "incomplete-upload")
    assert left(live) == before


def test_a_raw_file_of_unknown_length_is_refused_for_its_end_could_not_be_told(live: Server) -> None:
    """The server cannot tell the last chunk from a broken connection: a truncated file would look whole."""
    before = left(live)
    for body in (chunk(DATA) + b"0\r\n\r\n", chunk(DATA), b"fff\r\n" + DATA):
        status, kind, problem = send(live, [RAW, "Transfer-Encoding: chunked"], body, whole=True)
        assert (status, kind, problem["code"]) == (411, "application/problem+json", "length-required")
    assert left(live) == before


def test_json_shorter_than_announced_is_refused(live: Server) -> None:
    before = left(live)
    head = ["POST /api/reports HTTP/1.1", "Content-Type: application/json", "Content-Length: 90"]
    status, _, problem = send(live, head, b'{"reportType": "yearly-sales"}')
    assert (status, problem["code"]) == (400, "incomplete-upload")
    assert "30 of 90" in problem["detail"]
    assert left(live) == before


def test_a_whole_upload_is_kept_with_its_exact_bytes(live: Server) -> None:
    jobs, files = left(live)
    raw = send(live, [RAW, f"Content-Length: {len(DATA)}"], DATA, whole=True)
    whole = PARTS.replace(b"sales\r\n", b"other\r\n", 1) + b"--B--\r\n"
    parts = send(live, [*FORM, "Transfer-Encoding: chunked"], chunk(whole) + b"0\r\n\r\n", whole=True)
    assert (raw[0], parts[0]) == (202, 202)
    after = left(live)
    assert after[0] == jobs + 2
    for path in set(after[1]) - set(files):
        if path.startswith("uploads/"):
            assert (live.home / "store" / path).read_bytes() == DATA
    for answer in (raw[2], parts[2]):
        live.watch(answer["id"])
        source = live.call("GET", f"/api/imports/{answer['id']}/download")[2]["source"]
        assert (source["bytes"], source["sha256"]) == (len(DATA), hashlib.sha256(DATA).hexdigest())
