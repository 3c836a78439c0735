"""The two clocks of a SQLite tracker: the wall's for what people read, a steady one for leases."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]


def utcnow() -> datetime:
    return datetime.now(UTC)


class SteadyClock:
    """Starts at the wall's time and then counts seconds: who sets the wall clock ends no lease."""

    def __init__(self, wall: Clock = utcnow, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._elapsed = elapsed
        self._wall_then, self._then = wall(), elapsed()

    def __call__(self) -> datetime:
        return self._wall_then + timedelta(seconds=self._elapsed() - self._then)
