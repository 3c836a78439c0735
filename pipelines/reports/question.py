"""Question: what a report asks of one version of a dataset, checked; travels to the workers as JSON.

Only plain values here; where they come from is `draft`'s business, what they mean for data `program`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from pipelines.plan import Json

Op = Literal["sum", "mean", "min", "max", "count", "distinct", "quantile", "stddev", "first", "last"]
OPS: tuple[str, ...] = get_args(Op)
Test = Literal["=", "!=", "<", "<=", ">", ">=", "in", "not-in", "between", "is-null", "not-null", "contains"]
TESTS: tuple[str, ...] = get_args(Test)


@dataclass(frozen=True, slots=True)
class Key:
    """Group by a column, or by a time column rounded down to a grain."""

    column: str
    grain: str | None
    name: str


@dataclass(frozen=True, slots=True)
class Measure:
    """One number (or text, or time) for each group. `of` is an expression; None only for a count of rows."""

    op: str
    of: str | None
    q: float | None
    name: str


@dataclass(frozen=True, slots=True)
class Condition:
    """What a row must satisfy, together with all other conditions. `value` is as in the JSON."""

    column: str
    op: str
    value: Any = None


@dataclass(frozen=True, slots=True)
class Order:
    """Sort the result by one of its columns."""

    column: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """`kinds`: the type of every column touched; `time`: the dataset's time column, for first and last."""

    dataset: str
    version: int
    kinds: Mapping[str, str]
    time: str | None
    keys: tuple[Key, ...]
    measures: tuple[Measure, ...]
    where: tuple[Condition, ...] = ()
    order_by: tuple[Order, ...] = ()
    limit: int | None = None

    def to_json(self) -> Json:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Question:
        parts = {
            "keys": tuple(Key(**each) for each in value["keys"]),
            "measures": tuple(Measure(**each) for each in value["measures"]),
            "where": tuple(Condition(**each) for each in value["where"]),
            "order_by": tuple(Order(**each) for each in value["order_by"]),
        }
        return cls(**{**value, **parts})
