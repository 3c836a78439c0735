"""Files out of their wrapping: gz, bz2, zst and zip are unpacked into the job's scratch, in bounded memory.

Streams are read block by block and refused once they grow beyond all proportion, so a bomb costs seconds and
no memory. Names inside archives are labels only: they never become paths.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any

import pyarrow as pa

from pipelines.errors import BadInput
from pipelines.imports.source import Source, format_by_content, format_by_name, reconciled
from pipelines.plan import Json
from pipelines.run import Context

PACKED = ("gz", "bz2", "zst", "zip")
FREE = 256 << 20  # bytes that may come out of any file
RATIO = 200  # bytes that may come out of one byte beyond that
_BLOCK = 1 << 20
_MEMBERS = 10_000
_LAYERS = 2  # csv.gz in a zip is plausible, more is a trap


@dataclass(frozen=True, slots=True)
class Piece:
    """One table-bearing file: what it is called, in which format, where its bytes are."""

    name: str
    format: str
    source: Source


def unpack(context: Context, source: Source, spec: Json) -> list[Piece]:
    """The files a file holds: itself, or what is packed in it."""
    return _opened(context, source, spec, _LAYERS)


def _opened(context: Context, source: Source, spec: Json, layers: int) -> list[Piece]:
    wrapping = format_by_content(source)
    if wrapping not in PACKED:
        return [Piece(source.name, _format(source, wrapping, spec), source)]
    if not layers:
        raise BadInput(
            f"The file {source.name!r} is packed in a packed file once too often; unpack it first."
        )
    if wrapping == "zip":
        return _from_zip(context, source, spec, layers)
    inner = (
        source.name.rsplit(".", 1)[0]
        if source.name.lower().endswith((".gz", ".bz2", ".zst", ".gzip"))
        else source.name
    )
    with source.open() as file:
        copy = _copied(context, inner, source.size, lambda: _stream(wrapping, file))
    return _opened(context, copy, spec, layers - 1)


def _format(source: Source, content: str | None, spec: Json) -> str:
    asked = spec["options"].get("format")
    return reconciled(content, asked, format_by_name(source.name))


def _stream(wrapping: str, file: IO[bytes]) -> Any:
    if wrapping == "gz":
        return gzip.GzipFile(fileobj=file)
    return bz2.BZ2File(file) if wrapping == "bz2" else pa.CompressedInputStream(file, "zstd")


def _from_zip(context: Context, source: Source, spec: Json, layers: int) -> list[Piece]:
    wanted = spec["options"].get("member")
    with source.open() as file:
        try:
            archive = zipfile.ZipFile(file)
            members = [each for each in archive.infolist() if _is_table(each)]
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
            raise _damaged(source, error) from error
        if len(members) > _MEMBERS:
            raise BadInput(f"The file {source.name!r} holds {len(members):,} files, more than {_MEMBERS:,}.")
        pieces = []
        for member in _chosen(source, members, wanted):
            name = PurePosixPath(member.filename.replace("\\", "/")).name or source.name
            size = min(source.size, max(member.compress_size, 1))
            copy = _copied(context, name, size, lambda member=member: archive.open(member))  # type: ignore[misc]
            pieces += _opened(context, copy, spec, layers - 1)
    return pieces


def _is_table(member: zipfile.ZipInfo) -> bool:
    name = member.filename.replace("\\", "/")
    return (
        not member.is_dir()
        and not name.startswith("__MACOSX/")
        and not name.rsplit("/", 1)[-1].startswith(".")
    )


def _chosen(source: Source, members: list[zipfile.ZipInfo], wanted: str | None) -> list[zipfile.ZipInfo]:
    names = [member.filename for member in members]
    if not members:
        raise BadInput(f"The file {source.name!r} holds no file to import.")
    if wanted == "*" or (wanted is None and len(members) == 1):
        return members
    shown = ", ".join(repr(name) for name in names[:10]) + (", ..." if len(names) > 10 else "")
    if wanted is None:
        raise BadInput(
            f"The file {source.name!r} holds {len(members)} files ({shown}); choose one by options.member, "
            "or set it to '*' when all of them are one table."
        )
    found = [member for member in members if wanted in (member.filename, member.filename.rsplit("/", 1)[-1])]
    if not found:
        raise BadInput(f"The file {source.name!r} holds no {wanted!r}; it holds {shown}.")
    return found[:1]


def _copied(context: Context, name: str, packed: int, opened: Callable[[], Any]) -> Source:
    """A stream's bytes as an object of the scratch.

    BadInput when it is damaged or grows out of proportion.
    """
    number = sum(1 for _ in context.store.list(context.scratch))
    key = f"{context.scratch}/unpacked-{number}"
    most = max(FREE, RATIO * packed)
    try:
        with context.store.put(key) as sink, opened() as stream:
            while block := stream.read(_BLOCK):
                context.progress(0)
                if sink.bytes + len(block) > most:
                    raise BadInput(
                        f"The file {name!r} unpacks to more than {RATIO} times its size "
                        f"(over {most >> 20:,} MB); it is refused as a bomb. Unpack it yourself if it "
                        "is none."
                    )
                sink.write(block)
    except (
        zlib.error,
        lzma.LZMAError,
        EOFError,
        zipfile.BadZipFile,
        RuntimeError,
        NotImplementedError,
    ) as error:
        raise BadInput(
            f"The packed file {name!r} is damaged or protected ({_said(error)}); pack it again."
        ) from error
    except (OSError, pa.ArrowException) as error:
        if getattr(error, "errno", None):
            raise
        raise BadInput(f"The packed file {name!r} is damaged ({_said(error)}); pack it again.") from error
    return Source(name, context.store, key)


def _damaged(source: Source, error: Exception) -> BadInput:
    return BadInput(f"The file {source.name!r} is a damaged zip file ({_said(error)}); pack it again.")


def _said(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
