"""Dressed: what a column of amounts has shown so far, beside what `infer` knows of plain numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from pipelines.imports.money import PERCENT, undressed
from pipelines.imports.numerals import Measure, feed_styles, joined, measures
from pipelines.plan import Json


@dataclass(frozen=True, slots=True)
class Dressed:
    """The mark of the amounts ("" while there were parentheses only), and what they measure in each style."""

    mark: str
    styles: dict[str, Measure]

    def to_json(self) -> Json:
        return {"mark": self.mark, "styles": {name: each.to_json() for name, each in self.styles.items()}}

    @classmethod
    def from_json(cls, state: Json | None) -> Dressed | None:
        return None if state is None else cls(state["mark"], measures(state["styles"]))

    @property
    def sure(self) -> bool:
        """Whole numbers in parentheses alone are more likely to number something."""
        return bool(self.mark) or any(each.fraction or each.grouped for each in self.styles.values())

    @property
    def said(self) -> str:
        """For the receipt."""
        if not self.mark:
            return "has numbers in parentheses, which are loaded as negative ones"
        what = "as it stands, so that 5% is 5" if self.mark == PERCENT else "without it"
        return f"is written with {self.mark!r}; the number is loaded {what}"

    def plain(self, values: pa.Array) -> Dressed | None:
        """With more numbers that have no dress: between amounts they may, between percents they may not."""
        if self.mark == PERCENT:
            return None
        feed_styles(self.styles, values)
        return self


def grown(dressed: Dressed | None, plain: Mapping[str, Measure], values: pa.Array) -> Dressed | None:
    """With more values, some of which may be dressed; None when they are no amounts of one kind.

    `plain` is what has been seen without a dress while there was none.
    """
    found = undressed(values)
    if found is None:
        return None
    more = Dressed(found.mark, {style: Measure() for style in plain or (dressed.styles if dressed else ())})
    feed_styles(more.styles, found.numbers)
    return together(dressed, plain, more, {})


def together(
    mine: Dressed | None, plain: Mapping[str, Measure], other: Dressed | None, others: Mapping[str, Measure]
) -> Dressed | None:
    """Both as amounts of one kind; who has no dress yet comes with what plain numbers have measured."""
    if mine is None and other is None:
        return None
    left, right = mine or _bare(plain), other or _bare(others)
    marks = {left.mark, right.mark} - {""}
    if len(marks) > 1:
        return None
    if PERCENT in marks and any(
        not each.mark and any(measure.finite for measure in each.styles.values()) for each in (left, right)
    ):
        return None
    styles = joined(left.styles, right.styles)
    return Dressed(marks.pop() if marks else "", styles) if styles else None


def _bare(plain: Mapping[str, Measure]) -> Dressed:
    return Dressed("", {style: Measure(each.to_json()) for style, each in plain.items()})
