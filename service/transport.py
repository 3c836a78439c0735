"""What a client sees of a service: job statuses, datasets, errors, and the Transport both roads implement.

    HaulierError
    ├── Unreachable     nobody answers at the address
    ├── Rejected        the service refused the request: HTTP status, code, every fault with its pointer
    ├── JobFailed       the job ended in an error: code and detail
    ├── JobCanceled     somebody canceled the job
    ├── StillRunning    your timeout is over, the job goes on
    └── BadDownload     the bytes that came are not the bytes the service promised

Standard library only, no I/O: `import service.client` stays cheap. HTTP lives in `service.transport_http`,
the engine in this process in `service.transport_local`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Protocol

from pipelines.plan import Json
from service.model import TERMINAL, JobError, JobState


class HaulierError(Exception):
    """Base of what the client raises: one sentence for a person."""


class Unreachable(HaulierError):
    """Nobody answers at the address."""


class Rejected(HaulierError):
    """The service refused the request; nothing was started. `problem` is the whole problem document."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.problem = dict(problem)
        self.code = str(problem.get("code", "rejected"))
        faults = [
            ": ".join(filter(None, (e.get("pointer"), e.get("detail")))) for e in problem.get("errors") or ()
        ]
        said = str(problem.get("detail") or problem.get("title") or f"The service answered {status}.")
        if len(faults) > 1:
            said = "\n  ".join([f"The request has {len(faults)} faults.", *faults])
        super().__init__(faults[0] if len(faults) == 1 else said)


class JobFailed(HaulierError):
    """The job ended in an error."""

    def __init__(self, job_id: str, error: JobError | None) -> None:
        self.job_id = job_id
        self.code = error.code if error else "unknown"
        self.detail = error.detail if error else "The service gave no reason."
        super().__init__(f"Job {job_id} failed ({self.code}): {self.detail}")


class JobCanceled(HaulierError):
    """The job was canceled; there is no result."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f"Job {job_id} was canceled.")


class StillRunning(HaulierError, TimeoutError):
    """The given time is over; the job goes on and can be waited for again."""

    def __init__(self, job_id: str, seconds: float) -> None:
        self.job_id = job_id
        super().__init__(f"Job {job_id} has not ended after {seconds:g} s; it goes on.")


class BadDownload(HaulierError):
    """Byte count or sha256 of a download are not what the service promised."""


@dataclass(frozen=True, slots=True)
class Result:
    """The file a successful job left. `href` is where it can be fetched; size in bytes."""

    href: str
    media_type: str
    bytes: int
    sha256: str
    rows: int | None = None
    name: str | None = None

    @classmethod
    def from_document(cls, doc: Mapping[str, Any]) -> Result:
        return cls(
            doc["href"], doc["mediaType"], doc["bytes"], doc["sha256"], doc.get("rows"), doc.get("name")
        )


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job at one moment. `tag` changes whenever the job does; `eta` and `eta_p90` are seconds from now."""

    id: str
    kind: str
    type: str
    state: JobState
    tag: str = ""
    percent: int = 0
    done: int = 0
    total: int | None = None
    unit: str = "parts"
    phase: str = "queued"
    message: str | None = None
    eta: float | None = None
    eta_p90: float | None = None
    queue_position: int | None = None
    queue_reason: str | None = None
    created: datetime | None = None
    started: datetime | None = None
    finished: datetime | None = None
    result: Result | None = None
    error: JobError | None = None
    parameters: Json = field(default_factory=dict)
    document: Json = field(default_factory=dict, repr=False, compare=False)

    @property
    def ended(self) -> bool:
        return self.state in TERMINAL

    @classmethod
    def from_document(cls, doc: Mapping[str, Any], tag: str = "") -> JobStatus:
        """The job document of the wire; members this client does not know stay in `document`."""
        units, eta, queue = doc.get("units") or {}, doc.get("eta") or {}, doc.get("queue") or {}
        result, error = doc.get("result"), doc.get("error")
        return cls(
            id=doc["id"],
            kind=doc["kind"],
            type=doc["type"],
            state=JobState(doc["status"]),
            tag=tag,
            percent=int(doc.get("progress") or 0),
            done=units.get("done") or 0,
            total=units.get("total"),
            unit=units.get("kind") or "parts",
            phase=doc.get("phase") or "",
            message=doc.get("message"),
            eta=eta.get("seconds"),
            eta_p90=eta.get("p90"),
            queue_position=queue.get("position"),
            queue_reason=queue.get("reason"),
            created=_time(doc.get("created")),
            started=_time(doc.get("started")),
            finished=_time(doc.get("finished")),
            result=Result.from_document(result) if result else None,
            error=JobError(error.get("code", "unknown"), error.get("detail", "")) if error else None,
            parameters=doc.get("parameters") or {},
            document=dict(doc),
        )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """A dataset at its newest version; `columns` maps names to types in order, size in bytes."""

    name: str
    version: int
    rows: int
    bytes: int
    columns: dict[str, str]
    time_column: str | None = None

    @classmethod
    def from_document(cls, doc: Mapping[str, Any]) -> DatasetInfo:
        columns = {each["name"]: each["type"] for each in doc.get("columns") or doc.get("schema") or ()}
        return cls(doc["name"], doc["version"], doc["rows"], doc["bytes"], columns, doc.get("timeColumn"))


@dataclass(frozen=True, slots=True)
class Submission:
    """What travels with a request beside its body. An equal `key` is the same job, never a second one."""

    key: str
    priority: str | None = None


class Transport(Protocol):
    """A road to a service. Raises HaulierError only."""

    @property
    def address(self) -> str:
        """Where the service is, for people."""

    def submit_report(self, body: Json, submission: Submission) -> JobStatus: ...

    def submit_import(
        self, paths: Sequence[Path], dataset: str, options: Json, submission: Submission
    ) -> JobStatus: ...

    def submit_video(
        self, paths: Sequence[Path], operation: str, parameters: Json, submission: Submission
    ) -> JobStatus: ...

    def status(
        self, job_id: str, *, wait: float = 0.0, seen: JobStatus | None = None, within: float | None = None
    ) -> JobStatus:
        """The job now; with `wait`, at its next change after `seen` or after about `wait` seconds.

        `within` bounds the whole call in seconds, retries included.
        """

    def jobs(self, *, state: str | None, kind: str | None, limit: int) -> list[JobStatus]:
        """Newest first."""

    def datasets(self) -> list[DatasetInfo]: ...

    def cancel(self, job_id: str) -> JobStatus: ...

    def retry(self, job_id: str) -> JobStatus:
        """The new job in the place of a failed or canceled one."""

    def fetch(self, job_id: str, result: Result, sink: IO[bytes]) -> str:
        """Write the result's bytes behind what `sink` already holds of it and check the whole.

        `sink` is open for reading and writing; returns the file's name.
        """

    def close(self) -> None: ...
