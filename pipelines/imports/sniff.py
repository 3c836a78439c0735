"""How delimited text is written, found in its first bytes: delimiter, quote, escape.

Every pair of delimiter and quote reads the same sample; the one that gives rows of one width whose cells look
like values wins. Works on bytes as latin-1 text, so it can run before the encoding is known.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.errors import BadInput
from pipelines.imports.records import Grammar, record_starts, stray_closers, toggles

# how much each is trusted: a comma, a colon or a space comes up in ordinary text as well
_DELIMITERS = {
    "\t": 1.2,
    ";": 1.1,
    "|": 1.1,
    ",": 1.0,
    "||": 1.25,
    "::": 0.9,
    "~": 0.9,
    "^": 0.9,
    "\x1f": 1.2,
    "\x01": 1.2,
}
_WEAK = {":": 0.35, " ": 0.3}
_RECORDS = 300  # read of a sample by each candidate
_SAMPLE = 1 << 17
_VALUE = re.compile(
    r"[-+]?[$£€]?\(?\d[\d.,'\s%]*\)?|[-+]?[\d.,]+([eE][-+]?\d+)?|\d{1,4}[-/.:]\d{1,2}([-/.:]\d{1,4})?.{0,20}|"
    r"[\w .@#&()'’*+°/%<>=!?-]*",
    re.DOTALL,
)
_STANDIN = (
    "\x1f\x1e\x1d\x1c\x01\x02\x03\x04\x05\x06"  # one of these stands in for a delimiter of two characters
)


@dataclass(frozen=True, slots=True)
class Marks:
    """What separates, quotes and escapes. `quote` None: nothing quotes."""

    delimiter: str
    quote: str | None = '"'
    escape: str | None = None

    @property
    def grammar(self) -> Grammar:
        escape = None if self.escape is None else ord(self.escape)
        return Grammar(ord(self.delimiter), None if self.quote is None else ord(self.quote), escape)


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a sample: its bytes are [start, end), `line` counts from 0."""

    start: int
    end: int
    line: int
    cells: tuple[str, ...]

    @property
    def filled(self) -> int:
        return sum(1 for cell in self.cells if cell.strip())


def find_marks(sample: bytes, default: str, options: dict[str, Any]) -> Marks:
    """The marks of a sample, as far as `options` do not give them.

    `default` is the delimiter of a lone column.
    """
    given = options.get("delimiter")
    small = sample[:_SAMPLE]
    small = small[: small.rfind(b"\n") + 1] or small if len(small) < len(sample) else small
    best, top = Marks(given or default, options.get("quote", '"'), options.get("escape")), 0.0
    for delimiter, weight in ({given: 1.0} if given else {**_DELIMITERS, **_WEAK}).items():
        twofold = len(delimiter) == 2
        absent = twofold and (delimiter.encode("latin-1", "replace") not in small or _unused(small) is None)
        halved = not given and 0 < small.count(delimiter.encode()) == 2 * small.count(delimiter.encode() * 2)
        if absent or halved or delimiter == options.get("quote"):
            continue
        for quote, escape in _quotings(small, delimiter, options):
            marks = Marks(delimiter, quote, escape)
            score = weight * _score(small, marks)
            if score > top + 1e-9:
                best, top = marks, score
    if "quote" not in options and best.quote is not None and _quotes_are_letters(sample, best):
        best = Marks(best.delimiter, None)
    return best


def standin(sample: bytes, delimiter: str) -> str:
    """The one character that a delimiter of two is replaced by (itself for one)."""
    if len(delimiter) == 1:
        return delimiter
    found = _unused(sample)
    if found is None:
        raise BadInput(
            f"The delimiter {delimiter!r} has two characters, which cannot be read where a file holds every "
            "control character; it is probably no text."
        )
    return found


def _unused(sample: bytes) -> str | None:
    return next((each for each in _STANDIN if each.encode() not in sample), None)


def read_records(data: bytes, marks: Marks, limit: int = _RECORDS) -> list[Record]:
    """The first records of a sample, blank lines left out."""
    if len(marks.delimiter) == 2:
        mark = standin(data, marks.delimiter)
        data = data.replace(marks.delimiter.encode("latin-1"), mark.encode() * 2)  # offsets stay
        marks = Marks(mark, marks.quote, marks.escape)
        return [
            Record(each.start, each.end, each.line, tuple(each.cells[::2]))
            for each in read_records(data, marks, limit)
        ]
    starts = record_starts(data, marks.grammar)[: limit + 1].tolist()
    ends = [*starts[1:], len(data)] if len(starts) <= limit else starts[1:]
    found, line, position = [], 0, 0
    for start, end, text in zip(starts, ends, _texts(data, starts, ends), strict=False):
        line, position = line + _lines(data[position:start]), start
        found.append(Record(start, end, line, split_cells(text, marks)))
    return found


