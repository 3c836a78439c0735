"""trim: a part of a video, exact to the frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import Field

from pipelines.errors import BadInput, Fault
from pipelines.video import encode
from pipelines.video.media import Media
from pipelines.video.parameters import AT, Parameters, Seconds
from pipelines.video.picture import arguments, even, filtered, pictures_of, scaled, sound_of, source
from pipelines.video.work import Expect, Step, Unit, Window, Work

NAME = "trim"
TITLE = "Trim"
DESCRIPTION = "From one moment to another, exact to the frame; encoded anew as H.264 in MP4."
_RUN_UP = 15.0  # seconds: reading begins so much earlier, whatever keyframes and indexes there are


class TrimParameters(Parameters):
    """The moments, from the start of the video; without `end` to its end."""

    start: Seconds = 0.0
    end: Seconds | None = Field(None)

    def conflicts(self) -> Iterator[Fault]:
        if not self.model_fields_set & {"start", "end"}:
            yield Fault(f"{AT}/start", "'start' and 'end' are missing; give one of them at least.")
        if self.end is not None and self.end <= self.start:
            yield Fault(f"{AT}/end", f"'end' is {self.end:g}, which is not after 'start' ({self.start:g}).")


def encoders(parameters: TrimParameters) -> frozenset[str]:
    return frozenset({"libx264", "aac"})


def work(parameters: TrimParameters, media: Sequence[Media]) -> Work:
    film = media[0]
    video = pictures_of(film, "trim")
    window = window_of(film, parameters.start, parameters.end)
    frames = round((window.end - window.start) * video.rate)
    return Work(
        steps=(_step(film, window, from_start=False),),
        again=(_step(film, window, from_start=True),),
        output="video.mp4",
        media_type="video/mp4",
        expect=Expect(video=True, seconds=window.end - window.start),
        unit=Unit.FRAMES,
        total=max(1, frames),
        notes=encode.remarks(film, "h264", 1 if film.audio else None),
        window=window,
    )


def window_of(film: Media, start: float, end: float | None) -> Window:
    """The moments within the film; BadInput when it is over by then."""
    if start >= film.seconds:
        raise BadInput(
            f"The video {film.name!r} is {film.seconds:.3f} s long; 'start' at {start:g} s is after its end."
        )
    return Window(start, min(film.seconds, film.seconds if end is None else end))


def _step(film: Media, window: Window, *, from_start: bool) -> Step:
    """Cut by the frames' own times. Sound is cut to the sample, and both begin at the same moment."""
    video, sound = pictures_of(film, "trim"), sound_of(film, None)
    begin, stop = film.start + window.start, film.start + window.end
    run_up: dict[str, Any] = {"copyts": None}
    if not from_start and window.start > _RUN_UP:
        run_up["ss"] = f"{window.start - _RUN_UP:.6f}"
    pictures = source(film, **run_up)[str(video.index)]
    pictures = pictures.filter("trim", start=f"{begin:.6f}", end=f"{stop:.6f}")
    pictures = pictures.filter("setpts", expr=f"PTS-({begin:.6f}/TB)")
    pictures = filtered(pictures, scaled((even(video.width), even(video.height))))
    streams, options = (
        [pictures],
        {**encode.video_options("h264", None, video), **encode.timing(video, "mp4")},
    )
    if sound is not None:
        heard = source(film, **run_up)[str(sound.index)]
        heard = heard.filter("atrim", start=f"{begin:.6f}", end=f"{stop:.6f}")
        streams.append(heard.filter("asetpts", expr=f"PTS-({begin:.6f}/TB)"))
        options |= encode.sound_options("auto", sound, "mp4")
    return Step(arguments(*streams, to="out/video.mp4", **options, **encode.muxed("mp4")))
