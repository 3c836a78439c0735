"""The submission of an import: everything that can be known wrong before a byte is parsed.

Runs in the web process: looks at names, options, the catalog and the first bytes, never at the data.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipelines.datasets import Catalog, Dataset, is_dataset_name
from pipelines.datasets.widening import held, narrows, room, wider
from pipelines.errors import BadInput, Fault, InvalidRequest, UnknownDataset, nearest
from pipelines.imports.formats import FORMATS
from pipelines.imports.options import ImportOptions, check_format_options, check_options, pointer
from pipelines.imports.source import Source, format_by_content, format_by_name, reconciled
from pipelines.imports.unpack import PACKED
from pipelines.plan import Json, Request

_FILES = 1_000


def parse(payload: Json, catalog: Catalog) -> Request:
    """A checked import, or InvalidRequest with every fault.

    One file is `source`, `name`, `bytes` and `sha256`; many are a list of those as `files`.
    """
    options, faults = check_options(payload.get("options"))
    name = payload["dataset"]
    if not isinstance(name, str) or not is_dataset_name(name):
        faults.append(Fault("/dataset", _bad_name(name)))
    files = _files(payload)
    if not 1 <= len(files) <= _FILES:
        faults.append(Fault("/source", f"An import has 1 to {_FILES:,} files, not {len(files):,}."))
    formats = []
    for number, each in enumerate(files[:_FILES]):
        place = "/source" if len(files) == 1 else f"/source/{number}"
        source = Source(each["name"], catalog.store, *_place(each))
        file_format, source_faults = _format_of(source, options, place)
        formats.append(file_format)
        faults += source_faults
    target = None
    if options is not None and not any(fault.pointer == "/dataset" for fault in faults):
        target, dataset_faults = _target(name, options, catalog)
        faults += dataset_faults
    if options is not None:
        for file_format in dict.fromkeys(each for each in formats if each in FORMATS):
            faults += check_format_options(options, str(file_format))
    if faults or options is None:
        raise InvalidRequest(faults)
    shown = files[0]["name"] if len(files) == 1 else f"{files[0]['name']} and {len(files) - 1} more"
    size = sum(int(each["bytes"]) for each in files)
    spec = {
        "dataset": name,
        "mode": options.mode,
        "format": formats[0],
        "files": files,
        "name": shown,
        "bytes": size,
        "options": options.model_dump(exclude_unset=True),
        "target": target and target_of(target),
    }
    parameters = {"dataset": name, "source": shown, "options": payload.get("options") or {}}
    return Request(str(formats[0]), parameters, spec, size, "bytes")


def target_of(dataset: Dataset) -> Json:
    """What the parts of an append must know of the dataset."""
    columns = [[column.name, column.type] for column in dataset.columns]
    return {"columns": columns, "time": dataset.time_column}


def _files(payload: Json) -> list[Json]:
    given = payload.get("files", [payload])
    return [{name: each.get(name) for name in ("name", "source", "bytes", "sha256")} for each in given]


def _place(each: Json) -> tuple[str | None, str | None]:
    return each["source"].get("store"), each["source"].get("file")


def _bad_name(name: Any) -> str:
    return (
        f"{name!r} is not a dataset name; use at most 64 of a-z, 0-9, '_' and '-', not beginning with '-', "
        "for example 'sales'."
    )


def _format_of(source: Source, options: ImportOptions | None, place: str) -> tuple[str | None, list[Fault]]:
    """The format by content, else the one asked for, else by name; a packed file is looked into later."""
    try:
        if not source.size:
            return None, [Fault(place, f"The file {source.name!r} is empty (0 bytes); choose another.")]
        content = format_by_content(source)
    except BadInput as error:
        return None, [Fault(place, error.detail)]
    asked = options.format if options is not None else None
    if content in PACKED:
        return content, []
    named = format_by_name(source.name)
    found = reconciled(content, asked, named)
    if asked is not None and found != asked:
        return None, [
            Fault(
                "/options/format",
                f"The file {source.name!r} is {content or 'text'}, not {asked}; leave the format out.",
            )
        ]
    if content is None and found not in ("csv", "tsv", "json", "jsonl"):
        what = "Parquet" if found == "parquet" else "Excel" if found in ("xlsx", "xls") else f"a {found} file"
        return None, [Fault(place, f"The file {source.name!r} is not {what} although its name says so.")]
    return found, []


def _target(name: str, options: ImportOptions, catalog: Catalog) -> tuple[Dataset | None, list[Fault]]:
    """The dataset to append to; faults when the mode does not go with what is there."""
    try:
        there = catalog.get(name)
    except UnknownDataset:
        if options.mode != "append":
            return None, []
        known = nearest(name, catalog.names())
        return None, [
            Fault("/dataset", f"There is no dataset {name!r} to append to{known or '; use mode create.'}")
        ]
    if options.mode == "create":
        return None, [
            Fault(
                "/dataset",
                f"Dataset {name!r} already exists; "
                "set options.mode to 'append' or 'replace', or choose another name.",
            )
        ]
    if options.mode == "replace":
        return None, []
    return there, list(_misfits(there, options, catalog))


def _misfits(there: Dataset, options: ImportOptions, catalog: Catalog) -> Iterator[Fault]:
    types = {column.name: column.type for column in there.columns}

    def goes(name: str, kind: str) -> bool:
        holds = held(there.columns, catalog.fragments(there.name, there.version))[name]
        if kind == "decimal":
            return holds is None or types[name].startswith(("integer", "decimal"))
        if holds is None or kind == types[name]:
            return True
        return not narrows(types[name], kind) and wider(types[name], kind, holds, room(kind)) is not None

    for source, column in options.columns.items():
        name = column.name or source
        if name not in types:
            yield Fault(
                pointer("options", "columns", source, *(["name"] if column.name else [])),
                f"Dataset {there.name!r} has no column {name!r} to append to{nearest(name, types)}",
            )
        elif column.type not in (None, types[name]) and not goes(name, str(column.type)):
            yield Fault(
                pointer("options", "columns", source, "type"),
                f"Column {name!r} of dataset {there.name!r} is {types[name]}, and an append can only widen "
                f"it, not make it {column.type}; give it that type, use mode 'replace', or import into "
                "another dataset.",
            )