def split_cells(text: str, marks: Marks) -> tuple[str, ...]:
    """The cells of one record."""
    text = text.strip("\r\n")
    if marks.quote is None or (marks.quote not in text):
        return tuple(text.split(marks.delimiter))
    reader = csv.reader([text], delimiter=marks.delimiter, quotechar=marks.quote, escapechar=marks.escape)
    try:
        return tuple(cell for row in reader for cell in row)
    except csv.Error:
        return tuple(text.split(marks.delimiter))


def _texts(data: bytes, starts: Iterable[int], ends: Iterable[int]) -> Iterator[str]:
    return (data[start:end].decode("latin-1") for start, end in zip(starts, ends, strict=False))


def _lines(data: bytes) -> int:
    return data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n")


def _quotings(sample: bytes, delimiter: str, options: dict[str, Any]) -> list[tuple[str | None, str | None]]:
    """Quote and escape characters worth a try."""
    if "quote" in options:
        quotes: list[str | None] = [options["quote"]]
    else:
        quotes = ['"']
        mark = re.escape(delimiter.encode("latin-1", "replace"))
        single = re.findall(rb"(?:^|[\r\n]|%b)'(?:[^'\r\n]|'')*'(?=%b|[\r\n]|$)" % (mark, mark), sample)
        double = re.findall(rb'(?:^|[\r\n]|%b)"' % mark, sample)
        if len(single) > 1 and len(single) > len(double):
            quotes = ["'"]
    if "escape" in options:
        return [(quote, options["escape"]) for quote in quotes]
    return [
        (quote, escape)
        for quote in quotes
        for escape in (None, "\\")
        if escape is None or (quote is not None and f"\\{quote}".encode("latin-1") in sample)
    ]


def _score(sample: bytes, marks: Marks) -> float:
    """Rows of one width, of more than one cell, with cells like values: near 1. No row with two cells: 0."""
    records = read_records(sample, marks)
    rows = [record.cells for record in records]
    if not rows or max(map(len, rows)) < 2:
        return 0.0
    widths = Counter(len(row) for row in rows)
    # a preamble may be long: the share is that of rows with at least two cells, and a little of all
    width, count = max(widths.items(), key=lambda item: (item[1] * (item[0] > 1), item[0]))
    wide = sum(number for size, number in widths.items() if size > 1)
    if width < 2 or (marks.delimiter in _WEAK and (len(widths) > 1 or width < 3 or len(rows) < 3)):
        return 0.0
    share = (count / wide) * (0.4 + 0.6 * wide / len(rows))
    cells = [cell for row in rows if len(row) == width for cell in row][:3000]
    clean = sum(_clean(cell, marks) for cell in cells) / max(1, len(cells))
    return share * clean * (1 - 0.5 / width)


def _clean(cell: str, marks: Marks) -> float:
    if not cell:
        return 0.9
    if any(mark in cell for mark in "\t;|") or (cell[0] == cell[-1] == '"' and len(cell) > 1):
        return 0.2
    if cell[0] == '"' or cell[-1] == '"':
        return 0.5
    return 1.0 if _VALUE.fullmatch(cell) else 0.85


def _quotes_are_letters(sample: bytes, marks: Marks) -> bool:
    """Do quotes in the sample break more lines than they hold together?"""
    if len(marks.delimiter) == 2 or marks.quote is None:
        return False
    flips = toggles(sample, marks.grammar)
    strays = stray_closers(sample, flips, marks.grammar)
    if not len(strays) and not len(flips) & 1:
        return False
    mark, quote = re.escape(marks.delimiter.encode("latin-1")), re.escape(marks.quote.encode("latin-1"))
    needed = rb"(?:^|[\r\n]|%b)%b[^%b\r\n]*(?:%b|%b%b)[^%b\r\n]*%b(?=%b|[\r\n]|$)"
    held = len(re.findall(needed % (mark, quote, quote, mark, quote, quote, quote, quote, mark), sample))
    whole = rb"(?:^|[\r\n]|%b)%b[^%b\r\n]+%b(?=%b|[\r\n]|$)"
    plain = len(re.findall(whole % (mark, quote, quote, quote, mark), sample))
    broken = len(strays) + (len(flips) & 1)
    if broken > 4 and not held and _letters_everywhere(sample, marks, broken):
        return True
    return 1 < broken > held + plain


def _letters_everywhere(sample: bytes, marks: Marks, broken: int) -> bool:
    """Do all lines with a quote have the width of the others when quotes mean nothing?"""
    lines = [line for line in re.split(rb"[\r\n]+", sample[: sample.rfind(b"\n") + 1]) if line]
    delimiter, quote = marks.delimiter.encode("latin-1"), (marks.quote or "").encode("latin-1")
    width = Counter(line.count(delimiter) for line in lines[:2000]).most_common(1)[0][0]
    quoted = [line for line in lines if quote in line]
    return broken * 50 >= len(quoted) and all(line.count(delimiter) == width for line in quoted)


def widths_of(records: Sequence[Record]) -> Counter[int]:
    return Counter(len(record.cells) for record in records)
