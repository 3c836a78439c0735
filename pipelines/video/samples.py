"""A short film that needs no camera: a moving test picture and a tone. For the demo and the notebook."""

from __future__ import annotations

from pathlib import Path

from pipelines.video import ffmpeg
from pipelines.video.tool import find

RATE = 25


def write_film(path: Path, *, seconds: int = 4, size: str = "640x360") -> int:
    """Write it as MP4; the number of its frames. NoTool without ffmpeg."""
    picture = f"testsrc2=size={size}:rate={RATE}:duration={seconds}"
    tone = f"sine=frequency=330:sample_rate=48000:duration={seconds}"
    call = [
        "-f",
        "lavfi",
        "-i",
        picture,
        "-f",
        "lavfi",
        "-i",
        tone,
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
    ]
    call += ["-pix_fmt", "yuv420p", "-c:a", "aac", "-f", "mp4", f"file:{path.name}"]
    ffmpeg.run(find().path, call, path.parent.resolve())
    return RATE * seconds
