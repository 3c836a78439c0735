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
from service.pacing import Pacing

# Of the server's threads (`service.server`), which each of these holds: neither may keep a submission out.
_WAITERS, _STREAMS = 224, 64


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


class Room:
    """So many may be in at once; nobody waits to get in. `taken` are in now, `refused` found no room."""

    def __init__(self, places: int) -> None:
        self.places, self.taken, self.refused = places, 0, 0
        self._lock = threading.Lock()

    def enter(self) -> bool:
        with self._lock:
            if self.taken >= self.places:
                self.refused += 1
                return False
            self.taken += 1
            return True

    def leave(self) -> None:
        with self._lock:
            self.taken -= 1


@dataclass(frozen=True)
class Site:
    """Made once by the app. `base_url` is what clients see, None where only this machine is served."""

    jobs: Jobs
    store: Store
    health: Callable[[], Health]
    scheduler: Callable[[], str | None]
    base_url: str | None = None
    waiters: Room = field(default_factory=lambda: Room(_WAITERS), repr=False)
    streams: Room = field(default_factory=lambda: Room(_STREAMS), repr=False)
    pacing: Pacing = field(default_factory=Pacing, repr=False)


def site() -> Site:
    return cast(Site, current_app.extensions["haulier"])


def absolute(path: str) -> str:
    """A path of ours as clients see it."""
    return (site().base_url or request.host_url.rstrip("/")) + path
