"""What a file holds, read by PyAV: streams, rotation, and the time of every packet. Runs in a child process.

Nothing is decoded but one picture, for its rotation. Headers lie (no duration, or that of another film), so
frames and spans are counted from the packets. Gives plain JSON; `media` makes sense of it.
"""

from __future__ import annotations

import contextlib
from fractions import Fraction
from typing import Any

from pipelines.errors import BadInput
from pipelines.plan import Json
from pipelines.video.sniff import MAX_PIXELS, MAX_STREAMS

_MOST_PACKETS = 8_000_000  # of one file; more is no video


def scan(argument: Json) -> Json:
    """`path`, `format` (the demuxer) and `name` of a file -> its description. BadInput when it is refused."""
    import av

    name = argument["name"]
    options = {
        "protocol_whitelist": "file",
        "format_whitelist": argument["format"],
        "max_streams": str(MAX_STREAMS),
    }
    av.logging.set_level(None)
    try:
        with av.open(
            f"file:{argument['path']}", format=argument["format"], options=options, metadata_errors="replace"
        ) as container:
            return _described(container, name)
    except MemoryError:
        raise
    except (av.FFmpegError, ValueError) as error:
        raise BadInput(
            f"The file {name!r} cannot be read as {argument['format']}: {_reason(error)}; "
            "it is damaged, cut off, or no video."
        ) from None


def _reason(error: Exception) -> str:
    said = getattr(error, "strerror", None) or str(error)
    return str(said).partition(": '")[0].rstrip(".")[:120]


def _described(container: Any, name: str) -> Json:
    videos = [each for each in container.streams.video if not _is_cover(each)]
    sounds = list(container.streams.audio)
    if not videos and not sounds:
        raise BadInput(f"The file {name!r} has neither pictures nor sound; choose another.")
    video = videos[0] if videos else None
    if video is not None and video.width * video.height > MAX_PIXELS:
        raise BadInput(
            f"The pictures of {name!r} are {video.width}x{video.height}, more than {MAX_PIXELS:,} pixels; "
            "make them smaller."
        )
    times = _Times([each for each in (video, *sounds) if each is not None])
    times.read(container, name)
    found: Json = {
        "format": container.format.name,
        "start": None if container.start_time is None else container.start_time / 1_000_000,
        "claimed": None if container.duration is None else container.duration / 1_000_000,
        "videos": len(videos),
        "others": len(container.streams) - len(videos) - len(sounds),
        "torn": times.torn,
        "audio": [_sound(each, times) for each in sounds],
        "video": None,
    }
    if video is not None:
        rotation = _rotation(container, video)
        found["video"] = _picture(video, times, rotation)
    return found


def _is_cover(stream: Any) -> bool:
    return bool(getattr(stream.disposition, "value", 0) & 0x400)  # AV_DISPOSITION_ATTACHED_PIC


class _Times:
    """Presentation times of all packets that are shown, of each stream, in its own time base."""

    def __init__(self, streams: list[Any]) -> None:
        self.streams = streams
        self.pts: dict[int, list[int]] = {each.index: [] for each in streams}
        self.end: dict[int, int] = {}
        self.keys: list[int] = []
        self.hidden = self.timeless = 0
        self.torn: str | None = None

    def read(self, container: Any, name: str) -> None:
        import av

        count = 0
        try:
            for packet in container.demux(self.streams):
                if packet.size == 0 or (packet.dts is None and packet.pts is None):
                    self.timeless += packet.size > 0 and packet.stream.type == "video"
                    continue
                if (count := count + 1) > _MOST_PACKETS:
                    raise BadInput(
                        f"The file {name!r} has more than {_MOST_PACKETS:,} packets; cut it first."
                    )
                self._take(packet)
        except av.FFmpegError as error:  # what came before is good
            self.torn = _reason(error)

    def _take(self, packet: Any) -> None:
        index, video = packet.stream.index, packet.stream.type == "video"
        if packet.is_discard and video:
            self.hidden += 1
            return
        pts = packet.pts
        if pts is None:
            self.timeless += video
            pts = packet.dts
        self.pts[index].append(pts)
        self.end[index] = max(self.end.get(index, pts), pts + (packet.duration or 0))
        if video and packet.is_keyframe:
            self.keys.append(pts)


def _picture(stream: Any, times: _Times, rotation: int) -> Json:
    context, pts = stream.codec_context, sorted(times.pts[stream.index])
    sar = (
        stream.sample_aspect_ratio or context.sample_aspect_ratio or Fraction(1)
    )  # as ffmpeg: the file first
    return {
        "index": stream.index,
        "codec": _codec(context),
        "width": context.width,
        "height": context.height,
        "sar": [sar.numerator, sar.denominator] if sar > 0 else [1, 1],
        "rotation": rotation,
        "pixels": context.pix_fmt,
        "transfer": int(context.color_trc or 0),
        "base": [stream.time_base.numerator, stream.time_base.denominator],
        "rate": float(stream.average_rate or 0),
        "claimed": stream.frames,
        "hidden": times.hidden,
        "timeless": times.timeless,
        "pts": pts,
        "end": times.end.get(stream.index),
        "keys": sorted(times.keys),
    }


def _sound(stream: Any, times: _Times) -> Json:
    pts, base = times.pts[stream.index], float(stream.time_base)
    return {
        "index": stream.index,
        "codec": _codec(stream.codec_context),
        "channels": stream.codec_context.channels,
        "rate": stream.codec_context.sample_rate,
        "packets": len(pts),
        "start": min(pts) * base if pts else None,
        "end": times.end[stream.index] * base if pts else None,
    }


def _codec(context: Any) -> str:
    try:
        return str(context.codec.canonical_name)
    except (AttributeError, ValueError):
        return str(context.name)


def _rotation(container: Any, stream: Any) -> int:
    """Degrees counter-clockwise the first picture is to be turned by; 0 when none can be decoded."""
    import av

    with contextlib.suppress(av.FFmpegError, ValueError, OSError):
        stream.codec_context.thread_count = 1  # each thread more is a picture more in memory
        container.seek(0, backward=True)
        for number, packet in enumerate(container.demux(stream)):
            for frame in packet.decode():
                return int(frame.rotation) % 360
            if number > 300:
                break
    return 0
