"""Small clips made by ffmpeg itself, and video jobs run in this process. For the tests of video alone."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.datasets import Catalog
from pipelines.plan import Artifact, Json, Plan
from pipelines.run import Context, perform
from pipelines.store import Store, open_store
from pipelines.video import pipeline
from pipelines.video.media import Media, media_of
from pipelines.video.scan import scan
from pipelines.video.sniff import kind_of
from pipelines.video.tool import find


def ffmpeg(*arguments: str, folder: Path | None = None) -> str:
    """Run ffmpeg without any fence; what it says on standard output."""
    command = [find().path, "-v", "error", "-nostdin", "-y", *arguments]
    ran = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=120)
    return ran.stdout


def clip(
    path: Path,
    *,
    seconds: float = 1.0,
    size: str = "96x64",
    rate: str = "25",
    sound: bool = True,
    **more: str,
) -> Path:
    """A moving test picture and a tone. `more` are output options: `codec="libx264"` is -codec libx264."""
    call = ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}:duration={seconds}"]
    if sound:
        call += ["-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=44100:duration={seconds}"]
    options = {"c:v": "libx264", "preset": "ultrafast", "pix_fmt": "yuv420p", **more}
    call += [part for name, value in options.items() for part in (f"-{name}", value)]
    ffmpeg(*call, str(path))
    return path


def looked_at(path: Path) -> Media:
    """What a file holds."""
    kind = kind_of(path.read_bytes()[:4096])
    assert kind is not None and kind.demuxer is not None, path
    argument = {"path": str(path), "format": kind.demuxer, "name": path.name}
    return media_of(scan(argument), path.name, str(path), kind.demuxer)


def decoded(path: Path) -> list[str]:
    """The hash of every picture, decoded; raises when one cannot be."""
    call = [
        "-xerror",
        "-i",
        f"file:{path}",
        "-map",
        "0:v:0",
        "-fps_mode",
        "passthrough",
        "-f",
        "framemd5",
        "-",
    ]
    lines = ffmpeg(*call).splitlines()
    return [line.split(",")[-1].strip() for line in lines if line and line[0] != "#"]


@dataclass
class Studio:
    """A store and what runs jobs on it, one part after the other."""

    root: Path
    slots: int = 1
    epoch: int = 1
    told: list[int] = field(default_factory=list)

    @property
    def store(self) -> Store:
        return open_store(str(self.root))

    def context(self, part: int | None = None, keep: str | None = None) -> Context:
        return Context(
            "job", self.epoch, str(self.root), part, keep, send=self._tell, slots=lambda: self.slots
        )

    def spec(self, operation: str, *paths: Path, **parameters: Any) -> Json:
        """What a submission becomes; raises InvalidRequest."""
        files = [
            {"name": each.name, "source": {"file": str(each)}, "bytes": each.stat().st_size, "sha256": None}
            for each in paths
        ]
        payload = {"operation": operation, "parameters": parameters, "files": files, "ffmpeg": None}
        return pipeline.parse(payload, Catalog(self.store)).spec

    def plan(self, spec: Json) -> Plan:
        made = perform("pipelines.video.pipeline:make_plan", self.context(), spec, None)
        return Plan.from_json(json.loads(json.dumps(made)))

    def parts(self, plan: Plan, numbers: Sequence[int] | None = None) -> list[Json]:
        chosen = range(len(plan.parts)) if numbers is None else numbers
        return [
            perform(plan.run_part, self.context(number, plan.keep), plan.spec, plan.parts[number].payload)
            for number in chosen
        ]

    def ended(self, plan: Plan, partials: list[Json]) -> Artifact:
        outcome = perform(plan.finish, self.context(), plan.spec, partials)
        return pipeline.publish(self.store, "job", self.epoch, plan.spec, json.loads(json.dumps(outcome)))

    def run(self, operation: str, *paths: Path, **parameters: Any) -> tuple[Artifact, Path]:
        """The artifact of a job and its file."""
        plan = self.plan(self.spec(operation, *paths, **parameters))
        artifact = self.ended(plan, self.parts(plan))
        return artifact, Path(self.store.path(artifact.path))

    def files(self) -> list[str]:
        return sorted(str(each.relative_to(self.root)) for each in self.root.rglob("*") if each.is_file())

    def _tell(self, event: Json) -> None:
        self.told.append(event["done"])
