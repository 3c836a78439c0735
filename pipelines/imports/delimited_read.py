"""One part of delimited text into a table: Arrow's typed reader first, cell by cell only where it stumbles.

A bad row ends the import; the error names the first one of the part in file order, by physical line, column
and value. What a cell may be is `convert`'s.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from pipelines.errors import BadInput
from pipelines.imports.convert import FALSE, TRUE, Numbers, convert, in_range
from pipelines.imports.records import Grammar, count_lines, record_starts
from pipelines.imports.survey import SourceColumn

_CACHED = 1 << 18
_COLUMN = re.compile(r"In CSV column #(\d+)")
_TRUE = [form for word in TRUE for form in {word, word.upper(), word.title()}]
_FALSE = [form for word in FALSE for form in {word, word.upper(), word.title()}]


class _NotUtf8(Exception):
    """Some text column holds bytes that are not UTF-8."""


@dataclass(frozen=True, slots=True)
class Bad:
    """A bad row: its record (0-based within the part), the column if one is to blame, what is wrong."""

    record: int
    column: str | None
    detail: str


@dataclass
class PartReader:
    """Reads parts of one file. `columns` are all of the file's, in file order."""

    columns: Sequence[SourceColumn]
    grammar: Grammar
    encoding: str
    numbers: Numbers
    _exact: set[int] = field(default_factory=set)  # columns read as text and converted cell by cell

    def read(self, data: bytes, line: int) -> pa.Table:
        """The records of `data`, which begins on `line` of its file. BadInput for the first bad one."""
        try:
            text = data if self.encoding == "utf-8" else data.decode(self.encoding).encode()
            return self._rows(text, line)
        except UnicodeDecodeError as error:
            broken = error.start
        except _NotUtf8:
            broken = _first_not_utf8(data)
        starts = record_starts(data, self.grammar)
        record = int(starts[starts <= broken][-1])
        if record:
            self._rows(data[:record].decode(self.encoding).encode(), line)  # an earlier bad row comes first
        self._undecodable(data, record, broken, line)

    def _rows(self, text: bytes, line: int) -> pa.Table:
        self._exact = {each.index for each in self.columns if not _arrow_reads(each, self.numbers)}
        integers = {each.index for each in self.columns if each.type == "integer"}
        if integers and _may_hold_hexadecimal(text):
            self._exact |= integers
        table, bad = self._parse(text)
        skipped = np.array(sorted(each.record for each in bad), np.int64)
        arrays = []
        for column in self.columns:
            array = _one(table[str(column.index)])
            if column.index in self._exact:
                values, failed = convert(array, column.target, self.numbers)
                if failed is not None:
                    complaint = column.target.complaint(cut(array[failed].as_py()))
                    bad.append(Bad(_record_of(failed, skipped), column.source, complaint))
                    continue
                array = values
            arrays.append(array)
        if bad:
            raise self._located(text, line, min(bad, key=lambda each: each.record))
        return pa.Table.from_arrays(arrays, names=[column.name for column in self.columns])

    def _parse(self, text: bytes) -> tuple[pa.Table, list[Bad]]:
        """All well-formed records, and the rows of a wrong width. Columns Arrow cannot read become exact."""
        while True:
            bad: list[Bad] = []
            try:
                table = self._read_csv(text, bad)
            except pa.ArrowInvalid as error:
                found = _COLUMN.search(str(error))
                if found is None:
                    raise BadInput(f"The file is not readable as delimited text: {error}") from error
                if int(found[1]) in self._exact:
                    raise _NotUtf8 from error
                self._exact.add(int(found[1]))
                continue
            doubtful = {
                column.index
                for column in self.columns
                if column.index not in self._exact and _doubtful(table[str(column.index)])
            }
            if not doubtful:
                return table, bad
            self._exact |= doubtful

    def _read_csv(self, text: bytes, bad: list[Bad]) -> pa.Table:
        def reject(row: Any) -> str:
            found = f"{_count(row.actual_columns, 'value')} for {_count(row.expected_columns, 'column')}"
            bad.append(Bad(row.number - 1, None, f"{found} in {cut(row.text)!r}"))
            return "skip"

        types = {
            str(column.index): pa.string() if column.index in self._exact else column.target.arrow
            for column in self.columns
        }
        return pacsv.read_csv(
            pa.BufferReader(text),
            pacsv.ReadOptions(use_threads=False, column_names=list(types), block_size=len(text) + 1),
            pacsv.ParseOptions(
                delimiter=chr(self.grammar.delimiter),
                quote_char=False if self.grammar.quote is None else chr(self.grammar.quote),
                newlines_in_values=self.grammar.quote is not None,
                invalid_row_handler=reject,
            ),
            pacsv.ConvertOptions(
                column_types=types,
                null_values=list(self.numbers.nulls),
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,  # "" is an empty text, nothing is a missing one
                true_values=_TRUE,
                false_values=_FALSE,
            ),
        )

    def _located(self, text: bytes, line: int, bad: Bad) -> BadInput:
        start = int(record_starts(text, self.grammar)[bad.record])
        where = f"Line {line + count_lines(text[:start])}"
        if bad.column is None:
            return BadInput(
                f"{where}: {bad.detail}; correct the row, or check delimiter and quote in the options."
            )
        return BadInput(
            f"{where}, column {bad.column!r}: {bad.detail}; "
            "correct the value or give the column another type in options.columns."
        )

    def _undecodable(self, data: bytes, record: int, broken: int, line: int) -> NoReturn:
        before = data[record:broken].decode("latin-1")
        quoting: dict[str, Any] = (
            {"quoting": csv.QUOTE_NONE}
            if self.grammar.quote is None
            else {"quotechar": chr(self.grammar.quote)}
        )
        cells = next(csv.reader([before + "x"], delimiter=chr(self.grammar.delimiter), **quoting))
        column = self.columns[min(len(cells), len(self.columns)) - 1]
        value = cells[-1][:-1] + data[broken : broken + 20].decode(self.encoding, "replace").splitlines()[0]
        raise BadInput(
            f"Line {line + count_lines(data[:record])}, column {column.source!r}: "
            f"byte 0x{data[broken]:02x} in {cut(value)!r} is not {self.encoding}; "
            f"set options.encoding, for example to {'cp1252' if self.encoding == 'utf-8' else 'latin-1'!r}."
        )


