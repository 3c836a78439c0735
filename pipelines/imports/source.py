"""Where an import's bytes come from: an upload in the store, or a file of an allowed folder.

Gives ranges, a stream and a stamp that changes when the bytes do; knows nothing of formats.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pipelines.errors import BadInput
from pipelines.plan import Json
from pipelines.store import Store

MAGIC = {
    b"PAR1": "parquet",
    b"PARE": "parquet",
    b"\x1f\x8b": "gz",
    b"BZh": "bz2",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"\x28\xb5\x2f\xfd": "zst",
    b"\xd0\xcf\x11\xe0": "xls",
}
_OFFICE = (b"[Content_Types].xml", b"xl/", b"_rels/.rels", b"docProps/")


@dataclass(frozen=True, slots=True)
class Source:
    """`name` is what the user calls the file; just one of `key` and `file` is set."""

    name: str
    store: Store
    key: str | None = None
    file: str | None = None

    @classmethod
    def of(cls, store: Store, spec: Json) -> Source:
        """The source of an import spec (or of the payload it was made from)."""
        place = spec["source"]
        return cls(spec["name"], store, place.get("store"), place.get("file"))

    @property
    def place(self) -> Json:
        """What `of` makes it from again."""
        return {"store": self.key} if self.key is not None else {"file": self.file}

    def stamp(self) -> str:
        """Size and, for a file of somebody else's, time of change."""
        try:
            if self.key is not None:
                return str(self.store.stat(self.key).bytes)
            status = os.stat(str(self.file))
        except OSError:
            raise self.gone() from None
        return f"{status.st_size}-{status.st_mtime_ns}"

    @property
    def size(self) -> int:
        """In bytes."""
        return int(self.stamp().split("-")[0])

    def check(self, stamp: str) -> None:
        """BadInput when the file is not what it was when the import was planned."""
        if self.stamp() != stamp:
            raise BadInput(f"The file {self.name!r} changed while it was imported; submit the import again.")

    def open(self) -> IO[bytes]:
        try:
            return self.store.open(self.key) if self.key is not None else open(str(self.file), "rb")
        except OSError:
            raise self.gone() from None

    def read(self, start: int, length: int) -> bytes:
        with self.open() as file:
            file.seek(start)
            return file.read(length)

    def blocks(self, size: int) -> Iterator[bytes]:
        """The whole of it in order."""
        with self.open() as file:
            while block := file.read(size):
                yield block

    def for_arrow(self) -> Any:
        """A path where there is one (Arrow then maps the file), else an open file."""
        if self.file is not None:
            return self.file
        local = self.store.local_path(str(self.key))
        return str(local) if local is not None else self.open()

    def gone(self) -> BadInput:
        return BadInput(f"The file {self.name!r} is not there any more; submit the import again.")


def format_by_content(source: Source) -> str | None:
    """The format that the first bytes prove; a zip with a workbook in it is Excel, text in brackets JSON."""
    head = source.read(0, 1 << 12)
    found = next((name for magic, name in MAGIC.items() if head.startswith(magic)), None)
    if found == "zip" and _holds_workbook(source, head):
        return "xlsx"
    return found or _json_by_content(head)


def format_by_name(name: str) -> str:
    """The format a file's name claims; text of any other name is taken for csv."""
    suffix = Path(name).suffix.lower().lstrip(".")
    return _SUFFIXES.get(suffix, "csv")


def reconciled(content: str | None, asked: str | None, named: str) -> str:
    """Text may be any text format; what has a signature of its own is what it is."""
    wish = asked or named
    if content in ("json", "jsonl", None):
        text = wish if wish in ("csv", "tsv", "json", "jsonl") else "csv"
        if asked in ("csv", "tsv") or content is None:
            return wish if content is None else text
        return text if text in ("json", "jsonl") else content
    office = {content, wish} == {"xlsx", "xls"}
    return wish if office else content


_SUFFIXES = {
    **{each: each for each in ("tsv", "parquet", "json", "jsonl", "xlsx", "xls", "zip", "gz", "bz2", "zst")},
    **{"tab": "tsv", "pq": "parquet", "parq": "parquet", "ndjson": "jsonl", "gzip": "gz", "zstd": "zst"},
    **{"xlsm": "xlsx", "xlsb": "xlsx"},
}


def _holds_workbook(source: Source, head: bytes) -> bool:
    """Zip files of Office name their first member so; the list at the end is the proof."""
    if any(head[30:90].startswith(name) for name in _OFFICE):
        return True
    tail = source.read(max(0, source.size - (1 << 16)), 1 << 16)
    return b"xl/workbook." in tail and b"[Content_Types].xml" in tail


def _json_by_content(head: bytes) -> str | None:
    """Text that begins like JSON and could not be a table: an object with a key, or an array of them."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if re.match(rb'\{\s*("|\})', text):
        return "jsonl"
    return "json" if re.match(rb'\[\s*(\{\s*("|\})|\[|\])', text) else None
