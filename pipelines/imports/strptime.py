"""Times written in a user's own format: strict and fast strptime over whole Arrow arrays.

Arrow's strptime is quick but lets 30 February become 2 March and knows neither fractions nor offsets; a
pattern made from the same format finds what it lets through. Which cell is bad is for `convert` to find.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_SHORT = {"T": "%H:%M:%S", "F": "%Y-%m-%d", "D": "%m/%d/%y", "R": "%H:%M"}
_TWO = r"\d{1,2}"
_PATTERNS = {
    "Y": r"\d{4}",
    "y": r"\d{2}",
    "m": _TWO,
    "d": f"(?P<day>{_TWO})",
    "e": f" ?(?P<day>{_TWO})",
    "H": _TWO,
    "I": _TWO,
    "M": _TWO,
    "S": f"(?P<second>{_TWO})",
    "p": "[AaPp][Mm]",
    "b": "[A-Za-z]+",
    "B": "[A-Za-z]+",
    "a": "[A-Za-z]+",
    "A": "[A-Za-z]+",
    "f": r"(?P<fraction>\d{1,6})",
    "z": r"(?P<zone>Z|[+-]\d{2}:?\d{2})",
}
_DIRECTIVE = re.compile(r"%-?(.)|%$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class TimeFormat:
    """A checked format. `pattern` has groups p0, p1... that joined give what `arrow_format` reads."""

    text: str
    arrow_format: str
    pattern: str
    pieces: int
    groups: frozenset[str]

    @property
    def zoned(self) -> bool:
        return "zone" in self.groups

    @property
    def timed(self) -> bool:
        """Does it tell more than a day?"""
        return re.search(r"%-?[HIMSTRfpz]", self.text) is not None


@lru_cache(maxsize=256)
def time_format(text: str) -> TimeFormat:
    """The TimeFormat of a strptime format; ValueError says what is wrong with it."""
    spelled = re.sub(r"%([TFDR])", lambda found: _SHORT[found[1]], text)
    arrow, pattern, groups, pieces = "", "(?P<p0>", set[str](), 1
    position, seen = 0, set[str]()
    for found in _DIRECTIVE.finditer(spelled):
        literal = spelled[position : found.start()]
        position, letter = found.end(), found[1]
        arrow, pattern = arrow + literal, pattern + re.escape(literal)
        if letter == "%":
            arrow, pattern = arrow + "%%", pattern + "%"
            continue
        if letter is None or letter not in _PATTERNS:
            known = " ".join(f"%{each}" for each in sorted(_PATTERNS))
            raise ValueError(f"has {found[0]!r}, which is not one of {known}")
        if letter in seen:
            raise ValueError(f"has %{letter} twice")
        seen.add(letter)
        if letter in "fz":
            pattern += f"){_PATTERNS[letter]}(?P<p{pieces}>"
            pieces += 1
            groups.add("fraction" if letter == "f" else "zone")
        else:
            arrow, pattern = arrow + f"%{letter}", pattern + _PATTERNS[letter]
            groups.update({"day"} if letter in "de" else {"second"} if letter == "S" else set())
    arrow, pattern = arrow + spelled[position:], pattern + re.escape(spelled[position:]) + ")"
    if not seen & {"Y", "y"} or not seen & {"m", "b", "B"} or not seen & {"d", "e"}:
        raise ValueError("does not tell year, month and day, for example '%m/%d/%Y %H:%M'")
    if ("I" in seen) != ("p" in seen):
        raise ValueError("needs %I and %p together; use %H for hours of 0 to 23")
    return TimeFormat(text, arrow, f"^{pattern}$", pieces, frozenset(groups))


def parse_times(text: pa.Array, form: TimeFormat) -> pa.Array:
    """Timestamps in microseconds (UTC where the format has an offset), null where the text does not fit."""
    encoded = text.dictionary_encode() if not pa.types.is_dictionary(text.type) else text
    values = encoded.dictionary
    found = pc.extract_regex(values, form.pattern)
    group = {name: found.field(name) for name in _names(found.type)}
    main = (
        values
        if form.pieces == 1
        else pc.binary_join_element_wise(*(group[f"p{i}"] for i in range(form.pieces)), "")
    )
    times = pc.strptime(main, format=form.arrow_format, unit="us", error_is_null=True)
    valid = pc.is_valid(found)
    for name, part in (("day", pc.day), ("second", pc.second)):
        if name in form.groups:
            given = group[name].cast(pa.int64())
            valid = pc.and_(valid, pc.fill_null(pc.equal(part(times), given), False))
    if "fraction" in form.groups:
        padded = pc.utf8_rpad(group["fraction"], 6, "0")
        times = pc.add(times, padded.cast(pa.int64()).cast(pa.duration("us")))
    if form.zoned:
        times = pc.subtract(times, _offsets(group["zone"]))
    times = pc.if_else(valid, times, pa.scalar(None, times.type))
    return times.take(encoded.indices)


def _names(kind: Any) -> list[str]:
    return [kind.field(i).name for i in range(kind.num_fields)]


def _offsets(zone: pa.Array) -> pa.Array:
    signed = pc.replace_substring(pc.if_else(pc.equal(zone, "Z"), "+0000", zone), ":", "")
    hours = pc.utf8_slice_codeunits(signed, 1, 3).cast(pa.int64())
    minutes = pc.add(pc.multiply(hours, 60), pc.utf8_slice_codeunits(signed, 3, 5).cast(pa.int64()))
    back = pc.equal(pc.utf8_slice_codeunits(signed, 0, 1), "-")
    return pc.multiply(pc.if_else(back, pc.negate(minutes), minutes), 60_000_000).cast(pa.duration("us"))
