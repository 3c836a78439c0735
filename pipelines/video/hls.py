"""hls: a ladder of sizes for adaptive players: playlists and fragments, as a zip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from pydantic import Field

from pipelines.errors import Fault
from pipelines.video import encode
from pipelines.video.media import Media, Sound, Video
from pipelines.video.parameters import AT, Height, Parameters
from pipelines.video.picture import arguments, even, near, pictures_of, sound_of, source
from pipelines.video.work import Expect, Step, Unit, Work

NAME = "hls"
TITLE = "HLS"
DESCRIPTION = (
    "A ladder of sizes as HLS (fragmented MP4, segments of 4 s): master.m3u8 and all it names, as a zip."
)
MASTER = "master.m3u8"
_USUAL = (1080, 720, 480, 360)
_SECONDS = 4
_BITS = 0.11  # a pixel, at most


class HlsParameters(Parameters):
    """Heights of the ladder, the best first; those above the source are left out. Empty: the usual ones."""

    ladder: Annotated[list[Height], Field(max_length=6, default_factory=list)]

    def conflicts(self) -> Iterator[Fault]:
        if len(set(self.ladder)) < len(self.ladder):
            yield Fault(f"{AT}/ladder", f"'ladder' has a height twice in {self.ladder}; name each once.")


def encoders(parameters: HlsParameters) -> frozenset[str]:
    return frozenset({"libx264", "aac"})


def work(parameters: HlsParameters, media: Sequence[Media]) -> Work:
    film = media[0]
    video, sound = pictures_of(film, "stream"), sound_of(film, None)
    sizes = rungs(video, parameters.ladder)
    streams = _split(film, video, sizes)
    options = _options(video, sound, sizes)
    if sound is not None:
        streams += [source(film)[str(sound.index)] for _ in sizes]
        options |= encode.sound_options("aac", sound, "mp4")
    step = Step(arguments(*streams, to="out/v%v.m3u8", **options))
    return Work(
        steps=(step,),
        output="hls.zip",
        media_type="application/zip",
        expect=Expect(seconds=film.seconds, slack=max(1.0, 0.02 * film.seconds)),
        unit=Unit.FRAMES,
        total=video.frames,
        pack=True,
        notes=encode.remarks(film, "h264", 1 if sound else None),
    )


def rungs(video: Video, ladder: Sequence[int]) -> list[tuple[int, int]]:
    """Sizes, the largest first. The short side counts, so a standing video has the rungs of a lying one."""
    short = min(video.width, video.height)
    heights = [each for each in sorted(ladder or _USUAL, reverse=True) if each <= short]
    found = [(near(video.width * each / short), near(video.height * each / short)) for each in heights]
    return found or [(even(video.width), even(video.height))]


def _split(film: Media, video: Video, sizes: Sequence[tuple[int, int]]) -> list[Any]:
    stream = source(film)[str(video.index)]
    if len(sizes) == 1:
        copies: Any = [stream]
    else:
        copies = stream.filter_multi_output("split", len(sizes))
    return [
        copies[number].filter("scale", w=wide, h=high).filter("setsar", sar=1)
        for number, (wide, high) in enumerate(sizes)
    ]


def _options(video: Video, sound: Sound | None, sizes: Sequence[tuple[int, int]]) -> dict[str, Any]:
    rate = min(video.rate, 60.0)
    bounded: dict[str, Any] = {}
    for number, (wide, high) in enumerate(sizes):
        bits = max(150_000, int(wide * high * rate * _BITS))
        bounded |= {f"maxrate:v:{number}": bits, f"bufsize:v:{number}": bits * 2}
    pairs = [f"v:{n},a:{n}" if sound else f"v:{n}" for n in range(len(sizes))]
    timing = encode.timing(video, "hls")
    return {
        **encode.video_options("h264", None, video),
        **timing,
        **bounded,
        "force_key_frames": f"expr:gte(t,n_forced*{_SECONDS})",
        "sc_threshold": 0,
        "map_metadata": -1,
        "map_chapters": -1,
        "f": "hls",
        "hls_time": _SECONDS,
        "hls_playlist_type": "vod",
        "hls_segment_type": "fmp4",
        "hls_fmp4_init_filename": "init_%v.mp4",
        "hls_flags": "independent_segments",
        "hls_segment_filename": "out/v%v_%05d.m4s",
        "master_pl_name": MASTER,
        "var_stream_map": " ".join(pairs),
    }
