"""The road without HTTP: an engine in this process, the same use cases as the routes call.

Opens the home (or joins a PostgreSQL installation), starts the engine, closes it with the connection or the
process. What the service refuses comes back as the same Rejected as over HTTP.
"""

from __future__ import annotations

import atexit
import hashlib
import logging
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pipelines.errors import InvalidRequest
from pipelines.plan import Json
from service.errors import ServiceError
from service.model import Job, JobState
from service.pace import pace_in_words
from service.transport import (
    BadDownload,
    DatasetInfo,
    HaulierError,
    JobStatus,
    Rejected,
    Result,
    Submission,
)

if TYPE_CHECKING:
    from service.engine import Engine
    from service.settings import Settings
    from service.submission import Upload

_BLOCK = 1 << 20
_LOGGERS = ("service", "haulier")


@dataclass
class _Shared:
    """An engine of this process, where it logs to, and how many connections it has."""

    engine: Engine
    log: logging.Handler
    users: int = 0


# By what they were opened with: running the cell `hauler = connect()` again must find the engine, not a lock.
_open: dict[Settings, _Shared] = {}
_opening = threading.Lock()


def open_engine(
    database_url: str | None, *, scheduler: str | None, home: str | Path | None, store: str | None
) -> LocalTransport | str:
    """A road to the engine of a home or database; or the address of the process that has the home already."""
    from service.settings import SettingsError, current
    from service.tracker import HomeInUse

    try:
        settings = current(database_url=database_url, scheduler=scheduler, home=home, store_url=store)
        return LocalTransport(_borrow(settings))
    except SettingsError as error:
        raise HaulierError(str(error)) from error
    except HomeInUse as error:
        if error.address is None:
            raise HaulierError(str(error)) from error
        return error.address


def _borrow(settings: Settings) -> Engine:
    from service.engine import Engine

    with _opening:
        if settings not in _open:
            log = _log_to(settings.home / "logs" / "engine.log")
            try:
                _open[settings] = _Shared(Engine(settings).start(), log)
            except BaseException:
                _stop_logging(log)
                raise
        _open[settings].users += 1
        return _open[settings].engine


def _give_back(engine: Engine) -> None:
    """Close the engine with its last connection."""
    with _opening:
        shared = _open[engine.settings]
        shared.users -= 1
        if not shared.users:
            del _open[engine.settings]
            engine.close()
            _stop_logging(shared.log)


def _log_to(path: Path) -> logging.Handler:
    """What the engine logs goes to a file: between the lines of a notebook it would only disturb."""
    import structlog

    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    for name in _LOGGERS:
        logging.getLogger(name).addHandler(handler)
    if not structlog.is_configured():
        structlog.configure(
            processors=[structlog.processors.format_exc_info, structlog.processors.LogfmtRenderer()],
            logger_factory=structlog.stdlib.LoggerFactory(),
            wrapper_class=structlog.stdlib.BoundLogger,
        )
    return handler


def _stop_logging(handler: logging.Handler) -> None:
    for name in _LOGGERS:
        logging.getLogger(name).removeHandler(handler)
    handler.close()


