"""Media: what a source holds, in the units that operations calculate with. Made of what `scan` found.

Pure data and arithmetic. Times are seconds from the start of the file as players show it; `pts` are ticks of
the video's own time base. Width and height are those of the picture as it is shown: turned, square pixels.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

from pipelines.plan import Json

_HDR = {16: "PQ", 18: "HLG"}  # transfer characteristics of ITU-T H.273
_PLENTY = 1.05


@dataclass(frozen=True, slots=True)
class Video:
    """The pictures. `frames` are those that are shown, counted; `span` in seconds, from first to last end."""

    index: int
    codec: str
    width: int
    height: int
    stored: tuple[int, int]
    sar: tuple[int, int]
    rotation: int
    pixels: str | None
    hdr: str | None
    base: Fraction
    rate: float
    frames: int
    first: int
    last: int
    end: int
    keyframes: int
    variable: bool
    claimed: int = 0

    @property
    def span(self) -> float:
        return float((self.end - self.first) * self.base)

    def seconds_at(self, pts: int) -> float:
        """A time of its own on the clock of the file."""
        return float(pts * self.base)

    @property
    def bits(self) -> int:
        return 10 if self.pixels and any(each in self.pixels for each in ("10", "12", "p010")) else 8


@dataclass(frozen=True, slots=True)
class Sound:
    """One audio stream; times in seconds of the file's own clock."""

    index: int
    codec: str
    channels: int
    rate: int
    start: float
    end: float

    @property
    def span(self) -> float:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Media:
    """A source. `path` is where it lies on this machine, `start` its first time on its own clock."""

    name: str
    path: str
    demuxer: str
    start: float = 0.0
    claimed: float | None = None
    video: Video | None = None
    audio: tuple[Sound, ...] = ()
    videos: int = 0
    torn: str | None = None

    @property
    def seconds(self) -> float:
        """From the first to the last moment of picture or sound, as counted."""
        ends = [each.end for each in self.audio if each.span > 0]
        if self.video is not None and self.video.frames:
            ends.append(float(self.video.end * self.video.base))
        return max(0.0, max(ends) - self.start) if ends else 0.0

    @property
    def missing(self) -> int:
        """Pictures that the index of the file names and that are not in it."""
        if self.video is None or not self.video.claimed:
            return 0
        return max(0, self.video.claimed - self.video.frames)

    def at(self, path: str) -> Media:
        """The same source on another machine."""
        return replace(self, path=path)


@dataclass(frozen=True, slots=True)
class Times:
    """When the frames of a video are shown, and where it may be entered: ticks, in order."""

    pts: tuple[int, ...]
    keys: tuple[int, ...]
    end: int
    whole: bool  # whether every packet said its time
    hidden: int = 0
    base: Fraction = field(default=Fraction(1))

    def between(self, start: int, stop: int | None) -> int:
        """How many frames are in [start, stop)."""
        until = len(self.pts) if stop is None else bisect_left(self.pts, stop)
        return max(0, until - bisect_left(self.pts, start))


def media_of(found: Json, name: str, path: str, demuxer: str) -> Media:
    """The source that a scan described."""
    video = found["video"]
    start = found["start"]
    return Media(
        name=name,
        path=path,
        demuxer=demuxer,
        start=float(start or 0.0),
        claimed=found["claimed"],
        video=None if video is None else _video(video),
        audio=tuple(_sound(each) for each in found["audio"] if each["packets"]),
        videos=found["videos"],
        torn=found["torn"],
    )


def times_of(found: Json) -> Times | None:
    """The frames' times; None without pictures."""
    video = found["video"]
    if video is None or not video["pts"]:
        return None
    pts = tuple(video["pts"])
    return Times(
        pts,
        tuple(video["keys"]),
        _end(video),
        not video["timeless"],
        video["hidden"],
        Fraction(*video["base"]),
    )


def to_json(media: Media) -> Json:
    """What a job's spec remembers of a source, without its place."""
    video = media.video
    return {
        "name": media.name,
        "demuxer": media.demuxer,
        "start": media.start,
        "claimed": media.claimed,
        "videos": media.videos,
        "torn": media.torn,
        "video": None if video is None else _plain(video),
        "audio": [_plain(each) for each in media.audio],
    }


def from_json(value: Json, path: str) -> Media:
    video = value["video"]
    if video is not None:
        pairs = {name: tuple(video[name]) for name in ("stored", "sar")}
        video = Video(**{**video, **pairs, "base": Fraction(video["base"])})
    audio = tuple(Sound(**each) for each in value["audio"])
    return Media(**{**value, "path": path, "video": video, "audio": audio})


def _plain(value: Any) -> Json:
    found = {name: getattr(value, name) for name in value.__slots__}
    return {name: str(each) if isinstance(each, Fraction) else each for name, each in found.items()}


def _end(video: Json) -> int:
    """Where the last frame ends; a stream without durations shows it as long as the one before."""
    pts, end = video["pts"], video["end"]
    if end is not None and end > pts[-1]:
        return int(end)
    return int(pts[-1] + (pts[-1] - pts[-2] if len(pts) > 1 else 1))


def _video(video: Json) -> Video:
    pts, sar, base = video["pts"], tuple(video["sar"]), Fraction(*video["base"])
    width, height = max(1, round(video["width"] * sar[0] / sar[1])), video["height"]
    if video["rotation"] % 180:
        width, height = height, width
    first, end = (pts[0], _end(video)) if pts else (0, 0)
    steps = [late - early for early, late in pairwise(pts)]
    span = float((end - first) * base)
    return Video(
        index=video["index"],
        codec=video["codec"],
        width=width,
        height=height,
        stored=(video["width"], video["height"]),
        sar=(sar[0], sar[1]),
        rotation=video["rotation"],
        pixels=video["pixels"],
        hdr=_HDR.get(video["transfer"]),
        base=base,
        rate=len(pts) / span if span > 0 else video["rate"],
        frames=len(pts),
        first=first,
        last=pts[-1] if pts else 0,
        end=end,
        keyframes=len(video["keys"]),
        variable=bool(steps) and max(steps) > _PLENTY * min(steps) + 1,
        claimed=max(0, video["claimed"] - video["hidden"]),
    )


def _sound(sound: Json) -> Sound:
    return Sound(
        sound["index"], sound["codec"], sound["channels"], sound["rate"], sound["start"], sound["end"]
    )
