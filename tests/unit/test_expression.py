"""Expressions: what the grammar takes and refuses; whole numbers and decimals never round, never wrap."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import BadInput
from pipelines.reports.arithmetic import evaluate, kind_of
from pipelines.reports.expression import (
    MAX_DEPTH,
    Binary,
    ExpressionError,
    Name,
    Negative,
    Node,
    Number,
    columns,
    parse,
    quoted,
)
from pipelines.reports.vector import Kind, Vector, from_arrow, shown

KINDS = {
    "n": Kind("integer"),
    "big": Kind("integer"),
    "price": Kind.parse("decimal(10,2)"),
    "wide": Kind.parse("decimal(30,4)"),
    'odd name, "in" EUR': Kind.parse("decimal(5,1)"),
    "f": Kind("float"),
}
DIGITS = {"n": (3, 0), "big": (18, 0), "price": (10, 2), "wide": (30, 4), 'odd name, "in" EUR': (5, 1)}


def vectors(values: dict[str, list[Any]]) -> dict[str, Vector]:
    return {
        name: from_arrow(pa.array(column, KINDS[name].logical), KINDS[name])
        for name, column in values.items()
    }


def value_of(text: str, values: dict[str, list[Any]]) -> list[Any]:
    rows = len(next(iter(values.values())))
    return list(shown(evaluate(parse(text), vectors(values).__getitem__, rows)).to_pylist())


# --- laws


def decimal_of(unscaled: int, scale: int) -> Decimal:
    """Without the 28 digits that Decimal's own arithmetic keeps."""
    return Decimal((int(unscaled < 0), tuple(int(each) for each in str(abs(unscaled))), -scale))


def numbers(name: str) -> st.SearchStrategy[int | Decimal | None]:
    digits, scale = DIGITS[name]
    whole = st.integers(-(10**digits) + 1, 10**digits - 1)
    plain = whole if scale == 0 else whole.map(lambda n: decimal_of(n, scale))
    return st.none() | plain


literals = st.integers(0, 9_999).flatmap(
    lambda n: st.integers(0, 3).map(lambda scale: Number(decimal_of(n, scale)))
)
names = st.sampled_from(sorted(DIGITS)).map(Name)


def trees(signs: str) -> st.SearchStrategy[Node]:
    return st.recursive(
        literals | names,
        lambda inner: st.builds(Negative, inner) | st.builds(Binary, st.sampled_from(signs), inner, inner),
        max_leaves=6,
    )


def written(node: Node) -> str:
    match node:
        case Number(value):
            return format(value, "f")
        case Name(column):
            return quoted(column)
        case Negative(operand):
            return f"-({written(operand)})"
        case Binary(sign, left, right):
            return f"({written(left)} {sign} {written(right)})"


def exact(node: Node, row: dict[str, Any]) -> Fraction | None:
    """What a tree is worth, by Python's fractions."""
    match node:
        case Number(value):
            return Fraction(value)
        case Name(column):
            return None if row[column] is None else Fraction(row[column])
        case Negative(operand):
            inner = exact(operand, row)
            return None if inner is None else -inner
    left, right = exact(node.left, row), exact(node.right, row)
    if left is None or right is None or (node.sign == "/" and right == 0):
        return None
    return {"+": left.__add__, "-": left.__sub__, "*": left.__mul__, "/": left.__truediv__}[node.sign](right)


rows = st.lists(st.fixed_dictionaries({name: numbers(name) for name in DIGITS}), min_size=1, max_size=5)


@given(node=trees("+-*"), table=rows)
def test_exact_expressions_equal_fractions_or_say_that_they_do_not_fit(
    node: Node, table: list[dict[str, Any]]
) -> None:
    values = {name: [row[name] for row in table] for name in DIGITS}
    expected = [exact(node, row) for row in table]
    kind = kind_of(node, KINDS)
    biggest = max((abs(value) for value in expected if value is not None), default=Fraction())
    if kind.scale == 0 and biggest < 1 << 63:
        assert value_of(written(node), values) == expected
        return
    if biggest * 10**kind.scale >= 10**38:
        with pytest.raises(BadInput, match="more than 38 digits"):
            value_of(written(node), values)
        return
    got = value_of(written(node), values)
    assert [None if value is None else Fraction(value) for value in got] == expected


