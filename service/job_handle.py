"""JobHandle: one job as a notebook holds it: watch it, wait for it, take its result.

pandas and Arrow come with `result()` and `arrow()`, not with the import. Knows no road: the Transport does.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TextIO

from service.model import JobState
from service.progress_bar import card, line, show
from service.transport import (
    BadDownload,
    HaulierError,
    JobCanceled,
    JobFailed,
    JobStatus,
    StillRunning,
    Transport,
)

if TYPE_CHECKING:
    import pyarrow

_LONG_POLL = 20.0  # seconds one question for the next change may take
_PACE = 0.1  # seconds between two questions at least


class JobHandle:
    """One job. It lives in the service: the handle may be dropped and found again with `hauler.job(id)`."""

    def __init__(self, transport: Transport, status: JobStatus) -> None:
        self._transport = transport
        self._last = status

    @property
    def id(self) -> str:
        return self._last.id

    def status(self) -> JobStatus:
        """The job as the service knows it now."""
        if not self._last.ended:
            self._last = self._transport.status(self.id)
        return self._last

    def progress(self, timeout: float | None = None, *, out: TextIO | None = None) -> None:
        """Watch the job with a live bar until it ends; an interrupt only ends the watching.

        Says how the job ended and never raises for it; raises StillRunning after `timeout` seconds.
        """
        try:
            last = show(self._changes(timeout), out)
        except KeyboardInterrupt:
            sys.stderr.write(f"Job {self.id} goes on; find it again with hauler.job({self.id!r}).\n")
            raise
        if not last.ended:
            raise StillRunning(self.id, timeout or 0)

    def wait(self, timeout: float | None = None) -> JobStatus:
        """The status at the end of the job; raises StillRunning after `timeout` seconds of wall time."""
        for status in self._changes(timeout):
            if status.ended:
                return status
        raise StillRunning(self.id, timeout or 0)

    def check(self) -> None:
        """Raise JobFailed or JobCanceled if the job, as last seen, ended so."""
        if self._last.state is JobState.FAILED:
            raise JobFailed(self.id, self._last.error)
        if self._last.state is JobState.DISMISSED:
            raise JobCanceled(self.id)

    def result(self, timeout: float | None = None) -> Any:
        """A report's result as a pandas DataFrame, an import's receipt or a probe as a dict; waits for it.

        What else a video operation makes is a file: `download(path)`.
        """
        if self._is_document(self._finished(timeout)):
            with self.open() as file:
                return json.load(file)
        return self.arrow().to_pandas(date_as_object=False)

    def arrow(self, timeout: float | None = None) -> pyarrow.Table:
        """The result of a report as an Arrow table; waits for the end."""
        status = self._finished(timeout)
        assert status.result is not None
        media_type = status.result.media_type.partition(";")[0]
        read = _READERS.get(media_type)
        if read is None or status.kind != "report":
            raise HaulierError(f"A result of type {media_type} is no table to read here; use download(path).")
        with self.open() as file:
            return read(file)

    def download(self, path: str | Path, timeout: float | None = None) -> Path:
        """Save the result as `path`, or in that folder under its own name; whole and checked, or not at all.

        A download that was cut off goes on where it stopped, also in a later call.
        """
        result = self._finished(timeout).result
        assert result is not None
        target = Path(path).expanduser()
        folder = target if target.is_dir() else target.parent
        if not folder.is_dir():
            raise FileNotFoundError(errno.ENOENT, "there is no such folder", str(folder))
        part = folder / f".{self.id}.{result.sha256[:12]}.part"
        with part.open("a+b") as sink:
            try:
                name = self._transport.fetch(self.id, result, sink)
            except BadDownload:
                sink.truncate(0)
                raise
            sink.flush()
            os.fsync(sink.fileno())
        final = target / name if target.is_dir() else target
        part.replace(final)
        return final

    def open(self, timeout: float | None = None) -> IO[bytes]:
        """The result's bytes, checked, in a temporary file that vanishes when it is closed."""
        result = self._finished(timeout).result
        assert result is not None
        file = tempfile.TemporaryFile()  # noqa: SIM115, the caller closes it
        try:
            self._transport.fetch(self.id, result, file)
        except BaseException:
            file.close()
            raise
        file.seek(0)
        return file

    def cancel(self) -> JobStatus:
        """Ask for the job's end; a job that has ended stays as it is."""
        self._last = self._transport.cancel(self.id)
        return self._last

    def retry(self) -> JobHandle:
        """Run a failed or canceled job again: the handle of the new job."""
        return JobHandle(self._transport, self._transport.retry(self.id))

    def __repr__(self) -> str:
        return f"<{self._last.kind} {self.id}: {line(self._last)}>"

    def _repr_html_(self) -> str:
        return card(self.status())

    def _changes(self, timeout: float | None) -> Iterator[JobStatus]:
        """The status now and at every change, up to and with the end, or until the time is over."""
        deadline = None if timeout is None else time.monotonic() + timeout
        self._last = self._last if self._last.ended else self._transport.status(self.id, within=timeout)
        yield self._last
        while not self._last.ended:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return
            wait = _LONG_POLL if left is None else min(_LONG_POLL, left)
            self._last = self._transport.status(self.id, wait=wait, seen=self._last, within=left)
            yield self._last
            time.sleep(0 if self._last.ended else _PACE)

    @staticmethod
    def _is_document(status: JobStatus) -> bool:
        kind = status.result.media_type if status.result else ""
        return status.kind == "import" or (status.kind == "video" and kind == "application/json")

    def _finished(self, timeout: float | None) -> JobStatus:
        status = self.wait(timeout)
        self.check()
        return status


def _parquet(file: IO[bytes]) -> pyarrow.Table:
    from pyarrow import parquet

    return parquet.read_table(file)


def _csv(file: IO[bytes]) -> pyarrow.Table:
    from pyarrow import csv

    return csv.read_csv(file)


def _json(file: IO[bytes]) -> pyarrow.Table:
    import pyarrow

    return pyarrow.Table.from_pylist(json.load(file))


_READERS = {"application/vnd.apache.parquet": _parquet, "text/csv": _csv, "application/json": _json}
