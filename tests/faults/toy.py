"""A report whose every trait is a parameter: how many parts, how long, how it hangs, dies or eats memory.

Every part appends its start and end to one execution log with a single write, so that what ran where
and when is known whatever died. The bytes of its result follow from the parameters alone: see `content`.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any

import pipelines.registry as registry
from pipelines.errors import BadInput, Fault, InvalidRequest
from pipelines.plan import Artifact, Json, Part, Plan, Request
from pipelines.run import Context, load
from pipelines.store import Store

LOG = "FAULTS_LOG"  # the environment variable that names the execution log
_HERE = "tests.faults.toy"
_STEP = 0.05
DEFAULTS: Json = {
    "tag": "",  # makes jobs differ
    "parts": 4,
    "seconds": 0.2,  # a part
    "bytes": 1000,  # of the result
    "at": 0,  # the part that does what follows
    "hang": None,  # python | gil | sleep
    "die": None,  # exit | segv | kill
    "fail": None,  # bad-input | bug
    "hog": 0,  # bytes of memory
    "finish_seconds": 0.0,  # before the result is written
    "write_seconds": 0.0,  # while it is written
    "keep": True,  # partials may be used again by a later run of the same job
    "share": False,  # equal jobs may share one run
}


def body(**parameters: Any) -> Json:
    """The body of a submission."""
    return {"reportType": "toy", "parameters": parameters}


def content(given: Json) -> bytes:
    """The bytes of the result, for any reader without running anything."""
    given = {**DEFAULTS, **given}
    return b"".join(_block(given, n, _word(given, n)) for n in range(given["parts"]))


def parse(payload: Json) -> Request:
    given = {**DEFAULTS, **payload.get("parameters", {})}
    unknown = [Fault(f"/parameters/{name}", "is not known") for name in given if name not in DEFAULTS]
    if unknown:
        raise InvalidRequest(unknown)
    more: Json = {}
    if "equal" in {field.name for field in fields(Request)} and given["share"]:
        more["equal"] = hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()
    return Request("toy", payload.get("parameters", {}), {"toy": given}, given["parts"] * 10, "rows", **more)


def make_plan(context: Context, spec: Json, argument: Any) -> Json:
    """Entry: the plan of a toy, or of the real report."""
    if "toy" not in spec:
        found: Json = load("pipelines.reports.pipeline:make_plan")(context, spec, argument)
        return found
    given = spec["toy"]
    more: Json = {}
    if given["keep"] and "keep" in {field.name for field in fields(Plan)}:
        more["keep"] = hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()
    parts = tuple(Part({"n": n}, 10) for n in range(given["parts"]))
    return Plan(
        spec, "rows", parts, f"{_HERE}:run_part", f"{_HERE}:finish", f"{_HERE}:combine", **more
    ).to_json()


def run_part(context: Context, spec: Json, payload: Json) -> list[str]:
    given, n = spec["toy"], payload["n"]
    with _logged(context, n):
        if n == given["at"]:
            _misbehave(given)
        until = time.monotonic() + given["seconds"]
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(_STEP, left))
            context.progress(int(10 * (1 - left / given["seconds"])))
        return [_word(given, n)]


def combine(context: Context, spec: Json, partials: Sequence[list[str]]) -> list[str]:
    with _logged(context, "combine"):  # who holds the only copy of the parts from now on
        return [word for partial in partials for word in partial]


def finish(context: Context, spec: Json, partials: Sequence[list[str]]) -> Json:
    given = spec["toy"]
    words = [word for partial in partials for word in partial]
    with _logged(context, "finish"):
        _sleep(given["finish_seconds"])  # deaf: who is stopped here wakes and writes on
        path = f"{context.results}/report.txt"
        with context.store.put(path) as sink:
            for n, word in enumerate(words):
                sink.write(_block(given, n, word))
                sink.flush()
                _sleep(given["write_seconds"] / len(words))
    return Artifact(path, "toy.txt", "text/plain", sink.bytes, sink.sha256, len(words)).to_json()


def publish(store: Store, job_id: str, epoch: int, spec: Json, outcome: Json) -> Artifact:
    return Artifact.from_json(outcome)


def discard(store: Store, job_id: str, *rest: Any) -> None:
    """`rest` is (spec,) or, as it was before, (epoch, spec)."""
    store.delete(f"results/{job_id}" if len(rest) == 1 else f"results/{job_id}/{rest[0]}")


def install() -> None:
    """Let reports of type "toy" through to the functions above; all else goes where it went."""
    real = registry.PIPELINES["report"]

    def parse_either(payload: Json, catalog: Any) -> Request:
        return parse(payload) if payload.get("reportType") == "toy" else real.parse(payload, catalog)

    def publish_either(store: Store, job_id: str, epoch: int, spec: Json, outcome: Json) -> Artifact:
        return (publish if "toy" in spec else real.publish)(store, job_id, epoch, spec, outcome)

    def discard_either(*given: Any) -> None:
        (discard if "toy" in given[-1] else real.discard)(*given)

    registry.PIPELINES["report"] = replace(
        real, parse=parse_either, plan=f"{_HERE}:make_plan", publish=publish_either, discard=discard_either
    )


def note(**line: Any) -> None:
    """One line of the execution log, whole or not at all."""
    path = os.environ.get(LOG)
    if path:
        data = json.dumps({**line, "pid": os.getpid(), "at": time.monotonic()}).encode() + b"\n"
        log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(log, data)
        finally:
            os.close(log)


@contextmanager
def _logged(context: Context, part: int | str) -> Iterator[None]:
    who = {"job": context.job_id, "epoch": context.epoch, "part": part}
    note(event="start", **who)
    try:
        yield
    except BaseException as error:
        note(event="broken", why=type(error).__name__, **who)
        raise
    note(event="end", **who)


def _misbehave(given: Json) -> None:
    match given["hang"]:
        case "python":
            while True:
                sum(range(1000))
        case "gil":
            ctypes.PyDLL(None).sleep(3600)  # PyDLL keeps the GIL: nothing else of this process runs
        case "sleep":
            time.sleep(3600)
    match given["die"]:
        case "exit":
            os._exit(3)
        case "segv":
            ctypes.string_at(0)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
    match given["fail"]:
        case "bad-input":
            raise BadInput("Line 3 has 4 fields where 5 were expected.")
        case "bug":
            raise ZeroDivisionError("a secret of the code")
    if given["hog"]:
        eaten = [os.urandom(1 << 20) * 8 for _ in range(given["hog"] >> 23)]
        time.sleep(30)
        del eaten


def _sleep(seconds: float) -> None:
    if seconds > 0:
        time.sleep(seconds)


def _word(given: Json, n: int) -> str:
    return hashlib.sha256(f"{given['tag']}/{n}".encode()).hexdigest()


def _block(given: Json, n: int, word: str) -> bytes:
    parts = given["parts"]
    size = given["bytes"] // parts + (given["bytes"] % parts if n == parts - 1 else 0)
    return (word.encode() * (size // len(word) + 1))[:size]
