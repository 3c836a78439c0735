"""What of a table is table: where its header is, if it has one, what stands above it and what below.

Works on records that are split already, so Excel sheets and delimited text share it. Cells are text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

_NUMBER = re.compile(r"\s*[-+(]?[$£€]?\s*[-+]?(\d[\d.,'\u00a0 ]*|\.\d+)([eE][-+]?\d+)?\s*[%)]?\s*")
_DATE = re.compile(r"\s*\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ]\d.*)?\s*|\s*\d{1,2}:\d\d(:\d\d)?\s*")
_YEAR = re.compile(r"\s*(19|20)\d\d(\.0)?\s*")
_PREAMBLE = 60  # records that may stand above a header
_PROBE = 200

Row = Sequence[str]


@dataclass(frozen=True, slots=True)
class Layout:
    """`first` is the index of the header (of the first row where there is none), `rows` of the first row."""

    header: bool
    first: int
    rows: int
    names: tuple[str, ...]
    width: int


def find_layout(records: Sequence[Row], header: bool | None, skipped: bool, joined: bool = True) -> Layout:
    """The layout of the first records. With `skipped` the table begins at the first of them."""
    width = table_width(records)
    first = 0 if skipped else _first_of_table(records, width)
    top = tuple(records[first])
    below = [row for row in records[first + 1 : first + _PROBE] if len(row) >= min(width, len(top))]
    has_header = header if header is not None else _is_header(top, below)
    if not has_header:
        width = max(width, len(top))
        return Layout(False, first, first, tuple(f"column{n}" for n in range(1, width + 1)), width)
    rows = first + 1
    if header is None and joined and below and _is_second_header(top, below[0], below[1:]):
        top, rows = _joined(top, below[0]), first + 2
    names = top + ("",) * (width - len(top)) if _padded(width, len(top), below) else top
    return Layout(True, first, rows, names, len(names))


def table_width(records: Sequence[Row]) -> int:
    """The commonest width, by the later records rather than the first."""
    widths = Counter(len(row) for row in records[: _PREAMBLE * 5])
    return max(widths.items(), key=lambda item: (item[1] * (item[0] > 1 or len(widths) == 1), item[0]))[0]


def unique_names(names: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """Names that are there and differ, and a sentence for each that had to be made."""
    found: list[str] = []
    said: list[str] = []
    taken = {name.strip().lower() for name in names if name.strip()}
    seen: set[str] = set()
    for place, raw in enumerate(names, 1):
        name = re.sub(r"\s+", " ", raw).strip()
        if not name:
            name = _free(f"column{place}", taken | seen)
            said.append(f"Column {place} has no name in the file; it is called {name!r}.")
        elif name.lower() in seen:
            fresh = _free(name, taken | seen, 2)
            said.append(f"Column {place} is called {name!r} like one before it; it is called {fresh!r} here.")
            name = fresh
        seen.add(name.lower())
        found.append(name)
    return tuple(found), said


def footer_records(records: Sequence[Row], blank_before: Sequence[bool], width: int) -> int:
    """How many records at the end are notes, not rows.

    `blank_before[n]`: a blank line stands before record n.
    """
    count = 0
    for index in range(len(records) - 1, 0, -1):
        row = records[index]
        filled = [cell for cell in row if cell.strip()]
        note = len(filled) <= 1 and width > 2 and (not filled or _is_note(filled[0]))
        narrow = len(row) < width and len(filled) == 1 and _is_note(filled[0])
        if not (note or narrow or (len(row) < width and _blank_above(records, blank_before, index, width))):
            break
        count += 1
    return count or _words_below_values(records, width)


def _words_below_values(records: Sequence[Row], width: int) -> int:
    """Notes spread over cells: rows at the end without a value where the rows above have one."""
    start = max(1, len(records) - 10)
    above = records[:start] if start > 3 else records[: max(1, len(records) // 2)]
    typed = [n for n in range(width) if _mostly_typed([row[n] for row in above if n < len(row)])]
    count, words = 0, False
    for row in reversed(records[len(above) :]):
        cells = [row[n] for n in typed if n < len(row)]
        if len(typed) < 2 or any(_typed(cell) for cell in cells):
            break
        count, words = count + 1, words or any(cell.strip() for cell in cells)
    return count if words else 0


def repeats_header(records: Sequence[Row], layout: Layout) -> int | None:
    """The index of a record that begins a second table: a title or nothing, then a header over numbers."""
    rows = records[layout.rows :]
    if not layout.header or len(rows) < 3:
        return None
    kinds = [_mostly_typed([row[n] for row in rows if n < len(row)]) for n in range(layout.width)]
    for index in range(1, len(rows) - 1):
        row = rows[index]
        title = sum(1 for cell in rows[index - 1] if cell.strip()) <= 1
        typed = [n for n in range(min(len(row), layout.width)) if kinds[n]]
        if title and typed and len(row) > 1 and all(row[n].strip() and not _typed(row[n]) for n in typed):
            return layout.rows + index
    return None


def _first_of_table(records: Sequence[Row], width: int) -> int:
    """The first record that is as wide as the table and says more than a title."""
    for index, row in enumerate(records[:_PREAMBLE]):
        filled = sum(1 for cell in row if cell.strip())
        wide = len(row) == width or (len(row) >= width - 1 and len(row) > 1 and filled > 1)
        enough = (
            filled > 1
            or width == 1
            or (width == 2 and filled == 1 and not _title_above(records, index, width))
        )
        if wide and enough and (width < 5 or filled * 5 >= width or not _fuller_below(records, index, width)):
            return _named_below(records, index, width)
    return next((n for n, row in enumerate(records) if len(row) == width), 0)


def _named_below(records: Sequence[Row], index: int, width: int) -> int:
    """A first record with gaps may be a note: the header is then the fuller one that stands on values."""
    filled = sum(1 for cell in records[index] if cell.strip())
    for place in range(index, min(index + 15, len(records) - 1)):
        row, below = records[place], records[place + 1]
        if filled == width or any(map(_typed, row)):
            return index
        names = sum(1 for cell in row if cell.strip())
        if place > index and names > filled and len(row) == width and any(map(_typed, below)):
            return place
    return index


def _fuller_below(records: Sequence[Row], index: int, width: int) -> bool:
    """Is one of the next records a header that names nearly all columns?"""
    return any(
        len(row) == width
        and sum(1 for cell in row if cell.strip()) * 2 >= width
        and not any(map(_typed, row))
        for row in records[index + 1 : index + 4]
    )


def _title_above(records: Sequence[Row], index: int, width: int) -> bool:
    """In a table of two columns: is a row with one cell a title over rows with two?"""
    return any(
        all(cell.strip() for cell in row) and len(row) == width for row in records[index + 1 : index + 4]
    )


def _is_header(top: Row, below: Sequence[Row]) -> bool:
    """Names over values: not a header when the values below look the same as its cells."""
    if not below:
        return not any(_typed(cell) for cell in top)
    typed = [n for n in range(len(top)) if _mostly_typed([row[n] for row in below if n < len(row)])]
    same = [n for n in typed if _typed(top[n])]
    if not typed:
        return not any(_typed(cell) for cell in top if cell.strip())
    if not same:
        return any(top[n].strip() for n in typed) or sum(1 for cell in top if cell.strip()) * 2 >= len(top)
    if all(_YEAR.fullmatch(top[n]) for n in same) and len({top[n] for n in same}) == len(same):
        return any(
            not _YEAR.fullmatch(row[n]) for n in same for row in below if n < len(row) and row[n].strip()
        )
    return len(same) * 2 < len(typed)


def _is_second_header(top: Row, second: Row, below: Sequence[Row]) -> bool:
    """Do the second record's names fill the gaps of the first, which rows of values then do not?"""
    gaps = [n for n, cell in enumerate(top) if not cell.strip()]
    if len(gaps) * 4 < len(top) or len(second) != len(top) or len(below) < 2 or len(top) < 3:
        return False
    numeric = [n for n, cell in enumerate(second) if _typed(cell)]
    key = [
        n
        for n in range(len(top))
        if not second[n].strip() and _mostly_typed([row[n] for row in below if n < len(row)])
    ]
    return bool(key) and not numeric and all(second[n].strip() for n in gaps)


