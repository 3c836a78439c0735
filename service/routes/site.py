"""Site: what the routes need of the engine behind them, kept with the Flask app; and our own address.

A protocol instead of the engine, so that routes can be served over anything that has jobs and a store.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, cast

from flask import current_app, request

from pipelines.store import Store
from service.jobs import Jobs

_WAITERS = 16  # of 64 threads: a poll that waits must never keep a submission out


class Health(Protocol):
    """What works right now."""

    @property
    def database(self) -> bool: ...
    @property
    def store(self) -> bool: ...
    @property
    def workers(self) -> int | None: ...
    @property
    def dispatching(self) -> bool: ...


@dataclass(frozen=True)
class Site:
    """Made once by the app. `base_url` is what clients see, None where only this machine is served."""

    jobs: Jobs
    store: Store
    health: Callable[[], Health]
    scheduler: Callable[[], str | None]
    base_url: str | None = None
    waiters: threading.BoundedSemaphore = field(
        default_factory=lambda: threading.BoundedSemaphore(_WAITERS), repr=False
    )


def site() -> Site:
    return cast(Site, current_app.extensions["haulier"])


def absolute(path: str) -> str:
    """A path of ours as clients see it."""
    return (site().base_url or request.host_url.rstrip("/")) + path
