"""One part of delimited text into columns of text; rows that do not conform are set aside with their line.

Arrow's reader splits the records. What it would let through is found before it runs and cut out: bytes that
are not of the encoding, text behind a closing quote, lines whose quote never closes. What a cell may be is
`typed`'s business.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from pipelines.errors import BadInput
from pipelines.imports.records import Grammar, record_starts, stray_closers, toggles
from pipelines.imports.rejects import Reject, cut


@dataclass(frozen=True, slots=True)
class Place:
    """A bad record: its offset in the part as read, how long it is, what is wrong."""

    start: int
    length: int
    reason: str


@dataclass
class TextPart:
    """The conforming records as text columns named "0", "1"...; `rejects` are the others."""

    table: pa.Table
    rejects: list[Reject]
    _where: _Where

    def reject(self, rows: npt.NDArray[np.int64], reasons: Sequence[str]) -> list[Reject]:
        """Rows of the table as rejects."""
        return self._where.of_rows(rows, reasons)


@dataclass(frozen=True)
class TextReader:
    """Reads parts of one file. `width` is how many cells a record has; `nulls` are words for missing."""

    grammar: Grammar
    encoding: str
    width: int
    nulls: tuple[str, ...] = ("",)
    standin: str | None = None  # what `grammar.delimiter` stands in for

    def read(self, data: bytes, line: int, broken: Sequence[Sequence[int]] = ()) -> TextPart:
        """The records of `data`, which begins on `line` of its file.

        `broken` are (offset, length) to leave out.
        """
        bad = [Place(start, length, "the quote that opens here is never closed") for start, length in broken]
        clean, cuts = _without(data, bad)
        more = self._malformed(clean)
        if more:
            bad = sorted([*bad, *(_moved(each, cuts) for each in more)], key=lambda each: each.start)
            clean, cuts = _without(data, bad)
        text = clean if self.encoding == "utf-8" else clean.decode(self.encoding).encode()
        where = _Where(self, data, clean, text, line, bad, cuts)
        table = self._split(text, where)
        if self.standin is not None:
            table = _restored(table, chr(self.grammar.delimiter), self.standin)
        return TextPart(table, where.rejects(), where)

    def _malformed(self, data: bytes) -> list[Place]:
        """Records with a quote that closes too early, or with bytes that are not of the encoding."""
        flips = toggles(data, self.grammar)
        strays = stray_closers(data, flips, self.grammar)
        undecodable = self._undecodable(data)
        if not len(strays) and not len(undecodable):
            return []
        starts = record_starts(data, self.grammar)
        found: dict[int, str] = {}
        for offset in undecodable:
            record = int(np.searchsorted(starts, offset, side="right")) - 1
            said = f"byte 0x{data[offset]:02x} is not {self.encoding}; options.encoding may name another"
            found.setdefault(record, said)
        for offset in strays.tolist():
            record = int(np.searchsorted(starts, offset, side="right")) - 1
            found.setdefault(record, "text after a closing quote")
        ends = np.append(starts[1:], len(data))
        return [Place(int(starts[n]), int(ends[n] - starts[n]), found[n]) for n in sorted(found) if n >= 0]

    def _undecodable(self, data: bytes) -> list[int]:
        """The first bad byte of each line that has one."""
        if data.isascii():
            return []
        try:
            data.decode(self.encoding)
            return []
        except UnicodeDecodeError:
            pass
        found, position = [], 0
        for piece in re.split(rb"(?<=[\r\n])", data):
            if not piece.isascii():
                try:
                    piece.decode(self.encoding)
                except UnicodeDecodeError as error:
                    found.append(position + error.start)
            position += len(piece)
        return found

    def _split(self, text: bytes, where: _Where) -> pa.Table:
        names = [str(index) for index in range(self.width)]
        if not text.strip(b"\r\n"):
            return pa.table({name: pa.array([], pa.string()) for name in names})

        def reject(row: Any) -> str:
            where.wrong_width(row.number - 1, row.actual_columns, row.expected_columns)
            return "skip"

        try:
            return pacsv.read_csv(
                pa.BufferReader(text),
                pacsv.ReadOptions(use_threads=False, column_names=names, block_size=len(text) + 1),
                pacsv.ParseOptions(
                    delimiter=chr(self.grammar.delimiter),
                    quote_char=False if self.grammar.quote is None else chr(self.grammar.quote),
                    escape_char=False if self.grammar.escape is None else chr(self.grammar.escape),
                    newlines_in_values=self.grammar.quote is not None,
                    invalid_row_handler=reject,
                ),
                pacsv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()),
                    null_values=list(self.nulls),
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,  # "" is an empty text, nothing is a missing one
                    check_utf8=False,
                ),
            )
        except pa.ArrowInvalid as error:
            raise BadInput(f"The file is not readable as delimited text: {error}") from error


@dataclass
class _Where:
    """Knows the way back from a row of the table to its line and raw text. Costs nothing until asked."""

    reader: TextReader
    data: bytes
    clean: bytes
    text: bytes
    line: int
    bad: list[Place]
    cuts: npt.NDArray[np.int64]
    _wrong: dict[int, str] = field(default_factory=dict)
    _starts: npt.NDArray[np.int64] | None = None
    _ends: npt.NDArray[np.int64] | None = None

    def wrong_width(self, record: int, found: int, expected: int) -> None:
        self._wrong[record] = f"{_count(found, 'value')} for {_count(expected, 'column')}"

    def rejects(self) -> list[Reject]:
        found = [self._reject(each.start, each.start + each.length, each.reason) for each in self.bad]
        found += [self._of_record(record, reason) for record, reason in self._wrong.items()]
        return found

    def of_rows(self, rows: npt.NDArray[np.int64], reasons: Sequence[str]) -> list[Reject]:
        wrong = np.array(sorted(self._wrong), np.int64)
        before = wrong - np.arange(len(wrong))  # good rows before each record left out
        records = rows + np.searchsorted(before, rows, side="right")
        return [self._of_record(int(n), reason) for n, reason in zip(records, reasons, strict=True)]

    def _of_record(self, record: int, reason: str) -> Reject:
        if self._starts is None:
            self._starts = record_starts(self.clean, self.reader.grammar)
        start = int(self._starts[record])
        end = int(self._starts[record + 1]) if record + 1 < len(self._starts) else len(self.clean)
        first = start + int(_shift(start, self.cuts))
        return self._reject(first, first + end - start, reason)

    def _reject(self, start: int, end: int, reason: str) -> Reject:
        if self._ends is None:
            array = np.frombuffer(self.data, np.uint8)
            after = np.append(array[1:], np.uint8(0))
            self._ends = np.flatnonzero((array == 10) | ((array == 13) & (after != 10)))
        line = self.line + int(np.searchsorted(self._ends, start))
        raw = self.data[start:end].decode(self.reader.encoding, "replace")
        if self.reader.standin is not None:
            raw = raw.replace(chr(self.reader.grammar.delimiter), self.reader.standin)
        return Reject(line, reason, raw)


def _restored(table: pa.Table, mark: str, delimiter: str) -> pa.Table:
    """Quoted cells hold the delimiter itself: give them its own two characters back."""
    return pa.table({name: pc.replace_substring(table[name], mark, delimiter) for name in table.column_names})


def _without(data: bytes, bad: Sequence[Place]) -> tuple[bytes, npt.NDArray[np.int64]]:
    """The data without the bad records; for each (its offset in what is left, bytes left out so far)."""
    if not bad:
        return data, np.empty((0, 2), np.int64)
    pieces, cuts, position, gone = [], [], 0, 0
    for each in bad:
        pieces.append(data[position : each.start])
        position = each.start + each.length
        cuts.append((each.start - gone, gone + each.length))
        gone += each.length
    pieces.append(data[position:])
    return b"".join(pieces), np.array(cuts, np.int64)


def _moved(place: Place, cuts: npt.NDArray[np.int64]) -> Place:
    return Place(place.start + int(_shift(place.start, cuts)), place.length, place.reason)


def _shift(offset: int, cuts: npt.NDArray[np.int64]) -> int:
    """How many bytes were left out before an offset of what is left."""
    index = int(np.searchsorted(cuts[:, 0], offset, side="right"))
    return int(cuts[index - 1, 1]) if index else 0


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


__all__ = ["Place", "TextPart", "TextReader", "cut"]
