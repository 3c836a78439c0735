"""All real video files through transcode, thumbnail and probe over HTTP: expected, got, verdict.

`make video-samples` prints the table and ends with 1 when a verdict is not "same". What is expected is
written down here from where the files came from (PROVENANCE.md beside them), not from what we find. Every
frame of what comes out is decoded. The files lie beside the checkout in ../shared/samples/video, or where
--folder says.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CalledProcessError
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT)]

from service.client import Hauler, JobFailed, JobHandle, connect  # noqa: E402
from tests.live import server  # noqa: E402
from tests.pipelines.filming import decoded, looked_at  # noqa: E402

FOLDER = ROOT.parent / "shared" / "samples" / "video"
OPERATIONS = ("transcode", "thumbnail", "probe")

# frames, size as shown (even), whether there is sound; or the words of the refusal
Good = tuple[int, str, bool]
EXPECTED: dict[str, Good | str] = {
    "WrongFile.mp4": "cannot be read as mov",
    "awesome'movie.mov": (123, "640x480", True),
    "bbb_480p_30s.mp4": (720, "854x480", True),
    "broken.mp4": "cannot be read as mov",
    "camera_mjpeg_pcm.AVI": (41, "320x240", True),
    "empty.flv": "cannot be read as flv",
    "flir_thermal_vfr.mp4": (84, "1080x1440", True),
    "fragmented_absurd_duration.mp4": (30, "1080x720", True),
    "hdr10_av1_portrait.mp4": (127, "720x1280", True),
    "iphone_hevc10_opengop_editlist.mp4": (77, "1080x1920", True),
    "long_1080p_lowbitrate.mp4": (10_883, "426x240", True),
    "nasa_13013_multistream.mp4": (325, "320x180", True),
    "no_duration.webm": (74, "1280x720", True),
    "odd_321x241_444.mp4": (25, "320x240", False),
    "odd_321x241_vp9.mp4": (25, "320x240", False),
    "one-by-one-person-detection.mp4": (1394, "768x432", False),
    "portrait.MOV": (62, "320x568", True),
    "rotated270_720p.mp4": (149, "720x1280", True),
    "sef_slow_motion.mp4": (435, "160x120", False),
    "theora_vorbis.ogv": (443, "400x300", True),
    "transparent.webm": (150, "200x200", True),
    "truncated_claims_231s.mp4": "cut off",
    "video_with_failing_audio.mp4": (280, "640x360", True),
    "weird_aspect.small.mpg": (36, "500x288", True),
}
SMALLER = {"long_1080p_lowbitrate.mp4": {"height": 240}}  # six minutes of 1080p
PROBED = {
    "truncated_claims_231s.mp4": "0 frames, incomplete",
    "long_1080p_lowbitrate.mp4": "10883 frames, 1920x1080",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file in one operation. `verdict`: same or DIFFERS."""

    file: str
    operation: str
    expected: str
    got: str
    seconds: float

    @property
    def verdict(self) -> str:
        return "same" if self.got == self.expected or self.expected in self.got else "DIFFERS"


def outcomes(hauler: Hauler, folder: Path, scratch: Path, only: str = "") -> Iterator[Outcome]:
    """Every file, in order; the jobs of one file run side by side."""
    for name, expected in EXPECTED.items():
        if only not in name or not (folder / name).exists():
            continue
        started = time.perf_counter()
        jobs = {
            operation: hauler.video(
                folder / name, operation, SMALLER.get(name, {}) if operation == "transcode" else {}
            )
            for operation in OPERATIONS
        }
        for operation, job in jobs.items():
            got = found(job, operation, scratch)
            took = time.perf_counter() - started
            yield Outcome(name, operation, wanted(name, expected, operation), got, took)


def wanted(name: str, expected: Good | str, operation: str) -> str:
    if operation == "probe" and name in PROBED:
        return PROBED[name]
    if isinstance(expected, str):
        return expected
    frames, size, sound = expected
    if operation == "thumbnail":
        return "1 picture"
    return f"{frames} frames, {size}, {'sound' if sound else 'no sound'}"


def found(job: JobHandle, operation: str, scratch: Path) -> str:
    """In words, after a look at what came out."""
    try:
        if operation == "probe":
            return _probed(job.result())
        path = job.download(scratch)
    except JobFailed as error:
        return error.detail
    try:
        pictures = len(decoded(path))
    except CalledProcessError as error:
        return f"cannot be decoded: {error.stderr[-200:]}"
    if operation == "thumbnail":
        return f"{pictures} picture"
    media = looked_at(path)
    assert media.video is not None
    if pictures != media.video.frames:
        return f"{media.video.frames} frames, and {pictures} can be decoded"
    sound = "sound" if media.audio else "no sound"
    return f"{pictures} frames, {media.video.width}x{media.video.height}, {sound}"


def _probed(said: dict[str, Any]) -> str:
    video, sound = said["video"], "sound" if said["audio"] else "no sound"
    if not said["complete"]:
        return f"{video['frames']} frames, incomplete"
    size = f"{video['width'] // 2 * 2}x{video['height'] // 2 * 2}"
    return f"{video['frames']} frames, {size}, {sound}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--only", default="", help="Files with this in their name.")
    arguments = parser.parse_args()
    if not arguments.folder.exists():
        print(f"There are no sample files in {arguments.folder}.")
        return 0
    seen = list[Outcome]()
    with server(2) as live, TemporaryDirectory() as scratch, connect(live.url) as hauler:
        live.wait_for_workers(2)
        for each in outcomes(hauler, arguments.folder, Path(scratch), arguments.only):
            seen.append(each)
            print(
                f"{each.file:36} {each.operation:10} {each.expected:34} {each.got[:60]:60} {each.verdict}",
                f"{each.seconds:6.1f} s",
                flush=True,
            )
    wrong = [each for each in seen if each.verdict != "same"]
    files = len({each.file for each in seen})
    print(f"{len(seen)} outcomes of {files} files, {len(seen) - len(wrong)} same, {len(wrong)} differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
