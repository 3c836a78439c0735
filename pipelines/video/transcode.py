"""transcode: another codec, size or container, every frame at its own time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field

from pipelines.errors import BadInput, Fault
from pipelines.video import encode
from pipelines.video.chunks import single
from pipelines.video.media import Media
from pipelines.video.parameters import AT, Height, Parameters, Track, Width
from pipelines.video.picture import boxed, even, fitted, pictures_of, scaled, sound_of
from pipelines.video.work import Chain, Expect, Unit, Work

NAME = "transcode"
TITLE = "Transcode"
DESCRIPTION = "Another codec, size or container; every frame keeps its time. Never enlarged by a preset."

# codec, quality (None: the codec's own), box for the picture (None: as it is), container, audio
PRESETS: dict[str, tuple[str, int | None, tuple[int, int] | None, str, str]] = {
    "web-1080p": ("h264", 23, (1920, 1080), "mp4", "aac"),
    "web-720p": ("h264", 23, (1280, 720), "mp4", "aac"),
    "archive": ("h265", 20, None, "mp4", "aac"),
}


class TranscodeParameters(Parameters):
    """A preset, or single choices; what is chosen wins over the preset."""

    preset: Literal["web-1080p", "web-720p", "archive"] | None = None
    width: Width | None = None
    height: Height | None = None
    codec: Literal["h264", "h265", "av1", "vp9"] | None = None
    crf: Annotated[int, Field(ge=0, le=63, description="Quality; less is better and larger.")] | None = None
    audio: Literal["auto", "none", "copy", "aac", "opus", "mp3"] | bool = "auto"
    audioTrack: Track | None = None
    container: Literal["mp4", "webm", "mkv"] | None = None
    chunks: Annotated[
        Literal["auto"] | int, Field(description="Into how many parts it is cut; auto: where that pays.")
    ] = "auto"
    threads: Annotated[int, Field(ge=1, le=64, description="Of one encoder.")] | None = None

    @property
    def chosen_codec(self) -> str:
        return self.codec or (
            PRESETS[self.preset][0] if self.preset else "vp9" if self.container == "webm" else "h264"
        )

    @property
    def chosen_container(self) -> str:
        if self.container is not None:
            return self.container
        usual = encode.CODECS[self.chosen_codec].containers
        return PRESETS[self.preset][3] if self.preset and PRESETS[self.preset][3] in usual else usual[0]

    @property
    def chosen_audio(self) -> str:
        if isinstance(self.audio, bool):
            return "auto" if self.audio else "none"
        return self.audio

    def conflicts(self) -> Iterator[Fault]:
        codec, container = self.chosen_codec, self.chosen_container
        known = encode.CODECS[codec]
        if container not in known.containers:
            said = f"'container' is {container!r}, which does not hold {codec}; use "
            yield Fault(f"{AT}/container", f"{said}{' or '.join(known.containers)}.")
        if self.crf is not None and self.crf > known.worst:
            yield Fault(f"{AT}/crf", f"'crf' is {self.crf}; {codec} has 0 to {known.worst}.")
        if container == "webm" and self.chosen_audio in ("aac", "mp3"):
            yield Fault(
                f"{AT}/audio", f"'audio' is {self.chosen_audio!r}, which webm does not hold; use 'opus'."
            )
        if self.chosen_audio == "none" and self.audioTrack is not None:
            yield Fault(f"{AT}/audioTrack", "'audioTrack' goes with audio, and 'audio' asks for none.")
        if isinstance(self.chunks, int) and not 1 <= self.chunks <= 256:
            yield Fault(f"{AT}/chunks", f"'chunks' is {self.chunks}; give 1 to 256, or 'auto'.")


def encoders(parameters: TranscodeParameters) -> frozenset[str]:
    codec = encode.CODECS[parameters.chosen_codec].encoder
    return frozenset({codec}) | encode.sound_encoders(parameters.chosen_audio, parameters.chosen_container)


def work(parameters: TranscodeParameters, media: Sequence[Media]) -> Work:
    source, container, codec = media[0], parameters.chosen_container, parameters.chosen_codec
    video = pictures_of(source, "transcode")
    size = _size(parameters, source)
    preset = PRESETS[parameters.preset] if parameters.preset else None
    crf = parameters.crf
    if crf is None and preset and parameters.codec in (None, preset[0]):
        crf = preset[1]
    sound = None if parameters.chosen_audio == "none" else sound_of(source, parameters.audioTrack)
    if sound and parameters.chosen_audio == "copy" and not encode.may_copy(sound, container):
        raise BadInput(
            f"The sound of {source.name!r} is {sound.codec}, which {container} does not hold; encode it."
        )
    chain = Chain(
        filters=scaled(size),
        encoder=encode.video_options(codec, crf, video),
        audio=None if sound is None else sound.index,
        sound={} if sound is None else encode.sound_options(parameters.chosen_audio, sound, container),
        container=container,
        codec=codec,
        pixels=size[0] * size[1],
    )
    output = f"video.{container}"
    return Work(
        steps=(single(chain, source, f"out/{output}", parameters.threads),),
        output=output,
        media_type=encode.MEDIA_TYPES[container],
        expect=Expect(True, sound is not None, video.frames, video.span),
        unit=Unit.FRAMES,
        total=video.frames,
        notes=encode.remarks(source, codec, None if sound is None else parameters.audioTrack or 1),
        chain=chain,
    )


def _size(parameters: TranscodeParameters, source: Media) -> tuple[int, int]:
    video = pictures_of(source, "transcode")
    if parameters.width or parameters.height:
        return fitted(video, parameters.width, parameters.height, enlarge=True)
    if parameters.preset and (box := PRESETS[parameters.preset][2]):
        return boxed(video, *box)
    return even(video.width), even(video.height)
