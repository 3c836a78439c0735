"""The video operations there are. To add one: a file with parameters and work, a line in OPERATIONS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.plan import Json
from pipelines.video import (
    audio,
    concat,
    gif,
    hls,
    probe,
    sprite,
    subtitles,
    thumbnail,
    transcode,
    trim,
    watermark,
)
from pipelines.video.media import Media
from pipelines.video.parameters import Parameters
from pipelines.video.work import Work


@dataclass(frozen=True)
class Operation:
    """`work(parameters, media)` is pure and raises BadInput; `encoders(parameters)` are those it needs.

    `sources` says of what kind each file must be; the last one may be repeated up to `most` files in all.
    `whole`: it needs all of the video, so one that was cut off is refused.
    """

    name: str
    title: str
    description: str
    Parameters: type[Parameters]
    work: Callable[[Any, Sequence[Media]], Work]
    encoders: Callable[[Any], frozenset[str]]
    sources: tuple[str, ...] = ("video",)
    most: int = 1
    whole: bool = True
    filters: frozenset[str] = frozenset()


def _operation(module: Any, parameters: type[Parameters], **more: Any) -> Operation:
    return Operation(
        module.NAME, module.TITLE, module.DESCRIPTION, parameters, module.work, module.encoders, **more
    )


OPERATIONS: dict[str, Operation] = {
    "transcode": _operation(transcode, transcode.TranscodeParameters),
    "trim": _operation(trim, trim.TrimParameters),
    "thumbnail": _operation(thumbnail, thumbnail.ThumbnailParameters, whole=False),
    "sprite": _operation(sprite, sprite.SpriteParameters),
    "audio": _operation(audio, audio.AudioParameters),
    "gif": _operation(gif, gif.GifParameters, whole=False),
    "hls": _operation(hls, hls.HlsParameters),
    "concat": _operation(concat, concat.ConcatParameters, sources=("video", "video"), most=concat.MOST),
    "watermark": _operation(watermark, watermark.WatermarkParameters, sources=("video", "image"), most=2),
    "subtitles": _operation(
        subtitles,
        subtitles.SubtitlesParameters,
        sources=("video", "subtitles"),
        most=2,
        filters=frozenset({"subtitles"}),
    ),
    "probe": _operation(probe, probe.ProbeParameters, whole=False),
}


def describe() -> list[Json]:
    """Every operation with the JSON Schema of its parameters: what `/api/video-operations` answers."""
    return [
        {
            "name": each.name,
            "title": each.title,
            "description": each.description,
            "files": {"kinds": list(each.sources), "most": each.most},
            "parameters": each.Parameters.model_json_schema(by_alias=True),
        }
        for each in OPERATIONS.values()
    ]
