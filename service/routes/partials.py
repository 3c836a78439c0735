"""Partial answers: a report over what is known so far, with how much that is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from flask import Response, request

from service.errors import NoPartial
from service.model import Job
from service.routes.answers import pace
from service.routes.site import site

if TYPE_CHECKING:
    from pipelines.reports.partial import SoFar


def partial_results(job: Job) -> Response:
    """200 with `coverage` and `report`; NoPartial where nothing can be told before the end."""
    found = site().jobs.glances.so_far(job)
    if found is None:
        raise NoPartial(job)
    tag = f"{job.id}-partial-{found.covered}"
    headers = {"ETag": f'W/"{tag}"', "Retry-After": pace(job)}
    if request.if_none_match.contains_weak(tag):
        return Response(status=304, headers=headers)
    return Response(written(found) + "\n", headers=headers, content_type="application/json")


def written(found: SoFar) -> str:
    """One line of JSON. The rows are text already: as numbers of Python they would lose digits."""
    head = {"coverage": found.coverage, "rowsRead": found.covered, "rowsTotal": found.total}
    return json.dumps(head)[:-1] + f', "rows": {found.rows}, "report": {found.report}}}'
