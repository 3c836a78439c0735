"""probe: what a file holds, as JSON. Counted from its packets, not believed from its header."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pipelines.plan import Json
from pipelines.video import encode
from pipelines.video.media import Media, Sound, Video
from pipelines.video.parameters import Parameters
from pipelines.video.work import Expect, Work

NAME = "probe"
TITLE = "Probe"
DESCRIPTION = "Streams, size as shown, frames, duration, rate, HDR and rotation of a file, as JSON."


class ProbeParameters(Parameters):
    """Nothing to choose."""


def encoders(parameters: ProbeParameters) -> frozenset[str]:
    return frozenset()


def work(parameters: ProbeParameters, media: Sequence[Media]) -> Work:
    text = json.dumps(described(media[0]), indent=2, ensure_ascii=False) + "\n"
    return Work(
        steps=(),
        output="probe.json",
        media_type="application/json",
        expect=Expect(),
        texts={"probe.json": text},
        notes=encode.remarks(media[0], None, None),
    )


def described(film: Media) -> Json:
    """Seconds, pixels and counts; `duration` is that of what is there."""
    return {
        "name": film.name,
        "format": film.demuxer,
        "duration": round(film.seconds, 6),
        "claimedDuration": film.claimed,
        "start": round(film.start, 6),
        "video": None if film.video is None else _video(film, film.video),
        "audio": [_sound(each) for each in film.audio],
        "videoStreams": film.videos,
        "complete": not film.missing and film.torn is None,
        "missingFrames": film.missing,
    }


def _video(film: Media, video: Video) -> dict[str, Any]:
    return {
        "codec": video.codec,
        "width": video.width,
        "height": video.height,
        "storedWidth": video.stored[0],
        "storedHeight": video.stored[1],
        "sampleAspectRatio": f"{video.sar[0]}:{video.sar[1]}",
        "rotation": video.rotation,
        "pixelFormat": video.pixels,
        "hdr": video.hdr,
        "frames": video.frames,
        "keyframes": video.keyframes,
        "frameRate": round(video.rate, 6),
        "variableFrameRate": video.variable,
        "timeBase": str(video.base),
        "start": round(video.seconds_at(video.first) - film.start, 6),
        "duration": round(video.span, 6),
    }


def _sound(sound: Sound) -> dict[str, Any]:
    return {
        "codec": sound.codec,
        "channels": sound.channels,
        "sampleRate": sound.rate,
        "start": round(sound.start, 6),
        "duration": round(sound.span, 6),
    }
