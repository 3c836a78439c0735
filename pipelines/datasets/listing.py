"""Listing: the fragments of one version, as its log tells them. Reads no data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable

from pipelines.datasets.layout import ROW_GROUP_ROWS
from pipelines.datasets.model import Fragment, dataset_key
from pipelines.datasets.reader import row_group_rows
from pipelines.store import Store

# what imports write: <job>-<part>-<piece>-<epoch>.parquet; what appends make over: <job>-w-<number>-<epoch>,
# both with -w<number> behind it where that was at the commit; row groups follow from the rows
_OURS = re.compile(r"[0-9a-z]+-(\d+|w)-\d+(-\d+)*(-w\d+)?\.parquet")


def fragments_of(store: Store, name: str, table: DeltaTable) -> tuple[Fragment, ...]:
    """The files of a version, in the order they were read from their source."""
    columns = [field.name for field in table.schema().fields]
    found = [_fragment(store, name, columns, action) for action in actions(table)]
    return tuple(sorted(found, key=lambda fragment: _natural(fragment.path)))


def actions(table: DeltaTable) -> Iterator[dict[str, Any]]:
    """What the log says of each file."""
    yield from pa.table(table.get_add_actions(flatten=True)).to_pylist()


def _fragment(store: Store, name: str, columns: list[str], action: dict[str, Any]) -> Fragment:
    path = f"{dataset_key(name)}/{action['path']}"
    rows = action["num_records"]
    if _OURS.fullmatch(action["path"]):
        row_groups = -(-rows // ROW_GROUP_ROWS)
    else:  # a file another tool added: only its footer knows
        row_groups = len(row_group_rows(store, path))
    bounds = {
        column: (action.get(f"min.{column}"), action.get(f"max.{column}"))
        for column in columns
        if action.get(f"min.{column}") is not None and action.get(f"max.{column}") is not None
    }
    return Fragment(
        path,
        rows,
        action["size_bytes"],
        row_groups,
        {column: low for column, (low, _) in bounds.items()},
        {column: high for column, (_, high) in bounds.items()},
        {c: action[f"null_count.{c}"] for c in columns if action.get(f"null_count.{c}") is not None},
    )


def _natural(path: str) -> list[tuple[int, str]]:
    """Sort key that puts part 10 after part 9; job ids sort by time, so appends follow in order."""
    pieces = path.removesuffix(".parquet").split("-")
    return [(int(piece), "") if piece.isdigit() else (-1, piece) for piece in pieces]
