"""Parquet: parts are row groups; every value keeps its value or the import is refused.

`survey` reads the footer and hashes the file, `read` streams batches of a part, page checksums verified.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.datasets import ROW_GROUP_ROWS, column_type
from pipelines.errors import BadInput
from pipelines.imports.convert import Numbers, Target, convert, first_failure, in_range
from pipelines.imports.delimited_read import cut
from pipelines.imports.source import Source
from pipelines.imports.survey import (
    SOME_DECIMAL,
    UNDECIDED,
    SourceColumn,
    Survey,
    columns_of,
    no_rows,
    settle,
)
from pipelines.plan import Json, Part
from pipelines.run import Context

_BATCH = 4 * ROW_GROUP_ROWS
_PART_ROWS = _BATCH
_PART_BYTES = 64 << 20  # uncompressed
_AS_WRITTEN = Numbers(nulls=())


def survey(context: Context, spec: Json, source: Source) -> Survey:
    """Footer and digest. BadInput for a damaged file and for columns of types a dataset has no place for."""
    digest, position = hashlib.sha256(), 0
    for block in source.blocks(1 << 20):
        digest.update(block)
        position += len(block)
        context.progress(position)
    with _open(source) as file:
        schema, metadata = file.schema_arrow, file.metadata
        columns = [_typed(column, schema.field(column.index).type) for column in settle(schema.names, spec)]
        parts = _parts(metadata)
    if not parts:
        raise no_rows(source.name)
    return Survey(tuple(columns), parts, {}, digest.hexdigest())


def read(context: Context, spec: Json, payload: Json) -> Iterator[pa.Table]:
    """The rows of one part, in tables of a few row groups of ours."""
    source, columns = Source.of(context.store, spec), columns_of(spec)
    row, total = payload["row"], payload["rows"]
    with _open(source) as file:
        batches = file.iter_batches(_BATCH, row_groups=payload["groups"], use_threads=False)
        while True:
            try:
                batch = next(batches, None)
            except (OSError, pa.ArrowException) as error:
                raise _damaged(source, error) from error
            if batch is None:
                return
            arrays = [_values(batch.column(column.index), column, row) for column in columns]
            row += batch.num_rows
            context.progress(payload["weight"] * (row - payload["row"]) // (2 * total))
            yield pa.Table.from_arrays(arrays, names=[column.name for column in columns])


def natural_type(kind: pa.DataType) -> str | None:
    """The logical type that holds every value of an Arrow type, None when there is none."""
    types = pa.types
    if types.is_dictionary(kind):
        return natural_type(kind.value_type)
    if types.is_integer(kind):
        return "integer"
    if types.is_floating(kind):
        return "float"
    if types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})" if kind.precision <= 38 and kind.scale >= 0 else None
    if types.is_timestamp(kind):
        return "timestamptz" if kind.tz else "timestamp"
    if types.is_date(kind):
        return "date"
    if types.is_boolean(kind):
        return "boolean"
    is_text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    is_bytes = types.is_binary(kind) or types.is_large_binary(kind)  # old writers left out that it is text
    return "text" if is_text or is_bytes or types.is_null(kind) else None


def _open(source: Source) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(
            source.for_arrow(),
            memory_map=True,
            pre_buffer=False,
            page_checksum_verification=True,
            coerce_int96_timestamp_unit="us",
        )
    except (OSError, pa.ArrowException) as error:
        raise _damaged(source, error) from error


def _damaged(source: Source, error: Exception) -> BadInput:
    reason = str(error).splitlines()[0].replace(str(source.for_arrow()), source.name)
    return BadInput(
        f"The file {source.name!r} is not a Parquet file that can be read ({reason}); write it again."
    )


def _typed(column: SourceColumn, kind: pa.DataType) -> SourceColumn:
    natural = natural_type(kind)
    if natural is None:
        raise BadInput(
            f"Column {column.source!r} is of type {kind}, which a dataset cannot hold; "
            "leave it out of the file or write it as text."
        )
    if column.type == UNDECIDED:
        return column.typed(natural)
    if column.type == SOME_DECIMAL:
        if not natural.startswith("decimal"):
            raise BadInput(
                f"Column {column.source!r} is {natural} in the file; "
                "say how exact it is to be, for example 'decimal(18,2)'."
            )
        return column.typed(natural)
    if {natural, column.type} == {"timestamp", "timestamptz"}:
        raise BadInput(
            f"Column {column.source!r} is {natural} in the file and cannot become {column.type}; "
            f"give it type {natural!r} in options.columns."
        )
    return column


def _parts(metadata: pq.FileMetaData) -> tuple[Part, ...]:
    """Row groups side by side until a part is worth its while."""
    parts: list[Part] = []
    groups: list[int] = []
    row = rows = plain = weight = 0
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        groups.append(index)
        rows, plain = rows + group.num_rows, plain + group.total_byte_size
        weight += sum(group.column(i).total_compressed_size for i in range(group.num_columns))
        if rows and (rows >= _PART_ROWS or plain >= _PART_BYTES or index == metadata.num_row_groups - 1):
            payload = {"n": len(parts), "groups": groups, "row": row, "rows": rows, "weight": max(1, weight)}
            parts.append(Part(payload, max(1, weight)))
            row, groups, rows, plain, weight = row + rows, [], 0, 0, 0
    return tuple(parts)


def _values(array: pa.Array, column: SourceColumn, row: int) -> pa.Array:
    """The values of a batch in the column's type. `row` is how many rows of the file come before."""
    values, failed = _converted(array, column.target)
    if failed is None:
        return values
    value = cut(str(array[failed].as_py() if not _too_fine(array) else array[failed].value))
    raise BadInput(
        f"Row {row + failed + 1}, column {column.source!r}: {column.target.complaint(value)}; "
        "correct the value or give the column another type in options.columns."
    )


def _too_fine(array: pa.Array) -> bool:
    return bool(pa.types.is_timestamp(array.type))


def _converted(array: pa.Array, target: Target) -> tuple[Any, int | None]:
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    natural = natural_type(array.type)
    if natural == "text" and target.type != "text" and not pa.types.is_null(array.type):
        try:
            return convert(array.cast(pa.string()), target, _AS_WRITTEN)
        except pa.ArrowInvalid:
            pass
    values = _lossless(array, target.arrow)
    if values is not None:
        return values, None
    return None, first_failure(
        len(array), lambda end: _lossless(array.slice(0, end), target.arrow) is not None
    )


def _lossless(array: pa.Array, kind: pa.DataType) -> pa.Array | None:
    """The array as `kind` when every value survives (casting back gives the same), else None."""
    try:
        values = array.cast(kind)
        if array.type != kind and column_type(kind) != "text" and not pa.types.is_null(array.type):
            back = values.cast(array.type)
            if not pc.all(pc.fill_null(pc.or_(pc.equal(back, array), _both_nan(back, array)), True)).as_py():
                return None
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    return values if in_range(values) else None


def _both_nan(left: pa.Array, right: pa.Array) -> Any:
    if not pa.types.is_floating(left.type) or left.type == pa.float16():
        return pa.scalar(False)
    return pc.and_(pc.is_nan(left), pc.is_nan(right))
