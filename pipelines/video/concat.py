"""concat: several videos one after another, made alike first: size, rate, sound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pipelines.video import encode
from pipelines.video.media import Media, Video
from pipelines.video.parameters import Parameters
from pipelines.video.picture import arguments, even, pictures_of, sound_of, source
from pipelines.video.work import Expect, Step, Unit, Work

NAME = "concat"
TITLE = "Concatenate"
DESCRIPTION = "Several videos one after another, in the size and rate of the first, as H.264 in MP4."
MOST = 20
_FASTEST = 60.0
_SOUND = {"sample_fmts": "fltp", "sample_rates": 48000, "channel_layouts": "stereo"}


class ConcatParameters(Parameters):
    """What becomes of the sound: with `auto` silence where a video has none."""

    audio: Literal["auto", "none"] = "auto"


def encoders(parameters: ConcatParameters) -> frozenset[str]:
    return frozenset({"libx264", "aac"})


def work(parameters: ConcatParameters, media: Sequence[Media]) -> Work:
    import ffmpeg

    first = pictures_of(media[0], "join")
    size, rate = (even(first.width), even(first.height)), min(first.rate, _FASTEST) or 25.0
    heard = parameters.audio == "auto" and any(film.audio for film in media)
    spans = [pictures_of(film, "join").span for film in media]
    streams: list[Any] = []
    for film, span in zip(media, spans, strict=True):
        streams.append(_pictures(film, pictures_of(film, "join"), size, rate))
        if heard:
            streams.append(_sound(film, span))
    whole = ffmpeg.concat(*streams, v=1, a=1 if heard else 0).node
    made = [whole[0], whole[1]] if heard else [whole[0]]
    options: dict[str, Any] = {
        **encode.video_options("h264", None, first),
        "fps_mode:v": "cfr",
        "r": f"{rate:.6f}",
    }
    if heard:
        options |= {"c:a": "aac", "b:a": "128k"}
    step = Step(arguments(*made, to="out/video.mp4", **options, **encode.muxed("mp4")))
    return Work(
        steps=(step,),
        output="video.mp4",
        media_type="video/mp4",
        expect=Expect(True, heard, seconds=sum(spans), slack=0.2 * len(media) + 0.3),
        unit=Unit.FRAMES,
        total=max(1, round(sum(spans) * rate)),
        notes=tuple(note for film in media for note in encode.remarks(film, "h264", None)),
    )


def _pictures(film: Media, video: Video, size: tuple[int, int], rate: float) -> Any:
    """In the common size, with bars where the shape is another."""
    wide, high = size
    stream = source(film)[str(video.index)].filter("setpts", expr="PTS-STARTPTS")
    shown = min(wide / video.width, high / video.height)
    stream = stream.filter(
        "scale", w=min(wide, even(video.width * shown)), h=min(high, even(video.height * shown))
    )
    stream = stream.filter("pad", w=wide, h=high, x=-1, y=-1).filter("setsar", sar=1)
    return stream.filter("fps", fps=f"{rate:.6f}").filter("format", pix_fmts="yuv420p")


def _sound(film: Media, span: float) -> Any:
    """Exactly as long as the pictures, so that nothing drifts behind the first seam."""
    import ffmpeg

    sound = sound_of(film, None)
    if sound is None:
        silence = ffmpeg.input("anullsrc=channel_layout=stereo:sample_rate=48000", f="lavfi", t=f"{span:.6f}")
        return silence.audio.filter("aformat", **_SOUND)
    late = max(0.0, sound.start - film.start)
    heard = source(film)[str(sound.index)].filter("aformat", **_SOUND).filter("asetpts", expr="PTS-STARTPTS")
    if late:
        heard = heard.filter("adelay", delays=round(late * 1000), all=1)
    return heard.filter("apad").filter("atrim", end=f"{span:.6f}").filter("asetpts", expr="PTS-STARTPTS")
