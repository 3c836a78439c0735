"""Whether an encode is worth cutting into chunks, and into how many. Pure arithmetic on rough speeds.

Measured on two cores: chunks cost 0.12 s of processor time each and gain nothing where one ffmpeg keeps all
cores busy; they pay for long jobs and more workers, and a lost worker then costs one chunk.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.video.chunks import Cut, cuts, lead_in
from pipelines.video.media import Media, Times
from pipelines.video.work import Chain

# million pixels a second that one core encodes with our settings, within a factor of two
_SPEED = {"h264": 22.0, "h265": 5.0, "av1": 9.0, "vp9": 4.0}
_READING = 150.0  # the same for decoding and scaling
_LEAD_IN = 0.25  # of all frames decoded in vain: then the source has too few keyframes


@dataclass(frozen=True, slots=True)
class Costs:
    """From where on chunks are worth it. Seconds of video and of encoding: of the whole, then of a chunk."""

    video: float = 60.0
    encode: float = 60.0
    chunk_video: float = 10.0
    chunk_encode: float = 15.0
    a_slot: int = 3


def seconds_of(chain: Chain, media: Media, cores: int) -> float:
    """What one ffmpeg needs for it on so many idle cores, roughly."""
    video = media.video
    assert video is not None
    read, write = video.width * video.height * video.frames, chain.pixels * video.frames
    return (write / _SPEED[chain.codec] + read / _READING) / 1e6 / max(1, cores)


def chunks_for(
    chain: Chain, media: Media, times: Times, *, slots: int, cores: int, costs: Costs | None = None
) -> tuple[Cut, ...]:
    """The chunks to encode side by side in so many free slots; none: one process does it as well."""
    costs, video = costs or Costs(), media.video
    assert video is not None
    alone = seconds_of(chain, media, cores)
    if slots < 2 or not times.whole or video.span < costs.video or alone < costs.encode:
        return ()
    most = min(video.span / costs.chunk_video, alone * max(1, cores) / costs.chunk_encode)
    wanted = min(costs.a_slot * slots, int(most))
    if wanted < 2:
        return ()
    return _worth(times, cuts(media, times, wanted, costs.chunk_video / 2))


def exactly(media: Media, times: Times, wanted: int) -> tuple[Cut, ...]:
    """As many chunks as were asked for, whatever it costs; none where it could not be exact."""
    return cuts(media, times, wanted, 0.0) if times.whole and wanted > 1 else ()


def _worth(times: Times, found: tuple[Cut, ...]) -> tuple[Cut, ...]:
    wasted = sum(lead_in(times, cut) for cut in found)
    return found if len(found) > 1 and wasted <= _LEAD_IN * len(times.pts) else ()
