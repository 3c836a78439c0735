"""What travels between API, dispatcher and workers: Request, Plan, Part, Progress, Artifact.

All of it is small and JSON-able; it names data and never holds it. Standard library only: no Dask, no
Arrow, no I/O. How a Plan becomes a Dask graph is `service.cluster`'s business, how an entry is called
`pipelines.run`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """A submission that passed every check: what the job row remembers of it.

    `spec` is the normalised form the workers get (dataset version pinned, defaults filled in); `parameters`
    is what the client wrote. `size` is the work to expect in `unit` ("rows", "bytes"): it feeds the ETA.
    `equal` is the same for two requests only if their results have the same bytes (None: never shared).
    """

    type: str
    parameters: Json
    spec: Json
    size: int
    unit: str
    equal: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of work of about 0.5 to 5 seconds. `weight` is its share of the plan, in the plan's unit."""

    payload: Json
    weight: int


@dataclass(frozen=True, slots=True)
class Plan:
    """How a job is computed: parts side by side, partials combined in a tree, one finish.

    Entries are "module:function" names, called by `pipelines.run.run` on a worker:
    `run_part(context, spec, payload) -> partial`, `combine(context, spec, [partial, ...]) -> partial`,
    `finish(context, spec, [partial, ...]) -> Json` (the outcome that `publish` takes).
    `combine` must be associative and gets its partials in part order; without it `finish` gets one partial
    a part. Partials are kept under `keep`: plans with the same one have the same parts, part for part.

    With `buckets` each part puts its partial aside in so many pieces and returns what finds them again; there
    is one level of combining then, `combine` of what all parts returned for each `context.bucket`.
    """

    spec: Json
    unit: str
    parts: tuple[Part, ...]
    run_part: str
    finish: str
    combine: str | None = None
    fan_in: int = 8
    keep: str | None = None
    buckets: int = 0

    @property
    def total(self) -> int:
        """Units of the whole plan."""
        return sum(part.weight for part in self.parts)

    def to_json(self) -> Json:
        parts = [{"payload": part.payload, "weight": part.weight} for part in self.parts]
        return {**{each.name: getattr(self, each.name) for each in fields(self)}, "parts": parts}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Plan:
        parts = tuple(Part(**part) for part in value["parts"])
        return cls(**{**value, "parts": parts})


@dataclass(frozen=True, slots=True)
class Progress:
    """Units truly done of a total; never falls within one attempt. `total` is None until planned."""

    done: int = 0
    total: int | None = None
    unit: str = "parts"
    phase: str = "queued"

    @property
    def percent(self) -> int:
        """0 to 100, rounded down; 100 only when all is done."""
        return min(100, self.done * 100 // self.total) if self.total else 0


@dataclass(frozen=True, slots=True)
class Artifact:
    """A finished file in the store. `path` is its store key, `name` what a download is called.

    `notes` are sentences for its reader: where it is not exact, what it cost. `media` describes a video or
    sound: duration in seconds, codec, size.
    """

    path: str
    name: str
    media_type: str
    bytes: int
    sha256: str
    rows: int | None = None
    notes: tuple[str, ...] = ()
    media: Json | None = None

    def to_json(self) -> Json:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Artifact:
        return cls(**{**value, "notes": tuple(value.get("notes", ()))})
