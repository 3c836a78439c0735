"""The ways numbers are written, and what the numbers seen so far demand of a type that keeps them exactly.

A style is a decimal mark and a thousands mark. Evidence is small JSON: it travels from parts to `finish`.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.imports.bytewise import Digits
from pipelines.imports.convert import Numbers, plain_numbers
from pipelines.plan import Json

# in the order of preference; ambiguous ones are settled by `Style.pick`
STYLES: dict[str, tuple[str, str | None]] = {
    "plain": (".", None),
    "comma": (",", None),
    "us": (".", ","),
    "eu": (",", "."),
    "space": (",", " "),
    "point-space": (".", " "),
    "nbsp": (",", "\u00a0"),
    "thin": (",", "\u202f"),
    "swiss": (".", "'"),
}
_WHOLE = r"^(0|-?[1-9]\d*)$"
_POINT = r"^-?(0|[1-9]\d*)?\.\d+$"
_ANY = r"^(-?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d+)?|(?i:-?inf|-?infinity|nan))$"
_EXACT_WHOLE = 15  # digits of an integer that a float certainly holds; longer ones are ids
_EXACT_DIGITS = 17  # significant digits that a printed float has at most


class Measure:
    """Digits seen. All of it grows only, so measures of parts join by taking the larger."""

    __slots__ = ("fraction", "grouped", "longest", "odd", "proven", "scale", "significant", "whole")

    def __init__(self, state: Json | None = None) -> None:
        self.whole = self.scale = self.significant = self.longest = 0
        self.fraction = False  # seen: something with a point
        self.odd = False  # seen: something with an exponent, inf, nan, -0
        self.grouped = self.proven = False  # seen: a thousands mark; one that can be nothing else
        for name, value in (state or {}).items():
            setattr(self, name, value)

    def to_json(self) -> Json:
        return {name: getattr(self, name) for name in self.__slots__}

    def join(self, other: Measure) -> None:
        for name in self.__slots__:
            setattr(self, name, max(getattr(self, name), getattr(other, name)))

    @property
    def finite(self) -> bool:
        return self.longest > 0 or self.significant > 0 or self.whole > 0 or self.fraction

    @property
    def sound(self) -> bool:
        """Decimals beside lone thousands marks ("5,5" and "5.555") are more likely a mixture than numbers."""
        return self.finite and (self.proven or not (self.grouped and self.fraction))

    def feed_groups(self, style: str, written: pa.Array) -> None:
        """Note thousands marks, and those that another mark in the same number proves to be ones."""
        decimal, thousands = STYLES[style]
        if thousands is None:
            return
        mark, point = re.escape(thousands), re.escape(decimal)
        self.grouped = bool(pc.any(pc.match_substring(written, thousands)).as_py())
        self.proven = self.grouped and bool(
            pc.any(pc.match_substring_regex(written, f"{mark}.*({mark}|{point})")).as_py()
        )

    def feed_whole(self, integers: pa.Array) -> None:
        digits = longest(pc.utf8_ltrim(integers, "-"))
        for name in ("whole", "significant", "longest"):
            setattr(self, name, max(getattr(self, name), digits))

    def feed_digits(self, digits: Digits) -> None:
        """Plain numbers that were measured already."""
        self.whole = max(self.whole, digits.whole, digits.before)
        self.longest = max(self.longest, digits.whole)
        self.significant = max(self.significant, digits.whole, digits.significant)
        self.scale = max(self.scale, digits.behind)
        self.fraction = self.fraction or digits.behind > 0

    def feed(self, numbers: pa.Array) -> bool:
        """Numbers with a decimal point that are not whole. False when one of them is no number."""
        if not every(pc.match_substring_regex(numbers, _ANY)):
            return False
        self.odd = self.odd or not every(pc.match_substring_regex(numbers, _POINT))
        finite = numbers.filter(pc.match_substring_regex(numbers, r"\d"))
        self.fraction = self.fraction or len(finite) > 0
        mantissa = pc.replace_substring_regex(finite, "[eE].*$", "")
        self.count(mantissa)
        digits = pc.replace_substring_regex(mantissa, r"[-.]", "")
        self.significant = max(self.significant, longest(pc.utf8_ltrim(digits, "0")))
        return True

    def count(self, plain: pa.Array) -> None:
        unsigned = pc.utf8_ltrim(plain, "+-")
        before = pc.replace_substring_regex(unsigned, r"\..*$", "")
        after = pc.replace_substring_regex(unsigned, r"^[^.]*\.?", "")
        self.whole = max(self.whole, longest(pc.utf8_ltrim(before, "0")))
        self.scale = max(self.scale, longest(after))

    def feed_decimals(self, values: pa.Array, numbers: Numbers) -> None:
        """Values of a column that is to be decimal whatever they look like."""
        clean = plain_numbers(values, "decimal", numbers).drop_null()
        raised = pc.match_substring_regex(clean, "[eE]")
        spelled = [format(Decimal(each), "f") for each in clean.filter(raised).to_pylist() if _modest(each)]
        self.count(clean.filter(pc.invert(raised)))
        self.count(pa.array(spelled, pa.string()))

    def type(self) -> str | None:
        """The type that keeps every number as written; None when only text does."""
        if not self.fraction and not self.odd:
            return "integer" if self.whole <= _EXACT_WHOLE else None
        if self.longest > _EXACT_WHOLE and self.odd:
            return None
        if not self.odd and self.whole + self.scale <= 18:
            return f"decimal(18,{self.scale})"
        if self.significant <= _EXACT_DIGITS and self.longest <= _EXACT_WHOLE:
            return "float"
        return None if self.odd else self.decimal()

    def decimal(self) -> str | None:
        digits = self.whole + self.scale
        return None if digits > 38 else f"decimal({18 if digits <= 18 else 38},{self.scale})"


def measures(state: Json) -> dict[str, Measure]:
    """By style, from JSON."""
    return {style: Measure(each) for style, each in state.items()}


def joined(mine: dict[str, Measure], others: dict[str, Measure]) -> dict[str, Measure]:
    """The styles that both allow, with what both have seen."""
    both = {style: measure for style, measure in mine.items() if style in others}
    for style, measure in both.items():
        measure.join(others[style])
    return both


def style_named(decimal: str, thousands: str | None) -> str:
    """The style of two marks, "plain" for none we know."""
    return next((name for name, marks in STYLES.items() if marks == (decimal, thousands)), "plain")


def feed_styles(styles: dict[str, Measure], values: pa.Array) -> None:
    """More numbers as text; a style that one of them is not written in is taken out."""
    clean = pc.utf8_trim_whitespace(values)
    whole = whole_mask(clean)
    integers = clean.filter(whole)
    rest = clean.filter(pc.invert(whole)) if len(integers) < len(clean) else clean[:0]
    whole_numbers = Measure()
    whole_numbers.feed_whole(integers)
    fed: dict[str, Measure | None] = {}
    for style in list(styles):
        plain = fed.get("plain")
        if plain is not None and not plain.odd and STYLES[style][0] == ".":
            found: Measure | None = plain  # a plain number is one of these styles as well
        else:
            found = fed[style] = _measured(style, rest)
        if found is None:
            del styles[style]
        else:
            styles[style].join(found)
            styles[style].join(whole_numbers)


def _measured(style: str, rest: pa.Array) -> Measure | None:
    """What values that are no canonical integers measure in a style, None when one is not of it."""
    measure = Measure()
    if not len(rest):
        return measure
    if in_style(style, rest[:20]) is None:  # most styles fail at once
        return None
    plain = in_style(style, rest)
    if plain is None:
        return None
    measure.feed_groups(style, rest)
    whole = whole_mask(plain)
    measure.feed_whole(plain.filter(whole))
    beyond = plain.filter(pc.invert(whole))
    return measure if not len(beyond) or measure.feed(beyond) else None


def in_style(style: str, values: pa.Array) -> pa.Array | None:
    """The values with a plain point and no thousands, None when one of them is not of that style."""
    decimal, thousands = STYLES[style]
    if style == "plain":
        return values
    point = r"\." if decimal == "." else ","
    mark = r"\." if thousands == "." else thousands
    whole = r"(0|[1-9]\d*)" if thousands is None else rf"(0|[1-9]\d{{0,2}}({mark}\d{{3}})+|[1-9]\d*)"
    if not every(pc.match_substring_regex(values, rf"^-?({whole}({point}\d*)?|{point}\d+)$")):
        return None
    if thousands is not None:
        values = pc.replace_substring(values, thousands, "")
    return values if decimal == "." else pc.replace_substring(values, decimal, ".")


def whole_mask(values: pa.Array) -> Any:
    """Which are integers written the one canonical way."""
    return pc.fill_null(pc.match_substring_regex(values, _WHOLE), False)


def every(mask: pa.Array) -> bool:
    return bool(pc.all(pc.fill_null(mask, False)).as_py())


def longest(text: pa.Array) -> int:
    return int(pc.max(pc.utf8_length(text)).as_py() or 0)


def _modest(number: str) -> bool:
    """Is an exponent small enough to be written out? Others cannot be decimals anyway."""
    return abs(int(number.lower().rpartition("e")[2])) <= 100
