"""From text to values, strictly: every cell becomes exactly what was written or is reported as bad.

Arrow's casts do the work; what they let through (hexadecimal, overflow to infinity, digits beyond a decimal's
precision, years outside 1 to 9999) is caught here. Must not know of files and lines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.datasets import arrow_type
from pipelines.imports.strptime import parse_times, time_format

TRUE = ("true", "t", "yes", "y", "1")
FALSE = ("false", "f", "no", "n", "0")
_ADVICE = {
    "integer": "is not an integer of at most 64 bits",
    "float": "is not a number that a float can hold",
    "boolean": "is not true or false",
    "date": "is not a date like 2023-01-31",
    "timestamp": "is not a time like 2023-01-31 08:26:00",
    "timestamptz": "is not a time with an offset like 2023-01-31T08:26:00Z",
}
_FIRST = -62_135_596_800_000_000  # 0001-01-01 in microseconds
_AFTER = 253_402_300_800_000_000  # 10000-01-01


@dataclass(frozen=True, slots=True)
class Numbers:
    """How numbers and missing values are written."""

    decimal: str = "."
    thousands: str | None = None
    nulls: tuple[str, ...] = ("",)

    @property
    def plain(self) -> bool:
        return self.decimal == "." and self.thousands is None


@dataclass(frozen=True, slots=True)
class Target:
    """What a column is to become: a logical type, and the format of its times."""

    type: str
    format: str | None = None

    @property
    def arrow(self) -> pa.DataType:
        return arrow_type(self.type)

    def complaint(self, value: str) -> str:
        """What is wrong with a value, as the middle of a sentence."""
        if self.format is not None:
            noun = "date" if self.type == "date" else "time"
            return f"{value!r} is not a {noun} in the format {self.format!r}"
        if self.type.startswith("decimal"):
            return f"{value!r} does not fit {self.type} exactly"
        return f"{value!r} {_ADVICE.get(self.type, 'is not text')}"


def convert(text: pa.Array, target: Target, numbers: Numbers) -> tuple[pa.Array | None, int | None]:
    """(values, None), or (None, index of the first cell that is not what `target` asks for)."""
    if target.type == "text":
        return text, None
    if numbers.nulls:
        missing = pc.is_in(text, value_set=pa.array(numbers.nulls, pa.string()))
        text = pc.if_else(missing, pa.scalar(None, pa.string()), text)
    values = _attempt(text, target, numbers)
    if values is not None:
        return values, None
    return None, first_failure(
        len(text), lambda end: _attempt(text.slice(0, end), target, numbers) is not None
    )


def first_failure(count: int, passes: Callable[[int], bool]) -> int:
    """The index of the first bad item, when `passes(n)` tells whether the first n items are all good."""
    low, high = 0, count  # the first `low` pass, the first `high` do not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if passes(middle) else (low, middle)
    return low


def _attempt(text: pa.Array, target: Target, numbers: Numbers) -> pa.Array | None:
    try:
        values = _cast(text, target, numbers)
    except pa.ArrowInvalid:
        return None
    if values is None or values.null_count > text.null_count or not in_range(values):
        return None
    return values


def _cast(text: pa.Array, target: Target, numbers: Numbers) -> pa.Array | None:
    kind = arrow_type(target.type)
    if target.format is not None:
        times = parse_times(text, time_format(target.format))
        if target.type == "timestamptz":
            return times.cast(pa.timestamp("us")).cast(kind)
        return times.cast(kind)
    if target.type == "boolean":
        lower = pc.utf8_lower(pc.utf8_trim_whitespace(text))
        known = pc.is_in(lower, value_set=pa.array([*TRUE, *FALSE]))
        return pc.if_else(known, pc.is_in(lower, value_set=pa.array(TRUE)), pa.scalar(None, pa.bool_()))
    if target.type in ("date", "timestamp", "timestamptz"):
        return text.cast(kind)
    clean = plain_numbers(text, target.type, numbers)
    values = clean.cast(kind)
    if target.type == "float":
        infinite = pc.and_(pc.is_inf(values), pc.invert(pc.match_substring(clean, "inf", ignore_case=True)))
        return pc.if_else(infinite, pa.scalar(None, kind), values)
    return values


def plain_numbers(text: pa.Array, kind: str, numbers: Numbers) -> pa.Array:
    """Numbers as Arrow reads them: trimmed, decimal point, no thousands; null for what is no such number."""
    clean = pc.utf8_trim_whitespace(text)
    shape = _number_pattern(kind, numbers)
    clean = pc.if_else(pc.match_substring_regex(clean, shape), clean, pa.scalar(None, pa.string()))
    if numbers.thousands is not None:
        clean = pc.replace_substring(clean, numbers.thousands, "")
    if numbers.decimal != ".":
        clean = pc.replace_substring(clean, numbers.decimal, ".")
    return pc.utf8_ltrim(clean, "+")


def _number_pattern(kind: str, numbers: Numbers) -> str:
    point = r"\." if numbers.decimal == "." else ","
    whole = r"\d+"
    if numbers.thousands is not None:
        mark = "\\" + numbers.thousands if numbers.thousands == "." else numbers.thousands
        whole = rf"(\d{{1,3}}({mark}\d{{3}})+|\d+)"
    if kind == "integer":
        return rf"^[+-]?{whole}$"
    number = rf"[+-]?({whole}({point}\d*)?|{point}\d+)([eE][+-]?\d+)?"
    return rf"^({number}|(?i:[+-]?(inf|infinity|nan)))$" if kind == "float" else rf"^{number}$"


def in_range(values: Any) -> bool:
    """Do all values keep to their type? Decimals to the precision, times to the years 1 to 9999."""
    kind = values.type
    if pa.types.is_decimal(kind):
        bounds = pc.min_max(values).as_py()
        limit = 10 ** (kind.precision - kind.scale)
        return all(each is None or abs(each) < limit for each in bounds.values())
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        bounds = pc.min_max(values.cast(pa.int64() if pa.types.is_timestamp(kind) else pa.int32())).as_py()
        if bounds["min"] is None:
            return True
        scale = 1 if pa.types.is_timestamp(kind) else 86_400_000_000
        return bool(bounds["min"] * scale >= _FIRST and bounds["max"] * scale < _AFTER)
    return True
