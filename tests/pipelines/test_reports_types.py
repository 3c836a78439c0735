"""`top`, `pivot` and `compare` against pandas, in parts and in buckets; their refusals."""

from __future__ import annotations

import random
from datetime import date
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

from pipelines.errors import BadInput, InvalidRequest
from pipelines.reports import planning, strategy
from pipelines.reports.types import REPORTS
from tests.pipelines.importing import Workshop
from tests.pipelines.reporting import ask, report, request, rows

REVENUE = {"op": "sum", "of": "amount", "as": "revenue"}
COUNT = {"op": "count", "as": "orders"}
SHOPS = {"op": "distinct", "of": "shop", "as": "shops"}
MEAN = {"op": "mean", "of": "amount", "as": "mean"}
MONTH = {"time": "at", "grain": "month"}


def _csv(year: int, seed: int, size: int = 400) -> str:
    chosen = random.Random(seed)
    lines = []
    for _ in range(size):
        day = f"{year}-{chosen.randint(1, 12):02}-{chosen.randint(1, 28):02} 10:00:00"
        region = chosen.choice(["north", "east", "south", "west", ""])
        amount = "" if chosen.random() < 0.05 else f"{chosen.randint(-500, 99999) / 100:.2f}"
        lines.append(f"{day},{region},s{chosen.randint(1, 60)},{amount}")
    return "at,region,shop,amount\n" + "\n".join(lines) + "\n"


