"""The life of a job: its states, the moves between them, and the Job itself.

Pure rules. Storing them is the tracker's business, acting on them the dispatcher's; no I/O and no clock here.
"""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from pipelines.plan import Artifact, Json, Progress


class JobState(StrEnum):
    """Where a job is; the values are the words of `/api/jobs/{id}`."""

    ACCEPTED = "accepted"
    RUNNING = "running"
    SUCCESSFUL = "successful"
    FAILED = "failed"
    DISMISSED = "dismissed"


TERMINAL = frozenset({JobState.SUCCESSFUL, JobState.FAILED, JobState.DISMISSED})

# Every move there is. A lost job goes back to ACCEPTED and is leased again under the next epoch.
MOVES: dict[JobState, frozenset[JobState]] = {
    JobState.ACCEPTED: frozenset({JobState.RUNNING, JobState.FAILED, JobState.DISMISSED}),
    JobState.RUNNING: frozenset({JobState.ACCEPTED, *TERMINAL}),
    JobState.SUCCESSFUL: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.DISMISSED: frozenset(),
}


def sources_of(target: JobState) -> frozenset[JobState]:
    """The states a job may be in to move to `target`: the guard of every state-changing UPDATE."""
    return frozenset(state for state, targets in MOVES.items() if target in targets)


class Priority(StrEnum):
    """How urgent a job is to its caller; acts between parts, never interrupts one."""

    INTERACTIVE = "interactive"
    BATCH = "batch"


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job failed: a stable code and one sentence that is safe to show."""

    code: str
    detail: str


class CallbackEvent(StrEnum):
    """What a caller may be told of by a webhook; also the `type` of the message."""

    STARTED = "job.started"
    PROGRESS = "job.progress"  # a new phase
    SUCCEEDED = "job.succeeded"
    FAILED = "job.failed"
    CANCELED = "job.canceled"


@dataclass(frozen=True, slots=True)
class Callback:
    """An address that is told of a job, and of what."""

    url: str
    events: tuple[CallbackEvent, ...]


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message to one address. `attempts` fences out who took it before; `log` has how each one went.

    `due` is when it is sent (again), None once it was delivered or given up. `kind` and `type` are the job's.
    """

    sequence: int
    job_id: str
    kind: str
    type: str
    url: str
    host: str
    event: CallbackEvent
    data: Json
    created: datetime
    due: datetime | None
    delivered: datetime | None
    attempts: int
    log: tuple[Json, ...]

    @property
    def message_id(self) -> str:
        """The same for every attempt: what receivers tell messages apart by."""
        return f"{self.job_id}.{self.sequence}"


@dataclass(frozen=True, slots=True)
class NewJob:
    """What the tracker is asked to accept. `idempotency_hash` is the digest of the request behind the key.

    `equal` is the digest of all that determines the bytes of the result: who asks an equal question gets the
    running job's result or the finished one. None: never shared.
    """

    id: str
    kind: str
    type: str
    parameters: Json
    spec: Json
    size: int
    unit: str
    owner: str = "local"
    priority: Priority = Priority.INTERACTIVE
    idempotency_key: str | None = None
    idempotency_hash: str | None = None
    equal: str | None = None
    callbacks: tuple[Callback, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the tracker remembers it. Times are aware UTC.

    `epoch` counts leases and is never reset: it fences out whoever held the job before. `run_epoch` is the
    epoch in which the work now in the cluster was begun: Dask keys and file names carry it, and it stays when
    another dispatcher adopts the work. `cluster` is the scheduler that has it. `attempt` counts the runs that
    were the job's own; `losses` those that nobody is to blame for. `outcome` is what the work came to, kept
    before it is published: from then on it is too late to cancel. `leader` is the job whose work answers
    this one, `cached` says that the result was made for another. `removed` is when the result went.
    Throughput counts from `pace_since`, when `pace_done` units were done.
    `revision` grows with each change.
    """

    id: str
    kind: str
    type: str
    owner: str
    priority: Priority
    parameters: Json
    spec: Json
    size: int
    state: JobState
    epoch: int
    attempt: int
    progress: Progress
    revision: int
    created: datetime
    updated: datetime
    plan: Json | None = None
    message: str | None = None
    cancel_requested: bool = False
    started: datetime | None = None
    finished: datetime | None = None
    last_progress: datetime | None = None
    heartbeat: datetime | None = None
    artifact: Artifact | None = None
    error: JobError | None = None
    run_epoch: int = 0
    cluster: str | None = None
    equal: str | None = None
    losses: int = 0
    outcome: Json | None = None
    leader: str | None = None
    cached: bool = False
    expires: datetime | None = None
    removed: datetime | None = None
    pace_since: datetime | None = None
    pace_done: int = 0

    @property
    def ended(self) -> bool:
        return self.state in TERMINAL

    @property
    def percent(self) -> int:
        """0 to 100, rounded down; 100 only once the job is successful: combining and publishing come last."""
        return 100 if self.state is JobState.SUCCESSFUL else min(99, self.progress.percent)


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a job's append-only history. `sequence` grows with time over all jobs."""

    sequence: int
    job_id: str
    at: datetime
    name: str
    data: Json = field(default_factory=dict)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: sorts like the number it writes


def new_id(now: datetime) -> str:
    """A job id as a ULID: 26 URL-safe characters, sortable by time, unguessable (80 random bits)."""
    milliseconds = (now - _EPOCH) // timedelta(milliseconds=1)  # exact; through a float it may be one too few
    number = (milliseconds << 80) | secrets.randbits(80)
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))


def retry_after(eta_seconds: float | None) -> int:
    """Seconds a client should wait before it asks again: a third of the ETA, 1 to 30; 1 without one."""
    return min(30, max(1, math.ceil(eta_seconds / 3))) if eta_seconds is not None else 1
