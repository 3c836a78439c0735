"""Vector: a column, or the value of an expression, as numpy sees it; and the way from and to Arrow.

Integers and decimals are unscaled whole numbers: int64 where they fit, Python integers where they do not,
so they never round and never wrap. Times, dates and booleans are int64 too, text is codes into a list of
words, and only floats are float64. What is done with vectors lives in `arithmetic`, `grouping` and
`states`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import BadInput

Array = np.ndarray[Any, Any]

MAX_DIGITS = 38  # of Arrow's and Parquet's decimals
_LOW = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Kind:
    """The type of a vector, in the words of `pipelines.datasets`; precision and scale for decimals only."""

    word: str
    precision: int = MAX_DIGITS
    scale: int = 0

    @classmethod
    def parse(cls, text: str) -> Kind:
        match = re.fullmatch(r"decimal\((\d+),\s*(-?\d+)\)", text)
        return cls("decimal", int(match[1]), int(match[2])) if match else cls(text)

    @property
    def exact(self) -> bool:
        return self.word in ("integer", "decimal")

    @property
    def numeric(self) -> bool:
        return self.exact or self.word == "float"

    @property
    def timed(self) -> bool:
        return self.word in ("timestamp", "timestamptz", "date")

    @property
    def logical(self) -> pa.DataType:
        """The Arrow type a report shows."""
        return pa.decimal128(self.precision, self.scale) if self.word == "decimal" else _LOGICAL[self.word]


_LOGICAL = {
    "integer": pa.int64(),
    "float": pa.float64(),
    "text": pa.string(),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", tz="UTC"),
    "date": pa.date32(),
    "boolean": pa.bool_(),
}
INTEGER, FLOAT, TEXT, DATE = Kind("integer"), Kind("float"), Kind("text"), Kind("date")


def exact_kind(scale: int) -> Kind:
    """The kind of an exact number that was computed."""
    return Kind("decimal", MAX_DIGITS, scale) if scale else INTEGER


@dataclass(frozen=True, slots=True)
class Vector:
    """Values of one kind. `valid` is None when none is null; at a null stands a zero.

    `bound`: no whole number here is further from zero; None where nobody has looked.
    """

    kind: Kind
    data: Array
    valid: Array | None = None
    words: pa.Array | None = None
    bound: int | None = None

    def __len__(self) -> int:
        return len(self.data)

    def take(self, rows: Array) -> Vector:
        """The vector of some rows: by position or by a mask."""
        valid = None if self.valid is None else self.valid[rows]
        return Vector(self.kind, self.data[rows], valid, self.words, self.bound)

    @property
    def reach(self) -> int:
        """How far from zero its whole numbers are at most."""
        return magnitude(self.data) if self.bound is None else self.bound

    @property
    def nulls(self) -> int:
        return 0 if self.valid is None else int(len(self.valid) - np.count_nonzero(self.valid))


def magnitude(data: Array) -> int:
    """The largest absolute value of whole numbers, as a Python integer; 0 of nothing."""
    return max(abs(int(data.max())), abs(int(data.min()))) if len(data) else 0


def narrow(data: Array) -> Array:
    """Python integers back to int64 where all fit."""
    return data.astype(np.int64) if data.dtype == object and magnitude(data) < 1 << 63 else data


def from_arrow(column: pa.Array | pa.ChunkedArray, kind: Kind) -> Vector:
    """A vector over a column's memory, copied only where the layout differs."""
    array = _one(column)
    valid = None if array.null_count == 0 else pc.is_valid(array).to_numpy(zero_copy_only=False)
    if kind.word == "text":
        if not pa.types.is_dictionary(array.type):
            array = array.dictionary_encode()
        codes = _primitive(array.indices, valid)
        return Vector(kind, codes, valid, array.dictionary)
    if pa.types.is_decimal(array.type):
        return Vector(kind, _decimals(array, valid), valid)
    if kind.word == "boolean":
        array = array.cast(pa.int8())
    data = _primitive(array, valid)
    return Vector(kind, data if kind.word == "float" else data.astype(np.int64, copy=False), valid)


def from_chunks(columns: Sequence[pa.Array | pa.ChunkedArray], kind: Kind) -> Vector:
    """One vector of several columns in a row; they may store exact numbers in different widths."""
    if kind.word == "text":
        return from_arrow(pa.chunked_array([_one(each) for each in columns], pa.string()), kind)
    vectors = [from_arrow(each, kind) for each in columns]
    if len(vectors) == 1:
        return vectors[0]
    masks = [np.ones(len(each), bool) if each.valid is None else each.valid for each in vectors]
    valid = None if all(each.valid is None for each in vectors) else np.concatenate(masks)
    if any(each.data.dtype == object for each in vectors):
        return Vector(kind, np.concatenate([each.data.astype(object) for each in vectors]), valid)
    return Vector(kind, np.concatenate([each.data for each in vectors]), valid)


