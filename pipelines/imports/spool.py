"""Rows that a parser has put into text, kept in the job's scratch: Arrow files of some thousand rows.

A chunk has the columns known when it was written; later chunks may have more. `line` says where a row stood.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.imports.infer import MISSING
from pipelines.imports.rejects import Reject
from pipelines.imports.source import Source
from pipelines.imports.survey import Survey, columns_of
from pipelines.imports.typed import Loaded, load
from pipelines.plan import Json, Part
from pipelines.run import Context
from pipelines.store import Store

_ROWS = 1 << 16
_BYTES = 16 << 20
_SAMPLED = 500
_WORDS = frozenset(MISSING)
Cell = tuple[str, bool] | None  # text, and whether the file itself calls it text


class Spool:
    """Takes rows one by one and writes chunks. Used by the child that parses."""

    def __init__(self, store: Store, prefix: str) -> None:
        self._store, self._prefix = store, prefix
        self.names: list[str] = []
        self._index: dict[str, int] = {}
        self._worded: set[str] = set()
        self._columns: list[list[str | None]] = []
        self._lines: list[int] = []
        self._rejects: list[list[Any]] = []
        self._bytes = 0
        self._chunks: list[Json] = []

    def name(self, names: Sequence[str]) -> None:
        """Fix names and order of the columns beforehand."""
        for name in names:
            self._place(name)

    def row(self, line: int, cells: dict[str, Cell]) -> None:
        for name, cell in cells.items():
            place = self._index.get(name)
            column = self._columns[self._place(name) if place is None else place]
            if cell is None:
                continue
            text, worded = cell
            column.extend([None] * (len(self._lines) - len(column)))
            column.append(text)
            self._bytes += len(text)
            if worded and text not in _WORDS:
                self._worded.add(name)
        self._lines.append(line)
        if len(self._lines) >= _ROWS or self._bytes >= _BYTES:
            self._flush()

    def reject(self, line: int, reason: str, text: str) -> None:
        self._rejects.append([line, reason, text])
        if len(self._rejects) >= _ROWS:
            self._flush()

    def close(self) -> Json:
        """Everything the plan needs to know."""
        if self._lines or self._rejects:
            self._flush()
        return {"names": self.names, "worded": sorted(self._worded), "chunks": self._chunks}

    def _place(self, name: str) -> int:
        if name not in self._index:
            self._index[name] = len(self.names)
            self.names.append(name)
            self._columns.append([])
        return self._index[name]

    def _flush(self) -> None:
        count = len(self._lines)
        for column in self._columns:
            column.extend([None] * (count - len(column)))
        arrays = [pa.array(column, pa.string()) for column in self._columns]
        names = [str(index) for index in range(len(arrays))]
        table = pa.Table.from_arrays([*arrays, pa.array(self._lines, pa.int64())], names=[*names, "line"])
        said = {"rejects": json.dumps(self._rejects)} if self._rejects else None
        table = table.replace_schema_metadata(said)
        key = f"{self._prefix}-{len(self._chunks)}.arrow"
        with self._store.put(key) as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        self._chunks.append({"key": key, "rows": count, "bytes": sink.bytes})
        self._columns = [[] for _ in self._columns]
        self._lines, self._rejects, self._bytes = [], [], 0


class SpoolPart:
    """A chunk as `typed` wants it."""

    def __init__(self, store: Store, key: str, width: int) -> None:
        with store.open(key) as file:
            found = pa.ipc.open_stream(file).read_all()
        self._lines = found["line"].to_numpy()
        bad = json.loads((found.schema.metadata or {}).get(b"rejects", b"[]"))
        self.rejects = [Reject(*each) for each in bad]
        arrays = [
            found[str(index)] if str(index) in found.column_names else pa.nulls(len(self._lines), pa.string())
            for index in range(width)
        ]
        self.table = pa.table(dict(zip(map(str, range(width)), arrays, strict=True)))

    def reject(self, rows: npt.NDArray[np.int64], reasons: Sequence[str]) -> list[Reject]:
        return [
            Reject(
                int(self._lines[row]),
                reason,
                _rendered(self.table.slice(int(row), 1).to_pylist()[0].values()),
            )
            for row, reason in zip(rows.tolist(), reasons, strict=True)
        ]


def surveyed(store: Store, told: Json, dialect: Json, warnings: Sequence[str]) -> Survey:
    """The survey of a spooled file."""
    names = tuple(told["names"])
    parts = [
        Part(
            {"n": n, "key": chunk["key"], "width": len(names), "bytes": chunk["bytes"]},
            max(1, chunk["bytes"]),
        )
        for n, chunk in enumerate(told["chunks"])
    ]
    samples = [
        SpoolPart(store, chunk["key"], len(names)).table.slice(0, _SAMPLED) for chunk in told["chunks"]
    ]
    return Survey(
        names,
        tuple(parts),
        dialect,
        samples=tuple(samples),
        worded=frozenset(told["worded"]),
        warnings=tuple(warnings),
    )


def read(context: Context, spec: Json, payload: Json) -> Iterator[Loaded]:
    """The rows of one chunk."""
    piece = spec["pieces"][payload["piece"]]
    part = SpoolPart(context.store, payload["key"], payload["width"])
    context.progress(payload["bytes"] // 2)
    yield load(part, columns_of(spec), piece["places"], spec)


def argument(context: Context, source: Source, options: Json) -> Json:
    """What a child needs to spool a file."""
    number = sum(1 for _ in context.store.list(context.scratch))
    return {
        "store": context.store_url,
        "source": source.place,
        "name": source.name,
        "prefix": f"{context.scratch}/rows-{number}",
        "options": options,
    }


def _rendered(cells: Any) -> str:
    return ",".join("" if cell is None else json.dumps(cell, ensure_ascii=False) for cell in cells)
