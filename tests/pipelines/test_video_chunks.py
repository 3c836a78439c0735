"""Chunks: the same pictures and times as one run, on every kind of source; kept; only where it pays."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.plan import Part
from pipelines.video import chunked, ffmpeg, media, picture
from pipelines.video.chunks import cuts
from pipelines.video.cost import Costs, chunks_for
from pipelines.video.encode import video_options
from pipelines.video.media import Media, Times, Video
from pipelines.video.work import Chain
from tests.pipelines.filming import Studio, clip, decoded, looked_at
from tests.pipelines.filming import ffmpeg as make

SLOW_CODECS = [("h265", "mp4"), ("av1", "mp4"), ("h264", "mkv")]
UNEVEN = "setpts='(N+floor(N/7)*3)/25/TB'"


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    return Studio(tmp_path / "store", slots=2)


def source(folder: Path, kind: str) -> Path:
    """A clip of 50 frames (or so) that is hard to cut in one way or another."""
    name = folder / f"film.{kind.rpartition(' ')[2]}"
    options: dict[str, dict[str, str]] = {
        "closed gops in mp4": {"g": "10"},
        "open gops in mp4": {"x264-params": "open-gop=1:keyint=12:bframes=3:scenecut=0"},
        "open gops in ts": {"x264-params": "open-gop=1:keyint=12:bframes=3:scenecut=0"},
        "open gops in mpg": {"c:v": "mpeg2video", "g": "9", "bf": "2", "c:a": "mp2"},
        "one keyframe in mkv": {"g": "999", "bf": "3"},
        "uneven times in mkv": {"vf": UNEVEN, "fps_mode": "passthrough", "g": "11"},
        "every frame alone in avi": {"c:v": "mjpeg", "pix_fmt": "yuvj420p", "c:a": "pcm_s16le"},
        "hidden frames in webm": {"c:v": "libvpx-vp9", "g": "20", "deadline": "realtime", "c:a": "libopus"},
        "late start in mp4": {"output_ts_offset": "1.7", "g": "10"},
    }
    if kind == "edit list in mov":
        whole = clip(folder / "whole.mp4", seconds=3, g="25", bf="2")
        make("-ss", "0.52", "-i", str(whole), "-c", "copy", str(name))
        return name
    chosen = {name: each for name, each in options[kind].items() if name != "preset"}
    return clip(name, seconds=2, **chosen)


QUICK = ["open gops in ts", "uneven times in mkv"]
KINDS = [
    "closed gops in mp4",
    "open gops in mp4",
    "open gops in mpg",
    "one keyframe in mkv",
    "every frame alone in avi",
    "hidden frames in webm",
    "late start in mp4",
    "edit list in mov",
]


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        *((kind, 3) for kind in QUICK),
        *(pytest.param(kind, wanted, marks=pytest.mark.slow) for kind in KINDS for wanted in (2, 5)),
    ],
)
def test_chunks_are_the_same_pictures_at_the_same_times(
    studio: Studio, tmp_path: Path, kind: str, wanted: int
) -> None:
    """Without loss (crf 0), so every picture can be compared."""
    film = source(tmp_path, kind)
    asked: dict[str, Any] = {"codec": "h264", "crf": 0, "container": "mp4"}
    _, path = studio.run("transcode", film, **asked, chunks=1)
    whole, pictures = looked_at(path), decoded(path)
    assert whole.video is not None and len(pictures) == whole.video.frames >= 48
    plan = studio.plan(studio.spec("transcode", film, **asked, chunks=wanted))
    assert len(plan.parts) == wanted + bool(whole.audio) and plan.total == len(pictures)
    artifact = studio.ended(plan, studio.parts(plan))
    path = Path(studio.store.path(artifact.path))
    joined = looked_at(path)
    assert decoded(path) == pictures
    assert joined.video is not None
    for one, other in ((whole.video.first, joined.video.first), (whole.video.last, joined.video.last)):
        assert abs(float(one * whole.video.base - other * joined.video.base)) < 0.0011
    for one_sound, other_sound in zip(whole.audio, joined.audio, strict=True):
        assert abs(one_sound.span - other_sound.span) < 0.03
    assert studio.files() == ["results/job/1/video.mp4"]


@pytest.mark.parametrize(
    ("codec", "container"),
    [("vp9", "webm"), *(pytest.param(*each, marks=pytest.mark.slow) for each in SLOW_CODECS)],
)
def test_chunks_of_every_codec_join(studio: Studio, tmp_path: Path, codec: str, container: str) -> None:
    film = clip(tmp_path / "film.mp4", seconds=1.2)
    artifact, path = studio.run("transcode", film, codec=codec, container=container, chunks=3)
    assert artifact.media is not None and artifact.media["frames"] == 30 == len(decoded(path))
    assert len(looked_at(path).audio) == 1


@given(
    st.lists(st.integers(1, 400), min_size=2, max_size=300),
    st.sets(st.integers(0, 299), max_size=40),
    st.integers(2, 40),
)
def test_cuts_share_out_all_frames(steps: list[int], keys: set[int], wanted: int) -> None:
    pts = [1000 + sum(steps[:n]) for n in range(len(steps))]
    chosen = sorted({pts[0], *(pts[n] for n in keys if n < len(pts))})
    times = Times(tuple(pts), tuple(chosen), pts[-1] + 10, True, base=Fraction(1, 1000))
    found = cuts(film_of(times), times, wanted, 0.0)
    assert sum(cut.frames for cut in found) == len(pts)
    assert found[0].start == pts[0] and found[-1].stop is None and found[0].enter is None
    for before, after in pairwise(found):
        assert before.stop == after.start > before.start and before.frames > 0


def film_of(times: Times, width: int = 1280, height: int = 720) -> Media:
    pts, base = times.pts, times.base
    span = float((times.end - pts[0]) * base)
    size, square = (width, height), (1, 1)
    video = Video(
        index=0,
        codec="h264",
        width=width,
        height=height,
        stored=size,
        sar=square,
        rotation=0,
        pixels="yuv420p",
        hdr=None,
        base=base,
        rate=len(pts) / span,
        frames=len(pts),
        first=pts[0],
        last=pts[-1],
        end=times.end,
        keyframes=len(times.keys),
        variable=False,
    )
    return Media("film", "/film", "mov", float(pts[0] * base), None, video)


def film(seconds: int, width: int = 1280, height: int = 720, every: int = 50) -> tuple[Media, Times]:
    pts = tuple(range(0, seconds * 25))
    times = Times(pts, pts[::every], len(pts), True, base=Fraction(1, 25))
    return film_of(times, width, height), times


def chain_of(found: Media, codec: str = "h264") -> Chain:
    assert found.video is not None
    pixels = found.video.width * found.video.height
    return Chain(
        picture.scaled((2, 2)), video_options(codec, None, found.video), None, {}, "mp4", codec, pixels
    )


@pytest.mark.parametrize(
    ("seconds", "codec", "slots", "every", "least"),
    [
        (5, "h264", 2, 50, 0),  # short
        (59, "vp9", 4, 50, 0),  # short, however slow
        (600, "h264", 1, 50, 0),  # nobody to share with
        (600, "h264", 2, 50, 2),
        (600, "h264", 8, 50, 16),
        (600, "h265", 2, 50, 4),
        (600, "h264", 4, 14_000, 0),  # nearly all would be decoded in vain, again and again
    ],
)
def test_it_is_cut_only_where_that_pays(seconds: int, codec: str, slots: int, every: int, least: int) -> None:
    found, times = film(seconds, every=every)
    made = chunks_for(chain_of(found, codec), found, times, slots=slots, cores=2)
    assert len(made) >= least and (not made) == (least == 0)
    assert all(cut.frames >= Costs().chunk_video / 2 * 25 for cut in made)


def test_small_pictures_of_a_quick_codec_are_left_whole() -> None:
    found, times = film(120, 320, 180)
    assert chunks_for(chain_of(found), found, times, slots=2, cores=2) == ()


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The output of every run of ffmpeg from now on."""
    runs, real = list[str](), ffmpeg.run

    def run(program: str, arguments: Any, *rest: Any, **more: Any) -> ffmpeg.Ended:
        runs.append(str(arguments[-1]).rpartition("/")[2])
        return real(program, arguments, *rest, **more)

    monkeypatch.setattr(ffmpeg, "run", run)
    return runs


