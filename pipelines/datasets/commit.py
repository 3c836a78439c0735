"""How fragments become a version: one Delta commit, whole or not at all, once a job.

Every attempt starts from the newest version and may not be rebased by the library: a replace that was rebased
over an append would keep rows it never saw. Losing a race means to look again and decide again.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pyarrow as pa
from deltalake import (
    CommitProperties,
    DeltaTable,
    PostCommitHookProperties,
    Schema,
    TableFeatures,
    Transaction,
)
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, create_table_with_add_actions

from pipelines.datasets.append import Append, Made, fitted, types_of
from pipelines.datasets.listing import fragments_of
from pipelines.datasets.model import Column, Fragment, column_type, dataset_key
from pipelines.errors import BadInput
from pipelines.store import Store

TIME_KEY = "haulier.time"  # metadata of the field a dataset is clustered by
_VERSION_KEY = "datasetVersion"
_PATIENCE = 60.0  # seconds to keep trying against other writers
_NO_CLEANUP = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)


class Mode(StrEnum):
    """What a commit does to the dataset that is there."""

    CREATE = "create"
    APPEND = "append"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class Commit:
    """A version to be: which dataset, how, what columns, by which job and from what source (its lineage).

    `copies` are fragments of the dataset that were made over into `columns` beforehand, by path.
    """

    dataset: str
    mode: Mode
    columns: tuple[Column, ...]
    time_column: str | None
    job_id: str
    epoch: int
    lineage: Mapping[str, str]
    copies: Mapping[str, Fragment] = field(default_factory=dict)


def location(store: Store, name: str) -> str:
    """Where the Delta library finds a dataset."""
    key = dataset_key(name)
    local = store.local_path(key)
    return str(local) if local is not None else f"{store.url.rstrip('/')}/{key}"


def open_table(store: Store, name: str, version: int | None = None) -> DeltaTable | None:
    """The Delta table of a dataset, None when there is none (files without a log are no dataset)."""
    try:
        return DeltaTable(location(store, name), version=version)
    except TableNotFoundError:
        return None


def committed_version(store: Store, name: str, job_id: str) -> int | None:
    """The version of a dataset that a job made, None when it has made none."""
    table = open_table(store, name)
    if table is None or table.transaction_version(job_id) is None:
        return None
    return version_of(table, job_id)


def commit_fragments(store: Store, commit: Commit, fragments: Sequence[Fragment]) -> int:
    """Make the fragments visible as a new version and return it. Again for the same job changes nothing.

    BadInput when the dataset is there and should not be, is not and should be, or has other columns.
    """
    _check_files(store, fragments)
    deadline = time.monotonic() + _PATIENCE
    made: Made = {}
    while True:
        table = open_table(store, commit.dataset)
        if table is not None and table.transaction_version(commit.job_id) is not None:
            return version_of(table, commit.job_id)
        try:
            version = _attempt(store, table, commit, fragments, made)
            _sync(store, commit.dataset, version)
            return version
        except DeltaError as error:
            if not _lost_race(error):
                raise
            if time.monotonic() > deadline:
                raise BadInput(
                    f"Dataset {commit.dataset!r} is being written by too many others; retry the import."
                ) from error
            time.sleep(random.uniform(0.005, 0.1))


def version_of(table: DeltaTable, job_id: str) -> int:
    """The version a job made."""
    for entry in table.history():
        if entry.get("job") == job_id:
            return entry_version(entry)
    raise LookupError(f"job {job_id} is not in the history")


def entry_version(entry: Mapping[str, Any]) -> int:
    """The version of an entry of the history, as its commit says itself.

    The library counts back from the version the table was opened at, and is off by those committed since.
    """
    return int(entry.get(_VERSION_KEY, entry["version"]))


def _check_files(store: Store, fragments: Sequence[Fragment]) -> None:
    """A dataset may be deleted, with these files, while its import runs: never commit what is gone."""
    for fragment in fragments:
        try:
            present = store.stat(fragment.path).bytes == fragment.bytes
        except FileNotFoundError:
            present = False
        if not present:
            raise BadInput("The dataset was deleted while the import ran; submit the import again.")


def _sync(store: Store, name: str, version: int) -> None:
    """The library does not sync its log, but a job is not done while its version could be lost."""
    log = store.local_path(f"{dataset_key(name)}/_delta_log")
    if log is None:
        return
    for path in (log / f"{version:020}.json", log, log.parent, log.parent.parent):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _attempt(
    store: Store, table: DeltaTable | None, commit: Commit, fragments: Sequence[Fragment], made: Made
) -> int:
    if table is None:
        if commit.mode is Mode.APPEND:
            raise BadInput(f"There is no dataset {commit.dataset!r} to append to; use mode 'create'.")
        create_table_with_add_actions(
            location(store, commit.dataset),
            _delta_schema(commit, commit.columns),
            [_add_action(fragment) for fragment in fragments],
            "error",
            commit_properties=_properties(commit, fragments, 0),
            post_commithook_properties=_NO_CLEANUP,
        )
        return 0
    if commit.mode is Mode.CREATE:
        raise BadInput(
            f"Dataset {commit.dataset!r} already exists; use mode 'append' or 'replace', or another name."
        )
    columns, added = commit.columns, fragments
    if commit.mode is Mode.APPEND and types_of(columns) != types_of(columns_of(table)):
        columns, fragments = _fitted(store, table, commit, fragments, made)
    anew = commit.mode is Mode.REPLACE or types_of(columns) != types_of(columns_of(table))
    schema = _delta_schema(commit, columns) if anew else table.schema()
    _enable(table, columns)
    version = table.version() + 1
    table.create_write_transaction(
        [_add_action(fragment) for fragment in fragments],
        "overwrite" if anew else "append",
        schema,
        partition_by=[],
        commit_properties=_properties(commit, added, version),
        post_commithook_properties=_NO_CLEANUP,
    )
    return version


def _enable(table: DeltaTable, columns: Sequence[Column]) -> None:
    """A table made without times does not know them: that is a commit of its own, which changes no data."""
    features = table.protocol().writer_features or []
    if any(column.type == "timestamp" for column in columns) and "timestampNtz" not in features:
        table.alter.add_feature(
            TableFeatures.TimestampWithoutTimezone,
            allow_protocol_versions_increase=True,
            commit_properties=CommitProperties(max_commit_retries=0),
            post_commithook_properties=_NO_CLEANUP,
        )


def _fitted(
    store: Store, table: DeltaTable, commit: Commit, fragments: Sequence[Fragment], made: Made
) -> tuple[tuple[Column, ...], list[Fragment]]:
    old = fragments_of(store, commit.dataset, table)
    stem = f"{dataset_key(commit.dataset)}/{commit.job_id}"
    append = Append(commit.dataset, commit.columns, commit.time_column, stem, commit.epoch, commit.copies)
    return fitted(store, columns_of(table), old, append, fragments, made)


def _properties(commit: Commit, fragments: Sequence[Fragment], version: int) -> CommitProperties:
    """The lineage, and the job as an application transaction: what makes publishing repeatable.

    With no retries inside the library the commit is that version or none.
    """
    lineage = {
        **commit.lineage,
        "job": commit.job_id,
        "mode": commit.mode.value,
        _VERSION_KEY: str(version),
        "rowsAdded": str(sum(fragment.rows for fragment in fragments)),
    }
    done = Transaction(commit.job_id, commit.epoch)
    return CommitProperties(custom_metadata=lineage, max_commit_retries=0, app_transactions=[done])


def _lost_race(error: DeltaError) -> bool:
    return isinstance(error, CommitFailedError) or any(
        hint in str(error) for hint in ("already exists", "ransaction", "onflict")
    )


def columns_of(table: DeltaTable) -> tuple[Column, ...]:
    """The columns of a Delta table by their logical types."""
    arrow = pa.schema(table.schema().to_arrow())
    return tuple(Column(field.name, column_type(_plain(field.type))) for field in arrow)


def time_column_of(table: DeltaTable) -> str | None:
    """The column a dataset is clustered by, as recorded with its schema."""
    for each in table.schema().fields:
        if TIME_KEY in each.metadata:
            return str(each.name)
    return None


def _plain(kind: pa.DataType) -> pa.DataType:
    """Tables that others wrote may hold smaller numbers: they read as ours without loss."""
    if pa.types.is_integer(kind):
        return pa.int64()
    if pa.types.is_floating(kind):
        return pa.float64()
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    return kind


def _delta_schema(commit: Commit, columns: Sequence[Column]) -> Schema:
    fields = [
        pa.field(
            column.name,
            column.arrow,
            metadata={TIME_KEY: "true"} if column.name == commit.time_column else None,
        )
        for column in columns
    ]
    return Schema.from_arrow(pa.schema(fields))


def _add_action(fragment: Fragment) -> AddAction:
    statistics = {
        "numRecords": fragment.rows,
        "minValues": dict(fragment.minimum),
        "maxValues": dict(fragment.maximum),
        "nullCount": dict(fragment.nulls),
    }
    name = fragment.path.rsplit("/", 1)[-1]
    return AddAction(name, fragment.bytes, {}, int(time.time() * 1000), True, _exact_json(statistics))


def _exact_json(value: Any) -> str:
    """JSON with decimals as numbers of all their digits (a float would move a bound)."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(k)}:{_exact_json(v)}" for k, v in value.items()) + "}"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        text = value.replace(tzinfo=None).isoformat()
        return json.dumps(text + "Z" if value.tzinfo is not None else text)
    if isinstance(value, date):
        return json.dumps(value.isoformat())
    return json.dumps(value)
