"""The bodies of the wire: pydantic models, and how each is made of a Job. OpenAPI is generated from them.

Names on the wire are camelCase. The models hold what contract sections 2 to 4 name and nothing else.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from pipelines.plan import Json
from service.errors import problem
from service.eta import Estimate
from service.model import Job, JobState
from service.pace import pace_in_words
from service.routes.site import absolute
from service.waiting import QueuePlace


class Wire(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    def to_json(self, *, sparse: bool = False) -> Json:
        """As it goes over the wire; `sparse` leaves out what is None."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=sparse)


class FaultDocument(Wire):
    pointer: str
    detail: str


class Problem(Wire):
    """RFC 9457, `application/problem+json`."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    errors: list[FaultDocument] = []


class Accepted(Wire):
    id: str
    status: Literal["NotStarted", "Running"]


class ReportStatus(Wire):
    status: Literal["In Progress", "Complete", "Failed", "Canceled"]
    estimated_time_remaining: str | None = None
    reportURL: str | None = None
    error: Problem | None = None


class ResultStatus(Wire):
    status: Literal["In Progress", "Complete", "Failed", "Canceled"]
    estimated_time_remaining: str | None = None
    resultURL: str | None = None
    error: Problem | None = None


class Units(Wire):
    done: int
    total: int | None
    kind: str


class Eta(Wire):
    seconds: float
    p90: float
    basis: str


class Queue(Wire):
    position: int
    reason: str


class Liveness(Wire):
    last_progress_at: datetime | None
    heartbeat_age_seconds: float | None


class Result(Wire):
    href: str
    media_type: str
    bytes: int
    rows: int | None
    sha256: str
    expires: datetime | None = None
    notes: list[str] | None = None
    media: dict[str, Any] | None = None


class Link(Wire):
    rel: str
    href: str


class JobDocument(Wire):
    """The canonical job."""

    id: str
    kind: str
    type: str
    parameters: dict[str, Any]
    status: Literal["accepted", "running", "successful", "failed", "dismissed"]
    progress: int
    units: Units
    phase: str
    message: str | None
    created: datetime
    started: datetime | None
    updated: datetime
    finished: datetime | None
    eta: Eta | None
    queue: Queue | None
    health: Liveness
    attempt: int
    priority: Literal["interactive", "batch"]
    cached: bool
    result: Result | None
    error: Problem | None
    links: list[Link]


class JobList(Wire):
    jobs: list[JobDocument]
    cursor: str | None
    links: list[Link]


class JobChanges(Wire):
    """What changed since a cursor, each job as it is now; the one that changed last comes last."""

    jobs: list[JobDocument]
    cursor: str
    links: list[Link]


class OperationError(Wire):
    code: str
    message: str


class Operation(Wire):
    """What azure-core's LROPoller reads."""

    id: str
    status: Literal["NotStarted", "Running", "Succeeded", "Failed", "Canceled"]
    percent_complete: int | None = None
    resource_location: str | None = None
    error: OperationError | None = None


class Output(Wire):
    href: str
    type: str
    bytes: int
    rows: int | None
    sha256: str


class Results(Wire):
    outputs: dict[str, Output]


def accepted_document(job: Job) -> Json:
    """The body of the 202; never a terminal word, for some clients end at it."""
    waits = job.state is JobState.ACCEPTED
    return Accepted(id=job.id, status="NotStarted" if waits else "Running").to_json()


def status_document(job: Job, estimate: Estimate | None) -> Json:
    """The seed's status: exactly these keys."""
    if job.state is JobState.SUCCESSFUL:
        name = "reportURL" if job.kind == "report" else "resultURL"
        return {"status": "Complete", name: download_path(job)}
    if job.state is JobState.FAILED:
        return {"status": "Failed", "error": error_document(job)}
    if job.state is JobState.DISMISSED:
        return {"status": "Canceled"}
    left = {} if estimate is None else {"estimatedTimeRemaining": f"{math.ceil(estimate.seconds)} seconds"}
    return {"status": "In Progress", **left}


