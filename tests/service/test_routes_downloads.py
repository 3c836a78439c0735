"""Downloads: the bytes, how they can be checked, ranges of them, and every state without any."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.routing import REPORT, SALES, YEAR, Answer, House, refused, with_sales

DATA = YEAR.encode()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with with_sales(tmp_path / "home") as found:
        yield found


@pytest.fixture
def path(house: House) -> str:
    return f"/api/reports/{house.run(house.post())}/download"


def plain(house: House, path: str) -> str:
    return str(house.get(path).headers["ETag"])


def test_a_file_comes_whole_named_and_verifiable(house: House, path: str) -> None:
    answer, digest = house.get(path), hashlib.sha256(DATA)
    assert (answer.status_code, answer.data) == (200, DATA)
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Length"] == str(len(DATA))
    assert answer.headers["Content-Disposition"] == 'attachment; filename="yearly-sales-2023.csv"'
    assert answer.headers["ETag"] == f'"{digest.hexdigest()}"'
    assert answer.headers["Repr-Digest"] == f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
    assert answer.headers["Accept-Ranges"] == "bytes"


def test_head_says_the_same_without_the_bytes(house: House, path: str) -> None:
    whole, head = house.get(path), house.call("HEAD", path)
    assert (head.status_code, head.data) == (200, b"")
    assert dict(head.headers) == dict(whole.headers)


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [
        ("bytes=0-4", 0, 5),
        ("bytes=5-", 5, len(DATA)),
        ("bytes=-3", len(DATA) - 3, len(DATA)),
        ("bytes=0-99999", 0, len(DATA)),
        (f"bytes={len(DATA) - 1}-", len(DATA) - 1, len(DATA)),
    ],
)
def test_a_range_is_that_part_of_the_bytes(
    house: House, path: str, wanted: str, start: int, stop: int
) -> None:
    answer = house.get(path, Range=wanted)
    assert (answer.status_code, answer.data) == (206, DATA[start:stop])
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(DATA)}"
    assert answer.headers["Content-Length"] == str(stop - start)
    assert answer.headers["ETag"] == plain(house, path)


@pytest.mark.parametrize("wanted", ["lines=0-4", "bytes=0-1,4-5", "bytes=x", "bytes=5-2"])
def test_a_range_nobody_serves_gives_the_whole_file(house: House, path: str, wanted: str) -> None:
    answer = house.get(path, Range=wanted)
    assert (answer.status_code, answer.data) == (200, DATA)
    assert "Content-Range" not in answer.headers


def test_a_range_behind_the_end_is_refused_with_the_size(house: House, path: str) -> None:
    answer = house.get(path, Range=f"bytes={len(DATA)}-")
    assert refused(answer, 416, "range-not-satisfiable") == []
    assert answer.headers["Content-Range"] == f"bytes */{len(DATA)}"


def test_a_range_holds_only_for_the_file_it_was_meant_for(house: House, path: str) -> None:
    tag = plain(house, path)
    assert house.get(path, Range="bytes=0-4", If_Range=tag).status_code == 206
    for other in ('"other"', f"W/{tag}", "Wed, 25 Nov 2026 10:00:00 GMT"):
        answer = house.get(path, Range="bytes=0-4", If_Range=other)
        assert (answer.status_code, answer.data) == (200, DATA), other


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', "*"])
def test_a_file_that_the_client_has_is_not_sent_again(house: House, path: str, form: str) -> None:
    tag = plain(house, path)
    answer = house.get(path, If_None_Match=form.format(tag), Range="bytes=0-4")
    assert (answer.status_code, answer.data, answer.headers["ETag"]) == (304, b"", tag)
    assert house.get(path, If_None_Match='"other"').data == DATA


@pytest.mark.parametrize(
    ("form", "kind", "start"),
    [
        ("json", "application/json", b'[\n{"month":"2023-01"'),
        ("parquet", "application/vnd.apache.parquet", b"PAR1"),
        ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", b"PK\x03\x04"),
    ],
)
def test_every_format_has_its_type_and_name(house: House, form: str, kind: str, start: bytes) -> None:
    own = house.run(house.post({**REPORT, "format": form}))
    answer = house.get(f"/api/reports/{own}/download")
    assert answer.headers["Content-Type"] == kind
    assert answer.headers["Content-Disposition"] == f'attachment; filename="yearly-sales-2023.{form}"'
    assert answer.data.startswith(start)


# --- no file


def no_result(house: House, own: str) -> list[Answer]:
    kind = house.job(own)["kind"]
    return [house.get(f"/api/{kind}s/{own}/download"), house.get(f"/api/jobs/{own}/results")]


def test_a_job_at_work_has_no_file_yet_and_says_when_to_ask_again(house: House) -> None:
    own = house.post().json["id"]
    for _ in range(2):
        for answer in no_result(house, own):
            assert refused(answer, 409, "not-ready") == []
            assert int(answer.headers["Retry-After"]) >= 1
        house.tick()  # it starts


def test_a_job_that_failed_or_was_canceled_has_no_file_and_never_will(house: House) -> None:
    bad = house.run(house.upload("bad", SALES + "2023-01-01 00:00:00,EU,1\n"))
    gone = house.post().json["id"]
    house.cancel(gone)
    for own, code in ((bad, "job-failed"), (gone, "job-canceled")):
        for answer in no_result(house, own):
            assert refused(answer, 409, code) == []
            assert "Retry-After" not in answer.headers


@pytest.mark.parametrize("damage", ["removed", "cut"])
def test_a_file_that_is_no_longer_whole_is_gone(house: House, path: str, damage: str) -> None:
    [file] = [name for name in house.files() if name.startswith("results") and name.endswith(".csv")]
    stored = Path(house.engine.settings.store_url) / file
    if damage == "removed":
        stored.unlink()
    else:
        stored.write_bytes(DATA[:-1])
    assert refused(house.get(path), 410, "gone") == []


def test_a_download_takes_no_query(house: House, path: str) -> None:
    assert refused(house.get(f"{path}?format=json"), 422, "invalid-parameters")[0][0] == ""
