"""Tallies and groupings take short cuts: each gives what the long way gives, to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.reports import grouping, tallies
from pipelines.reports.kernel import slim
from pipelines.reports.tallies import Quantile, Tally
from pipelines.reports.vector import FLOAT, INTEGER, Vector

_floats = st.floats(width=64) | st.sampled_from([0.0, -0.0, 1.0, 1.0 + 2**-40, np.inf, -np.inf, np.nan])
_many = st.lists(st.tuples(st.integers(0, 3), _floats), min_size=1, max_size=60)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "QUANTILE_BOUND", 6)


def _same(left: Tally, right: Tally) -> bool:
    return all(
        np.array_equal(getattr(left, name), getattr(right, name))
        for name in ("sizes", "loss", "values", "counts")
    )


def _numbers(rows: list[tuple[int, float]], positive: bool) -> tuple[Any, Vector]:
    data = np.array([value for _, value in rows])
    return np.array([code for code, _ in rows]), Vector(FLOAT, np.abs(data) if positive else data)


@settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
@given(rows=_many, positive=st.booleans())
def test_a_quantile_begun_without_its_last_digits_is_that_of_all_digits(
    rows: list[tuple[int, float]], positive: bool
) -> None:
    codes, value = _numbers(rows, positive)
    long_way = Quantile()._reduced(codes, tallies._bits(value), None, np.zeros(4, np.int64))
    assert _same(Quantile().begin(codes, value, 4), long_way)


@settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
@given(rows=_many, positive=st.booleans(), cut=st.integers(0, 60))
def test_a_quantile_of_parts_is_that_of_the_whole(
    rows: list[tuple[int, float]], positive: bool, cut: int
) -> None:
    codes, value = _numbers(rows, positive)
    places = np.arange(len(codes))
    parts = [places[:cut], places[cut:]]
    begun = [Quantile().begin(codes[part], value.take(part), 4) for part in parts]
    merged = Quantile().merge([np.arange(4)] * 2, begun, 4)
    assert _same(merged, Quantile().begin(codes, value, 4))


@settings(deadline=None, max_examples=100)
@given(
    keys=st.lists(st.integers(-(1 << 40), 1 << 40) | st.sampled_from([0, 1, 1 << 41]), min_size=1),
    data=st.data(),
)
def test_sums_of_sorted_groups_are_those_of_each_group(keys: list[int], data: st.DataObject) -> None:
    numbers = data.draw(st.lists(st.integers(-9, 9), min_size=len(keys), max_size=len(keys)))
    key = np.array(keys * 600)  # spread too far for codes
    values = np.array(numbers * 600)
    groups = grouping.group([Vector(INTEGER, key)], len(key))
    sums = dict(zip(key[groups.sample()].tolist(), grouping.exact_sums(groups, values).tolist(), strict=True))
    assert sums == {each: int(values[key == each].sum()) for each in set(keys)}
    assert groups.codes is not None
    assert np.array_equal(key[groups.sample()][groups.dense], key)


def test_slim_groups_read_as_they_were() -> None:
    table = pa.table(
        {
            "k0": pa.array([1, None, -129], pa.int64()),
            "rows": pa.array([1, 2, 1 << 40], pa.int64()),
            "s0_0": pa.array([None, None, None], pa.int64()),
            "s0_1": pa.array([0.5, 1.5, 2.5]),
        }
    )
    found = slim(table)
    assert [str(each) for each in found.schema.types] == ["int16", "int64", "int8", "double"]
    assert found.cast(table.schema).equals(table)
