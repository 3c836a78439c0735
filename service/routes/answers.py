"""How jobs are answered: the 202 of a submission, and conditional answers that can wait for a change."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TypeVar

from flask import Response, g, request

from pipelines.plan import Json
from service.errors import TooFast
from service.eta import Estimate
from service.model import Job
from service.pacing import pause
from service.routes.documents import accepted_document, job_document, status_document, status_path
from service.routes.requests import LONGEST_WAIT, preferences, preferred_wait
from service.routes.site import absolute, site

T = TypeVar("T")


def reply(
    document: Json,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    content_type: str = "application/json",
) -> Response:
    text = json.dumps(document, ensure_ascii=False) + "\n"
    return Response(text, status, headers, content_type=content_type)


def accepted(job: Job, replayed: bool) -> Response:
    """202 with every address a client may want to go on with. The row is committed and synced."""
    seconds, waiting = preferred_wait(), site().jobs.waiting
    applied = [] if not any(name == "respond-async" for name, _ in preferences()) else ["respond-async"]
    if seconds and (later := waited(lambda: waiting.until(job.id, seconds, _never))) is not None:
        applied.append(f"wait={seconds}")
        job = later
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
    every_change |= tagged

    def news(now: Job) -> bool:
        return now.state is not job.state or (every_change and now.revision != job.revision)

    waiting = site().jobs.waiting
    if waits and (later := waited(lambda: waiting.until(job.id, seconds or 0, news))) is not None:
        job = later
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
    found = _estimate(job)
    return str(pause(found.seconds if found else None))


def job_view(job: Job) -> Json:
    waiting = site().jobs.waiting
    return job_document(job, _estimate(job), waiting.queue(job), waiting.heartbeat_age(job))


def status_view(job: Job) -> Json:
    return status_document(job, _estimate(job))


def _estimate(job: Job) -> Estimate | None:
    """Made once a request: body and headers tell of the same."""
    known: tuple[Job, Estimate | None] | None = g.get("estimate")
    if known is None or known[0] is not job:
        known = g.estimate = job, site().jobs.waiting.estimate(job)
    return known[1]


def _never(job: Job) -> bool:
    return False


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


def waited(wait: Callable[[], T]) -> T | None:
    """Wait unless too many do: then the answer comes at once, and the client paces itself by Retry-After."""
    waiters = site().waiters
    if not waiters.enter():
        return None
    g.waited = True  # how long it takes says nothing of us
    try:
        return wait()
    finally:
        waiters.leave()
