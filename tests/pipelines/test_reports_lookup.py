"""`lookup` in every place a column can stand, against pandas; in parts, in buckets, from what is kept."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import BadInput, InvalidRequest
from pipelines.plan import Json
from pipelines.reports import pipeline, planning, reuse, strategy, wide
from pipelines.reports.lookup import Dimension, Keys
from pipelines.reports.vector import INTEGER, TEXT, Vector
from tests.pipelines.importing import Workshop
from tests.pipelines.reporting import ask, report, request, rows

SALES = "at,product,units\n" + "".join(
    f"{2021 + n % 3}-0{n % 9 + 1}-05,{'' if n % 17 == 0 else n % 12},{n % 5 + 1}\n" for n in range(600)
)
PRODUCTS = (
    "id,brand,price,since,maker\n1,Acme,9.50,2020-01-01,m1\n2,Acme,1.25,2020-05-01,m2\n3,Bolt,4.00,2021-03-01,m1\n"
    "4,,2.00,,m9\n5,Core,,2021-07-01,\n6,Bolt,3.10,2022-01-01,m2\n"
)
MAKERS = "name,country\nm1,SE\nm2,NO\n"
LOOKUP: Json = {"dataset": "products", "on": "product", "key": "id", "columns": ["brand", "price", "since"]}
REVENUE = {"op": "sum", "of": "units * price", "as": "revenue"}
UNITS = {"op": "sum", "of": "units", "as": "units"}


@pytest.fixture(params=["tree", "buckets"])
def sales(request: pytest.FixtureRequest, shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    monkeypatch.setattr(planning, "_SMALLEST", 1)
    if request.param == "buckets":
        monkeypatch.setattr(strategy, "SAMPLES", 1)
        monkeypatch.setattr(strategy, "MANY", 1)
    for mode in ("create", "append", "append"):
        shop.load("sales", SALES, {"mode": mode})
    shop.load("products", PRODUCTS)
    shop.load("makers", MAKERS)
    return shop


def joined(shop: Workshop) -> pd.DataFrame:
    left, right = shop.table("sales").to_pandas(), shop.table("products").to_pandas()
    return left.merge(right, how="left", left_on="product", right_on="id")


def test_what_is_looked_up_groups_filters_and_is_measured(sales: Workshop) -> None:
    data = joined(sales)
    got = report(
        sales,
        "aggregate",
        dataset="sales",
        lookup=[LOOKUP],
        by=["brand"],
        measures=[
            UNITS,
            {"op": "sum", "of": "units * price", "as": "revenue"},
            {"op": "count", "of": "since"},
        ],
    )
    for row in got.to_pylist():
        group = data[data.brand.isna() if row["brand"] is None else data.brand == row["brand"]]
        priced = group.dropna(subset=["price"])
        assert row["units"] == group.units.sum()
        assert row["revenue"] == (sum(priced.units * priced.price) if len(priced) else None)
        assert row["count_since"] == group.since.notna().sum()
    assert got["brand"].to_pylist() == ["Acme", "Bolt", "Core", None]
    [some] = rows(
        sales,
        "aggregate",
        dataset="sales",
        lookup=[LOOKUP],
        measures=[{"op": "count"}],
        where=[
            {"column": "brand", "op": "in", "value": ["Acme", "Bolt"]},
            {"column": "since", "op": ">=", "value": "2020-02-01"},
            {"column": "price", "op": "<", "value": 4},
        ],
    )
    chosen = data[data.brand.isin(["Acme", "Bolt"]) & (data.since >= date(2020, 2, 1)) & (data.price < 4)]
    assert some == (len(chosen),)


def test_other_types_of_report_and_chains_of_lookups(sales: Workshop) -> None:
    data = joined(sales).merge(
        sales.table("makers").to_pandas(), how="left", left_on="maker", right_on="name"
    )
    known = {"lookup": [{**LOOKUP, "columns": ["maker", "price", "since"], "prefix": "p_"}]}
    known["lookup"].append({"dataset": "makers", "on": "p_maker", "key": "name", "columns": ["country"]})
    got = report(
        sales,
        "pivot",
        dataset="sales",
        rows=[{"time": "p_since", "grain": "year"}],
        columns=["country"],
        measures=[{"op": "count", "as": "n"}],
        **known,
    )
    counts = data.assign(year=data.since.map(lambda d: d if d is None or d != d else date(d.year, 1, 1)))
    for row in got.to_pylist():
        year = counts[counts.year.isna() if row["year"] is None else counts.year == row["year"]]
        for country in ("NO", "SE"):
            assert row[country] == (year.country == country).sum()
        assert row["(null)"] == year.country.isna().sum()
    table = report(sales, "distribution", dataset="sales", of="p_price", width=2, quantiles=[], **known)
    prices = data.price.dropna().astype(float)
    bins = [row for row in table.to_pylist() if row["part"] == "bin"]
    assert [row["rows"] for row in bins] == np.histogram(prices, [0, 2, 4, 6, 8, 10])[0].tolist()
    [nulls] = [row["rows"] for row in table.to_pylist() if row["part"] == "null"]
    assert nulls == data.price.isna().sum()
    profile = {row["column"]: row for row in report(sales, "profile", dataset="sales", **known).to_pylist()}
    assert list(profile) == ["at", "product", "units", "p_maker", "p_price", "p_since", "country"]
    assert profile["country"]["nulls"] == data.country.isna().sum()


def test_what_is_kept_of_one_lookup_is_not_taken_for_another(
    sales: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: Json = {"dataset": "sales", "lookup": [LOOKUP], "by": ["brand"], "measures": [UNITS]}
    first = rows(sales, "aggregate", **asked)
    monkeypatch.setattr(pipeline, "SHELVED", 0)
    monkeypatch.setattr(reuse, "_WORTH", 0.0)
    assert rows(sales, "aggregate", **asked) == rows(sales, "aggregate", **asked) == first
    assert ask(sales, "aggregate", asked)[1]["notes"][0] == (
        "Read 0 rows; 1,800 more were known from earlier reports."
    )
    before = request(sales, "aggregate", asked).equal
    sales.load("products", PRODUCTS.replace("Bolt", "Acme"), {"mode": "replace"})
    assert request(sales, "aggregate", asked).equal != before
    merged = dict(rows(sales, "aggregate", **asked))
    assert merged["Acme"] == sum(units for brand, units in first if brand in ("Acme", "Bolt"))
    pinned = {**asked, "lookup": [{**LOOKUP, "version": 0}]}
    assert rows(sales, "aggregate", **pinned) == first


def test_a_key_that_is_there_twice_fails_the_report_before_the_work(sales: Workshop) -> None:
    sales.load("products", "id,brand,price,since,maker\n4,Dual,1.00,2020-01-01,m1\n", {"mode": "append"})
    spec = request(sales, "aggregate", {"dataset": "sales", "lookup": [{**LOOKUP, "columns": ["brand"]}],
                                        "by": ["brand"], "measures": [UNITS]}).spec  # fmt: skip
    with pytest.raises(BadInput, match="'products' has '4' in 'id' more than once"):
        pipeline.make_plan(sales.context("job"), spec, None)


@pytest.mark.parametrize("kind", ["text", "date", "decimal"])
def test_keys_of_every_type_are_found(shop: Workshop, kind: str) -> None:
    keys = {
        "text": ["a", "b", "zz", "0"],
        "date": [f"2023-01-0{n}" for n in range(1, 5)],
        "decimal": ["1.50", "2.25", "-3.00", "0.10"],
    }[kind]
    shop.load("facts", "k,n\n" + "".join(f"{key},{n}\n" for n, key in enumerate([*keys, *keys, ""])))
    shop.load("names", "k,name\n" + "".join(f"{key},n{n}\n" for n, key in enumerate(keys[1:])))
    got = rows(
        shop,
        "aggregate",
        dataset="facts",
        by=["name"],
        measures=[{"op": "sum", "of": "n", "as": "n"}],
        lookup=[{"dataset": "names", "on": "k", "key": "k", "columns": ["name"]}],
    )
    assert got == [("n0", 6), ("n1", 8), ("n2", 10), (None, 12)]


@settings(deadline=None)
@given(
    known=st.dictionaries(st.integers(-5, 5), st.none() | st.sampled_from(["x", "y"]), max_size=6),
    values=st.lists(st.none() | st.integers(-7, 7), max_size=20),
)
def test_a_lookup_is_a_dictionary(known: dict[int, str | None], values: list[int | None]) -> None:
    order = sorted(known)
    words = pa.array([known[key] for key in order], pa.string()).dictionary_encode()
    valid = np.array([known[key] is not None for key in order], bool)
    codes = words.indices.fill_null(0).to_numpy().astype(np.int64)
    value = Vector(TEXT, codes, None if valid.all() else valid, words.dictionary)
    dimension = Dimension(Keys(np.array(order, np.int64), np.arange(len(order)), None), value)
    given_ = np.array([each or 0 for each in values], np.int64)
    on = Vector(INTEGER, given_, np.array([each is not None for each in values], bool))
    found = dimension.find(on)
    assert found.words is not None
    got = [
        found.words[int(code)].as_py() if found.valid is None or found.valid[n] else None
        for n, code in enumerate(found.data)
    ]
    assert got == [None if each is None else known.get(each) for each in values]


@pytest.mark.parametrize(
    ("change", "where", "said"),
    [
        ({"dataset": "product"}, "/dataset", "did you mean 'products'?"),
        ({"version": 9}, "/version", "9"),
        ({"on": "produkt"}, "/on", "did you mean 'product'?"),
        ({"key": "idd"}, "/key", "did you mean 'id'?"),
        ({"key": "brand"}, "/key", "Column 'product' is integer and 'brand' of dataset 'products' is text"),
        ({"columns": ["brnd"]}, "/columns/0", "did you mean 'brand'?"),
        ({"columns": []}, "/columns", "at least 1"),
        ({"kolumns": []}, "/kolumns", "did you mean 'columns'?"),
        ({"columns": ["brand", "brand"]}, "/columns/1", "give a 'prefix'"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(
    shop: Workshop, change: dict[str, Any], where: str, said: str
) -> None:
    shop.load("sales", SALES)
    shop.load("products", PRODUCTS)
    body: Json = {"dataset": "sales", "lookup": [{**LOOKUP, **change}], "by": ["brand"], "measures": [UNITS]}
    with pytest.raises(InvalidRequest) as caught:
        request(shop, "aggregate", body)
    [fault] = caught.value.faults
    assert (fault.pointer, said in fault.detail) == (f"/parameters/lookup/0{where}", True), fault.detail


def test_a_dataset_too_large_to_look_up_in_is_refused(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.load("sales", SALES)
    shop.load("products", PRODUCTS)
    monkeypatch.setattr(wide, "MOST_ROWS", 5)
    with pytest.raises(
        InvalidRequest, match=r"has 6 rows .* may have 5 in 64 MiB, for every worker holds it"
    ):
        request(shop, "top", {"dataset": "sales", "lookup": [LOOKUP], "by": ["brand"], "measures": [UNITS]})


def test_exact_numbers_stay_exact(shop: Workshop) -> None:
    shop.load("sales", SALES)
    shop.load("products", PRODUCTS)
    [(got,)] = rows(
        shop,
        "aggregate",
        dataset="sales",
        lookup=[LOOKUP],
        measures=[{"op": "max", "of": "price"}],
    )
    assert got == Decimal("9.50")
