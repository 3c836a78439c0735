"""From text to values, strictly: every cell becomes exactly what was written or is reported as bad.

Arrow's casts do the work; what they let through (hexadecimal, overflow to infinity, digits beyond a decimal's
precision, years outside 1 to 9999) is caught here. Must not know of files and lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.datasets import arrow_type
from pipelines.imports.bytewise import letters, only_digits
from pipelines.imports.money import bare
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
_CLOCK = r"[ T]\d\d(:?\d\d(:?\d\d(\.\d{1,9})?)?)?"
_ISO = {
    "date": r"^\d{4}-\d\d-\d\d$",
    "timestamp": rf"^\d{{4}}-\d\d-\d\d({_CLOCK})?$",
    "timestamptz": rf"^\d{{4}}-\d\d-\d\d{_CLOCK}(Z|[+-]\d\d(:?\d\d)?)$",
}
_FIRST = -62_135_596_800_000_000  # 0001-01-01 in microseconds
_AFTER = 253_402_300_800_000_000  # 10000-01-01

Rows = npt.NDArray[np.int64]
_NONE: Rows = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Numbers:
    """How numbers and missing values are written; `dress` is the mark of amounts (see `money`)."""

    decimal: str = "."
    thousands: str | None = None
    nulls: tuple[str, ...] = ("",)
    dress: str | None = None

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


def convert(text: pa.Array, target: Target, numbers: Numbers) -> tuple[pa.Array, Rows]:
    """The values (null where a cell is missing or bad) and the rows of the cells that are bad."""
    if target.type == "text":
        return text, _NONE
    if numbers.nulls and _may_miss(text, numbers.nulls):
        missing = pc.is_in(text, value_set=pa.array(numbers.nulls, pa.string()))
        if pc.any(missing).as_py():
            text = pc.if_else(missing, pa.scalar(None, pa.string()), text)
    values = _attempt(text, target, numbers)
    if values is not None and values.null_count == text.null_count:
        return values, _NONE
    return _salvage(text, target, numbers)


def _may_miss(text: pa.Array, nulls: tuple[str, ...]) -> bool:
    """Could one of these words be in the column? Not when it holds digits only, and they do not."""
    words = [word for word in nulls if word]
    if any(set(word) <= set("0123456789-.") for word in words) or not only_digits(text, point=True):
        return True
    _, where = letters(text)
    return bool((np.diff(where) == 0).any())


def _salvage(text: pa.Array, target: Target, numbers: Numbers) -> tuple[pa.Array, Rows]:
    """Value by value of the distinct ones: the good in their type, the rows of the bad."""
    coded = text.dictionary_encode()
    words = coded.dictionary
    if target.type in _ISO and target.format is None:
        words = pc.if_else(pc.match_substring_regex(words, _ISO[target.type]), words, pa.scalar(None))
    pieces = list(_halves(words, target, numbers))
    values = pa.concat_arrays(pieces) if pieces else pa.nulls(0, target.arrow)
    result = values.take(coded.indices)
    bad = pc.and_(pc.is_null(result), pc.is_valid(text))
    return result, np.flatnonzero(bad.to_numpy(zero_copy_only=False)).astype(np.int64)


def _halves(words: pa.Array, target: Target, numbers: Numbers) -> list[pa.Array]:
    """The values of `words`, null for each that is bad, found by halving."""
    values = _attempt(words, target, numbers)
    if values is not None:
        return [values]
    if len(words) == 1:
        return [pa.nulls(1, target.arrow)]
    middle = len(words) // 2
    return _halves(words[:middle], target, numbers) + _halves(words[middle:], target, numbers)


def _attempt(text: pa.Array, target: Target, numbers: Numbers) -> pa.Array | None:
    """The values, null for what is plainly none; None when some value is bad in a way Arrow trips over."""
    try:
        values = _cast(text, target, numbers)
    except pa.ArrowInvalid:
        return None
    return values if in_range(values) else None


def _cast(text: pa.Array, target: Target, numbers: Numbers) -> pa.Array:
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
    if numbers.dress is not None:
        text = bare(text, numbers.dress)
    if numbers.plain and only_digits(text, point=target.type != "integer"):
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
