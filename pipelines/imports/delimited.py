"""CSV and TSV: one pass that hashes, cuts at record boundaries and decides types; parts that parse.

`survey` runs once in the plan, `read` once a part. The records' grammar is `records`', cells are `convert`'s.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from pipelines.errors import BadInput
from pipelines.imports.convert import Numbers
from pipelines.imports.delimited_read import PartReader
from pipelines.imports.infer import Guess
from pipelines.imports.records import Grammar, Run, count_lines, runs, toggles
from pipelines.imports.source import Source
from pipelines.imports.survey import (
    SOME_DECIMAL,
    UNDECIDED,
    SourceColumn,
    Survey,
    columns_of,
    no_rows,
    settle,
)
from pipelines.plan import Json, Part
from pipelines.run import Context

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BLOCK = 1 << 20
_RUN = 4 << 20
_HEAD = 16 << 20  # a header has to end within these bytes
_SMALLEST, _LARGEST = 8 << 20, 48 << 20  # bytes of a part


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the text is written."""

    delimiter: str
    quote: str | None
    encoding: str
    header: bool
    skip: int
    decimal: str
    thousands: str | None
    nullValues: tuple[str, ...]

    @classmethod
    def of(cls, value: Json) -> Dialect:
        return cls(**{**value, "nullValues": tuple(value["nullValues"])})

    @property
    def grammar(self) -> Grammar:
        return Grammar(ord(self.delimiter), None if self.quote is None else ord(self.quote))

    @property
    def numbers(self) -> Numbers:
        return Numbers(self.decimal, self.thousands, self.nullValues)


@dataclass(frozen=True, slots=True)
class Body:
    """Where the records begin, and what the first line says of them."""

    names: tuple[str, ...]
    start: int
    line: int


def dialect_of(spec: Json) -> Dialect:
    """The dialect asked for, else the format's own."""
    options: Json = spec["options"]
    return Dialect(
        delimiter=options.get("delimiter") or ("\t" if spec["format"] == "tsv" else ","),
        quote=options.get("quote", '"'),
        encoding=options.get("encoding") or "utf-8",
        header=options.get("header", True),
        skip=options.get("skip", 0),
        decimal=options.get("decimal", "."),
        thousands=options.get("thousands"),
        nullValues=tuple(options.get("nullValues", [""])),
    )


