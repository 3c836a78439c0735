"""The law of imports: random tables in random dialects come back as they were."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipelines.imports import delimited, spool
from pipelines.plan import Json
from tests.pipelines.importing import Workshop

CELL = st.text(st.sampled_from("ab1 ;,|\t\"'\\\n\r.é0-"), max_size=7)
ROWS = st.lists(st.tuples(CELL, st.integers(-(10**14), 10**14), CELL), min_size=1, max_size=25)
DELIMITERS = [",", ";", "\t", "|", "||", "::", "~"]
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252", "latin-1", "utf-32"]


def written(rows: list[tuple[str, int, str]], dialect: Json) -> bytes:
    """The table as text, every text quoted."""
    quote, escape, mark = dialect["quote"], dialect["escape"], dialect["delimiter"]

    def cell(value: Any) -> str:
        if isinstance(value, int):
            return str(value)
        inner = value.replace(escape, escape * 2).replace(quote, escape + quote) if escape else None
        return f"{quote}{inner if inner is not None else value.replace(quote, quote * 2)}{quote}"

    lines = [mark.join(("left", "n", "right")), *(mark.join(map(cell, row)) for row in rows)]
    text = dialect["end"].join(lines) + (dialect["end"] if dialect["last"] else "")
    return str(text).encode(dialect["encoding"])


@st.composite
def dialects(draw: st.DrawFn) -> Json:
    return {
        "delimiter": draw(st.sampled_from(DELIMITERS)),
        "quote": draw(st.sampled_from(['"', "'"])),
        "escape": draw(st.sampled_from([None, "\\"])),
        "encoding": draw(st.sampled_from(ENCODINGS)),
        "end": draw(st.sampled_from(["\n", "\r\n", "\r"])),
        "last": draw(st.booleans()),
    }


@settings(max_examples=120, deadline=None)
@given(ROWS, dialects(), st.integers(8, 200))
def test_what_was_written_is_what_is_read(rows: list[tuple[str, int, str]], dialect: Json, size: int) -> None:
    options: Json = {
        **{name: dialect[name] for name in ("delimiter", "quote", "escape", "encoding")},
        **{"header": True, "skip": 0, "footer": 0, "onBadRow": "fail"},
        "columns": {"left": "text", "n": "integer", "right": "text"},
    }
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        for name in ("_RUN", "_SMALLEST", "_LARGEST", "_BLOCK"):
            patch.setattr(delimited, name, size)
        shop = Workshop(Path(folder) / "home")
        receipt = shop.load("t", written(rows, dialect), options)
        assert (receipt["rowsRead"], receipt["rowsRejected"]) == (len(rows), 0)
        assert [tuple(row.values()) for row in shop.table("t").to_pylist()] == rows


WORD = st.text(st.sampled_from("abcdé xyz,;"), min_size=1, max_size=8).map(lambda s: f"w{s}w")


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(WORD, st.integers(-9999, 9999), WORD), min_size=4, max_size=25),
    st.sampled_from([",", ";", "\t", "|", "||"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_an_ordinary_dialect_is_found(
    rows: list[tuple[str, int, str]], delimiter: str, encoding: str, end: str
) -> None:
    dialect = {"delimiter": delimiter, "quote": '"', "escape": None, "end": end, "last": True}
    with TemporaryDirectory() as folder:
        shop = Workshop(Path(folder) / "home")
        receipt = shop.load("t", written(rows, {**dialect, "encoding": encoding}))
        assert receipt["dialect"]["delimiter"] == delimiter
        assert [tuple(row.values()) for row in shop.table("t").to_pylist()] == rows


@settings(max_examples=60, deadline=None)
@given(ROWS, st.data(), st.integers(8, 200))
def test_rows_read_are_rows_loaded_and_rejected(
    rows: list[tuple[str, int, str]], data: st.DataObject, size: int
) -> None:
    """Whatever is broken, every good row is loaded and nothing is counted twice."""
    assume(len(rows) > 2)
    dialect = {"delimiter": ",", "quote": '"', "escape": None, "encoding": "utf-8", "end": "\n", "last": True}
    good = [(left.replace("\n", " ").replace("\r", " "), n, "r") for left, n, _ in rows]
    lines = written(good, dialect).split(b"\n")
    bad = data.draw(
        st.sampled_from([b'"x",1', b'"x",1,"r",2', b'"x",no,"r"', b'"x"y,1,"r"', b'"\xff",1,"r"', b'"x,1,r'])
    )
    place = data.draw(st.integers(1, len(lines) - 1))
    if bad == b'"x,1,r' and place < len(lines):
        # a quote of the next line that a delimiter or a quote follows may as well be the one that closes it
        assume(lines[place][1:2] not in (b",", b'"', b""))
    lines.insert(place, bad)
    options: Json = {
        **{"delimiter": ",", "quote": '"', "escape": None, "encoding": "utf-8", "header": True, "skip": 0},
        **{"footer": 0, "maxBadShare": 1.0, "columns": {"left": "text", "n": "integer", "right": "text"}},
    }
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        for name in ("_RUN", "_SMALLEST", "_LARGEST", "_BLOCK"):
            patch.setattr(delimited, name, size)
        shop = Workshop(Path(folder) / "home")
        receipt = shop.load("t", b"\n".join(lines), options)
        assert receipt["rowsRejected"] == 1
        assert [tuple(row.values()) for row in shop.table("t").to_pylist()] == good
        assert shop.rejects()[0][0] == str(place + 1)


JSON_ROWS = st.lists(
    st.dictionaries(
        st.sampled_from(["a", "b", "c"]),
        st.one_of(
            st.none(), st.integers(-(10**14), 10**14), st.text(st.characters(codec="utf-8"), max_size=6)
        ),
        min_size=1,
    ),
    min_size=1,
    max_size=20,
)


@settings(max_examples=12, deadline=None)
@given(JSON_ROWS, st.booleans(), st.integers(1, 9))
def test_json_keeps_texts_and_numbers(rows: list[Json], array: bool, chunk: int) -> None:
    import json

    text = json.dumps(rows) if array else "\n".join(json.dumps(row) for row in rows)
    names = list(dict.fromkeys(name for row in rows for name in row))
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool, "_ROWS", chunk)
        shop = Workshop(Path(folder) / "home")
        shop.load("t", shop.file(text, "t.json"), {"columns": dict.fromkeys(names, "text")})
        found = shop.table("t").to_pylist()
    assert found == [
        {name: None if row.get(name) is None else str(row[name]) for name in names} for row in rows
    ]
