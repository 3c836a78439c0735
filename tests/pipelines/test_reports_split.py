"""The law of buckets: split by keys or by values, put aside, combined a bucket at a time, nothing changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.datasets import Column, Dataset
from pipelines.reports import kernel, spill, split, tallies
from pipelines.reports.answer import answer, join
from pipelines.reports.draft import Draft
from pipelines.reports.kernel import Batch, Partial
from pipelines.reports.program import Program, prepare
from pipelines.reports.tallies import Tally
from pipelines.store import open_store
from tests.pipelines.test_reports_law import DATASET, _same, compare, questions, rows, summarise_cut, table_of

_quiet = settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))


@_quiet
@given(rows=rows, cuts=st.lists(st.integers(0, 40), max_size=4), data=st.data())
def test_buckets_by_key_give_the_same_answer(
    rows: list[dict[str, Any]], cuts: list[int], data: st.DataObject
) -> None:
    question = data.draw(questions(DATASET).filter(lambda each: bool(each.keys)), "question")
    program = prepare(question)
    table = table_of(rows, dictionary=data.draw(st.booleans(), "dictionary"))
    sample = kernel.summarise(
        program, Batch(program, table.slice(0, data.draw(st.integers(1, 40), "sample")))
    )
    marks = split.cuts(program, sample, 4) if sample.groups.num_rows else []
    parts = [split.by_keys(program, each, marks) for each in summarise_cut(program, table, cuts, data)]
    buckets = [kernel.merge(program, [part[n] for part in parts]) for n in range(len(marks) + 1)]
    compare(question, join(program, [answer(program, each) for each in buckets]).table, rows)


@_quiet
@given(rows=rows, cuts=st.lists(st.integers(0, 40), max_size=4), data=st.data())
def test_buckets_by_value_give_the_same_answer(
    rows: list[dict[str, Any]], cuts: list[int], data: st.DataObject
) -> None:
    question = data.draw(questions(DATASET), "question")
    program = prepare(question)
    parts = [split.by_values(program, each, 3) for each in summarise_cut(program, table_of(rows), cuts, data)]
    buckets = [split.settle(program, kernel.merge(program, [part[n] for part in parts])) for n in range(3)]
    compare(question, answer(program, kernel.merge(program, buckets)).table, rows)


def test_pieces_are_found_again(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    pieces = [pa.table({"a": [1, 2]}), {"b": np.arange(5)}, pa.table({"a": pa.array([], pa.string())})]
    token = spill.put(store, "scratch/pieces", pieces)
    assert spill.get(store, token, 0) == pieces[0]
    assert spill.get(store, token, 1)["b"].tolist() == [0, 1, 2, 3, 4]
    assert spill.get(store, token, 2) == pieces[2]


def _program(op: str, of: str, keys: list[str]) -> Program:
    dataset = Dataset(
        "law", 3, tuple(Column(n, t) for n, t in (("g", "integer"), ("f", "float"))), 0, 0, None
    )
    draft = Draft(dataset)
    for key in keys:
        draft.key(key, None, None, "")
    draft.measure(op, of, 0.5 if op == "quantile" else None, "m", "")
    return prepare(draft.question())


def _bits(tally: Tally) -> list[list[int]]:
    counts = np.zeros(0) if tally.counts is None else tally.counts
    return [each.tolist() for each in (tally.sizes, tally.loss, tally.values, counts)]


values = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.none() | st.floats() | st.integers(-40, 40).map(float) | st.floats(1.0, 1.0001),
    ),
    max_size=60,
)


@_quiet
@given(values=values, cuts=st.lists(st.integers(0, 60), max_size=5), data=st.data())
@pytest.mark.parametrize("op", ["distinct", "quantile"])
def test_what_is_kept_beyond_the_bound_does_not_depend_on_the_cut(
    op: str, values: list[tuple[int, float | None]], cuts: list[int], data: st.DataObject
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tallies, "DISTINCT_BOUND", 5)
        patch.setattr(tallies, "QUANTILE_BOUND", 5)
        program = _program(op, "f", ["g"])
        table = pa.table({"g": [g for g, _ in values], "f": [f for _, f in values]}, _schema())
        whole = kernel.summarise(program, Batch(program, table))
        parts = summarise_cut(program, table, cuts, data)
        merged = kernel.merge(program, parts)
        order = [np.argsort(each.groups["k0"].to_numpy()) for each in (whole, merged)]
        assert _bits(whole.take(order[0]).tallies[0]) == _bits(merged.take(order[1]).tallies[0])
        assert _same(answer(program, whole).table, answer(program, merged).table)


def _schema() -> pa.Schema:
    return pa.schema([("g", pa.int64()), ("f", pa.float64())])


def _column(data: np.ndarray[Any, Any], op: str) -> tuple[Program, Partial]:
    program = _program(op, "f", [])
    table = pa.table({"g": np.zeros(len(data), np.int64), "f": data}, _schema())
    step = max(1, len(data) // 7)
    parts = [
        kernel.summarise(program, Batch(program, table.slice(n, step))) for n in range(0, len(data), step)
    ]
    return program, kernel.merge(program, parts)


def test_a_distinct_beyond_the_bound_is_as_near_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "DISTINCT_BOUND", 4_096)
    program, partial = _column(np.random.default_rng(3).permutation(100_000).astype(float), "distinct")
    assert len(partial.tallies[0].values) == 4_096
    assert answer(program, partial).table["m"][0].as_py() == pytest.approx(100_000, rel=4 / 4_096**0.5)


@pytest.mark.parametrize("size", [4_096, 300_000])
def test_a_quantile_beyond_the_bound_is_as_near_as_it_says(size: int) -> None:
    data = np.random.default_rng(4).lognormal(3, 2, size)
    program, partial = _column(data, "quantile")
    loss = partial.tallies[0].loss
    assert (loss > 0).any() == (size > 4_096)
    assert len(partial.tallies[0].values) <= tallies.QUANTILE_BOUND
    near = program.tallies[0].tallying.off(partial.tallies[0])
    assert near < 0.004
    assert answer(program, partial).table["m"][0].as_py() == pytest.approx(np.median(data), rel=near + 1e-15)
