"""One encode as parts that together are exactly the whole: where to cut, and the commands. Pure.

A chunk is a half-open interval of the times that frames carry, cut by the filter `trim` on whole numbers
after all other filters: the chunks share out the frames, none is lost or doubled, wherever keyframes are.
Sound is encoded once. The parts are joined without encoding again.
Method and proofs: frames and times equal to one decode for all of 31 files tried, open GOPs, edit lists and
variable rates among them; seconds instead of whole numbers were wrong for 5 of 18.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.plan import Json
from pipelines.video.encode import muxed, threaded, timing
from pipelines.video.media import Media, Times
from pipelines.video.picture import arguments, filtered, source
from pipelines.video.work import Chain, Step

_SNAP = 0.2  # of a chunk's frames: a keyframe so near is where it is cut
_NO_INDEX = frozenset({"mpegts", "mpeg", "mpegvideo", "flv"})  # they are entered after the keyframe, perhaps
_EARLY = 1e-6  # seconds; rounding must not enter late
JOINED = "joined"
SOUND = "sound.mp4"


@dataclass(frozen=True, slots=True)
class Cut:
    """Frames with times in [start, stop), `frames` of them; stop None: to the end. `enter` is where reading
    begins, in seconds from the start of the file (None: at its first byte)."""

    start: int
    stop: int | None
    frames: int
    enter: float | None

    def to_json(self) -> Json:
        return {"start": self.start, "stop": self.stop, "frames": self.frames, "enter": self.enter}


def cuts(media: Media, times: Times, wanted: int, shortest: float) -> tuple[Cut, ...]:
    """About so many chunks of equal frame counts, none shorter than `shortest` seconds.

    A cut moves to a keyframe near by, where the least is decoded in vain, else it stays within its GOP.
    """
    pts, count = times.pts, len(times.pts)
    inner = [key for key in times.keys if key > pts[0]]
    starts = [pts[0]]
    for number in range(1, wanted):
        cut = pts[number * count // wanted]
        near = min(inner, key=lambda key: abs(key - cut), default=cut)
        if abs(bisect.bisect_left(pts, near) - number * count // wanted) <= _SNAP * count / wanted:
            cut = near
        long = float((cut - starts[-1]) * times.base)
        if cut > starts[-1] and long >= shortest and float((times.end - cut) * times.base) >= shortest:
            starts.append(cut)
    stops = [*starts[1:], None]
    return tuple(
        Cut(start, stop, times.between(start, stop), _enter(media, times, start) if number else None)
        for number, (start, stop) in enumerate(zip(starts, stops, strict=True))
    )


def _enter(media: Media, times: Times, start: int) -> float:
    """The keyframe at or before a time; the one before that in files without an index."""
    place = bisect.bisect_right(times.keys, start) - 1
    if media.demuxer in _NO_INDEX:
        place -= 1
    if place < 0:
        return 0.0
    return max(0.0, float(times.keys[place] * times.base) - media.start - _EARLY)


def lead_in(times: Times, cut: Cut) -> int:
    """Frames that are decoded before a cut and thrown away."""
    place = bisect.bisect_right(times.keys, cut.start) - 1
    return times.between(times.keys[place], cut.start) if place >= 0 else 0


def single(chain: Chain, media: Media, output: str, threads: int | None = None) -> Step:
    """The whole in one run: what the chunks must be equal to."""
    assert media.video is not None
    streams: list[Any] = [filtered(source_pictures(media), chain.filters)]
    options = {**threaded(chain.encoder, threads), **timing(media.video, chain.container)}
    if chain.audio is not None:
        streams.append(source(media)[str(chain.audio)])
        options |= chain.sound
    return Step(arguments(*streams, to=output, **options, **muxed(chain.container)))


def source_pictures(media: Media, **options: Any) -> Any:
    assert media.video is not None
    return source(media, **options)[str(media.video.index)]


def piece(chain: Chain, media: Media, cut: Cut, output: str, threads: int | None) -> Step:
    """One chunk. Filters see the time of the whole, so what depends on it comes out the same."""
    video = media.video
    assert video is not None
    entered = {} if cut.enter is None else {"ss": f"{cut.enter:.6f}", "noaccurate_seek": None}
    stop = {} if cut.stop is None else {"end_pts": cut.stop - video.first}
    stream = source_pictures(media, copyts=None, **entered)
    stream = filtered(stream, (("setpts", {"expr": f"PTS-({video.first})"}), *chain.filters))
    stream = stream.filter("trim", start_pts=cut.start - video.first, **stop)
    stream = stream.filter("setpts", expr=f"PTS-({cut.start - video.first})")
    encoder = threaded(chain.encoder, threads)
    if chain.codec == "h264":
        encoder["x264-params"] = "stitchable=1"
    options = {**encoder, **timing(video, "mp4"), "map_metadata": -1, "map_chapters": -1, "f": "mp4"}
    return Step(arguments(stream, to=output, **options))


def sound(chain: Chain, media: Media, output: str) -> Step:
    """The sound of the whole. The fine scale keeps a late start, which milliseconds would round."""
    stream = source(media)[str(chain.audio)]
    options = {**chain.sound, "map_metadata": -1, "map_chapters": -1, "movie_timescale": 48_000, "f": "mp4"}
    return Step(arguments(stream, to=output, **options))


def joined(
    chain: Chain, media: Media, pieces: Sequence[Cut], output: str, with_sound: bool
) -> tuple[str, Step]:
    """The list of pieces for the concat demuxer, and the run that joins them without encoding again.

    Written by hand: it reads a list of files of our own making, which ffmpeg-python's fence would not open.
    """
    video = media.video
    assert video is not None
    lines = ["ffconcat version 1.0"]
    for number, cut in enumerate(pieces):
        stop = video.end if cut.stop is None else cut.stop
        lines += [f"file {name_of(number)}", f"duration {float((stop - cut.start) * video.base):.6f}"]
    late = float(video.first * video.base) - media.start
    call = ["-copyts", *(["-itsoffset", f"{late:.6f}"] if late > 0 else [])]
    call += ["-protocol_whitelist", "file", "-f", "concat", "-safe", "1", "-i", f"{JOINED}.ffconcat"]
    if with_sound:
        call += ["-protocol_whitelist", "file", "-f", "mov", "-i", SOUND, "-map", "0:v", "-map", "1:a"]
    call += ["-c", "copy"]
    if chain.container == "mp4":
        call += ["-movie_timescale", "48000"]
        if "tag:v" in chain.encoder:
            call += ["-tag:v", str(chain.encoder["tag:v"])]
        if scale := timing(video, "mp4").get("video_track_timescale"):
            call += ["-video_track_timescale", str(scale)]
    call += [part for name, value in muxed(chain.container).items() for part in (f"-{name}", str(value))]
    return "\n".join(lines) + "\n", Step((*call, f"file:{output}"))


def name_of(number: int) -> str:
    return f"v{number:05d}.mp4"
