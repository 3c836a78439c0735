"""What is asked of flask-openapi: blueprints, and pieces of the document that no model gives."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from flask_openapi.blueprint import APIBlueprint
from flask_openapi.models import Tag
from pydantic import BaseModel

REF = "#/components/schemas"

PROBLEM: dict[str | int | HTTPStatus, Any] = {
    status: {
        "description": said,
        "content": {"application/problem+json": {"schema": {"$ref": f"{REF}/Problem"}}},
    }
    for status, said in (("422", "Everything that is wrong, at once"), ("default", "Any other refusal"))
}

CSV: dict[str, Any] = {
    "description": "A header row, then one row each",
    "content": {"text/csv": {"schema": {"type": "string"}}},
}

FILE: dict[str, Any] = {
    "description": "The bytes; strong ETag, Repr-Digest, ranges",
    "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
}


TEXT: dict[str, Any] = {
    "description": "As Prometheus reads it",
    "content": {"text/plain": {"schema": {"type": "string"}}},
}

_EVENT = {  # of one of them
    "type": "object",
    "required": ["data"],
    "properties": {
        "event": {"enum": ["state", "progress", "partial", "done"]},
        "id": {"type": "string"},
        "data": {"type": "string", "description": "JSON"},
    },
}
EVENT_STREAM: dict[str, Any] = {
    "description": "Events `state`, `progress`, `done` with ids for Last-Event-ID; `partial` answers",
    "content": {"text/event-stream": {"schema": _EVENT}},
}


def blueprint(name: str) -> APIBlueprint:
    """A resource; every route of it may answer with a problem."""
    return APIBlueprint(
        name, f"service.routes.{name}", abp_tags=[Tag(name=name)], abp_responses=dict(PROBLEM)
    )


def body_of(model: type[BaseModel], **other: Mapping[str, Any]) -> dict[str, Any]:
    """A required JSON body (`describe` has the model), and other content types with their schemas."""
    kinds: dict[str, Mapping[str, Any]] = {
        "application/json": {"$ref": f"{REF}/{model.__name__}"},
        **other,
    }
    return {"required": True, "content": {kind: {"schema": schema} for kind, schema in kinds.items()}}
