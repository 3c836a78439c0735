"""CSV, TSV and the like: find out how the text is written, cut it at record boundaries, read the parts.

`survey` runs once in the plan: it looks at head and tail, then passes once over the file to cut it and to see
its encoding. `read` runs once a part. The grammar is `records`', the dialect `sniff`'s and `layout`'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from pipelines.errors import BadInput
from pipelines.imports import transcode
from pipelines.imports.delimited_read import TextReader
from pipelines.imports.encoding import Evidence, marked
from pipelines.imports.layout import find_layout, footer_records, repeats_header, unique_names
from pipelines.imports.records import Grammar, Run, count_lines, record_starts, runs, toggles
from pipelines.imports.sniff import Marks, Record, find_marks, read_records, standin
from pipelines.imports.source import Source
from pipelines.imports.survey import Survey, columns_of
from pipelines.imports.typed import Loaded, load
from pipelines.plan import Json, Part
from pipelines.run import Context

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BLOCK = 1 << 20
_RUN = 4 << 20
_HEAD = 1 << 20  # what the dialect is found in
_TAIL = 1 << 16  # what a footer is looked for in
_SAMPLED = 1 << 16  # bytes of each run that types are guessed by before the parts decide
_SMALLEST, _LARGEST = 8 << 20, 48 << 20  # bytes of a part


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the text is written: what the receipt says, and all that reading a part needs."""

    delimiter: str
    quote: str | None
    escape: str | None
    encoding: str
    header: bool
    skip: int
    footer: int
    nullValues: tuple[str, ...]
    width: int
    standin: str | None = None  # the one character in the copy that is read
    decoded: bool = False  # the copy that is read is UTF-8, whatever the file is

    @classmethod
    def of(cls, value: Json) -> Dialect:
        return cls(**{**value, "nullValues": tuple(value["nullValues"])})

    @property
    def grammar(self) -> Grammar:
        return Marks(self.standin or self.delimiter, self.quote, self.escape).grammar

    def reader(self) -> TextReader:
        restored = self.delimiter if self.standin else None
        encoding = "utf-8" if self.decoded else self.encoding
        return TextReader(self.grammar, encoding, self.width, self.nullValues, restored)


@dataclass(frozen=True, slots=True)
class Body:
    """Where the records are: bytes [start, end), the first on `line`; the names as bytes of the file."""

    dialect: Dialect
    names: tuple[str, ...]
    start: int
    end: int
    line: int
    warnings: tuple[str, ...]


