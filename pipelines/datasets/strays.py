"""Strays: files beside a dataset's own that a job wrote and perhaps never published. Finds, never deletes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.datasets.commit import committed_version
from pipelines.store import Stat, Store

# <job>-<part>-<piece>-<run epoch>, or w for the part of what was made over; also what a killed worker had not finished writing
_WRITTEN = re.compile(r"datasets/([^/]+)/([0-9a-z]{26})-(?:\d+|w)-[^/]*")


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


def is_published(store: Store, written: Written) -> bool:
    """Whether the job has published into the dataset after all."""
    return committed_version(store, written.dataset, written.job_id) is not None
