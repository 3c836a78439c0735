"""JSON: lines of objects, an array of objects, or one object; nested values flattened by one rule.

The rule: an object in an object becomes columns "outer.inner"; an object whose only key begins with "$" is
that key's value; a list stays as JSON text in one column; a row that is a list has columns "column1"...
A file that is one object gives the rows of its only list of objects, else itself as one row.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import IO, Any

from pipelines.child import guarded
from pipelines.errors import BadInput
from pipelines.imports import spool
from pipelines.imports.encoding import marked
from pipelines.imports.rejects import cut
from pipelines.imports.source import Source
from pipelines.imports.spool import Cell, Spool
from pipelines.imports.survey import Survey
from pipelines.plan import Json
from pipelines.run import Context
from pipelines.store import open_store

_LONGEST = 16 << 20  # characters of one record
_BLOCK = 1 << 20
_COLUMNS = 4_096
_SPACE = re.compile(r"[\s,\x1e]*")
RULE = 'outer.inner; {"$key": value} is value; lists stay JSON text'

read = spool.read


class _Number(str):
    """A number as it was written."""


def survey(context: Context, spec: Json, source: Source) -> Survey:
    """All rows into the spool, in a child; the columns are those of any record."""
    given = spool.argument(context, source, spec["options"])
    told = guarded(context, "pipelines.imports.nested:convert", given, source.name, source.size)
    return spool.surveyed(
        context.store, told, {"encoding": told["encoding"], "flattened": RULE}, told["warnings"]
    )


def convert(argument: Json) -> Json:
    """Runs in the child: the file's records into the spool."""
    store = open_store(argument["store"])
    source = Source(argument["name"], store, argument["source"].get("store"), argument["source"].get("file"))
    rows = Spool(store, argument["prefix"])
    reader = _Reader(rows, source.name)
    encoding = marked(source.read(0, 1 << 12))[0] or "utf-8"
    with source.open() as file:
        head = (
            codecs.getincrementaldecoder(encoding)("replace")
            .decode(file.read(1 << 16))
            .lstrip("\ufeff \r\n\t")
        )
        file.seek(3 if encoding == "utf-8" and file.read(3) != b"" and _has_mark(file) else 0)
        if head.startswith("[") or (head.startswith("{") and not _first_line_is_whole(head)):
            reader.values(file, encoding, in_array=head.startswith("["))
        else:
            reader.lines(file, encoding)
    if not rows.names and reader.records:
        raise BadInput(f"The file {source.name!r} has no JSON objects with keys; there is nothing to import.")
    said = []
    if reader.repeated:
        said.append(f"{reader.repeated} record(s) name a key twice; the last one counts.")
    return {**rows.close(), "encoding": encoding, "warnings": said}


def flatten(record: Any, prefix: str = "") -> dict[str, Cell]:
    """The cells of one record."""
    cells: dict[str, Cell] = {}
    items = (
        record.items() if isinstance(record, dict) else ((f"column{n}", v) for n, v in enumerate(record, 1))
    )
    for key, value in items:
        name = f"{prefix}{key}" if key.strip() or prefix else "(no name)"
        while isinstance(value, dict) and len(value) == 1 and next(iter(value)).startswith("$"):
            value = next(iter(value.values()))
        if isinstance(value, dict) and value:
            cells.update(flatten(value, f"{name}."))
        else:
            cells[name] = _cell(value)
    return cells


def _cell(value: Any) -> Cell:
    if value is None:
        return None
    if isinstance(value, _Number):
        return str(value), False
    if isinstance(value, bool):
        return ("true" if value else "false"), False
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode(), True
    return json.dumps(_plain(value), ensure_ascii=False).encode("utf-8", "replace").decode(), True


def _plain(value: Any) -> Any:
    """The value with numbers that `json.dumps` writes as they were."""
    if isinstance(value, _Number):
        return json.loads(value)
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value


