"""The Flask app: wiring only. `service.server` runs it; nobody imports it, servers name it.

granian --interface wsgi --factory service.app:application
"""

from __future__ import annotations

import atexit
import signal
import sys
from importlib.metadata import version
from types import FrameType
from typing import NoReturn

import structlog
from flask_openapi.models import Info
from flask_openapi.openapi import OpenAPI

from service.engine import Engine
from service.errors import Unavailable
from service.routes import (
    datasets,
    deliveries,
    events,
    guard,
    imports,
    jobs,
    metrics,
    operations,
    pages,
    problems,
    reports,
    system,
    videos,
)
from service.routes.documents import Problem
from service.routes.site import Site
from service.server import announce, end_with_parent, when_told_to_leave
from service.settings import SettingsError, current
from service.tracker import HomeInUse, WrongSchema


def create_app(engine: Engine) -> OpenAPI:
    """The API and the pages over an engine, which somebody else starts and closes."""
    app = OpenAPI(
        "service",
        info=Info(title="Haulier", version=version("haulier")),
        doc_ui=False,
        validation_error_model=Problem,
        validation_error_callback=problems.query_faults,
        template_folder="web/templates",
        static_folder="web/static",
    )
    app.openapi_version = "3.1.1"
    app.extensions["haulier"] = Site(
        jobs=engine.jobs,
        store=engine.store,
        health=engine.health,
        scheduler=lambda: engine.scheduler_address,
        base_url=engine.settings.base_url,
    )
    app.jinja_options = {**app.jinja_options, "trim_blocks": True, "lstrip_blocks": True}
    problems.install(app)
    metrics.install(app)
    guard.install(app)
    for module in (
        reports,
        imports,
        videos,
        jobs,
        events,
        deliveries,
        operations,
        datasets,
        metrics,
        system,
    ):
        app.register_api(module.api)
    app.register_blueprint(pages.pages)
    return app


def application(*, dispatch: bool = True) -> OpenAPI:
    """For a WSGI server: everything from the environment, running; closed when the process ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the parent's; it sends SIGTERM
    signal.signal(signal.SIGTERM, _leave)  # until the server takes over
    end_with_parent()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        settings = current()
        engine = Engine(settings, dispatch=dispatch)
    except (HomeInUse, SettingsError, WrongSchema, Unavailable) as error:
        sys.exit(f"haulier: {error}")
    atexit.register(engine.close)
    when_told_to_leave(engine.tracker.leave)  # else requests that wait would hold the server for a minute
    app = create_app(engine.start())
    announce(settings, engine)
    return app


def accepting() -> OpenAPI:
    """As `application`, without a dispatcher: `haulier dispatch` runs the jobs."""
    return application(dispatch=False)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(0)
