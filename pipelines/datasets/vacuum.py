"""Vacuum: how versions of a dataset stop being kept, and which files only those have. Deletes nothing.

A version that another took over from long ago is not kept, unless a job still reads it; the newest always is.
From then on nobody can ask for it, so that its files can go a while later.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import pairwise

from pipelines.datasets.model import dataset_key
from pipelines.store import Stat, Store

_ENTRY = re.compile(r"(\d{20})\.json")


@dataclass(frozen=True, slots=True)
class _Entry:
    """What one version changed. `at` is in seconds since 1970."""

    version: int
    at: float
    added: frozenset[str]
    removed: frozenset[str]


def oldest_kept(store: Store, name: str) -> int:
    """The first version of a dataset that can still be read."""
    try:
        with store.open(_note(name)) as file:
            return int(json.load(file)["oldest"])
    except FileNotFoundError:
        return 0


class Vacuum:
    """Reads each entry of a log once. Not thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read: dict[Stat, _Entry] = {}

    def superseded(self, name: str, before: float, pinned: Collection[int]) -> list[Stat]:
        """The files of which only versions are made that ended before a time and are not `pinned`.

        Those versions are given up with this call.
        """
        listing = list(self._store.list(dataset_key(name)))
        entries = self._entries(listing)
        if len(entries) < 2:
            return []
        told = oldest_kept(self._store, name)
        oldest = max(_oldest(entries, before, pinned), told)
        if oldest > told:
            with self._store.put(_note(name)) as sink:
                sink.write(json.dumps({"oldest": oldest}).encode())
        oldest = min([oldest, *pinned])  # a job may have asked for one just before it was given up
        active: set[str] = set()
        gone: set[str] = set()
        for entry in entries:
            active |= entry.added
            if entry.version <= oldest:
                active -= entry.removed
                gone |= entry.removed
        gone -= active
        folder = f"{dataset_key(name)}/"
        return [stat for stat in listing if stat.key.removeprefix(folder) in gone]

    def _entries(self, listing: Iterable[Stat]) -> list[_Entry]:
        found = []
        for stat in listing:
            name = _ENTRY.fullmatch(stat.key.rsplit("/", 1)[-1])
            if name is None or "/_delta_log/" not in stat.key:
                continue
            if stat not in self._read:
                with self._store.open(stat.key) as file:
                    self._read[stat] = _understood(int(name[1]), file)
            found.append(self._read[stat])
        return sorted(found, key=lambda entry: entry.version)


def _oldest(entries: list[_Entry], before: float, pinned: Collection[int]) -> int:
    """The first version that is pinned, or was the newest at the time, or came later."""
    for entry, successor in pairwise(entries):
        if successor.at >= before or entry.version in pinned:
            return entry.version
    return entries[-1].version


def _understood(version: int, entry: Iterable[bytes]) -> _Entry:
    actions = [json.loads(line) for line in entry if line.strip()]
    times = [action["commitInfo"].get("timestamp", 0) for action in actions if "commitInfo" in action]
    added = frozenset(action["add"]["path"] for action in actions if "add" in action)
    removed = frozenset(action["remove"]["path"] for action in actions if "remove" in action)
    return _Entry(version, max(times, default=0) / 1000, added, removed)


def _note(name: str) -> str:
    return f"{dataset_key(name)}/_kept/oldest.json"