def survey(context: Context, spec: Json, source: Source) -> Survey:
    """One pass over the whole file, in bounded memory."""
    options: Json = spec["options"]
    source, wide = _in_utf8(context, source, options)
    source, body = _body(context, spec, source)
    evidence, parts, samples = Evidence(), list[Part](), list[Sample]()
    target = min(_LARGEST, max(_SMALLEST, source.size // 24))
    blocks = _between(source, body.start, body.end)
    for run in runs(_seen(blocks, evidence), body.dialect.grammar, body.start, body.line, _RUN):
        context.progress(run.start)
        samples.append(_sample(run, body.dialect.grammar))
        _extend(parts, run, target)
    evidence.feed(source.read(0, body.start))
    asked = options.get("encoding")
    encoding = asked or ("utf-8" if wide else evidence.decide())
    names, said = unique_names(_decoded(body.names, "utf-8" if wide else encoding))
    found_out = replace(body.dialect, encoding=wide or encoding, decoded=wide is not None)
    dialect, reader = asdict(found_out), found_out.reader()
    found = [f"The text was read as {encoding}, the likeliest encoding; options.encoding says otherwise."]
    return Survey(
        names,
        tuple(parts),
        {**dialect, "nullValues": list(body.dialect.nullValues)},
        samples=tuple(reader.read(*sample).table for sample in samples),
        warnings=(*body.warnings, *said, *(found if encoding != "utf-8" and not asked else ())),
        place=source.place,
    )


def read(context: Context, spec: Json, payload: Json) -> Iterator[Loaded]:
    """The rows of one part."""
    piece: Json = spec["pieces"][payload["piece"]]
    data = Source.of(context.store, piece).read(payload["start"], payload["bytes"])
    context.check()
    part = Dialect.of(piece["dialect"]).reader().read(data, payload["line"], payload.get("broken", ()))
    context.progress(len(data) // 2)
    yield load(part, columns_of(spec), piece["places"], spec)


def _in_utf8(context: Context, source: Source, options: Json) -> tuple[Source, str | None]:
    """The file itself and None; or a UTF-8 copy and the encoding, when its bytes cannot be cut."""
    asked = options.get("encoding")
    found, _ = marked(source.read(0, 1 << 12))
    wide = found if found not in (None, "utf-8") else None
    if asked and not transcode.ascii_below(asked):
        wide = asked
    return (source, None) if wide is None else (transcode.to_utf8(context, source, wide), wide)


def _body(context: Context, spec: Json, source: Source) -> tuple[Source, Body]:
    """What the first and the last bytes say; of a copy, when the delimiter has two characters."""
    head = source.read(0, _HEAD)
    sample = head[_begin(head, spec["options"].get("skip", 0)) :]
    if not sample.strip():
        raise BadInput(f"The file {source.name!r} has no text in it; there is nothing to import.")
    _check_text(source, sample)
    marks = find_marks(sample, "\t" if spec["format"] == "tsv" else ",", spec["options"])
    if len(marks.delimiter) == 1:
        return source, find_body(source, spec, marks)
    mark = standin(head, marks.delimiter)
    copy = transcode.replace_twofold(context, source, marks.delimiter, mark)
    body = find_body(copy, spec, replace(marks, delimiter=mark))
    dialect = replace(body.dialect, delimiter=marks.delimiter, standin=mark)
    return copy, replace(body, dialect=dialect)


def find_body(source: Source, spec: Json, marks: Marks) -> Body:
    """Where the table is. BadInput for what is no table, or more than one."""
    options: Json = spec["options"]
    head = source.read(0, _HEAD)
    start = _begin(head, options.get("skip", 0))
    sample = head[start:]
    records = read_records(sample if len(head) < _HEAD else _whole_lines(sample), marks)
    if not records:
        raise BadInput(f"The file {source.name!r} has no header; there is nothing to import.")
    rows = [record.cells for record in records]
    layout = find_layout(rows, options.get("header"), "skip" in options)
    first = records[layout.rows].start if layout.rows < len(records) else len(sample)
    end, footer, notes = _footer(source, start + first, marks, layout.width, options)
    second = repeats_header(rows, layout) if not {"header", "skip"} & set(options) else None
    if second is not None and start + records[second].start < end:
        raise BadInput(
            f"Line {count_lines(head[:start]) + records[second].line + 1} of {source.name!r} begins a second "
            "table; import one table a file, or say options.skip, options.header and options.footer."
        )
    above = records[layout.first].line
    said = [f"{_lines(above)} above the header left out."] if above else []
    dialect = Dialect(
        delimiter=marks.delimiter,
        quote=marks.quote,
        escape=marks.escape,
        encoding="utf-8",
        header=layout.header,
        skip=count_lines(head[:start]) + above,
        footer=footer,
        nullValues=tuple(options.get("nullValues", ("", "\\N"))),
        width=layout.width,
    )
    line = 1 + count_lines(head[: start + first])
    return Body(dialect, layout.names, start + first, end, line, (*said, *notes))


def _begin(head: bytes, skip: int) -> int:
    """Where the text begins, behind a byte order mark and the lines to skip."""
    position = marked(head)[1]
    for _ in range(skip):
        found = _LINE_END.search(head, position)
        position = found.end() if found else len(head)
    return position


def _check_text(source: Source, sample: bytes) -> None:
    """Bytes that are plainly no text are refused before they are taken for one long line."""
    some = sample[: 1 << 14]
    control = sum(some.count(byte) for byte in (*range(9), *range(14, 28)))
    if control * 10 > len(some):
        raise BadInput(
            f"The file {source.name!r} is not text; name its format in options.format if it is known."
        )


def _whole_lines(sample: bytes) -> bytes:
    end = max(sample.rfind(b"\n"), sample.rfind(b"\r")) + 1
    return sample[:end] if end else sample


def _footer(
    source: Source, start: int, marks: Marks, width: int, options: Json
) -> tuple[int, int, list[str]]:
    """(where the rows end, how many records are notes below them, what to say of it)."""
    size = source.size
    wanted = options.get("footer")
    if wanted == 0:
        return size, 0, []
    begin = max(start, size - _TAIL)
    tail = source.read(begin, size - begin)
    if begin > start:
        found = _LINE_END.search(tail)
        begin, tail = (begin + found.end(), tail[found.end() :]) if found else (size, b"")
    if len(toggles(tail, marks.grammar)) & 1:
        return size, 0, []
    records = read_records(tail, marks, limit=1 << 20)
    blank = [index > 0 and _blank_between(tail, records, index) for index in range(len(records))]
    count = wanted or footer_records([each.cells for each in records], blank, width)
    if not count or count >= len(records):
        return size, 0, []
    where = records[-count].start
    said = _whole_lines(tail[where : where + 200]).decode("latin-1").split("\n")[0].strip()
    return (
        begin + where,
        count,
        [f"{_lines(count)} below the table left out as notes, beginning with {said[:80]!r}."],
    )


def _blank_between(data: bytes, records: list[Record], index: int) -> bool:
    gap = data[records[index - 1].start : records[index].start]
    return len(_LINE_END.findall(gap[len(gap.rstrip(b"\r\n")) :])) > 1


def _between(source: Source, start: int, end: int) -> Iterator[bytes]:
    with source.open() as file:
        file.seek(start)
        left = end - start
        while left > 0 and (block := file.read(min(_BLOCK, left))):
            left -= len(block)
            yield block


def _seen(blocks: Iterator[bytes], evidence: Evidence) -> Iterator[bytes]:
    """The blocks, shown to the encoding's evidence in whole lines."""
    rest = b""
    for block in blocks:
        if not (block.isascii() and not rest):
            cut = max(block.rfind(b"\n"), block.rfind(b"\r")) + 1
            evidence.feed(rest + block[:cut])
            rest = block[cut:]
        yield block
    evidence.feed(rest)


Sample = tuple[bytes, int, list[Any]]  # bytes, the line they begin on, broken records


def _sample(run: Run, grammar: Grammar) -> Sample:
    """Whole records from the beginning of a run; read when the encoding is known."""
    data = run.data
    if len(data) > _SAMPLED:
        data = data[:_SAMPLED]
        data = data[: int(record_starts(data, grammar)[-1])]
    return bytes(data), run.line, [each for each in run.broken if each[0] + each[1] <= len(data)]


def _decoded(names: tuple[str, ...], encoding: str) -> list[str]:
    return [name.encode("latin-1").decode(encoding, "replace") for name in names]


def _extend(parts: list[Part], run: Run, target: int) -> None:
    """Add a run to the last part, or begin a new one when that is large enough."""
    if run.data[:1] in b"\r\n" and not run.data.strip(b"\r\n"):
        return  # blank lines at the end make no part of their own
    if parts and parts[-1].weight < target:
        last = parts.pop()
        shift = run.start - last.payload["start"]
        broken = [*last.payload["broken"], *([at + shift, length] for at, length in run.broken)]
        parts.append(
            Part({**last.payload, "bytes": shift + len(run.data), "broken": broken}, shift + len(run.data))
        )
        return
    broken = [list(each) for each in run.broken]
    payload = {
        "n": len(parts),
        "start": run.start,
        "bytes": len(run.data),
        "line": run.line,
        "broken": broken,
    }
    parts.append(Part(payload, len(run.data)))


def _lines(count: int) -> str:
    return f"{count} line" if count == 1 else f"{count} lines"
