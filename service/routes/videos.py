"""Videos: two ways to hand over files, then status and download; what can be done with them."""

from __future__ import annotations

from typing import Any

from flask import Response, request
from pydantic import BaseModel, Field

from pipelines.plan import Json
from service.errors import Refused
from service.routes import documents as wire
from service.routes.answers import accepted, job_view, observed, reply, status_view
from service.routes.deliveries import CallbackRequest
from service.routes.downloads import download
from service.routes.openapi import FILE, blueprint, body_of
from service.routes.previews import DryRunQuery, PreviewDocument, asked_by, previewed
from service.routes.requests import (
    JobPath,
    NoQuery,
    WaitQuery,
    idempotency_key,
    is_json,
    json_object,
    priority,
)
from service.routes.site import site
from service.routes.uploads import VIDEO, form_upload, named_files
from service.submission import Sources, given

api = blueprint("videos")


class VideoRequest(BaseModel):
    operation: str = Field(examples=["transcode"])
    source: str | list[str] = Field(
        description="Path of a file in an input folder of the service; several where the operation takes more"
    )
    parameters: dict[str, Any] = Field({}, examples=[{"preset": "web-720p"}])
    callbacks: list[CallbackRequest] | None = None


_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["operation", "file"],
    "properties": {
        "operation": {"type": "string"},
        "file": {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
            "description": "The video; again for a watermark's picture, subtitles, more videos",
        },
        "parameters": {"type": "string", "description": "JSON"},
        "callbacks": {"type": "string", "description": "JSON"},
    },
}


@api.post(
    "/api/videos",
    request_body=body_of(VideoRequest, **{"multipart/form-data": _FORM}),
    responses={"202": wire.Accepted, "200": PreviewDocument},
)
def create_video(query: DryRunQuery) -> Response:
    """Start a video operation, or ask what it would cost"""
    dry = asked_by()  # before a byte of a file is stored
    if request.mimetype == "multipart/form-data":
        form = form_upload(site().store, VIDEO)
        return _submit(form.required, form.uploads, form.json, form.callbacks, dry)
    if is_json():
        body = json_object()
        dry |= asked_by(body)
        return _submit(*named_files(body, "video", VIDEO), dry)
    raise Refused(
        "unsupported-media-type",
        "Send multipart/form-data with the fields operation, file and perhaps parameters, or "
        "application/json with operation and source.",
    )


@api.get("/api/videos/<id>", responses={"200": wire.JobDocument})
def video_job(path: JobPath, query: WaitQuery) -> Response:
    """A video operation as a job"""
    return observed(path.id, "video", query.wait, job_view, every_change=True)


@api.get("/api/videos/<id>/status", responses={"200": wire.ResultStatus})
def video_status(path: JobPath, query: WaitQuery) -> Response:
    """How far a video operation is"""
    return observed(path.id, "video", query.wait, status_view)


@api.get("/api/videos/<id>/download", responses={"200": FILE, "206": FILE})
def video_download(path: JobPath, query: NoQuery) -> Response:
    """The file a video operation made"""
    return download(path.id, "video")


class VideoOperations(BaseModel):
    videoOperations: list[dict[str, Any]]


@api.get("/api/video-operations", responses={"200": VideoOperations})
def video_operations(query: NoQuery) -> Response:
    """Every video operation with the JSON Schema of its parameters"""
    from pipelines.video.operations import describe  # not before somebody asks

    return reply({"videoOperations": describe()})


def _submit(operation: Any, source: Sources, parameters: Json | None, callbacks: Any, dry: bool) -> Response:
    if dry:
        asked = {"operation": operation, "parameters": {} if parameters is None else parameters}
        asked |= given(callbacks=callbacks)
        return previewed("video", asked, source)
    job = site().jobs.submit_video(
        operation=operation,
        source=source,
        parameters=parameters,
        callbacks=callbacks,
        key=idempotency_key(),
        priority=priority(),
    )
    return accepted(*job)
