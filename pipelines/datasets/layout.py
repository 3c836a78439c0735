"""How a fragment is written: clustered by time, encoded for fast reading, with statistics for skipping.

The choices were measured (design section 7). Must not know of versions: `commit` makes a file visible.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.datasets.model import Fragment
from pipelines.store import Store

ROW_GROUP_ROWS = 131_072  # a row group's columns stay in a core's cache while they are reduced
_SAMPLE = 16_384
_TEXT_BOUND = 64  # longer text makes poor statistics and long log lines


def write_fragment(store: Store, key: str, table: pa.Table, time_column: str | None) -> Fragment:
    """Write one table of logical types as the store object `key`, stably sorted by time. Single-threaded."""
    table = cluster(table, time_column)
    schema = pa.schema(
        [pa.field(f.name, f.type, nullable=table[f.name].null_count > 0) for f in table.schema],
    )
    table = pa.Table.from_arrays(table.columns, schema=schema)
    collected: list[pq.FileMetaData] = []
    with store.put(key, digest=False) as sink:
        pq.write_table(
            table,
            sink,
            row_group_size=ROW_GROUP_ROWS,
            metadata_collector=collected,
            **_writer_options(table),
        )
        size = sink.bytes
    return describe(key, size, collected[0])


def cluster(table: pa.Table, time_column: str | None) -> pa.Table:
    """The rows stably sorted by time, nulls last; the same table when they already are."""
    if time_column is None or table.num_rows < 2:
        return table
    times = table[time_column]
    ticks = times.cast(pa.int32() if pa.types.is_date(times.type) else pa.int64())
    last = pa.scalar(np.iinfo(np.int32 if pa.types.is_date(times.type) else np.int64).max, ticks.type)
    order = pc.fill_null(ticks, last).to_numpy()
    if not np.any(order[1:] < order[:-1]):
        return table
    return table.take(pa.array(np.argsort(order, kind="stable")))


def _writer_options(table: pa.Table) -> dict[str, Any]:
    encodings: dict[str, str] = {}
    dictionary: list[str] = []
    compression: dict[str, str] = {}
    for field in table.schema:
        name, kind = field.name, field.type
        compression[name] = "lz4"
        if _packs(kind):
            encodings[name], compression[name] = "DELTA_BINARY_PACKED", "none"
        elif pa.types.is_floating(kind) or (pa.types.is_string(kind) and _few_values(table[name])):
            dictionary.append(name)  # falls back to plain by itself when the values are many
        elif not pa.types.is_boolean(kind):
            encodings[name], compression[name] = "PLAIN", "zstd"
    return {
        # no Arrow schema inside: every reader then gets the logical types, decimals as decimal128
        "store_schema": False,
        "compression": compression,
        "use_dictionary": dictionary,
        "column_encoding": encodings,
        "store_decimal_as_integer": True,
        "write_statistics": True,
        "write_page_index": True,
        "write_page_checksum": True,
        "data_page_size": 1 << 20,
        "dictionary_pagesize_limit": 1 << 20,
    }


def _packs(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_integer(kind)
        or types.is_timestamp(kind)
        or types.is_date(kind)
        or (types.is_decimal(kind) and kind.precision <= 18)
    )


def _few_values(column: pa.ChunkedArray) -> bool:
    """Is a text column worth a dictionary? Asks rows spread over the table, for neighbours are alike."""
    step = max(1, len(column) // _SAMPLE)
    sample = column.take(pa.array(np.arange(0, len(column), step))) if step > 1 else column
    return bool(pc.count_distinct(sample, mode="all").as_py() <= max(64, len(sample) // 4))


def describe(key: str, size: int, metadata: pq.FileMetaData) -> Fragment:
    """A Fragment from a file's footer."""
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    minimum: dict[str, Any] = {}
    maximum: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    for index in range(metadata.num_columns):
        name = metadata.schema.column(index).path
        statistics = [group.column(index).statistics for group in groups]
        if any(each is None or not each.has_null_count for each in statistics):
            continue
        nulls[name] = sum(each.null_count for each in statistics)
        filled = [each for each in statistics if each.num_values]
        if not filled or not all(each.has_min_max for each in filled):
            continue
        low, high = min(each.min for each in filled), max(each.max for each in filled)
        if all(_is_bound(each) for each in (low, high)):
            minimum[name], maximum[name] = low, high
    return Fragment(key, metadata.num_rows, size, len(groups), minimum, maximum, nulls)


def _is_bound(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, bytes) and not (isinstance(value, str) and len(value) > _TEXT_BOUND)
