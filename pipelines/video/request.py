"""The submission of a video job: everything that can be known wrong before a frame is read.

Runs in the web process: looks at names, parameters, the first bytes and what the ffmpeg here can do.
"""

from __future__ import annotations

from typing import Any

from pipelines.datasets import Catalog
from pipelines.errors import Fault, InvalidRequest, nearest
from pipelines.plan import Json, Request
from pipelines.store import Store
from pipelines.video.operations import OPERATIONS, Operation
from pipelines.video.parameters import checked
from pipelines.video.place import head_of, stamp_of
from pipelines.video.sniff import KNOWN, kind_of
from pipelines.video.tool import NoTool, find

_WANTED = {
    "video": f"a video ({KNOWN})",
    "image": "a picture (PNG, JPEG, WebP)",
    "subtitles": "subtitles (SRT, WebVTT, ASS)",
}


def parse(payload: Json, catalog: Catalog) -> Request:
    """A checked video job, or InvalidRequest with every fault.

    `files` are {name, source: {store} or {file}, bytes, sha256}; `ffmpeg` is the configured program, if any.
    """
    name, given = payload.get("operation"), payload.get("parameters")
    given = {} if given is None else given
    operation, faults, parameters = None, list[Fault](), None
    if isinstance(name, str) and name in OPERATIONS:
        operation = OPERATIONS[name]
        try:
            parameters = checked(operation.Parameters, given)
        except InvalidRequest as error:
            faults += error.faults
    else:
        faults.append(
            Fault("/operation", f"There is no video operation {name!r}{nearest(str(name), OPERATIONS)}")
        )
    files = [_file(each) for each in payload["files"]]
    faults += _source_faults(files, operation, catalog.store)
    faults += _tool_faults(payload.get("ffmpeg"), operation, parameters)
    if faults or operation is None:
        raise InvalidRequest(faults)
    shown: Any = files[0]["name"] if len(files) == 1 else [each["name"] for each in files]
    spec = {"operation": name, "parameters": given, "files": files, "ffmpeg": payload.get("ffmpeg")}
    asked = {"operation": name, "source": shown, "parameters": given}
    return Request(operation.name, asked, spec, sum(int(each["bytes"]) for each in files), "bytes")


def _file(given: Json) -> Json:
    found = {name: given.get(name) for name in ("name", "source", "bytes", "sha256")}
    path = given["source"].get("file")
    return {**found, "stamp": stamp_of(path)} if path else found


def _source_faults(files: list[Json], operation: Operation | None, store: Store) -> list[Fault]:
    faults = []
    if operation is not None and not len(operation.sources) <= len(files) <= operation.most:
        least, most = len(operation.sources), operation.most
        wanted = f"{least}" if least == most else f"{least} to {most}"
        kinds = " and ".join(_WANTED[each] for each in dict.fromkeys(operation.sources))
        said = (
            f"{operation.name} takes {wanted} file{'' if wanted == '1' else 's'} ({kinds}), not {len(files)}."
        )
        faults.append(Fault("/source", said))
    for number, each in enumerate(files):
        wanted = "video"
        if operation is not None:
            wanted = operation.sources[min(number, len(operation.sources) - 1)]
        if not each["bytes"]:
            faults.append(Fault("/source", f"The file {each['name']!r} is empty (0 bytes); choose another."))
            continue
        kind = kind_of(head_of(store, each["source"]))
        if kind is None or kind.name != wanted:
            found = f"{kind.name}" if kind else "none by its first bytes"
            said = f"The file {each['name']!r} must be {_WANTED[wanted]}; it is {found}."
            faults.append(Fault("/source", said))
    return faults


def _tool_faults(configured: str | None, operation: Operation | None, parameters: Any) -> list[Fault]:
    try:
        tool = find(configured)
    except NoTool as error:
        return [Fault("/operation", error.detail)]
    if operation is None or parameters is None:
        return []
    lacks = tool.missing(operation.encoders(parameters), operation.filters)
    return [Fault("/operation", lacks)] if lacks else []
