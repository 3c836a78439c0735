"""Imports: three ways to hand over files, then status, download (the receipt) and rejected rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Response, request
from pydantic import BaseModel, Field

from pipelines.errors import Fault, InvalidRequest, nearest
from pipelines.imports.rejects import HEADER, read_rejects, rejects_of_failed
from pipelines.plan import Json
from service.errors import Refused
from service.jobs import Upload
from service.model import JobState
from service.routes import documents as wire
from service.routes.answers import accepted, job_view, observed, status_view
from service.routes.deliveries import CallbackRequest
from service.routes.downloads import blocks, disposition, download
from service.routes.openapi import CSV, FILE, blueprint, body_of
from service.routes.previews import DRY_RUN, PreviewDocument, asked_by, previewed
from service.routes.requests import (
    JobPath,
    NoQuery,
    WaitQuery,
    as_json,
    as_object,
    idempotency_key,
    is_json,
    json_object,
    priority,
    read_or_note,
)
from service.routes.site import site
from service.routes.uploads import IMPORT, form_upload, named_files, raw_upload
from service.submission import Sources, given

api = blueprint("imports")

_RAW = ("dataset", "filename", DRY_RUN)


class ImportRequest(BaseModel):
    dataset: str = Field(examples=["sales"])
    source: str | list[str] = Field(
        description="Path of a file in an input folder of the service, or of several that are one table"
    )
    options: dict[str, Any] | None = None
    callbacks: list[CallbackRequest] | None = None


_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["dataset", "file"],
    "properties": {
        "dataset": {"type": "string"},
        "file": {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
            "description": "The file; the field may come again for more files of the same columns",
        },
        "options": {"type": "string", "description": "JSON"},
        "callbacks": {"type": "string", "description": "JSON"},
    },
}
_FILE: dict[str, Any] = {
    "type": "string",
    "format": "binary",
    "description": "The file; ?dataset=&filename= in the query",
}


@api.post(
    "/api/imports",
    request_body=body_of(ImportRequest, **{"multipart/form-data": _FORM, "application/octet-stream": _FILE}),
    responses={"202": wire.Accepted, "200": PreviewDocument},
)
def create_import() -> Response:
    """Load a file, or several of the same columns, into a dataset; or ask what it would cost"""
    dry = asked_by()
    if request.args.keys() - {DRY_RUN}:
        return _submit(*_raw(), dry)
    if request.mimetype == "multipart/form-data":
        form = form_upload(site().store, IMPORT)
        return _submit(form.required, form.uploads, form.json, form.callbacks, dry)
    if is_json():
        body = json_object()
        dry |= asked_by(body)
        return _submit(*named_files(body, "import", IMPORT), dry)
    raise Refused(
        "unsupported-media-type",
        "Send multipart/form-data with the fields dataset and file, or the file itself with "
        "?dataset=NAME&filename=F, or application/json with dataset and source.",
    )


@api.get("/api/imports/<id>", responses={"200": wire.JobDocument})
def import_job(path: JobPath, query: WaitQuery) -> Response:
    """An import as a job"""
    return observed(path.id, "import", query.wait, job_view, every_change=True)


@api.get("/api/imports/<id>/status", responses={"200": wire.ResultStatus})
def import_status(path: JobPath, query: WaitQuery) -> Response:
    """How far an import is"""
    return observed(path.id, "import", query.wait, status_view)


@api.get("/api/imports/<id>/download", responses={"200": FILE, "206": FILE})
def import_download(path: JobPath, query: NoQuery) -> Response:
    """The receipt of a finished import"""
    return download(path.id, "import")


@api.get("/api/imports/<id>/rejects", responses={"200": CSV})
def import_rejects(path: JobPath, query: NoQuery) -> Response:
    """The rejected rows of an import as CSV, also of one that failed because they were too many"""
    job, store = site().jobs.get(path.id, "import"), site().store
    key = rejects_of_failed(store, job.id) if job.state is JobState.FAILED else None
    if key is None:
        job, artifact = site().jobs.artifact(job.id)
        key = read_rejects(store, artifact.path)
    headers = {"Content-Disposition": disposition(f"rejects-{job.id}.csv")}
    kind = "text/csv; charset=utf-8"
    if key is None:
        return Response(HEADER, headers=headers, content_type=kind)
    headers["Content-Length"] = str(store.stat(key).bytes)
    body = blocks(store, key, 0, store.stat(key).bytes)
    return Response(body, headers=headers, content_type=kind, direct_passthrough=True)


def _submit(dataset: Any, source: Sources, options: Json | None, callbacks: Any, dry: bool) -> Response:
    if dry:
        asked = {"dataset": dataset, **given(options=options, callbacks=callbacks)}
        return previewed("import", asked, source)
    job = site().jobs.submit_import(
        dataset=dataset,
        source=source,
        options=options,
        callbacks=callbacks,
        key=idempotency_key(),
        priority=priority(),
    )
    return accepted(*job)


def _raw() -> tuple[str, Upload, Json | None, Any]:
    """The body is the file. What is wrong with the rest is said before a byte of it is read."""
    faults = []
    if request.mimetype == "multipart/form-data":
        said = "A form takes no query parameters; send dataset and options as its fields, or the file alone."
        raise InvalidRequest([Fault("", said)])
    for member in request.args:
        if member not in _RAW:
            faults.append(Fault("", f"There is no query parameter {member!r} here{nearest(member, _RAW)}"))
        elif len(request.args.getlist(member)) > 1:
            faults.append(Fault("", f"Query parameter {member!r} came more than once; send it once."))
    dataset, name = request.args.get("dataset"), request.args.get("filename")
    if not dataset:
        faults.append(Fault("/dataset", "dataset is missing; add ?dataset=NAME to the address."))
    if not name:
        faults.append(Fault("/source", "filename is missing; add &filename=F to the address."))
    options = _header("Options", as_object, faults)
    callbacks = _header("Callbacks", as_json, faults)
    if faults or dataset is None or name is None:
        asked = {"dataset": dataset, "options": options, "callbacks": callbacks}
        beside = site().jobs.faults_beside("import", asked) if dataset else ()
        raise InvalidRequest([*faults, *beside])
    return dataset, raw_upload(site().store, name), options, callbacks


def _header(member: str, read: Callable[[str, str, str], Any], faults: list[Fault]) -> Any | None:
    name = f"Haulier-{member}"
    return read_or_note(request.headers.get(name), name, f"/{member.lower()}", faults, read)
