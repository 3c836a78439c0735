"""gif: a short moving picture without sound, with a palette of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import Field

from pipelines.errors import Fault
from pipelines.video import encode
from pipelines.video.media import Media
from pipelines.video.parameters import AT, Parameters, Seconds
from pipelines.video.picture import arguments, fitted, pictures_of, source
from pipelines.video.trim import window_of
from pipelines.video.work import Expect, Step, Work

NAME = "gif"
TITLE = "GIF"
DESCRIPTION = "A short animation, at most a minute; 5 seconds without an end."
_LONGEST = 60.0
_USUAL = 5.0


class GifParameters(Parameters):
    """The moments, from the start of the video, and the width in pixels; never enlarged."""

    start: Seconds = 0.0
    end: Seconds | None = None
    width: Annotated[int, Field(ge=16, le=1280, description="Pixels.")] = 320
    fps: Annotated[int, Field(ge=1, le=30)] = 10

    def conflicts(self) -> Iterator[Fault]:
        if self.end is not None and not self.start < self.end <= self.start + _LONGEST:
            said = f"'end' is {self.end:g}; give at most {_LONGEST:g} s more than 'start' ({self.start:g})."
            yield Fault(f"{AT}/end", said)


def encoders(parameters: GifParameters) -> frozenset[str]:
    return frozenset({"gif"})


def work(parameters: GifParameters, media: Sequence[Media]) -> Work:
    film = media[0]
    video = pictures_of(film, "animate")
    end = parameters.end if parameters.end is not None else parameters.start + _USUAL
    window = window_of(film, parameters.start, end)
    width, height = fitted(video, parameters.width, None, enlarge=False)
    begin = {"ss": f"{window.start:.6f}"} if window.start else {}
    stream = source(film, **begin, t=f"{window.end - window.start:.6f}")[str(video.index)]
    stream = stream.filter("fps", fps=parameters.fps).filter("scale", w=width, h=height, flags="lanczos")
    both = stream.filter("setsar", sar=1).filter_multi_output("split", 2)
    palette = both[0].filter("palettegen", max_colors=128, stats_mode="diff")
    painted = _used(both[1], palette)
    return Work(
        steps=(Step(arguments(painted, to="out/video.gif", f="gif", loop=0, map_metadata=-1)),),
        output="video.gif",
        media_type="image/gif",
        expect=Expect(video=True, seconds=window.end - window.start, slack=1.0),
        notes=encode.remarks(film, "gif", None),
    )


def _used(stream: object, palette: object) -> object:
    import ffmpeg

    return ffmpeg.filter([stream, palette], "paletteuse", dither="bayer", bayer_scale=3)
