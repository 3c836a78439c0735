"""The receipt of an import, contract section 3: what was read, how, and what became of it.

Whatever was found out rather than asked for is in it: the dialect of each file, the reading of each column,
and a sentence for everything a user may want to object to.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence

from pipelines.imports.survey import SourceColumn
from pipelines.plan import Json

_LONGEST = 1 << 16  # characters of a receipt in a log that every reader of the dataset reads
_HIDDEN = ("width", "standin", "decoded")  # of a dialect: what only the readers need


def receipt(
    spec: Json, columns: Sequence[SourceColumn], partials: Sequence[Json], reasons: Sequence[str]
) -> Json:
    """All but the version, which only the commit knows.

    A dry run has `dryRun` and the first bad rows besides.
    """
    nulls: Counter[str] = Counter()
    for partial in partials:
        for fragment in partial["fragments"]:
            nulls.update(fragment["nulls"])
    read = sum(partial["read"] for partial in partials)
    rejected = sum(partial["rejected"] for partial in partials)
    told = {
        "dataset": spec["dataset"],
        "version": None,
        "rowsRead": read,
        "rowsLoaded": read - rejected,
        "rowsRejected": rejected,
        "dialect": _dialect(spec, columns),
        "schema": [
            {
                "name": column.name,
                "type": column.type,
                "sourceName": column.source,
                "nulls": nulls[column.name],
            }
            for column in columns
        ],
        "source": _source(spec, partials),
        "warnings": [
            *spec["warnings"],
            *widenings(spec, columns),
            *doubts(columns),
            *_missing(columns),
            *_rejected(rejected),
        ],
    }
    return {**told, "dryRun": True, "rejects": list(reasons)} if spec["options"].get("dryRun") else told


def _dialect(spec: Json, columns: Sequence[SourceColumn]) -> Json:
    first, *others = [{"format": piece["format"], **piece["dialect"]} for piece in spec["pieces"]]
    shown = {name: value for name, value in first.items() if name not in _HIDDEN}
    numbers = spec["numbers"]
    shown |= (
        {"decimal": numbers["decimal"], "thousands": numbers["thousands"]} if "delimiter" in shown else {}
    )
    own = {column.source: found for column in columns if (found := _reading(column, numbers))}
    if own:
        shown["columns"] = own
    differing = [
        {"name": piece["name"], **{k: v for k, v in other.items() if k not in _HIDDEN and v != shown.get(k)}}
        for piece, other in zip(spec["pieces"][1:], others, strict=True)
    ]
    if any(len(each) > 1 for each in differing):
        shown["files"] = [each for each in differing if len(each) > 1]
    return shown


def _reading(column: SourceColumn, numbers: Json) -> Json:
    """What is particular about how one column was read."""
    found: Json = {}
    if column.format is not None:
        found["format"] = column.format
    if column.decimal not in (None, numbers["decimal"]):
        found["decimal"] = column.decimal
    if column.decimal is not None and column.thousands != numbers["thousands"]:
        found["thousands"] = column.thousands
    if column.dress:
        found["mark"] = column.dress
    if column.nulls:
        found["nullValues"] = list(column.nulls)
    return found


def _source(spec: Json, partials: Sequence[Json]) -> Json:
    """The file; several with what became of each, and the files of an archive where it holds several."""
    files = [{name: each[name] for name in ("name", "bytes", "sha256")} for each in spec["files"]]
    counted = [
        {"name": piece["label"], **_counts(partials, number)} for number, piece in enumerate(spec["pieces"])
    ]
    for number, file in enumerate(files):
        own = [n for n, piece in enumerate(spec["pieces"]) if piece["file"] == number]
        if len(files) > 1:
            file |= _counts(partials, *own)
        if len(own) > 1:
            file["members"] = [counted[n] for n in own]
    if len(files) == 1:
        return files[0]
    all_of_them = hashlib.sha256("".join(each["sha256"] for each in files).encode()).hexdigest()
    return {"name": spec["name"], "bytes": spec["bytes"], "sha256": all_of_them, "files": files}


def _counts(partials: Sequence[Json], *pieces: int) -> Json:
    own = [partial for partial in partials if partial["payload"]["piece"] in pieces]
    read, rejected = (sum(partial[name] for partial in own) for name in ("read", "rejected"))
    return {"rowsRead": read, "rowsLoaded": read - rejected, "rowsRejected": rejected}


def lineage(options: Json, told: Json) -> dict[str, str]:
    """What a version says of where it came from; a receipt too long for a log goes without its long lists."""
    short = json.dumps(told, ensure_ascii=False)
    if len(short) > _LONGEST:
        cut = {**told, "schema": None, "dialect": None, "warnings": told["warnings"][:20]}
        cut["source"] = {name: told["source"][name] for name in ("name", "bytes", "sha256")}
        short = json.dumps(cut, ensure_ascii=False)
    source = told["source"]
    return {
        "source": source["name"],
        "sha256": source["sha256"],
        "options": json.dumps(options, ensure_ascii=False),
        "receipt": short,
    }


def widenings(spec: Json, columns: Sequence[SourceColumn]) -> list[str]:
    """What an append changes of the dataset's types."""
    return [
        f"Column {column.name!r} of dataset {spec['dataset']!r} was {column.floor} and becomes "
        f"{column.type}, also in the rows that are there; no value changes."
        for column in columns
        if column.floor is not None and column.floor != column.type
    ]


def doubts(columns: Sequence[SourceColumn]) -> list[str]:
    """What a user may see otherwise."""
    return [f"Column {column.source!r} {column.doubt}." for column in columns if column.doubt]


def _missing(columns: Sequence[SourceColumn]) -> list[str]:
    return [
        f"Column {column.source!r} is {column.type}; taken for missing in it: "
        f"{', '.join(repr(word) for word in column.nulls)}."
        for column in columns
        if column.nulls
    ]


def _rejected(count: int) -> list[str]:
    if not count:
        return []
    said = "1 row was" if count == 1 else f"{count:,} rows were"
    return [f"{said} not loaded; GET /api/imports/{{id}}/rejects lists each with its line and reason."]
