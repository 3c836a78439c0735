"""Catalog: which datasets there are, what a version holds, what it looks like.

Reads the Delta log, never the data (but for a preview). Which versions are kept is `vacuum`'s business.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from pipelines.datasets.commit import Mode, columns_of, entry_version, open_table, time_column_of
from pipelines.datasets.listing import actions, fragments_of
from pipelines.datasets.model import Dataset, Fragment, dataset_key, is_dataset_name
from pipelines.datasets.reader import read_row_groups
from pipelines.datasets.vacuum import oldest_kept
from pipelines.errors import UnknownDataset, nearest
from pipelines.store import Store, open_store

_ENTRY = re.compile(r"\d{20}\.json")  # of a Delta log


class Catalog:
    """The datasets of a store. Cheap to make; versions never change, so the process remembers some."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def names(self) -> tuple[str, ...]:
        """Every dataset that has a version, sorted."""
        folders = self.store.children("datasets")
        return tuple(name for name in folders if is_dataset_name(name) and open_table(self.store, name))

    def get(self, name: str, version: int | None = None) -> Dataset:
        """A version of a dataset (the newest for None); UnknownDataset names the nearest."""
        return self._known(name, version)[0]

    def fragments(self, name: str, version: int) -> tuple[Fragment, ...]:
        """The files of a version, in the order they were read from their source."""
        return self._known(name, version)[1]

    def _known(self, name: str, version: int | None) -> _Version:
        mark = _mark(self.store, name, version)
        return _look(self.store, name, version) if mark is None else _remembered(self.store.url, name, mark)

    def versions(self, name: str) -> list[dict[str, Any]]:
        """Every version that is kept, oldest first.

        {"version", "rows", "created" (aware UTC), "mode", "job", "source", "sha256", "options", "receipt"};
        what a commit of another tool does not say is None.
        """
        rows, result = 0, []
        for entry in reversed(self._table(name, None).history()):
            if entry.get("operation") == "ADD FEATURE":  # a step of a commit, no version of the data
                continue
            added = int(entry.get("rowsAdded", 0))
            rows = rows + added if entry.get("mode") == Mode.APPEND else added
            created = datetime.fromtimestamp(entry["timestamp"] / 1000, UTC)
            version = entry_version(entry)
            told = {name: entry.get(name) for name in ("mode", "job", "source", "sha256")}
            lineage = {name: _json(entry.get(name)) for name in ("options", "receipt")}
            result.append({"version": version, "rows": rows, "created": created, **told, **lineage})
        oldest = oldest_kept(self.store, name)
        return [each for each in result if each["version"] >= oldest]

    def version(self, name: str, version: int) -> dict[str, Any]:
        """One of `versions`; UnknownDataset when there is none of that number."""
        for each in self.versions(name):
            if each["version"] == version:
                return each
        self._table(name, version)
        raise UnknownDataset(f"Version {version} of dataset {name!r} only prepared the one after it.")

    def preview(self, name: str, limit: int) -> pa.Table:
        """The first rows of the newest version."""
        dataset = self.get(name)
        columns = [column.name for column in dataset.columns]
        tables, rows = [dataset.arrow_schema.empty_table()], 0
        for fragment in self.fragments(name, dataset.version):
            for table in read_row_groups(self.store, fragment.path, None, columns):
                if rows >= limit:
                    break
                tables.append(table.slice(0, limit - rows))
                rows += tables[-1].num_rows
            if rows >= limit:
                break
        return pa.concat_tables(tables)

    def delete(self, name: str) -> None:
        """Remove a dataset with all its versions: gone for readers at once, its bytes right after."""
        self._table(name, None)
        trash = f"scratch/deleted-{uuid.uuid4().hex}"
        self.store.rename(dataset_key(name), trash)
        self.store.delete(trash)

    def _table(self, name: str, version: int | None) -> DeltaTable:
        if not is_dataset_name(name):
            raise UnknownDataset(f"There is no dataset {name!r}{nearest(name, self.names())}")
        oldest = oldest_kept(self.store, name)
        if version is not None and 0 <= version < oldest:
            raise UnknownDataset(
                f"Version {version} of dataset {name!r} is not kept any more; the oldest is {oldest}."
            )
        try:
            table = open_table(self.store, name, version)
        except (DeltaError, OverflowError) as error:
            newest = self._table(name, None).version()
            raise UnknownDataset(
                f"Dataset {name!r} has no version {version}; its newest is {newest}."
            ) from error
        if table is None:
            raise UnknownDataset(f"There is no dataset {name!r}{nearest(name, self.names())}")
        return table


_Version = tuple[Dataset, tuple[Fragment, ...]]


def _mark(store: Store, name: str, version: int | None) -> tuple[int, int, int] | None:
    """What tells a version (the newest for None) from every other that was ever there: its number, and the
    inode and time of the log entry that made it. None where only the library can tell, or none is kept."""
    log = store.local_path(f"{dataset_key(name)}/_delta_log") if is_dataset_name(name) else None
    if log is None:
        return None
    try:
        if version is None:
            version = max(int(each[:20]) for each in os.listdir(log) if _ENTRY.fullmatch(each))
        found = os.stat(log / f"{version:020}.json")
    except (OSError, ValueError):
        return None
    return None if version < oldest_kept(store, name) else (version, found.st_ino, found.st_mtime_ns)


@lru_cache(maxsize=64)
def _remembered(store_url: str, name: str, mark: tuple[int, int, int]) -> _Version:
    return _look(open_store(store_url), name, mark[0])


def _look(store: Store, name: str, version: int | None) -> _Version:
    table = Catalog(store)._table(name, version)
    added = list(actions(table))
    dataset = Dataset(
        name,
        table.version(),
        columns_of(table),
        sum(action["num_records"] for action in added),
        sum(action["size_bytes"] for action in added),
        time_column_of(table),
        str(table.metadata().id),
    )
    return dataset, fragments_of(store, name, table)


def _json(text: str | None) -> Any:
    return None if text is None else json.loads(text)
