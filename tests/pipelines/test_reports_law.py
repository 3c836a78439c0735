"""The law of parts: cut anywhere, combined in any tree, every measure is that of the whole, and right."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.datasets import Column, Dataset
from pipelines.reports import kernel
from pipelines.reports.answer import answer
from pipelines.reports.draft import Draft
from pipelines.reports.grains import GRAINS
from pipelines.reports.kernel import Batch, Partial
from pipelines.reports.program import Program, prepare
from pipelines.reports.question import OPS, Question
from tests.pipelines import report_oracle as oracle

TYPES = {
    "t": "timestamp",
    "z": "timestamptz",
    "day": "date",
    "word": "text",
    "flag": "boolean",
    "i": "integer",
    "big": "integer",
    "d": "decimal(10,2)",
    "wide": "decimal(30,4)",
    "f": "float",
}
DATASET = Dataset("law", 3, tuple(Column(*each) for each in TYPES.items()), 0, 0, "t")
UNTIMED = Dataset("law", 3, DATASET.columns, 0, 0, None)

_at = datetime.fromisoformat
_times = st.datetimes(_at("1969-11-01"), _at("1972-02-01")) | st.sampled_from(
    [_at("1970-01-01"), _at("1971-12-31T23:59:59.999999"), _at("2024-02-29")]
)
_values: dict[str, st.SearchStrategy[Any]] = {
    "t": _times,
    "z": _times.map(lambda value: value.replace(tzinfo=UTC)),
    "day": st.dates(date(1969, 11, 1), date(1971, 2, 1))
    | st.sampled_from([date(1, 1, 1), date(9999, 12, 31)]),
    "word": st.sampled_from(["", "a", "b", "ä", "Zürich", "日本", "=1"]),
    "flag": st.booleans(),
    "i": st.integers(-3, 3),
    "big": st.integers(-(1 << 63), (1 << 63) - 1),
    "d": st.integers(-999, 999).map(lambda n: Decimal(n).scaleb(-2)),
    "wide": st.integers(-(10**26), 10**26).map(lambda n: Decimal(n).scaleb(-4)),
    "f": st.integers(-5_000, 5_000).map(lambda n: n / 8) | st.sampled_from([float("nan"), -0.0, 0.0, 0.1]),
}
rows = st.lists(
    st.fixed_dictionaries({name: st.none() | values for name, values in _values.items()}), max_size=40
)
_keys = st.lists(
    st.sampled_from(["word", "flag", "i", "big", "d", "f", "day"]).map(lambda name: (name, None))
    | st.tuples(st.sampled_from(["t", "z"]), st.sampled_from(GRAINS))
    | st.tuples(st.just("day"), st.sampled_from([each for each in GRAINS if each != "hour"])),
    max_size=3,
    unique=True,
)
_NUMBERS = ("sum", "mean", "stddev", "quantile")


def questions(dataset: Dataset) -> st.SearchStrategy[Question]:
    """Every op of every column it fits, all in one question."""
    return _keys.map(lambda keys: _question(dataset, keys))


def _question(dataset: Dataset, keys: list[tuple[str, str | None]]) -> Question:
    draft = Draft(dataset)
    for index, (column, grain) in enumerate(keys):
        draft.key(column, grain, f"k{index}", "")
    draft.measure("count", None, None, "rows", "")
    for name in [*TYPES, "i * d", "i + big", "d * f", "d / i"]:
        numeric = name not in ("t", "z", "day", "word", "flag")
        for op in OPS:
            if numeric or op not in _NUMBERS:
                draft.measure(op, name, 0.3 if op == "quantile" else None, f"{op} {name}", "")
    return Question.from_json(json.loads(json.dumps(draft.question().to_json())))


def table_of(rows: list[dict[str, Any]], dictionary: bool = False) -> pa.Table:
    table = pa.Table.from_pylist(rows, DATASET.arrow_schema)
    if dictionary:
        return table.set_column(3, "word", table["word"].dictionary_encode())
    return table


def value(row: dict[str, Any], of: str) -> Any:
    """The expressions of `_question`, in Python."""
    if of in row:
        return row[of]
    left, sign, right = of.split()
    a, b = row[left], row[right]
    if a is None or b is None or (sign == "/" and b == 0):
        return None
    if right == "f":
        a = float(a)
    if sign == "/":
        return float(a) / float(b)
    return a * b if sign == "*" else a + b


def summarise_cut(program: Program, table: pa.Table, cuts: list[int], data: st.DataObject) -> list[Partial]:
    ends = [0, *sorted(min(cut, table.num_rows) for cut in cuts), table.num_rows]
    partials = [
        kernel.summarise(program, Batch(program, table.slice(start, end - start)))
        for start, end in pairwise(ends)
    ]
    while len(partials) > 1:
        start = data.draw(st.integers(0, len(partials) - 1), "merge from")
        end = data.draw(st.integers(start + 1, len(partials)), "merge to")
        merged = kernel.merge(program, pickle.loads(pickle.dumps(partials[start:end])))
        partials[start:end] = [merged]
        if end - start == 1 and data.draw(st.booleans(), "all at once"):
            return [kernel.merge(program, partials)]
    return partials


def compare(question: Question, got: pa.Table, rows: list[dict[str, Any]]) -> None:
    expected = oracle.answer(question, rows, value)
    assert got.column_names == [each.name for each in (*question.keys, *question.measures)]
    assert got.num_rows == len(expected)
    sizes = {each.name: _size(each.of) for each in question.measures}
    for row, wanted in zip(got.to_pylist(), expected, strict=True):
        wrong = {
            name: (row[name], wanted[name])
            for name in wanted
            if not oracle.close(row[name], wanted[name], sizes.get(name, 1.0))
        }
        assert not wrong


def _size(of: str | None) -> float:
    return {"big": 1e19, "i + big": 1e19, "wide": 1e25}.get(of or "", 1e4)


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(rows=rows, cuts=st.lists(st.integers(0, 40), max_size=6), data=st.data())
def test_chunked_equals_whole_for_every_op(
    rows: list[dict[str, Any]], cuts: list[int], data: st.DataObject
) -> None:
    question = data.draw(questions(data.draw(st.sampled_from([DATASET, UNTIMED]))), "question")
    program = prepare(question)
    table = table_of(rows, dictionary=data.draw(st.booleans(), "dictionary"))
    parts = summarise_cut(program, table, cuts, data)
    compare(question, answer(program, kernel.merge(program, parts)).table, rows)


@settings(deadline=None, max_examples=10)
@given(rows=rows, data=st.data())
def test_parts_filtered_to_nothing_change_nothing(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    question = data.draw(questions(DATASET), "question")
    program = prepare(question)
    some = kernel.summarise(program, Batch(program, table_of(rows)))
    none = kernel.empty(program)
    whole = answer(program, some).table
    for parts in ([none, some], [some, none, none], [none, kernel.merge(program, [none, some])]):
        assert _same(answer(program, kernel.merge(program, parts)).table, whole)


def _same(left: pa.Table, right: pa.Table) -> bool:
    return left.schema == right.schema and repr(left.to_pylist()) == repr(right.to_pylist())


def test_a_larger_table_in_parts_equals_one_pandas_call() -> None:
    random, size = np.random.default_rng(5), 20_000
    frame = pd.DataFrame(
        {
            "word": random.choice(["a", "b", "c", "d"], size),
            "i": random.integers(0, 40, size),
            "f": np.where(random.random(size) < 0.05, np.nan, random.normal(1e6, 3, size)),
        }
    )
    draft = Draft(DATASET)
    draft.key("word", None, None, "")
    draft.key("i", None, None, "")
    wanted = {"sum": "sum", "mean": "mean", "stddev": "std", "min": "min", "max": "max", "count": "count"}
    wanted |= {"distinct": "nunique", "first": "first", "last": "last", "quantile": lambda x: x.quantile(0.9)}
    for op in wanted:
        draft.measure(op, "f", 0.9 if op == "quantile" else None, op, "")
    program = prepare(draft.question())
    table = pa.table({**{n: pa.nulls(size, DATASET.column(n).arrow) for n in TYPES}, **_arrow(frame)})
    cuts = [0, *sorted(random.integers(0, size, 30)), size]
    parts = [kernel.summarise(program, Batch(program, table.slice(a, b - a))) for a, b in pairwise(cuts)]
    got = answer(program, kernel.merge(program, parts)).table.to_pandas()
    expected = frame.groupby(["word", "i"]).f.agg(list(wanted.values())).reset_index()
    expected.columns = pd.Index(["word", "i", *wanted])
    pd.testing.assert_frame_equal(got, expected, check_dtype=False, rtol=1e-9)


def _arrow(frame: pd.DataFrame) -> dict[str, pa.Array]:
    return {
        "word": pa.array(frame.word.to_list(), pa.string()),
        "i": pa.array(frame.i.to_numpy()),
        "f": pa.array(frame.f.to_numpy(), from_pandas=True),
    }


@pytest.mark.parametrize("size", [1, 1_000])
def test_sums_beyond_int64_stay_exact(size: int) -> None:
    limit = (1 << 63) - 1
    rows = [{**dict.fromkeys(TYPES), "word": "ab"[n % 2], "big": limit - n} for n in range(size)]
    draft = Draft(DATASET)
    draft.key("word", None, None, "")
    draft.measure("sum", "big", None, "sum", "")
    program = prepare(draft.question())
    part = kernel.summarise(program, Batch(program, table_of(rows)))
    got = answer(program, kernel.merge(program, [part, part])).table.to_pylist()
    for row in got:
        assert row["sum"] == 2 * sum(limit - n for n in range(size) if "ab"[n % 2] == row["word"])


def test_many_equal_decimals_do_not_drift() -> None:
    table = pa.table(
        {
            **{name: pa.nulls(300_000, DATASET.column(name).arrow) for name in TYPES},
            "d": pa.array([Decimal("0.10")] * 300_000, pa.decimal128(10, 2)),
        }
    )
    draft = Draft(DATASET)
    draft.measure("sum", "d", None, "sum", "")
    draft.measure("mean", "d", None, "mean", "")
    program = prepare(draft.question())
    got = answer(program, kernel.summarise(program, Batch(program, table))).table.to_pylist()
    assert got == [{"sum": Decimal("30000.00"), "mean": 0.1}]
