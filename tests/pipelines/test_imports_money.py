"""Columns of amounts: with a currency, in parentheses, in percent; and what only looks like them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.imports import delimited
from pipelines.imports.money import bare, undressed
from tests.pipelines.importing import Workshop, types_of


def loaded(shop: Workshop, *cells: str, **options: Any) -> tuple[Any, list[Any], list[str]]:
    """Type, values and what the receipt says of a column."""
    text = "n;v\n" + "".join(f"{n};{cell}\n" for n, cell in enumerate(cells))
    receipt = shop.load("t", text, {"delimiter": ";", **options})
    return types_of(receipt)["v"], shop.table("t")["v"].to_pylist(), receipt["warnings"]


@pytest.mark.parametrize(
    ("cells", "kind", "values", "said"),
    [
        (["$1,234.50", "$0.99", "$12"], "decimal(18,2)", ["1234.50", "0.99", "12.00"], "'$'"),
        (["1.234,50 EUR", "-3,00 EUR", ""], "decimal(18,2)", ["1234.50", "-3.00", None], "'EUR'"),
        (["€ 5", "€ 7"], "decimal(18,0)", ["5", "7"], "'€'"),
        (["12.50", "(12.00)", "1,000.25"], "decimal(18,2)", ["12.50", "-12.00", "1000.25"], "parentheses"),
        (["$(5.00)", "($5.00)", "-$5.00"], "decimal(18,2)", ["-5.00"] * 3, "'$'"),
        (["12.5%", "-3%"], "decimal(18,1)", ["12.5", "-3.0"], "5% is 5"),
        (["$5.00", "7.25", "n/a"], "decimal(18,2)", ["5.00", "7.25", None], "'$'"),
        (["CHF 1'234.50", "CHF 3.10"], "decimal(18,2)", ["1234.50", "3.10"], "'CHF'"),
        (["1 234,50 zł", "0,10 zł"], "decimal(18,2)", ["1234.50", "0.10"], "'zł'"),
    ],
)
def test_a_whole_column_of_amounts_becomes_decimals_and_the_receipt_says_so(
    shop: Workshop, cells: list[str], kind: str, values: list[str | None], said: str
) -> None:
    found, read, warnings = loaded(shop, *cells)
    assert (found, read) == (kind, [None if each is None else Decimal(each) for each in values])
    assert any("Column 'v'" in each and said in each for each in warnings), warnings


@pytest.mark.parametrize(
    "cells",
    [
        ["$5", "€5"],
        ["$5", "five"],
        ["5%", "5"],
        ["(1)", "(2)"],
        ["$007", "$008"],
        ["5 kg", "6 kg"],
        ["(555) 123", "(555) 124"],
        ["EUR", "5 EUR"],
        ["$5$", "$6$"],
        ["(-5.00)", "(-6.00)"],
        ["E5", "E6"],
    ],
)
def test_what_is_not_surely_amounts_of_one_kind_stays_as_written(shop: Workshop, cells: list[str]) -> None:
    kind, values, _ = loaded(shop, *cells)
    assert (kind, values) == ("text", cells)


@pytest.mark.parametrize("late", ["x", "$1.50", "7.10", "€2", "(3.00)"])
def test_the_whole_file_decides(shop: Workshop, late: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_RUN", "_SMALLEST", "_LARGEST"):
        monkeypatch.setattr(delimited, name, 200)
    cells = [f"${n}.00" for n in range(300)]
    kind, values, _ = loaded(shop, *cells, late)
    if late in ("x", "€2"):
        assert (kind, values) == ("text", [*cells, late])
    else:
        amount = "-3.00" if late == "(3.00)" else late.removeprefix("$")
        assert values == [*(Decimal(n) for n in range(300)), Decimal(amount)]


def test_amounts_may_come_late(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_RUN", "_SMALLEST", "_LARGEST"):
        monkeypatch.setattr(delimited, name, 200)
    cells = [f"{n}.00" for n in range(300)]
    assert loaded(shop, *cells, "$1.50")[0] == "decimal(18,2)"


def test_amounts_can_be_appended_as_they_were_created(shop: Workshop) -> None:
    loaded(shop, "$5.00")
    _, values, _ = loaded(shop, "$7", "$1,000.255", mode="append")
    assert values == [Decimal("5.000"), Decimal("7.000"), Decimal("1000.255")]


@given(
    st.lists(st.decimals(-(10**9), 10**9, places=2, allow_nan=False), min_size=1),
    st.sampled_from(["$", "€", "EUR ", "R$"]),
    st.booleans(),
)
def test_undressing_is_the_inverse_of_dressing(values: list[Decimal], mark: str, brackets: bool) -> None:
    def dressed(value: Decimal) -> str:
        if value < 0:
            return f"({mark}{-value:,})" if brackets else f"-{mark}{-value:,}"
        return f"{mark}{value:,}"

    written = pa.array([dressed(value) for value in values])
    found = undressed(written)
    assert found is not None and found.mark == mark.strip()
    plain = [Decimal(each.replace(",", "")) for each in found.numbers.to_pylist()]
    assert plain == values
    assert bare(written, mark.strip()).equals(found.numbers)
