"""Reading fragments: one row group at a time, single-threaded, always in logical types.

Footers are kept per process (fragments never change, their names never repeat). No pruning policy here:
who reads decides which row groups, from `row_group_stats` and the fragment's own statistics.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.datasets.model import arrow_type, column_type
from pipelines.store import Store, open_store


def read_row_groups(
    store: Store,
    path: str,
    row_groups: Sequence[int] | None,
    columns: Sequence[str],
    *,
    dictionary: Sequence[str] = (),
) -> Iterator[pa.Table]:
    """One table a row group, columns in the order asked; those in `dictionary` as dictionary<int32, text>.

    With no columns the tables still tell their number of rows.
    """
    if row_groups is None:
        row_groups = range(_footer(store.url, path).num_row_groups)
    return read_batches(store, path, [(index,) for index in row_groups], columns, dictionary=dictionary)


def read_batches(
    store: Store,
    path: str,
    batches: Sequence[Sequence[int]],
    columns: Sequence[str],
    *,
    dictionary: Sequence[str] = (),
) -> Iterator[pa.Table]:
    """Like `read_row_groups`, one table for each batch of row groups."""
    wanted = list(columns)
    with _open(store, path, dictionary) as file:
        for indexes in batches:
            table = file.read_row_groups(list(indexes), columns=wanted, use_threads=False)
            yield _logical(table, wanted) if wanted else table


def row_group_rows(store: Store, path: str) -> list[int]:
    """Rows of each row group."""
    footer = _footer(store.url, path)
    return [footer.row_group(index).num_rows for index in range(footer.num_row_groups)]


def row_group_stats(
    store: Store, path: str, columns: Sequence[str]
) -> list[dict[str, tuple[Any, Any, int | None]]]:
    """(min, max, nulls) of each column by row group; None where not known or all null. NaN is not in them."""
    footer = _footer(store.url, path)
    positions = {footer.schema.column(i).path: i for i in range(footer.num_columns)}
    result: list[dict[str, tuple[Any, Any, int | None]]] = []
    for index in range(footer.num_row_groups):
        group = footer.row_group(index)
        result.append({name: _bounds(group.column(positions[name]).statistics) for name in columns})
    return result


def _bounds(statistics: Any) -> tuple[Any, Any, int | None]:
    if statistics is None:
        return None, None, None
    nulls = statistics.null_count if statistics.has_null_count else None
    return (statistics.min, statistics.max, nulls) if statistics.has_min_max else (None, None, nulls)


def _logical(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    """The same columns with plain nullable fields, so that tables of several files fit together."""
    arrays, fields = [], []
    for name in columns:
        array = table[name]
        if not pa.types.is_dictionary(array.type):
            kind = arrow_type(column_type(_widened(array.type)))
            array = array if array.type == kind else array.cast(kind)
        arrays.append(array)
        fields.append(pa.field(name, array.type))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _widened(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_integer(kind):
        return pa.int64()
    if pa.types.is_floating(kind):
        return pa.float64()
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", "UTC" if kind.tz else None)
    return kind


def _open(store: Store, path: str, dictionary: Sequence[str] = ()) -> pq.ParquetFile:
    return pq.ParquetFile(
        _source(store, path),
        metadata=_footer(store.url, path),
        read_dictionary=list(dictionary),
        memory_map=True,
        pre_buffer=False,
    )


def _source(store: Store, path: str) -> Any:
    local = store.local_path(path)
    return str(local) if local is not None else store.open(path)


@lru_cache(maxsize=512)
def _footer(store_url: str, path: str) -> pq.FileMetaData:
    return pq.read_metadata(_source(open_store(store_url), path), memory_map=True)
