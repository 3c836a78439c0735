"""The submission of an import: everything that can be known wrong before a byte is parsed.

Runs in the web process: looks at names, options, the catalog and the first bytes, never at the data.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipelines.datasets import Catalog, Dataset, is_dataset_name
from pipelines.errors import BadInput, Fault, InvalidRequest, UnknownDataset, nearest
from pipelines.imports.formats import FORMATS
from pipelines.imports.options import ImportOptions, check_format_options, check_options, pointer
from pipelines.imports.source import Source, format_by_name
from pipelines.plan import Json, Request

_LATER = {
    "json": "JSON",
    "jsonl": "JSON lines",
    "xlsx": "Excel",
    "xls": "Excel",
    "zip": "zip",
    "gz": "gzip",
    "zst": "Zstandard",
}


def parse(payload: Json, catalog: Catalog) -> Request:
    """A checked import, or InvalidRequest with every fault."""
    options, faults = check_options(payload.get("options"))
    name = payload["dataset"]
    if not isinstance(name, str) or not is_dataset_name(name):
        faults.append(Fault("/dataset", _bad_name(name)))
    source = Source.of(catalog.store, payload)
    file_format, source_faults = _format_of(source, options)
    faults += source_faults
    target = None
    if options is not None and file_format is not None:
        faults += check_format_options(options, file_format)
    if options is not None and not any(fault.pointer == "/dataset" for fault in faults):
        target, dataset_faults = _target(name, options, catalog)
        faults += dataset_faults
    if faults or options is None or file_format is None:
        raise InvalidRequest(faults)
    spec = {
        "dataset": name,
        "mode": options.mode,
        "format": file_format,
        "source": payload["source"],
        "name": payload["name"],
        "bytes": payload["bytes"],
        "sha256": payload.get("sha256"),
        "options": options.model_dump(exclude_unset=True),
        "target": target
        and {"columns": [[c.name, c.type] for c in target.columns], "time": target.time_column},
    }
    parameters = {"dataset": name, "source": payload["name"], "options": payload.get("options") or {}}
    return Request(file_format, parameters, spec, int(payload["bytes"]), "bytes")


def _bad_name(name: Any) -> str:
    return (
        f"{name!r} is not a dataset name; use at most 64 of a-z, 0-9, '_' and '-', not beginning with '-', "
        "for example 'sales'."
    )


def _format_of(source: Source, options: ImportOptions | None) -> tuple[str | None, list[Fault]]:
    """The format asked for, else by content, else by name."""
    try:
        if not source.size:
            return None, [Fault("/source", f"The file {source.name!r} is empty (0 bytes); choose another.")]
        content = source.magic()
    except BadInput as error:
        return None, [Fault("/source", error.detail)]
    asked = options.format if options is not None else None
    found = content or asked or format_by_name(source.name)
    if found not in FORMATS:
        title = _LATER.get(found, found)
        return None, [
            Fault(
                "/source",
                f"The file {source.name!r} is {title}, which is not read yet; convert it to csv or parquet.",
            )
        ]
    if asked is not None and (asked == "parquet") != (content == "parquet"):
        return None, [
            Fault("/options/format", f"The file {source.name!r} is not {asked}; leave the format out.")
        ]
    if content is None and found == "parquet":
        return None, [Fault("/source", f"The file {source.name!r} is not Parquet although its name says so.")]
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
    return there, list(_misfits(there, options))


def _misfits(there: Dataset, options: ImportOptions) -> Iterator[Fault]:
    types = {column.name: column.type for column in there.columns}
    for source, column in options.columns.items():
        name = column.name or source
        if name not in types:
            yield Fault(
                pointer("options", "columns", source, *(["name"] if column.name else [])),
                f"Dataset {there.name!r} has no column {name!r} to append to{nearest(name, types)}",
            )
        elif column.type not in (None, types[name]) and not (
            column.type == "decimal" and types[name].startswith("decimal")
        ):
            yield Fault(
                pointer("options", "columns", source, "type"),
                f"Column {name!r} of dataset {there.name!r} is {types[name]}, not {column.type}; "
                "give it that type.",
            )
