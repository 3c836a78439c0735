"""POST /api/videos: forms and JSON, status and download, what is refused, the list of operations."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.video import request
from pipelines.video.tool import NoTool, Tool
from tests.pipelines.filming import clip
from tests.service.routing import Answer, House, opened, pointers, refused


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip(tmp_path_factory.mktemp("film") / "film.mp4", seconds=0.4)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with opened(tmp_path / "home") as found:
        yield found


def form(house: House, *paths: Path, headers: dict[str, str] | None = None, **fields: Any) -> Answer:
    files = [(io.BytesIO(path.read_bytes()), path.name) for path in paths]
    data = {**fields, "file": files} if files else fields
    return house.call("POST", "/api/videos", data=data, headers=headers, content_type="multipart/form-data")


def test_a_form_is_accepted_worked_on_and_downloaded(house: House, film: Path) -> None:
    answer = form(house, film, operation="thumbnail", parameters=json.dumps({"at": 0.2}))
    own = answer.json["id"]
    assert (answer.status_code, answer.headers["Location"]) == (202, f"/api/videos/{own}/status")
    assert house.get(f"/api/videos/{own}/status").json["status"] == "In Progress"
    house.run(answer)
    assert house.get(f"/api/videos/{own}/status").json == {
        "status": "Complete",
        "resultURL": f"/api/videos/{own}/download",
    }
    got = house.get(f"/api/videos/{own}/download")
    assert got.mimetype == "image/jpeg" and got.data.startswith(b"\xff\xd8")
    assert "film-thumbnail.jpg" in got.headers["Content-Disposition"]
    job = house.job(own)
    assert (job["kind"], job["type"]) == ("video", "thumbnail")
    assert job["parameters"] == {"operation": "thumbnail", "source": "film.mp4", "parameters": {"at": 0.2}}
    assert house.get("/api/jobs?kind=video&type=thumbnail").json["jobs"][0]["id"] == own


def test_the_result_says_how_long_and_in_what_codec_it_is(house: House, film: Path) -> None:
    own = house.run(form(house, film, operation="transcode", parameters='{"codec": "h264", "width": 64}'))
    result = house.job(own)["result"]
    assert (result["media"]["codec"], result["media"]["duration"], result["media"]["frames"]) == (
        "h264",
        0.4,
        10,
    )
    units = house.job(own)["units"]
    assert units == {"done": 10, "total": 10, "kind": "frames"}
    outputs = house.get(f"/api/jobs/{own}/results").json["outputs"]
    assert outputs["video"]["sha256"] == result["sha256"]


def test_files_of_an_input_folder_are_named(house: House, film: Path) -> None:
    [folder] = house.engine.settings.input_folders
    for name in ("one.mp4", "two.mp4"):
        (folder / name).write_bytes(film.read_bytes())
    both = house.call("POST", "/api/videos", json={"operation": "concat", "source": ["one.mp4", "two.mp4"]})
    assert house.job(house.run(both))["result"]["media"]["frames"] == 20
    one = house.call("POST", "/api/videos", json={"operation": "probe", "source": "one.mp4"})
    assert house.get(f"/api/videos/{house.run(one)}/download").json["video"]["frames"] == 10
    for outside in ("/etc/passwd", "../haulier.sqlite", "none.mp4"):
        asked = {"operation": "probe", "source": outside}
        assert pointers(house.call("POST", "/api/videos", json=asked)) == ["/source"]


def test_everything_that_is_wrong_is_told_at_once_and_nothing_stays(
    house: House, film: Path, tmp_path: Path
) -> None:
    text = tmp_path / "film.mp4"
    text.write_text("#EXTM3U\nfile:///etc/passwd\n")
    asked = json.dumps({"widht": 3, "crf": 99})
    assert pointers(form(house, text, operation="transcode", parameters=asked)) == [
        "/parameters/crf",
        "/parameters/widht",
        "/source",
    ]
    assert pointers(form(house, film, operation="transcod")) == ["/operation"]
    assert pointers(form(house, film, film, operation="transcode")) == ["/source"]
    assert pointers(form(house, film, operation="watermark")) == ["/source"]
    assert pointers(form(house, film, parameters="[")) == ["/operation", "/parameters"]
    assert pointers(form(house, operation="probe")) == ["/file"]
    wrong = {"operation": "trim", "parameters": {"start": 2, "end": 1}, "sauce": "x"}
    assert pointers(house.call("POST", "/api/videos", json=wrong)) == ["/parameters/end", "/sauce", "/source"]
    refused(
        house.call("POST", "/api/videos", data=b"x", content_type="video/mp4"), 415, "unsupported-media-type"
    )
    assert house.files() == [] and house.jobs() == []


def test_a_dry_run_refuses_what_a_submission_refuses_and_stores_nothing(house: House, film: Path) -> None:
    files = [(io.BytesIO(film.read_bytes()), film.name)]
    data = {"operation": "probe", "file": files}
    assert pointers(house.call("POST", "/api/videos?dryRun=yes", data=data)) == [""]
    body = {"operation": "probe", "source": "film.mp4", "parameters": []}
    asked, dry = (house.call("POST", f"/api/videos{query}", json=body) for query in ("", "?dryRun=true"))
    assert asked.json["errors"] == dry.json["errors"] != []
    assert not house.files()


def test_without_ffmpeg_a_video_is_refused_with_the_cure_and_a_report_is_not(
    house: House, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(configured: str | None) -> Tool:
        raise NoTool("There is no ffmpeg to use; install haulier[video].")

    monkeypatch.setattr(request, "find", nothing)
    [(pointer, said)] = refused(form(house, film, operation="probe"), 422, "invalid-parameters")
    assert pointer == "/operation" and "install haulier[video]" in said
    assert house.upload("sales").status_code == 202


def test_a_repeated_key_is_one_job_and_one_upload(house: House, film: Path) -> None:
    first, second = (form(house, film, headers={"Idempotency-Key": "k"}, operation="probe") for _ in range(2))
    assert first.json["id"] == second.json["id"] and second.headers["Idempotency-Replayed"] == "true"
    assert len(house.files()) == 1
    other = form(house, film, headers={"Idempotency-Key": "k"}, operation="thumbnail")
    refused(other, 422, "idempotency-key-reused")


def test_a_video_that_cannot_be_read_fails_with_one_sentence(house: House, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"\0\0\0\x18ftypisom" + bytes(500))
    own = house.run(form(house, broken, operation="transcode"))
    error = house.get(f"/api/videos/{own}/status").json["error"]
    assert error["code"] == "bad-input" and "'broken.mp4' cannot be read" in error["detail"]
    assert not [name for name in house.files() if not name.startswith("uploads/")]


def test_the_operations_are_listed_with_their_schemas(house: House) -> None:
    found = {each["name"]: each for each in house.get("/api/video-operations").json["videoOperations"]}
    assert {"transcode", "trim", "thumbnail", "sprite", "audio", "gif", "hls", "probe"} <= set(found)
    schema = found["transcode"]["parameters"]
    assert {"preset", "width", "height", "codec", "crf", "audio", "container"} <= set(schema["properties"])
    paths = house.get("/openapi.json").json["paths"]
    assert {"/api/videos", "/api/videos/{id}/status", "/api/video-operations"} <= set(paths)
    assert "multipart/form-data" in paths["/api/videos"]["post"]["requestBody"]["content"]


def test_the_page_has_a_form(house: House, film: Path) -> None:
    assert 'action="/videos"' in house.get("/").text
    data = {"operation": "thumbnail", "parameters": "{}", "file": (io.BytesIO(film.read_bytes()), "film.mp4")}
    answer = house.call("POST", "/videos", data=data, content_type="multipart/form-data")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/jobs/{house.jobs()[0]['id']}")
    assert "film.mp4" in house.get(answer.headers["Location"]).text
    data = {
        "operation": "gif",
        "parameters": '{"fps": 99}',
        "file": (io.BytesIO(film.read_bytes()), "film.mp4"),
    }
    wrong = house.call("POST", "/videos", data=data, content_type="multipart/form-data")
    assert wrong.status_code == 422 and "is 99" in wrong.text.replace("&#39;", "'")
