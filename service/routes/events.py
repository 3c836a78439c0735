"""A job's story as server-sent events, and what changed in all jobs since a cursor."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

from flask import Response, g, request
from pydantic import Field

from pipelines.errors import Fault, InvalidRequest
from pipelines.plan import Json
from service.jobs import Jobs
from service.routes import documents as wire
from service.routes.answers import job_view, reply, waited
from service.routes.openapi import EVENT_STREAM, blueprint
from service.routes.partials import written
from service.routes.requests import LONGEST_WAIT, JobPath, NoQuery, Query, preferred_wait
from service.routes.site import Room, site
from service.stream import News
from service.waiting import Waiting

api = blueprint("events")

_AGAIN = 2000  # milliseconds after which a browser that lost the stream comes back
_PARTIAL, _PARTIAL_ROWS = 2.0, 1000  # seconds between two partial answers at least; rows of one at most
_LATER = 10_000  # the same while there is no room to hold more streams


class ChangesQuery(Query):
    cursor: str | None = Field(None, description="From the answer before; without it all active jobs.")
    wait: int | None = Field(None, ge=0, description=f"Seconds to wait for a change; {LONGEST_WAIT} at most.")


@api.get("/api/jobs/changes", responses={"200": wire.JobChanges})
def job_changes(query: ChangesQuery) -> Response:
    """All jobs that changed state or phase since a cursor, in one call"""
    wait = min(query.wait, LONGEST_WAIT) if query.wait is not None else preferred_wait()
    waiting, headers = site().jobs.waiting, {}
    try:
        found = waiting.changes("local", query.cursor, 0)
        if wait and query.cursor and not found.jobs:
            held = waited(lambda: waiting.changes("local", found.mark.to_cursor(), wait))
            if held is not None and query.wait is None:
                headers["Preference-Applied"] = f"wait={wait}"
            found = held or found
    except ValueError:
        said = (
            f"Query parameter 'cursor' is {query.cursor!r}; send the cursor of the answer before, unchanged."
        )
        raise InvalidRequest([Fault("", said)]) from None
    cursor = found.mark.to_cursor()
    following = f"/api/jobs/changes?cursor={cursor}"
    if not found.jobs:
        headers["Retry-After"] = "1" if wait else "5"
    document = {
        "jobs": [job_view(job) for job in found.jobs],
        "cursor": cursor,
        "links": [{"rel": "next", "href": following}],
    }
    return reply(document, headers=headers)


@api.get("/api/jobs/<id>/events", responses={"200": EVENT_STREAM, "204": None})
def job_events(path: JobPath, query: NoQuery) -> Response:
    """What happens to a job as server-sent events, until it has ended"""
    jobs, after = site().jobs, _last_event_id()
    job = jobs.get(path.id)
    if job.ended and after and not jobs.events(job.id, after, 1):
        return Response(status=204)  # a browser that has seen the end must not come back
    streams = site().streams
    hold = streams.enter()
    news = jobs.follow(job.id, after, hold=hold)
    g.waited = True
    body = _Body(_written(news, jobs, _AGAIN if hold else _LATER), streams if hold else None)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Response(body, headers=headers, content_type="text/event-stream", direct_passthrough=True)


class _Body:
    """Gives its place back when the server is done with it, also if it was never begun."""

    def __init__(self, parts: Iterator[bytes], room: Room | None) -> None:
        self._parts, self._room = parts, room

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._parts)
        except BaseException:  # also when it is over: not every server says so with `close`
            self.close()
            raise

    def close(self) -> None:
        room, self._room = self._room, None
        if room is not None:
            room.leave()


def _last_event_id() -> int:
    text = request.headers.get("Last-Event-ID", "").strip()
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        said = f"Last-Event-ID is {text!r}; send the id of the last event that came, or none."
        raise InvalidRequest([Fault("", said)])
    return int(text)


def _written(news: Iterator[News | None], jobs: Jobs, again: int) -> Iterator[bytes]:
    """Runs while the server sends, when the request's own context is gone."""
    yield f"retry: {again}\n\n".encode()
    shown, covered = time.monotonic(), 0
    for each in news:
        yield b": \n\n" if each is None else _event(each, jobs.waiting)
        if each is None or each.kind != "progress" or time.monotonic() - shown < _PARTIAL:
            continue
        found = jobs.glances.so_far(each.job)
        shown = time.monotonic()
        if found is not None and found.covered > covered and found.rows <= _PARTIAL_ROWS:
            covered = found.covered
            yield f"event: partial\ndata: {written(found)}\n\n".encode()


def _event(news: News, waiting: Waiting) -> bytes:
    number = "" if news.event is None else f"id: {news.event.sequence}\n"
    data = json.dumps(_DATA[news.kind](news, waiting), ensure_ascii=False)
    return f"{number}event: {news.kind}\ndata: {data}\n\n".encode()


def _state(news: News, waiting: Waiting) -> Json:
    assert news.event is not None
    told = {name: value for name, value in news.event.data.items() if name in ("reason", "attempt", "leader")}
    at = news.event.at.isoformat().replace("+00:00", "Z")
    return {"name": news.event.name, "at": at, "status": news.job.state.value, **told}


def _progress(news: News, waiting: Waiting) -> Json:
    job, estimate = news.job, waiting.estimate(news.job)
    units = wire.Units(done=job.progress.done, total=job.progress.total, kind=job.progress.unit)
    return {
        "status": job.state.value,
        "progress": job.percent,
        "units": units.to_json(),
        "phase": job.progress.phase,
        "message": job.message,
        "eta": None if estimate is None else wire.eta_document(estimate).to_json(),
    }


def _done(news: News, waiting: Waiting) -> Json:
    return wire.job_document(news.job, None, None, None)


_DATA: dict[str, Callable[[News, Waiting], Json]] = {"state": _state, "progress": _progress, "done": _done}