@pytest.fixture(params=["tree", "buckets"])
def sales(request: pytest.FixtureRequest, shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """Three years in three files; read in several parts, or over buckets too."""
    monkeypatch.setattr(planning, "_SMALLEST", 1)
    if request.param == "buckets":
        monkeypatch.setattr(strategy, "SAMPLES", 1)
        monkeypatch.setattr(strategy, "MANY", 1)
    for index, mode in enumerate(("create", "append", "append")):
        shop.load("sales", _csv(2021 + index, index), {"mode": mode})
    return shop


def frame(shop: Workshop) -> pd.DataFrame:
    found = shop.table("sales").to_pandas()
    found["month"] = found["at"].dt.strftime("%Y-%m-01").map(date.fromisoformat)
    found["cents"] = found["amount"].map(lambda each: each if each is None else int(each * 100))
    return found


def total(values: pd.Series[Any]) -> Decimal | None:
    some = [each for each in values if each is not None]
    return sum(some, Decimal()) if some else None


# --- top


def test_top_ranks_sums_and_tells_their_share_of_the_whole(sales: Workshop) -> None:
    data = frame(sales)
    by_shop = data.groupby("shop").amount.agg(total).sort_values(ascending=False, kind="stable")
    whole = total(data.amount)
    assert whole is not None
    got = rows(sales, "top", dataset="sales", by=["shop"], measures=[REVENUE, COUNT], n=5, others=True)
    best = list(by_shop.items())[:5]
    assert [(rank, shop, revenue) for rank, shop, revenue, _, _ in got[:5]] == [
        (n + 1, *each) for n, each in enumerate(best)
    ]
    assert [share for *_, share in got[:5]] == [float(value) / float(whole) for _, value in best]
    rank, name, revenue, orders, share = got[5]
    rest = whole - sum(value for _, value in best)
    counts = data.groupby("shop").size()
    assert (rank, name, revenue) == (None, "(others)", rest)
    assert orders == len(data) - sum(counts[name] for name, _ in best)
    assert share == float(rest) / float(whole)


def test_top_of_a_mean_has_ranks_and_no_share(sales: Workshop) -> None:
    got = report(sales, "top", dataset="sales", by=["shop"], measures=[MEAN], n=3, lowest=True)
    assert got.column_names == ["rank", "shop", "mean"]
    data = frame(sales).dropna(subset=["amount"])
    means = data.amount.astype(float).groupby(data["shop"]).mean().sort_values()
    assert got["shop"].to_pylist() == list(means.index[:3])


def test_equal_groups_share_a_rank_and_a_cut_tie_is_told(shop: Workshop) -> None:
    shop.load("t", "g,v\na,5\nb,7\nc,5\nd,5\ne,1\n")
    asked: dict[str, Any] = {"dataset": "t", "by": ["g"], "measures": [{"op": "sum", "of": "v", "as": "v"}]}
    assert [row[:3] for row in rows(shop, "top", **asked, n=5)] == [
        (1, "b", 7),
        (2, "a", 5),
        (2, "c", 5),
        (2, "d", 5),
        (5, "e", 1),
    ]
    assert ask(shop, "top", {**asked, "n": 3})[1]["notes"][0] == (
        "More groups have the same v as the last one shown; which of them are among the first 3 was decided "
        "by the order of g."
    )
    for n in (1, 4, 5, 6):
        assert len(ask(shop, "top", {**asked, "n": n})[1]["notes"]) == 1


# --- pivot


def test_pivot_is_that_of_pandas(sales: Workshop) -> None:
    data = frame(sales)
    got = report(
        sales, "pivot", dataset="sales", rows=[MONTH], columns=["region"], measures=[COUNT], total=True
    ).to_pandas()
    expected = data.assign(region=data["region"].fillna("(null)")).pivot_table(
        index="month", columns="region", values="at", aggfunc="count", fill_value=0, margins=True
    )
    expected = expected.drop(index="All")
    assert list(got.columns) == ["month", "east", "north", "south", "west", "(null)", "total"]
    assert list(got["month"]) == list(expected.index)
    for name in got.columns[1:-1]:
        assert list(got[name]) == list(expected[name])
    assert list(got["total"]) == list(expected["All"])


def test_pivot_of_several_measures_has_a_column_for_each_pair(sales: Workshop) -> None:
    data = frame(sales)
    year = {"time": "at", "grain": "year"}
    got = report(
        sales, "pivot", dataset="sales", rows=["shop"], columns=[year], measures=[REVENUE, SHOPS], total=True
    )
    assert got.column_names[:3] == ["shop", "2021 revenue", "2021 shops"]
    assert got.column_names[-2:] == ["total revenue", "total shops"]
    pairs = data.groupby(["shop", data["at"].dt.year]).amount.agg(total)
    for row in got.to_pylist():
        for each in (2021, 2022, 2023):
            assert row[f"{each} revenue"] == pairs.get((row["shop"], each))
            assert row[f"{each} shops"] == ((row["shop"], each) in pairs.index)
        assert row["total shops"] == 1


def test_a_pivot_without_rows_is_one_row(sales: Workshop) -> None:
    counts = frame(sales)["region"].value_counts()
    got = report(sales, "pivot", dataset="sales", rows=[], columns=["region"], measures=[COUNT]).to_pylist()
    assert len(got) == 1 and got[0]["north"] == counts["north"]


def test_a_pivot_of_too_many_columns_says_how_many_and_what_to_do(sales: Workshop) -> None:
    asked = {"dataset": "sales", "rows": ["region"], "columns": ["shop"], "measures": [COUNT, REVENUE]}
    with pytest.raises(BadInput, match=r"120 columns of numbers \(shop\), and at most 100 .* 'maxColumns'"):
        ask(sales, "pivot", {**asked, "maxColumns": 100})


# --- compare


def test_two_spans_are_compared_with_their_missing_groups(shop: Workshop) -> None:
    shop.load(
        "t",
        "at,g,v\n2022-05-01,a,10\n2022-06-01,b,4\n2023-05-01,a,15\n2023-06-01,c,3\n2023-07-01,d,\n2024-01-01,a,9\n",
    )
    spans = {
        "current": {"from": "2023-01-01", "to": "2024-01-01"},
        "previous": {"from": "2022-01-01", "to": "2023-01-01"},
    }
    got = report(
        shop, "compare", dataset="t", by=["g"], measures=[{"op": "sum", "of": "v", "as": "v"}], **spans
    )
    assert got.column_names == ["g", "v", "v_before", "v_change", "v_change_share"]
    assert [tuple(row.values()) for row in got.to_pylist()] == [
        ("a", 15, 10, 5, 0.5),
        ("b", None, 4, -4, None),
        ("c", 3, None, 3, None),
        ("d", None, None, None, None),
    ]
    [whole] = rows(shop, "compare", dataset="t", measures=[COUNT, {"op": "max", "of": "v"}], **spans)
    assert whole == (3, 2, 1, 0.5, 15, 10, 5, 0.5)


def test_periods_are_compared_with_those_before(sales: Workshop) -> None:
    data = frame(sales)
    sums = data.groupby(["month", "region"], dropna=False).amount.agg(total)
    got = report(
        sales, "compare", dataset="sales", by=["region"], measures=[REVENUE], grain="month", shift=12
    )
    known = {(when, None if region != region else region): value for (when, region), value in sums.items()}
    before = {(when.replace(year=when.year + 1), region): value for (when, region), value in known.items()}
    last = max(when for when, _ in known)
    expected = {key for key in (*known, *before) if key[0] <= last}
    assert {(row["month"], row["region"]) for row in got.to_pylist()} == expected
    for row in got.to_pylist():
        now, then = known.get((row["month"], row["region"])), before.get((row["month"], row["region"]))
        assert (row["revenue"], row["revenue_before"]) == (now, then)
        change = None if now is None and then is None else (now or 0) - (then or 0)
        assert row["revenue_change"] == change
        share = None if now is None or not then else float(now - then) / float(then)
        assert row["revenue_change_share"] == (None if share is None else pytest.approx(share, rel=1e-12))


def test_bounded_periods_are_those_of_all(sales: Workshop) -> None:
    asked: dict[str, Any] = {"dataset": "sales", "measures": [REVENUE], "grain": "quarter", "shift": 4}
    every = rows(sales, "compare", **asked)
    some = rows(sales, "compare", **asked, **{"from": "2022-04-01", "to": "2023-07-01"})
    assert some == [row for row in every if date(2022, 4, 1) <= row[0] < date(2023, 7, 1)]
    assert len(some) == 5


@pytest.mark.parametrize("grain", ["hour", "day", "week", "month", "quarter", "year"])
def test_every_grain_finds_what_was_before(shop: Workshop, grain: str) -> None:
    shop.load("t", "at,v\n2023-01-02 05:30:00,1\n2023-01-02 06:10:00,2\n2024-02-29 06:10:00,4\n")
    got = rows(shop, "compare", dataset="t", measures=[COUNT], grain=grain, shift=1)
    for when, orders, earlier, change, _ in got:
        assert change == orders - earlier
        assert when.year <= 2024
    assert sum(row[1] for row in got) == 3


# --- what is refused

_TOP = {"dataset": "sales", "by": ["shop"], "measures": [COUNT]}
_PIVOT = {"dataset": "sales", "rows": ["shop"], "columns": ["region"], "measures": [COUNT]}
_SPAN = {"from": "2023-01-01", "to": "2024-01-01"}
_BACK = {"from": "2023-01-02", "to": "2023-01-01"}
_PLAIN = {"dataset": "sales", "measures": [COUNT]}
_COMPARE = {**_PLAIN, "current": _SPAN, "previous": _SPAN}


@pytest.mark.parametrize(
    ("type_", "parameters", "where", "said"),
    [
        ("top", {**_TOP, "by": ["regoin"]}, "/by/0", "did you mean 'region'?"),
        ("top", {**_TOP, "by": []}, "/by", "at least 1"),
        ("top", {**_TOP, "n": 0}, "/n", "greater than or equal to 1"),
        ("top", {**_TOP, "measures": [MEAN], "others": True}, "/others", "ask for sum and count only"),
        ("top", {**_TOP, "measures": [{**COUNT, "as": "rank"}]}, "/measures/0/as", "'rank'"),
        ("pivot", {**_PIVOT, "columns": ["amuont"]}, "/columns/0", "did you mean 'amount'"),
        ("pivot", {**_PIVOT, "columns": ["shop"]}, "/columns/0", "Two columns of the report"),
        ("pivot", {**_PIVOT, "colums": []}, "/colums", "did you mean 'columns'"),
        ("compare", {**_COMPARE, "time": "region"}, "/time", "name a column of timestamps or dates"),
        ("compare", {**_COMPARE, "time": "att"}, "/time", "did you mean 'at'?"),
        ("compare", {**_COMPARE, "current": {**_SPAN, "to": "2022"}}, "/current/to", "is no timestamp"),
        ("compare", {**_COMPARE, "previous": _BACK}, "/previous/to", "not after"),
        ("compare", _PLAIN, "", "give 'current' and 'previous'"),
        ("compare", {**_COMPARE, "grain": "month"}, "", "exclude 'grain'"),
        ("compare", {**_PLAIN, "grain": "mnth"}, "/grain", "did you mean 'month'?"),
        ("compare", {**_PLAIN, "grain": "month", "from": "2023-01-15"}, "/from", "first moment"),
        ("compare", {**_COMPARE, "measures": [{"op": "max", "of": "shop"}]}, "/measures/0/of", "no number"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_with_its_place(
    shop: Workshop, type_: str, parameters: dict[str, Any], where: str, said: str
) -> None:
    shop.load("sales", _csv(2021, 0, 5))
    with pytest.raises(InvalidRequest) as caught:
        request(shop, type_, parameters)
    [fault] = caught.value.faults
    assert (fault.pointer, said in fault.detail) == (f"/parameters{where}", True), fault.detail


@pytest.mark.parametrize("name", REPORTS)
def test_the_example_of_every_type_fits_its_parameters(name: str) -> None:
    report_type = REPORTS[name]
    assert report_type.example is not None
    report_type.Parameters.model_validate(report_type.example)
