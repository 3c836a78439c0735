"""Video jobs beside bare ffmpeg, with the same arguments, in one run: `make bench-video`.

    overhead    a clip of 5 s as a job over HTTP, and as the one command the job runs
    chunks      one encode in chunks over two workers, in one piece, and as the bare command; wall, processor
                time, bytes, and how far both are from the source and from each other
    scaling     an encode in chunks of one thread each, on one worker and on two
    cancel      20 cancels at random moments, 10 kills of the worker and of the server each

Medians with the smallest and largest value; the runs of one comparison take turns. The load of the machine is
printed beside them: ratios of a busy machine are rough.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT)]

from pipelines.video.operations import OPERATIONS  # noqa: E402
from pipelines.video.tool import find  # noqa: E402
from service.client import Hauler, connect  # noqa: E402
from tests.live import Server, server  # noqa: E402
from tests.pipelines.filming import clip, decoded, looked_at  # noqa: E402
from tests.pipelines.test_video_ends import measure  # noqa: E402

SAMPLES = ROOT.parent / "shared" / "samples" / "video"
CODECS = {"h264": "mp4", "h265": "mp4", "av1": "mp4", "vp9": "webm"}


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds by the clock, and of processor time of all processes."""

    wall: float
    cpu: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="*", default=["overhead", "chunks", "scaling", "cancel"])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--codecs", nargs="*", default=list(CODECS))
    parser.add_argument(
        "--files", nargs="*", default=["bbb_480p_30s.mp4"], help="Of the samples, for chunks."
    )
    parser.add_argument("--height", type=int, help="Of the result, for chunks; as it is without.")
    given = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, ffmpeg {find().version}", flush=True)
    with TemporaryDirectory() as folder:
        if "overhead" in given.what:
            overhead(Path(folder), given.runs)
        if "chunks" in given.what:
            chunks(Path(folder), given)
        if "scaling" in given.what:
            scaling(Path(folder), given.runs)
    if "cancel" in given.what:
        measure(20, 10)


def overhead(folder: Path, runs: int) -> None:
    film = clip(folder / "short.mp4", seconds=5, size="640x360")
    with unfenced(), server(2) as live, connect(live.url) as hauler:
        live.wait_for_workers(2)
        job(live, hauler, film, folder)  # the first one imports what it needs
        seen = turns(
            runs,
            bare=lambda: bare(film, folder),
            job=lambda: job(live, hauler, film, folder),
        )
    pairs = list(zip(seen["job"], seen["bare"], strict=True))
    wall, cpu = [one.wall - other.wall for one, other in pairs], [one.cpu - other.cpu for one, other in pairs]
    print(
        f"overhead: a job of a 5 s clip takes {spread(wall)} s more than bare ffmpeg, "
        f"and {spread(cpu)} s more processor time {load()}",
        flush=True,
    )


def chunks(folder: Path, given: argparse.Namespace) -> None:
    films = [SAMPLES / name for name in given.files if (SAMPLES / name).exists()]
    films = films or [clip(folder / "half-a-minute.mp4", seconds=30, size="640x360", g="50")]
    with unfenced(), server(2) as live, connect(live.url) as hauler:
        live.wait_for_workers(2)
        for film in films:
            for codec in given.codecs:
                asked: dict[str, Any] = {"codec": codec, "container": CODECS[codec]}
                asked |= {"height": given.height} if given.height else {}
                seen = turns(
                    given.runs,
                    bare=lambda film=film, asked=asked: bare(film, folder, **asked),
                    single=lambda film=film, asked=asked: job(live, hauler, film, folder, chunks=1, **asked),
                    chunked=lambda film=film, asked=asked: job(live, hauler, film, folder, chunks=4, **asked),
                )
                print(compared(film, codec, folder, seen), flush=True)


def compared(film: Path, codec: str, folder: Path, seen: dict[str, list[Took]]) -> str:
    ending = CODECS[codec]
    whole, joined = folder / f"chunks-1.{ending}", folder / f"chunks-4.{ending}"
    frames = [len(decoded(each)) for each in (whole, joined)]
    size = joined.stat().st_size / whole.stat().st_size
    offset = [delay(each) for each in (whole, joined)]
    (psnr, ssim), (psnr_joined, ssim_joined) = (quality(each, film) for each in (whole, joined))
    lines = [
        f"{film.name} {codec}: frames {frames[0]} and {frames[1]}, bytes {size:.3f}, sound moved "
        f"{(offset[1] - offset[0]) * 1000:.2f} ms {load()}",
        f"wall of bare: single {ratio(seen, 'single')}, chunked {ratio(seen, 'chunked')}",
        f"processor time of bare: single {ratio(seen, 'single', 'cpu')}, "
        f"chunked {ratio(seen, 'chunked', 'cpu')}",
        f"to the source: PSNR {psnr:.2f} and {psnr_joined:.2f} dB, SSIM {ssim:.4f} and {ssim_joined:.4f}; "
        f"to each other {quality(joined, whole)[0]:.1f} dB",
    ]
    return "\n    ".join(lines)


