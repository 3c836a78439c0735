"""The process of ffmpeg: it ends with its job, its worker and its parent, and stands still for nobody."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pipelines.errors import Canceled, PipelineError
from pipelines.run import Context
from pipelines.video import ffmpeg, pipeline, sandbox, tool
from pipelines.video.tool import NoTool, find
from tests.pipelines.filming import Studio, clip

ROOT = Path(__file__).parents[2]
ENDLESS = ["-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25", "-c:v", "libx264", "-f", "null", "-"]


def at_work(folder: Path) -> list[psutil.Process]:
    """Processes that work in a folder, or name it."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(folder) in " ".join(process.cmdline()) or process.cwd().startswith(str(folder)):
                found.append(process)
        except psutil.Error:
            continue
    return [each for each in found if each.pid != os.getpid()]


def until(true: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.02)
    return False


@pytest.fixture(params=["fenced", "bare"], autouse=True)
def fence(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With bubblewrap where it works, and without."""
    if request.param == "bare":
        monkeypatch.setattr(sandbox, "find", lambda: None)
    elif sandbox.find() is None:
        pytest.skip("no bubblewrap here")


def test_a_cancel_ends_the_process_and_leaves_no_file(tmp_path: Path) -> None:
    film = clip(tmp_path / "film.mp4", seconds=20, size="320x240", rate="50")
    studio = Studio(tmp_path / "store")
    plan = studio.plan(studio.spec("transcode", film, codec="h265"))
    folder = tmp_path / "store" / "scratch" / "job" / "1"
    seen = list[int]()

    def canceled() -> bool:
        seen[:] = [each.pid for each in at_work(folder)] or seen
        return bool(seen)

    context = Context("job", 1, str(studio.root), 0, canceled=canceled)
    with pytest.raises(Canceled):
        pipeline.run_part(context, plan.spec, plan.parts[0].payload)
    assert seen and until(lambda: not any(psutil.pid_exists(pid) for pid in seen), 2.0)
    assert studio.files() == [] and not at_work(folder)


def test_a_process_that_stands_still_is_stopped(tmp_path: Path) -> None:
    still = tmp_path / "still"
    still.write_text("#!/bin/sh\necho frame=7\nsleep 60\n")
    still.chmod(still.stat().st_mode | stat.S_IXUSR)
    with pytest.raises(ffmpeg.TookTooLong, match="no progress for 1 seconds"):
        ffmpeg.run(str(still), [], tmp_path, stall=1.0)
    assert not at_work(tmp_path)


def test_a_killed_parent_takes_it_along(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from pipelines.video import ffmpeg, sandbox; "
        "from pipelines.video.tool import find; "
        f"{'' if sandbox.find() else 'sandbox.find = lambda: None; '}"
        f"ffmpeg.run(find().path, {ENDLESS!r}, Path({str(tmp_path)!r}))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    try:
        assert until(lambda: any("null" in each.cmdline() for each in at_work(tmp_path)))
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert until(lambda: not at_work(tmp_path), 2.0)


def test_it_has_no_input_no_core_and_bounded_memory(tmp_path: Path) -> None:
    asks = tmp_path / "asks"
    asks.write_text("#!/bin/sh\nulimit -v >&2; ulimit -c >&2; ulimit -n >&2; cat >&2; env >&2; exit 3\n")
    asks.chmod(asks.stat().st_mode | stat.S_IXUSR)
    said = list[str]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            ffmpeg, "_failure", lambda code, watch, folder: said.append(watch.text) or PipelineError("x")
        )
        patch.setenv("SECRET", "of the worker")
        with pytest.raises(PipelineError):
            ffmpeg.run(str(asks), [], tmp_path)
    lines = said[0].splitlines()
    memory = (8 << 20) + (os.cpu_count() or 1) * (256 << 10)
    assert lines[:3] == [str(memory), "0", "256"]
    assert not any("SECRET" in line for line in lines)


def test_the_configured_program_wins_and_old_ones_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "ffmpeg"
    old.write_text("#!/bin/sh\necho ffmpeg version 4.4.2-0ubuntu Copyright\n")
    old.chmod(old.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    tool.find.cache_clear()
    try:
        assert find().origin == "imageio-ffmpeg", "4.4 has no -fps_mode"
        assert (find(str(old)).origin, find(str(old)).version) == ("configured", "4.4.2-0ubuntu")
        assert find(str(old)).codecs == ()
        with pytest.raises(NoTool, match="none that runs"):
            find(str(tmp_path / "nothing"))
        old.write_text("#!/bin/sh\necho ffmpeg version 7.1 Copyright\n")
        tool.find.cache_clear()
        assert (find().origin, find().version) == ("PATH", "7.1")
    finally:
        tool.find.cache_clear()
