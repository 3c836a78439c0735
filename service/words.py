"""How jobs, times and sizes are said to people, the same in a terminal, a notebook and on a page.

The wire has its own words (`accepted`, `dismissed`), which programs go by. Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.model import JobState

STATES = {
    JobState.ACCEPTED: "waiting",
    JobState.RUNNING: "running",
    JobState.SUCCESSFUL: "complete",
    JobState.FAILED: "failed",
    JobState.DISMISSED: "canceled",
}


def state_named(word: str) -> JobState | None:
    """The state that people or the wire call so."""
    return next((state for state, said in STATES.items() if word in (said, state.value)), None)


def job_title(kind: str, type: str, parameters: Mapping[str, Any]) -> str:
    """What a job is called: `yearly-sales`, `import into sales`."""
    return f"import into {parameters.get('dataset')}" if kind == "import" else type


def seconds_in_words(seconds: float) -> str:
    """`8 s`, `2 min 5 s`, `1 h 3 min`: two units at most, never a fraction a person cannot use."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    return f"{whole // 3600} h" + (f" {whole % 3600 // 60} min" if whole % 3600 // 60 else "")


def took_in_words(seconds: float) -> str:
    """As `seconds_in_words`, but with a tenth while that is a difference: `0.2 s`."""
    return f"{seconds:.1f} s" if seconds < 59.95 else seconds_in_words(seconds)


def bytes_in_words(size: int) -> str:
    """`512 bytes`, `1.4 MB`: powers of ten, one decimal."""
    if size < 1000:
        return f"{size} bytes"
    value, units = float(size), iter(("kB", "MB", "GB", "TB"))
    unit = ""
    while value >= 1000 and (following := next(units, None)):
        value, unit = value / 1000, following
    return f"{value:.1f} {unit}"


def amount_in_words(done: int, total: int | None, unit: str) -> str:
    """`520,000 of 1,000,000 rows`, or an empty string while the total is unknown."""
    if total is None:
        return ""
    if unit == "bytes":
        return f"{bytes_in_words(done)} of {bytes_in_words(total)}"
    return f"{done:,} of {total:,} {unit}"
