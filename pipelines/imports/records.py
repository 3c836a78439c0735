"""Where records of delimited text begin and end: exact for quotes, and the same as Arrow's reader sees it.

A quote opens a field only at the field's start; inside, two in a row are one (or one behind the escape
character); elsewhere it is a letter. Text with regular quotes is handled by parity of whole arrays; a block
with a stray quote walks its quotes. A quote that never closes spoils its own line, not the rest of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.errors import BadInput

_LONGEST = 64 << 20  # bytes of one line; more is no delimited text
_LONGEST_CELL = 4 << 20  # bytes a quoted cell may run over; more is a quote that nobody closed
_UNCLOSED = 1_000  # more quotes than this that never close: the dialect is wrong

_LINE_END = re.compile(rb"\r\n|\n|\r")

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Grammar:
    """What delimits, quotes and escapes, as bytes; `quote` is None when quoting is off."""

    delimiter: int
    quote: int | None
    escape: int | None = None

    @property
    def starts(self) -> npt.NDArray[np.bool_]:
        """By byte: may a quote after it open a field? (After a quote it is the second of a doubled one.)"""
        table = np.zeros(256, np.bool_)
        table[[self.delimiter, 10, 13]] = True
        return table


@dataclass(frozen=True, slots=True)
class Run:
    """Whole records in a row. `start` is their byte offset, `line` the 1-based line they begin on.

    `broken` are the lines in it, (offset, length) within `data`, whose quote is never closed.
    """

    start: int
    line: int
    data: bytes
    broken: tuple[tuple[int, int], ...] = ()


def toggles(block: bytes, grammar: Grammar, inside: bool = False) -> Positions:
    """Positions of quotes that enter or leave a quoted field. The block begins after a line end."""
    if grammar.quote is None or bytes([grammar.quote]) not in block:
        return np.empty(0, np.int64)
    array = np.frombuffer(block, np.uint8)
    quotes = np.flatnonzero(array == grammar.quote)
    if grammar.escape is not None:
        quotes = _unescaped(block, array, quotes, grammar.escape)
    openers = quotes[1 if inside else 0 :: 2]
    openers = openers[1:] if len(openers) and openers[0] == 0 else openers
    allowed = grammar.starts
    allowed[grammar.quote] = True
    if allowed[array[openers - 1]].all():
        return quotes
    return _walk(array, quotes, grammar, inside)


def _unescaped(block: bytes, array: npt.NDArray[np.uint8], quotes: Positions, escape: int) -> Positions:
    """The quotes that no escape character takes away (two of those are one of it)."""
    mark = bytes([escape])
    keep = np.ones(len(quotes), np.bool_)
    for index in np.flatnonzero((quotes > 0) & (array[quotes - 1] == escape)).tolist():
        before = block[max(0, int(quotes[index]) - 64) : int(quotes[index])]
        keep[index] = (len(before) - len(before.rstrip(mark))) % 2 == 0
    return quotes[keep]


def _walk(array: npt.NDArray[np.uint8], quotes: Positions, grammar: Grammar, inside: bool) -> Positions:
    opens = (quotes == 0) | grammar.starts[array[quotes - 1]]
    doubled = np.diff(quotes, append=-1) == 1
    found: list[int] = []
    skip = False
    for position, may_open, has_twin in zip(quotes.tolist(), opens.tolist(), doubled.tolist(), strict=True):
        if skip:
            skip = False
        elif inside and has_twin:
            skip = True
        elif inside or may_open:
            inside = not inside
            found.append(position)
    return np.array(found, np.int64)


def count_lines(block: bytes) -> int:
    """Line ends of any kind: LF, CR LF, CR."""
    feeds = int(np.count_nonzero(np.frombuffer(block, np.uint8) == 10))
    if b"\r" not in block:
        return feeds
    return feeds + block.count(b"\r") - block.count(b"\r\n")


def runs(blocks: Iterable[bytes], grammar: Grammar, start: int, line: int, size: int) -> Iterator[Run]:
    """The text cut at record boundaries into runs of at least `size` bytes (but for the last).

    `start` and `line` say where the text begins in its file. BadInput when nearly every quote is unclosed.
    """
    cutter = _Cutter(grammar, start, line)
    for block in _line_blocks(blocks):
        cutter.feed(block, final=False)
        if cutter.size >= size:
            yield cutter.take()
    cutter.feed(b"", final=True)
    if cutter.size:
        yield cutter.take()


class _Cutter:
    """Holds what is cut and what is still open: `_open` begins at a record whose quote waits to be closed."""

    def __init__(self, grammar: Grammar, start: int, line: int) -> None:
        self._grammar, self._start, self._line = grammar, start, line
        self._held: list[bytes] = []
        self._broken: list[tuple[int, int]] = []
        self._open = b""
        self._unclosed = 0
        self.size = 0

    def feed(self, block: bytes, *, final: bool) -> None:
        rest = self._open + block if self._open else block
        self._open = b""
        while rest:
            flips = toggles(rest, self._grammar)
            opener, closer = _first_unsound(rest, flips, self._grammar)
            if opener is None:
                self._keep(rest)
                return
            first = _record_start(rest, flips, opener)
            if closer is None and not final and len(rest) - opener <= _LONGEST_CELL:
                self._keep(rest[:first])
                self._open = rest[first:]
                return
            found = _LINE_END.search(rest, opener)
            end = found.end() if found else len(rest)
            self._keep(rest[:first])
            self._reject(rest[first:end])
            rest = rest[end:]

    def take(self) -> Run:
        data = b"".join(self._held)
        run = Run(self._start, self._line, data, tuple(self._broken))
        self._start, self._line = self._start + len(data), self._line + count_lines(data)
        self._held, self._broken, self.size = [], [], 0
        return run

    def _keep(self, data: bytes) -> None:
        if data:
            self._held.append(data)
            self.size += len(data)

    def _reject(self, data: bytes) -> None:
        self._unclosed += 1
        if self._unclosed > _UNCLOSED:
            line = self._line + sum(count_lines(each) for each in self._held)
            raise BadInput(
                f"The quote that opens on line {line} is never closed, like {_UNCLOSED:,} before it; "
                "set options.quote to null when the file has no quoting."
            )
        self._broken.append((self.size, len(data)))
        self._keep(data)


def _first_unsound(data: bytes, flips: Positions, grammar: Grammar) -> tuple[int | None, int | None]:
    """(opener, closer) of the first cell that runs over a line end into text; no closer: still open."""
    if not len(flips):
        return None, None
    for closer in stray_closers(data, flips, grammar).tolist():
        opener = int(flips[int(np.searchsorted(flips, closer)) - 1])
        if _LINE_END.search(data, opener, closer):
            return opener, closer
    return (int(flips[-1]), None) if len(flips) & 1 else (None, None)


def stray_closers(data: bytes, flips: Positions, grammar: Grammar) -> Positions:
    """The closing quotes after which the cell goes on."""
    array = np.frombuffer(data, np.uint8)
    closers = flips[1::2]
    inner = closers[closers + 1 < len(array)]
    allowed = grammar.starts
    allowed[grammar.quote or 0] = True  # the first of a doubled one
    return inner[~allowed[array[inner + 1]]]


def _record_start(data: bytes, flips: Positions, opener: int) -> int:
    """Where the record of an opening quote begins."""
    index = int(np.searchsorted(flips, opener))
    while True:
        before = int(flips[index - 1]) if index else -1
        found = max(data.rfind(b"\n", before + 1, opener), data.rfind(b"\r", before + 1, opener))
        if found >= 0:
            return found + 1
        if not index:
            return 0
        index -= 2
        opener = int(flips[index])


def _line_blocks(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, cut after line ends (so no doubled quote and no line end is torn)."""
    rest: list[bytes] = []
    held, newline = 0, b""
    for block in blocks:
        newline = newline or (b"\n" if b"\n" in block or b"\r" not in block else b"\r")
        cut = block.rfind(newline) + 1
        if cut == len(block) and newline == b"\r":
            cut = block.rfind(newline, 0, cut - 1) + 1  # its LF may be in the next block
        if not cut:
            rest.append(block)
            held += len(block)
            if held > _LONGEST:
                raise BadInput(f"The file has no line end in {_LONGEST >> 20} MB; is it delimited text?")
            continue
        yield b"".join([*rest, block[:cut]])
        rest, held = [block[cut:]], len(block) - cut
    if held:
        yield b"".join(rest)


def record_starts(text: bytes, grammar: Grammar) -> Positions:
    """Byte offset of every record that is not a blank line; `text` begins at a record."""
    array = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero((array == 10) | (array == 13))
    flips = toggles(text, grammar)
    if len(flips):
        ends = ends[(np.searchsorted(flips, ends) & 1) == 0]
    starts = np.concatenate([np.zeros(1, np.int64), ends + 1])
    starts = starts[starts < len(array)]
    return starts[~np.isin(array[starts], (10, 13))]
