"""A real server with real workers: what becomes of ffmpeg when a job, a worker or the server ends.

The rows with kills are slow; `python -m tests.pipelines.test_video_ends` cancels 20 times at random moments
and kills worker and server ten times each, and prints how long ffmpeg lived on.
"""

from __future__ import annotations

import random
import signal
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

from service.client import Hauler, JobCanceled, JobHandle, connect
from tests.live import Server, server
from tests.pipelines.filming import clip, decoded, looked_at


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return long_film(tmp_path_factory.mktemp("film"))


@pytest.fixture
def live() -> Iterator[Server]:
    with server(2) as running:
        running.wait_for_workers(2)
        yield running


def long_film(folder: Path, seconds: int = 40) -> Path:
    return clip(folder / "film.mp4", seconds=seconds, size="640x360", rate="25", g="50")


def encoders(home: Path) -> list[psutil.Process]:
    """Every process of ffmpeg, its launcher or its fence that works for a service."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if str(home) in " ".join(words) and any("ffmpeg" in word or "bwrap" in word for word in words):
            found.append(process)
    return found


def encoding(home: Path, job: JobHandle, patience: float = 60.0) -> None:
    """Until ffmpeg is at work."""
    deadline = time.monotonic() + patience
    while not (encoders(home) and job.status().done):
        assert time.monotonic() < deadline and not job.status().ended, job.status()
        time.sleep(0.02)


def outlived(home: Path, patience: float = 20.0) -> float:
    """Seconds until no process of ffmpeg is left."""
    began = time.monotonic()
    while encoders(home):
        assert time.monotonic() - began < patience, "ffmpeg lives on"
        time.sleep(0.01)
    return time.monotonic() - began


def left(home: Path) -> list[str]:
    """Files of the store that are no upload."""
    store = home / "store"
    found = [str(each.relative_to(store)) for each in store.rglob("*") if each.is_file()]
    return [each for each in found if not each.startswith("uploads/")]


def slow_job(hauler: Hauler, film: Path, chunks: int = 1) -> JobHandle:
    return hauler.video(film, "transcode", codec="h265", crf=18, chunks=chunks)


def test_a_cancel_ends_ffmpeg_and_leaves_nothing(live: Server, film: Path) -> None:
    with connect(live.url) as hauler:
        for chunks in (1, 6):
            job = slow_job(hauler, film, chunks)
            encoding(live.home, job)
            job.cancel()
            assert outlived(live.home) < 10
            with pytest.raises(JobCanceled):
                job.result(30)
        deadline = time.monotonic() + 20
        while left(live.home) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert left(live.home) == []


@pytest.mark.slow
def test_two_killed_workers_cost_their_chunks_alone(live: Server, film: Path) -> None:
    with connect(live.url) as hauler:
        job = hauler.video(film, "transcode", codec="h264", chunks=10)
        for number in range(2):
            kept = live.home / "store" / "kept"
            wait_for(lambda kept=kept, least=2 + 2 * number: len(list(kept.rglob("v*.mp4"))) >= least)
            random.choice(live.workers()).send_signal(signal.SIGKILL)
        times = {path: path.stat().st_mtime_ns for path in (live.home / "store" / "kept").rglob("v*.mp4")}
        path = job.download(live.home / "made.mp4", 200)
        assert len(times) >= 4
        media = looked_at(path)
        assert media.video is not None and media.video.frames == 1000 == len(decoded(path))
        assert not encoders(live.home)
        wait_for(lambda: not any("kept" in each or "scratch" in each for each in left(live.home)))


@pytest.mark.slow
def test_a_killed_server_takes_ffmpeg_along_and_the_job_goes_on(film: Path, tmp_path: Path) -> None:
    with server(2, home=tmp_path) as first:
        with connect(first.url) as hauler:
            job = hauler.video(film, "transcode", codec="h264", chunks=6)
            encoding(tmp_path, job)
        for process in [*psutil.Process(first.process.pid).children(recursive=False), first.process]:
            process.send_signal(signal.SIGKILL)
        assert outlived(tmp_path) < 5
    with server(2, home=tmp_path) as second, connect(second.url) as hauler:
        path = hauler.job(job.id).download(tmp_path / "made.mp4", 200)
        media = looked_at(path)
        assert media.video is not None and media.video.frames == 1000


def wait_for(true: object, patience: float = 120.0) -> None:
    assert callable(true)
    deadline = time.monotonic() + patience
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def measure(cancels: int, kills: int) -> None:
    """Cancels and kills at random moments; how long ffmpeg lived on, in seconds."""
    chance = random.Random(7)
    with TemporaryDirectory() as folder:
        film = long_film(Path(folder), 60)
        with server(2) as live, connect(live.url) as hauler:
            live.wait_for_workers(2)
            told("cancel", [_canceled(live, hauler, film, chance) for _ in range(cancels)])
            told("kill -9 of the worker", [_killed(live, hauler, film, chance) for _ in range(kills)])
        told("kill -9 of the server", [_server_killed(film, chance) for _ in range(kills)])


def _canceled(live: Server, hauler: Hauler, film: Path, chance: random.Random) -> float:
    job = slow_job(hauler, film, chance.choice((1, 6)))
    encoding(live.home, job)
    time.sleep(chance.uniform(0, 2))
    began = time.monotonic()
    job.cancel()
    outlived(live.home)
    took = time.monotonic() - began
    job.wait(30)
    return took


def _killed(live: Server, hauler: Hauler, film: Path, chance: random.Random) -> float:
    job = slow_job(hauler, film)
    encoding(live.home, job)
    time.sleep(chance.uniform(0, 2))
    mine = {each.pid for each in encoders(live.home)}
    for worker in live.workers():
        if mine & {each.pid for each in worker.children(recursive=True)}:
            began = time.monotonic()
            worker.send_signal(signal.SIGKILL)
            break
    while any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in mine):
        time.sleep(0.005)
    took = time.monotonic() - began
    job.cancel()
    job.wait(60)
    live.wait_for_workers(2)
    return took


def _server_killed(film: Path, chance: random.Random) -> float:
    with server(2) as live, connect(live.url) as hauler:
        job = slow_job(hauler, film)
        encoding(live.home, job)
        time.sleep(chance.uniform(0, 2))
        children = psutil.Process(live.process.pid).children(recursive=False)
        began = time.monotonic()
        for process in [*children, psutil.Process(live.process.pid)]:
            process.send_signal(signal.SIGKILL)
        outlived(live.home)
        return time.monotonic() - began


def told(what: str, seconds: list[float]) -> None:
    if seconds:
        sys.stdout.write(
            f"{what}, {len(seconds)} times: ffmpeg gone after {statistics.median(seconds):.2f} s (median), "
            f"{max(seconds):.2f} s (worst)\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    measure(*(int(each) for each in sys.argv[1:3] or ("20", "10")))
