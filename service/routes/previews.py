"""dryRun: the answer to a submission that only asks what it would cost. 200, and nothing is stored."""

from __future__ import annotations

from typing import Any

from flask import Response, request
from pydantic import Field

from pipelines.errors import Fault, InvalidRequest
from pipelines.plan import Json
from service.preview import Preview
from service.routes import documents as wire
from service.routes.answers import reply
from service.routes.requests import Query
from service.routes.site import site
from service.submission import Sources
from service.track_record import Record

DRY_RUN = "dryRun"
_WORDS = {"true": True, "1": True, "false": False, "0": False}


class DryRunQuery(Query):
    dryRun: bool = Field(False, description="Only say what it would cost: 200, and nothing is stored.")


class Reads(wire.Wire):
    """What would be read, whatever of it is known already."""

    fragments: int | None = None
    files: int | None = None
    rows: int | None = None
    bytes: int | None = None


class Computed(wire.Wire):
    """What of it earlier jobs have found out; `answered_by` has the whole answer, or is at work on it."""

    rows: int | None = None
    answered_by: str | None


class Wait(wire.Wire):
    jobs_ahead: int
    seconds: float


class PastError(wire.Wire):
    """Of estimates for jobs of this type before they started: the middle error as a share of the truth, and
    the share of jobs that ended within their p90."""

    jobs: int
    median: float
    under_p90: float


class PreviewDocument(wire.Wire):
    valid: bool
    request: dict[str, Any]
    reads: Reads
    computed: Computed
    queue: Wait
    estimate: wire.Eta | None
    past_error: PastError | None


def asked_by(body: Json | None = None) -> bool:
    """Whether the query string, or a member of the JSON body, which is taken out, says `dryRun`."""
    given = request.args.get(DRY_RUN, "false")
    if given.lower() not in _WORDS:
        raise InvalidRequest([Fault("", f"Query parameter {DRY_RUN!r} is {given!r}; write true or false.")])
    member = body.pop(DRY_RUN, False) if body is not None else False
    if not isinstance(member, bool):
        raise InvalidRequest([Fault(f"/{DRY_RUN}", f"{DRY_RUN} is {member!r}; write true or false.")])
    return member or _WORDS[given.lower()]


def previewed(kind: str, payload: Json, source: Sources | None = None) -> Response:
    """What the submission would cost; InvalidRequest with all its faults."""
    return reply(_document(site().jobs.preview(kind, payload, source)).to_json())


def _document(found: Preview) -> PreviewDocument:
    outlook = found.outlook
    return PreviewDocument(
        valid=True,
        request=found.told["request"],
        reads=Reads(**found.told["reads"]),
        computed=Computed(rows=found.told["computed"].get("rows"), answered_by=found.answered_by),
        queue=Wait(jobs_ahead=outlook.ahead, seconds=round(outlook.queue_seconds, 1)),
        estimate=None if outlook.estimate is None else wire.eta_document(outlook.estimate),
        past_error=None if outlook.record is None else _past(outlook.record),
    )


def _past(record: Record) -> PastError:
    return PastError(jobs=record.jobs, median=record.error, under_p90=record.under_p90)
