"""Where an import's bytes come from: an upload in the store, or a file of an allowed folder.

Gives ranges, a stream and a stamp that changes when the bytes do; knows nothing of formats.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pipelines.errors import BadInput
from pipelines.plan import Json
from pipelines.store import Store

MAGIC = {
    b"PAR1": "parquet",
    b"\x1f\x8b": "gz",
    b"PK\x03\x04": "zip",
    b"\x28\xb5\x2f\xfd": "zst",
    b"\xd0\xcf\x11\xe0": "xls",
}


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

    def magic(self) -> str | None:
        """The format its first bytes claim, None for plain text or the unknown."""
        head = self.read(0, 4)
        return next((name for magic, name in MAGIC.items() if head.startswith(magic)), None)

    def gone(self) -> BadInput:
        return BadInput(f"The file {self.name!r} is not there any more; submit the import again.")


def format_by_name(name: str) -> str:
    """The format a file's name claims; text of any other name is taken for csv."""
    suffix = Path(name).suffix.lower().lstrip(".")
    return {
        "tab": "tsv",
        "pq": "parquet",
        "parq": "parquet",
        "ndjson": "jsonl",
        "gzip": "gz",
        "zstd": "zst",
    }.get(
        suffix,
        suffix if suffix in ("tsv", "parquet", "json", "jsonl", "xlsx", "xls", "zip", "gz", "zst") else "csv",
    )
