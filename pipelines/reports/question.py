"""Question: what a report asks of one version of a dataset, checked; travels to the workers as JSON.

Only plain values here; where they come from is `draft`'s business, what they mean for data `program`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, is_dataclass
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
class Bins:
    """A column that says in which bin a number lies; `of` is an expression, ends are decimals as text.

    With `edges`: how many of them it has reached, the last one reached only by what is above it. With a
    `width`: how many widths go into it, rounded down. With neither, a width is found when it is planned.
    """

    of: str
    edges: tuple[str, ...] = ()
    width: str | None = None


@dataclass(frozen=True, slots=True)
class Lookup:
    """A column of another dataset: its `value` in the row whose `key` equals our column `on`."""

    on: str
    dataset: str
    version: int
    id: str
    key: str
    key_type: str
    value: str
    value_type: str


@dataclass(frozen=True, slots=True)
class Question:
    """`kinds`: the type of every column touched; `time`: the dataset's time column, for first and last.

    `bins` and `lookups`: columns touched that are not in the dataset, but made of others.
    """

    dataset: str
    version: int
    kinds: Mapping[str, str]
    time: str | None
    keys: tuple[Key, ...]
    measures: tuple[Measure, ...]
    where: tuple[Condition, ...] = ()
    order_by: tuple[Order, ...] = ()
    limit: int | None = None
    bins: Mapping[str, Bins] = field(default_factory=dict)
    lookups: Mapping[str, Lookup] = field(default_factory=dict)

    def stored(self, names: Iterable[str]) -> list[str]:
        """Those of some columns that the dataset has."""
        return [name for name in dict.fromkeys(names) if name not in self.bins and name not in self.lookups]

    def to_json(self) -> Json:
        found: Json = _plain(self)
        return found

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Question:
        parts: Json = {
            "keys": tuple(Key(**each) for each in value["keys"]),
            "measures": tuple(Measure(**each) for each in value["measures"]),
            "where": tuple(Condition(**each) for each in value["where"]),
            "order_by": tuple(Order(**each) for each in value["order_by"]),
            "bins": {
                name: Bins(**{**each, "edges": tuple(each["edges"])}) for name, each in value["bins"].items()
            },
            "lookups": {name: Lookup(**each) for name, each in value["lookups"].items()},
        }
        return cls(**{**value, **parts})


def _plain(value: Any) -> Any:
    """As `dataclasses.asdict`, without a copy of each leaf, which made up most of planning a small report."""
    if is_dataclass(value):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return value
