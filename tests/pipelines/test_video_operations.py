"""Every video operation on small clips: sizes, frames, times, sound, what is left out, what is refused."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import BadInput, InvalidRequest
from pipelines.video.operations import OPERATIONS, describe
from tests.pipelines.filming import Studio, clip, decoded, ffmpeg, looked_at


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip(tmp_path_factory.mktemp("film") / "a film.mp4", seconds=2)


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    return Studio(tmp_path / "store")


@pytest.mark.parametrize(
    ("codec", "container", "found", "sound"),
    [
        ("h264", "mp4", "h264", "aac"),
        ("h265", "mkv", "hevc", "aac"),
        ("av1", "mp4", "av1", "aac"),
        ("vp9", "webm", "vp9", "opus"),
    ],
)
def test_transcode_keeps_every_frame_in_every_codec(
    studio: Studio, film: Path, codec: str, container: str, found: str, sound: str
) -> None:
    artifact, path = studio.run("transcode", film, codec=codec, container=container)
    media = looked_at(path)
    assert media.video is not None and (media.video.codec, media.video.frames) == (found, 50)
    assert len(decoded(path)) == 50
    assert [each.codec for each in media.audio] == [sound]
    assert artifact.media is not None and artifact.media["frames"] == 50
    assert artifact.name == f"a film-transcode.{container}"
    assert studio.files() == [f"results/job/1/video.{container}"], "no scratch, nothing half-written"


def test_a_size_keeps_the_shape_and_is_even(studio: Studio, film: Path) -> None:
    for asked, size in (
        ({"width": 47}, (46, 32)),
        ({"height": 32}, (48, 32)),
        ({"width": 40, "height": 90}, (40, 26)),
    ):
        artifact, _ = studio.run("transcode", film, **asked)
        assert artifact.media is not None
        assert (artifact.media["width"], artifact.media["height"]) == size


def test_a_preset_never_enlarges_and_what_is_chosen_wins(studio: Studio, film: Path) -> None:
    artifact, _ = studio.run("transcode", film, preset="web-720p", codec="h265", audio="none")
    assert artifact.media == {
        "duration": 2.0,
        "codec": "hevc",
        "width": 96,
        "height": 64,
        "frames": 50,
        "frameRate": 25.0,
    }


def test_odd_sizes_and_pixels_that_are_not_square_come_out_even_and_square(
    studio: Studio, tmp_path: Path
) -> None:
    odd = clip(tmp_path / "odd.mkv", size="97x65", seconds=0.4, pix_fmt="yuv444p")
    wide = clip(tmp_path / "wide.mp4", seconds=0.4, vf="setsar=2/1")
    for path, size in ((odd, (96, 64)), (wide, (192, 64))):
        artifact, made = studio.run("transcode", path)
        video = looked_at(made).video
        assert video is not None and (video.width, video.height, video.sar) == (*size, (1, 1))
        assert artifact.media is not None


def test_a_turned_video_is_upright_and_its_place_is_nobodys_business(studio: Studio, tmp_path: Path) -> None:
    straight = clip(tmp_path / "straight.mp4", seconds=0.4)
    turned = tmp_path / "turned.mov"
    place = [
        "-metadata",
        "com.apple.quicktime.location.ISO6709=+48.8584+002.2945/",
        "-metadata",
        "location=+48.8584+002.2945/",
    ]
    ffmpeg(
        "-display_rotation",
        "90",
        "-i",
        str(straight),
        "-c",
        "copy",
        *place,
        "-movflags",
        "use_metadata_tags",
        str(turned),
    )
    assert b"+48.8584" in turned.read_bytes()
    source = looked_at(turned).video
    assert source is not None and source.rotation == 90 and (source.width, source.height) == (64, 96)
    for operation in ("transcode", "thumbnail", "trim"):
        more: dict[str, Any] = {"end": 0.2} if operation == "trim" else {}
        _, path = studio.run(operation, turned, **more)
        assert b"+48.8584" not in path.read_bytes()
        if operation != "thumbnail":
            video = looked_at(path).video
            assert video is not None and (video.width, video.height, video.rotation) == (64, 96, 0)


def test_frames_of_a_variable_rate_keep_their_times(studio: Studio, tmp_path: Path) -> None:
    source = tmp_path / "variable.mkv"
    uneven = "setpts='(N+floor(N/3)*2)/25/TB'"
    ffmpeg(
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=96x64:rate=25:duration=1",
        "-vf",
        uneven,
        "-fps_mode",
        "passthrough",
        str(source),
    )
    before = looked_at(source).video
    _, path = studio.run("transcode", source)
    after = looked_at(path).video
    assert before is not None and after is not None
    assert before.variable and after.variable
    assert (after.frames, round(after.seconds_at(after.last), 2)) == (
        25,
        round(before.seconds_at(before.last), 2),
    )


def test_several_sounds_and_none(studio: Studio, film: Path, tmp_path: Path) -> None:
    both = tmp_path / "both.mkv"
    ffmpeg(
        "-i",
        str(film),
        "-f",
        "lavfi",
        "-i",
        "sine=frequency=880:duration=2",
        "-map",
        "0",
        "-map",
        "1",
        "-c:v",
        "copy",
        str(both),
    )
    artifact, path = studio.run("transcode", both, audioTrack=2)
    assert len(looked_at(path).audio) == 1
    assert any("2 audio streams; number 2 was taken" in note for note in artifact.notes)
    with pytest.raises(BadInput, match="2 audio streams, so number 3 is not there"):
        studio.run("transcode", both, audioTrack=3)
    silent = clip(tmp_path / "silent.mp4", seconds=0.4, sound=False)
    _, path = studio.run("transcode", silent)
    assert looked_at(path).audio == ()
    with pytest.raises(BadInput, match="has no sound"):
        studio.run("audio", silent)


def test_trim_is_exact_to_the_frame(studio: Studio, film: Path) -> None:
    _, whole = studio.run("transcode", film, crf=0)
    assert len(decoded(whole)) == 50
    for start, end, frames in ((0.4, 1.2, 20), (0.0, 0.04, 1), (1.0, 9.0, 25), (0.5, None, 37)):
        parameters = {"start": start} if end is None else {"start": start, "end": end}
        _, path = studio.run("trim", film, **parameters)
        media = looked_at(path)
        assert media.video is not None and media.video.frames == frames, (start, end)
        assert len(decoded(path)) == frames
    with pytest.raises(BadInput, match=r"2\.000 s long; 'start' at 7 s is after its end"):
        studio.run("trim", film, start=7)


def test_a_thumbnail_shows_the_moment(studio: Studio, film: Path) -> None:
    pictures = {}
    for at in (0.0, 1.0, 2.0, None):
        artifact, path = studio.run("thumbnail", film, format="png", **({} if at is None else {"at": at}))
        assert artifact.media_type == "image/png" and path.read_bytes().startswith(b"\x89PNG")
        pictures[at] = path.read_bytes()
    assert len(set(pictures.values())) == 4
    artifact, path = studio.run("thumbnail", film, at="0:01", width=48)
    assert path.read_bytes().startswith(b"\xff\xd8") and artifact.name == "a film-thumbnail.jpg"
    with pytest.raises(BadInput, match="'at' 3 s is after its end"):
        studio.run("thumbnail", film, at=3)


def test_a_sprite_sheet_says_when_each_picture_is_shown(studio: Studio, film: Path) -> None:
    _, path = studio.run("sprite", film, every=0.5, columns=3)
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["sprite.jpg", "sprite.vtt"]
        text = archive.read("sprite.vtt").decode()
    assert text.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:00.500\nsprite.jpg#xywh=0,0,160,106\n")
    assert re.findall(r"#xywh=(\S+)", text) == [
        "0,0,160,106",
        "160,0,160,106",
        "320,0,160,106",
        "0,106,160,106",
    ]
    with pytest.raises(BadInput, match="400 pictures at most"):
        studio.run("sprite", clip(film.parent / "long.mp4", seconds=20, rate="5", size="16x16"), every=0.04)


def test_sound_alone_and_equally_loud(studio: Studio, film: Path) -> None:
    quiet, path = studio.run("audio", film, format="flac")
    assert (quiet.media_type, looked_at(path).audio[0].codec) == ("audio/flac", "flac")
    for name, codec in (("mp3", "mp3"), ("m4a", "aac"), ("ogg", "opus"), ("wav", "pcm_s16le")):
        artifact, path = studio.run("audio", film, format=name, loudnorm=name == "mp3")
        assert artifact.media is not None and artifact.media["audioCodec"] == codec
        assert abs(artifact.media["duration"] - 2) < 0.2


def test_a_gif_has_its_own_rate_and_size(studio: Studio, film: Path) -> None:
    artifact, _ = studio.run("gif", film, start=0.5, end=1.5, width=48)
    assert artifact.media is not None
    assert (artifact.media["frames"], artifact.media["width"], artifact.media["codec"]) == (10, 48, "gif")


def test_a_ladder_has_every_playlist_and_segment_it_names(studio: Studio, film: Path, tmp_path: Path) -> None:
    _, path = studio.run("hls", film, ladder=[64, 32, 480])
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "hls")
    master = (tmp_path / "hls" / "master.m3u8").read_text()
    assert re.findall(r"RESOLUTION=(\S+?)[,\n]", master) == ["96x64", "48x32"], "nothing above the source"
    named = {line for each in (tmp_path / "hls").glob("*.m3u8") for line in each.read_text().splitlines()}
    assert names - {"master.m3u8"} <= {line for line in named if line[:1] != "#"} | {
        "init_0.mp4",
        "init_1.mp4",
    }
    assert "map_metadata" not in master and str(tmp_path) not in master
    played = ffmpeg("-i", "master.m3u8", "-map", "0:v:0", "-f", "framemd5", "-", folder=tmp_path / "hls")
    assert sum(line[:1] != "#" for line in played.splitlines()) == 50


def test_unlike_videos_are_joined_in_the_form_of_the_first(
    studio: Studio, film: Path, tmp_path: Path
) -> None:
    other = clip(tmp_path / "other.mkv", size="64x96", rate="10", seconds=1, sound=False)
    artifact, path = studio.run("concat", film, other)
    assert artifact.media is not None
    assert (artifact.media["width"], artifact.media["height"], artifact.media["frames"]) == (96, 64, 75)
    assert abs(looked_at(path).audio[0].span - 3) < 0.1


def test_a_mark_and_subtitles_change_the_pictures_and_keep_the_frames(
    studio: Studio, film: Path, tmp_path: Path
) -> None:
    mark, words = tmp_path / "mark.png", tmp_path / "words.vtt"
    ffmpeg("-f", "lavfi", "-i", "color=red:size=20x10", "-frames:v", "1", str(mark))
    words.write_text("WEBVTT\n\n00:00.000 --> 00:02.000\nHello, it's 100% {odd} 'quoted': fine\n")
    _, plain = studio.run("transcode", film)
    before = decoded(plain)
    for operation, second in (("watermark", mark), ("subtitles", words)):
        artifact, path = studio.run(operation, film, second)
        assert artifact.notes == ()
        after = decoded(path)
        assert len(after) == 50 and not set(after) & set(before)


def test_a_probe_counts_what_is_there(studio: Studio, film: Path) -> None:
    artifact, path = studio.run("probe", film)
    found = json.loads(path.read_text())
    assert artifact.media_type == "application/json"
    assert (found["duration"], found["video"]["frames"], found["video"]["codec"]) == (2.0, 50, "h264")
    assert (found["video"]["width"], found["complete"], found["audio"][0]["codec"]) == (96, True, "aac")


def test_progress_counts_frames_and_never_goes_back(studio: Studio, tmp_path: Path) -> None:
    longer = clip(tmp_path / "longer.mp4", seconds=12, size="320x240")
    plan = studio.plan(studio.spec("transcode", longer))
    assert (plan.unit, plan.total) == ("frames", 300)
    studio.parts(plan)
    assert studio.told == sorted(studio.told) and 0 <= studio.told[-1] <= 300


@pytest.mark.parametrize(
    ("operation", "parameters", "pointers"),
    [
        (
            "transcode",
            {"presett": 1, "width": "x", "crf": 64, "codec": "divx"},
            ["presett", "width", "crf", "codec"],
        ),
        (
            "transcode",
            {"codec": "h264", "container": "webm", "crf": 52, "audio": "mp3"},
            ["container", "crf", "audio"],
        ),
        ("transcode", {"width": 0, "codec": "vp9", "crf": 64}, ["width", "crf"]),
        ("trim", {}, ["start"]),
        ("trim", {"start": 3, "end": 2}, ["end"]),
        ("trim", {"start": -1, "end": "later"}, ["start", "end"]),
        ("thumbnail", {"at": True}, ["at"]),
        ("sprite", {"every": 0, "columns": 0.5}, ["every", "columns"]),
        ("audio", {"format": "mp4", "loudnorm": "yes"}, ["format", "loudnorm"]),
        ("gif", {"start": 0, "end": 90}, ["end"]),
        ("hls", {"ladder": [360, 360]}, ["ladder"]),
        ("hls", {"ladder": [360, "big", 2]}, ["ladder/1", "ladder/2"]),
        ("probe", {"deep": True}, ["deep"]),
    ],
)
def test_every_wrong_parameter_is_named_at_once(
    studio: Studio, film: Path, operation: str, parameters: dict[str, Any], pointers: list[str]
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        studio.spec(operation, film, **parameters)
    assert sorted(fault.pointer for fault in refused.value.faults) == sorted(
        f"/parameters/{each}" for each in pointers
    )
    assert all(str(fault.detail).startswith("'") for fault in refused.value.faults), "each names its member"


def test_every_operation_has_a_schema_a_title_and_words() -> None:
    found = {each["name"]: each for each in describe()}
    assert (
        set(found)
        == set(OPERATIONS)
        >= {"transcode", "trim", "thumbnail", "sprite", "audio", "gif", "hls", "probe"}
    )
    assert set(found["trim"]["parameters"]["properties"]) == {"start", "end"}
    assert all(each["title"] and each["description"] for each in found.values())
