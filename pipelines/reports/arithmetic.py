"""What an expression means: its kind, known before any work, and its value over vectors.

Integers and decimals give exact results under + - * and unary minus, also beyond int64: each step looks at
the largest values it got and goes over to Python integers where int64 might not do. Division gives float64,
x / 0 is null, and anything with a null is null. A float in an expression makes the result a float.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction

import numpy as np

from pipelines.reports.expression import Binary, ExpressionError, Name, Negative, Node, Number
from pipelines.reports.vector import (
    FLOAT,
    MAX_DIGITS,
    Array,
    Kind,
    Vector,
    exact_kind,
    floats,
    magnitude,
    narrow,
)

_INT64 = 1 << 63
Columns = Callable[[str], Vector]
Known = dict[Node, Vector]


def kind_of(node: Node, kinds: Mapping[str, Kind]) -> Kind:
    """The kind an expression gives, or an ExpressionError. A lone column may be of any kind."""
    if isinstance(node, Name):
        return kinds[node.column]
    return _number(node, kinds)


def evaluate(node: Node, column: Columns, rows: int, known: Known | None = None) -> Vector:
    """The value of an expression for each of `rows` rows. `known` are values of expressions over the same
    rows, those within this one among them afterwards."""
    if isinstance(node, Name):
        return column(node.column)
    with np.errstate(all="ignore"):
        value = _value(node, column, {} if known is None else known)
    if len(value) == rows:
        return value
    data = np.broadcast_to(value.data, rows)
    valid = None if value.valid is None else np.broadcast_to(value.valid, rows)
    return Vector(value.kind, data, valid, bound=value.bound)


def _number(node: Node, kinds: Mapping[str, Kind]) -> Kind:
    match node:
        case Number(value):
            scale = -int(value.as_tuple().exponent)
            kind = exact_kind(scale)
        case Name(column):
            kind = kinds[column]
            if not kind.numeric:
                raise ExpressionError(f"column {column!r} is {kind.word}; only numbers can be computed with")
            kind = exact_kind(kind.scale) if kind.exact else kind
        case Negative(operand):
            kind = _number(operand, kinds)
        case Binary(sign, left, right):
            kind = _result(sign, _number(left, kinds), _number(right, kinds))
    if kind.scale > MAX_DIGITS:
        raise ExpressionError(
            f"the expression has {kind.scale} digits after the point, and at most {MAX_DIGITS} can be kept; "
            "multiply fewer decimals or divide, which gives a float"
        )
    return kind


def _result(sign: str, left: Kind, right: Kind) -> Kind:
    if sign == "/" or not (left.exact and right.exact):
        return FLOAT
    return exact_kind(left.scale + right.scale if sign == "*" else max(left.scale, right.scale))


def _value(node: Node, column: Columns, known: Known) -> Vector:
    if node not in known:
        known[node] = _computed(node, column, known)
    return known[node]


def _computed(node: Node, column: Columns, known: Known) -> Vector:
    match node:
        case Number(value):
            scale = -int(value.as_tuple().exponent)
            return _constant(int(Fraction(value) * 10**scale), scale)
        case Name(name):
            return column(name)
        case Negative(operand):
            inner = _value(operand, column, known)
            if inner.kind == FLOAT:
                return Vector(FLOAT, -inner.data, inner.valid)
            return _times(inner, _constant(-1))
        case Binary(sign, left, right):
            return _binary(sign, _value(left, column, known), _value(right, column, known))


def _constant(value: int, scale: int = 0) -> Vector:
    return Vector(exact_kind(scale), narrow(np.array([value], object)), bound=abs(value))


def _binary(sign: str, left: Vector, right: Vector) -> Vector:
    kind = _result(sign, left.kind, right.kind)
    if kind.exact:
        return _times(left, right) if sign == "*" else _plus(left, right, sign)
    valid = _both(left.valid, right.valid)
    a, b = floats(left), floats(right)
    if sign == "/":
        return _divide(a, b, valid)
    operation = {"+": np.add, "-": np.subtract, "*": np.multiply}[sign]
    return Vector(FLOAT, operation(a, b), valid)


def _divide(a: Array, b: Array, valid: Array | None) -> Vector:
    zero = b == 0
    if not zero.any():
        return Vector(FLOAT, a / b, valid)
    nonzero = ~zero if valid is None else ~zero & valid
    return Vector(FLOAT, np.where(zero, 0.0, a / b), np.broadcast_to(nonzero, np.broadcast(a, b).shape))


def _times(left: Vector, right: Vector) -> Vector:
    """Whole numbers multiplied without a wrap."""
    kind, valid = exact_kind(left.kind.scale + right.kind.scale), _both(left.valid, right.valid)
    a, b, reach = left.data, right.data, left.reach * right.reach
    if reach >= _INT64:  # what is known of the factors may be too careful
        reach = magnitude(a) * magnitude(b)
    if a.dtype != object and b.dtype != object and reach < _INT64:
        return Vector(kind, a * b, valid, bound=reach)
    data = narrow(np.asarray(a.astype(object) * b.astype(object), object))
    return Vector(kind, data, valid)


def _plus(left: Vector, right: Vector, sign: str) -> Vector:
    scale = max(left.kind.scale, right.kind.scale)
    left, right = _scaled(left, scale), _scaled(right, scale)
    kind, valid = exact_kind(scale), _both(left.valid, right.valid)
    a, b, reach = left.data, right.data, left.reach + right.reach
    if reach >= _INT64:
        reach = magnitude(a) + magnitude(b)
    if a.dtype != object and b.dtype != object and reach < _INT64:
        return Vector(kind, a + b if sign == "+" else a - b, valid, bound=reach)
    a, b = a.astype(object), b.astype(object)
    return Vector(kind, narrow(a + b if sign == "+" else a - b), valid)


def _scaled(vector: Vector, scale: int) -> Vector:
    """The same numbers with so many digits after the point."""
    if scale == vector.kind.scale:
        return vector
    return _times(vector, _constant(10 ** (scale - vector.kind.scale)))


def _both(a: Array | None, b: Array | None) -> Array | None:
    if a is None or b is None:
        return b if a is None else a
    return a & b
