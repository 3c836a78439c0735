"""A Plan as one Dask graph, and the functions that travel by value.

Every task is a call of the trampoline: a nested function, so cloudpickle sends its code and not its name, and
a worker or scheduler without this package raises ModuleNotFoundError on the future instead of dying. Specs
and payloads travel as JSON text: Dask looks into no data of ours, and one text serves a whole graph.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipelines.plan import Json, Plan
from service.cluster.outcomes import RunKey


@dataclass(frozen=True, slots=True)
class Keys:
    """The Dask keys of one run. An alphabetic front makes one task prefix a kind and stage, not one a job."""

    kind: str
    run: RunKey

    def _key(self, stage: str) -> str:
        return f"{self.kind}-{stage}-{self.run.job_id}-{self.run.epoch}"

    @property
    def plan(self) -> str:
        return self._key("plan")

    @property
    def final(self) -> str:
        return self._key("final")

    @property
    def parts(self) -> str:
        return self._key("part")

    def combine(self, level: int) -> str:
        return f"{self._key('combine')}-{level}"


def levels(plan: Plan) -> list[int]:
    """How many combine tasks each level of the tree has, from the parts up to a single partial.

    With buckets there is one level: a task a bucket, each of all parts.
    """
    if plan.buckets:
        return [plan.buckets]
    sizes: list[int] = []
    width = len(plan.parts)
    while plan.combine and width > 1:
        width = -(-width // max(2, plan.fan_in))
        sizes.append(width)
    return sizes


def planning(keys: Keys, entry: str, spec: Json, store_url: str) -> Any:
    """The plan stage as a Delayed of one task."""
    call = _delayed(trampoline())
    return call(entry, _context(keys, store_url), json.dumps(spec), "null", dask_key_name=keys.plan)


def working(keys: Keys, plan: Plan, store_url: str) -> Any:
    """The work stage as one Delayed: parts, a tree of combines, one finish."""
    call, spec, nothing = _delayed(trampoline()), json.dumps(plan.spec), "null"
    whole = _context(keys, store_url)
    partials = [
        call(
            plan.run_part,
            _context(keys, store_url, n, plan.keep),
            spec,
            json.dumps(part.payload),
            dask_key_name=(keys.parts, n),
        )
        for n, part in enumerate(plan.parts)
    ]
    if plan.buckets:
        name = keys.combine(0)
        partials = [
            call(
                plan.combine,
                _context(keys, store_url, bucket=n),
                spec,
                nothing,
                partials,
                dask_key_name=(name, n),
            )
            for n in range(plan.buckets)
        ]
        return call(plan.finish, whole, spec, nothing, partials, dask_key_name=keys.final)
    fan_in = max(2, plan.fan_in)
    for level, size in enumerate(levels(plan)):
        name = keys.combine(level)
        groups = [partials[n * fan_in : (n + 1) * fan_in] for n in range(size)]
        partials = [
            call(plan.combine, whole, spec, nothing, group, dask_key_name=(name, n))
            for n, group in enumerate(groups)
        ]
    return call(plan.finish, whole, spec, nothing, partials, dask_key_name=keys.final)


def trampoline() -> Callable[..., Any]:
    """What every task calls. `partials` are results of other tasks; else `payload` is the argument."""

    def haulier_task(
        entry: str, context: str, spec: str, payload: str, partials: list[Any] | None = None
    ) -> Any:
        import json

        from pipelines.run import run

        argument = json.loads(payload) if partials is None else partials
        return run(entry, json.loads(context), json.loads(spec), argument)

    return haulier_task


def census() -> Callable[..., Any]:
    """What `run_on_scheduler` calls for all runs at once: who it is, how many workers it has, and of each run
    whether a worker is at it and the tasks that are over.

    State instead of events, so nothing can be missed. A run whose final key is unknown there answers None.
    """

    def haulier_census(runs: list[tuple[str, list[tuple[str, int]]]], dask_scheduler: Any = None) -> Any:
        over = ("memory", "released", "forgotten")
        tasks = dask_scheduler.tasks
        active: set[str] = set()
        for worker in dask_scheduler.workers.values():  # more is sent to a worker than it can begin
            begun = [task for task in worker.executing if task in worker.processing]
            if not begun and worker.processing:  # it cannot say, or has not yet: what it begins first
                begun = [min(worker.processing, key=lambda task: task.priority)]
            active.update(task.key[0] if isinstance(task.key, tuple) else task.key for task in begun)
        answers: list[tuple[bool, list[list[int]]] | None] = []
        for final, groups in runs:
            if final not in tasks:
                answers.append(None)
                continue
            done = [
                [n for n in range(size) if (t := tasks.get((name, n))) is None or t.state in over]
                for name, size in groups
            ]
            answers.append((not active.isdisjoint({final, *(name for name, _ in groups)}), done))
        return str(dask_scheduler.id), len(dask_scheduler.workers), answers

    return haulier_census


def _context(
    keys: Keys,
    store_url: str,
    part: int | None = None,
    keep: str | None = None,
    bucket: int | None = None,
) -> str:
    context: Json = {
        "job_id": keys.run.job_id,
        "epoch": keys.run.epoch,
        "store_url": store_url,
        "part": part,
    }
    if keep is not None:
        context["keep"] = keep
    if bucket is not None:
        context["bucket"] = bucket
    return json.dumps(context)


def _delayed(function: Callable[..., Any]) -> Any:
    from dask.delayed import delayed

    return delayed(function, name="haulier", pure=False, traverse=False)
