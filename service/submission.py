"""The checks of a submission that no pipeline knows: idempotency key, priority, source files."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.errors import Fault, InvalidRequest, nearest
from pipelines.plan import Json, Request
from service.model import Priority

_KEY_LENGTH = 255


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that is in the store already, under `uploads/<id>/data`; `name` is what the client called it."""

    name: str
    key: str
    bytes: int
    sha256: str | None


def new_key() -> str:
    """Where an upload goes: a folder of its own."""
    return f"uploads/{uuid.uuid4().hex}/data"


def folder_of(key: str) -> str:
    """The folder of an upload, by its key."""
    return key.removesuffix("/data")


Source = Upload | str
Sources = Source | Sequence[Source]  # a path stands for a file of an input folder


def names_of(source: Sources) -> Any:
    """What the client called its file; a list for several."""
    given = [each.name if isinstance(each, Upload) else each for each in _several(source)]
    return given if isinstance(source, list) or len(given) != 1 else given[0]


def uploads_of(source: Sources) -> list[Upload]:
    """Those that are in the store."""
    return [each for each in _several(source) if isinstance(each, Upload)]


def content_of(source: Sources) -> list[Any]:
    """What tells two submissions of the same names apart: size and sha256 of what was uploaded."""
    found = [[each.bytes, each.sha256] for each in uploads_of(source)]
    return found[0] if len(found) == 1 else list[Any](found)


def files_of(source: Sources, folders: Sequence[Path]) -> list[Json]:
    """The files as imports take them; InvalidRequest with a fault for each path that is none."""
    files: list[Json] = []
    faults: list[Fault] = []
    taken: dict[Path, int] = {}
    given = _several(source)
    for number, each in enumerate(given):
        if isinstance(each, Upload):
            place = {"store": each.key}
            files.append({"source": place, "name": each.name, "bytes": each.bytes, "sha256": each.sha256})
            continue
        pointer = f"/source/{number}" if isinstance(source, list) else "/source"
        try:
            path = allowed_file(each, folders)
        except InvalidRequest as refused:
            faults += [Fault(pointer, fault.detail) for fault in refused.faults]
            continue
        if taken.setdefault(path, number) != number:
            faults.append(Fault(pointer, f"{each!r} is named twice; leave it out once."))
        size = path.stat().st_size
        files.append({"source": {"file": str(path)}, "name": path.name, "bytes": size, "sha256": None})
    if not given:
        faults.append(Fault("/source", "source is an empty list; name at least one file."))
    if faults:
        raise InvalidRequest(faults)
    return files


def _several(source: Any) -> Sequence[Any]:
    return source if isinstance(source, list | tuple) else (source,)


def with_files(
    parse: Callable[[Json], Request], payload: Json, source: Sources, folders: Sequence[Path]
) -> Request:
    """The request that `parse` makes of a payload and its `files`; refused files leave no fault untold."""
    try:
        files = files_of(source, folders)
    except InvalidRequest as refused:
        raise InvalidRequest([*refused.faults, *faults_beside(parse, payload)]) from None
    return parse({**payload, "files": files})


def faults_beside(parse: Callable[[Json], Request], payload: Json) -> Sequence[Fault]:
    """What is wrong with a submission whatever its files are."""
    nothing = {"source": {"file": ""}, "name": "", "bytes": 0, "sha256": None}
    found = faults_of(lambda: parse({**payload, "files": [nothing]}))
    return [fault for fault in found if not fault.pointer.startswith("/source")]


def priority_of(given: Priority | str | None) -> Priority:
    """The Priority of a header's text; interactive without one."""
    if given is None:
        return Priority.INTERACTIVE
    try:
        return Priority(given)
    except ValueError:
        hint = nearest(str(given), list(Priority))
        raise InvalidRequest(
            [Fault("", f"Haulier-Priority is {given!r}; use interactive or batch{hint}")]
        ) from None


def checked_key(key: str) -> str:
    """An Idempotency-Key that every database can keep."""
    if not 1 <= len(key) <= _KEY_LENGTH or not key.isascii() or not key.isprintable():
        problem = (
            f"Idempotency-Key must be 1 to {_KEY_LENGTH} printable ASCII characters; a UUID is a good one."
        )
        raise InvalidRequest([Fault("", problem)])
    return key


def faults_of(check: Callable[[], object]) -> list[Fault]:
    """What a check refuses; nothing when it passes."""
    try:
        check()
    except InvalidRequest as error:
        return list(error.faults)
    return []


def given(**members: Any) -> Json:
    """Those that came."""
    return {name: value for name, value in members.items() if value is not None}


def plain(asked: Json) -> Json:
    """A submission without who is to be told of it: what pipelines know."""
    return {name: value for name, value in asked.items() if name != "callbacks"}


def digest(body: Any) -> str:
    """The same for the same JSON, whatever the order of its members."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, default=str).encode()).hexdigest()


def allowed_file(given: Any, folders: Sequence[Path]) -> Path:
    """The file a client named by path, links resolved, if it lies in an input folder; else InvalidRequest.

    The answer is the same for a file that is not there and for one that lies elsewhere: nobody may explore
    the machine with it. A relative path is looked up in each folder.
    """
    if not isinstance(given, str) or not given:
        raise _refusal(
            "source must be the path of a file in an input folder, as text, or a list of such paths."
        )
    if not folders:
        raise _refusal("This service has no input folder; upload the file, or set HAULIER_INPUT_FOLDERS.")
    for path in _found(given, folders):
        return path
    raise _refusal(
        f"{given!r} is no file in an input folder of this service; put it there, or upload the file."
    )


def _found(given: str, folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        try:
            root = folder.resolve()
            path = (root / given).resolve()
            if path.is_relative_to(root) and path.is_file():
                yield path
        except (OSError, ValueError, RuntimeError):  # too long, a NUL in it, links in a circle
            continue


def _refusal(detail: str) -> InvalidRequest:
    return InvalidRequest([Fault("/source", detail)])
