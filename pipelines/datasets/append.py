"""Append: the files of a version when what is appended has other types than the dataset. Commits nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.datasets.model import Column, Fragment
from pipelines.datasets.widening import held, joined, rewritten
from pipelines.store import Store

Made = dict[tuple[str, tuple[Column, ...]], Fragment]  # what was made over, by its path and its new types


@dataclass(frozen=True, slots=True)
class Append:
    """What is to be appended. `stem` begins the keys of what is made over.

    `copies` are, by path, fragments of the dataset that have been made over into `columns` already.
    """

    dataset: str
    columns: tuple[Column, ...]
    time_column: str | None
    stem: str
    epoch: int
    copies: Mapping[str, Fragment]


def types_of(columns: Sequence[Column]) -> dict[str, str]:
    return {column.name: column.type for column in columns}


def fitted(
    store: Store,
    there: Sequence[Column],
    old: Sequence[Fragment],
    append: Append,
    new: Sequence[Fragment],
    made: Made,
) -> tuple[tuple[Column, ...], list[Fragment]]:
    """The columns of the dataset after the append, and the fragments to commit. BadInput where it narrows.

    Those are the new ones, and all others too when the dataset's types change: every file of a version has
    the types of its schema, so that any reader of Delta tables can read it. `made`
    remembers between attempts.
    """
    columns = joined(append.dataset, there, append.columns, held(there, old), held(append.columns, new))

    def made_over(fragment: Fragment, stem: str) -> Fragment:
        """Under a name of its own each time: no name ever stands for two files."""
        if (fragment.path, columns) not in made:
            key = f"{stem}-{append.epoch}-w{len(made)}.parquet"
            made[fragment.path, columns] = rewritten(store, fragment, columns, append.time_column, key)
        return made[fragment.path, columns]

    own = list(new)
    if types_of(columns) != types_of(append.columns):
        own = [made_over(each, each.path.removesuffix(".parquet")) for each in new]
    if types_of(columns) == types_of(there):
        return columns, own
    ready = append.copies if types_of(columns) == types_of(append.columns) else {}
    copies = [
        ready.get(each.path) or made_over(each, f"{append.stem}-w-{number}")
        for number, each in enumerate(old)
    ]
    return columns, [*copies, *own]
