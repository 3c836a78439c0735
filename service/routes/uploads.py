"""Files on their way in: from the socket straight into the store, hashed and counted, in bounded memory.

A body that is shorter than announced, or a form with a fault, leaves nothing behind. Form fields may come
before or after the file.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any, cast

from flask import request
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge
from werkzeug.formparser import MultiPartParser
from werkzeug.sansio.multipart import File

from pipelines.errors import Fault, InvalidRequest, nearest
from pipelines.plan import Json
from pipelines.store import Sink, Store
from service.errors import Refused
from service.jobs import Upload
from service.routes.requests import as_object

_BLOCK = 1 << 18
_FIELD_BYTES = 1 << 20
_PARTS = 20
_NAME_LENGTH = 255
_FIELDS = ("dataset", "file", "options")


@dataclass(frozen=True, slots=True)
class Form:
    """What an import form says."""

    dataset: str | None
    options: Json | None
    upload: Upload


def raw_upload(store: Store, name: str) -> Upload:
    """The whole body as a file. In chunks its end is known to the server alone, which tells us of none."""
    if request.content_length is None and "Transfer-Encoding" in request.headers:
        raise Refused(
            "length-required",
            "The length of the file is not announced, so nobody could tell if it came whole; send it with "
            "Content-Length, or as multipart/form-data.",
        )
    with _folder(store) as key:
        source = _Counted()
        with store.put(key) as sink:
            while block := source.read(_BLOCK):
                sink.write(block)
            source.check_complete()
        return Upload(base_name(name), key, sink.bytes, sink.sha256)


def form_upload(store: Store) -> Form:
    """The body as multipart/form-data; InvalidRequest with every fault of its parts."""
    boundary = request.mimetype_params.get("boundary", "")
    if not boundary or not boundary.isascii():
        raise Refused("malformed-form", "The Content-Type names no boundary; let your client build the form.")
    with _folder(store) as key:
        parser, source = _Parser(store, key), _Counted()
        try:
            fields, _ = parser.parse(cast(IO[bytes], source), boundary.encode(), request.content_length)
            source.check_complete()
            faults = parser.faults + _field_faults(fields, parser.sink is not None)
            options = _options(fields.get("options"), faults)
            if faults:
                raise InvalidRequest(faults)
        except RequestEntityTooLarge:
            parser.abandon()
            raise Refused("too-large", f"A form has at most {_PARTS} fields of 1 MiB together.") from None
        except ValueError:
            parser.abandon()
            source.check_complete()
            if request.content_length is None:
                raise Refused("incomplete-upload", "The form ends in the middle; send it again.") from None
            raise Refused("malformed-form", "The body is not multipart/form-data.") from None
        except BaseException:
            parser.abandon()
            raise
        sink = parser.publish()
        return Form(fields["dataset"], options, Upload(parser.name, key, sink.bytes, sink.sha256))


def base_name(name: str) -> str:
    """What the client calls the file, without folders and control characters."""
    plain = "".join(c for c in name.replace("\\", "/") if c.isprintable())
    return PurePosixPath(plain).name[:_NAME_LENGTH] or "upload"


@contextmanager
def _folder(store: Store) -> Iterator[str]:
    """A new key for an upload; nothing of it stays when the block fails."""
    folder = f"uploads/{uuid.uuid4().hex}"
    try:
        yield f"{folder}/data"
    except BaseException:
        store.delete(folder)
        raise


class _Counted:
    """The request's body, counted: a client that goes away must not look like the end of the file."""

    def __init__(self) -> None:
        self._stream, self._announced = request.stream, request.content_length
        self._bytes = 0

    def read(self, size: int = -1) -> bytes:
        try:
            block = self._stream.read(size)
        except (ClientDisconnected, OSError):
            raise self._incomplete() from None
        self._bytes += len(block)
        return block

    def check_complete(self) -> None:
        if self._announced is not None and self._bytes != self._announced:
            raise self._incomplete()

    def _incomplete(self) -> Refused:
        announced = "" if self._announced is None else f" of {self._announced:,} announced"
        said = f"The upload broke off: {self._bytes:,}{announced} bytes came; send it again."
        return Refused("incomplete-upload", said)


class _Parser(MultiPartParser):
    """werkzeug's parser with the store in place of memory and temporary files."""

    def __init__(self, store: Store, key: str) -> None:
        super().__init__(max_form_memory_size=_FIELD_BYTES, max_form_parts=_PARTS, buffer_size=_BLOCK)
        self._put = store.put(key)
        self.sink: Sink | None = None
        self.name = ""
        self.faults: list[Fault] = []

    def start_file_streaming(self, event: File, total_content_length: int | None) -> IO[bytes]:
        fault = None
        if event.name not in _FIELDS:
            fault = f"There is no field {event.name!r} here{nearest(str(event.name), _FIELDS)}"
        elif event.name != "file":
            fault = f"The field {event.name} is text; send it without a file name."
        elif self.sink is not None:
            fault = "The form has two files; send one import for each."
        if fault is not None:
            self.faults.append(Fault(f"/{event.name}", fault))
            return cast(IO[bytes], _Receiver(None))
        self.name = base_name(event.filename or "")
        self.sink = self._put.__enter__()
        return cast(IO[bytes], _Receiver(self.sink))

    def publish(self) -> Sink:
        assert self.sink is not None, "a form without a file is refused before"
        self._put.__exit__(None, None, None)
        return self.sink

    def abandon(self) -> None:
        if self.sink is not None:
            error = Abandoned()
            try:
                self._put.__exit__(Abandoned, error, None)
            except Abandoned:
                return


class Abandoned(Exception):
    """Thrown into a put that must not be published."""


class _Receiver:
    """What the parser takes for a file: bytes go to the sink, or nowhere."""

    def __init__(self, sink: Sink | None) -> None:
        self._sink = sink

    def write(self, data: bytes) -> int:
        return len(data) if self._sink is None else self._sink.write(data)

    def seek(self, position: int) -> int:
        return position

    def close(self) -> None:
        """The parser owns the put."""


def _field_faults(fields: Any, has_file: bool) -> list[Fault]:
    found = []
    for name in dict.fromkeys(fields.keys()):
        count = len(fields.getlist(name))
        if name not in _FIELDS:
            found.append(Fault(f"/{name}", f"There is no field {name!r} here{nearest(name, _FIELDS)}"))
        elif name == "file":
            found.append(
                Fault("/file", "The field file has no file name; send it as a file (curl: file=@PATH).")
            )
        elif count > 1:
            found.append(Fault(f"/{name}", f"The field {name} came {count} times; send it once."))
    if "dataset" not in fields:
        found.append(Fault("/dataset", "The field dataset is missing; name the dataset to import into."))
    if not has_file and "file" not in fields:
        found.append(Fault("/file", "The field file is missing; send the file to import."))
    return found


def _options(text: str | None, faults: list[Fault]) -> Json | None:
    if text is None:
        return None
    try:
        return as_object(text, "The field options", "/options")
    except InvalidRequest as error:
        faults += error.faults
    except Refused as error:
        faults.append(Fault("/options", error.detail))
    return None
