"""The same jobs in the words of Azure's long-running operations, for clients that know no others."""

from __future__ import annotations

from flask import Response

from service.routes import documents as wire
from service.routes.answers import observed
from service.routes.openapi import blueprint
from service.routes.requests import JobPath, WaitQuery

api = blueprint("operations")


@api.get("/api/operations/<id>", responses={"200": wire.Operation})
def get_operation(path: JobPath, query: WaitQuery) -> Response:
    """A job as a long-running operation"""
    return observed(path.id, None, query.wait, wire.operation_document)
