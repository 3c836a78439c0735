"""Strays: files beside a dataset's own that a job wrote and perhaps never published. Finds, never deletes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipelines.datasets.commit import committed_version
from pipelines.datasets.model import dataset_key
from pipelines.store import Stat, Store

# <job>-<part>-<piece>-<run epoch>, or <job>-w-... what an append made over; also what a killed worker had not
# finished writing
_WRITTEN = re.compile(r"datasets/([^/]+)/([0-9a-z]{26})-(?:\d+|w)-[^/]*")
_ENTRY = re.compile(r"\d{20}\.json")


@dataclass(frozen=True, slots=True)
class Written:
    """A file of a dataset's folder and the job whose import wrote it."""

    stat: Stat
    dataset: str
    job_id: str


def written_files(store: Store) -> Iterator[Written]:
    """Every file that imports wrote into any dataset's folder, published or not."""
    for stat in store.list("datasets"):
        found = _WRITTEN.fullmatch(stat.key)
        if found:
            yield Written(stat, found[1], found[2])


class Committed:
    """Which files the versions of datasets are made of; each entry of a log is read once.

    A file is written before its version, so a log read after the file was seen tells. Not thread-safe.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read: dict[str, set[str]] = {}  # dataset: entries
        self._files: dict[str, dict[str, frozenset[str]]] = {}  # dataset: job: names of what it committed

    def lacks(self, written: Written) -> bool:
        """Whether a file belongs to no version although its job has ended.

        False as well for a job with a version whose log entry is gone: nobody can tell then.
        """
        name = written.stat.key.rsplit("/", 1)[-1]
        known = self._files.get(written.dataset, {}).get(written.job_id)
        if known is None:
            self._refresh(written.dataset)
            known = self._files[written.dataset].get(written.job_id)
        if known is not None:
            return name not in known
        return committed_version(self._store, written.dataset, written.job_id) is None

    def _refresh(self, dataset: str) -> None:
        read, files = self._read.setdefault(dataset, set()), self._files.setdefault(dataset, {})
        for stat in self._store.list(f"{dataset_key(dataset)}/_delta_log"):
            if _ENTRY.fullmatch(stat.key.rsplit("/", 1)[-1]) and stat.key not in read:
                with self._store.open(stat.key) as file:
                    jobs, names = _understood(file)
                files |= dict.fromkeys(jobs, names)
                read.add(stat.key)


def _understood(entry: Iterable[bytes]) -> tuple[set[str], frozenset[str]]:
    """The jobs that a log entry names, one for ours, and the files it adds."""
    actions = [json.loads(line) for line in entry if line.strip()]
    jobs = {action["txn"]["appId"] for action in actions if "txn" in action}
    return jobs, frozenset(action["add"]["path"] for action in actions if "add" in action)
