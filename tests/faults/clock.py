"""A wall clock that a test may set while the process runs; the monotonic clock stays true."""

from __future__ import annotations

import sys
import time
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any


def install(path: str) -> None:
    """Shift `time.time` and the `datetime.now` of every module of the service by the seconds in the file."""
    import service.app  # noqa: F401  # so that all that reads a clock is there to be changed

    file, real_time = Path(path), time.time

    def offset() -> float:
        try:
            return float(file.read_text() or 0)
        except (OSError, ValueError):
            return 0.0

    class Meta(type):
        def __instancecheck__(cls, value: Any) -> bool:
            return isinstance(value, datetime)

    class Shifted(datetime, metaclass=Meta):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(seconds=offset())

    time.time = lambda: real_time() + offset()
    for name, module in list(sys.modules.items()):
        if name.startswith("service.") and getattr(module, "datetime", None) is datetime:
            module.datetime = Shifted  # type: ignore[attr-defined]
