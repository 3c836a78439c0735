"""Draft: a question being put together from a request, with every fault found on the way.

Report types feed it keys, measures and conditions with the JSON pointer each came from; it checks them
against the columns of the dataset and goes on after a fault, so that the user hears of all at once. It
knows nothing of pydantic and nothing of a report type.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from pipelines.datasets import Dataset
from pipelines.errors import Fault, InvalidRequest, nearest
from pipelines.reports import arithmetic, conditions, expression
from pipelines.reports.expression import ExpressionError, Node
from pipelines.reports.grains import GRAINS
from pipelines.reports.question import Bins, Condition, Key, Measure, Order, Question
from pipelines.reports.vector import Kind

_NUMBERS_ONLY = ("sum", "mean", "stddev", "quantile")


class Draft:
    """Collects the parts of a question and the faults in them; `question` gives one or raises the other."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.kinds = {column.name: Kind.parse(column.type) for column in dataset.columns}
        self.faults: list[Fault] = []
        self._keys: list[Key] = []
        self._measures: list[Measure] = []
        self._where: list[Condition] = []
        self._orders: list[tuple[Order, str]] = []
        self._bins: dict[str, Bins] = {}
        self._names: dict[str, str] = {}  # output name -> pointer of who took it
        self._default: list[tuple[list[Any], int]] = []  # entries whose name may still give way

    def fault(self, at: str, detail: str) -> None:
        self.faults.append(Fault(at, detail))

    def kind(self, column: str, at: str) -> Kind | None:
        """The kind of a column; a fault and None when there is no such column."""
        if column not in self.kinds:
            near = nearest(column, self.kinds)
            self.fault(at, f"Dataset {self.dataset.name!r} has no column {column!r}{near}")
        return self.kinds.get(column)

    def reserve(self, *names: str) -> None:
        """Names of columns that the report type adds; what would be called so too must take another."""
        self._names |= dict.fromkeys(names, "")

    def time(self, column: str | None, at: str) -> str | None:
        """The column of times that is named, else the dataset's own; a fault and None when there is none."""
        name = column or self.dataset.time_column
        if name is None:
            self.fault(at, f"Dataset {self.dataset.name!r} has no time column of its own; name one.")
        return name if name is not None and self.timed(name, at) is not None else None

    def timed(self, column: str, at: str) -> Kind | None:
        """The kind of a column of times; a fault and None when it is none."""
        kind = self.kind(column, at)
        if kind is None or kind.timed:
            return kind
        self.fault(at, f"Column {column!r} is {kind.word}; name a column of timestamps or dates.")
        return None

    def key(self, column: str, grain: str | None, name: str | None, at: str, name_at: str = "") -> None:
        """Group by a column or by its time at a grain."""
        kind = self.kind(column, at)
        if kind is None:
            return
        if grain is not None and not kind.timed:
            self.fault(
                at, f"Column {column!r} is {kind.word} and has no {grain}; name a timestamp or a date."
            )
        if grain == "hour" and kind.word == "date":
            known = ", ".join(each for each in GRAINS if each != "hour")
            self.fault(at, f"Column {column!r} holds dates, which have no hour; grains of it are {known}.")
        chosen = name or grain or column
        self._keys.append(Key(column, grain, chosen))
        if name is None and grain is not None:
            self._default.append((self._keys, len(self._keys) - 1))
        else:
            self._claim(chosen, name_at or at)

    def binned(self, bins: Bins, name: str) -> None:
        """Group by the bins of a number; whether it is one, a measure of it says."""
        column = name
        while column in self.kinds:  # whatever the dataset's columns are called
            column += "'"
        self._bins[column] = bins
        self._keys.append(Key(column, None, name))
        self._claim(name, "")

    def measure(
        self, op: str, of: str | None, q: float | None, name: str | None, at: str, of_at: str | None = None
    ) -> None:
        """One measure. `at` points to it, `of_at` to its expression when that stands elsewhere."""
        of_at = of_at or f"{at}/of"
        if of is None and op != "count":
            self.fault(of_at, f"{op!r} needs 'of', a column or an expression to take it of.")
        elif of is not None:
            self._check_expression(op, of, of_at)
        if op == "quantile" and q is None:
            self.fault(f"{at}/q", "'quantile' needs 'q', a number from 0 to 1 such as 0.95.")
        if op != "quantile" and q is not None:
            self.fault(f"{at}/q", f"'q' is {q} and belongs to 'quantile' only, not to {op!r}; leave it out.")
        self._measures.append(Measure(op, of, q, name or _default_name(op, of, q)))
        if name is None:
            self._default.append((self._measures, len(self._measures) - 1))
        else:
            self._claim(name, f"{at}/as")

    def condition(self, condition: Condition, at: str, value_at: str | None = None) -> None:
        """One condition that rows must satisfy."""
        kind = self.kind(condition.column, f"{at}/column")
        if kind is None:
            return
        found = conditions.problem(condition, kind)
        if found is not None:
            at_op = found.startswith(repr(condition.op)) and "takes no value" not in found
            self.fault(
                value_at or (f"{at}/op" if at_op else f"{at}/value"), f"{found[:1].upper()}{found[1:]}."
            )
        self._where.append(condition)

    def check(self) -> None:
        """InvalidRequest with every fault so far, if there is any."""
        if self.faults:
            raise InvalidRequest(self.faults)

    def order(self, column: str, descending: bool, at: str) -> None:
        """Sort by an output column."""
        self._orders.append((Order(column, descending), at))

    def question(self, limit: int | None = None, *, complete: bool = True) -> Question:
        """The question, or InvalidRequest with every fault.

        With `complete=False` some entries were left out for faults of their form: then a sort by a name
        that is not there is no fault of its own.
        """
        self._settle_names()
        names = [key.name for key in self._keys] + [measure.name for measure in self._measures]
        for order, at in self._orders:
            if order.column not in names and complete and not self.faults:
                near = nearest(order.column, names)
                self.fault(at, f"The report has no column {order.column!r} to sort by{near}")
        self.check()
        time = self.dataset.time_column
        timed = time is not None and any(each.op in ("first", "last") for each in self._measures)
        return Question(
            self.dataset.name,
            self.dataset.version,
            {name: self._type(name) for name in self._touched(time if timed else None)},
            time,
            tuple(self._keys),
            tuple(self._measures),
            tuple(self._where),
            tuple(order for order, _ in self._orders),
            limit,
            dict(self._bins),
        )

    def number(self, of: str, at: str) -> bool:
        """Whether an expression is a number; a fault when it is none."""
        before = len(self.faults)
        self._check_expression("min", of, at)
        if len(self.faults) > before:
            return False
        kind = arithmetic.kind_of(expression.parse(of), self.kinds)
        if not kind.numeric:
            self.fault(at, f"{of!r} is {kind.word}; name a number, or an expression of numbers.")
        return kind.numeric

    def _check_expression(self, op: str, of: str, at: str) -> None:
        try:
            node = expression.parse(of)
        except ExpressionError as error:
            self.fault(at, f"{of!r} is no expression: {error}.")
            return
        unknown = [name for name in dict.fromkeys(expression.columns(node)) if name not in self.kinds]
        for name in unknown:
            self.kind(name, at)
        if not unknown:
            self._check_kind(op, of, node, at)

    def _check_kind(self, op: str, of: str, node: Node, at: str) -> None:
        try:
            kind = arithmetic.kind_of(node, self.kinds)
        except ExpressionError as error:
            self.fault(at, f"{of!r} cannot be computed: {error}.")
            return
        if op in _NUMBERS_ONLY and not kind.numeric:
            self.fault(
                at, f"{op!r} is for numbers, and {of!r} is {kind.word}; use count, distinct, min or max."
            )

    def _claim(self, name: str, at: str) -> None:
        if name in self._names:
            self.fault(at, f"Two columns of the report are called {name!r}; give one another name with 'as'.")
        self._names[name] = at

    def _settle_names(self) -> None:
        """Names nobody asked for give way: month, then month_2."""
        for entries, index in self._default:
            wanted = entries[index].name
            name, number = wanted, 1
            while name in self._names:
                number += 1
                name = f"{wanted}_{number}"
            self._names[name] = ""
            entries[index] = replace(entries[index], name=name)
        self._default = []

    def _touched(self, time: str | None) -> list[str]:
        of = (expression.columns(expression.parse(each.of)) for each in self._measures if each.of is not None)
        binned = (expression.columns(expression.parse(each.of)) for each in self._bins.values())
        names = [
            *(key.column for key in self._keys),
            *(name for each in binned for name in each),
            *(condition.column for condition in self._where),
            *(name for each in of for name in each),
        ]
        return list(dict.fromkeys([*names, time] if time is not None else names))

    def _type(self, name: str) -> str:
        return "integer" if name in self._bins else self.dataset.column(name).type


def _default_name(op: str, of: str | None, q: float | None) -> str:
    """sum_quantity, p95_unit_price, count."""
    head = f"p{q * 100:g}".replace(".", "_") if op == "quantile" and q is not None else op
    tail = re.sub(r"\W+", "_", of or "").strip("_")
    return f"{head}_{tail}" if tail else head
