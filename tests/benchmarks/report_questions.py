"""The questions of `make bench-reports`: as a request to Haulier, as SQL, and as a Polars query.

Seven over the generated sales, then TPC-H Q1 and Q6 over generated lineitems. `T` in the SQL is the table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

REVENUE = "quantity * unit_price * (1 - discount)"
_MONTH = {"time": "ordered_at", "grain": "month"}
_USUAL = [
    {"op": "count", "as": "n"},
    {"op": "sum", "of": "quantity", "as": "units"},
    {"op": "sum", "of": REVENUE, "as": "revenue"},
]
_USUAL_SQL = f"count(*) n, sum(quantity) units, sum({REVENUE}) revenue"


@dataclass(frozen=True, slots=True)
class Asked:
    """`parameters` are those of `aggregate` without its dataset; `polars` gets the module and a LazyFrame."""

    name: str
    table: str
    parameters: dict[str, Any]
    sql: str
    polars: Callable[[Any, Any], Any]


def _within(start: str, end: str, column: str = "ordered_at") -> list[dict[str, Any]]:
    return [
        {"column": column, "op": ">=", "value": start},
        {"column": column, "op": "<", "value": end},
    ]


def _revenue(pl: Any) -> Any:
    return pl.col("quantity") * _float(pl, "unit_price") * (1 - _float(pl, "discount"))


def _float(pl: Any, column: str) -> Any:
    """Polars rounds a product of decimals to the digits of its factors."""
    return pl.col(column).cast(pl.Float64)


def _usual(pl: Any) -> list[Any]:
    return [
        pl.len().alias("n"),
        pl.col("quantity").sum().alias("units"),
        _revenue(pl).sum().alias("revenue"),
    ]


def _month(pl: Any) -> Any:
    return pl.col("ordered_at").dt.truncate("1mo").alias("month")


def _between(pl: Any, start: datetime, end: datetime) -> Any:
    return (pl.col("ordered_at") >= start) & (pl.col("ordered_at") < end)


_YEAR = (datetime(2023, 1, 1), datetime(2024, 1, 1))  # noqa: DTZ001 (the table's times have no zone)
_MAY = (datetime(2023, 5, 1), datetime(2023, 6, 1))  # noqa: DTZ001

SALES = (
    Asked(
        "one year by month, region, category",
        "sales",
        {
            "by": [_MONTH, "region", "category"],
            "measures": _USUAL,
            "where": _within("2023-01-01", "2024-01-01"),
        },
        f"select date_trunc('month', ordered_at) as month, region, category, {_USUAL_SQL} from T where "
        "ordered_at >= timestamp '2023-01-01' and ordered_at < timestamp '2024-01-01' "
        "group by all order by all",
        lambda pl, t: (
            t.filter(_between(pl, *_YEAR))
            .group_by(_month(pl), "region", "category")
            .agg(_usual(pl))
            .sort("month", "region", "category")
        ),
    ),
    Asked(
        "all years by the same",
        "sales",
        {"by": [_MONTH, "region", "category"], "measures": _USUAL},
        f"select date_trunc('month', ordered_at) as month, region, category, {_USUAL_SQL} from T "
        "group by all order by all",
        lambda pl, t: (
            t.group_by(_month(pl), "region", "category").agg(_usual(pl)).sort("month", "region", "category")
        ),
    ),
    Asked(
        "top products (20k keys)",
        "sales",
        {
            "by": ["product_id"],
            "measures": [_USUAL[2]],
            "orderBy": [{"column": "revenue", "descending": True}],
            "limit": 100,
        },
        f"select product_id, sum({REVENUE}) revenue from T group by all order by revenue desc limit 100",
        lambda pl, t: t.group_by("product_id").agg(_usual(pl)[2]).top_k(100, by="revenue"),
    ),
    Asked(
        "distinct customers a month",
        "sales",
        {"by": [_MONTH], "measures": [{"op": "distinct", "of": "customer_id", "as": "n"}]},
        "select date_trunc('month', ordered_at) as month, count(distinct customer_id) n from T "
        "group by all order by all",
        lambda pl, t: (
            t.group_by(_month(pl)).agg(pl.col("customer_id").drop_nulls().n_unique().alias("n")).sort("month")
        ),
    ),
    Asked(
        "p50 and p95 by category",
        "sales",
        {
            "by": ["category"],
            "measures": [
                {"op": "quantile", "of": REVENUE, "q": 0.5, "as": "p50"},
                {"op": "quantile", "of": REVENUE, "q": 0.95, "as": "p95"},
            ],
        },
        f"select category, quantile_cont({REVENUE}, 0.5) p50, quantile_cont({REVENUE}, 0.95) p95 from T "
        "group by all order by all",
        lambda pl, t: (
            t.group_by("category")
            .agg(
                _revenue(pl).quantile(0.5, "linear").alias("p50"),
                _revenue(pl).quantile(0.95, "linear").alias("p95"),
            )
            .sort("category")
        ),
    ),
    Asked(
        "by customer (high cardinality)",
        "sales",
        {
            "by": ["customer_id"],
            "measures": [_USUAL[0], _USUAL[2]],
            "orderBy": [{"column": "revenue", "descending": True}],
            "limit": 1000,
        },
        f"select customer_id, count(*) n, sum({REVENUE}) revenue from T group by all "
        "order by revenue desc limit 1000",
        lambda pl, t: t.group_by("customer_id").agg(_usual(pl)[0], _usual(pl)[2]).top_k(1000, by="revenue"),
    ),
    Asked(
        "one month, two filters",
        "sales",
        {
            "by": [{"time": "ordered_at", "grain": "day"}, "channel"],
            "measures": [_USUAL[0], _USUAL[2]],
            "where": [
                *_within("2023-05-01", "2023-06-01"),
                {"column": "country", "op": "=", "value": "DE"},
            ],
        },
        f"select date_trunc('day', ordered_at) as day, channel, count(*) n, sum({REVENUE}) revenue from T "
        "where ordered_at >= timestamp '2023-05-01' and ordered_at < timestamp '2023-06-01' "
        "and country = 'DE' group by all order by all",
        lambda pl, t: (
            t.filter(_between(pl, *_MAY) & (pl.col("country") == "DE"))
            .group_by(pl.col("ordered_at").dt.truncate("1d").alias("day"), "channel")
            .agg(_usual(pl)[0], _usual(pl)[2])
            .sort("day", "channel")
        ),
    ),
)

_PRICE = "l_extendedprice * (1 - l_discount)"
TPCH = (
    Asked(
        "TPC-H Q1",
        "lineitem",
        {
            "by": ["l_returnflag", "l_linestatus"],
            "measures": [
                {"op": "sum", "of": "l_quantity", "as": "sum_qty"},
                {"op": "sum", "of": "l_extendedprice", "as": "sum_base_price"},
                {"op": "sum", "of": _PRICE, "as": "sum_disc_price"},
                {"op": "sum", "of": f"{_PRICE} * (1 + l_tax)", "as": "sum_charge"},
                {"op": "mean", "of": "l_quantity", "as": "avg_qty"},
                {"op": "mean", "of": "l_extendedprice", "as": "avg_price"},
                {"op": "mean", "of": "l_discount", "as": "avg_disc"},
                {"op": "count", "as": "count_order"},
            ],
            "where": [{"column": "l_shipdate", "op": "<=", "value": "1998-09-02"}],
        },
        f"select l_returnflag, l_linestatus, sum(l_quantity), sum(l_extendedprice), sum({_PRICE}), "
        f"sum({_PRICE} * (1 + l_tax)), avg(l_quantity), avg(l_extendedprice), avg(l_discount), count(*) "
        "from T where l_shipdate <= date '1998-09-02' group by all order by all",
        lambda pl, t: (
            t.filter(pl.col("l_shipdate") <= date(1998, 9, 2))
            .group_by("l_returnflag", "l_linestatus")
            .agg(
                pl.col("l_quantity").sum().alias("sum_qty"),
                pl.col("l_extendedprice").sum().alias("sum_base_price"),
                _disc(pl).sum().alias("sum_disc_price"),
                (_disc(pl) * (1 + _float(pl, "l_tax"))).sum().alias("sum_charge"),
                pl.col("l_quantity").mean().alias("avg_qty"),
                pl.col("l_extendedprice").mean().alias("avg_price"),
                pl.col("l_discount").mean().alias("avg_disc"),
                pl.len().alias("count_order"),
            )
            .sort("l_returnflag", "l_linestatus")
        ),
    ),
    Asked(
        "TPC-H Q6",
        "lineitem",
        {
            "measures": [{"op": "sum", "of": "l_extendedprice * l_discount", "as": "revenue"}],
            "where": [
                *_within("1994-01-01", "1995-01-01", "l_shipdate"),
                {"column": "l_discount", "op": "between", "value": [0.05, 0.07]},
                {"column": "l_quantity", "op": "<", "value": 24},
            ],
        },
        "select sum(l_extendedprice * l_discount) from T where l_shipdate >= date '1994-01-01' and "
        "l_shipdate < date '1995-01-01' and l_discount between 0.05 and 0.07 and l_quantity < 24",
        lambda pl, t: t.filter(
            (pl.col("l_shipdate") >= date(1994, 1, 1))
            & (pl.col("l_shipdate") < date(1995, 1, 1))
            & pl.col("l_discount").is_between(0.05, 0.07)
            & (pl.col("l_quantity") < 24)
        ).select((_float(pl, "l_extendedprice") * _float(pl, "l_discount")).sum().alias("revenue")),
    ),
)


def _disc(pl: Any) -> Any:
    return _float(pl, "l_extendedprice") * (1 - _float(pl, "l_discount"))


# not of the comparison: as many groups as rows
EVERY_ROW = Asked(
    "a group for every row",
    "sales",
    {
        "by": ["order_id"],
        "measures": [{"op": "count", "as": "n"}, {"op": "sum", "of": "quantity", "as": "units"}],
        "orderBy": [{"column": "units", "descending": True}],
        "limit": 1000,
    },
    "select order_id, count(*) n, sum(quantity) units from T group by all order by units desc limit 1000",
    SALES[5].polars,
)