@given(left=trees("+-*"), right=trees("+-*"), table=rows)
def test_a_quotient_is_the_nearest_float_and_null_over_zero(
    left: Node, right: Node, table: list[dict[str, Any]]
) -> None:
    node = Binary("/", left, right)
    values = {name: [row[name] for row in table] for name in DIGITS}
    got = value_of(written(node), values)
    for value, expected in zip(got, [exact(node, row) for row in table], strict=True):
        if expected is None:
            assert value is None
        else:
            assert value == pytest.approx(float(expected), rel=1e-15)


@given(node=trees("+-*/"))
def test_what_is_written_reads_back_as_the_same_tree(node: Node) -> None:
    assert parse(written(node)) == node


@given(st.text(max_size=40))
def test_any_text_is_a_tree_or_an_expression_error(text: str) -> None:
    with suppress(ExpressionError):
        assert parse(written(parse(text))) == parse(text)


# --- the grammar


def test_products_bind_closer_and_signs_go_from_left_to_right() -> None:
    values = {"n": [10], "price": [Decimal("2.50")]}
    assert value_of("n - 2 - 3 * price", values) == [Decimal("0.50")]
    assert value_of("-n + 2 * -3", values) == [-16]
    assert value_of("n / 4 / 5", values) == [0.5]
    assert value_of("n * (1 - .25)", values) == [Decimal("7.50")]


def test_names_in_double_quotes_may_hold_anything() -> None:
    name = 'odd name, "in" EUR'
    assert quoted(name) == '"odd name, ""in"" EUR"'
    assert list(columns(parse(f"2 * {quoted(name)} + größe"))) == [name, "größe"]


def _refused() -> Iterator[tuple[str, str]]:
    yield "", "ends where a column, a number"
    yield "   ", "ends where a column, a number"
    yield "n +", "ends where a column"
    yield "(n", "a closing parenthesis should be"
    yield "n)", "')' where an operator"
    yield "n price", "double quotes"
    yield "Gas Produced", "double quotes"
    yield "2x", "'2' at character 1 is not understood"
    yield "1e9", "not understood"
    yield "1.", "not understood"
    yield '"open', "never closed"
    yield "n ** 2", "'*' where"
    yield "n % 2", "'%' at character 3 is not understood"
    yield "f(n)", "'(' where an operator"
    yield "__import__(n)", "'(' where an operator"
    yield "n['os']", "'[' at character 2"
    yield "n; n", "';' at character 2"
    yield "n == 1", "'='"
    yield "-" * (MAX_DEPTH + 1) + "n", "nested more than"
    yield "(" * 400 + "n" + ")" * 400, "nested more than"
    yield "+".join(["n"] * 400), "nested more than"
    yield "n" * 1_001, "1001 characters"


@pytest.mark.parametrize(("text", "says"), list(_refused()))
def test_what_is_no_expression_is_refused_with_the_place(text: str, says: str) -> None:
    with pytest.raises(ExpressionError, match=re.escape(says)):
        parse(text)


# --- types


def test_kinds_follow_from_the_columns() -> None:
    assert kind_of(parse("n * price"), KINDS) == Kind("decimal", 38, 2)
    assert kind_of(parse("n + 1"), KINDS) == Kind("integer")
    assert kind_of(parse("price * 1.255"), KINDS).scale == 5
    assert kind_of(parse("n / 2"), KINDS) == Kind("float")
    assert kind_of(parse("price * f"), KINDS) == Kind("float")
    assert kind_of(parse("price"), KINDS) == Kind("decimal", 10, 2)


def test_text_and_times_are_not_computed_with() -> None:
    with pytest.raises(ExpressionError, match="column 'when' is timestamp; only numbers"):
        kind_of(parse("when + 1"), {"when": Kind("timestamp")})


def test_a_sum_beyond_int64_becomes_a_decimal() -> None:
    limit = (1 << 63) - 1
    assert value_of("big + 1", {"big": [limit]}) == [Decimal(1 << 63)]
    assert value_of("-big - 2", {"big": [limit]}) == [Decimal(-limit - 2)]
    assert value_of("-big", {"big": [-limit - 1]}) == [Decimal(1 << 63)]
    assert value_of("big * big", {"big": [limit]}) == [Decimal(limit * limit)]


def test_more_than_38_digits_end_in_a_clear_error() -> None:
    with pytest.raises(BadInput, match="more than 38 digits"):
        value_of("big * big * big", {"big": [10**18]})


def test_a_number_alone_stands_for_every_row() -> None:
    assert value_of("1.5", {"n": [1, 2, None]}) == [Decimal("1.5")] * 3
