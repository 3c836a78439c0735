"""What operators and tools ask: health, the OpenAPI document, Swagger UI from its wheel, problem pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flask_openapi_swagger  # type: ignore[import-untyped]
from flask import Response, current_app, render_template, send_from_directory
from pydantic import BaseModel

from service.errors import PROBLEMS, Refused
from service.routes.answers import reply
from service.routes.openapi import blueprint, complete
from service.routes.requests import NoQuery
from service.routes.site import site

api = blueprint("system")

_SWAGGER = Path(flask_openapi_swagger.__file__).parent / "templates" / "swagger"
_DOCS = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"


class Ready(BaseModel):
    status: str
    database: bool
    store: bool
    workers: int
    dispatching: bool
    scheduler: str | None


@api.get("/healthz")
def healthz(query: NoQuery) -> Response:
    """The process lives"""
    return reply({"status": "ok"})


@api.get("/readyz", responses={"200": Ready, "503": Ready})
def readyz(query: NoQuery) -> Response:
    """Jobs can be accepted; workers are told, not required"""
    health = site().health()
    ready = health.database and health.store
    document = {
        "status": "ready" if ready else "not ready",
        "database": health.database,
        "store": health.store,
        "workers": health.workers,
        "dispatching": health.dispatching,
        "scheduler": site().scheduler(),
    }
    return reply(document, 200 if ready else 503)


@api.get("/openapi.json", doc_ui=False)
def openapi() -> Response:
    document: dict[str, Any] = current_app.api_doc  # type: ignore[attr-defined]
    return reply(complete(document))


@api.get("/docs", doc_ui=False)
def docs() -> Response:
    response = Response(render_template("docs.html"), content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = _DOCS
    return response


@api.get("/docs/<path:name>", doc_ui=False)
def docs_file(name: str) -> Response:
    return send_from_directory(_SWAGGER, name, max_age=86400)


@api.get("/problems/<code>", doc_ui=False)
def problem_page(code: str) -> str:
    if code not in PROBLEMS:
        raise Refused("not-found", f"There is no problem {code!r}; every problem names its own page.")
    status, title, advice = PROBLEMS[code]
    return render_template("problem.html", code=code, status=status, title=title, advice=advice)
