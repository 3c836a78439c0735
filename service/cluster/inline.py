"""InlineCluster: the Cluster protocol kept in this process, one step of one task a poll. For tests.

Same entries, same contexts, same classification as on Dask; only the processes are missing.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from pipelines.plan import Json, Plan
from pipelines.run import Context, perform
from service.cluster.meter import PLANNING, Meter
from service.cluster.outcomes import Finished, Outcome, RunKey, Stage, Status, classify
from service.model import Priority

Steps = Generator[None, None, Any]


@dataclass
class _Run:
    stage: Stage
    meter: Meter
    steps: Steps
    outcome: Outcome | None = None


class InlineCluster:
    """See `Cluster`. `inject` ends a run as a fault would; `up = False` is a scheduler out of reach."""

    def __init__(self, store_url: str) -> None:
        self._store_url = store_url
        self._runs: dict[RunKey, _Run] = {}
        self._left: dict[RunKey, _Run] = {}
        self.up = True
        self.started: list[tuple[RunKey, Stage]] = []
        self.canceled: list[RunKey] = []

    def notify(self, wake: Callable[[], None]) -> None:
        """Nothing happens between polls, so nobody is woken."""

    def ready(self) -> bool:
        return self.up

    def identity(self) -> str | None:
        return f"inline-{id(self):x}" if self.up else None

    def workers(self) -> int:
        return int(self.up)

    def plan(self, key: RunKey, kind: str, entry: str, spec: Json, priority: Priority) -> None:
        meter = Meter(kind, None)
        self._begin(key, Stage.PLAN, meter, self._planning(key, entry, spec))

    def start(self, key: RunKey, kind: str, plan: Plan, priority: Priority) -> None:
        if (left := self._left.pop(key, None)) is not None:
            self._runs[key] = left
            return
        meter = Meter(kind, plan)
        self._begin(key, Stage.WORK, meter, self._working(key, plan, meter))

    def knows(self, key: RunKey, kind: str) -> bool:
        return key in self._left or (key in self._runs and self._runs[key].stage is Stage.WORK)

    def poll(self, progress: bool = True) -> dict[RunKey, Status]:
        for key, run in self._runs.items():
            if run.outcome is None:
                run.outcome = self._step(key, run)
        return {key: _status(run) for key, run in self._runs.items()}

    def cancel(self, key: RunKey) -> None:
        self.canceled.append(key)
        self._runs.pop(key, None)

    def let_go(self, key: RunKey) -> None:
        """What is left of it goes on as a run that somebody else began; `start` joins it again."""
        if (run := self._runs.pop(key, None)) is not None and run.stage is Stage.WORK:
            self._left[key] = run

    def forget(self, key: RunKey) -> None:
        self._runs.pop(key, None)

    def close(self) -> None:
        self._runs.clear()

    def inject(self, key: RunKey, outcome: Outcome) -> None:
        self._runs[key].outcome = outcome

    def _begin(self, key: RunKey, stage: Stage, meter: Meter, steps: Steps) -> None:
        self.started.append((key, stage))
        self._runs[key] = _Run(stage, meter, steps)

    def _step(self, key: RunKey, run: _Run) -> Outcome | None:
        try:
            next(run.steps)
        except StopIteration as end:
            return Finished(end.value)
        except Exception as error:
            return classify(error, key.job_id)
        return None

    def _planning(self, key: RunKey, entry: str, spec: Json) -> Steps:
        yield
        return perform(entry, self._context(key, None, Meter("", None)), spec, None)

    def _working(self, key: RunKey, plan: Plan, meter: Meter) -> Steps:
        partials: list[Any] = []
        for n, part in enumerate(plan.parts):
            yield
            context = self._context(key, n, meter, plan.keep)
            partials.append(perform(plan.run_part, context, plan.spec, part.payload))
            meter.finished(range(n + 1))
        context = self._context(key, None, meter)
        if plan.combine and plan.buckets:
            parts, partials = partials, []
            for bucket in range(plan.buckets):
                meter.combined(bucket, plan.buckets)
                yield
                context.bucket = bucket
                partials.append(perform(plan.combine, context, plan.spec, parts))
            context.bucket = None
        while plan.combine and not plan.buckets and len(partials) > 1:
            meter.combined(0, 1)
            yield
            width = max(2, plan.fan_in)
            groups = [partials[n : n + width] for n in range(0, len(partials), width)]
            partials = [perform(plan.combine, context, plan.spec, group) for group in groups]
        meter.combined(1, 1)
        yield
        return perform(plan.finish, context, plan.spec, partials)

    def _context(self, key: RunKey, part: int | None, meter: Meter, keep: str | None = None) -> Context:
        def send(event: Json) -> None:
            meter.inside(part, event["done"])

        return Context(key.job_id, key.epoch, self._store_url, part, keep, send=send)


def _status(run: _Run) -> Status:
    phase = PLANNING if run.stage is Stage.PLAN else run.meter.phase
    return Status(run.stage, run.meter.done, phase, run.outcome)