class _Reader:
    """Feeds the records of a file to a spool."""

    def __init__(self, rows: Spool, name: str) -> None:
        self._rows, self._name = rows, name
        self.repeated = self.records = 0
        self._decoder = json.JSONDecoder(
            object_pairs_hook=self._object, parse_int=_Number, parse_float=_Number, parse_constant=_Number
        )

    def lines(self, file: IO[bytes], encoding: str) -> None:
        """A record a line; a line that is none is rejected."""
        number = 0
        for number, raw in enumerate(_physical_lines(file, encoding), 1):
            if len(raw) >= _LONGEST:
                self._rows.reject(number, f"longer than {_LONGEST >> 20} MB", cut(raw, 200))
                continue
            text = raw.strip(" \t\r\n\x1e\ufeff")
            if not text:
                continue
            try:
                if "\ufffd" in text and encoding == "utf-8":
                    raise ValueError("bytes that are not UTF-8")
                value, end = self._decoder.raw_decode(text)
                if text[end:].strip(" ,"):
                    raise ValueError("more text behind the value")
                self._take(number, value)
            except RecursionError:
                self._rows.reject(number, "nested too deep", cut(text, 200))
            except ValueError as error:
                self._rows.reject(number, f"not a JSON object: {error}", text[:10_000])

    def values(self, file: IO[bytes], encoding: str, *, in_array: bool) -> None:
        """Values one after the other, with or without brackets around them all."""
        text = _Text(self._name, file, encoding)
        if in_array:
            text.skip()
            text.move(text.position + 1)
        first: list[tuple[int, Any]] = []
        while text.skip():
            if text.at("]"):
                self._check_rest(text.rest(), file)
                return
            found = self._decoded(text)
            if found is None:
                continue  # there is more text now
            value, end = found
            if in_array or first:
                self._taken(text.line, value)
            first = first or [(text.line, value)]
            text.move(end)
        if in_array:
            raise BadInput(f"The JSON array of {self._name!r} is not closed; the file is cut short.")
        self._alone(first)

    def _decoded(self, text: _Text) -> tuple[Any, int] | None:
        """(value, where it ends), None when more text came that may complete it."""
        try:
            return self._decoder.raw_decode(text.text, text.position)
        except RecursionError:
            raise BadInput(f"The file {self._name!r} is nested too deep; it is refused.") from None
        except json.JSONDecodeError as error:
            if len(text.text) - text.position < _LONGEST and text.more():
                return None
            at = text.line + text.text.count("\n", text.position, min(error.pos, len(text.text)))
            raise BadInput(f"Line {at} of {self._name!r}: the JSON is broken ({error.msg}).") from None

    def _alone(self, first: list[tuple[int, Any]]) -> None:
        """A file of one object: its only list of objects, else itself. More than one were taken already."""
        if not first:
            return
        line, value = first[0]
        lists = [each for each in value.values() if _is_table(each)] if isinstance(value, dict) else []
        if self.records == 0 and len(lists) == 1:
            for each in lists[0]:
                self._taken(line, each)
        else:
            self._taken(line, value)

    def _check_rest(self, rest: str, file: IO[bytes]) -> None:
        if rest.strip() or file.read(_BLOCK).strip():
            raise BadInput(
                f"The file {self._name!r} has more text behind its JSON array; import one array a file."
            )

    def _taken(self, line: int, value: Any) -> None:
        try:
            self._take(line, value)
        except ValueError as error:
            self._rows.reject(line, str(error), cut(str(value), 200))

    def _take(self, line: int, value: Any) -> None:
        if not isinstance(value, dict | list):
            raise ValueError("a value, not an object")
        self.records += 1
        self._rows.row(line, flatten(value))
        if len(self._rows.names) > _COLUMNS:
            raise BadInput(
                f"The records of {self._name!r} have more than {_COLUMNS:,} different keys; it is refused. "
                "Keys may be values here: write them as values."
            )

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            self.repeated += 1
        return found


class _Text:
    """A file's text block by block: what is read is dropped, `line` is that of `position`."""

    def __init__(self, name: str, file: IO[bytes], encoding: str) -> None:
        self._name, self._file, self._encoding = name, file, encoding
        self._decoder = codecs.getincrementaldecoder(encoding)("strict")
        self.text, self.position, self.line, self._final = "", 0, 1, False

    def skip(self) -> bool:
        """Go to the next character that is neither blank nor a comma; False at the end."""
        while True:
            found = _SPACE.match(self.text, self.position)
            self.move(found.end() if found else self.position)
            if self.position < len(self.text):
                return True
            if not self.more():
                return False

    def at(self, character: str) -> bool:
        return self.text.startswith(character, self.position)

    def move(self, position: int) -> None:
        self.line += self.text.count("\n", self.position, position)
        self.position = position

    def rest(self) -> str:
        return self.text[self.position + 1 :]

    def more(self) -> bool:
        """Read on; False when there is no more."""
        if self._final:
            return False
        self.text, self.position = self.text[self.position :], 0
        block = self._file.read(max(_BLOCK, len(self.text)))
        self._final = not block
        try:
            self.text += self._decoder.decode(block, self._final)
        except UnicodeDecodeError:
            said = f"The file {self._name!r} is not {self._encoding}; set options.encoding."
            raise BadInput(said) from None
        return not self._final


def _physical_lines(file: IO[bytes], encoding: str) -> Iterator[str]:
    """Lines of the file; of one that is too long only the beginning."""
    reader = codecs.getreader(encoding)(file, "replace") if encoding != "utf-8" else None
    if reader is not None:
        yield from reader
        return
    while raw := file.readline(_LONGEST):
        if len(raw) >= _LONGEST and not raw.endswith(b"\n"):
            while (more := file.readline(_LONGEST)) and not more.endswith(b"\n"):
                pass
        yield raw.decode(errors="replace")


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def _first_line_is_whole(head: str) -> bool:
    line, ended, _ = head.partition("\n")
    try:
        json.loads(line)
        return True
    except (ValueError, RecursionError):
        return not ended and len(head) >= 1 << 15


def _has_mark(file: IO[bytes]) -> bool:
    file.seek(0)
    return file.read(3) == codecs.BOM_UTF8
