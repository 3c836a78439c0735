"""Parsers that a hostile file could harm run here: in a child process with capped memory and a deadline.

The child gets JSON on its standard input and gives JSON on its standard output. It dies with its parent. What
it cannot do within its means is a refusal of the file, never the end of a worker.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from pipelines.errors import BadInput
from pipelines.plan import Json

if TYPE_CHECKING:
    from pipelines.run import Context  # brings fsspec, which a child does without

MEMORY = 1 << 30  # bytes beyond what the interpreter and its libraries take
SECONDS = 60.0  # for a small file; large ones get more
_RATE = 1 << 19  # bytes a second that even a slow parser reads
_POLL = 0.05
_DEATH_SIGNAL = 1  # prctl's PR_SET_PDEATHSIG
_BOOT = "import json, sys; job = json.load(sys.stdin); sys.path[:] = job['path']; "
_BOOT += "from pipelines.child import serve; serve(job)"


def guarded(context: Context, entry: str, argument: Json, name: str, size: int) -> Json:
    """What `entry(argument)` ("module:function") gives, computed in a child.

    BadInput when the file is refused.
    """
    job = {"path": sys.path, "entry": entry, "argument": argument, "memory": MEMORY, "parent": os.getpid()}
    deadline = time.monotonic() + SECONDS + size / _RATE
    try:
        answer = _answer(context, json.dumps(job).encode(), deadline)
    except subprocess.TimeoutExpired:
        raise BadInput(
            f"The file {name!r} takes too long to read; it is refused. Save it anew or make it smaller."
        ) from None
    try:
        said: Json = json.loads(answer)
    except ValueError:
        raise BadInput(
            f"The file {name!r} broke its reader or needs more than {MEMORY >> 20:,} MB to be read; "
            "it is refused. "
            "Save it anew or make it smaller."
        ) from None
    if "bad" in said:
        raise BadInput(said["bad"])
    if "failed" in said:
        raise RuntimeError(f"{entry}: {said['failed']}")
    result: Json = said["result"]
    return result


def _answer(context: Context, given: bytes, deadline: float) -> bytes:
    """What a child prints, while the job is looked after; no child outlives this."""
    pipe, none = subprocess.PIPE, subprocess.DEVNULL
    command = [sys.executable, "-c", _BOOT]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=none) as child:
        pending: bytes | None = given
        while True:
            try:
                return child.communicate(pending, timeout=_POLL)[0]
            except subprocess.TimeoutExpired:
                pending = None
                try:
                    context.check()
                    if time.monotonic() > deadline:
                        raise
                except BaseException:
                    child.kill()
                    raise


def serve(job: Json) -> None:
    """The child's own part: limits on, then the entry, then the answer."""
    _die_with(job["parent"])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # a library that prints must not spoil the answer
    module, _, function = job["entry"].partition(":")
    call = getattr(importlib.import_module(module), function)
    _limit(job["memory"])
    answers.write(json.dumps(_called(call, job)))
    answers.flush()
    os._exit(0)


def _called(call: Any, job: Json) -> Json:
    name = job["argument"].get("name", "")
    try:
        return {"result": call(job["argument"])}
    except BadInput as error:
        return {"bad": error.detail}
    except MemoryError:
        return {
            "bad": f"The file {name!r} needs more than {job['memory'] >> 20:,} MB to be read; it is refused. "
            "Save it anew or make it smaller."
        }
    except RecursionError:
        return {"bad": f"The file {name!r} is nested too deep; it is refused."}
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}"}


def _limit(memory: int) -> None:
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _die_with(parent: int) -> None:
    """Linux sends a signal when the parent is gone; elsewhere the deadline has to do."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
