"""Every refusal as `application/problem+json`; what is our own fault, with a trace id and no more."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from typing import Any

import structlog
from flask import Flask, Response, request
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException

from pipelines.errors import BadInput, Fault, InvalidRequest, NoSpace, PipelineError, UnknownDataset, nearest
from service.errors import PROBLEMS, NoPartial, NotReady, ServiceError, TooFast, Unavailable, problem
from service.routes.answers import pace

log = structlog.get_logger()

_BY_STATUS = {
    400: "bad-request",
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
    416: "range-not-satisfiable",
}
_KEPT = ("Allow", "Content-Range", "Retry-After")  # what HTTPException headers are for


def install(app: Flask) -> None:
    app.register_error_handler(InvalidRequest, _invalid)
    app.register_error_handler(ServiceError, _refused)
    app.register_error_handler(PipelineError, _pipeline)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _bug)


def answer(
    code: str,
    detail: str,
    *,
    faults: Iterable[Fault] = (),
    status: int | None = None,
    title: str | None = None,
    more: dict[str, Any] | None = None,
) -> Response:
    document = problem(code, detail, request.path, faults=faults, status=status, title=title)
    text = json.dumps({**document, **(more or {})}, ensure_ascii=False)
    return Response(text + "\n", document["status"], content_type="application/problem+json")


def query_faults(error: ValidationError) -> Response:
    """For flask-openapi: what pydantic found in a query string."""
    faults = []
    for each in error.errors(include_url=False, include_input=True):
        name = ".".join(str(part) for part in each["loc"])
        if each["type"] == "extra_forbidden":
            known = nearest(name, each.get("ctx", {}).get("known", ()))
            faults.append(Fault("", f"There is no query parameter {name!r} here{known}"))
        else:
            said = each["msg"].removeprefix("Value error, ").removeprefix("Input ")
            faults.append(Fault("", f"Query parameter {name!r} is {each['input']!r}: {said}."))
    return _invalid(InvalidRequest(faults))


def _invalid(error: InvalidRequest) -> Response:
    count = len(error.faults)
    said = error.faults[0].detail if count == 1 else f"The request has {count} faults; see errors."
    return answer(error.code, said, faults=error.faults)


def _refused(error: ServiceError) -> Response:
    response = answer(error.code, error.detail, status=error.status, title=error.title)
    if isinstance(error, NotReady | NoPartial):
        response.headers["Retry-After"] = pace(error.job)
    elif isinstance(error, TooFast):
        response.headers["Retry-After"] = str(error.seconds)
    elif isinstance(error, Unavailable):
        response.headers["Retry-After"] = "5"
    return response


def _pipeline(error: PipelineError) -> Response:
    if isinstance(error, UnknownDataset | BadInput | NoSpace):
        return answer(error.code, error.detail)
    return _bug(error)


def _http(error: HTTPException) -> Response:
    status = error.code or 500
    code = _BY_STATUS.get(status, "bad-request" if status < 500 else "internal")
    said = {
        404: f"There is nothing at {request.path}; /docs lists all addresses.",
        405: f"{request.method} is not possible at {request.path}.",
        413: "The body is too large.",
    }.get(status, error.description or "The request cannot be served.")
    title = None if code in PROBLEMS else error.name
    response = answer(code, said, status=status, title=title)
    for name, value in error.get_headers():
        if name in _KEPT:
            response.headers[name] = value
    return response


def _bug(error: Exception) -> Response:
    trace = secrets.token_hex(8)
    log.error("request-failed", trace=trace, method=request.method, path=request.path, exc_info=error)
    said = f"Something went wrong in the service; its log says more under the trace id {trace}."
    return answer("internal", said, more={"traceId": trace})