def survey(context: Context, spec: Json, source: Source) -> Survey:
    """One pass over the whole file, in bounded memory."""
    dialect = dialect_of(spec)
    body = find_body(source, dialect)
    columns = settle(body.names, spec)
    digest = hashlib.sha256()
    deciding = _Deciding(columns, dialect, len(body.names))
    parts: list[Part] = []
    target = min(_LARGEST, max(_SMALLEST, source.size // 24))
    for run in runs(_hashed(source, digest, body.start), dialect.grammar, body.start, body.line, _RUN):
        context.progress(run.start)
        deciding.feed(run)
        _extend(parts, run, target)
    if not any(part.weight for part in parts):
        raise no_rows(source.name)
    return Survey(deciding.decided(), tuple(parts), asdict(dialect), digest.hexdigest())


def read(context: Context, spec: Json, payload: Json) -> Iterator[pa.Table]:
    """The rows of one part."""
    source = Source.of(context.store, spec)
    data = source.read(payload["start"], payload["bytes"])
    context.check()
    dialect, columns = Dialect.of(spec["dialect"]), columns_of(spec)
    in_file_order = sorted(columns, key=lambda column: column.index)
    reader = PartReader(in_file_order, dialect.grammar, dialect.encoding, dialect.numbers)
    table = reader.read(data, payload["line"])
    context.progress(len(data) // 2)
    if table.num_rows:
        yield table.select([column.name for column in columns])


def find_body(source: Source, dialect: Dialect) -> Body:
    """Skip what is to be skipped and read the header. BadInput for an empty file and for UTF-16."""
    head = source.read(0, _BLOCK)
    if not head:
        raise BadInput(f"The file {source.name!r} is empty; there is nothing to import.")
    if head[:2] in (b"\xff\xfe", b"\xfe\xff") or head[:200].count(0) > len(head[:200]) // 4:
        raise BadInput(f"The file {source.name!r} is UTF-16, which is not read yet; save it as UTF-8.")
    start = 3 if dialect.encoding == "utf-8" and head.startswith(b"\xef\xbb\xbf") else 0
    span = _first_record(head, start, dialect)
    if span is None and len(head) == _BLOCK:
        head = source.read(0, _HEAD)
        span = _first_record(head, start, dialect)
        if span is None and len(head) == _HEAD:
            raise BadInput(
                f"The first record of {source.name!r} is longer than {_HEAD >> 20} MB; check quote and skip."
            )
    first, end = span if span is not None else (_unskipped(head, start, dialect), len(head))
    record, line = head[first:end], 1 + count_lines(head[:first])
    cells = _cells(record, dialect, line)
    if not cells:
        raise BadInput(f"The file {source.name!r} has no header; there is nothing to import.")
    if dialect.header:
        return Body(tuple(cells), end, line + count_lines(record))
    return Body(tuple(f"column{n}" for n in range(1, len(cells) + 1)), first, line)


def _unskipped(head: bytes, start: int, dialect: Dialect) -> int:
    """Where the first line is that is neither skipped nor blank."""
    position = start
    for _ in range(dialect.skip):
        found = _LINE_END.search(head, position)
        position = found.end() if found else len(head)
    while (found := _LINE_END.match(head, position)) is not None:
        position = found.end()
    return position


def _first_record(head: bytes, start: int, dialect: Dialect) -> tuple[int, int] | None:
    """(start, end) of the first record that is not blank, None when it does not end in `head`."""
    first = _unskipped(head, start, dialect)
    rest = head[first:]
    flips = toggles(rest, dialect.grammar)
    for found in _LINE_END.finditer(rest):
        if not int(np.searchsorted(flips, found.start())) & 1:
            return (first, first + found.end())
    return None


def _cells(record: bytes, dialect: Dialect, line: int) -> list[str]:
    try:
        text = record.decode(dialect.encoding).strip("\r\n")
    except UnicodeDecodeError as error:
        raise BadInput(
            f"Line {line}: the header has byte 0x{record[error.start]:02x}, which is not {dialect.encoding}; "
            "set options.encoding, for example to 'cp1252'."
        ) from None
    quoting: dict[str, Any] = {"quotechar": dialect.quote} if dialect.quote else {"quoting": csv.QUOTE_NONE}
    rows = list(csv.reader([text], delimiter=dialect.delimiter, **quoting)) if text else []
    return rows[0] if rows else []


def _hashed(source: Source, digest: Any, start: int) -> Iterator[bytes]:
    """Every block into the digest; what comes after `start` to the caller."""
    position = 0
    for block in source.blocks(_BLOCK):
        digest.update(block)
        if position + len(block) > start:
            yield block[max(0, start - position) :]
        position += len(block)


def _extend(parts: list[Part], run: Run, target: int) -> None:
    """Add a run to the last part, or begin a new one when that is large enough."""
    if run.data[:1] in b"\r\n" and not run.data.strip(b"\r\n"):
        return  # blank lines at the end make no part of their own
    if parts and parts[-1].weight < target:
        last = parts.pop()
        size = run.start + len(run.data) - last.payload["start"]
        parts.append(Part({**last.payload, "bytes": size}, size))
        return
    payload = {"n": len(parts), "start": run.start, "bytes": len(run.data), "line": run.line}
    parts.append(Part(payload, len(run.data)))


class _Deciding:
    """The columns whose types the values decide, and what they may still be."""

    def __init__(self, columns: Sequence[SourceColumn], dialect: Dialect, width: int) -> None:
        self._columns = columns
        self._dialect = dialect
        self._names = [str(index) for index in range(width)]
        self._guesses = {
            column.index: Guess(dialect.numbers, decimal_only=column.type == SOME_DECIMAL)
            for column in columns
            if column.type in (UNDECIDED, SOME_DECIMAL)
        }

    def feed(self, run: Run) -> None:
        open_ = [str(index) for index, guess in self._guesses.items() if guess.open]
        if not open_:
            return
        data, encoding = run.data, self._dialect.encoding
        if encoding != "utf-8":
            data = data.decode(encoding, "replace").encode()
        table = pacsv.read_csv(
            pa.BufferReader(data),
            pacsv.ReadOptions(use_threads=False, column_names=self._names, block_size=len(data) + 1),
            pacsv.ParseOptions(
                delimiter=self._dialect.delimiter,
                quote_char=self._dialect.quote or False,
                newlines_in_values=True,
                invalid_row_handler=lambda row: "skip",
            ),
            pacsv.ConvertOptions(
                column_types=dict.fromkeys(open_, pa.string()),
                include_columns=open_,
                null_values=list(self._dialect.nullValues),
                strings_can_be_null=True,
                check_utf8=False,
            ),
        )
        for name in open_:
            for chunk in table[name].chunks:
                self._guesses[int(name)].feed(chunk)

    def decided(self) -> tuple[SourceColumn, ...]:
        """All columns with their types. BadInput for a decimal column that no decimal holds."""
        result = []
        for column in self._columns:
            guess = self._guesses.get(column.index)
            kind = column.type if guess is None else guess.decide()
            if kind is None:
                raise BadInput(
                    f"Column {column.source!r} has decimals of more than 38 digits; "
                    "give it type 'text' or 'float'."
                )
            result.append(column.typed(kind))
        return tuple(result)
