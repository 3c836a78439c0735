"""watermark: a picture laid over a video."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from pipelines.video import encode
from pipelines.video.media import Media
from pipelines.video.parameters import Parameters
from pipelines.video.picture import arguments, even, filtered, pictures_of, scaled, sound_of, source
from pipelines.video.work import Expect, Step, Unit, Work

NAME = "watermark"
TITLE = "Watermark"
DESCRIPTION = "A picture (the second file: PNG, JPEG or WebP) over a video, as H.264 in MP4."
_PLACES = {
    "top-left": ("{m}", "{m}"),
    "top-right": ("W-w-{m}", "{m}"),
    "bottom-left": ("{m}", "H-h-{m}"),
    "bottom-right": ("W-w-{m}", "H-h-{m}"),
    "center": ("(W-w)/2", "(H-h)/2"),
}


class WatermarkParameters(Parameters):
    """Where, how far from the edges (pixels), how wide (a share of the video) and how opaque."""

    position: Literal["top-left", "top-right", "bottom-left", "bottom-right", "center"] = "bottom-right"
    margin: Annotated[int, Field(ge=0, le=1000, description="Pixels.")] = 16
    size: Annotated[float, Field(gt=0, le=1, description="Of the width of the video.")] = 0.15
    opacity: Annotated[float, Field(gt=0, le=1)] = 1.0


def encoders(parameters: WatermarkParameters) -> frozenset[str]:
    return frozenset({"libx264", "aac"})


def work(parameters: WatermarkParameters, media: Sequence[Media]) -> Work:
    import ffmpeg

    film, mark = media
    video, drawn, sound = (
        pictures_of(film, "mark"),
        pictures_of(mark, "lay over a video"),
        sound_of(film, None),
    )
    width = even(video.width * parameters.size)
    size = width, max(1, round(width * drawn.height / drawn.width))
    x, y = (each.format(m=parameters.margin) for each in _PLACES[parameters.position])
    under = filtered(source(film)[str(video.index)], scaled((even(video.width), even(video.height))))
    over = source(mark)[str(drawn.index)].filter("scale", w=size[0], h=size[1]).filter("format", "rgba")
    over = over.filter("colorchannelmixer", aa=parameters.opacity)
    whole = ffmpeg.filter([under, over], "overlay", x=x, y=y, format="auto")
    streams, options = [whole], {**encode.video_options("h264", None, video), **encode.timing(video, "mp4")}
    if sound is not None:
        streams.append(source(film)[str(sound.index)])
        options |= encode.sound_options("auto", sound, "mp4")
    step = Step(arguments(*streams, to="out/video.mp4", **options, **encode.muxed("mp4")))
    return Work(
        steps=(step,),
        output="video.mp4",
        media_type="video/mp4",
        expect=Expect(True, sound is not None, video.frames, video.span),
        unit=Unit.FRAMES,
        total=video.frames,
        notes=encode.remarks(film, "h264", 1 if sound else None),
    )
