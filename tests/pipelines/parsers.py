"""Parsers that go wrong in the ways real ones do; run in the capped child."""

from __future__ import annotations

import os
import signal
import time
from typing import Any


def greedy(argument: dict[str, Any]) -> dict[str, Any]:
    return {"size": len(b"x" * (1 << 30))}


def crash(argument: dict[str, Any]) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGSEGV)
    return {}


def sleep(argument: dict[str, Any]) -> dict[str, Any]:
    time.sleep(60)
    return {}


def divide(argument: dict[str, Any]) -> dict[str, Any]:
    return {"result": 1 // 0}
