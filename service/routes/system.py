"""What operators and tools ask: health, and the OpenAPI document."""

from __future__ import annotations

from typing import Any

from flask import Response, current_app
from pydantic import BaseModel

from service.routes.answers import reply
from service.routes.describe import described
from service.routes.openapi import blueprint
from service.routes.requests import NoQuery
from service.routes.site import site

api = blueprint("system")


class Ready(BaseModel):
    status: str
    database: bool
    store: bool
    workers: int | None  # null: this process does not dispatch, and asks no cluster
    dispatching: bool
    scheduler: str | None


class Alive(BaseModel):
    status: str


@api.get("/healthz", responses={"200": Alive})
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
    return reply(described(document))
