"""The clock of a SQLite tracker: the wall's time at the start, and steady from then on."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]


def utcnow() -> datetime:
    return datetime.now(UTC)


def _seconds_since_boot() -> float:
    boot: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


class SteadyClock:
    """Starts at the wall's time and then counts seconds, those a machine sleeps too where the system can:
    who sets the wall clock ends no lease."""

    def __init__(self, wall: Clock = utcnow, elapsed: Callable[[], float] | None = None) -> None:
        elapsed = elapsed or _seconds_since_boot
        self._elapsed = elapsed
        self._wall_then, self._then = wall(), elapsed()

    def __call__(self) -> datetime:
        return self._wall_then + timedelta(seconds=self._elapsed() - self._then)
