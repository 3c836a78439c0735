"""Excel workbooks: one sheet, its header found, its cells as text that keeps their values.

calamine holds a whole sheet in memory, so all of it runs in the capped child; what the file claims to hold is
checked before anything is opened.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from typing import IO, Any

from pipelines.child import guarded
from pipelines.errors import BadInput, nearest
from pipelines.imports import spool
from pipelines.imports.layout import find_layout, footer_records, unique_names
from pipelines.imports.source import Source
from pipelines.imports.spool import Cell, Spool
from pipelines.imports.survey import Survey
from pipelines.imports.unpack import FREE, RATIO
from pipelines.plan import Json
from pipelines.run import Context
from pipelines.store import open_store

_HEAD = 300  # rows the layout is found in
_ENTITY = re.compile(rb"<!(DOCTYPE|ENTITY)", re.IGNORECASE)
_CELLS = 200_000_000  # of one sheet: what Excel itself can hardly save

read = spool.read


def survey(context: Context, spec: Json, source: Source) -> Survey:
    """The chosen sheet's rows into the spool, in a child."""
    given = spool.argument(context, source, spec["options"])
    told = guarded(context, "pipelines.imports.workbook:convert", given, source.name, source.size)
    return spool.surveyed(context.store, told, told["dialect"], told["warnings"])


def convert(argument: Json) -> Json:
    """Runs in the child: the rows of one sheet into the spool."""
    store, options = open_store(argument["store"]), argument["options"]
    source = Source(argument["name"], store, argument["source"].get("store"), argument["source"].get("file"))
    with source.open() as file:
        _check_package(source, file)
        file.seek(0)
        book = _opened(source, file)
        name, said = _sheet_name(source, book, options.get("sheet"))
        sheet = _sheet(source, book, name)
        first = (sheet.start or (0, 0))[0] + 1
        rows = list(_filled_rows(sheet.iter_rows(), first))
    if not rows:
        raise BadInput(f"Sheet {name!r} of {source.name!r} is empty; there is nothing to import.")
    skip = options.get("skip", 0)
    rows = [row for row in rows if row[0] > skip]
    return _spooled(Spool(store, argument["prefix"]), source, name, rows, options, said)


def _spooled(
    target: Spool, source: Source, sheet: str, rows: Sequence[Any], options: Json, said: list[str]
) -> Json:
    if not rows:
        raise BadInput(
            f"Sheet {sheet!r} of {source.name!r} has no row after options.skip; there is nothing to import."
        )
    width = max(len(cells) for _, cells in rows[:_HEAD])
    head = [tuple(_shown(cell) for cell in cells) for _, cells in rows[:_HEAD]]
    layout = find_layout(head, options.get("header"), "skip" in options)
    tail = [tuple(_shown(cell) for cell in cells) for _, cells in rows[layout.rows :][-60:]]
    numbers = [number for number, _ in rows[layout.rows :][-60:]]
    blank = [n > 0 and numbers[n] > numbers[n - 1] + 1 for n in range(len(numbers))]
    footer = options.get("footer", footer_records(tail, blank, width))
    names, made = unique_names(layout.names)
    target.name(names)
    body = rows[layout.rows : len(rows) - footer]
    for number, cells in body:
        target.row(number, {name: _cell(cell) for name, cell in zip(names, cells, strict=False)})
    above = [f"{layout.first} row(s) above the header left out."] if layout.first else []
    below = [f"{footer} row(s) below the table left out as notes."] if footer else []
    header_row = rows[layout.first][0] if layout.header else None
    dialect = {"sheet": sheet, "header": layout.header, "headerRow": header_row, "footer": footer}
    return {**target.close(), "dialect": dialect, "warnings": [*said, *above, *below, *made]}


def _filled_rows(rows: Iterator[list[Any]], first: int) -> Iterator[tuple[int, list[Any]]]:
    """(row number, cells) of the rows that are not blank."""
    for number, cells in enumerate(rows, first):
        if any(cell != "" for cell in cells):
            yield number, cells


