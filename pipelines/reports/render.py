"""Render: the report's table as a file. One writer a format; all stream into a sink of the store.

csv: a header row, RFC 4180 with CRLF, UTF-8. json: an array of row objects. parquet: typed, zstd. xlsx:
numbers as numbers, dates as dates; a whole number or decimal of more than 15 digits as text, for Excel
would round it. html: see `html`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from math import isfinite
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xlsxwriter

from pipelines.errors import BadInput
from pipelines.reports.cells import csv_cells, csv_field, json_cells
from pipelines.reports.html import write_page
from pipelines.reports.table import Shown
from pipelines.store import Sink

_ROWS = 50_000  # at a time
_SHEET_ROWS, _SHEET_COLUMNS, _CELL = 1_048_575, 16_384, 32_767
_EXCEL_FROM = 1900


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file: how it is named and typed, and who writes it."""

    extension: str
    media_type: str
    write: Callable[[Shown, Sink], None]


def _write_csv(shown: Shown, sink: Sink) -> None:
    table, grains = shown.table, shown.grains
    sink.write((",".join(csv_field(name) for name in table.column_names) + "\r\n").encode())
    for chunk in _slices(table):
        cells: list[Any] = []
        for name in chunk.column_names:
            cells += [_whole(csv_cells(chunk[name], grains.get(name))), pa.scalar(",")]
        _write_lines([*cells[:-1], pa.scalar("\r\n")], sink)


def _write_json(shown: Shown, sink: Sink) -> None:
    table, grains = shown.table, shown.grains
    sink.write(b"[")
    for number, chunk in enumerate(_slices(table)):
        members = []
        for index, name in enumerate(chunk.column_names):
            label = (",\n{" if index == 0 else ",") + json.dumps(name, ensure_ascii=False) + ":"
            members += [pa.scalar(label), _whole(json_cells(chunk[name], grains.get(name)))]
        _write_lines([*members, pa.scalar("}")], sink, without=0 if number else 1)
    sink.write(b"\n]\n")


def _write_parquet(shown: Shown, sink: Sink) -> None:
    pq.write_table(shown.table, pa.PythonFile(sink, "w"), compression="zstd")


def _write_xlsx(shown: Shown, sink: Sink) -> None:
    table = shown.table
    options = {
        "constant_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
    }
    book = xlsxwriter.Workbook(sink, options)
    book.set_properties(
        {"created": datetime(2000, 1, 1, tzinfo=UTC).replace(tzinfo=None)}
    )  # same report, same bytes
    sheet = book.add_worksheet("report")
    sheet.freeze_panes(1, 0)
    bold = book.add_format({"bold": True})
    days, times = (book.add_format({"num_format": f}) for f in ("yyyy-mm-dd", "yyyy-mm-dd hh:mm:ss"))
    for place, name in enumerate(table.column_names):
        sheet.write_string(0, place, name, bold)
    row = 0
    for chunk in _slices(table):
        for cells in zip(*(chunk[name].to_pylist() for name in chunk.column_names), strict=True):
            row += 1
            for place, value in enumerate(cells):
                _write_cell(sheet, row, place, value, days, times)
    book.close()


def _write_cell(sheet: Any, row: int, place: int, value: Any, days: Any, times: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool):
        sheet.write_boolean(row, place, value)
    elif isinstance(value, datetime) and value.year >= _EXCEL_FROM:
        sheet.write_datetime(row, place, value.replace(tzinfo=None), times)
    elif isinstance(value, date) and value.year >= _EXCEL_FROM:
        sheet.write_datetime(row, place, value, days)
    elif _is_number(value):
        sheet.write_number(row, place, value)
    else:
        sheet.write_string(row, place, _sheet_text(value))


def _is_number(value: Any) -> bool:
    """Whether Excel keeps it as it is."""
    if isinstance(value, float):
        return isfinite(value)
    return isinstance(value, int | Decimal) and _digits(value) <= 15


def _sheet_text(value: Any) -> str:
    text = "NaN" if value != value else value.isoformat() if isinstance(value, date) else str(value)
    if isinstance(value, Decimal):
        text = format(value, "f")
    if len(text) > _CELL:
        raise BadInput(
            f"A text of {len(text)} characters does not fit an xlsx cell, which takes {_CELL}; "
            "use csv or parquet."
        )
    return text


def _digits(value: int | Decimal) -> int:
    return len(str(abs(value))) if isinstance(value, int) else len(value.normalize().as_tuple().digits)


FORMATS: dict[str, Format] = {
    "csv": Format("csv", "text/csv; charset=utf-8", _write_csv),
    "parquet": Format("parquet", "application/vnd.apache.parquet", _write_parquet),
    "json": Format("json", "application/json", _write_json),
    "xlsx": Format("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", _write_xlsx),
    "html": Format("html", "text/html; charset=utf-8", write_page),
}


def too_long(form: str, limit: int | None) -> str | None:
    """Why so many rows cannot be asked for in a format; None when they can."""
    if form != "xlsx" or limit is None or limit <= _SHEET_ROWS:
        return None
    return f"An xlsx sheet holds {_SHEET_ROWS:,} rows, and {limit:,} are asked for; take csv or parquet."


def check_fits(form: str, rows: int, columns: int) -> None:
    """Refuse what a format cannot hold, as soon as it is known and before a byte is written."""
    if form == "xlsx" and (rows > _SHEET_ROWS or columns > _SHEET_COLUMNS):
        raise BadInput(
            f"The report has {rows:,} rows or more, of {columns:,} columns, and an xlsx sheet holds "
            f"{_SHEET_ROWS:,} of {_SHEET_COLUMNS:,}; ask for csv or parquet, or set a limit."
        )


def _slices(table: pa.Table) -> Iterator[pa.Table]:
    for start in range(0, table.num_rows, _ROWS):
        yield table.slice(start, _ROWS)


def _whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    if not isinstance(column, pa.ChunkedArray):
        return column
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _write_lines(pieces: list[Any], sink: Sink, without: int = 0) -> None:
    """The pieces of each line joined; `without` so many bytes of the first. Arrow keeps the texts of an array
    one behind the other, which is what is written."""
    lines = pc.binary_join_element_wise(*pieces, "")
    ends = np.frombuffer(lines.buffers()[1], np.int32)[lines.offset : lines.offset + len(lines) + 1]
    sink.write(lines.buffers()[2][int(ends[0]) + without : int(ends[-1])])