def _joined(top: Row, second: Row) -> tuple[str, ...]:
    """Question and answer: the first header carries on over its gaps."""
    names, group = [], ""
    for upper, lower in zip(top, second, strict=True):
        group = upper.strip() or group
        names.append(f"{group}: {lower.strip()}" if lower.strip() else group)
    return tuple(names)


def _padded(width: int, named: int, below: Sequence[Row]) -> bool:
    """Do the rows go on, by one, beyond the header?"""
    return width == named + 1 and sum(len(row) == width for row in below) * 2 > len(below)


def _mostly_typed(cells: Sequence[str]) -> bool:
    some = [cell for cell in cells if cell.strip()]
    return bool(some) and sum(map(_typed, some)) * 10 >= len(some) * 8


def _typed(cell: str) -> bool:
    return bool(_NUMBER.fullmatch(cell) or _DATE.fullmatch(cell)) or cell == "\\N"


def _is_note(cell: str) -> bool:
    return not _typed(cell) and len(cell.split()) > 2


def _blank_above(records: Sequence[Row], blank_before: Sequence[bool], index: int, width: int) -> bool:
    """Does something blank part this record from the rows above, with only narrow ones up to it?"""
    while index > 0 and len(records[index]) < width:
        if blank_before[index] or not any(cell.strip() for cell in records[index - 1]):
            return True
        index -= 1
    return False


def _free(name: str, taken: set[str], number: int = 0) -> str:
    tries = (f"{name}_{n}" for n in range(max(2, number), 10_000))
    first = [name] if not number else []
    return next(each for each in [*first, *tries] if each.lower() not in taken)