def _check_package(source: Source, file: IO[bytes]) -> None:
    """What a zip claims, and XML that defines entities of its own, before a parser sees it."""
    if file.read(4) != b"PK\x03\x04":
        return
    try:
        archive = zipfile.ZipFile(file)
        claimed = sum(each.file_size for each in archive.infolist())
        if claimed > max(FREE, RATIO * source.size):
            raise BadInput(
                f"The file {source.name!r} unpacks to more than {RATIO} times its size; it is refused "
                "as a bomb."
            )
        for each in archive.infolist():
            if each.filename.endswith((".xml", ".rels")):
                with archive.open(each) as member:
                    if _ENTITY.search(member.read(4096)):
                        raise BadInput(
                            f"The file {source.name!r} defines XML entities, which no workbook needs; "
                            "it is refused."
                        )
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, NotImplementedError) as error:
        raise _unreadable(source, error) from error


def _opened(source: Source, file: IO[bytes]) -> Any:
    import python_calamine

    try:
        return python_calamine.CalamineWorkbook.from_filelike(file)
    except (python_calamine.CalamineError, OSError, ValueError) as error:
        raise _unreadable(source, error) from error


def _sheet_name(source: Source, book: Any, wanted: str | int | None) -> tuple[str, list[str]]:
    """The sheet asked for, else the first visible one that has cells; and what to say of the others."""
    names: list[str] = list(book.sheet_names)
    if isinstance(wanted, int):
        if not 1 <= wanted <= len(names):
            raise BadInput(
                f"The file {source.name!r} has {len(names)} sheets, not a sheet {wanted}; the first is 1."
            )
        return names[wanted - 1], []
    if wanted is not None:
        if wanted not in names:
            raise BadInput(f"The file {source.name!r} has no sheet {wanted!r}{nearest(wanted, names)}")
        return wanted, []
    shown = [
        each.name
        for each in book.sheets_metadata
        if str(each.visible).endswith("Visible") and each.name in names
    ]
    usable = [name for name in shown or names if _has_cells(book, name)]
    if not usable:
        raise BadInput(f"The file {source.name!r} has no sheet with cells; there is nothing to import.")
    others = [name for name in names if name != usable[0]]
    listed = ", ".join(repr(name) for name in others[:20])
    hint = f"Sheet {usable[0]!r} was taken; options.sheet chooses another: {listed}."
    return usable[0], [hint] if others else []


def _has_cells(book: Any, name: str) -> bool:
    try:
        return bool(book.get_sheet_by_name(name).total_height or book.get_sheet_by_name(name).width)
    except Exception:
        return False  # a chart, or a sheet that is broken: not a table


def _sheet(source: Source, book: Any, name: str) -> Any:
    try:
        sheet = book.get_sheet_by_name(name)
    except Exception as error:
        raise _unreadable(source, error) from error
    if (sheet.total_height + 1) * (sheet.total_width + 1) > _CELLS:
        raise BadInput(
            f"Sheet {name!r} of {source.name!r} claims {sheet.total_height + 1:,} x "
            f"{sheet.total_width + 1:,} cells; "
            "it is refused. Delete what is beyond the table."
        )
    return sheet


def _shown(cell: Any) -> str:
    found = _cell(cell)
    return "" if found is None else found[0]


def _cell(cell: Any) -> Cell:
    if cell == "":
        return None
    if isinstance(cell, str):
        return cell, True
    if isinstance(cell, bool):
        return ("true" if cell else "false"), False
    if isinstance(cell, float):
        return (str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else repr(cell)), False
    if isinstance(cell, datetime):
        return cell.isoformat(" "), False
    if isinstance(cell, date):
        return cell.isoformat(), False
    if isinstance(cell, time | timedelta):
        return str(cell), True
    return str(cell), False


def _unreadable(source: Source, error: Exception) -> BadInput:
    said = (str(error).splitlines() or [type(error).__name__])[0][:120]
    return BadInput(
        f"The file {source.name!r} is not an Excel file that can be read ({said}); it may be damaged "
        "or have a "
        "password: save it again without."
    )