def scaling(folder: Path, runs: int) -> None:
    film = clip(folder / "three-minutes.mp4", seconds=180, size="960x540", g="50", sound=False)
    asked: dict[str, Any] = {"codec": "h264", "threads": 1, "chunks": 12}
    with server(1) as alone, server(2) as pair, connect(alone.url) as one, connect(pair.url) as two:
        alone.wait_for_workers(1)
        pair.wait_for_workers(2)
        seen = turns(
            max(1, min(runs, 3)),
            one=lambda: job(alone, one, film, folder, **asked),
            two=lambda: job(pair, two, film, folder, **asked),
        )
    gain = [first.wall / second.wall for first, second in zip(seen["one"], seen["two"], strict=True)]
    walls = [spread([each.wall for each in seen[name]]) for name in ("one", "two")]
    print(
        f"scaling: two workers are {spread(gain)} times as quick as one; one took {walls[0]} s, "
        f"two {walls[1]} s {load()}",
        flush=True,
    )


@contextmanager
def unfenced() -> Iterator[None]:
    """Servers started meanwhile find no bubblewrap: processor time spent behind it is not counted as ours."""
    path = os.environ["PATH"]
    os.environ["PATH"] = str(Path(sys.executable).parent)
    try:
        yield
    finally:
        os.environ["PATH"] = path


def turns(runs: int, **ways: Callable[[], Took]) -> dict[str, list[Took]]:
    """Every way as often, by turns."""
    seen: dict[str, list[Took]] = {name: [] for name in ways}
    for _ in range(runs):
        for name, way in ways.items():
            seen[name].append(way())
    return seen


def bare(film: Path, folder: Path, **asked: Any) -> Took:
    """The command that the job runs, without us."""
    operation = OPERATIONS["transcode"]
    work = operation.work(operation.Parameters.model_validate(asked), [looked_at(film)])
    (folder / "out").mkdir(exist_ok=True)
    command = [find().path, "-nostdin", "-v", "error", "-y", *work.steps[0].arguments]
    before, began = os.times(), time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, env={**os.environ, "SVT_LOG": "1"})
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Took(time.perf_counter() - began, cpu)


def job(live: Server, hauler: Hauler, film: Path, folder: Path, **asked: Any) -> Took:
    """From the submission, upload included, to the moment the result is there."""
    before, began = used(live), time.perf_counter()
    handle = hauler.video(film, "transcode", asked)
    handle.wait(3600)
    handle.check()
    wall, cpu = time.perf_counter() - began, used(live) - before
    ending = asked.get("container", "mp4")
    handle.download(folder / f"chunks-{asked.get('chunks', 0)}.{ending}")
    return Took(wall, cpu)


def used(live: Server) -> float:
    """Processor seconds of the server, its workers and what they have started."""
    root = psutil.Process(live.process.pid)
    total = 0.0
    for process in [root, *root.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def quality(one: Path, other: Path) -> tuple[float, float]:
    """PSNR (dB) and SSIM of the pictures, frame by frame."""
    alike = "format=yuv420p,settb=AVTB,setpts=N*40000,split"
    video = looked_at(one).video
    assert video is not None
    graph = (
        f"[0:v:0]{alike}[a][b];[1:v:0]scale={video.width}:{video.height},setsar=1,{alike}[c][d];"
        "[a][c]psnr;[b][d]ssim"
    )
    call = [find().path, "-nostdin", "-hide_banner", "-i", str(one), "-i", f"file:{other}"]
    call += ["-filter_complex", graph, "-f", "null", "-"]
    said = subprocess.run(call, check=True, capture_output=True, text=True).stderr
    psnr, ssim = re.findall(r"average:(inf|[\d.]+)", said), re.findall(r"All:([\d.]+)", said)
    return float(psnr[-1]), float(ssim[-1])


def delay(path: Path) -> float:
    """Seconds from the first picture to the first sound."""
    media = looked_at(path)
    if media.video is None or not media.audio:
        return 0.0
    return media.audio[0].start - media.video.seconds_at(media.video.first)


def ratio(seen: dict[str, list[Took]], name: str, what: str = "wall") -> str:
    pairs = zip(seen[name], seen["bare"], strict=True)
    return spread([getattr(one, what) / getattr(other, what) for one, other in pairs])


def spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def load() -> str:
    return f"[load {os.getloadavg()[0]:.1f}]"


if __name__ == "__main__":
    main()
