"""Encoders and their settings, as options of an output of ffmpeg-python. Pure; only constant quality (CRF).

What a preset means is here too, so that `transcode`, `trim` and the others encode alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.video.media import Media, Sound, Video

Options = dict[str, str | int]


@dataclass(frozen=True, slots=True)
class Codec:
    """A video codec: its encoder, usual and worst quality, the containers it may be in, the usual first."""

    encoder: str
    crf: int
    worst: int
    containers: tuple[str, ...]


CODECS: dict[str, Codec] = {
    "h264": Codec("libx264", 23, 51, ("mp4", "mkv")),
    "h265": Codec("libx265", 28, 51, ("mp4", "mkv")),
    "av1": Codec("libsvtav1", 35, 63, ("mp4", "webm", "mkv")),
    "vp9": Codec("libvpx-vp9", 32, 63, ("webm", "mp4", "mkv")),
}
MEDIA_TYPES = {"mp4": "video/mp4", "webm": "video/webm", "mkv": "video/x-matroska"}
_FORMATS = {"mp4": "mp4", "webm": "webm", "mkv": "matroska"}
_HDR_ABLE = ("h265", "av1")
_LARGEST_SCALE = 10_000_000  # ticks a second that an MP4 track takes
_COPIED = {
    "mp4": ("aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"),
    "webm": ("opus", "vorbis"),
}


def video_options(codec: str, crf: int | None, video: Video) -> Options:
    """How pictures are encoded. Ten bits only where they carry HDR and the codec is one for it."""
    chosen = CODECS[codec]
    deep = video.hdr is not None and video.bits > 8 and codec in _HDR_ABLE
    options: Options = {
        "c:v": chosen.encoder,
        "crf": chosen.crf if crf is None else crf,
        "pix_fmt": "yuv420p10le" if deep else "yuv420p",
    }
    if codec == "h264":
        options["preset"] = "medium"
    elif codec == "h265":
        options |= {"preset": "medium", "tag:v": "hvc1", "x265-params": "log-level=error"}
    elif codec == "av1":
        options["preset"] = 8
    else:
        options |= {"deadline": "good", "cpu-used": 4, "row-mt": 1, "b:v": 0}
    return options


def keeps_hdr(codec: str, video: Video) -> bool:
    return video.hdr is not None and video.bits > 8 and codec in _HDR_ABLE


def threaded(options: Mapping[str, str | int], threads: int | None) -> Options:
    """The same with so many threads; None leaves it to the encoder, which takes all there are."""
    found = dict(options)
    if threads is None:
        return found
    if found["c:v"] == "libx265":
        found["x265-params"] = f"{found['x265-params']}:pools={threads}:frame-threads={min(threads, 3)}"
    elif found["c:v"] == "libsvtav1":
        found["svtav1-params"] = f"lp={threads}"
    return {**found, "threads:v": threads}


def timing(video: Video, container: str) -> Options:
    """Every frame keeps its own time: without this, phone videos lose frames or get some twice."""
    options: Options = {
        "fps_mode:v": "passthrough",
        "enc_time_base:v": f"{video.base.numerator}/{video.base.denominator}",
    }
    if container == "mp4" and video.base.denominator <= _LARGEST_SCALE:
        options["video_track_timescale"] = video.base.denominator
    return options


def muxed(container: str) -> Options:
    """The container, without the source's metadata: the place a phone was at is nobody's business."""
    options: Options = {"f": _FORMATS[container], "map_metadata": -1, "map_chapters": -1}
    return {**options, "movflags": "+faststart"} if container == "mp4" else options


def sound_options(audio: str, sound: Sound, container: str) -> Options:
    """How one audio stream is encoded: `auto`, `copy`, `aac`, `opus` or `mp3`."""
    if audio == "copy":
        return {"c:a": "copy"}
    chosen = audio if audio != "auto" else "opus" if container == "webm" else "aac"
    if chosen == "aac":
        return {"c:a": "aac", "b:a": f"{64 * max(2, min(sound.channels, 8))}k"}
    stereo: Options = {"ac": 2} if sound.channels > 2 else {}  # other layouts have no agreed order there
    if chosen == "opus":
        return {"c:a": "libopus", "b:a": "96k", **stereo}
    return {"c:a": "libmp3lame", "q:a": 2, **stereo}


def sound_encoders(audio: str, container: str) -> frozenset[str]:
    """Encoders that a choice of `audio` needs."""
    if audio in ("none", "copy"):
        return frozenset()
    chosen = audio if audio != "auto" else "opus" if container == "webm" else "aac"
    return frozenset({{"aac": "aac", "opus": "libopus", "mp3": "libmp3lame"}[chosen]})


def may_copy(sound: Sound, container: str) -> bool:
    return container not in _COPIED or sound.codec in _COPIED[container]


def remarks(media: Media, codec: str | None, track: int | None) -> tuple[str, ...]:
    """What a person should know of what became of the source."""
    said, video = [], media.video
    if video is not None and video.hdr is not None and codec is not None:
        kept = "it was kept" if keeps_hdr(codec, video) else "colours were not mapped and may look pale"
        said.append(f"The source is HDR ({video.hdr}); {kept}.")
    if media.videos > 1:
        said.append(f"The source has {media.videos} video streams; the first was taken.")
    if len(media.audio) > 1 and track is not None:
        said.append(f"The source has {len(media.audio)} audio streams; number {track} was taken.")
    if media.torn is not None:
        said.append(f"The source ends in the middle ({media.torn}).")
    return tuple(said)
