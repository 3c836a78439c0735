"""Jobs of every kind: the list, the canonical document, cancel, retry, remove, the monitor, the manifest."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlencode

from flask import Response
from pydantic import Field

from pipelines.errors import Fault, InvalidRequest
from service.model import JobState
from service.routes import documents as wire
from service.routes.answers import accepted, awaited, job_view, observed, reply, status_view
from service.routes.openapi import blueprint
from service.routes.partials import partial_results
from service.routes.requests import JobPath, NoQuery, Query, WaitQuery, idempotency_key
from service.routes.site import absolute, site

api = blueprint("jobs")


class JobsQuery(Query):
    kind: Literal["report", "import", "video"] | None = None
    type: str | None = Field(None, description="A report type, an import format or a video operation")
    status: Literal["accepted", "running", "successful", "failed", "dismissed"] | None = None
    limit: int = Field(50, ge=1, le=200)
    cursor: str | None = Field(None, description="From the page before")


class ResultsQuery(Query):
    partial: bool = Field(False, description="Of a running report: its answer over the parts finished so far")


@api.get("/api/jobs", responses={"200": wire.JobList})
def list_jobs(query: JobsQuery) -> Response:
    """Jobs, newest first"""
    state = None if query.status is None else JobState(query.status)
    try:
        page = site().jobs.list(
            kind=query.kind, type=query.type, state=state, limit=query.limit, cursor=query.cursor
        )
    except ValueError:
        said = f"Query parameter 'cursor' is {query.cursor!r}; send the cursor of a page before, unchanged."
        raise InvalidRequest([Fault("", said)]) from None
    given = query.model_dump(exclude_none=True, exclude={"cursor"}, exclude_unset=True)
    links, headers = [{"rel": "self", "href": _address(given, query.cursor)}], {}
    if page.cursor is not None:
        links.append({"rel": "next", "href": _address(given, page.cursor)})
        headers["Link"] = f'<{absolute(links[-1]["href"])}>; rel="next"'
    found = [job_view(job) for job in page.jobs]
    return reply({"jobs": found, "cursor": page.cursor, "links": links}, headers=headers)


@api.get("/api/jobs/<id>", responses={"200": wire.JobDocument})
def get_job(path: JobPath, query: WaitQuery) -> Response:
    """One job, whole"""
    return observed(path.id, None, query.wait, job_view, every_change=True)


@api.delete("/api/jobs/<id>", responses={"200": wire.JobDocument, "202": wire.JobDocument, "204": None})
def delete_job(path: JobPath, query: NoQuery) -> Response:
    """Cancel an active job (200, 202); remove an ended one with its result (204)"""
    jobs = site().jobs
    if not jobs.get(path.id).ended:
        return _canceled(path.id)
    jobs.remove(path.id)
    return Response(status=204)


@api.post("/api/jobs/<id>/retry", responses={"202": wire.Accepted})
def retry_job(path: JobPath, query: NoQuery) -> Response:
    """Run a failed or canceled job again, as a new job"""
    return accepted(*site().jobs.retry(path.id, idempotency_key()))


@api.get("/api/jobs/<id>/monitor", responses={"200": wire.Results, "202": wire.ReportStatus})
def monitor_job(path: JobPath, query: WaitQuery) -> Response:
    """202 until the job has ended; then its results, or the problem it ended in"""
    job, headers = awaited(path.id, None, query.wait, every_change=False)
    if not job.ended:
        own = absolute(f"/api/jobs/{job.id}/monitor")
        return reply(status_view(job), 202, {**headers, "Location": own, "X-Progress": f"{job.percent} %"})
    error = wire.error_document(job)
    if error is not None:
        return reply(error, error["status"], headers, "application/problem+json")
    job, _ = site().jobs.artifact(job.id)
    return reply(wire.results_document(job), 200, headers)


@api.post("/api/jobs/<id>/cancel", responses={"200": wire.JobDocument, "202": wire.JobDocument})
def cancel_job(path: JobPath, query: NoQuery) -> Response:
    """End a job: 200 when it has ended, 202 while a running one is being stopped"""
    return _canceled(path.id)


@api.get("/api/jobs/<id>/results", responses={"200": wire.Results})
def job_results(path: JobPath, query: ResultsQuery) -> Response:
    """What a successful job left; of a running report, if asked for, what is known so far"""
    if query.partial and not (active := site().jobs.get(path.id)).ended:
        return partial_results(active)
    job, _ = site().jobs.artifact(path.id)
    return reply(wire.results_document(job))


def _canceled(job_id: str) -> Response:
    job = site().jobs.cancel(job_id)
    return reply(job_view(job), 200 if job.ended else 202)


def _address(given: dict[str, object], cursor: str | None) -> str:
    query = urlencode({**given, **({"cursor": cursor} if cursor else {})})
    return "/api/jobs" + (f"?{query}" if query else "")
