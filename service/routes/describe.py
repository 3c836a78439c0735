"""The OpenAPI document as it is served: what is generated from the routes, and what a generator cannot know.

That is the bodies of submissions by name, headers, 304, the messages to callbacks, examples.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from service.routes.deliveries import WebhookEvent
from service.routes.examples import SCHEMAS
from service.routes.imports import ImportRequest
from service.routes.openapi import REF
from service.routes.reports import ReportRequest
from service.routes.videos import VideoRequest

_Document = dict[str, Any]

_BODIES: tuple[type[BaseModel], ...] = (ReportRequest, ImportRequest, VideoRequest, WebhookEvent)
_KEY = {"Idempotency-Key": "The same key and body again: the first 202 again; another body: 422."}
_SUBMISSION = {
    **_KEY,
    "Prefer": "`wait=N`: answer when the job has ended, after N seconds at the latest (60 at most).",
    "Haulier-Priority": "`interactive` (default) or `batch`.",
}
_RAW = {
    "Haulier-Options": "With the file as the body: the options as JSON.",
    "Haulier-Callbacks": "With the file as the body: the callbacks as JSON.",
}
_RESUME = {"Last-Event-ID": "The id of the last event that came: go on after it."}
_HEADERS = {
    ("/api/reports", "post"): _SUBMISSION,
    ("/api/imports", "post"): {**_SUBMISSION, **_RAW},
    ("/api/videos", "post"): _SUBMISSION,
    ("/api/jobs/{id}/retry", "post"): _KEY,
    ("/api/jobs/{id}/events", "get"): _RESUME,
}
_QUERY = {
    ("/api/imports", "post"): {
        "dataset": "With the file as the body: the dataset to load it into.",
        "filename": "With the file as the body: what it is called.",
        "dryRun": "`true`: only say what it would cost: 200, and nothing is stored.",
    }
}
_SIGNATURE = {
    "webhook-id": "The same for every attempt to send this message.",
    "webhook-timestamp": "Seconds since 1970 at this attempt.",
    "webhook-signature": "`v1,` and base64 of the HMAC-SHA256 of `id.timestamp.body`; several for a while.",
}
_ANSWER_HEADERS = {
    "Location": "The status of the job, as in the seed's wire",
    "Operation-Location": "The job for clients that know Azure's long-running operations",
    "Link": 'The canonical job, `rel="monitor"`',
    "Retry-After": "Seconds to wait before the first poll",
    "Idempotency-Replayed": "`true` when the key came before",
    "Preference-Applied": "What was heeded of `Prefer`",
}


def described(generated: _Document) -> _Document:
    """The whole document; what is given stays as it is."""
    paths = {
        path: {method: _operation(path, method, told) for method, told in methods.items()}
        for path, methods in generated["paths"].items()
    }
    return {**generated, "paths": paths, "components": _components(generated["components"])}


def _operation(path: str, method: str, told: _Document) -> _Document:
    headers, query = _HEADERS.get((path, method), {}), _QUERY.get((path, method), {})
    parameters = [*told.get("parameters", []), *_parameters(query, "query"), *_parameters(headers, "header")]
    found = {**told, "parameters": parameters}
    responses = dict(told["responses"])
    if headers.keys() >= _SUBMISSION.keys() or path.endswith("/retry"):
        responses["202"] = {**responses["202"], "headers": _answer_headers()}
    if headers.keys() >= _SUBMISSION.keys():
        found["callbacks"] = {"job": {"{$request.body#/callbacks/0/url}": {"post": _message()}}}
    if method == "get" and "304" not in responses and _is_conditional(parameters):
        responses["304"] = {"description": "What the client has (`If-None-Match`) is what there is"}
    return {**found, "responses": responses}


def _is_conditional(parameters: list[_Document]) -> bool:
    named = {parameter["name"] for parameter in parameters}
    return {"id", "wait"} <= named


def _components(given: _Document) -> _Document:
    schemas = dict(given["schemas"])
    for model in _BODIES:
        schema = model.model_json_schema(ref_template=f"{REF}/{{model}}", mode="serialization")
        schemas |= schema.pop("$defs", {})
        schemas[model.__name__] = schema
    for name, examples in SCHEMAS.items():
        schemas[name] = {**schemas[name], "examples": examples}
    return {**given, "schemas": schemas}


def _message() -> _Document:
    """What is sent to a callback."""
    body = {"application/cloudevents+json": {"schema": {"$ref": f"{REF}/WebhookEvent"}}}
    return {
        "summary": "A webhook: a CloudEvent, signed as Standard Webhooks says",
        "parameters": _parameters(_SIGNATURE, "header", required=True),
        "requestBody": {"required": True, "content": body},
        "responses": {
            "2XX": {"description": "Taken; any other answer but 410 and it comes again, ten times in all"},
            "410": {"description": "No more of this message"},
        },
    }


def _parameters(named: dict[str, str], where: str, *, required: bool = False) -> list[_Document]:
    schema = {"type": "string"}
    return [
        {"name": name, "in": where, "required": required, "description": said, "schema": schema}
        for name, said in named.items()
    ]


def _answer_headers() -> _Document:
    return {
        name: {"description": said, "schema": {"type": "string"}} for name, said in _ANSWER_HEADERS.items()
    }
