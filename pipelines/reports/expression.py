"""The grammar of `of`: `+ - * /`, unary minus, parentheses, numbers, column names. Nothing else, no eval.

    sum     = product (("+" | "-") product)*
    product = factor (("*" | "/") factor)*
    factor  = "-" factor | number | name | '"' any '"' | "(" sum ")"

A name that is no identifier stands in double quotes, where `""` is one quote. Numbers are decimal literals
and stay exact. Only text becomes a tree here; what a tree means for data is `arithmetic`'s business.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal

MAX_LENGTH = 1_000
MAX_DEPTH = 100

_TOKEN = re.compile(
    r"""\s*(?:(?P<number>\d+(?:\.\d+)?|\.\d+)(?![\w.])
        |(?P<name>[^\W\d]\w*)
        |"(?P<quoted>(?:[^"]|"")*)"
        |(?P<sign>[-+*/()]))""",
    re.VERBOSE,
)


class ExpressionError(ValueError):
    """Why a text is no expression, or an expression no number; one sentence for the user."""


@dataclass(frozen=True, slots=True)
class Number:
    """A literal, exact."""

    value: Decimal


@dataclass(frozen=True, slots=True)
class Name:
    """A column."""

    column: str


@dataclass(frozen=True, slots=True)
class Negative:
    """Unary minus."""

    operand: Node


@dataclass(frozen=True, slots=True)
class Binary:
    """`left sign right`; sign is one of + - * /."""

    sign: str
    left: Node
    right: Node


Node = Number | Name | Negative | Binary


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


def parse(text: str) -> Node:
    """The tree of an expression, or an ExpressionError that says where it goes wrong."""
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"the expression has {len(text)} characters; at most {MAX_LENGTH} are taken")
    return _Parser(text).parse()


def columns(node: Node) -> Iterator[str]:
    """Every column an expression names, in the order of reading."""
    match node:
        case Name(column):
            yield column
        case Negative(operand):
            yield from columns(operand)
        case Binary(_, left, right):
            yield from columns(left)
            yield from columns(right)


def quoted(column: str) -> str:
    """A column name as it must be written in an expression."""
    return column if re.fullmatch(r"[^\W\d]\w*", column) else '"' + column.replace('"', '""') + '"'


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._next = 0

    def parse(self) -> Node:
        node, _ = self._sum(0)
        if self._kind != "end":
            raise self._error("an operator")
        return node

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    @property
    def _kind(self) -> str:
        return self._token.kind

    def _take(self) -> _Token:
        self._next += 1
        return self._tokens[self._next - 1]

    def _sum(self, depth: int) -> tuple[Node, int]:
        return self._chain(depth, ("+", "-"), self._product)

    def _product(self, depth: int) -> tuple[Node, int]:
        return self._chain(depth, ("*", "/"), self._factor)

    def _chain(
        self, depth: int, signs: tuple[str, str], operand: Callable[[int], tuple[Node, int]]
    ) -> tuple[Node, int]:
        """Left-associative; the height of the tree comes back with it, for a long chain is a deep tree."""
        node, height = operand(depth)
        while self._kind in signs:
            sign = self._take().kind
            right, other = operand(depth)
            node, height = Binary(sign, node, right), max(height, other) + 1
            _check_depth(depth + height)
        return node, height

    def _factor(self, depth: int) -> tuple[Node, int]:
        _check_depth(depth + 1)
        token = self._token
        if token.kind == "-":
            self._take()
            operand, height = self._factor(depth + 1)
            return Negative(operand), height + 1
        if token.kind == "(":
            self._take()
            inner = self._sum(depth + 1)
            if self._kind != ")":
                raise self._error("a closing parenthesis")
            self._take()
            return inner
        if token.kind not in ("number", "name"):
            raise self._error("a column, a number or an opening parenthesis")
        self._take()
        return (Number(Decimal(token.text)) if token.kind == "number" else Name(token.text)), 1

    def _error(self, expected: str) -> ExpressionError:
        token = self._token
        found = "the expression ends" if token.kind == "end" else f"there is {token.text!r}"
        hint = ""
        if token.kind in ("name", "number") and self._next and self._tokens[self._next - 1].kind == "name":
            hint = "; a column name with blanks or signs stands in double quotes"
        return ExpressionError(f"at character {token.at + 1} {found} where {expected} should be{hint}")


def _check_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ExpressionError(f"the expression is nested more than {MAX_DEPTH} deep; split it")


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            raise ExpressionError(_unknown(text, at))
        kind = str(match.lastgroup)
        value = match[kind]
        start = match.start(kind)
        if kind == "quoted":
            found.append(_Token("name", value.replace('""', '"'), start - 1))
        else:
            found.append(_Token(value if kind == "sign" else kind, value, start))
        at = match.end()
    return [*found, _Token("end", "", end)]


def _unknown(text: str, at: int) -> str:
    if text[at] == '"':
        return f"the double quote at character {at + 1} is never closed"
    return (
        f"{text[at]!r} at character {at + 1} is not understood; an expression takes + - * / ( ), numbers "
        "such as 2.5 and column names, in double quotes where they hold blanks or signs"
    )
