"""Meter: turns what is known of a run's parts into units done and a phase in words.

Pure arithmetic, shared by both clusters. Units never fall, whatever restarts below.
"""

from __future__ import annotations

from collections.abc import Iterable

from pipelines.plan import Plan

WAITING = "waiting for a worker"
PLANNING = "planning"
COMBINING = "combining"
FINISHING = "finishing"
PUBLISHING = "publishing"
_READING = {"report": "reading", "import": "importing", "video": "encoding"}


class Meter:
    """Done = the weights of finished parts + what unfinished parts say of themselves."""

    def __init__(self, kind: str, plan: Plan | None) -> None:
        self._reading = _READING.get(kind, "computing")
        self._weights = [part.weight for part in plan.parts] if plan else []
        self._inside: dict[int, int] = {}
        self._finished: set[int] = set()
        self._combined = self._to_combine = 0
        self._done = self._after = 0

    def inside(self, part: int | None, done: int) -> None:
        """A part says it has done so many units; a later, lower word is that of a restarted part.

        None is the finish, which may have long work of its own: no units, but no standing still either.
        """
        if part is None:
            self._after = max(self._after, done)
        elif 0 <= part < len(self._weights):
            self._inside[part] = max(0, min(done, self._weights[part]))

    def finished(self, parts: Iterable[int]) -> None:
        """The parts whose results exist, all of them each time: a lost result makes its part open again."""
        self._finished = set(parts)

    def combined(self, done: int, of: int) -> None:
        """So many combine steps are over."""
        self._combined, self._to_combine = done, of

    def all_parts_done(self) -> bool:
        return len(self._finished) >= len(self._weights)

    @property
    def done(self) -> int:
        now = sum(
            weight if part in self._finished else self._inside.get(part, 0)
            for part, weight in enumerate(self._weights)
        )
        self._done = max(self._done, now)
        return self._done

    @property
    def phase(self) -> str:
        if not self.all_parts_done():
            return self._reading
        if self._combined < self._to_combine:
            return COMBINING
        return f"{FINISHING} ({self._after:,})" if self._after else FINISHING
