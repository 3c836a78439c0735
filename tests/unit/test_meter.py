"""Units done and phases, from what parts and the finish say of themselves."""

from __future__ import annotations

from pipelines.plan import Part, Plan
from service.cluster.meter import Meter

PLAN = Plan({}, "frames", (Part({}, 10), Part({}, 30)), "run", "finish")


def test_units_never_fall_when_a_part_begins_again() -> None:
    meter = Meter("video", PLAN)
    meter.inside(1, 20)
    assert meter.done == 20
    meter.inside(1, 3)
    assert (meter.done, meter.phase) == (20, "encoding")
    meter.finished([0, 1])
    assert (meter.done, meter.phase) == (40, "finishing")


def test_a_finish_with_work_of_its_own_does_not_stand_still() -> None:
    meter = Meter("video", PLAN)
    meter.finished([0, 1])
    phases = []
    for done in (0, 1000, 1200):
        meter.inside(None, done)
        phases.append(meter.phase)
    assert phases == ["finishing", "finishing (1,000)", "finishing (1,200)"]
    assert meter.done == 40
