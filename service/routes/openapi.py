"""What is asked of flask-openapi: blueprints, and pieces of the document that no model gives."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from flask_openapi.blueprint import APIBlueprint
from flask_openapi.models import Tag
from pydantic import BaseModel

_SUBMISSIONS = ("/api/reports", "/api/imports", "/api/videos")
_SCHEMA = "#/components/schemas"
_HEADERS = {
    "Idempotency-Key": "The same key and body again: the first 202 again; another body: 422.",
    "Prefer": "`wait=N`: answer when the job has ended, after N seconds at the latest (60 at most).",
    "Haulier-Priority": "`interactive` (default) or `batch`.",
}

PROBLEM: dict[str | int | HTTPStatus, Any] = {
    status: {
        "description": said,
        "content": {"application/problem+json": {"schema": {"$ref": f"{_SCHEMA}/Problem"}}},
    }
    for status, said in (("422", "Everything that is wrong, at once"), ("default", "Any other refusal"))
}

FILE: dict[str, Any] = {
    "description": "The bytes; strong ETag, Repr-Digest, ranges",
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
}


EVENT_STREAM: dict[str, Any] = {
    "description": "Events `state`, `progress`, `done` with ids for Last-Event-ID; `partial` answers",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}


def blueprint(name: str) -> APIBlueprint:
    """A resource; every route of it may answer with a problem."""
    return APIBlueprint(
        name, f"service.routes.{name}", abp_tags=[Tag(name=name)], abp_responses=dict(PROBLEM)
    )


def submission_headers() -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "header", "required": False, "description": said, "schema": {"type": "string"}}
        for name, said in _HEADERS.items()
    ]


def body_of(model: type[BaseModel], **other: Mapping[str, Any]) -> dict[str, Any]:
    """A required JSON body, and other content types with their schemas."""
    kinds: dict[str, Mapping[str, Any]] = {"application/json": model.model_json_schema(), **other}
    return {"required": True, "content": {kind: {"schema": schema} for kind, schema in kinds.items()}}


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """The generated document and what the generator cannot know: the headers of submissions."""
    paths = dict(document["paths"])
    for path in _SUBMISSIONS:
        post = paths[path]["post"]
        with_headers = {**post, "parameters": [*post.get("parameters", []), *submission_headers()]}
        paths[path] = {**paths[path], "post": with_headers}
    return {**document, "paths": paths}
