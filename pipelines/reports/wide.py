"""Wide: a dataset as a report type sees it, with the columns that are looked up in others among its own.

Checks of the request only; what is looked up is read by `lookup`, on the workers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipelines.datasets import Catalog, Column, Dataset
from pipelines.errors import BadInput, Fault, nearest
from pipelines.reports.expression import columns, parse
from pipelines.reports.lookup import MOST_BYTES, MOST_ROWS
from pipelines.reports.question import Lookup, Question
from pipelines.reports.shape import LookupEntry, pointer
from pipelines.reports.vector import Kind

_NO_KEYS = ("float", "boolean")


def widened(
    dataset: Dataset, entries: Sequence[LookupEntry], catalog: Catalog, faults: list[Fault]
) -> tuple[Dataset, dict[str, Lookup]]:
    """The dataset with what is looked up, and where each such column comes from. Faults are added."""
    wide, found = dataset, {}
    for entry in entries:
        other = _other(entry, catalog, faults)
        if other is None or not _fits(entry, wide, other, faults):
            continue
        for index, name in enumerate(entry.columns):
            at, called = entry.at + pointer("columns", index), entry.prefix + name
            type_ = _type(other, name, at, faults)
            if any(column.name == called for column in wide.columns):
                said = f"Dataset {dataset.name!r} has a column {called!r} already; give a 'prefix'."
                faults.append(Fault(at, said))
            elif type_ is not None:
                key = _type(other, entry.key, "", [])
                found[called] = Lookup(
                    entry.on, other.name, other.version, other.id, entry.key, key or "", name, type_
                )
                wide = replace(wide, columns=(*wide.columns, Column(called, type_)))
    return wide, found


def with_lookups(question: Question, wide: Dataset, lookups: Mapping[str, Lookup]) -> Question:
    """The question with all it needs to look up, however far what it names is from the dataset."""
    touched = dict.fromkeys(question.kinds)
    for each in question.bins.values():
        touched |= dict.fromkeys(columns(parse(each.of)))
    needed = {}
    for name in (left := list(touched)):
        if name in lookups:
            needed[name] = lookups[name]
            left.append(lookups[name].on)
    kinds = {name: wide.column(name).type for name in left if name not in question.bins}
    return replace(question, kinds={**question.kinds, **kinds}, lookups=needed)


def _other(entry: LookupEntry, catalog: Catalog, faults: list[Fault]) -> Dataset | None:
    """The dataset to look up in, if it is small enough to be held by every worker."""
    try:
        other = catalog.get(entry.dataset, entry.version)
    except BadInput as error:
        known = entry.dataset in catalog.names()
        faults.append(Fault(f"{entry.at}/{'version' if known else 'dataset'}", error.detail))
        return None
    if other.rows > MOST_ROWS or other.bytes > MOST_BYTES:
        said = (
            f"Dataset {other.name!r} has {other.rows:,} rows in {other.bytes / (1 << 20):,.0f} MiB, and what "
            f"is looked up may have {MOST_ROWS:,} in {MOST_BYTES >> 20} MiB, for every worker holds it; "
            "name a smaller one, or import the rows and columns that are needed as one."
        )
        faults.append(Fault(f"{entry.at}/dataset", said))
        return None
    return other


def _fits(entry: LookupEntry, wide: Dataset, other: Dataset, faults: list[Fault]) -> bool:
    """Whether the values of our column can be keys of the other dataset."""
    on = _type(wide, entry.on, f"{entry.at}/on", faults)
    key = _type(other, entry.key, f"{entry.at}/key", faults)
    if on is None or key is None:
        return False
    ours, theirs = Kind.parse(on), Kind.parse(key)
    if (ours.word, ours.scale) == (theirs.word, theirs.scale) and ours.word not in _NO_KEYS:
        return True
    said = f"Column {entry.on!r} is {on} and {entry.key!r} of dataset {other.name!r} is {key}; "
    fix = "floats and booleans are no keys" if on == key else "import one of them as the type of the other"
    faults.append(Fault(f"{entry.at}/key", f"{said}{fix}."))
    return False


def _type(dataset: Dataset, name: str, at: str, faults: list[Fault]) -> str | None:
    found = next((column.type for column in dataset.columns if column.name == name), None)
    if found is None:
        near = nearest(name, [column.name for column in dataset.columns])
        faults.append(Fault(at, f"Dataset {dataset.name!r} has no column {name!r}{near}"))
    return found
