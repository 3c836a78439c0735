"""Files on their way in: from the socket straight into the store, hashed and counted, in bounded memory.

A body that is shorter than announced, or a form with a fault, leaves nothing behind. Form fields may come
before or after the files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
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
from service.routes.requests import as_json, as_object, read_or_note
from service.routes.site import site
from service.submission import folder_of, new_key

_BLOCK = 1 << 18
_FIELD_BYTES = 1 << 20
_FIELDS_OF_A_FORM = 20
_FILES = 1_000
_NAME_LENGTH = 255


@dataclass(frozen=True, slots=True)
class Fields:
    """The text fields of a form: the one it must have and what for, and the one that is JSON."""

    required: str
    purpose: str
    json: str

    @property
    def names(self) -> tuple[str, ...]:
        return self.required, "file", self.json, "callbacks"


IMPORT = Fields("dataset", "name the dataset to import into", "options")
VIDEO = Fields("operation", "name what is to be done with the video", "parameters")


@dataclass(frozen=True, slots=True)
class Form:
    """What a form says: its required field, its JSON, its files, and who is to be told."""

    required: str
    json: Json | None
    uploads: tuple[Upload, ...]
    callbacks: Any = None


def raw_upload(store: Store, name: str) -> Upload:
    """The whole body as a file. In chunks its end is known to the server alone, which tells us of none."""
    if request.content_length is None and "Transfer-Encoding" in request.headers:
        raise Refused(
            "length-required",
            "The length of the file is not announced, so nobody could tell if it came whole; send it with "
            "Content-Length, or as multipart/form-data.",
        )
    key, source = new_key(), _Counted()
    try:
        with store.put(key) as sink:
            while block := source.read(_BLOCK):
                sink.write(block)
            source.check_complete()
    except BaseException:
        store.delete(folder_of(key))
        raise
    return Upload(base_name(name), key, sink.bytes, sink.sha256)


def form_upload(store: Store, fields: Fields) -> Form:
    """The body as multipart/form-data; InvalidRequest with every fault of its parts."""
    boundary = request.mimetype_params.get("boundary", "")
    if not boundary or not boundary.isascii():
        raise Refused("malformed-form", "The Content-Type names no boundary; let your client build the form.")
    source = _Counted()
    with _receiving(store, fields.names) as parser:
        try:
            texts, _ = parser.parse(cast(IO[bytes], source), boundary.encode(), request.content_length)
        except RequestEntityTooLarge:
            said = f"A form has at most {_FILES:,} files and {_FIELDS_OF_A_FORM} fields of 1 MiB together."
            raise Refused("too-large", said) from None
        except ValueError:
            source.check_complete()
            if request.content_length is None:
                raise Refused("incomplete-upload", "The form ends in the middle; send it again.") from None
            raise Refused("malformed-form", "The body is not multipart/form-data.") from None
        source.check_complete()
        parser.finish()
        faults = parser.faults + _field_faults(texts, fields, bool(parser.uploads))
        found, told = (
            read_or_note(texts.get(name), f"The field {name}", f"/{name}", faults, read)
            for name, read in ((fields.json, as_object), ("callbacks", as_json))
        )
        if faults:
            raise InvalidRequest(faults)
        return Form(texts[fields.required], found, tuple(parser.uploads), told)


def named_files(body: Json, kind: str, fields: Fields) -> tuple[Any, Any, Any, Any]:
    """(required, source, JSON, callbacks) of a JSON body that names files of an input folder.

    All that is wrong with it is told at once.
    """
    members = (fields.required, "source", fields.json, "callbacks")
    faults = [
        Fault(f"/{name}", f"{name!r} is not a member here{nearest(name, members)}")
        for name in body
        if name not in members
    ]
    faults += [Fault(f"/{name}", f"{name!r} is missing.") for name in members[:2] if name not in body]
    if faults:
        given = {name: body.get(name) for name in members if name != "source"}
        rest = site().jobs.faults_beside(kind, given)
        kept = [each for each in rest if each.pointer != f"/{fields.required}" or fields.required in body]
        raise InvalidRequest([*faults, *kept])
    return body[fields.required], body["source"], body.get(fields.json), body.get("callbacks")


def base_name(name: str) -> str:
    """What the client calls the file, without folders and control characters."""
    plain = "".join(c for c in name.replace("\\", "/") if c.isprintable())
    return PurePosixPath(plain).name[:_NAME_LENGTH] or "upload"


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
    """werkzeug's parser with the store in place of memory and temporary files.

    One file is written at a time; it is whole, and an upload, when the next part begins or at `finish`.
    """

    def __init__(self, store: Store, names: Sequence[str]) -> None:
        parts = _FILES + _FIELDS_OF_A_FORM
        super().__init__(max_form_memory_size=_FIELD_BYTES, max_form_parts=parts, buffer_size=_BLOCK)
        self._store, self._names = store, names
        self._putting = ExitStack()
        self._written: tuple[str, str, Sink] | None = None
        self.keys: list[str] = []
        self.uploads: list[Upload] = []
        self.faults: list[Fault] = []

    def start_file_streaming(self, event: File, total_content_length: int | None) -> IO[bytes]:
        fault = None
        if event.name not in self._names:
            fault = f"There is no field {event.name!r} here{nearest(str(event.name), self._names)}"
        elif event.name != "file":
            fault = f"The field {event.name} is text; send it without a file name."
        if fault is not None:
            self.faults.append(Fault(f"/{event.name}", fault))
            return cast(IO[bytes], _Receiver(None))
        self.finish()
        key = new_key()
        self.keys.append(key)
        sink = self._putting.enter_context(self._store.put(key))
        self._written = (base_name(event.filename or ""), key, sink)
        return cast(IO[bytes], _Receiver(sink))

    def finish(self) -> None:
        """The file that was being written is whole."""
        self._putting.close()
        if self._written is not None:
            name, key, sink = self._written
            self.uploads.append(Upload(name, key, sink.bytes, sink.sha256))
            self._written = None

    def abandon(self, error: BaseException) -> None:
        """Nothing of the form stays."""
        with suppress(type(error)):
            self._putting.__exit__(type(error), error, None)
        for key in self.keys:
            self._store.delete(folder_of(key))


@contextmanager
def _receiving(store: Store, names: Sequence[str]) -> Iterator[_Parser]:
    """A parser whose files are deleted when the block fails."""
    parser = _Parser(store, names)
    try:
        yield parser
    except BaseException as error:
        parser.abandon(error)
        raise


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


def _field_faults(texts: Any, fields: Fields, has_file: bool) -> list[Fault]:
    found = []
    for name in dict.fromkeys(texts.keys()):
        count = len(texts.getlist(name))
        if name not in fields.names:
            found.append(Fault(f"/{name}", f"There is no field {name!r} here{nearest(name, fields.names)}"))
        elif name == "file":
            found.append(
                Fault("/file", "The field file has no file name; send it as a file (curl: file=@PATH).")
            )
        elif count > 1:
            found.append(Fault(f"/{name}", f"The field {name} came {count} times; send it once."))
    if fields.required not in texts:
        said = f"The field {fields.required} is missing; {fields.purpose}."
        found.append(Fault(f"/{fields.required}", said))
    if not has_file and "file" not in texts:
        what = "to import" if fields is IMPORT else "to work on"
        found.append(Fault("/file", f"The field file is missing; send the file {what}."))
    return found
