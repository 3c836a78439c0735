"""Laws of imports on random tables and parts: what goes in comes out, cuts are at records, lines are true."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.csv as pacsv
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.errors import BadInput
from pipelines.imports import delimited
from pipelines.imports.records import Grammar, count_lines, record_starts, runs
from pipelines.plan import Json
from tests.pipelines.importing import Workshop

AS_WRITTEN: Json = {
    **{"delimiter": ",", "quote": '"', "escape": None, "encoding": "utf-8"},
    **{"header": True, "skip": 0, "footer": 0},
}
COMMA = Grammar(ord(","), ord('"'))
CELL = st.text(st.sampled_from('ab1,"\n\r é'), max_size=6)
ROWS = st.lists(st.tuples(CELL, st.integers(-(10**17), 10**17), CELL), min_size=1, max_size=30)
RAW = st.text(st.sampled_from('a,"\n\r'), max_size=60)


def blocks(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(1, 80), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_what_goes_in_comes_out_whatever_the_parts(
    table: list[tuple[str, int, str]], size: int, end: str, all_quoted: bool
) -> None:
    text = io.StringIO(newline="")
    quoting = csv.QUOTE_ALL if all_quoted else csv.QUOTE_NONNUMERIC
    writer = csv.writer(text, lineterminator=end, quoting=quoting)
    writer.writerow(["left", "n", "right"])
    writer.writerows(table)
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "_BLOCK", max(size, 8))
        patch.setattr(delimited, "_HEAD", 4_096)
        for name in ("_RUN", "_SMALLEST", "_LARGEST"):
            patch.setattr(delimited, name, size)
        shop = Workshop(Path(folder) / "home")
        columns = {"left": "text", "n": "integer", "right": "text"}
        shop.load("t", text.getvalue().encode(), AS_WRITTEN | {"columns": columns})
        rows = [tuple(row.values()) for row in shop.table("t").to_pylist()]
    assert rows == table


@settings(max_examples=300, deadline=None)
@given(RAW, st.integers(1, 20), st.integers(1, 30))
@example('5",\n"a\n",\n', 4, 1)
@example('"a"b"\n"x\n', 3, 1)
def test_runs_begin_where_arrow_sees_a_record(text: str, block: int, size: int) -> None:
    data = text.encode()
    found = list(runs(blocks(data, block), COMMA, 10, 5, size))
    assert b"".join(run.data for run in found) == data
    if any(run.broken for run in found):
        return  # a quote that is never closed: Arrow would take the rest of the file for one cell
    starts = set(record_starts(data, COMMA).tolist())
    for run in found:
        offset = run.start - 10
        blank = data[offset : offset + 1] in (b"\n", b"\r", b"")
        assert blank or offset in starts
        assert run.line == 5 + count_lines(data[:offset])
    assert [each for run in found for each in records_by_arrow(run.data)] == records_by_arrow(data)


def records_by_arrow(data: bytes) -> list[int]:
    """The number of cells of each record, as Arrow's reader sees them."""
    found: dict[int, int] = {}
    total = 0
    if data.strip(b"\r\n"):
        table = pacsv.read_csv(
            io.BytesIO(data),
            pacsv.ReadOptions(use_threads=False, column_names=[str(n) for n in range(99)]),
            pacsv.ParseOptions(
                newlines_in_values=True,
                invalid_row_handler=lambda row: found.update({row.number: row.actual_columns}) or "skip",
            ),
        )
        total = table.num_rows + len(found)
    return [found.get(n + 1, 99) for n in range(total)]


@settings(max_examples=200, deadline=None)
@given(RAW)
def test_record_starts_are_as_many_as_arrow_reads(text: str) -> None:
    data = text.encode()
    assert len(record_starts(data, COMMA)) == len(records_by_arrow(data))


@settings(max_examples=40, deadline=None)
@given(st.lists(CELL, min_size=1, max_size=15), st.data())
def test_the_line_of_a_bad_value_is_the_physical_one(cells: list[str], data: st.DataObject) -> None:
    bad = data.draw(st.integers(0, len(cells) - 1))
    lines = [
        f'"{cell.replace(chr(34), chr(34) * 2)}",{"bad" if n == bad else n}\n' for n, cell in enumerate(cells)
    ]
    before = "a,b\n" + "".join(lines[:bad])
    line = 1 + len(re.findall("\r\n|\r|\n", before))
    with TemporaryDirectory() as folder:
        shop = Workshop(Path(folder) / "home")
        with pytest.raises(BadInput, match=rf"^Line {line}, column 'b': 'bad'"):
            shop.load(
                "t",
                ("a,b\n" + "".join(lines)).encode(),
                AS_WRITTEN | {"columns": {"b": "int"}, "onBadRow": "fail"},
            )


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(10**20), 10**20)),
        min_size=1,
    )
)
def test_a_guessed_number_is_the_number_that_was_written(values: list[float | int]) -> None:
    with TemporaryDirectory() as folder:
        shop = Workshop(Path(folder) / "home")
        shop.load("t", "v,w\n" + "".join(f"{value!r},x\n" for value in values))
        read = shop.table("t")["v"].to_pylist()
    for value, found in zip(values, read, strict=True):
        if isinstance(found, str):
            assert found == repr(value)
        else:
            assert found == (Decimal(repr(value)) if isinstance(found, Decimal) else value)
