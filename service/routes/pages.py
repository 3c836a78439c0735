"""The pages: jobs and datasets with three plain forms, one job, problems, the API.

All but the last work without any script.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import flask_openapi_swagger  # type: ignore[import-untyped]
from flask import Blueprint, Response, redirect, render_template, request, send_from_directory
from werkzeug.wrappers import Response as Redirect

from pipelines.errors import Fault, InvalidRequest
from pipelines.plan import Json
from service import words
from service.errors import PROBLEMS, NotCancelable, Refused, ServiceError
from service.eta import Estimate
from service.model import Job
from service.routes.documents import download_path
from service.routes.site import absolute, site
from service.routes.uploads import IMPORT, VIDEO, form_upload
from service.waiting import QueuePlace

pages = Blueprint("pages", __name__)

_SHOWN = 50
_ABOUT = 90  # characters
_SWAGGER = Path(flask_openapi_swagger.__file__).parent / "templates" / "swagger"
_DOCS = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
_FIELDS = ("dataset", "year", "by", "amount", "time", "format")
_FORMATS = {"csv": "CSV", "xlsx": "Excel", "html": "Web page", "parquet": "Parquet", "json": "JSON"}


@dataclass(frozen=True, slots=True)
class Row:
    """A job with what a page says about it."""

    job: Job
    estimate: Estimate | None
    queue: QueuePlace | None

    @property
    def download(self) -> str | None:
        return download_path(self.job) if self.job.artifact else None

    @property
    def title(self) -> str:
        return words.job_title(self.job.kind, self.job.type, self.job.parameters)

    @property
    def about(self) -> str:
        """What tells it from other jobs of its type, short: `year 2023, by month and region`."""
        given = self.job.parameters
        if self.job.kind in ("import", "video"):
            source = given.get("source", "")
            return ", ".join(source) if isinstance(source, list) else str(source)
        said = ", ".join(f"{name} {_short(value)}" for name, value in given.items() if _short(value))
        return said if len(said) <= _ABOUT else said[: _ABOUT - 1] + "…"

    @property
    def amount(self) -> str:
        progress = self.job.progress
        return words.amount_in_words(progress.done, progress.total, progress.unit)


@pages.get("/")
def home() -> str:
    return _home()


@pages.post("/reports")
def report() -> Redirect | tuple[str, int]:
    """The form of a yearly-sales report."""
    form = {name: request.form.get(name, "").strip() for name in _FIELDS}
    try:
        job, _ = site().jobs.submit_report(_asked(form), key=_key(request.form.get("key"), form))
    except (InvalidRequest, ServiceError) as error:
        return _home("report", error, form), HTTPStatus.UNPROCESSABLE_ENTITY
    return redirect(f"/jobs/{job.id}", HTTPStatus.SEE_OTHER)


@pages.post("/imports")
def import_() -> Redirect | tuple[str, int]:
    """The form of an import."""
    try:
        form = form_upload(site().store, IMPORT)
        job, _ = site().jobs.submit_import(dataset=form.required, source=form.uploads, options=form.json)
    except (InvalidRequest, ServiceError) as error:
        return _home("import", error), HTTPStatus.UNPROCESSABLE_ENTITY
    return redirect(f"/jobs/{job.id}", HTTPStatus.SEE_OTHER)


@pages.post("/videos")
def video() -> Redirect | tuple[str, int]:
    """The form of a video operation."""
    try:
        form = form_upload(site().store, VIDEO)
        job, _ = site().jobs.submit_video(operation=form.required, source=form.uploads, parameters=form.json)
    except (InvalidRequest, ServiceError) as error:
        return _home("video", error), HTTPStatus.UNPROCESSABLE_ENTITY
    return redirect(f"/jobs/{job.id}", HTTPStatus.SEE_OTHER)


@pages.get("/jobs/<id>")
def job(id: str) -> str:
    found = site().jobs.get(id)
    return render_template(
        "job.html",
        row=_row(found),
        parameters=json.dumps(found.parameters, indent=2, ensure_ascii=False),
        events=site().jobs.events(id),
    )


@pages.post("/jobs/<id>/cancel")
def cancel(id: str) -> Redirect:
    with suppress(NotCancelable):  # it ended meanwhile, and its page says how
        site().jobs.cancel(id)
    return redirect(f"/jobs/{id}", HTTPStatus.SEE_OTHER)


@pages.get("/docs")
def docs() -> Response:
    response = Response(render_template("docs.html"), content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = _DOCS
    return response


@pages.get("/docs/<path:name>")
def docs_file(name: str) -> Response:
    """Swagger UI from its wheel."""
    return send_from_directory(_SWAGGER, name, max_age=86400)


@pages.get("/problems/<code>")
def problem_page(code: str) -> str:
    if code not in PROBLEMS:
        raise Refused("not-found", f"There is no problem {code!r}; every problem names its own page.")
    status, title, advice = PROBLEMS[code]
    return render_template("problem.html", code=code, status=status, title=title, said=advice)


@pages.after_app_request
def for_people(response: Response) -> Response:
    """A refusal as a page where a person opened one; and forms must be able to name where they come from."""
    if response.mimetype == "application/problem+json" and _opened_by_a_person():
        document = json.loads(response.get_data())
        known = {"title": document["title"], "said": document["detail"], "code": document["code"]}
        page = render_template("problem.html", status=document["status"], **known)
        response.set_data(page)
        response.content_type = "text/html; charset=utf-8"
    if response.mimetype == "text/html":
        response.headers["Referrer-Policy"] = "same-origin"
    return response


def _opened_by_a_person() -> bool:
    programs = request.path.startswith(("/api/", "/docs/", "/static/"))
    accepted = request.accept_mimetypes
    return not programs and accepted["text/html"] > accepted["application/problem+json"]


def _home(failed: str = "", error: Exception | None = None, form: Mapping[str, str] | None = None) -> str:
    """The page of everything; after a refused form with its faults and what was typed."""
    from pipelines.video.operations import OPERATIONS  # not before a page is looked at

    jobs = site().jobs
    page = jobs.list(limit=_SHOWN, cursor=request.args.get("cursor"))
    datasets = jobs.datasets()
    return render_template(
        "home.html",
        rows=[_row(job) for job in page.jobs],
        cursor=page.cursor,
        older="cursor" in request.args,
        datasets=datasets,
        formats=_FORMATS,
        operations=OPERATIONS,
        active=any(not job.ended for job in page.jobs),
        failed=failed,
        faults_of={failed: _said(error)},
        form=form or {},
        key=uuid.uuid4().hex,
        health=site().health(),
        scheduler=site().scheduler(),
        address=absolute(""),
    )


def _said(error: Exception | None) -> list[str]:
    faults = error.faults if isinstance(error, InvalidRequest) else ()
    if isinstance(error, ServiceError):
        faults = (Fault("", error.detail),)
    return [fault.detail for fault in faults]


def _asked(form: Mapping[str, str]) -> Json:
    """The form as the body of POST /api/reports; fields left empty take the defaults of the report."""
    given: Json = {name: form[name] for name in ("year", "dataset", "amount", "time") if form[name]}
    if form["by"]:
        given["by"] = [name for each in form["by"].split(",") if (name := each.strip())]
    if "time" not in given:
        own = next((d.time_column for d in site().jobs.datasets() if d.name == given.get("dataset")), None)
        given |= {"time": own} if own else {}
    return {"reportType": "yearly-sales", "parameters": given, "format": form["format"] or "csv"}


def _key(page: str | None, form: Mapping[str, str]) -> str | None:
    """One page sends one form one time, however often its button is pressed; a changed form is another."""
    if not page:
        return None
    return f"page-{hashlib.sha256(json.dumps([page, form], sort_keys=True).encode()).hexdigest()[:32]}"


def _row(found: Job) -> Row:
    waiting = site().jobs.waiting
    return Row(found, waiting.estimate(found), waiting.queue(found))


def _short(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value) if all(isinstance(each, str) for each in value) else ""
    return str(value) if isinstance(value, str | int | float) else ""


@pages.app_template_filter()
def moment(value: datetime | None) -> str:
    return "" if value is None else f"{value:%Y-%m-%d %H:%M:%S} UTC"


@pages.app_template_filter()
def state(job: Job) -> str:
    return words.STATES[job.state]


pages.add_app_template_filter(words.bytes_in_words, "size")
pages.add_app_template_filter(words.took_in_words, "took")


@pages.app_template_filter()
def left(seconds: float) -> str:
    return words.seconds_in_words(max(1.0, seconds))
