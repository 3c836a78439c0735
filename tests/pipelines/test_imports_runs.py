"""An import that several runs had a hand in: one version, rows in order, nothing left behind."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from pipelines import kept
from pipelines.errors import BadInput
from pipelines.imports import delimited, pipeline
from pipelines.plan import Artifact, Json, Plan
from pipelines.run import Context, perform
from tests.pipelines.importing import Workshop

CONTENT = "a\n" + "".join(f"{n}\n" for n in range(400))


@pytest.fixture(autouse=True)
def many_parts_all_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "_WORTH", 0.0)
    monkeypatch.setattr(delimited, "_BLOCK", 64)
    monkeypatch.setattr(delimited, "_HEAD", 4_096)
    for name in ("_RUN", "_SMALLEST", "_LARGEST"):
        monkeypatch.setattr(delimited, name, 100)


class Runs:
    """One import job and its runs."""

    def __init__(self, shop: Workshop) -> None:
        self.shop = shop
        self.spec = shop.spec("sales", shop.file(CONTENT))
        self.plan = shop.plan("j", self.spec)
        self.computed: list[tuple[int, int]] = []

    def part(self, run: int, n: int) -> Any:
        before = len(self.shop.events)
        context = Context("j", run, str(self.shop.home), n, self.plan.keep, send=self.shop.events.append)
        partial = perform(self.plan.run_part, context, self.plan.spec, self.plan.parts[n].payload)
        if len(self.shop.events) > before:
            self.computed.append((run, n))
        return json.loads(json.dumps(partial))

    def finish(self, run: int) -> Json:
        partials = [self.part(run, n) for n in range(len(self.plan.parts))]
        context = Context("j", run, str(self.shop.home))
        outcome: Json = perform(self.plan.finish, context, self.plan.spec, partials)
        return outcome

    def publish(self, epoch: int, outcome: Json) -> Artifact:
        return pipeline.publish(self.shop.store, "j", epoch, self.spec, outcome)

    def left(self) -> list[str]:
        prefixes = ("datasets", "scratch", "results", "kept")
        found = [key for prefix in prefixes for key in self.shop.files(prefix)]
        return [key for key in found if "_delta_log" not in key]


@pytest.fixture
def runs(shop: Workshop) -> Runs:
    return Runs(shop)


def test_a_later_run_goes_on_with_the_parts_of_an_earlier_one(runs: Runs) -> None:
    many = len(runs.plan.parts)
    assert many > 10  # names must sort as numbers do
    first = [n for n in range(many) if n % 3]
    for n in reversed(first):
        runs.part(1, n)
    runs.part(2, 0)
    outcome = runs.finish(3)
    assert sorted(runs.computed) == sorted(
        [(1, n) for n in first] + [(2, 0)] + [(3, n) for n in range(3, many, 3)]
    )
    runs.publish(5, outcome)
    assert runs.shop.table("sales")["a"].to_pylist() == list(range(400))
    assert runs.left() == [
        *sorted(f"datasets/sales/j-{n}-0-{1 if n % 3 else 3 if n else 2}.parquet" for n in range(many)),
        "results/j/3/receipt.json",
    ]


def test_a_plan_made_again_finds_what_was_kept_and_another_file_does_not(runs: Runs) -> None:
    assert runs.shop.plan("j", runs.spec, epoch=2).keep == runs.plan.keep
    assert runs.shop.plan("other", runs.spec).keep != runs.plan.keep
    changed = runs.shop.spec("sales", runs.shop.file(CONTENT.replace("7", "8"), "table2.csv"))
    assert runs.shop.plan("j", changed).keep != runs.plan.keep
    assert Plan.from_json(json.loads(json.dumps(runs.plan.to_json()))) == runs.plan


def test_what_a_run_that_lost_left_goes_with_the_publication(runs: Runs) -> None:
    lost = runs.finish(1)
    shutil.rmtree(runs.shop.home / "kept")
    runs.publish(2, runs.finish(2))
    assert not any(key.endswith("-1.parquet") or "/j/1/" in key for key in runs.left())
    with pytest.raises(FileNotFoundError):
        runs.publish(1, lost)  # a zombie: fenced off anyway, and it harms nothing
    assert runs.shop.table("sales")["a"].to_pylist() == list(range(400))
    assert len(runs.shop.catalog.versions("sales")) == 1


@pytest.mark.parametrize("where", ["before the commit", "after the commit", "after the receipt"])
def test_a_publication_that_was_cut_off_is_ended_by_the_next(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    outcome = runs.finish(1)
    commit = pipeline.commit_fragments

    def cut_off(*given: Any) -> int:
        if where == "after the commit":
            commit(*given)
        raise InterruptedError("killed here")

    with monkeypatch.context() as patched:
        name = "_tidy" if where == "after the receipt" else "commit_fragments"
        patched.setattr(pipeline, name, cut_off)
        with pytest.raises(InterruptedError):
            runs.publish(1, outcome)
    first = runs.publish(7, outcome)
    assert runs.publish(8, outcome) == first
    assert len(runs.shop.catalog.versions("sales")) == 1
    assert not any(key.startswith(("scratch", "kept")) for key in runs.left())
    assert runs.shop.table("sales")["a"].to_pylist() == list(range(400))


def test_discard_takes_what_every_run_left(runs: Runs) -> None:
    runs.finish(1)
    shutil.rmtree(runs.shop.home / "kept")
    runs.finish(2)
    assert {key.partition("/")[0] for key in runs.left()} == {"datasets", "scratch", "kept"}
    pipeline.discard(runs.shop.store, "j", runs.spec)
    assert runs.left() == []


def test_a_dataset_deleted_meanwhile_is_named_not_half_loaded(runs: Runs) -> None:
    outcome = runs.finish(1)
    shutil.rmtree(runs.shop.home / "datasets")
    with pytest.raises(BadInput, match="deleted while the import ran"):
        runs.publish(2, outcome)
