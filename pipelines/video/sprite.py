"""sprite: a sheet of small pictures and the WebVTT that says when each is shown, for players' seek bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from pipelines.errors import BadInput
from pipelines.video import encode
from pipelines.video.media import Media
from pipelines.video.parameters import Parameters
from pipelines.video.picture import arguments, even, filtered, pictures_of, scaled, source
from pipelines.video.work import Expect, Step, Work

NAME = "sprite"
TITLE = "Sprite sheet"
DESCRIPTION = "A sheet of small pictures (sprite.jpg) and sprite.vtt with their times, as a zip."
_WIDTH = 160
_TALLEST = 320
_USUAL = 25
_MOST = 400


class SpriteParameters(Parameters):
    """A picture each `every` seconds, in rows of `columns`; without `every`, 25 pictures in all."""

    every: Annotated[float, Field(ge=0.04, le=3600, allow_inf_nan=False, description="Seconds.")] | None = (
        None
    )
    columns: Annotated[int, Field(ge=1, le=50)] = 5


def encoders(parameters: SpriteParameters) -> frozenset[str]:
    return frozenset({"mjpeg"})


def work(parameters: SpriteParameters, media: Sequence[Media]) -> Work:
    film = media[0]
    video = pictures_of(film, "show on a sheet")
    every = parameters.every or max(video.span / _USUAL, 0.04)
    count = max(1, math.ceil(video.span / every - 1e-6))
    if count > _MOST:
        raise BadInput(
            f"A sheet has {_MOST} pictures at most, and {film.name!r} would have {count:,}; "
            f"set 'every' to {math.ceil(video.span / _MOST * 10) / 10:g} or more."
        )
    size = _WIDTH, min(_TALLEST, even(_WIDTH * video.height / video.width))
    columns, rows = min(parameters.columns, count), math.ceil(count / min(parameters.columns, count))
    stream = source(film)[str(video.index)].filter("setpts", expr="PTS-STARTPTS")
    stream = stream.filter("fps", fps=f"1/{every:.6f}", round="up")
    stream = filtered(stream, scaled(size)).filter("tile", layout=f"{columns}x{rows}", nb_frames=count)
    quality = {"q:v": 4, "pix_fmt": "yuvj420p", "map_metadata": -1}
    step = Step(
        arguments(stream, to="out/sprite.jpg", **{"frames:v": 1, "f": "image2", "update": 1, **quality})
    )
    return Work(
        steps=(step,),
        output="sprite.zip",
        media_type="application/zip",
        expect=Expect(),
        pack=True,
        texts={"sprite.vtt": webvtt(count, every, video.span, columns, size)},
        notes=encode.remarks(film, "jpg", None),
    )


def webvtt(count: int, every: float, span: float, columns: int, size: tuple[int, int]) -> str:
    """When which rectangle of the sheet is to be shown."""
    cues = ["WEBVTT", ""]
    for number in range(count):
        start, end = number * every, min((number + 1) * every, max(span, every))
        left, top = number % columns * size[0], number // columns * size[1]
        cues += [
            f"{_clock(start)} --> {_clock(end)}",
            f"sprite.jpg#xywh={left},{top},{size[0]},{size[1]}",
            "",
        ]
    return "\n".join(cues)


def _clock(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}.{rest % 1000:03d}"
