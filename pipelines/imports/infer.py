"""The type of a column nobody gave one, decided on every value of the file.

A type is taken only when it keeps each value as it is written: leading zeros and over-long numbers stay text,
nothing rounds. Feed it batches of text; it never needs them again.
"""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.datasets import arrow_type
from pipelines.imports.convert import Numbers, in_range, plain_numbers

_WHOLE = r"^(0|-?[1-9]\d*)$"
_POINT = r"^-?(0|[1-9]\d*)?\.\d+$"
_ANY = r"^(-?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d+)?|(?i:-?inf|-?infinity|nan))$"
_SHAPES = {
    "date": r"^\d{4}-\d\d-\d\d$",
    "timestamp": r"^\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?$",
    "timestamptz": r"^\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d(:?\d\d)?)$",
}
_EXACT_WHOLE = 15  # digits of an integer that a float certainly holds
_EXACT_DIGITS = 17  # significant digits that a printed float has at most


class Guess:
    """What one column may still be. `decimal_only` finds precision and scale of a column that is decimal."""

    def __init__(self, numbers: Numbers, *, decimal_only: bool = False) -> None:
        self._numbers = numbers
        self._decimal_only = decimal_only
        self._seen = False
        self._boolean = self._number = True
        self._times = set(_SHAPES)
        self._all_whole = self._all_point = True
        self._finite = False
        self._whole_digits = self._scale = self._significant = self._longest_whole = 0

    @property
    def open(self) -> bool:
        """Can more values still change the answer to anything but text?"""
        return self._decimal_only or self._boolean or self._number or bool(self._times)

    def feed(self, text: pa.Array) -> None:
        """More values of the column, as text; nulls and the file's null words count for nothing."""
        values = text.unique().drop_null()
        if self._numbers.nulls:
            missing = pc.is_in(values, value_set=pa.array(self._numbers.nulls, pa.string()))
            values = values.filter(pc.invert(missing))
        if not len(values):
            return
        self._seen = True
        try:
            values.validate(full=True)
        except pa.ArrowInvalid:  # not UTF-8: text at best, and the part that reads it says so
            self._boolean = self._number = False
            self._times = set()
            return
        if self._decimal_only:
            self._measure_decimals(values)
            return
        if self._boolean:
            lower = pc.utf8_lower(values)
            self._boolean = _all(pc.is_in(lower, value_set=pa.array(["true", "false"])))
        if self._number:
            self._feed_numbers(values)
        self._times = {name for name in self._times if self._is_time(values, name)}

    def decide(self) -> str | None:
        """The type name; None when a decimal column needs more than 38 digits."""
        if self._decimal_only:
            return self._decimal()
        if not self._seen:
            return "text"
        if self._boolean:
            return "boolean"
        if self._number and self._finite:
            return self._decide_number()
        for name in _SHAPES:
            if name in self._times:
                return name
        return "text"

    def _decide_number(self) -> str:
        if self._all_whole:
            return "integer" if self._whole_digits <= 18 else "text"
        if self._all_point and self._whole_digits + self._scale <= 18:
            return f"decimal(18,{self._scale})"
        if self._significant <= _EXACT_DIGITS and self._longest_whole <= _EXACT_WHOLE:
            return "float"
        return (self._decimal() if self._all_point else None) or "text"

    def _decimal(self) -> str | None:
        digits = self._whole_digits + self._scale
        return None if digits > 38 else f"decimal({18 if digits <= 18 else 38},{self._scale})"

    def _feed_numbers(self, values: pa.Array) -> None:
        clean = values
        if not self._numbers.plain:
            clean = plain_numbers(values, "float", self._numbers)
        clean = pc.utf8_trim_whitespace(clean)
        whole = pc.fill_null(pc.match_substring_regex(clean, _WHOLE), False)
        if _all(whole):
            self._measure_whole(clean)
            return
        self._all_whole = False
        rest = clean.filter(pc.invert(whole))
        if rest.null_count or not _all(pc.match_substring_regex(rest, _ANY)):
            self._number = False
            return
        self._all_point = self._all_point and _all(pc.match_substring_regex(rest, _POINT))
        self._measure_whole(clean.filter(whole))
        self._measure(rest)

    def _measure_whole(self, integers: pa.Array) -> None:
        digits = _longest(pc.utf8_ltrim(integers, "-"))
        self._finite = self._finite or digits > 0
        self._longest_whole = max(self._longest_whole, digits)
        self._whole_digits = max(self._whole_digits, digits)
        self._significant = max(self._significant, digits)

    def _measure(self, numbers: pa.Array) -> None:
        finite = numbers.filter(pc.match_substring_regex(numbers, r"\d"))
        self._finite = self._finite or len(finite) > 0
        mantissa = pc.replace_substring_regex(finite, "[eE].*$", "")
        self._count_digits(mantissa)
        digits = pc.replace_substring_regex(mantissa, r"[-.]", "")
        self._significant = max(self._significant, _longest(pc.utf8_ltrim(digits, "0")))

    def _count_digits(self, plain: pa.Array) -> None:
        unsigned = pc.utf8_ltrim(plain, "+-")
        before = pc.replace_substring_regex(unsigned, r"\..*$", "")
        after = pc.replace_substring_regex(unsigned, r"^[^.]*\.?", "")
        self._whole_digits = max(self._whole_digits, _longest(pc.utf8_ltrim(before, "0")))
        self._scale = max(self._scale, _longest(after))

    def _measure_decimals(self, values: pa.Array) -> None:
        clean = plain_numbers(values, "decimal", self._numbers).drop_null()
        raised = pc.match_substring_regex(clean, "[eE]")
        spelled = [format(Decimal(each), "f") for each in clean.filter(raised).to_pylist() if _modest(each)]
        self._count_digits(clean.filter(pc.invert(raised)))
        self._count_digits(pa.array(spelled, pa.string()))

    def _is_time(self, values: pa.Array, name: str) -> bool:
        if not _all(pc.match_substring_regex(values, _SHAPES[name])):
            return False
        try:
            return in_range(values.cast(arrow_type(name)))
        except pa.ArrowInvalid:
            return False


def _modest(number: str) -> bool:
    """Is an exponent small enough to be written out? Others cannot be decimals anyway."""
    return abs(int(number.lower().rpartition("e")[2])) <= 100


def _all(mask: pa.Array) -> bool:
    return bool(pc.all(pc.fill_null(mask, False)).as_py())


def _longest(text: pa.Array) -> int:
    return int(pc.max(pc.utf8_length(text)).as_py() or 0)
