"""Haulier from Python: `connect()` and `Hauler`; the jobs it hands out are `service.job_handle`'s.

    from service.client import connect

    hauler = connect()                                # or connect("http://127.0.0.1:8480")
    job = hauler.report("yearly-sales", year=2023)
    job.progress()                                    # a live bar
    frame = job.result()                              # pandas

Importing this page imports no web framework, database, Dask, pandas or Arrow: each road brings what it needs
when it is taken. What a road must do is written in `service.transport`.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

from service.job_handle import JobHandle
from service.transport import (
    BadDownload,
    DatasetInfo,
    HaulierError,
    JobCanceled,
    JobFailed,
    JobStatus,
    Rejected,
    StillRunning,
    Submission,
    Transport,
    Unreachable,
)
from service.words import state_named

__all__ = [
    "BadDownload",
    "DatasetInfo",
    "Hauler",
    "HaulierError",
    "JobCanceled",
    "JobFailed",
    "JobHandle",
    "JobStatus",
    "Rejected",
    "StillRunning",
    "Unreachable",
    "connect",
]


Entries = Sequence[str | Mapping[str, Any]] | str | Mapping[str, Any]


def connect(
    url: str | None = None,
    *,
    scheduler: str | None = None,
    home: str | Path | None = None,
    store: str | None = None,
) -> Hauler:
    """A Hauler at `url`.

    `"http://host:port"` talks to a running service. Nothing, or `home`, starts the engine in this process:
    database, dispatcher, workers, no HTTP; where another process serves that home, that one is used.
    `"postgresql://..."` with `scheduler="tcp://..."` (and `store`, the URL all workers share) joins a bigger
    installation directly.
    """
    if url is not None and url.startswith(("http://", "https://")):
        if scheduler or home or store:
            raise ValueError("scheduler, home and store are for an engine here; leave them out with http://.")
        return Hauler(_http(url))
    if url is not None and not url.startswith(("postgresql://", "postgresql+psycopg://")):
        raise ValueError(f"{url!r} is no address to connect to; write http://host:port or postgresql://...")
    from service.transport_local import open_engine

    opened = open_engine(url, scheduler=scheduler, home=home, store=store)
    if isinstance(opened, str):
        return Hauler(_http(opened), note="another process serves this home")
    return Hauler(opened)


def _http(url: str) -> Transport:
    from service.transport_http import HttpTransport

    return HttpTransport(url)


class Hauler:
    """A connection: submits reports, imports and videos, finds jobs and datasets. A context manager."""

    def __init__(self, transport: Transport, *, note: str = "") -> None:
        self._transport = transport
        self._note = note

    def report(
        self,
        type: str,
        parameters: Mapping[str, Any] | None = None,
        /,
        *,
        format: str = "parquet",
        key: str | None = None,
        priority: str | None = None,
        **more: Any,
    ) -> JobHandle:
        """Start a report; its parameters are keywords, or a mapping where a name is taken.

        Returns at once. An equal `key` gives the first job again instead of a second one.
        """
        body = _plain({"reportType": type, "parameters": {**(parameters or {}), **more}, "format": format})
        return self._handle(
            self._transport.submit_report(body, Submission(key or uuid.uuid4().hex, priority))
        )

    def aggregate(
        self,
        dataset: str,
        *,
        measures: Entries,
        by: Entries = (),
        where: Entries = (),
        order_by: Entries | None = None,
        limit: int | None = None,
        version: int | None = None,
        format: str = "parquet",
        key: str | None = None,
        priority: str | None = None,
        orderBy: Entries | None = None,
    ) -> JobHandle:
        """Any question to any dataset: `measures=[{"op": "sum", "of": "price * quantity", "as": "sold"}]`.

        One entry may stand without its list. `orderBy` is `order_by` as the wire spells it, so that a
        question can be pasted from there.
        """
        if order_by is not None and orderBy is not None:
            raise TypeError("aggregate() got order_by and orderBy, which are the same; give one of them.")
        asked = {
            "dataset": dataset,
            "version": version,
            "by": _entries(by),
            "measures": _entries(measures),
            "where": _entries(where),
            "orderBy": _entries(order_by or orderBy or ()),
            "limit": limit,
        }
        given = {name: value for name, value in asked.items() if value not in (None, [])}
        return self.report("aggregate", given, format=format, key=key, priority=priority)

    def import_file(
        self,
        path: str | Path | Sequence[str | Path],
        *,
        dataset: str,
        mode: str | None = None,
        columns: Mapping[str, Any] | None = None,
        key: str | None = None,
        priority: str | None = None,
        **options: Any,
    ) -> JobHandle:
        """Load a file of this machine into a dataset; other import options are keywords (`delimiter=";"`).

        Several paths are one table: their columns must have the same names.
        """
        sources = _files(path, "import_file")
        given = {"mode": mode, "columns": columns, **options}
        chosen = _plain({name: value for name, value in given.items() if value is not None})
        submission = Submission(key or uuid.uuid4().hex, priority)
        return self._handle(self._transport.submit_import(sources, dataset, chosen, submission))

    def video(
        self,
        path: str | Path | Sequence[str | Path],
        operation: str,
        parameters: Mapping[str, Any] | None = None,
        /,
        *,
        key: str | None = None,
        priority: str | None = None,
        **more: Any,
    ) -> JobHandle:
        """Start a video operation on a file of this machine; its parameters are keywords (`at=2.5`).

        Several paths for those that take more: videos to `concat`, a video and a picture to `watermark`, a
        video and its `subtitles`.
        """
        sources = _files(path, "video")
        asked = _plain({**(parameters or {}), **more})
        submission = Submission(key or uuid.uuid4().hex, priority)
        return self._handle(self._transport.submit_video(sources, operation, asked, submission))

    def jobs(self, *, status: str | None = None, kind: str | None = None, limit: int = 50) -> list[JobHandle]:
        """The newest jobs first, of one status (`"failed"`) or kind (`"import"`) if asked.

        A status may be a word of the wire (`"dismissed"`) or of the progress bar (`"canceled"`).
        """
        state = state_named(status) if status else None
        found = self._transport.jobs(state=state.value if state else status, kind=kind, limit=limit)
        return [self._handle(each) for each in found]

    def job(self, id: str) -> JobHandle:
        """A job by its id, whoever started it and when."""
        return self._handle(self._transport.status(id))

    def datasets(self) -> list[DatasetInfo]:
        """Every dataset at its newest version."""
        return self._transport.datasets()

    def close(self) -> None:
        """End the connection; an engine in this process stops, its jobs go on at the next start."""
        self._transport.close()

    def __enter__(self) -> Hauler:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Hauler at {self._transport.address}{f' ({self._note})' if self._note else ''}>"

    def _handle(self, status: JobStatus) -> JobHandle:
        return JobHandle(self._transport, status)


def _files(path: str | Path | Sequence[str | Path], method: str) -> list[Path]:
    """One path or several, all of them files."""
    given = [path] if isinstance(path, str | Path) else list(path)
    if not given:
        raise ValueError(f"{method}() got no path; give at least one.")
    sources = [Path(each).expanduser() for each in given]
    for each, source in zip(given, sources, strict=True):
        if not source.is_file():
            doing = "import" if method == "import_file" else "work on"
            raise FileNotFoundError(f"There is no file {str(each)!r} to {doing}.")
    return sources


def _entries(given: Entries) -> list[str | Mapping[str, Any]]:
    return [given] if isinstance(given, str | Mapping) else list(given)


def _plain(value: Any) -> Any:
    """A value as JSON knows it; dates as RFC 3339 text, numpy scalars and arrays as numbers and lists."""
    return json.loads(json.dumps(value, default=_as_json))


def _as_json(value: Any) -> Any:
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "item"):
        return value.item()
    if isinstance(value, Sequence | set | frozenset) or hasattr(value, "tolist"):
        return list(value)
    raise TypeError(f"{type(value).__name__} {value!r} has no JSON form; write it as text or number.")
