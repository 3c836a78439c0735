"""Whether what came out of ffmpeg is what had to come out: looked at, never believed.

An exit code of 0 says nothing: of a file that was cut off it comes with a third of the frames.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pipelines.child import guarded
from pipelines.errors import BadInput
from pipelines.plan import Json
from pipelines.run import Context
from pipelines.video import hls
from pipelines.video.media import Media, media_of
from pipelines.video.sniff import HEAD, kind_of
from pipelines.video.work import Expect, Work

_FEW = 2  # frames that may be missing without a word
_LOST = 0.10  # of all frames: then the source is too damaged to be worth a result


@dataclass(frozen=True, slots=True)
class Found:
    """A result that passed: what the job says of it, and remarks for its reader."""

    media: Json | None
    notes: tuple[str, ...] = ()


class Wrong(Exception):
    """The result is not what it must be; one sentence."""


def look(context: Context, path: Path) -> Media:
    """What a file of our own making holds."""
    with path.open("rb") as file:
        kind = kind_of(file.read(HEAD))
    if kind is None or kind.demuxer is None:
        raise Wrong("what came out is no video")
    argument = {"path": str(path), "format": kind.demuxer, "name": path.name}
    try:
        found = guarded(context, "pipelines.video.scan:scan", argument, path.name, path.stat().st_size)
    except BadInput as error:
        raise Wrong(error.detail) from None
    return media_of(found, path.name, str(path), kind.demuxer)


def check(context: Context, work: Work, folder: Path, frames: int | None = None) -> Found:
    """Wrong unless the result in `folder` fulfils its expectations. `frames` is what exactly was encoded."""
    out, expect = folder / "out", work.expect
    main = out / (hls.MASTER if work.output == "hls.zip" else "sprite.jpg" if work.pack else work.output)
    if not main.is_file() or not main.stat().st_size:
        raise Wrong("nothing came out")
    if main.name == hls.MASTER:
        return _playlists(out, expect)
    if not (expect.video or expect.audio):
        return Found(None)
    media = look(context, main)
    if expect.video and (media.video is None or not media.video.frames):
        raise Wrong("no picture came out")
    sound = [each for each in media.audio if each.span > 0]
    notes = []
    if expect.audio and not sound:
        if not expect.video:
            raise Wrong("no sound came out")
        notes.append("The sound could not be decoded; the result has none.")
    notes += _counted(media, expect, frames)
    return Found(_described(media), tuple(notes))


def _counted(media: Media, expect: Expect, frames: int | None) -> list[str]:
    """Remarks about frames that are missing; Wrong when there are too many, or the end is."""
    video = media.video if expect.video else None
    got, wanted = (video.frames if video else 0), expect.frames
    if frames is not None and got != frames:
        raise Wrong(f"{got:,} frames are in the result and {frames:,} were encoded")
    notes = []
    if wanted is not None and got < wanted:
        if got < wanted * (1 - _LOST) - _FEW:
            raise Wrong(f"only {got:,} of {wanted:,} frames could be decoded")
        notes.append(f"{wanted - got:,} of {wanted:,} frames could not be decoded.")
    span = video.span if video else media.seconds
    slack = expect.slack + (2 / video.rate if video and video.rate > 0 else 0)
    if expect.seconds is not None and span < expect.seconds - slack:
        raise Wrong(f"the result ends after {span:.2f} of {expect.seconds:.2f} seconds")
    return notes


def _described(media: Media) -> Json:
    video = media.video
    found: Json = {"duration": round(media.seconds, 6)}
    if video is not None and video.frames:
        found |= {
            "codec": video.codec,
            "width": video.width,
            "height": video.height,
            "frames": video.frames,
            "frameRate": round(video.rate, 3),
        }
    if media.audio:
        found["audioCodec"] = media.audio[0].codec
    return found


def _playlists(out: Path, expect: Expect) -> Found:
    """Every segment a playlist names is there, and together they last as long as the video."""
    variants = sorted(out.glob("v*.m3u8"))
    for playlist in variants:
        text = playlist.read_text()
        names = [line for line in text.splitlines() if line and not line.startswith("#")]
        missing = [name for name in names if not (out / name).is_file()]
        seconds = sum(float(each) for each in re.findall(r"#EXTINF:([\d.]+)", text))
        if missing or not names or "#EXT-X-ENDLIST" not in text:
            raise Wrong(f"the playlist {playlist.name} is not complete")
        if expect.seconds is not None and seconds < expect.seconds - expect.slack:
            raise Wrong(
                f"the playlist {playlist.name} ends after {seconds:.2f} of {expect.seconds:.2f} seconds"
            )
    if not variants:
        raise Wrong("there is no playlist")
    return Found({"duration": expect.seconds, "codec": "h264", "variants": len(variants)})
