"""Remembered: answers that stay good for a moment: many who ask at once cost one look. No I/O here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")
_MOST = 500  # answers kept; all are forgotten when there are more


class Remembered(Generic[K, V]):
    """`remembered[key]` is what `read(key)` said at most so many seconds ago; None or [] is not kept.

    Thread-safe. Whoever finds an answer too old reads it anew, the others go on with the old one meanwhile.
    """

    def __init__(
        self, seconds: float, read: Callable[[K], V], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds, self._read, self._clock = seconds, read, clock
        self._lock = threading.Lock()
        self._known: dict[K, tuple[float, V]] = {}

    def __getitem__(self, key: K) -> V:
        with self._lock:
            known = self._known.get(key)
            now = self._clock()
            if known is not None and now - known[0] < self._seconds:
                return known[1]
            if known is not None:  # the others need not wait for the new one
                self._known[key] = now, known[1]
        return self.fresh(key)

    def fresh(self, key: K) -> V:
        """What is so now."""
        value = self._read(key)
        with self._lock:
            if len(self._known) >= _MOST:
                self._known.clear()
            if value is not None and value != []:
                self._known[key] = self._clock(), value
        return value
