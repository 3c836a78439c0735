"""What an operation gives for its parameters and sources: runs of ffmpeg, and what must come out of them.

Pure data. File names are relative to the folder of the job, where ffmpeg runs; results lie below `out/`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Unit(StrEnum):
    """What a run counts while it goes on: pictures, media time, or nothing that would be honest."""

    FRAMES = "frames"
    MILLISECONDS = "ms of media"
    FILES = "files"


@dataclass(frozen=True, slots=True)
class Step:
    """One run. `arguments` are inputs, filters and outputs; the runner puts its own before them.

    `then` makes the next step of what this one said (its log, at the level "info").
    """

    arguments: tuple[str, ...]
    then: Callable[[str], Step] | None = None


@dataclass(frozen=True, slots=True)
class Expect:
    """What the result must hold. `frames` exactly, where known; `seconds` of span within a tolerance."""

    video: bool = False
    audio: bool = False
    frames: int | None = None
    seconds: float | None = None
    slack: float = 0.5


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a source that is kept, in seconds of its own showing."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Chain:
    """How the pictures of one source are encoded, for those operations that may be cut into chunks.

    `filters` are (name, options) in order, each of which looks at one picture alone; `encoder` its options,
    without threads; `sound` those of the audio stream `audio` (None: no audio); `container` the demuxer name.
    """

    filters: tuple[tuple[str, Mapping[str, str | int]], ...]
    encoder: Mapping[str, str | int]
    audio: int | None
    sound: Mapping[str, str | int]
    container: str
    codec: str
    pixels: int


@dataclass(frozen=True, slots=True)
class Work:
    """All that is to be done. `total` in `unit`s is what progress counts up to.

    The result is `out/<output>`, or with `pack` all of `out/` as a zip. `texts` are files written there
    beforehand, `inputs` files written beside it. `window` is the part of the first source whose pictures
    must come out, one by one. `chain` is set where chunks are possible. `again` are the slower steps that are
    taken when the result of `steps` is not what it must be: some files cannot be entered in the middle.
    """

    steps: tuple[Step, ...]
    output: str
    media_type: str
    expect: Expect = Expect()
    unit: Unit = Unit.FILES
    total: int = 1
    pack: bool = False
    texts: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, bytes] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    window: Window | None = None
    chain: Chain | None = None
    again: tuple[Step, ...] = ()
