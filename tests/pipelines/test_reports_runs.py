"""Reports that are equal, parts that are kept for them, and what is left when one is published."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.plan import Artifact, Json, Plan
from pipelines.reports import pipeline, planning, reuse, scan
from pipelines.run import Context, perform
from tests.pipelines.importing import Workshop

ROWS = "".join(f"2023-{month:02}-11,{region},{month}.50\n" for month in range(1, 13) for region in "nsew")


@pytest.fixture
def sales(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    monkeypatch.setattr(reuse, "_WORTH", 0.0)
    monkeypatch.setattr(pipeline, "SHELVED", 0)
    monkeypatch.setattr(planning, "_SMALLEST", 1)
    for mode in ("create", "append", "append"):
        shop.load("sales", "day,region,amount\n" + ROWS, {"mode": mode})
    return shop


def request(shop: Workshop, form: str = "csv", **parameters: Any) -> Any:
    given: Json = {"year": 2023, "by": ["region"], "time": "day", "amount": "amount", **parameters}
    return pipeline.parse({"reportType": "yearly-sales", "parameters": given, "format": form}, shop.catalog)


def run(shop: Workshop, spec: Json, job: str, epoch: int = 1) -> tuple[Plan, Json]:
    plan = Plan.from_json(pipeline.make_plan(shop.context(job, epoch), spec, None))
    partials = [
        perform(plan.run_part, Context(job, epoch, str(shop.home), n, plan.keep), plan.spec, part.payload)
        for n, part in enumerate(plan.parts)
    ]
    return plan, pipeline.finish(shop.context(job, epoch), plan.spec, partials)


def stretches(shop: Workshop) -> list[str]:
    return [key for key in shop.files("kept") if not key.endswith(".json")]


def test_equal_means_the_same_bytes(sales: Workshop) -> None:
    one = request(sales)
    assert one.equal == request(sales).equal is not None
    others = [request(sales, "json"), request(sales, by=["month"]), request(sales, amount="amount * 2")]
    sales.load("sales", "day,region,amount\n" + ROWS, {"mode": "append"})
    others.append(request(sales))
    assert len({one.equal, *(other.equal for other in others)}) == 5


def test_a_dataset_of_the_same_name_made_anew_is_not_equal(sales: Workshop) -> None:
    first = request(sales)
    sales.catalog.delete("sales")
    for mode in ("create", "append", "append"):
        sales.load("sales", "day,region,amount\n" + ROWS, {"mode": mode})
    assert request(sales).spec == first.spec
    assert request(sales).equal != first.equal


def test_parts_serve_every_format_of_the_question(sales: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, _ = run(sales, request(sales).spec, "one")
    assert len(plan.parts) == 3
    assert len(stretches(sales)) == 3
    monkeypatch.setattr(scan, "_stretch", None)  # computing anything now would fail
    _, outcome = run(sales, request(sales, "json").spec, "two")
    assert outcome["rows"] == 4
    spec = request(sales).spec
    assert run(sales, spec, "three")[1]["sha256"] == run(sales, spec, "four")[1]["sha256"]


def test_publishing_removes_what_other_runs_left_and_may_be_repeated(sales: Workshop) -> None:
    spec = request(sales).spec
    for epoch in (1, 2):
        run(sales, spec, "job", epoch)
    _, outcome = run(sales, spec, "job", 3)
    assert len(sales.files("results/job")) == 3
    for epoch in (3, 4):
        artifact = pipeline.publish(sales.store, "job", epoch, spec, outcome)
        assert artifact == Artifact.from_json(outcome)
        assert sales.files("results/job") == [artifact.path]


def test_no_run_writes_over_the_file_of_another(sales: Workshop) -> None:
    """A worker that was frozen in `finish` wakes up and ends it, after its part was done elsewhere."""
    spec = request(sales, "xlsx").spec
    paths = {run(sales, spec, "job", 1)[1]["path"] for _ in range(3)}
    assert len(paths) == 3


def test_discard_takes_all_runs_and_leaves_what_others_may_use(sales: Workshop) -> None:
    spec = request(sales).spec
    for epoch in (1, 2):
        run(sales, spec, "job", epoch)
    pipeline.discard(sales.store, "job", spec)
    assert sales.files("results") == [key for key in sales.files("results") if "/job/" not in key]
    assert len(stretches(sales)) == 3
