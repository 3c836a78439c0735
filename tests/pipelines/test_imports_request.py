"""Submissions of imports: every fault at once, with its pointer, before a job exists."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.errors import InvalidRequest
from pipelines.imports.options import TYPES, check_options, codec_name, logical_type
from pipelines.plan import Json
from tests.pipelines.importing import Workshop


def faults(
    shop: Workshop, dataset: Any, options: Any, name: str = "t.csv", content: bytes = b"a\n1\n"
) -> Json:
    with pytest.raises(InvalidRequest) as caught:
        shop.spec(dataset, shop.file(content, name), options)
    return {fault.pointer: fault.detail for fault in caught.value.faults}


def test_all_faults_come_at_once(shop: Workshop) -> None:
    options = {
        "delimeter": ";",
        "header": "yes",
        "encoding": "rot13",
        "onBadRow": "skip",
        "skip": -1,
        "quote": "ab",
        "columns": {"a/b": "intt", "c": {"type": "date", "formt": "%Y"}, "d": 5},
    }
    found = faults(shop, "No Name", options)
    assert set(found) == {
        "/dataset",
        "/options/delimeter",
        "/options/header",
        "/options/encoding",
        "/options/onBadRow",
        "/options/skip",
        "/options/quote",
        "/options/columns/a~1b/type",
        "/options/columns/c/formt",
        "/options/columns/d",
    }
    assert "did you mean" in found["/options/delimeter"]
    assert "'int'" in found["/options/columns/a~1b/type"]
    assert "'format'" in found["/options/columns/c/formt"]
    assert "'fail'" in found["/options/onBadRow"]


@pytest.mark.parametrize(
    ("options", "pointer", "says"),
    [
        ([1], "/options", "must be a JSON object"),
        ({"format": "zip"}, "/options/format", "seen by itself"),
        ({"format": "cvs"}, "/options/format", "did you mean 'csv'"),
        ({"sheet": "one"}, "/options/sheet", "no sheets"),
        ({"mode": "upsert"}, "/options/mode", "'upsert'"),
        ({"quote": ",", "delimiter": ","}, "/options/quote", "both ','"),
        ({"decimal": ",", "thousands": ","}, "/options/thousands", "both ','"),
        (
            {"columns": {"a": {"name": "x"}, "b": {"name": "X"}}},
            "/options/columns/b/name",
            "also the name of 'a'",
        ),
        ({"columns": {"a": "decimal(40,2)"}}, "/options/columns/a/type", "out of range"),
        ({"columns": {"a": {"type": "date", "format": "%Q"}}}, "/options/columns/a/format", "'%Q'"),
        ({"columns": {"a": {"type": "int", "format": "%Y-%m-%d"}}}, "/options/columns/a", "not with integer"),
        (
            {"columns": {"a": {"type": "timestamptz", "format": "%Y-%m-%d"}}},
            "/options/columns/a",
            "use type 'timestamp'",
        ),
        ({"encoding": "klingon"}, "/options/encoding", "not a known encoding"),
        ({"encoding": "cp037"}, "/options/encoding", "name an encoding"),
        ({"nullValues": "NA"}, "/options/nullValues", "list"),
    ],
)
def test_one_fault_names_its_place(shop: Workshop, options: Any, pointer: str, says: str) -> None:
    found = faults(shop, "t", options)
    assert list(found) == [pointer]
    assert says in found[pointer]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("t.csv", b"", "is empty"),
        ("t.xlsx", b"a\n1\n", "is not Excel although its name says so"),
        ("t.parquet", b"a\n1\n", "is not Parquet although its name says so"),
    ],
)
def test_a_source_that_is_not_read_is_refused(shop: Workshop, name: str, content: bytes, says: str) -> None:
    found = faults(shop, "t", None, name, content)
    assert list(found) == ["/source"]
    assert says in found["/source"]


def test_modes_are_checked_against_the_datasets(shop: Workshop) -> None:
    shop.load("sales", "a,b\n1,2\n")
    assert "already exists" in faults(shop, "sales", None)["/dataset"]
    assert "did you mean 'sales'" in faults(shop, "sale", {"mode": "append"})["/dataset"]
    columns = {"x": {"name": "aa"}, "y": {"name": "b", "type": "text"}, "z": "int"}
    found = faults(shop, "sales", {"mode": "append", "columns": columns})
    assert set(found) == {"/options/columns/x/name", "/options/columns/y/type", "/options/columns/z"}
    assert "did you mean 'a'" in found["/options/columns/x/name"]


def test_options_of_text_mean_nothing_for_parquet(shop: Workshop) -> None:
    found = faults(
        shop, "t", {"delimiter": ";", "skip": 1, "format": "parquet"}, "t.parquet", b"PAR1....PAR1"
    )
    assert set(found) == {"/options/delimiter", "/options/skip"}


def test_a_valid_request_keeps_what_the_client_wrote(shop: Workshop) -> None:
    options = {"columns": {"a": "int"}, "onBadRow": "fail"}
    spec = shop.spec("t", shop.file("a\n1\n"), options)
    assert spec["options"] == {"columns": {"a": {"type": "integer"}}, "onBadRow": "fail"}
    assert (spec["mode"], spec["format"], spec["bytes"]) == ("create", "csv", 4)


def test_aliases_of_types() -> None:
    assert {logical_type(alias.upper()) for alias in TYPES} == {
        "integer",
        "float",
        "decimal",
        "text",
        "timestamp",
        "timestamptz",
        "date",
        "boolean",
    }
    assert logical_type("numeric( 10 , 2 )") == "decimal(10,2)"
    assert logical_type("decimal(5)") == "decimal(5,0)"


def test_encodings_are_those_of_text_files() -> None:
    assert [codec_name(each) for each in ("UTF8", "utf-8-sig", "latin1", "windows-1252")] == [
        "utf-8",
        "utf-8",
        "iso8859-1",
        "cp1252",
    ]
    for wrong in ("utf-7", "cp037", "rot13", "base64", "unicode_escape", "idna", ""):
        with pytest.raises(ValueError, match=r"read|known"):
            codec_name(wrong)


def test_no_options_are_the_defaults() -> None:
    options, found = check_options(None)
    assert found == []
    assert options is not None
    assert options.mode == "create"
