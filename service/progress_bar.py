"""How a job looks to a person: one line of text, a card in a notebook, a live bar in either.

`show(statuses)` picks the form: a display that a saved notebook keeps, a line that a terminal redraws, or one
line each 10 % for a log. Knows nothing of transports; standard library only (IPython is used where it runs).
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterable
from html import escape
from typing import Any, Protocol, TextIO

from service.model import JobState
from service.transport import JobStatus
from service.words import STATES, amount_in_words, bytes_in_words, job_title, seconds_in_words, took_in_words

_CELLS = 24
_QUIET_SECONDS = 30.0
_COLOURS = {JobState.FAILED: "#c0392b", JobState.DISMISSED: "#7f8c8d", JobState.SUCCESSFUL: "#1e8449"}


def title(status: JobStatus) -> str:
    return job_title(status.kind, status.type, status.parameters)


def amount(status: JobStatus) -> str:
    """`520,000 of 1,000,000 rows`, or an empty string while the total is unknown."""
    return amount_in_words(status.done, status.total, status.unit)


def took(status: JobStatus) -> float | None:
    """Seconds from start to end."""
    if status.started is None or status.finished is None:
        return None
    return (status.finished - status.started).total_seconds()


def details(status: JobStatus) -> str:
    """What is going on, in words: phase, amount, time left; or how it ended."""
    if status.state is JobState.FAILED and status.error:
        return f"{status.error.code}: {status.error.detail}"
    if status.state is JobState.DISMISSED:
        return "no result"
    if status.state is JobState.SUCCESSFUL:
        return ", ".join(_outcome(status))
    if status.state is JobState.ACCEPTED:
        ahead = status.queue_position
        reason = status.queue_reason or (f"{ahead} ahead in the queue" if ahead else "next in the queue")
        said = [reason[:1].lower() + reason[1:].rstrip(".")]
    else:
        said = [each for each in (status.phase, amount(status)) if each]
    if status.eta is not None:
        said.append(f"about {seconds_in_words(max(1.0, status.eta))} left")
    return ", ".join(said)


def _outcome(status: JobStatus) -> list[str]:
    """An import leaves rows in a dataset, and a receipt that nobody counts; a report leaves a file."""
    said = []
    rows = None if status.result is None else status.result.rows
    if status.kind == "import":
        said += [] if rows is None else [f"{rows:,} rows loaded"]
    else:
        if status.total is not None and status.unit == "rows":
            said.append(f"{status.total:,} rows read")
        if status.result:
            counted = "" if rows is None else f"{rows:,} rows, "
            said.append(f"result {counted}{bytes_in_words(status.result.bytes)}")
    seconds = took(status)
    return said if seconds is None else [*said, took_in_words(seconds)]


def line(status: JobStatus) -> str:
    """The whole job in one line, the bar included."""
    filled = percent(status) * _CELLS // 100
    bar = "█" * filled + "░" * (_CELLS - filled)
    said = details(status)
    return f"{title(status)} {bar} {percent(status):3d} % {STATES[status.state]}" + (
        f": {said}" if said else ""
    )


def percent(status: JobStatus) -> int:
    return 100 if status.state is JobState.SUCCESSFUL else status.percent


def card(status: JobStatus) -> str:
    """The job as HTML that needs no script, no style sheet and no widget, so a saved notebook keeps it."""
    colour = _COLOURS.get(status.state, "#1f6feb")
    return (
        '<div style="max-width: 46em; padding: .5em .8em; border: 1px solid; border-radius: 6px; '
        f'border-color: {colour}; font-family: sans-serif;">'
        f"<div><b>{escape(title(status))}</b> {STATES[status.state]} "
        f'<code style="float: right; opacity: .7;">{escape(status.id)}</code></div>'
        f'<progress max="100" value="{percent(status)}" style="width: 100%; accent-color: {colour};" '
        f'aria-label="{escape(title(status))}">{percent(status)} %</progress>'
        f"<div>{percent(status)} % · {escape(details(status))}</div></div>"
    )


class Card:
    """A status that a notebook shows as a card and everything else as a line."""

    def __init__(self, status: JobStatus) -> None:
        self._status = status

    def __repr__(self) -> str:
        return line(self._status)

    def _repr_html_(self) -> str:
        return card(self._status)


class _Screen(Protocol):
    def draw(self, status: JobStatus) -> None: ...

    def end(self) -> None: ...


class NotebookScreen:
    """One display that is updated in place; the last state is what the saved notebook holds."""

    def __init__(self, display: Any) -> None:
        self._display = display
        self._handle: Any = None

    def draw(self, status: JobStatus) -> None:
        if self._handle is None:
            self._handle = self._display(Card(status), display_id=True)
        else:
            self._handle.update(Card(status))

    def end(self) -> None:
        return


class TerminalScreen:
    """One line, redrawn; the last state is written out in full."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def draw(self, status: JobStatus) -> None:
        width = shutil.get_terminal_size().columns - 1
        said = line(status)
        # how it ended is said in full, and wraps; what changes must stay on one line
        self._out.write("\r" + (said if status.ended else said[:width]).ljust(width))
        self._out.flush()

    def end(self) -> None:
        self._out.write("\n")
        self._out.flush()


class LogScreen:
    """A line each 10 %, at each change of phase or state, and at least every 30 seconds."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._last: tuple[JobState, str, int] | None = None
        self._at = 0.0

    def draw(self, status: JobStatus) -> None:
        step = (status.state, status.phase, percent(status) // 10)
        if step != self._last or time.monotonic() - self._at >= _QUIET_SECONDS:
            self._last, self._at = step, time.monotonic()
            self._out.write(line(status) + "\n")
            self._out.flush()

    def end(self) -> None:
        return


def screen(out: TextIO | None = None) -> _Screen:
    """The fitting screen: a notebook's when one runs and no stream is named, else by what the stream is."""
    shell = sys.modules.get("IPython") and sys.modules["IPython"].get_ipython()
    if out is None and shell is not None and hasattr(shell, "kernel"):
        return NotebookScreen(sys.modules["IPython"].display.display)
    out = out or sys.stderr
    return TerminalScreen(out) if out.isatty() else LogScreen(out)


def show(statuses: Iterable[JobStatus], out: TextIO | None = None) -> JobStatus:
    """Draw every status as it comes; the last one is returned."""
    chosen = screen(out)
    last: JobStatus | None = None
    try:
        for last in statuses:
            chosen.draw(last)
    finally:
        chosen.end()
    assert last is not None, "a job always has a status"
    return last
