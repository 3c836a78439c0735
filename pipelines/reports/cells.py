"""Cells: columns of a report as text, for csv and json. Vectorised; numbers keep every digit.

Times are RFC 3339 (with Z where they have a zone), time buckets 2023, 2023-Q1, 2023-01, 2023-01-31. Text
that a spreadsheet would take for a formula gets an apostrophe in csv; numbers never do.
"""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.reports import grains
from pipelines.reports.vector import Array, Kind, from_arrow

_FORMULA = "^[=+\\-@\t\r]"
_QUOTED = '[",\r\n]'


def csv_cells(column: pa.ChunkedArray, grain: str | None) -> pa.ChunkedArray:
    """Every value as a csv field; null is empty, NaN and infinities are NaN, inf and -inf."""
    if grain is None and pa.types.is_string(column.type):
        return pc.fill_null(_csv_text(column), "")
    if pa.types.is_floating(column.type):
        text = pc.if_else(pc.is_nan(column), "NaN", _float_text(column))
        return pc.fill_null(text, "")
    return pc.fill_null(_text(column, grain), "")


def json_cells(column: pa.ChunkedArray, grain: str | None) -> pa.ChunkedArray:
    """Every value as JSON; NaN and infinities, which JSON lacks, are null."""
    kind = column.type
    if pa.types.is_floating(kind):
        text = pc.if_else(pc.is_finite(column), _float_text(column), "null")
    elif grain is None and pa.types.is_string(kind):
        text = _json_text(column)
    elif pa.types.is_integer(kind) or pa.types.is_decimal(kind) or pa.types.is_boolean(kind):
        text = _text(column, grain)
    else:
        text = pc.binary_join_element_wise('"', _text(column, grain), '"', "")
    return pc.fill_null(text, "null")


def csv_field(text: str) -> str:
    """One text as a csv field: a header."""
    return str(_csv_text(pa.chunked_array([[text]]))[0].as_py())


def _text(column: pa.ChunkedArray, grain: str | None) -> pa.ChunkedArray:
    """Values that need neither quotes nor escapes."""
    kind = column.type
    if grain is not None and grain != "hour":
        return grains.labels(column, grain)
    if pa.types.is_decimal(kind):
        return _decimal_text(column)
    if pa.types.is_timestamp(kind):
        return _time_text(column)
    return column.cast(pa.string())


def _time_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """2023-01-31T18:30:00, with a fraction only where there is one."""
    plain = column.cast(pa.timestamp("us"))
    text = pc.replace_substring(plain.cast(pa.string()), " ", "T", max_replacements=1)
    text = (
        pc.replace_substring_regex(text, r"\.?0*$", "")
        if _fractional(plain)
        else pc.utf8_slice_codeunits(text, 0, 19)
    )
    return pc.binary_join_element_wise(text, "Z", "") if column.type.tz else text


def _fractional(column: pa.ChunkedArray) -> bool:
    ticks = column.cast(pa.int64())
    return bool(pc.any(pc.not_equal(ticks, pc.multiply(pc.divide(ticks, 1_000_000), 1_000_000))).as_py())


def _float_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The shortest text that reads back as the same float; 1 is 1.0, so that it stays a float."""
    text = column.cast(pa.string())
    whole = pc.match_substring_regex(text, "^-?[0-9]+$")
    return pc.if_else(whole, pc.binary_join_element_wise(text, ".0", ""), text)


def _decimal_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """All digits of the scale, never an exponent."""
    vector = from_arrow(column, Kind("decimal", column.type.precision, column.type.scale))
    scale = column.type.scale
    valid = None if vector.valid is None else ~vector.valid
    digits = _digits(vector.data)
    if scale > 0:
        digits = pc.utf8_lpad(digits, scale + 1, "0")
        whole, part = pc.utf8_slice_codeunits(digits, 0, -scale), pc.utf8_slice_codeunits(digits, -scale)
        digits = pc.binary_join_element_wise(whole, part, ".")
    negative = vector.data < 0
    text = digits
    if negative.any():
        sign = np.where(negative, "-", "").astype(object)
        text = pc.binary_join_element_wise(pa.array(sign, pa.string()), digits, "")
    return pa.chunked_array([text if valid is None else pc.if_else(pa.array(valid), None, text)])


def _digits(data: Array) -> pa.Array:
    """Whole numbers as text without their signs; those of 64 bits, by far the most, without Python."""
    if data.dtype != object and (len(data) == 0 or data.min() > np.iinfo(np.int64).min):
        return pa.array(np.abs(data)).cast(pa.string())
    return pa.array([str(each) for each in abs(data.astype(object))], pa.string())


def _csv_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    risky = pc.match_substring_regex(column, _FORMULA)
    text = pc.if_else(risky, pc.binary_join_element_wise("'", column, ""), column)
    quoted = pc.binary_join_element_wise('"', pc.replace_substring(text, '"', '""'), '"', "")
    # an empty text is quoted, so that it differs from a null
    special = pc.or_(pc.match_substring_regex(text, _QUOTED), pc.equal(text, ""))
    return pc.if_else(special, quoted, text)


def _json_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Each different text is escaped once."""
    encoded = column.combine_chunks().dictionary_encode()
    encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
    words = [json.dumps(word, ensure_ascii=False) for word in encoded.dictionary.to_pylist()]
    return pa.chunked_array([pa.array(words, pa.string()).take(encoded.indices)])


def labels(column: pa.ChunkedArray, grain: str | None) -> list[str]:
    """Values as names for a reader; (null) where there is none."""
    if grain is None and pa.types.is_string(column.type):
        text = column
    elif pa.types.is_floating(column.type):
        text = _float_text(column)
    else:
        text = _text(column, grain)
    return ["(null)" if each is None else each for each in text.to_pylist()]
