"""Memory: what processes really hold, sampled while they work. Linux only."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil


@dataclass
class Samples:
    """Seconds since the start, and bytes by process; without pages of files, which the kernel may drop."""

    taken: list[tuple[float, dict[int, int]]] = field(default_factory=list)

    @property
    def peak(self) -> int:
        """The most that all processes held together at one time."""
        return max((sum(held.values()) for _, held in self.taken), default=0)

    def of(self, pid: int) -> list[tuple[float, int]]:
        return [(at, held[pid]) for at, held in self.taken if pid in held]


def held_bytes(pid: int) -> int:
    """Anonymous and shared memory of a process; pages shared between processes count in part for each."""
    total = 0
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
                total += int(line.split()[1]) * 1024
    return total


def family(pid: int) -> list[int]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    return []


@contextmanager
def sampled(pids: Callable[[], Iterable[int]], every: float = 0.1) -> Iterator[Samples]:
    """Look at the processes all the time while the block runs."""
    found, stop, began = Samples(), threading.Event(), time.monotonic()

    def look() -> None:
        while not stop.wait(every):
            found.taken.append((time.monotonic() - began, {pid: held_bytes(pid) for pid in pids()}))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()
