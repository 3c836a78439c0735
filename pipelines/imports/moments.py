"""The ways dates and times are written: which formats fit every value of a column."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.datasets import arrow_type
from pipelines.imports.convert import in_range
from pipelines.imports.strptime import parse_times, time_format

ISO = {
    "date": r"^\d{4}-\d\d-\d\d$",
    "timestamp": r"^\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?$",
    "timestamptz": r"^\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d(:?\d\d)?)$",
}
_NUMERIC = ("%d{0}%m{0}%Y", "%m{0}%d{0}%Y", "%d{0}%m{0}%y", "%m{0}%d{0}%y")
_DATES = (
    *("%Y/%m/%d", "%Y.%m.%d"),
    *(shape.format(mark) for mark in "/-." for shape in _NUMERIC),
    *("%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%d/%b/%Y", "%d %b %y", "%b %d %Y", "%b %d, %Y", "%d. %b %Y"),
)
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")
FORMATS = tuple(date + clock for date in _DATES for clock in _CLOCKS)
_LOOKS = re.compile(r"^\d{1,4}[-/. ]|^[A-Za-z]{3,9} \d{1,2},? \d")


def candidates(values: pa.Array) -> set[str]:
    """ISO types and formats that the first few values allow."""
    few = values.slice(0, 20).to_pylist()
    found = {name for name, shape in ISO.items() if all(re.match(shape, each) for each in few)}
    if not all(_LOOKS.match(each) for each in few):
        return found
    return found | {each for each in FORMATS if all(re.match(time_format(each).pattern, v) for v in few)}


def fitting(values: pa.Array, names: Iterable[str]) -> set[str]:
    """Those of `names` that read every value."""
    return {name for name in names if _fits(values, name)}


def in_years(values: pa.Array, names: set[str]) -> set[str]:
    """Those of the ISO types `names` that hold every value, which are known to look like them."""
    found = set()
    for name in names:
        try:
            if in_range(values.cast(arrow_type(name))):
                found.add(name)
        except pa.ArrowInvalid:
            continue
    return found


def pick(names: set[str]) -> tuple[str | None, str | None, bool]:
    """(type, format, ambiguous) of what is left; ambiguous when day and month could be swapped."""
    for name in ISO:
        if name in names:
            return name, None, False
    left = [each for each in FORMATS if each in names]
    if not left:
        return None, None, False
    orders = {
        each.index("%d") < each.index("%m") for each in left if "%m" in each and not each.startswith("%Y")
    }
    return ("timestamp" if time_format(left[0]).timed else "date"), left[0], len(orders) > 1


def day_first(name: str) -> bool | None:
    """Does a format put the day before the month? None where the month is a word or the year comes first."""
    return None if "%m" not in name or name.startswith("%Y") else name.index("%d") < name.index("%m")


def _fits(values: pa.Array, name: str) -> bool:
    try:
        if name in ISO:
            if not bool(pc.all(pc.fill_null(pc.match_substring_regex(values, ISO[name]), False)).as_py()):
                return False
            return in_range(values.cast(arrow_type(name)))
        times = parse_times(values, time_format(name))
        return times.null_count == 0 and in_range(times)
    except pa.ArrowInvalid:
        return False