def operation_document(job: Job) -> Json:
    words = {
        JobState.ACCEPTED: "NotStarted",
        JobState.RUNNING: "Running",
        JobState.SUCCESSFUL: "Succeeded",
        JobState.FAILED: "Failed",
        JobState.DISMISSED: "Canceled",
    }
    found: Json = {"id": job.id, "status": words[job.state]}
    if job.progress.total:
        found["percentComplete"] = job.percent
    if job.state is JobState.SUCCESSFUL:
        found["resourceLocation"] = absolute(f"/api/jobs/{job.id}/results")
    error = error_document(job)
    if error is not None:
        found["error"] = {"code": error["code"], "message": error["detail"]}
    return found


def results_document(job: Job) -> Json:
    artifact = job.artifact
    assert artifact is not None, "asked only of a job that has its result"
    output = Output(
        href=download_path(job),
        type=artifact.media_type,
        bytes=artifact.bytes,
        rows=artifact.rows,
        sha256=artifact.sha256,
    )
    return Results(outputs={job.kind: output}).to_json()


def job_document(
    job: Job, estimate: Estimate | None, queue: QueuePlace | None, heartbeat_age: float | None
) -> Json:
    progress, artifact = job.progress, job.artifact
    result = artifact and Result(
        href=download_path(job),
        media_type=artifact.media_type,
        bytes=artifact.bytes,
        rows=artifact.rows,
        sha256=artifact.sha256,
        expires=job.expires,
        notes=list(artifact.notes) or None,
        media=artifact.media,
    )
    return JobDocument(
        id=job.id,
        kind=job.kind,
        type=job.type,
        parameters=job.parameters,
        status=job.state.value,
        progress=job.percent,
        units=Units(done=progress.done, total=progress.total, kind=progress.unit),
        phase=progress.phase,
        message=job.message or pace_in_words(job),
        created=job.created,
        started=job.started,
        updated=job.updated,
        finished=job.finished,
        eta=None if estimate is None else eta_document(estimate),
        queue=queue and Queue(position=queue.position, reason=queue.reason),
        health=Liveness(
            last_progress_at=job.last_progress,
            heartbeat_age_seconds=None if heartbeat_age is None else round(heartbeat_age, 1),
        ),
        attempt=job.attempt,
        priority=job.priority.value,
        cached=job.cached,
        result=result,
        error=None if (error := error_document(job)) is None else Problem(**error),
        links=_links(job),
    ).to_json()


def eta_document(estimate: Estimate) -> Eta:
    return Eta(seconds=estimate.seconds, p90=estimate.p90, basis=estimate.basis)


def error_document(job: Job) -> Json | None:
    """Why an ended job has no result; None for any other."""
    where = f"/api/jobs/{job.id}"
    if job.error is not None:
        return problem(job.error.code, job.error.detail, where)
    if job.state is JobState.DISMISSED:
        return problem("canceled", "The job was canceled.", where)
    return None


def status_path(job: Job) -> str:
    return f"/api/{job.kind}s/{job.id}/status"


def download_path(job: Job) -> str:
    return f"/api/{job.kind}s/{job.id}/download"


def _links(job: Job) -> list[Link]:
    own = f"/api/jobs/{job.id}"
    links = [Link(rel="self", href=own), Link(rel="status", href=status_path(job))]
    if not job.ended:
        links.append(Link(rel="cancel", href=f"{own}/cancel"))
    if job.state in (JobState.FAILED, JobState.DISMISSED):
        links.append(Link(rel="retry", href=f"{own}/retry"))
    if job.state is JobState.SUCCESSFUL:
        links += [Link(rel="result", href=download_path(job)), Link(rel="results", href=f"{own}/results")]
    links += [Link(rel="events", href=f"{own}/events"), Link(rel="alternate", href=f"/jobs/{job.id}")]
    return [*links, Link(rel="collection", href="/api/jobs")]
