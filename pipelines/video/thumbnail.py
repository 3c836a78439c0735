"""thumbnail: one picture of a video."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pipelines.errors import BadInput
from pipelines.video import encode
from pipelines.video.media import Media
from pipelines.video.parameters import Parameters, Seconds, Width
from pipelines.video.picture import arguments, filtered, fitted, pictures_of, scaled, source
from pipelines.video.work import Expect, Step, Work

NAME = "thumbnail"
TITLE = "Thumbnail"
DESCRIPTION = "One picture as JPEG or PNG; without a moment, the one a tenth into the video."
_SHARE = 0.1
_RUN_UP = 15.0  # seconds


class ThumbnailParameters(Parameters):
    """`at` is the moment, from the start of the video. A picture is never enlarged."""

    at: Seconds | None = None
    width: Width | None = None
    format: Literal["jpg", "png"] = "jpg"


def encoders(parameters: ThumbnailParameters) -> frozenset[str]:
    return frozenset({"mjpeg" if parameters.format == "jpg" else "png"})


def work(parameters: ThumbnailParameters, media: Sequence[Media]) -> Work:
    film = media[0]
    video = pictures_of(film, "take one of")
    at = parameters.at if parameters.at is not None else video.span * _SHARE
    if at > film.seconds:
        raise BadInput(
            f"The video {film.name!r} is {film.seconds:.3f} s long; 'at' {at:g} s is after its end."
        )
    output = f"thumbnail.{parameters.format}"
    size = fitted(video, parameters.width, None, enlarge=False)
    return Work(
        steps=(_step(film, at, size, output, from_start=False),),
        again=(_step(film, at, size, output, from_start=True),),
        output=output,
        media_type="image/jpeg" if parameters.format == "jpg" else "image/png",
        expect=Expect(),
        notes=encode.remarks(film, "jpg", None),
    )


def _step(film: Media, at: float, size: tuple[int, int], output: str, *, from_start: bool) -> Step:
    """The first picture shown at the moment or after it; at the very end, the last one there is."""
    video = pictures_of(film, "take one of")
    moment = min(film.start + at, video.seconds_at(video.last))
    moment = max(moment, video.seconds_at(video.first)) - 0.0005
    early = {} if from_start or at <= _RUN_UP else {"ss": f"{at - _RUN_UP:.6f}"}
    stream = source(film, copyts=None, **early)[str(video.index)]
    stream = filtered(stream.filter("trim", start=f"{moment:.6f}"), scaled(size))
    quality = {"q:v": 3, "pix_fmt": "yuvj420p"} if output.endswith("jpg") else {}
    options = {"frames:v": 1, "f": "image2", "update": 1, "map_metadata": -1, **quality}
    return Step(arguments(stream, to=f"out/{output}", **options))
