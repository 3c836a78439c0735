"""Sizes of pictures and the filters that give them; arguments in the form that ffmpeg-python builds. Pure.

Sizes are those of the picture as shown: ffmpeg turns a rotated source by itself, and square pixels are made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.errors import BadInput
from pipelines.video.media import Media, Sound, Video
from pipelines.video.sniff import input_options

Filter = tuple[str, Mapping[str, str | int]]


def even(number: float) -> int:
    """The nearest even number of pixels that is not larger, at least 2: encoders know no odd ones."""
    return max(2, int(number + 1e-6) // 2 * 2)


def fitted(video: Video, width: int | None, height: int | None, *, enlarge: bool) -> tuple[int, int]:
    """The largest size of the same shape within width x height (None: no bound)."""
    factors = [bound / own for bound, own in ((width, video.width), (height, video.height)) if bound]
    factor = min(factors, default=1.0)
    if factor == 1 or (factor > 1 and not enlarge):
        return even(video.width), even(video.height)
    return near(video.width * factor, width), near(video.height * factor, height)


def near(number: float, bound: int | None = None) -> int:
    """The nearest even number of pixels within a bound: 480p of a lying film is 854 wide, not 852."""
    found = max(2, round(number / 2) * 2)
    return even(bound) if bound and found > bound else found


def boxed(video: Video, long: int, short: int) -> tuple[int, int]:
    """Within long x short, lying or standing as the picture does; never enlarged."""
    lying = video.width >= video.height
    return fitted(video, long if lying else short, short if lying else long, enlarge=False)


def scaled(size: tuple[int, int]) -> tuple[Filter, ...]:
    return (("scale", {"w": size[0], "h": size[1]}), ("setsar", {"sar": 1}))


def pictures_of(media: Media, doing: str) -> Video:
    """The video stream; BadInput when the source has none that could be used."""
    if media.video is None:
        raise BadInput(f"The file {media.name!r} has no pictures to {doing}; it is sound alone.")
    if not media.video.frames:
        raise BadInput(f"The file {media.name!r} holds no picture, whatever its header says; it was cut off.")
    return media.video


def sound_of(media: Media, track: int | None) -> Sound | None:
    """The audio stream of a number from 1 (None: the first); BadInput when it is not there."""
    if track is None:
        return media.audio[0] if media.audio else None
    if track > len(media.audio):
        raise BadInput(
            f"The file {media.name!r} has {len(media.audio)} audio streams, so number {track} is not there."
        )
    return media.audio[track - 1]


# --- ffmpeg-python, which comes with the extra `video`: imported where it is used


def source(media: Media, **options: Any) -> Any:
    """A source as an input, inside its fence."""
    import ffmpeg

    return ffmpeg.input(f"file:{media.path}", **{**input_options(media.demuxer), **options})


def filtered(stream: Any, filters: Sequence[Filter]) -> Any:
    for name, options in filters:
        stream = stream.filter(name, **options)
    return stream


def arguments(*streams: Any, to: str, **options: Any) -> tuple[str, ...]:
    """The arguments of one output of these streams, inputs and filters included."""
    import ffmpeg

    found: list[str] = ffmpeg.get_args(ffmpeg.output(*streams, f"file:{to}", **options))
    return tuple(found)