def test_finished_chunks_outlive_the_run_that_made_them(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = clip(tmp_path / "film.mp4", seconds=2)
    runs = counted(monkeypatch)
    spec = studio.spec("transcode", film, chunks=4)
    studio.parts(studio.plan(spec), [0, 1, 3])
    assert runs == ["sound.mp4", "v00000.mp4", "v00002.mp4"]
    runs.clear()
    again = Studio(studio.root, slots=1, epoch=2)  # another run of the job, on a cluster of another size
    plan = again.plan(spec)
    artifact = again.ended(plan, again.parts(plan))
    assert runs == ["v00001.mp4", "v00003.mp4", "video.mp4"]
    assert artifact.media is not None and artifact.media["frames"] == 50
    assert again.files() == ["results/job/2/video.mp4"]


def test_a_kept_chunk_that_went_or_changed_means_one_run_for_all(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = clip(tmp_path / "film.mp4", seconds=2)
    plan = studio.plan(studio.spec("transcode", film, chunks=3))
    partials = studio.parts(plan)
    runs = counted(monkeypatch)
    kept = Path(studio.store.path(partials[2]["key"]))
    data = kept.read_bytes()
    kept.write_bytes(data[:-9] + bytes(9))
    assert studio.ended(plan, partials).media is not None
    kept.parent.mkdir(parents=True)  # publishing has taken all of it away
    artifact = studio.ended(plan, partials)
    assert runs == ["video.mp4", "video.mp4"]
    assert artifact.media is not None and artifact.media["frames"] == 50


def test_a_chunk_that_lacks_frames_is_read_from_the_first_byte(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = clip(tmp_path / "film.mp4", seconds=2, g="10")
    plan = studio.plan(studio.spec("transcode", film, chunks=2, audio="none"))
    assert plan.spec["chunks"][1]["enter"] > 0
    plan.spec["chunks"][1]["enter"] = 1.9  # as if the file had been entered behind the cut
    runs = counted(monkeypatch)
    partials = studio.parts(plan)
    assert runs == ["v00000.mp4", "v00001.mp4", "v00001.mp4"]
    assert [each["frames"] for each in partials] == [each["frames"] for each in plan.spec["chunks"]]


def test_parts_count_frames_and_the_sound_counts_none(studio: Studio, tmp_path: Path) -> None:
    film = clip(tmp_path / "film.mp4", seconds=2)
    plan = studio.plan(studio.spec("transcode", film, chunks=2))
    assert plan.parts[0] == Part({"sound": True}, 0)
    assert (plan.unit, plan.total, [part.weight for part in plan.parts]) == ("frames", 50, [0, 25, 25])
    assert media.from_json(plan.spec["media"][0], "x").video is not None
    assert chunked.piece.__doc__
