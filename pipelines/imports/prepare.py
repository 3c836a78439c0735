"""Everything a plan finds out: each file checked, unpacked and surveyed, and their columns.

Runs on one worker before the parts. What it finds is the spec the parts and `finish` get.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pipelines.datasets.widening import room
from pipelines.errors import BadInput
from pipelines.imports.formats import FORMATS
from pipelines.imports.source import Source
from pipelines.imports.survey import SOME_DECIMAL, SourceColumn, Survey, in_dataset_order, no_rows, settle
from pipelines.imports.typed import guess_of, is_open, numbers_of, one
from pipelines.imports.unpack import Piece, unpack
from pipelines.plan import Json, Part
from pipelines.run import Context


@dataclass(frozen=True, slots=True)
class Prepared:
    """The planned spec but for its columns' order and time, and the parts of all files."""

    spec: Json
    columns: tuple[SourceColumn, ...]
    parts: tuple[Part, ...]


def prepare(context: Context, spec: Json) -> Prepared:
    """Survey every file of an import. BadInput for what is not as announced, or no table."""
    surveys: list[tuple[Piece, Survey]] = []
    files, owners = list[Json](), list[int]()
    for number, given in enumerate(spec["files"]):
        source = Source(
            given["name"], context.store, given["source"].get("store"), given["source"].get("file")
        )
        stamp = _checked_stamp(source, given)
        with _hashing(source) as digest:
            pieces = unpack(context, source, spec)
            owners += [number] * len(pieces)
            surveys += [(piece, _surveyed(context, spec, piece)) for piece in pieces]
        source.check(stamp)
        if given["sha256"] not in (None, digest[0]):
            raise BadInput(
                f"The file {source.name!r} is not what was uploaded (its sha256 differs); send it again."
            )
        files.append({**given, "sha256": digest[0], "stamp": stamp})
    names = _common_names(surveys)
    labels = _labels([piece.name for piece, _ in surveys])
    described = [
        _piece(piece, survey, label, owner)
        for (piece, survey), label, owner in zip(surveys, labels, owners, strict=True)
    ]
    parts = tuple(_numbered(surveys))
    if not parts:
        raise no_rows(spec["name"])
    first = surveys[0][1]
    planned = {
        **spec,
        "files": files,
        "pieces": described,
        "delimiter": first.dialect.get("delimiter", ","),
        "numbers": _numbers(spec["options"], first),
        "worded": sorted(set().union(*(survey.worded for _, survey in surveys))),
        "warnings": [*_warnings(surveys, labels), *_same_twice(files)],
    }
    columns = _declared(in_dataset_order(settle(names, spec), spec), [survey for _, survey in surveys])
    planned["evidence"] = _evidence(columns, surveys, planned)
    return Prepared(planned, columns, parts)


def _surveyed(context: Context, spec: Json, piece: Piece) -> Survey:
    return FORMATS[piece.format].survey(context, {**spec, "format": piece.format}, piece.source)


def _checked_stamp(source: Source, given: Json) -> str:
    stamp = source.stamp()
    if source.size != given["bytes"]:
        raise BadInput(
            f"The file {source.name!r} has {source.size:,} bytes where {given['bytes']:,} were announced; "
            "send it again."
        )
    return stamp


@contextmanager
def _hashing(source: Source) -> Iterator[list[str]]:
    """The sha256 of the file, computed beside the block; it is there once the block has ended."""
    found: list[str] = []
    stop = threading.Event()

    def work() -> None:
        digest = hashlib.sha256()
        try:
            for block in source.blocks(1 << 20):
                if stop.is_set():
                    return
                digest.update(block)
        except BadInput:
            return  # the file went away: whoever reads it says so
        found.append(digest.hexdigest())

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield found
    except BaseException:
        stop.set()
        raise
    finally:
        thread.join()
    if not found:
        raise source.gone()


def _common_names(surveys: Sequence[tuple[Piece, Survey]]) -> tuple[str, ...]:
    """The names of the columns. BadInput when files differ in them (their order may)."""
    piece, first = surveys[0]
    for other, survey in surveys[1:]:
        lacking = [name for name in first.names if name not in survey.names]
        beyond = [name for name in survey.names if name not in first.names]
        if lacking or beyond:
            said = f"lacks column {lacking[0]!r}" if lacking else f"has column {beyond[0]!r} besides"
            raise BadInput(
                f"The files are not one table: {other.name!r} {said}, other than {piece.name!r}; "
                "name its columns alike, or import files of other columns into a dataset of their own."
            )
    return first.names


