"""What the web worker process does for itself: says where it is, and never outlives the server that started it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

from service.engine import Engine
from service.settings import Settings

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Ask the kernel to end this process when its parent is gone, however it went. Linux only."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it went in between
        os.kill(os.getpid(), signal.SIGKILL)


def announce(settings: Settings, engine: Engine) -> None:
    """Tell people, and the home's lock file, where this service answers."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = settings.base_url or f"http://{host}:{settings.port}"
    if engine.lock is not None:
        engine.lock.publish(f"http://{host}:{settings.port}")
    workers = (
        f"add a worker: dask worker {engine.scheduler_address}" if engine.scheduler_address else "no workers"
    )
    sys.stderr.write(f"Haulier is at {address} (Ctrl-C stops it; {workers})\n")
    sys.stderr.flush()
