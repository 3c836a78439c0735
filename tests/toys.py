"""Small pipelines for tests of the cluster, the dispatcher and the engine. Workers import this module too."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import time
from typing import TYPE_CHECKING, Any

from pipelines.errors import BadInput
from pipelines.plan import Artifact, Json, Part, Plan
from pipelines.run import Context
from pipelines.store import Store

if TYPE_CHECKING:
    from pipelines.registry import Pipeline

HERE = "tests.toys"
PLAN = f"{HERE}:make_plan"


def spec(parts: int = 4, **more: Any) -> Json:
    """`seconds` a part takes, `fail` and `fail_plan` name an error. Of part 0: `die` is how many times its
    worker dies (`die_after` seconds), `hang` how it hangs ("sleep", "gil"), `eat` how many bytes it takes.
    """
    return {"parts": parts, "seconds": 0.0, "weight": 10, "combine": True, "fan_in": 3, **more}


def make_plan(context: Context, spec: Json, _: None) -> Json:
    _fail(spec.get("fail_plan"))
    _hang(spec.get("hang_plan"))
    parts = tuple(Part({"n": n}, spec["weight"]) for n in range(spec["parts"]))
    combine = f"{HERE}:combine" if spec["combine"] else None
    return Plan(
        spec,
        "rows",
        parts,
        f"{HERE}:run_part",
        f"{HERE}:finish",
        combine,
        spec["fan_in"],
        keep=spec.get("keep"),
    ).to_json()


def plan_of(given: Json) -> Plan:
    return Plan.from_json(make_plan(Context("plan", 1, "unused"), given, None))


def run_part(context: Context, spec: Json, payload: Json) -> list[int]:
    """Works in ten steps, says so after each, and notices a cancel."""
    _note(context, spec, payload["n"])
    if payload["n"] == 0:
        time.sleep(spec.get("die_after", 0))
        _die(context, spec.get("die", 0))
        _hang(spec.get("hang"))
        _eat(spec.get("eat", 0))
    if payload["n"] == spec["parts"] - 1:
        _fail(spec.get("fail"))
    try:
        for step in range(10):
            time.sleep(spec["seconds"] / 10)
            context.progress((step + 1) * spec["weight"] // 10)
    finally:
        with context.store.put(f"{context.scratch}/part-{payload['n']}") as sink:
            sink.write(b"left by a part")
    return [payload["n"]]


def combine(context: Context, spec: Json, partials: list[list[int]]) -> list[int]:
    return [n for partial in partials for n in partial]


def finish(context: Context, spec: Json, partials: list[list[int]]) -> Json:
    """The numbers of all parts, in part order, as a file and in its name."""
    numbers = ",".join(str(n) for partial in partials for n in partial)
    path = f"{context.results}/report.txt"
    with context.store.put(path) as sink:
        sink.write(numbers.encode())
    return Artifact(path, numbers, "text/plain", sink.bytes, sink.sha256).to_json()


def publish(store: Store, job_id: str, epoch: int, spec: Json, outcome: Json) -> Artifact:
    _fail(spec.get("fail_publish"))
    store.delete(f"scratch/{job_id}")
    return Artifact.from_json(outcome)


def discard(store: Store, job_id: str, spec: Json) -> None:
    store.delete(f"scratch/{job_id}")
    store.delete(f"results/{job_id}")


def pipelines() -> dict[str, Pipeline]:
    from pipelines.registry import Pipeline  # brings Arrow, which no part of these needs

    def parse(payload: Json, catalog: Any) -> Any:
        raise NotImplementedError

    return {"report": Pipeline(parse, PLAN, publish, discard)}


def _note(context: Context, spec: Json, n: int) -> None:
    """Write down that a part began: a line of `job epoch part` in the file `spec["log"]`."""
    if "log" in spec:
        with open(spec["log"], "a") as log:
            log.write(f"{context.job_id} {context.epoch} {n}\n")


def _fail(how: str | None) -> None:
    if how == "bad-input":
        raise BadInput("Line 3 has 4 fields where 5 were expected.")
    if how == "memory":
        raise MemoryError("malloc of size 99 failed")
    if how == "disk":
        raise OSError(errno.ENOSPC, "No space left on device")
    if how == "unexpected":
        raise ZeroDivisionError("a secret of the code")


def _hang(how: str | None) -> None:
    """Never looks whether it was canceled; with `gil` the whole process cannot do anything else."""
    if how == "gil":
        ctypes.PyDLL(None).sleep(60)
    elif how is not None:
        time.sleep(60)


def _eat(much: int) -> None:
    """Take so many bytes of memory, and time enough for somebody to notice."""
    taken = [bytearray(os.urandom(1 << 20) * 16) for _ in range(much >> 24)]
    if taken:
        time.sleep(5)


def _die(context: Context, times: int) -> None:
    """Kill this worker process, once for each of `times` markers not yet in the store."""
    for n in range(times):
        marker = f"deaths/{context.job_id}-{n}"
        if not context.store.exists(marker):
            with context.store.put(marker):
                pass
            os.kill(os.getpid(), signal.SIGKILL)
