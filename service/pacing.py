"""Pacing: how soon a client is asked to come back, and which polls come too fast.

Thread-safe, in memory only: what clients were told is forgotten with the process, and a restart refuses
nobody. Knows no HTTP and no jobs.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from service.model import retry_after

_JITTER = 0.15
_CROWD = 250  # people behind one proxy, or the workers of one machine, all look alike
_CLIENTS = 20_000  # remembered; the one not seen for longest is forgotten


def pause(eta_seconds: float | None, chance: float | None = None) -> int:
    """`retry_after`, up to 15 % less by `chance` (0 to 1): many clients are not to come back together."""
    spread = random.random() if chance is None else chance
    return max(1, math.ceil(retry_after(eta_seconds) * (1 - _JITTER * spread)))


@dataclass(slots=True)
class _Client:
    told: float  # seconds
    credit: float  # polls it may make at once
    at: float


class Pacing:
    """Each client may poll a job twice as fast as it was told; `refused` counts the polls beyond.

    A client is whatever text the caller tells clients apart by. As that may be an address that many share, it
    has the polls of `crowd` clients: who keeps to its pace is never refused, a loop without a pause is.
    """

    def __init__(
        self, *, crowd: int = _CROWD, clients: int = _CLIENTS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.refused = 0
        self._crowd, self._most, self._clock = crowd, clients, clock
        self._clients: OrderedDict[tuple[str, str], _Client] = OrderedDict()
        self._lock = threading.Lock()

    def too_fast(self, client: str, job_id: str) -> int | None:
        """Seconds this client should have let pass, if its poll is one too many; else None."""
        with self._lock:
            known = self._clients.get((client, job_id))
            if known is None:
                return None
            now = self._clock()
            earned = self._crowd * 2 * max(0.0, now - known.at) / known.told
            known.credit = min(self._crowd, known.credit + earned)
            known.at = now
            if known.credit < 1:
                self.refused += 1
                return math.ceil(known.told)
            known.credit -= 1
            return None

    def told(self, client: str, job_id: str, seconds: float) -> None:
        """This client has just been told to come back after so many seconds."""
        with self._lock:
            known = self._clients.setdefault((client, job_id), _Client(seconds, self._crowd, self._clock()))
            known.told = seconds
            self._clients.move_to_end((client, job_id))
            if len(self._clients) > self._most:
                self._clients.popitem(last=False)
