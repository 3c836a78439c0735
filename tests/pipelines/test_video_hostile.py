"""What hostile and broken files do: refused in one sentence, or harmless; and nothing else is ever opened."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipelines.errors import BadInput, InvalidRequest
from pipelines.video import ffmpeg as runner
from pipelines.video import sandbox
from pipelines.video.sniff import input_options, kind_of
from pipelines.video.tool import find
from tests.pipelines.filming import Studio, clip, decoded, ffmpeg

OTHERS = ("matroska", "mpegts", "avi", "ogg", "flv")
_OPENED = 0x20  # IN_OPEN of inotify


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    return Studio(tmp_path / "store")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip(tmp_path_factory.mktemp("film") / "film.mp4", seconds=1, movflags="+faststart")


@contextmanager
def watched(path: Path) -> Iterator[list[int]]:
    """How often a file was opened meanwhile, by anybody: filled in at the end."""
    libc, count = ctypes.CDLL(None, use_errno=True), list[int]()
    fd = libc.inotify_init1(os.O_NONBLOCK)
    assert fd >= 0 and libc.inotify_add_watch(fd, os.fsencode(path), _OPENED) >= 0
    try:
        yield count
        try:
            data = os.read(fd, 1 << 16)
        except BlockingIOError:
            data = b""
        count.extend([1] * (len(data) // struct.calcsize("iIII")))
    finally:
        os.close(fd)


def hostile(folder: Path, canary: Path) -> list[Path]:
    """Files that name the canary, in every language in which ffmpeg might obey them."""
    folder.mkdir(exist_ok=True)
    mpd = (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT2S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period>'
        '<AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1000" codecs="avc1.42c00d" '
        f'width="96" height="64"><BaseURL>file://{canary}</BaseURL>'
        "</Representation></AdaptationSet></Period></MPD>"
    )
    texts = {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://{canary}\n#EXT-X-ENDLIST\n",
        "hls-relative": f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n../{canary.name}\n#EXT-X-ENDLIST\n",
        "hls-concat": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nconcat:{canary}|{canary}\n",
        "ffconcat": f"ffconcat version 1.0\nfile {canary}\n",
        "ffconcat-relative": f"ffconcat version 1.0\nfile ../{canary.name}\n",
        "dash": mpd,
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
        "avisynth": f'AviSource("{canary}")\n',
        "svg": f'<svg xmlns="http://www.w3.org/2000/svg"><image href="file://{canary}"/></svg>',
        "text": "root:x:0:0:root\n" * 50,
        "reference": f"[Reference]\nRef1=file://{canary}\n",
    }
    for name, text in texts.items():
        (folder / f"{name}.mp4").write_text(text)
    return sorted(folder.iterdir())


def test_a_list_of_other_files_is_refused_before_anything_reads_it(studio: Studio, tmp_path: Path) -> None:
    canary = clip(tmp_path / "canary.mp4", seconds=0.2)
    paths = hostile(tmp_path / "hostile", canary)
    with watched(canary) as opened:
        for path in paths:
            assert kind_of(path.read_bytes()[:4096]) is None, path
            for operation in ("transcode", "probe", "thumbnail"):
                with pytest.raises(InvalidRequest, match="must be a video"):
                    studio.spec(operation, path)
    assert opened == []


@pytest.mark.parametrize(
    ("demuxer", "fenced"),
    [
        ("mov", True),
        ("mov", False),
        *(pytest.param(each, False, marks=pytest.mark.slow) for each in OTHERS),
    ],
)
def test_even_past_the_sniffing_ffmpeg_opens_nothing_that_a_file_names(
    tmp_path: Path, demuxer: str, fenced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not fenced:
        monkeypatch.setattr(sandbox, "find", lambda: None)
    canary = clip(tmp_path / "canary.mp4", seconds=0.2)
    folder = tmp_path / "job"
    folder.mkdir()
    options = [part for name, value in input_options(demuxer).items() for part in (f"-{name}", str(value))]
    with watched(canary) as opened:
        for path in hostile(tmp_path / "hostile", canary):
            call = [*options, "-i", f"file:{path}", "-f", "null", "-"]
            with pytest.raises(BadInput):
                runner.run(find().path, call, folder, sources=[str(path)])
    assert opened == []


def test_the_watch_sees_what_an_unfenced_ffmpeg_opens(tmp_path: Path) -> None:
    canary = clip(tmp_path / "canary.mp4", seconds=0.2)
    with watched(canary) as opened:
        for path in hostile(tmp_path / "hostile", canary):
            if path.stem == "ffconcat":
                ffmpeg("-f", "concat", "-safe", "0", "-i", str(path), "-f", "null", "-")
    assert opened


def test_subtitles_are_only_ever_text(studio: Studio, film: Path, tmp_path: Path) -> None:
    canary = clip(tmp_path / "canary.mp4", seconds=0.2)
    tricky = tmp_path / "tricky.srt"
    tricky.write_text(f"1\n00:00:00,000 --> 00:00:01,000\n#EXTM3U\nfile://{canary}\n{{\\an8}}<b>x</b>\n")
    empty = tmp_path / "empty.vtt"
    empty.write_text("WEBVTT\n\nNOTE nothing here\n")
    with watched(canary) as opened:
        studio.run("subtitles", film, tricky)
        with pytest.raises(BadInput, match="no subtitle in it"):
            studio.run("subtitles", film, empty)
        for path in hostile(tmp_path / "hostile", canary):
            with pytest.raises(InvalidRequest, match="must be subtitles"):
                studio.spec("subtitles", film, path)
    assert opened == []


def test_a_name_is_only_a_name(studio: Studio, film: Path, tmp_path: Path) -> None:
    for name in ("-i.mp4", "concat:a:b.mp4", "x%03d.mp4", "new\nline 'q\" $(id) [0:v];.mp4", "日本.mp4"):
        path = tmp_path / name
        path.write_bytes(film.read_bytes())
        artifact, made = studio.run("trim", path, end=0.2)
        assert len(decoded(made)) == 5
        assert made.name == "video.mp4" and artifact.name.endswith("-trim.mp4")


def test_broken_files_are_refused_in_one_sentence(studio: Studio, film: Path, tmp_path: Path) -> None:
    data = film.read_bytes()
    broken = {
        "header alone": data[:48],
        "no index": b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + bytes(4000),
        "flash without streams": b"FLV\x01\x05\0\0\0\x09\0\0\0\0",
        "matroska alone": b"\x1a\x45\xdf\xa3" + bytes(300),
        "noise": b"OggS" + bytes(range(256)) * 20,
    }
    for name, content in broken.items():
        path = tmp_path / f"{name}.mp4"
        path.write_bytes(content)
        for operation in ("transcode", "probe") if name == "noise" else ("transcode",):
            with pytest.raises(BadInput) as refused:
                studio.run(operation, path)
            assert f"'{name}.mp4'" in refused.value.detail and refused.value.detail.count("\n") == 0
    (tmp_path / "nothing.mp4").write_bytes(b"")
    with pytest.raises(InvalidRequest, match="is empty"):
        studio.spec("transcode", tmp_path / "nothing.mp4")
    assert studio.files() == []


def test_a_video_that_was_cut_off_is_not_taken_for_whole(studio: Studio, film: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(film.read_bytes()[: film.stat().st_size * 2 // 3])
    with pytest.raises(BadInput, match=r"was cut off: \d+ of the 25 frames its index names are there"):
        studio.run("transcode", cut)
    studio.run("thumbnail", cut, at=0)
    _, path = studio.run("probe", cut)
    assert '"complete": false' in path.read_text()


def test_damage_in_the_middle_is_told_and_harms_nobody(studio: Studio, tmp_path: Path) -> None:
    film = clip(tmp_path / "film.mp4", seconds=4, size="320x240", movflags="+faststart", g="10")
    data = bytearray(film.read_bytes())
    for place in range(len(data) // 2, len(data) - 20_000, 3_001):
        data[place : place + 6] = b"\xff\x00\xff\x00\xff\x00"
    film.write_bytes(bytes(data))
    artifact, made = studio.run("transcode", film)
    assert any("errors in the source" in note for note in artifact.notes)
    assert len(decoded(made)) > 80


def test_pictures_too_large_are_refused_before_one_is_made(studio: Studio, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.mov"
    ffmpeg(
        "-f",
        "lavfi",
        "-i",
        "color=black:size=9000x9000,format=gray",
        "-frames:v",
        "1",
        "-c:v",
        "qtrle",
        str(bomb),
    )
    assert bomb.stat().st_size < 2_000_000
    with pytest.raises(BadInput, match="9000x9000, more than"):
        studio.run("thumbnail", bomb)


def test_a_result_that_grows_without_end_is_given_up(
    studio: Studio, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(runner._LIMITS, "FSIZE", 4096)
    with pytest.raises(BadInput, match="grew beyond"):
        studio.run("transcode", film, crf=0)
    assert studio.files() == []
