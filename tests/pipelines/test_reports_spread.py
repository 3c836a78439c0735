"""`cohort`, `distribution`, `profile` against pandas and numpy, in parts and in buckets; the law of bins."""

from __future__ import annotations

import random
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from math import floor
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import BadInput, InvalidRequest
from pipelines.reports import bins, pipeline, planning, reuse, strategy
from pipelines.reports.question import Bins
from pipelines.reports.vector import FLOAT, INTEGER, Kind, Vector
from tests.pipelines.importing import Workshop
from tests.pipelines.reporting import ask, report, request, rows

_TYPES = {"columns": {"weight": {"type": "float"}}}


def _csv(year: int, seed: int, size: int = 400) -> str:
    chosen = random.Random(seed)
    lines = []
    for _ in range(size):
        day = f"{year}-{chosen.randint(1, 12):02}-{chosen.randint(1, 28):02} {chosen.randint(0, 23):02}:00:00"
        who = "" if chosen.random() < 0.03 else f"c{int(chosen.paretovariate(0.8)) % 90}"
        amount = "" if chosen.random() < 0.05 else f"{chosen.randint(-500, 99999) / 100:.2f}"
        weight = "NaN" if chosen.random() < 0.02 else f"{chosen.gauss(3, 2):.5f}"
        lines.append(f"{day},{who},{chosen.randint(0, 40)},{amount},{weight}")
    return "at,who,units,amount,weight\n" + "\n".join(lines) + "\n"