class LocalTransport:
    """A road to the engine in this process."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._jobs = engine.jobs
        self._closed = False
        atexit.register(self.close)

    @property
    def address(self) -> str:
        settings = self._engine.settings
        if settings.database_url.startswith("sqlite"):
            return f"{settings.home} (in this process)"
        return f"{settings.database_url.rpartition('@')[2]} (engine in this process)"

    def submit_report(self, body: Json, submission: Submission) -> JobStatus:
        with _answering():
            job, _ = self._jobs.submit_report(body, key=submission.key, priority=submission.priority)
            return self._status(job)

    def submit_import(
        self, paths: Sequence[Path], dataset: str, options: Json, submission: Submission
    ) -> JobStatus:
        with _answering():
            job, _ = self._jobs.submit_import(
                dataset=dataset,
                source=tuple(self._uploaded(path) for path in paths),
                options=options,
                key=submission.key,
                priority=submission.priority,
            )
            return self._status(job)

    def submit_video(
        self, paths: Sequence[Path], operation: str, parameters: Json, submission: Submission
    ) -> JobStatus:
        with _answering():
            job, _ = self._jobs.submit_video(
                operation=operation,
                source=tuple(self._uploaded(path) for path in paths),
                parameters=parameters,
                key=submission.key,
                priority=submission.priority,
            )
            return self._status(job)

    def status(
        self, job_id: str, *, wait: float = 0.0, seen: JobStatus | None = None, within: float | None = None
    ) -> JobStatus:
        with _answering():
            if not wait:
                return self._status(self._jobs.get(job_id))
            seconds = wait if within is None else min(wait, within)
            return self._status(
                self._jobs.waiting.until_changed(
                    job_id, seconds, int(seen.tag) if seen and seen.tag else None
                )
            )

    def jobs(self, *, state: str | None, kind: str | None, limit: int) -> list[JobStatus]:
        found: list[JobStatus] = []
        cursor: str | None = None
        with _answering():
            wanted = JobState(state) if state else None
            while len(found) < limit:
                size = min(100, limit - len(found))
                page = self._jobs.list(kind=kind, state=wanted, limit=size, cursor=cursor)
                found += [self._status(job) for job in page.jobs]
                if (cursor := page.cursor) is None:
                    break
        return found

    def datasets(self) -> list[DatasetInfo]:
        return [
            DatasetInfo(
                each.name,
                each.version,
                each.rows,
                each.bytes,
                {column.name: column.type for column in each.columns},
                each.time_column,
            )
            for each in self._jobs.datasets()
        ]

    def cancel(self, job_id: str) -> JobStatus:
        with _answering():
            return self._status(self._jobs.cancel(job_id))

    def retry(self, job_id: str) -> JobStatus:
        with _answering():
            return self._status(self._jobs.retry(job_id)[0])

    def fetch(self, job_id: str, result: Result, sink: IO[bytes]) -> str:
        with _answering():
            _, artifact = self._jobs.artifact(job_id)
            sink.seek(0)
            sink.truncate()
            digest = hashlib.sha256()
            with self._engine.store.open(artifact.path) as source:
                while block := source.read(_BLOCK):
                    sink.write(block)
                    digest.update(block)
        if digest.hexdigest() != result.sha256:
            raise BadDownload(f"The stored result of {job_id} is damaged; run the job again.")
        return artifact.name

    def close(self) -> None:
        """May be called twice."""
        if not self._closed:
            self._closed = True
            atexit.unregister(self.close)
            _give_back(self._engine)

    def _uploaded(self, path: Path) -> Upload:
        from service.submission import Upload, new_key

        key = new_key()
        with path.open("rb") as source, self._engine.store.put(key) as sink:
            shutil.copyfileobj(source, sink, _BLOCK)
        return Upload(path.name, key, sink.bytes, sink.sha256)

    def _status(self, job: Job) -> JobStatus:
        estimate, queue = self._jobs.waiting.estimate(job), self._jobs.waiting.queue(job)
        progress, artifact = job.progress, job.artifact
        return JobStatus(
            id=job.id,
            kind=job.kind,
            type=job.type,
            state=job.state,
            tag=str(job.revision),
            percent=job.percent,
            done=progress.done,
            total=progress.total,
            unit=progress.unit,
            phase=progress.phase,
            message=job.message or pace_in_words(job),
            eta=estimate.seconds if estimate else None,
            eta_p90=estimate.p90 if estimate else None,
            queue_position=queue.position if queue else None,
            queue_reason=queue.reason if queue else None,
            created=job.created,
            started=job.started,
            finished=job.finished,
            result=Result(
                artifact.path,
                artifact.media_type,
                artifact.bytes,
                artifact.sha256,
                artifact.rows,
                artifact.name,
            )
            if artifact
            else None,
            error=job.error,
            parameters=job.parameters,
        )


@contextmanager
def _answering() -> Iterator[None]:
    """Refusals in the words and with the code that HTTP clients get."""
    try:
        yield
    except InvalidRequest as error:
        faults = [{"pointer": fault.pointer, "detail": fault.detail} for fault in error.faults]
        raise Rejected(422, {"code": error.code, "detail": str(error), "errors": faults}) from None
    except ServiceError as error:
        raise Rejected(
            error.status, {"code": error.code, "title": error.title, "detail": error.detail}
        ) from None
    except ValueError as error:
        raise Rejected(422, {"code": "invalid-parameters", "detail": f"{error}."}) from None