def cut(value: str | None) -> str:
    """A value short enough for a message."""
    text = value or ""
    return text if len(text) <= 80 else text[:79] + "…"


def _record_of(row: int, skipped: npt.NDArray[np.int64]) -> int:
    """The record behind a row of the table, when some records were left out."""
    before = skipped - np.arange(len(skipped))  # good rows before each record left out
    return row + int(np.searchsorted(before, row, side="right"))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _arrow_reads(column: SourceColumn, numbers: Numbers) -> bool:
    """Does Arrow's own reader of this type take what the column may hold?"""
    if column.format is not None:
        return False
    return numbers.plain or not column.type.startswith(("integer", "float", "decimal"))


def _may_hold_hexadecimal(text: bytes) -> bool:
    """Is there a 0x, which Arrow takes for a number? Block by block, so that temporaries stay in cache."""
    array = np.frombuffer(text, np.uint8)
    for start in range(0, len(array), _CACHED):
        marks = np.flatnonzero((array[start : start + _CACHED] | 0x20) == ord("x")) + start
        if (array[marks[marks > 0] - 1] == ord("0")).any():
            return True
    return False


def _doubtful(values: Any) -> bool:
    """Did Arrow's reader let through what only a closer look can judge?"""
    if pa.types.is_floating(values.type):
        return bool(pc.any(pc.is_inf(values)).as_py())
    return not in_range(values)


def _one(column: Any) -> pa.Array:
    return (
        column.chunk(0)
        if column.num_chunks == 1
        else pa.concat_arrays(column.chunks or [column.combine_chunks()])
    )


def _first_not_utf8(data: bytes) -> int:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.start
    raise AssertionError("Arrow and Python disagree on UTF-8")
