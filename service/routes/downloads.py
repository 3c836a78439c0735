"""Files on their way out: from the store in blocks, whole or one range, named and verifiable."""

from __future__ import annotations

import base64
import hashlib
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from urllib.parse import quote

from flask import Response, request
from werkzeug.datastructures import Range
from werkzeug.exceptions import RequestedRangeNotSatisfiable

from pipelines.plan import Artifact
from pipelines.store import Store
from service.errors import Gone
from service.routes.site import site

_BLOCK = 1 << 18


def download(job_id: str, kind: str) -> Response:
    """The file of a successful job; NotReady, JobEnded or Gone otherwise."""
    jobs, store = site().jobs, site().store
    jobs.get(job_id, kind)
    job, artifact = jobs.artifact(job_id)
    headers = _headers(artifact)
    if request.if_none_match.contains_weak(artifact.sha256):
        return Response(status=304, headers=headers)
    start, stop = 0, artifact.bytes
    wanted = _range(artifact)
    if wanted is not None:
        start, stop = wanted
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{artifact.bytes}"
    headers["Content-Length"] = str(stop - start)
    try:
        if store.stat(artifact.path).bytes != artifact.bytes:  # changed behind our back
            jobs.forget_result(job)
            raise Gone(job)
    except FileNotFoundError:
        raise Gone(job) from None
    body: Iterable[bytes] = ()
    if request.method == "GET":
        body = _blocks(store, artifact.path, start, stop)
        if stop - start == artifact.bytes:
            body = _checked(body, artifact, partial(jobs.forget_result, job))
    return Response(body, 200 if wanted is None else 206, headers, direct_passthrough=True)


def _headers(artifact: Artifact) -> dict[str, str]:
    digest = base64.b64encode(bytes.fromhex(artifact.sha256)).decode()
    return {
        "Content-Type": artifact.media_type,
        "Content-Disposition": disposition(artifact.name),
        "ETag": f'"{artifact.sha256}"',
        "Repr-Digest": f"sha-256=:{digest}:",
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, immutable",
    }


def disposition(name: str) -> str:
    """RFC 6266: a plain name for every client, the real one in UTF-8 where it differs."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = "".join(c if c.isprintable() and c not in '"\\/%;' else "_" for c in plain)
    encoded = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'attachment; filename="{plain}"{encoded}'


def _range(artifact: Artifact) -> tuple[int, int] | None:
    """The one range asked for, end excluded. Several, or of another file: None, which is the whole file."""
    wanted: Range | None = request.range if request.method == "GET" else None
    if wanted is None or wanted.units != "bytes" or len(wanted.ranges) != 1:
        return None
    condition = request.if_range
    if condition.date is not None or condition.etag not in (None, artifact.sha256):
        return None
    if "If-Range" in request.headers and request.headers["If-Range"].startswith("W/"):
        return None
    found = wanted.range_for_length(artifact.bytes)
    if found is None or found[0] >= found[1]:
        raise RequestedRangeNotSatisfiable(artifact.bytes)
    return found


def _checked(blocks: Iterator[bytes], artifact: Artifact, damaged: Callable[[], None]) -> Iterator[bytes]:
    """The blocks, the last one only if all of them are what was promised: else the client misses bytes."""
    digest, last = hashlib.sha256(), b""
    for block in blocks:
        digest.update(block)
        if last:
            yield last
        last = block
    if digest.hexdigest() != artifact.sha256:
        damaged()
        raise OSError(f"{artifact.path} is not what was published; its download was cut short")
    yield last


def _blocks(store: Store, path: str, start: int, stop: int) -> Iterator[bytes]:
    """Runs while the server sends, when the request's own context is gone: all it needs is handed in."""
    with store.open(path) as file:
        file.seek(start)
        while start < stop and (block := file.read(min(_BLOCK, stop - start))):
            start += len(block)
            yield block
