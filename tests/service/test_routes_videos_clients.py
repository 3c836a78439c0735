"""Video from Python and from the command line; what `haulier doctor` finds; how quick a job is, in words."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipelines.plan import Progress
from service import cli
from service.client import HaulierError, Rejected, connect
from service.model import Job, JobState, Priority
from service.pace import pace_in_words
from tests.live import server
from tests.pipelines.filming import clip, looked_at


def test_python_and_the_command_line_do_the_same_over_http(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = clip(tmp_path / "film.mp4", seconds=0.4)
    with server(1) as live, connect(live.url) as hauler:
        job = hauler.video(film, "transcode", codec="h264", width=48)
        made = job.download(tmp_path)
        assert made.name == "film-transcode.mp4" and looked_at(made).video is not None
        with pytest.raises(HaulierError, match="use download"):
            job.result()
        assert hauler.video([film, film], "concat").download(tmp_path / "both.mp4").stat().st_size
        assert hauler.video(film, "probe").result()["video"]["frames"] == 10
        with pytest.raises(Rejected, match="2 faults"):
            hauler.video(film, "transcode", {"widht": 1}, crf=99)
        words = ["video", "thumbnail", str(film), "-p", "at=0.2", "--server", live.url]
        assert cli.run([*words, "-o", str(tmp_path / "film.jpg")]) == 0
        assert (tmp_path / "film.jpg").read_bytes().startswith(b"\xff\xd8")
        capsys.readouterr()
        assert cli.run(["video", "probe", str(film), "--wait", "--server", live.url]) == 0
        assert json.loads(capsys.readouterr().out)["duration"] == 0.4
        assert cli.run(["video", "trim", str(film), "-p", "end=0", "--server", live.url]) == 2
        assert "'end' is 0" in capsys.readouterr().err
        assert cli.run(["list", "--kind", "video", "--server", live.url]) == 0
        assert "thumbnail" in capsys.readouterr().out


def test_the_engine_in_this_process_does_it_too(tmp_path: Path) -> None:
    film = clip(tmp_path / "film.mp4", seconds=0.4)
    with connect(home=tmp_path / "home") as hauler:
        picture = hauler.video(film, "thumbnail", at=0).download(tmp_path)
        assert picture.name == "film-thumbnail.jpg" and picture.read_bytes().startswith(b"\xff\xd8")


def test_doctor_says_which_ffmpeg_and_what_it_can_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HAULIER_HOME", str(tmp_path))
    assert cli.run(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "ok   ffmpeg: " in out and "h264, h265, av1, vp9; subtitles" in out
    monkeypatch.setenv("HAULIER_FFMPEG", str(tmp_path / "nothing"))
    assert cli.run(["doctor"]) == 0, "all but video works without"
    assert "MISS ffmpeg: There is no ffmpeg to use" in capsys.readouterr().out


def test_a_pace_is_frames_a_second_and_how_that_compares_with_watching() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    plan = {"spec": {"media": [{"video": {"rate": 25.0}}]}}

    def job(unit: str, done: int, seconds: float, kind: str = "video") -> Job:
        return Job(
            id="j",
            kind=kind,
            type="transcode",
            owner="local",
            priority=Priority.INTERACTIVE,
            parameters={},
            spec={},
            size=1,
            state=JobState.RUNNING,
            epoch=1,
            attempt=1,
            progress=Progress(done, 1000, unit, "encoding"),
            revision=1,
            created=now,
            updated=now,
            plan=plan,
            started=now,
            last_progress=now + timedelta(seconds=seconds),
        )

    assert pace_in_words(job("frames", 500, 10)) == "50 frames/s, 2x"
    assert pace_in_words(job("ms of media", 30_000, 10)) == "3x"
    for nothing in (
        job("frames", 0, 10),
        job("frames", 9, 0.1),
        job("files", 1, 9),
        job("rows", 9, 9, "report"),
    ):
        assert pace_in_words(nothing) is None
