"""Watchers: who in this process wants to know that a job has changed, and how they are told. No SQL."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

ANY = ""  # no job's id: whoever watches it hears of all


class Watchers:
    """Thread-safe."""

    def __init__(self) -> None:
        self._watched: dict[str, list[threading.Event]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def watch(self, job_id: str) -> Iterator[threading.Event]:
        """An event that is set after each change of this job, or of ANY."""
        changed = threading.Event()
        with self._lock:
            self._watched.setdefault(job_id, []).append(changed)
        try:
            yield changed
        finally:
            with self._lock:
                self._watched[job_id].remove(changed)
                if not self._watched[job_id]:
                    del self._watched[job_id]

    def touch(self, job_ids: Iterable[str]) -> None:
        """These jobs have changed."""
        changed = list(job_ids)
        with self._lock:
            for job_id in (*changed, ANY) if changed else ():
                for each in self._watched.get(job_id, ()):
                    each.set()

    def touch_all(self) -> None:
        """Any job may have changed."""
        with self._lock:
            for watching in self._watched.values():
                for each in watching:
                    each.set()
