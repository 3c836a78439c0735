"""Where records of delimited text begin and end: exact for quotes, and the same as Arrow's reader sees it.

A quote opens a field only at the field's start; inside, two in a row are one; elsewhere it is a letter.
Text with regular quotes is handled by parity of whole arrays; a block with a stray quote walks its quotes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.errors import BadInput

_LONGEST = 256 << 20  # bytes of one record; more is an unbalanced quote

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Grammar:
    """What delimits and quotes, as bytes; `quote` is None when quoting is off."""

    delimiter: int
    quote: int | None

    @property
    def starts(self) -> npt.NDArray[np.bool_]:
        """By byte: may a quote after it open a field? (After a quote it is the second of a doubled one.)"""
        table = np.zeros(256, np.bool_)
        table[[self.delimiter, 10, 13]] = True
        return table


@dataclass(frozen=True, slots=True)
class Run:
    """Whole records in a row. `start` is their byte offset, `line` the 1-based line they begin on."""

    start: int
    line: int
    data: bytes


def toggles(block: bytes, grammar: Grammar, inside: bool = False) -> Positions:
    """Positions of quotes that enter or leave a quoted field. The block begins after a line end."""
    if grammar.quote is None:
        return np.empty(0, np.int64)
    array = np.frombuffer(block, np.uint8)
    quotes = np.flatnonzero(array == grammar.quote)
    openers = quotes[1 if inside else 0 :: 2]
    openers = openers[1:] if len(openers) and openers[0] == 0 else openers
    allowed = grammar.starts
    allowed[grammar.quote] = True
    if allowed[array[openers - 1]].all():
        return quotes
    return _walk(array, quotes, grammar, inside)


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

    `start` and `line` say where the text begins in its file. BadInput for a quote that is never closed.
    """
    held: list[bytes] = []
    length, lines, inside, opened = 0, 0, False, line
    for block in _line_blocks(blocks):
        flips = toggles(block, grammar, inside)
        if len(flips) & 1:
            inside = not inside
            if inside:
                opened = line + lines + count_lines(block[: int(flips[-1])])
        held.append(block)
        length, lines = length + len(block), lines + count_lines(block)
        if inside and length > _LONGEST:
            raise _unclosed(opened)
        if not inside and length >= size:
            yield Run(start, line, b"".join(held))
            held, start, line, length, lines = [], start + length, line + lines, 0, 0
    if inside:
        raise _unclosed(opened)
    if held:
        yield Run(start, line, b"".join(held))


def _unclosed(line: int) -> BadInput:
    return BadInput(
        f"The quote that opens on line {line} is never closed; close it, "
        "or set options.quote to null when the file has no quoting."
    )


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
    ends = ends[(np.searchsorted(toggles(text, grammar), ends) & 1) == 0]
    starts = np.concatenate([np.zeros(1, np.int64), ends + 1])
    starts = starts[starts < len(array)]
    return starts[~np.isin(array[starts], (10, 13))]