@pytest.fixture(params=["tree", "buckets"])
def sales(request: pytest.FixtureRequest, shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """Three years in three files; read in several parts, or over buckets too."""
    monkeypatch.setattr(planning, "_SMALLEST", 1)
    if request.param == "buckets":
        monkeypatch.setattr(strategy, "SAMPLES", 1)
        monkeypatch.setattr(strategy, "MANY", 1)
    for index, mode in enumerate(("create", "append", "append")):
        shop.load("sales", _csv(2021 + index, index), {"mode": mode, **_TYPES})
    return shop


def frame(shop: Workshop) -> pd.DataFrame:
    return shop.table("sales").to_pandas()


# --- bins

_finite = st.floats(-1e6, 1e6, allow_nan=False) | st.sampled_from([0.1, 0.3, 0.7, -0.3, 1e-9, 2.5])


@settings(deadline=None)
@given(
    numbers=st.lists(st.integers(-(10**25), 10**25) | st.integers(-999, 999), min_size=1, max_size=30),
    scale=st.integers(0, 6),
    width=st.sampled_from(["0.01", "0.5", "1", "2.5", "1000", "0.3"]),
)
def test_a_width_goes_into_exact_numbers_as_often_as_in_fractions(
    numbers: list[int], scale: int, width: str
) -> None:
    wide = any(abs(each) >= 1 << 63 for each in numbers)
    vector = Vector(Kind("decimal", 38, scale), np.array(numbers, object if wide else np.int64))
    expected = [floor(Fraction(each, 10**scale) / Fraction(width)) for each in numbers]
    assert bins.binned(Bins("x", width=width), vector).data.tolist() == expected


@settings(deadline=None)
@given(numbers=st.lists(_finite, min_size=1, max_size=30), width=st.sampled_from(["0.1", "0.25", "10", "7"]))
def test_a_float_lies_between_the_ends_of_its_bin(numbers: list[float], width: str) -> None:
    found = bins.binned(Bins("x", width=width), Vector(FLOAT, np.array(numbers))).data
    low, high = (bins.ends(found + step, Fraction(width)) for step in (0, 1))
    assert all(low <= numbers) and all(numbers < high)


@settings(deadline=None)
@given(
    numbers=st.lists(st.integers(-2000, 2000), min_size=1, max_size=40),
    edges=st.lists(st.integers(-1500, 1500), min_size=2, max_size=8, unique=True),
)
def test_given_edges_cut_as_numpy_does(numbers: list[int], edges: list[int]) -> None:
    cents = sorted(edges)
    texts = tuple(str(Decimal(edge).scaleb(-1)) for edge in cents)
    exact = bins.binned(Bins("x", texts), Vector(Kind("decimal", 10, 2), np.array(numbers) * 1)).data
    real = bins.binned(Bins("x", texts), Vector(FLOAT, np.array(numbers) / 100)).data
    assert exact.tolist() == real.tolist()
    counts = np.bincount(exact, minlength=len(cents) + 1)[1 : len(cents)]
    expected, _ = np.histogram(np.array(numbers) / 100, [float(text) for text in texts])
    assert counts.tolist() == expected.tolist()


def test_what_is_no_number_is_in_no_bin() -> None:
    data = np.array([1.0, np.nan, np.inf, -np.inf, 2.0])
    for asked in (Bins("x", width="1"), Bins("x", ("0", "5"))):
        found = bins.binned(asked, Vector(FLOAT, data, np.array([True] * 4 + [False])))
        assert found.valid is not None and found.valid.tolist() == [True, False, False, False, False]
    assert bins.binned(Bins("x", width="1"), Vector(INTEGER, np.array([3]))).valid is None


# --- distribution


@pytest.mark.parametrize("of", ["amount", "units", "weight", "amount * units - 3"])
def test_a_histogram_is_that_of_numpy_and_of_few_round_bins(sales: Workshop, of: str) -> None:
    data = frame(sales)
    known = {
        "amount * units - 3": lambda: data.amount.dropna().astype(float) * data.units - 3,
        "amount": lambda: data.amount.dropna().astype(float),
    }
    values = known.get(of, lambda: data[of])().dropna().to_numpy(float)
    table = report(sales, "distribution", dataset="sales", of=of, bins=12, quantiles=[0.5, 0.9]).to_pylist()
    found = [row for row in table if row["part"] == "bin"]
    assert 4 <= len(found) <= 12
    edges = [*(row["from"] for row in found), found[-1]["to"]]
    assert all(a["to"] == b["from"] for a, b in pairwise(found))
    expected, _ = np.histogram(values, edges)
    assert [row["rows"] for row in found] == expected.tolist()
    assert sum(row["rows"] for row in found) == len(values)
    whole = {row["part"]: row["value"] for row in table if row["value"] is not None}
    if of != "weight":  # which has NaN, greater than any number
        wanted = {"min": values.min(), "max": values.max(), "mean": values.mean()}
        wanted |= {"p50": np.quantile(values, 0.5), "p90": np.quantile(values, 0.9)}
        wanted |= {"stddev": values.std(ddof=1)}
        assert whole == pytest.approx(wanted, rel=1e-9)
    odd = {row["part"]: row["rows"] for row in table if row["part"] in ("null", "NaN or infinite")}
    assert odd.get("null", 0) == (data.amount.isna().sum() if "amount" in of else 0)
    assert odd.get("NaN or infinite", 0) == (data.weight.isna().sum() if of == "weight" else 0)
    total = sum(int(row["rows"]) for row in found) + odd.get("NaN or infinite", 0)
    assert [row["share"] for row in found] == [row["rows"] / total for row in found]


def test_given_edges_and_widths_are_kept(sales: Workshop) -> None:
    units = frame(sales)["units"]
    table = report(sales, "distribution", dataset="sales", of="units", edges=[5, 10.5, 40], quantiles=[])
    got = [(*tuple(row.values())[:3], row["rows"]) for row in table.to_pylist() if row["from"] or row["to"]]
    assert got == [
        ("below", None, 5.0, int((units < 5).sum())),
        ("bin", 5.0, 10.5, int(((units >= 5) & (units < 10.5)).sum())),
        ("bin", 10.5, 40.0, int(((units >= 10.5) & (units <= 40)).sum())),
    ]
    table = report(sales, "distribution", dataset="sales", of="units", width=2.5)
    found = [row for row in table.to_pylist() if row["part"] == "bin"]
    assert [row["from"] for row in found] == [2.5 * n for n in range(17)]
    assert sum(row["rows"] for row in found) == len(units)
    with pytest.raises(BadInput, match=r"80,001 bins of width 0.0005"):
        ask(sales, "distribution", {"dataset": "sales", "of": "units", "width": 0.0005})


def test_a_distribution_of_nothing_has_no_bins(sales: Workshop) -> None:
    nothing = [{"column": "units", "op": ">", "value": 1_000}]
    table = report(sales, "distribution", dataset="sales", of="amount", where=nothing)
    assert table["part"].to_pylist() == ["min", "p5", "p25", "p50", "p75", "p95", "max", "mean", "stddev"]
    assert table["value"].null_count == table.num_rows


def test_bins_of_an_earlier_report_are_not_taken_for_others(
    sales: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reuse, "_WORTH", 0.0)
    asked: list[dict[str, Any]] = [
        {"of": "units", "width": 2},
        {"of": "units", "width": 3},
        {"of": "amount", "width": 100},
    ]
    fresh = [rows(sales, "distribution", dataset="sales", **each) for each in asked]
    monkeypatch.setattr(pipeline, "SHELVED", 0)
    for _ in range(2):
        assert [rows(sales, "distribution", dataset="sales", **each) for each in asked] == fresh
    _, outcome = ask(sales, "distribution", {"dataset": "sales", **asked[0]})
    assert outcome["notes"][-1] == "Read 0 rows; 2,400 more were known from earlier reports."


# --- cohort


@pytest.mark.parametrize("grain", ["month", "quarter", "week", "day", "year"])
def test_cohorts_are_those_of_pandas(sales: Workshop, grain: str) -> None:
    data = frame(sales).dropna(subset=["who"])
    letter = {"month": "M", "quarter": "Q", "week": "W", "day": "D", "year": "Y"}[grain]
    data["period"] = data["at"].dt.to_period(letter).map(lambda each: each.ordinal)
    data["first"] = data.groupby("who").period.transform("min")
    active = data.assign(since=data.period - data["first"]).groupby(["first", "since"]).who.nunique()
    sizes = data.groupby("first").who.nunique()
    got = report(sales, "cohort", dataset="sales", entity="who", grain=grain).to_pylist()
    last, firsts = data.period.max(), sorted(sizes.index)
    assert [(row["since"], row["size"], row["active"]) for row in got] == [
        (since, sizes[first], active.get((first, since), 0))
        for first in firsts
        for since in range(last - first + 1)
    ]
    assert all(row["share"] == row["active"] / row["size"] for row in got)
    assert all(row["active"] == row["size"] for row in got if row["since"] == 0)


def test_cohorts_may_be_followed_for_some_periods_only(sales: Workshop) -> None:
    every = rows(sales, "cohort", dataset="sales", entity="who", grain="month")
    some = rows(sales, "cohort", dataset="sales", entity="who", grain="month", periods=2)
    assert some == [row for row in every if row[1] <= 2]
    nobody = [{"column": "units", "op": ">", "value": 1_000}]
    assert rows(sales, "cohort", dataset="sales", entity="who", where=nobody) == []


# --- profile


def test_a_profile_is_that_of_pandas(sales: Workshop) -> None:
    data = frame(sales)
    got = {row["column"]: row for row in report(sales, "profile", dataset="sales", top=2).to_pylist()}
    assert list(got) == ["at", "who", "units", "amount", "weight"]
    for name in ("at", "who", "units", "amount"):
        row, column = got[name], data[name]
        some = column.dropna()
        assert row["rows"] == len(column) and row["nulls"] == column.isna().sum()
        assert row["distinct"] == some.nunique()
        counts = sorted(some.value_counts().items(), key=lambda pair: (-pair[1], pair[0]))[:2]
        assert [row["top_1_rows"], row["top_2_rows"]] == [count for _, count in counts]
        assert row["top_1"] == (counts[0][0].isoformat() if name == "at" else str(counts[0][0]))
        least = min(some)
        assert row["min"] == (least.isoformat() if name == "at" else str(least))
    assert got["amount"]["mean"] == pytest.approx(float(data.amount.dropna().astype(float).mean()))
    assert (got["who"]["mean"], got["who"]["type"]) == (None, "text")


def test_a_profile_of_some_columns_of_no_rows(sales: Workshop) -> None:
    nothing = [{"column": "units", "op": ">", "value": 1_000}]
    got = rows(sales, "profile", dataset="sales", columns=["who", "units"], top=0, where=nothing)
    assert got == [
        ("who", "text", 0, 0, None, 0, None, None, None),
        ("units", "integer", 0, 0, None, 0, None, None, None),
    ]


# --- what is refused


@pytest.mark.parametrize(
    ("type_", "parameters", "where", "said"),
    [
        ("cohort", {"entity": "woh"}, "/entity", "did you mean 'who'?"),
        ("cohort", {"entity": "who", "time": "units"}, "/time", "name a column of timestamps or dates"),
        ("cohort", {"entity": "who", "grain": "moth"}, "/grain", "did you mean 'month'?"),
        ("distribution", {"of": "unitz"}, "/of", "or 'units'?"),
        ("distribution", {"of": "who"}, "/of", "'who' is text; name a number"),
        ("distribution", {"of": "amount / units"}, "/of", "give 'width' or 'edges'"),
        ("distribution", {"of": "units", "edges": [3, 1]}, "", "'edges' do not grow"),
        ("distribution", {"of": "units", "edges": [3, 4], "width": 2}, "", "exclude each other"),
        ("distribution", {"of": "units", "quantiles": [95]}, "", "numbers from 0 to 1"),
        ("distribution", {"of": "units", "width": 0}, "/width", "greater than 0"),
        ("profile", {"columns": ["units", "amuont"]}, "/columns/1", "did you mean 'amount'"),
        ("profile", {"columns": ["units", "units"]}, "/columns", "named twice"),
        ("profile", {"columns": []}, "/columns", "at least 1"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(
    shop: Workshop, type_: str, parameters: dict[str, Any], where: str, said: str
) -> None:
    shop.load("sales", _csv(2021, 0, 5))
    with pytest.raises(InvalidRequest) as caught:
        request(shop, type_, {"dataset": "sales", **parameters})
    [fault] = caught.value.faults
    assert (fault.pointer, said in fault.detail) == (f"/parameters{where}", True), fault.detail