def stored(vector: Vector) -> pa.Array:
    """A vector as an Arrow array for `from_arrow`: how partials travel. Exact numbers stay unscaled."""
    if vector.kind.exact and vector.data.dtype == object:
        return _decimal_array(vector.data, vector.valid, pa.decimal128(MAX_DIGITS, 0))
    if vector.kind.exact:
        return pa.array(vector.data, pa.int64(), mask=_mask(vector))
    return shown(vector)


def shown(vector: Vector) -> pa.Array:
    """A vector as an Arrow array of its logical type; integers beyond int64 as decimals without a scale."""
    kind, data = vector.kind, vector.data
    if kind.word == "text":
        words = pa.array([], pa.string()) if vector.words is None else vector.words
        return words.take(pa.array(data, mask=_mask(vector))).cast(pa.string())
    if kind.word == "decimal":
        return _decimal_array(data, vector.valid, kind.logical)
    if kind.word == "integer" and data.dtype == object:
        return _decimal_array(data, vector.valid, pa.decimal128(MAX_DIGITS, 0))
    if kind.word == "date":
        return pa.array(data.astype(np.int32), pa.int32(), mask=_mask(vector)).cast(kind.logical)
    if kind.word == "boolean":
        return pa.array(data.astype(bool), mask=_mask(vector))
    if kind.timed:
        return pa.array(data, pa.int64(), mask=_mask(vector)).cast(kind.logical)
    return pa.array(data, kind.logical, mask=_mask(vector))


def floats(vector: Vector) -> Array:
    """Numbers as float64; each the nearest to its exact value while that has at most 53 bits."""
    data, scale = vector.data, vector.kind.scale
    if not vector.kind.exact:
        return data
    if data.dtype == object or scale > 22:
        power = 10**scale
        return np.array([int(each) / power for each in data], np.float64)
    return data / np.float64(10**scale) if scale else data.astype(np.float64)


def canonical(data: Array) -> Array:
    """Floats with one NaN and one zero, so that equal values have equal bits."""
    return np.where(np.isnan(data), np.nan, data + 0.0)


def _one(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    if not isinstance(column, pa.ChunkedArray):
        return column
    if column.num_chunks > 1 and pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries()
    if column.num_chunks == 1:
        return column.chunk(0)
    combined = column.combine_chunks()
    if isinstance(combined, pa.ChunkedArray):  # an empty chunked array stays one
        return combined.chunk(0) if combined.num_chunks else pa.array([], column.type)
    return combined


def _mask(vector: Vector) -> Array | None:
    return None if vector.valid is None else ~vector.valid


def _primitive(array: pa.Array, valid: Array | None) -> Array:
    width = np.dtype(
        f"f{array.type.bit_width // 8}" if pa.types.is_floating(array.type) else _integer(array.type)
    )
    data = _buffer(array, width, 1)
    return data if valid is None else np.where(valid, data, np.zeros(1, width))


def _integer(type_: pa.DataType) -> str:
    sign = "u" if pa.types.is_unsigned_integer(type_) else "i"
    return f"{sign}{type_.bit_width // 8}"


def _buffer(array: pa.Array, width: np.dtype[Any], words: int) -> Array:
    buffer = array.buffers()[1]
    if len(array) == 0 or buffer is None:
        return np.empty(0, width)
    data = np.frombuffer(buffer, width)
    return data[array.offset * words : (array.offset + len(array)) * words]


def _decimals(array: pa.Array, valid: Array | None) -> Array:
    """The unscaled integers of a decimal array."""
    if array.type.bit_width < 128:
        return _primitive_decimal(array, valid)
    pairs = _buffer(array, np.dtype(np.int64), 2).reshape(-1, 2)
    if valid is not None:
        pairs = np.where(valid[:, None], pairs, 0)
    low = np.ascontiguousarray(pairs[:, 0])
    if array.type.precision <= 18 or np.array_equal(pairs[:, 1], low >> 63):
        return low
    wide: Array = (pairs[:, 1].astype(object) << 64) + low.view(np.uint64).astype(object)
    return wide


def _primitive_decimal(array: pa.Array, valid: Array | None) -> Array:
    data = _buffer(array, np.dtype(f"i{array.type.bit_width // 8}"), 1).astype(np.int64, copy=False)
    return data if valid is None else np.where(valid, data, 0)


def _decimal_array(data: Array, valid: Array | None, type_: pa.DataType) -> pa.Array:
    """Unscaled integers as decimals; more digits than a decimal holds are an error, never a wrap."""
    pairs = np.empty((len(data), 2), np.int64)
    if data.dtype == object:
        if magnitude(data) >= 10**MAX_DIGITS:
            raise BadInput(
                f"A number of this report needs more than {MAX_DIGITS} digits, which no decimal holds; "
                "divide or round the values it is made of."
            )
        pairs[:, 0] = np.array([int(each) & _LOW for each in data], np.uint64).view(np.int64)
        pairs[:, 1] = np.array([int(each) >> 64 for each in data], np.int64)
    else:
        pairs[:, 0], pairs[:, 1] = data, data >> 63
    validity = None if valid is None else pa.array(valid).buffers()[1]
    return pa.Array.from_buffers(type_, len(data), [validity, pa.py_buffer(pairs)])
