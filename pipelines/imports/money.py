"""Money: numbers that are dressed up with a currency, a percent sign, or parentheses that mean minus.

Only undresses; what the bare numbers are is decided like that of any other. One column has one mark: amounts
of several currencies must not become numbers that look alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

PERCENT = "%"
_SIGNS = r"US\$|CA\$|C\$|AU\$|A\$|NZ\$|HK\$|R\$|[$€£¥₹₽₩₺₪₫฿₴₦]|zł|Kč|kr\.?|Fr\.?"
_CODES = (
    "AED|ARS|AUD|BGN|BRL|CAD|CHF|CLP|CNY|COP|CZK|DKK|EGP|EUR|GBP|HKD|HUF|IDR|ILS|INR|ISK|JPY|KRW|MXN|MYR|NOK|"
    "NZD|PHP|PLN|RON|RSD|RUB|SAR|SEK|SGD|THB|TRY|TWD|UAH|USD|VND|ZAR"
)
_MARK = rf"{_SIGNS}|{_CODES}"
_GAPS = " \u00a0\u202f"
_SPACE = f"[{_GAPS}\t]*"
_SIGN, _MINUS = "[-+\u2212]?", "[-\u2212]"
_SHAPE = (
    rf"^{_SPACE}(?P<open>\()?{_SPACE}(?P<first>{_SIGN}){_SPACE}(?P<before>{_MARK})?{_SPACE}"
    rf"(?P<again>\()?(?P<second>{_SIGN}){_SPACE}(?P<number>\.?\d(?:[\d.,'{_GAPS}]*\d)?\.?){_SPACE}"
    rf"(?P<after>{_MARK}|%)?{_SPACE}(?P<close>\))?{_SPACE}$"
)
_DRESSED = r"[(%$€£¥₹₽₩₺₪₫฿₴₦A-Za-z]"


@dataclass(frozen=True, slots=True)
class Bare:
    """Numbers without their dress. `mark` is what all that have one have, "" for parentheses alone."""

    numbers: pa.Array
    mark: str


def is_dressed(values: pa.Array) -> bool:
    """Could any value be more than a number?"""
    return bool(pc.any(pc.match_substring_regex(values, _DRESSED)).as_py())


def undressed(values: pa.Array) -> Bare | None:
    """The bare numbers; None when a value is no amount, or they have different marks."""
    if not len(values) or pc.extract_regex(values[:20], _SHAPE).null_count:  # most columns fail at once
        return None
    found = pc.extract_regex(values, _SHAPE)
    if found.null_count:
        return None
    before, after = found.field("before"), found.field("after")
    marks = {*before.unique().to_pylist(), *after.unique().to_pylist()} - {"", None}
    both = pc.and_(pc.not_equal(before, ""), pc.not_equal(after, ""))
    if len(marks) > 1 or pc.any(both).as_py():
        return None
    mark = marks.pop() if marks else ""
    if mark == PERCENT and pc.any(pc.equal(after, "")).as_py():
        return None
    numbers = bare(values)
    return None if numbers.null_count else Bare(numbers, mark)


def bare(values: pa.Array, mark: str | None = None) -> pa.Array:
    """Each amount as a number with its minus in front; null for what is none, or has another mark."""
    found = pc.extract_regex(values, _SHAPE)
    part = {name: pc.fill_null(found.field(name), "") for name in _PARTS}
    opened = pc.add(_one(part["open"], "("), _one(part["again"], "("))
    sound = pc.equal(opened, _one(part["close"], ")"))
    signs = pc.binary_join_element_wise(part["first"], part["second"], "")
    minus = pc.add(pc.cast(pc.match_substring_regex(signs, _MINUS), pa.int8()), opened)
    sound = pc.and_(sound, pc.and_(pc.less_equal(pc.utf8_length(signs), 1), pc.less_equal(minus, 1)))
    if mark is not None:
        written = pc.binary_join_element_wise(part["before"], part["after"], "")
        fits = pc.equal(written, mark)
        sound = pc.and_(sound, fits if mark == PERCENT else pc.or_(fits, pc.equal(written, "")))
    sign = pc.if_else(pc.equal(minus, 1), "-", "")
    numbers = pc.binary_join_element_wise(sign, part["number"], "")
    return pc.if_else(pc.and_(sound, pc.is_valid(found)), numbers, pa.scalar(None, pa.string()))


_PARTS = ("open", "first", "before", "again", "second", "number", "after", "close")


def _one(found: pa.Array, what: str) -> pa.Array:
    return pc.cast(pc.equal(found, what), pa.int8())
