"""The pages: all jobs and datasets, and one job. Rendered here, readable without any script."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, render_template, request

from service.eta import Estimate
from service.jobs import QueuePlace
from service.model import Job
from service.routes.documents import download_path
from service.routes.site import absolute, site

pages = Blueprint("pages", __name__)

_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Row:
    """A job with what a page says about it."""

    job: Job
    estimate: Estimate | None
    queue: QueuePlace | None

    @property
    def download(self) -> str | None:
        return download_path(self.job) if self.job.artifact else None


@pages.get("/")
def home() -> str:
    jobs = site().jobs
    page = jobs.list(limit=_SHOWN, cursor=request.args.get("cursor"))
    return render_template(
        "home.html",
        rows=[_row(job) for job in page.jobs],
        cursor=page.cursor,
        datasets=jobs.datasets(),
        health=site().health(),
        scheduler=site().scheduler(),
        address=absolute(""),
        refresh=any(not job.ended for job in page.jobs),
    )


@pages.get("/jobs/<id>")
def job(id: str) -> str:
    found = site().jobs.get(id)
    return render_template(
        "job.html",
        row=_row(found),
        parameters=json.dumps(found.parameters, indent=2, ensure_ascii=False),
        events=site().jobs.events(id),
        refresh=not found.ended,
    )


@pages.app_template_filter()
def moment(value: datetime | None) -> str:
    return "" if value is None else f"{value:%Y-%m-%d %H:%M:%S} UTC"


@pages.app_template_filter()
def duration(seconds: float) -> str:
    """Seconds in words: 8 s, 2 min 05 s, 3 h 10 min."""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


@pages.app_template_filter()
def size(count: int) -> str:
    value, units = float(count), ["bytes", "KB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{count} bytes" if units[0] == "bytes" else f"{value:.1f} {units[0]}"


def _row(found: Job) -> Row:
    jobs = site().jobs
    return Row(found, jobs.estimate(found), jobs.queue(found))
