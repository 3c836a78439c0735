"""How jobs are answered: the 202 of a submission, and conditional answers that can wait for a change."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping

from flask import Response, request

from pipelines.plan import Json
from service.model import Job, retry_after
from service.routes.documents import accepted_document, job_document, status_document, status_path
from service.routes.requests import LONGEST_WAIT, preferences, preferred_wait
from service.routes.site import absolute, site


def reply(document: Json, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    text = json.dumps(document, ensure_ascii=False) + "\n"
    return Response(text, status, headers, content_type="application/json")


def accepted(job: Job, replayed: bool) -> Response:
    """202 with every address a client may want to go on with. The row is committed and synced."""
    seconds = preferred_wait()
    applied = [] if not any(name == "respond-async" for name, _ in preferences()) else ["respond-async"]
    if seconds and _waited(lambda: _until_ended(job, seconds)):
        applied.append(f"wait={seconds}")
        job = site().jobs.get(job.id)
    estimate = site().jobs.estimate(job)
    headers = {
        "Location": status_path(job),
        "Operation-Location": absolute(f"/api/operations/{job.id}"),
        "Link": f'<{absolute(f"/api/jobs/{job.id}")}>; rel="monitor"',
        "Retry-After": str(retry_after(estimate.seconds if estimate else None)),
    }
    if applied:
        headers["Preference-Applied"] = ", ".join(applied)
    if replayed:
        headers["Idempotency-Replayed"] = "true"
    return reply(accepted_document(job), 202, headers)


def observed(job_id: str, kind: str | None, wait: int | None, view: Callable[[Job], Json]) -> Response:
    """The job in some view: at once, or at its next change if the client waits; 304 for what it has."""
    job = site().jobs.get(job_id, kind)
    headers = {}
    preferred = preferred_wait()
    seconds = min(wait, LONGEST_WAIT) if wait is not None else preferred
    news = request.if_none_match and not request.if_none_match.contains_weak(_tag(job))
    if seconds and not job.ended and not news and _waited(lambda: _until_changed(job, seconds)):
        job = site().jobs.get(job_id, kind)
        if wait is None:
            headers["Preference-Applied"] = f"wait={seconds}"
    headers["ETag"] = f'W/"{_tag(job)}"'
    headers["Vary"] = "Prefer"
    if not job.ended:
        estimate = site().jobs.estimate(job)
        headers["Retry-After"] = str(retry_after(estimate.seconds if estimate else None))
    if request.if_none_match.contains_weak(_tag(job)):
        return Response(status=304, headers=headers)
    return reply(view(job), 200, headers)


def job_view(job: Job) -> Json:
    jobs = site().jobs
    return job_document(job, jobs.estimate(job), jobs.queue(job), jobs.heartbeat_age(job))


def status_view(job: Job) -> Json:
    return status_document(job, site().jobs.estimate(job))


def _tag(job: Job) -> str:
    return f"{job.id}-{job.revision}"


def _waited(wait: Callable[[], None]) -> bool:
    """Wait unless too many do: then the answer comes at once, and the client paces itself by Retry-After."""
    waiters = site().waiters
    if not waiters.acquire(blocking=False):
        return False
    try:
        wait()
    finally:
        waiters.release()
    return True


def _until_changed(job: Job, seconds: float) -> None:
    site().jobs.wait(job.id, seconds, job.revision)


def _until_ended(job: Job, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not job.ended and (left := deadline - time.monotonic()) > 0:
        job = site().jobs.wait(job.id, left, job.revision)