def _labels(names: Sequence[str]) -> list[str | None]:
    """What tells the files apart in messages, also two of the same name; nothing where there is but one."""
    if len(names) == 1:
        return [None]
    seen: Counter[str] = Counter()
    labels: list[str | None] = []
    for name in names:
        seen[name] += 1
        labels.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return labels


def _same_twice(files: Sequence[Json]) -> Iterator[str]:
    """Files sent twice by mistake would count twice, and nobody would see it."""
    first: dict[str, Json] = {}
    for each in files:
        twin = first.setdefault(each["sha256"], each)
        if twin is not each:
            both = f"{twin['name']!r} and {each['name']!r}"
            yield f"The files {both} have the same content; it was loaded twice."


def _piece(piece: Piece, survey: Survey, label: str | None, owner: int) -> Json:
    return {
        "name": piece.name,
        "label": label,
        "file": owner,
        "format": piece.format,
        "source": survey.place or piece.source.place,
        "dialect": dict(survey.dialect),
        "places": {name: index for index, name in enumerate(survey.names)},
    }


def _numbered(surveys: Sequence[tuple[Piece, Survey]]) -> Iterator[Part]:
    number = 0
    for index, (_, survey) in enumerate(surveys):
        for part in survey.parts:
            yield Part({**part.payload, "n": number, "piece": index}, part.weight)
            number += 1


def _numbers(options: Json, survey: Survey) -> Json:
    """How numbers are written unless a column says otherwise; `fixed` when the user said so."""
    return {
        "decimal": options.get("decimal", "."),
        "thousands": options.get("thousands"),
        "nulls": list(survey.dialect.get("nullValues", options.get("nullValues", ("",)))),
        "fixed": "decimal" in options or "thousands" in options,
    }


def _declared(columns: Sequence[SourceColumn], surveys: Sequence[Survey]) -> tuple[SourceColumn, ...]:
    """What a file declares (Parquet), its column is, when nobody asked for another type."""
    result = []
    for column in columns:
        types = {survey.types[column.source] for survey in surveys if column.source in survey.types}
        for natural in types:
            _check_asked(column, natural)
        if len(types) > 1 and is_open(column):
            raise BadInput(
                f"Column {column.source!r} is {' and '.join(sorted(types))} in different files; "
                "give it a type in options.columns."
            )
        result.append(_read_as(column, types.pop()) if types and is_open(column) else column)
    return tuple(result)


def _read_as(column: SourceColumn, natural: str) -> SourceColumn:
    """A column the file declares; where the dataset cannot be widened to that, each value must fit it."""
    return column.typed(column.beside(natural, room(natural)) or column.floor or natural)


def _check_asked(column: SourceColumn, natural: str) -> None:
    """BadInput when a column cannot become what was asked of it, whatever its values."""
    if column.type == SOME_DECIMAL and not natural.startswith("decimal"):
        raise BadInput(
            f"Column {column.source!r} is {natural} in the file; "
            "say how exact it is to be, for example 'decimal(18,2)'."
        )
    if {natural, column.type} == {"timestamp", "timestamptz"}:
        raise BadInput(
            f"Column {column.source!r} is {natural} in the file and cannot become {column.type}; "
            f"give it type {natural!r} in options.columns."
        )


def _evidence(
    columns: Sequence[SourceColumn], surveys: Sequence[tuple[Piece, Survey]], planned: Json
) -> Json:
    """What the samples say of the columns nobody typed."""
    found: Json = {}
    for column in columns:
        if not is_open(column):
            continue
        guess = guess_of(
            column,
            numbers_of(column, planned),
            planned["numbers"]["fixed"],
            column.source in planned["worded"],
        )
        for _, survey in surveys:
            place = str(survey.names.index(column.source))
            for sample in survey.samples:
                guess.feed(one(sample[place]))
        found[column.source] = guess.to_json()
    return found


def _warnings(surveys: Sequence[tuple[Piece, Survey]], labels: Sequence[str | None]) -> list[str]:
    return [
        f"{label}: {said}" if label else said
        for (_, survey), label in zip(surveys, labels, strict=True)
        for said in survey.warnings
    ]
