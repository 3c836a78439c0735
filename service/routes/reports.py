"""Reports: submit, status, download. The seed wire of contract section 2."""

from __future__ import annotations

from typing import Any

from flask import Response
from pydantic import BaseModel, Field

from service.routes import documents as wire
from service.routes.answers import accepted, job_view, observed, reply, status_view
from service.routes.deliveries import CallbackRequest
from service.routes.downloads import download
from service.routes.openapi import FILE, blueprint, body_of
from service.routes.previews import DryRunQuery, PreviewDocument, asked_by, previewed
from service.routes.requests import JobPath, NoQuery, WaitQuery, idempotency_key, json_object, priority
from service.routes.site import site

api = blueprint("reports")


class ReportRequest(BaseModel):
    reportType: str = Field(examples=["yearly-sales"])
    parameters: dict[str, Any] = Field({}, examples=[{"year": "2023"}])
    format: str = Field("csv", description="csv, parquet, json, xlsx (1,048,575 rows) or html")
    callbacks: list[CallbackRequest] | None = None


@api.post(
    "/api/reports",
    request_body=body_of(ReportRequest),
    responses={"202": wire.Accepted, "200": PreviewDocument},
)
def create_report(query: DryRunQuery) -> Response:
    """Start a report, or ask what it would cost"""
    body = json_object()
    if asked_by(body):
        return previewed("report", body)
    return accepted(*site().jobs.submit_report(body, key=idempotency_key(), priority=priority()))


@api.get("/api/reports/<id>", responses={"200": wire.JobDocument})
def report_job(path: JobPath, query: WaitQuery) -> Response:
    """A report as a job"""
    return observed(path.id, "report", query.wait, job_view, every_change=True)


@api.get("/api/reports/<id>/status", responses={"200": wire.ReportStatus})
def report_status(path: JobPath, query: WaitQuery) -> Response:
    """How far a report is"""
    return observed(path.id, "report", query.wait, status_view)


@api.get("/api/reports/<id>/download", responses={"200": FILE, "206": FILE})
def report_download(path: JobPath, query: NoQuery) -> Response:
    """The file of a finished report"""
    return download(path.id, "report")


class ReportTypes(BaseModel):
    reportTypes: list[dict[str, Any]]


@api.get("/api/report-types", responses={"200": ReportTypes})
def report_types(query: NoQuery) -> Response:
    """Every report type with the JSON Schema of its parameters"""
    return reply({"reportTypes": site().jobs.report_types()})
