"""audio: the sound of a video (or of a sound file) alone, made equally loud if asked for."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any, Literal

from pipelines.errors import BadInput
from pipelines.video import encode
from pipelines.video.media import Media, Sound
from pipelines.video.parameters import Parameters, Track
from pipelines.video.picture import arguments, sound_of, source
from pipelines.video.work import Expect, Step, Unit, Work

NAME = "audio"
TITLE = "Audio"
DESCRIPTION = "The sound alone; with loudnorm as loud as streaming services want it (EBU R 128, -16 LUFS)."
_TARGET = {"I": -16, "TP": -1.5, "LRA": 11}

# ending: encoder, muxer, media type, options
FORMATS: dict[str, tuple[str, str, str, dict[str, str | int]]] = {
    "mp3": ("libmp3lame", "mp3", "audio/mpeg", {"q:a": 2}),
    "m4a": ("aac", "ipod", "audio/mp4", {"b:a": "160k", "movflags": "+faststart"}),
    "opus": ("libopus", "opus", "audio/ogg", {"b:a": "96k"}),
    "flac": ("flac", "flac", "audio/flac", {}),
    "wav": ("pcm_s16le", "wav", "audio/wav", {}),
}
_ALSO = {"aac": "m4a", "ogg": "opus"}


class AudioParameters(Parameters):
    """`format` is the ending of the file; aac is m4a, ogg is opus."""

    format: Literal["mp3", "m4a", "aac", "opus", "ogg", "flac", "wav"] = "mp3"
    loudnorm: bool = False
    track: Track | None = None

    @property
    def ending(self) -> str:
        return _ALSO.get(self.format, self.format)


def encoders(parameters: AudioParameters) -> frozenset[str]:
    return frozenset({FORMATS[parameters.ending][0]})


def work(parameters: AudioParameters, media: Sequence[Media]) -> Work:
    film, ending = media[0], parameters.ending
    sound = sound_of(film, parameters.track)
    if sound is None:
        raise BadInput(f"The video {film.name!r} has no sound to extract.")
    step = _measuring(film, sound, ending) if parameters.loudnorm else _step(film, sound, ending, None)
    return Work(
        steps=(step,),
        output=f"audio.{ending}",
        media_type=FORMATS[ending][2],
        expect=Expect(audio=True, seconds=sound.span, slack=max(0.5, 0.02 * sound.span)),
        unit=Unit.MILLISECONDS,
        total=max(1, round(sound.span * 1000)) * (2 if parameters.loudnorm else 1),
        notes=encode.remarks(film, None, parameters.track or 1),
    )


def _measuring(film: Media, sound: Sound, ending: str) -> Step:
    """The first of two passes: it says how loud the whole is, and the second is made of that."""
    heard = source(film)[str(sound.index)].filter("loudnorm", **_TARGET, print_format="json")
    import ffmpeg

    found = tuple(ffmpeg.get_args(ffmpeg.output(heard, "-", f="null")))
    return Step(found, then=lambda log: _step(film, sound, ending, measured(log)))


def measured(log: str) -> dict[str, Any] | None:
    """The options of the second pass; None for silence, which cannot be made louder."""
    found = re.findall(r"\{[^{}]*\"input_i\"[^{}]*\}", log)
    said = json.loads(found[-1]) if found else {}
    names = {"measured_I": "input_i", "measured_TP": "input_tp", "measured_LRA": "input_lra"}
    names |= {"measured_thresh": "input_thresh", "offset": "target_offset"}
    values = {option: float(said.get(name, "inf")) for option, name in names.items()}
    return values if all(math.isfinite(each) for each in values.values()) else None


def _step(film: Media, sound: Sound, ending: str, loudness: dict[str, Any] | None) -> Step:
    encoder, muxer, _, options = FORMATS[ending]
    heard = source(film)[str(sound.index)]
    if loudness is not None:
        heard = heard.filter("loudnorm", **_TARGET, **loudness, linear="true").filter("aresample", 48000)
    if encoder in ("libopus", "libmp3lame") and sound.channels > 2:
        options = {**options, "ac": 2}
    more = {"c:a": encoder, "f": muxer, "map_metadata": -1, "map_chapters": -1, **options}
    return Step(arguments(heard, to=f"out/audio.{ending}", **more))
