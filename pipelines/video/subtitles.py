"""subtitles: a subtitle file burnt into a video.

The file is read here and written anew under a name of ours, as text that can be nothing else: the filter that
draws it opens files by guessing, and must never see one that somebody else wrote.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from pipelines.errors import BadInput
from pipelines.video import encode
from pipelines.video.media import Media
from pipelines.video.parameters import Parameters
from pipelines.video.picture import arguments, even, filtered, pictures_of, scaled, sound_of, source
from pipelines.video.work import Expect, Step, Unit, Work

NAME = "subtitles"
TITLE = "Subtitles"
DESCRIPTION = "Subtitles (the second file: SRT, WebVTT or ASS) drawn into the pictures, as H.264 in MP4."
_LARGEST = 4 << 20  # bytes
_TIME = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{2})[,.](\d{1,3})"
_ARROW = re.compile(rf"^\s*{_TIME}\s*-->\s*{_TIME}", re.ASCII)
_FILE = "subtitles.srt"


class SubtitlesParameters(Parameters):
    """`size` is the height of the letters, in points of a picture 288 high."""

    size: Annotated[int, Field(ge=6, le=72)] = 18


def encoders(parameters: SubtitlesParameters) -> frozenset[str]:
    return frozenset({"libx264", "aac"})


def work(parameters: SubtitlesParameters, media: Sequence[Media]) -> Work:
    film, written = media
    video, sound = pictures_of(film, "write on"), sound_of(film, None)
    stream = filtered(source(film)[str(video.index)], scaled((even(video.width), even(video.height))))
    stream = stream.filter(
        "subtitles", filename=_FILE, charenc="UTF-8", force_style=f"FontSize={parameters.size}"
    )
    streams, options = [stream], {**encode.video_options("h264", None, video), **encode.timing(video, "mp4")}
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
        inputs={_FILE: srt(written)},
        notes=encode.remarks(film, "h264", 1 if sound else None),
    )


def srt(written: Media) -> bytes:
    """The cues of a subtitle file as SRT; BadInput when there are none."""
    data = Path(written.path).read_bytes()[: _LARGEST + 1]
    if len(data) > _LARGEST:
        raise BadInput(
            f"The subtitles {written.name!r} have more than {_LARGEST >> 20} MB; make them shorter."
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")
    cues = list(_of_ass(text) if "[Script Info]" in text[:200] else _of_blocks(text))
    if not cues:
        raise BadInput(f"The file {written.name!r} has no subtitle in it; give SRT, WebVTT or ASS.")
    blocks = [f"{number}\n{start} --> {end}\n{said}\n" for number, (start, end, said) in enumerate(cues, 1)]
    return "\n".join(blocks).encode()


def _of_blocks(text: str) -> Iterator[tuple[str, str, str]]:
    """SRT and WebVTT: a line with an arrow, then lines up to an empty one."""
    for block in re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n").replace("\r", "\n")):
        lines = block.strip("\n").split("\n")
        for number, line in enumerate(lines[:3]):
            if found := _ARROW.match(line):
                said = "\n".join(
                    re.sub(r"[\x00-\x08\x0b-\x1f]", "", each) for each in lines[number + 1 :] if each.strip()
                )
                if said:
                    yield _clock(*found.groups()[:4]), _clock(*found.groups()[4:]), said
                break


def _of_ass(text: str) -> Iterator[tuple[str, str, str]]:
    """The lines of dialogue; styles are left out. They are in order of the file, not always of time."""
    for line in text.splitlines():
        parts = line.removeprefix("Dialogue:").split(",", 9)
        if line.startswith("Dialogue:") and len(parts) == 10:
            start, end = (re.fullmatch(_TIME, each.strip()) for each in parts[1:3])
            said = re.sub(r"\{[^}]*\}", "", parts[9]).replace(r"\N", "\n").replace(r"\n", "\n").strip()
            if start and end and said:
                yield _clock(*start.groups()), _clock(*end.groups()), said


def _clock(hours: str | None, minutes: str, seconds: str, fraction: str) -> str:
    return f"{int(hours or 0):02d}:{int(minutes):02d}:{int(seconds):02d},{fraction.ljust(3, '0')}"
