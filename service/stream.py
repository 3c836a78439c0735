"""The story of one job as it happens: what its history says, and its progress in between. No HTTP.

Lines of history have numbers that last: who comes back with the last one it saw misses nothing and gets
nothing twice, also after a restart. Progress in between has no number and is not kept.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from service.model import Event, Job
from service.tracker import Tracker

_HEARTBEAT = 15.0  # seconds without a word after which proxies may cut a connection
_PROGRESS = 0.5  # seconds between two words of progress
_TOGETHER = 0.05  # seconds in which changes are gathered: a young job changes often
_LONGEST = 1800.0  # seconds of one stream; who still listens comes back
_PROGRESSING = ("planned", "progress", "sealed")
_ENDS = ("successful", "failed", "dismissed")

Kind = Literal["state", "progress", "done"]


@dataclass(frozen=True, slots=True)
class News:
    """Something to tell of a job as it is now; `event` is the line of history, None for mere progress."""

    kind: Kind
    job: Job
    event: Event | None = None


def follow(
    tracker: Tracker, job_id: str, after: int, *, hold: bool = True, heartbeat: float = _HEARTBEAT
) -> Iterator[News | None]:
    """News of a job after a line of its history, until it has ended; None when nothing happened for long.

    Ends early when the job is removed, when the service leaves and after half an hour; without `hold` behind
    what there is.
    """
    began = spoke = time.monotonic()
    seen, shown = -1, None
    with tracker.watch(job_id) as changed:
        while (job := tracker.get(job_id)) is not None:
            changed.clear()
            events = tracker.events(job_id, after) if job.revision != seen else ()
            seen = job.revision
            for event in events:
                now = tracker.get(job_id) if event.name in _ENDS else job
                if now is None:
                    return
                yield News(_kind(event), now, event)
                after, spoke, shown = event.sequence, time.monotonic(), _progress(job)
                if event.name in _ENDS:
                    return
            over = not hold or tracker.leaving.is_set() or time.monotonic() - began > _LONGEST
            if job.ended or over:
                return
            quiet = time.monotonic() - spoke
            if _progress(job) != shown and quiet >= _PROGRESS:
                yield News("progress", job)
                spoke, shown = time.monotonic(), _progress(job)
            elif quiet >= heartbeat:
                yield None
                spoke = time.monotonic()
            changed.wait(min(heartbeat, tracker.look_again))
            time.sleep(_TOGETHER)


def _kind(event: Event) -> Kind:
    if event.name in _ENDS:
        return "done"
    return "progress" if event.name in _PROGRESSING else "state"


def _progress(job: Job) -> tuple[int, str, str | None]:
    return job.progress.done, job.progress.phase, job.message
