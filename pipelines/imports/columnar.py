"""Parquet: parts are row groups; every value keeps its value or the import is refused.

`survey` reads the footer and hashes the file, `read` streams batches of a part, page checksums verified.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.child import guarded
from pipelines.datasets import ROW_GROUP_ROWS, column_type
from pipelines.errors import BadInput
from pipelines.imports.convert import Numbers, Rows, convert, in_range
from pipelines.imports.layout import unique_names
from pipelines.imports.parquet_file import FAR, batches, open_file
from pipelines.imports.rejects import Reject, cut
from pipelines.imports.source import Source
from pipelines.imports.survey import SourceColumn, Survey, columns_of, no_rows
from pipelines.imports.typed import Loaded
from pipelines.imports.unpack import FREE, RATIO
from pipelines.plan import Json, Part
from pipelines.run import Context
from pipelines.store import open_store

_BATCH = 4 * ROW_GROUP_ROWS
_BATCH_BYTES = 128 << 20
_PROBED = 8_192  # rows the child decodes at a time
_PART_ROWS = _BATCH
_PART_BYTES = 64 << 20  # uncompressed
_AS_WRITTEN = Numbers(nulls=())


def survey(context: Context, spec: Json, source: Source) -> Survey:
    """Footer, parts and types, from a child that has decoded all of it once. BadInput for a damaged file."""
    given = {"store": context.store_url, "source": source.place, "name": source.name}
    told = guarded(context, "pipelines.imports.columnar:probe", given, source.name, source.size)
    with open_file(source) as file:
        parts = _parts(file.metadata)
    if not parts:
        raise no_rows(source.name)
    batch = max(1, min(_BATCH, _BATCH_BYTES // max(1, told["rowBytes"])))
    parts = tuple(Part({**part.payload, "batch": batch}, part.weight) for part in parts)
    names, said = unique_names(told["names"])
    types = dict(zip(names, told["types"], strict=True))
    return Survey(names, parts, {}, types=types, warnings=(*said, *told["warnings"]))


def probe(argument: Json) -> Json:
    """Runs in the child: decodes every batch the parts will decode, and forgets it.

    What survives this is safe.
    """
    store = open_store(argument["store"])
    source = Source(argument["name"], store, argument["source"].get("store"), argument["source"].get("file"))
    with open_file(source) as file:
        schema, metadata = file.schema_arrow, file.metadata
        types = [_declared(field) for field in schema]
        cells = metadata.num_rows * max(1, metadata.num_columns)
        most = max(FREE, RATIO * source.size)
        if cells > most:
            raise _bomb(source, f"{metadata.num_rows:,} rows x {metadata.num_columns:,} columns")
        plain = 0
        for part in _parts(metadata):
            for batch in batches(file, part.payload["groups"], source, _PROBED):
                plain += _unfolded(batch)
                if plain > most:
                    raise _bomb(source, f"more than {most >> 20:,} MB")
    said = [
        f"Column {field.name!r} is {field.type} in the file; it is kept as JSON text."
        for field in schema
        if natural_type(field.type) is None
    ]
    return {
        "names": schema.names,
        "types": types,
        "warnings": said,
        "rowBytes": plain // max(1, metadata.num_rows),
    }


def read(context: Context, spec: Json, payload: Json) -> Iterator[Loaded]:
    """The rows of one part, in tables of a few row groups of ours."""
    piece, columns = spec["pieces"][payload["piece"]], columns_of(spec)
    source = Source.of(context.store, piece)
    row, total = payload["row"], payload["rows"]
    with open_file(source) as file:
        for batch in batches(file, payload["groups"], source, payload["batch"]):
            arrays, rejects = _values(batch, columns, piece["places"], row)
            table = pa.Table.from_arrays(arrays, names=[column.name for column in columns])
            if rejects:
                keep = np.ones(batch.num_rows, np.bool_)
                keep[[reject.line - row - 1 for reject in rejects]] = False
                table = table.filter(pa.array(keep))
            row += batch.num_rows
            context.progress(payload["weight"] * (row - payload["row"]) // (2 * total))
            yield Loaded(table, batch.num_rows, rejects, columns, {})


def _unfolded(batch: pa.RecordBatch) -> int:
    """Bytes of a batch once its dictionaries are written out, which is what the parts have to do."""
    return sum(
        column.cast(column.type.value_type).nbytes if pa.types.is_dictionary(column.type) else column.nbytes
        for column in batch.columns
    )


def _bomb(source: Source, said: str) -> BadInput:
    return BadInput(
        f"The file {source.name!r} unpacks to {said}, more than {RATIO} times its size; it is refused "
        "as a bomb. "
        "Write it again without the repetition if it is none."
    )


def _declared(field: pa.Field) -> str:
    return natural_type(field.type) or "text"


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


def _values(
    batch: pa.RecordBatch, columns: Sequence[SourceColumn], places: Mapping[str, int], row: int
) -> tuple[list[pa.Array], list[Reject]]:
    """The columns of a batch in their types, and its bad rows.

    `row` is how many rows of the file come before.
    """
    arrays, bad = [], dict[int, str]()
    for column in columns:
        array = batch.column(places[column.source])
        values, failed = _converted(array, column)
        for index in failed.tolist():
            shown = array[index].value if pa.types.is_timestamp(array.type) else array[index].as_py()
            shown = "a time beyond all calendars" if shown == FAR else shown
            complaint = column.target.complaint(cut(str(shown)))
            bad.setdefault(int(index), f", column {column.source!r}: {complaint}")
        arrays.append(values)
    rendered = {
        index: cut(str(list(batch.slice(index, 1).to_pylist()[0].values())), 1000)
        for index in bad
        if not _raw(batch)
    }
    return arrays, [
        Reject(row + index + 1, reason, rendered.get(index, ""), "Row")
        for index, reason in sorted(bad.items())
    ]


def _raw(batch: pa.RecordBatch) -> bool:
    """Can a row not be shown as Python values? Nanoseconds and odd bytes cannot."""
    return any(pa.types.is_timestamp(field.type) for field in batch.schema)


def _converted(array: pa.Array, column: SourceColumn) -> tuple[pa.Array, Rows]:
    """The values, null where bad, and which are bad."""
    none: Rows = np.empty(0, np.int64)
    target = column.target
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    if array.type == pa.float16():
        array = array.cast(pa.float32())  # which Arrow can compare
    natural = natural_type(array.type)
    if natural is None:
        array = pa.array(
            [None if each is None else _as_json(each) for each in array.to_pylist()], pa.string()
        )
        natural = "text"
    if natural == "text" and target.type != "text" and not pa.types.is_null(array.type):
        try:
            return convert(array.cast(pa.string()), target, _AS_WRITTEN)
        except pa.ArrowInvalid:
            pass
    values = _lossless(array, target.arrow)
    if values is not None:
        return values, none
    pieces = _halves(array, target.arrow)
    values = pa.concat_arrays(pieces)
    bad = np.asarray(values.is_null()) & np.asarray(array.is_valid())
    return values, np.flatnonzero(bad).astype(np.int64)


def _halves(array: pa.Array, kind: pa.DataType) -> list[pa.Array]:
    """The values of an array, null for each that would change, found by halving."""
    values = _lossless(array, kind)
    if values is not None:
        return [values]
    if len(array) == 1:
        return [pa.nulls(1, kind)]
    middle = len(array) // 2
    return _halves(array[:middle], kind) + _halves(array[middle:], kind)


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else str(value)


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
    if not pa.types.is_floating(left.type):
        return pa.scalar(False)
    return pc.and_(pc.is_nan(left), pc.is_nan(right))
