"""Files that mean harm: refused in seconds, in little memory, and nothing of them stays."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import json
import resource
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import child
from pipelines.errors import BadInput, Canceled
from pipelines.imports import records, unpack
from pipelines.run import Context
from tests.pipelines.importing import Workshop

MEGABYTE = b"0" * (1 << 20)


def zip_bomb(compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as archive:
        archive.writestr("bomb.csv", MEGABYTE * 300)
    return packed.getvalue()


def gzip_bomb() -> bytes:
    return gzip.compress(MEGABYTE * 100, 9) * 6  # several members: 600 MB from 600 kB


def zst_bomb() -> bytes:
    packed = pa.BufferOutputStream()
    with pa.CompressedOutputStream(packed, "zstd") as file:
        for _ in range(600):
            file.write(MEGABYTE)
    return packed.getvalue().to_pybytes()


def parquet_bomb() -> bytes:
    """A file of some kB that unpacks to gigabytes: one long word, repeated by a dictionary."""
    packed = io.BytesIO()
    table = pa.table({"v": _repeated()})
    pq.write_table(table, packed, compression="zstd", row_group_size=20_000)
    return packed.getvalue()


def _repeated() -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array([0] * 400_000, pa.int32()), pa.array(["x" * 10_000]))


def workbook(sheet: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "[Content_Types].xml",
            '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
            '<Default Extension="rels" '
            'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            '<Default Extension="xml" ContentType="application/xml"/></Types>',
        )
        archive.writestr(
            "_rels/.rels",
            '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
            '<Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/'
            'officeDocument" Target="xl/workbook.xml"/></Relationships>',
        )
        archive.writestr(
            "xl/workbook.xml",
            '<?xml version="1.0"?>'
            '<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" '
            'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets>'
            '<sheet name="one" sheetId="1" r:id="r1"/></sheets></workbook>',
        )
        archive.writestr(
            "xl/_rels/workbook.xml.rels",
            '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
            '<Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/'
            'worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        )
        archive.writestr("xl/worksheets/sheet1.xml", sheet)
    return packed.getvalue()


SHEET = '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">{0}</worksheet>'
CORNERS = (
    '<sheetData><row r="1"><c r="A1"><v>1</v></c></row>'
    '<row r="1048576"><c r="XFD1048576"><v>2</v></c></row></sheetData>'
)
ENTITIES = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa">]>' + SHEET.format("<sheetData/>")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("b.zip", zip_bomb, "refused as a bomb"),
        ("b.csv.gz", gzip_bomb, "refused as a bomb"),
        ("b.csv.bz2", lambda: bz2.compress(MEGABYTE * 400), "refused as a bomb"),
        ("b.csv.zst", zst_bomb, "refused as a bomb"),
        ("b.parquet", parquet_bomb, "refused"),
        ("b.xlsx", lambda: workbook(SHEET.format(CORNERS)), "refused|no sheet with cells"),
        ("b.xlsx", lambda: workbook(ENTITIES), "XML entities"),
        ("b.xlsx", lambda: workbook(SHEET.format(" " * (300 << 20))), "refused as a bomb"),
        ("b.json", lambda: b"[" * 100_000, "nested too deep|broken"),
        ("b.jsonl", lambda: b'{"a":' * 100_000 + b"\n", "nested too deep|bad|broken"),
        ("b.json", lambda: b'[{"a": "' + b"x" * (80 << 20), "refused|broken"),
        ("b.csv", lambda: b"\0" * 5_000, "is not text|UTF-16"),
        ("b.csv", lambda: b"a,b\n" + MEGABYTE * 80, "no line end"),
        ("b.zip", lambda: gzip.compress(gzip.compress(gzip.compress(b"a\n1\n"))), "once too often"),
        ("b.csv.gz", lambda: gzip.compress(b"a,b\n1,2\n" * 1000)[:-9], "damaged"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_trap_is_refused_quickly_and_leaves_nothing(
    shop: Workshop, name: str, content: Callable[[], bytes], says: str
) -> None:
    path = shop.file(content(), name)
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(BadInput, match=says):
        shop.load("t", path)
    assert time.monotonic() - started < 30
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400 << 10
    assert shop.catalog.names() == ()


def test_many_keys_are_no_columns(shop: Workshop) -> None:
    lines = "".join(json.dumps({f"k{n}": 1}) + "\n" for n in range(5_000))
    with pytest.raises(BadInput, match="different keys"):
        shop.load("t", shop.file(lines, "t.jsonl"))


def test_names_in_archives_are_labels_only(shop: Workshop, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("../../../evil.csv", "a,b\n1,2\n")
    before = set(tmp_path.rglob("*evil*"))
    shop.load("t", shop.file(packed.getvalue(), "../t.zip".replace("../", "")))
    assert shop.table("t").to_pylist() == [{"a": 1, "b": 2}]
    assert set(tmp_path.rglob("*evil*")) == before
    assert not (tmp_path.parent / "evil.csv").exists()


class TestChild:
    """What happens to a parser that goes wrong. The entries are functions of this standard library."""

    def test_memory_is_capped(self, shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(child, "MEMORY", 64 << 20)
        with pytest.raises(BadInput, match="needs more than 64 MB"):
            child.guarded(shop.context("j"), "tests.pipelines.parsers:greedy", {"name": "x"}, "x", 0)

    def test_a_crash_is_a_refusal(self, shop: Workshop) -> None:
        with pytest.raises(BadInput, match="broke its reader"):
            child.guarded(shop.context("j"), "tests.pipelines.parsers:crash", {"name": "x"}, "x", 0)

    def test_a_deadline_ends_it(self, shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(child, "SECONDS", 1.0)
        started = time.monotonic()
        with pytest.raises(BadInput, match="takes too long"):
            child.guarded(shop.context("j"), "tests.pipelines.parsers:sleep", {"name": "x"}, "x", 0)
        assert time.monotonic() - started < 10

    def test_a_canceled_job_ends_it(self, shop: Workshop) -> None:
        context = Context("j", 1, str(shop.home), canceled=lambda: True)
        with pytest.raises(Canceled):
            child.guarded(context, "tests.pipelines.parsers:sleep", {"name": "x"}, "x", 0)

    def test_a_bug_is_told_as_one(self, shop: Workshop) -> None:
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            child.guarded(shop.context("j"), "tests.pipelines.parsers:divide", {"name": "x"}, "x", 0)


def test_limits_are_what_the_readme_says() -> None:
    assert (unpack.FREE, unpack.RATIO) == (256 << 20, 200)
    assert (child.MEMORY, records._LONGEST) == (1 << 30, 64 << 20)


def test_noise_is_no_bug_of_ours(shop: Workshop) -> None:
    """Every control character is in it, so that none can stand in for a delimiter of two characters."""
    noise = b"a||b\n" * 50 + bytes(range(256)) * 800
    for options in ({}, {"delimiter": "||"}):
        with contextlib.suppress(BadInput):
            shop.load("noise", shop.file(noise), {**options, "mode": "replace"})
