"""How jobs are answered: the 202 of a submission, and conditional answers that can wait for a change."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping

from flask import Response, g, request

from pipelines.plan import Json
from service.errors import TooFast
from service.model import Job
from service.pacing import pause
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
    headers = {
        "Location": status_path(job),
        "Operation-Location": absolute(f"/api/operations/{job.id}"),
        "Link": f'<{absolute(f"/api/jobs/{job.id}")}>; rel="monitor"',
        "Retry-After": pace(job),
    }
    if applied:
        headers["Preference-Applied"] = ", ".join(applied)
    if replayed:
        headers["Idempotency-Replayed"] = "true"
    return reply(accepted_document(job), 202, headers)


def observed(
    job_id: str,
    kind: str | None,
    wait: int | None,
    view: Callable[[Job], Json],
    *,
    every_change: bool = False,
) -> Response:
    """The job in some view: at once, or at its next change if the client waits; 304 for what it has.

    Who sends the tag of what it has, or wants `every_change`, hears of progress; else of a new state only.
    """
    job, headers = awaited(job_id, kind, wait, every_change=every_change)
    headers["ETag"] = f'W/"{_tag(job)}"'
    headers["Vary"] = "Prefer"
    if request.if_none_match.contains_weak(_tag(job)):
        return Response(status=304, headers=headers)
    return reply(view(job), 200, headers)


def awaited(
    job_id: str, kind: str | None, wait: int | None, *, every_change: bool
) -> tuple[Job, dict[str, str]]:
    """The job, after the wait that the client asked for, and the headers that pace it; or TooFast."""
    job = site().jobs.get(job_id, kind)
    headers: dict[str, str] = {}
    preferred = preferred_wait()
    seconds = min(wait, LONGEST_WAIT) if wait is not None else preferred
    tagged = bool(request.if_none_match)
    waits = bool(seconds) and not job.ended
    waits = waits and (not tagged or request.if_none_match.contains_weak(_tag(job)))
    until = _until_changed if tagged or every_change else _until_moved
    if waits and _waited(lambda: until(job, seconds or 0)):
        job = site().jobs.get(job_id, kind)
        if wait is None:
            headers["Preference-Applied"] = f"wait={seconds}"
    elif not job.ended:
        _check_pace(job)
    if not job.ended:
        headers["Retry-After"] = pace(job)
        site().pacing.told(_client(), job.id, int(headers["Retry-After"]))
    return job, headers


def pace(job: Job) -> str:
    """The value of Retry-After."""
    estimate = site().jobs.waiting.estimate(job)
    return str(pause(estimate.seconds if estimate else None))


def job_view(job: Job) -> Json:
    waiting = site().jobs.waiting
    return job_document(job, waiting.estimate(job), waiting.queue(job), waiting.heartbeat_age(job))


def status_view(job: Job) -> Json:
    return status_document(job, site().jobs.waiting.estimate(job))


def _tag(job: Job) -> str:
    return f"{job.id}-{job.revision}"


def _check_pace(job: Job) -> None:
    seconds = site().pacing.too_fast(_client(), job.id)
    if seconds is not None:
        raise TooFast(seconds)


def _client() -> str:
    """As well as clients can be told apart before they have keys; the server hides their ports."""
    through = request.headers.get("X-Forwarded-For", "")
    return f"{request.remote_addr} {through} {request.user_agent.string}"


def _waited(wait: Callable[[], None]) -> bool:
    """Wait unless too many do: then the answer comes at once, and the client paces itself by Retry-After."""
    waiters = site().waiters
    if not waiters.enter():
        return False
    g.waited = True  # how long it takes says nothing of us
    try:
        wait()
    finally:
        waiters.leave()
    return True


def _until_changed(job: Job, seconds: float) -> None:
    site().jobs.waiting.until_changed(job.id, seconds, job.revision)


def _until_moved(job: Job, seconds: float) -> None:
    deadline, state = time.monotonic() + seconds, job.state
    while job.state is state and (left := deadline - time.monotonic()) > 0:
        job = site().jobs.waiting.until_changed(job.id, left, job.revision)


def _until_ended(job: Job, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not job.ended and (left := deadline - time.monotonic()) > 0:
        job = site().jobs.waiting.until_changed(job.id, left, job.revision)
