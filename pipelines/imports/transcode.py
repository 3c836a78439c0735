"""Text whose bytes cannot be cut as they are, copied into the job's scratch as UTF-8, block by block.

UTF-16 and UTF-32, East Asian encodings, and delimiters of two characters (one unused control character stands
in for them; readers put them back where they were quoted).
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from pipelines.errors import BadInput
from pipelines.imports.source import Source
from pipelines.run import Context

_BLOCK = 1 << 20
_ASCII = bytes(range(128))


def ascii_below(encoding: str) -> bool:
    """Do bytes below 128 always stand for themselves, so that text can be cut before it is decoded?"""
    info = codecs.lookup(encoding)
    if info.name.startswith(("utf-16", "utf-32", "utf-7")) or info.name in _WIDE:
        return False
    return _ASCII.decode(encoding, "replace") == _ASCII.decode("ascii")


_WIDE = (
    "shift_jis",
    "cp932",
    "gbk",
    "gb18030",
    "gb2312",
    "big5",
    "cp950",
    "cp949",
    "euc_jp",
    "euc_kr",
    "johab",
    "hz",
)


def to_utf8(context: Context, source: Source, encoding: str) -> Source:
    """A copy of `source` in UTF-8."""
    key = f"{context.scratch}/text-{_number(context)}"
    with context.store.put(key) as sink:
        for text in _decoded(context, source, encoding):
            sink.write(text.encode("utf-8", "surrogatepass"))
    return Source(source.name, source.store, key)


def replace_twofold(context: Context, source: Source, delimiter: str, standin: str) -> Source:
    """A copy of `source` with one byte for a delimiter of two."""
    key = f"{context.scratch}/text-{_number(context)}"
    wanted, mark, rest = delimiter.encode(), standin.encode(), b""
    with context.store.put(key) as sink:
        for block in source.blocks(_BLOCK):
            context.progress(0)
            if mark in block:
                raise BadInput(
                    f"The file {source.name!r} holds the control character {standin!r}; "
                    f"a delimiter of two characters cannot be read then."
                )
            block = rest + block
            cut = len(block) - 1 if block[-1:] == wanted[:1] else len(block)
            sink.write(block[:cut].replace(wanted, mark))
            rest = block[cut:]
        sink.write(rest)
    return Source(source.name, source.store, key)


def _decoded(context: Context, source: Source, encoding: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    position = 0
    try:
        for block in source.blocks(_BLOCK):
            context.progress(0)
            yield decoder.decode(block)
            position += len(block)
        yield decoder.decode(b"", True)
    except UnicodeDecodeError as error:
        raise BadInput(
            f"The file {source.name!r} is not {encoding} near byte {position + error.start:,}; "
            "set options.encoding to what it is."
        ) from None


def _number(context: Context) -> int:
    return sum(1 for _ in context.store.list(context.scratch))
