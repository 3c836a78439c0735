"""Jobs: what users do with jobs, shared by the HTTP routes and the client in this process.

Submit, look, wait, cancel, fetch the result. Records intent only: nothing here computes, reads data or knows
Dask. Raises `service.errors.ServiceError` and `pipelines.errors.InvalidRequest`, whose texts users may see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import Fault, InvalidRequest
from pipelines.plan import Artifact, Json, Request
from pipelines.store import Store
from service import ended, submission
from service.callbacks import CallbackRules
from service.errors import Gone, JobEnded, KeyReused, NotCancelable, NotReady, UnknownJob
from service.model import Delivery, Event, Job, JobState, NewJob, Priority, new_id
from service.stream import News, follow
from service.submission import Sources, Upload, checked_key, digest, faults_of, priority_of
from service.tracker import Page, Tracker
from service.waiting import Waiting

if TYPE_CHECKING:
    from pipelines.datasets import Catalog, Dataset
    from pipelines.registry import Pipeline

__all__ = ["Jobs", "Upload"]

_Headers = tuple[str | None, Priority | str | None, str]  # idempotency key, priority, owner


class Jobs:
    """The use cases. Thread-safe, as tracker and store are; one instance serves a process.

    `waiting` has what is said to those who wait for a job.
    """

    def __init__(
        self,
        tracker: Tracker,
        store: Store,
        *,
        input_folders: Sequence[Path] = (),
        ffmpeg: str | None = None,
        clock: Callable[[], datetime] | None = None,
        pipelines: Mapping[str, Pipeline] | None = None,
        callbacks: CallbackRules | None = None,
    ) -> None:
        self._tracker = tracker
        self._store = store
        self._folders, self._ffmpeg = tuple(input_folders), ffmpeg
        self._clock = clock or tracker.clock
        self._given = pipelines
        self._callbacks = callbacks or CallbackRules()
        self.waiting = Waiting(tracker, self._clock)

    # --- submit

    def submit_report(
        self,
        body: Json,
        *,
        key: str | None = None,
        priority: Priority | str | None = None,
        owner: str = "local",
    ) -> tuple[Job, bool]:
        """(the job, True if the key replayed an earlier one). InvalidRequest before any row exists.

        `callbacks` in the body, and of the other submissions: who is told of the job by a webhook.
        """
        if not isinstance(body, dict):
            raise InvalidRequest(
                [Fault("", "The body must be a JSON object with reportType and parameters.")]
            )
        asked = {name: value for name, value in body.items() if name != "callbacks"}
        headers = (key, priority, owner)
        return self._submit(
            "report", body, headers, lambda: self._parse("report", asked), callbacks=body.get("callbacks")
        )

    def submit_import(
        self,
        *,
        dataset: str,
        source: Sources,
        options: Json | None = None,
        callbacks: Any = None,
        key: str | None = None,
        priority: Priority | str | None = None,
        owner: str = "local",
    ) -> tuple[Job, bool]:
        """As submit_report; several sources are one table. Uploads that no new job took over are deleted."""
        parameters: Json = {"dataset": dataset, "source": submission.names_of(source)}
        if options is not None:
            parameters["options"] = options
        return self._submit_files("import", parameters, source, (key, priority, owner), callbacks)

    def submit_video(
        self,
        *,
        operation: Any,
        source: Sources,
        parameters: Any = None,
        callbacks: Any = None,
        key: str | None = None,
        priority: Priority | str | None = None,
        owner: str = "local",
    ) -> tuple[Job, bool]:
        """As submit_import; most operations take one source, its order matters where there are more."""
        asked: Json = {"operation": operation, "source": submission.names_of(source)}
        asked["parameters"] = {} if parameters is None else parameters
        return self._submit_files("video", asked, source, (key, priority, owner), callbacks)

    def faults_beside(self, kind: str, payload: Json, callbacks: Any = None) -> Sequence[Fault]:
        """What is wrong with a submission whatever its files: for a request that is refused already."""
        wrong = faults_of(lambda: self._callbacks.read(callbacks))
        return [*submission.faults_beside(partial(self._parse, kind), payload), *wrong]

    # --- look

    def get(self, job_id: str, kind: str | None = None) -> Job:
        """UnknownJob when there is none, or none of this kind."""
        job = self._tracker.get(job_id)
        if job is None or (kind is not None and job.kind != kind):
            raise UnknownJob(job_id)
        return job

    def list(
        self,
        *,
        kind: str | None = None,
        type: str | None = None,
        state: JobState | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page:
        """Newest first. ValueError for a bad cursor or limit."""
        return self._tracker.list(kind=kind, type=type, state=state, limit=limit, cursor=cursor)

    def counts(self) -> Mapping[JobState, int]:
        """How many jobs there are in each state."""
        return self._tracker.counts()

    def follow(self, job_id: str, after: int = 0, *, hold: bool = True) -> Iterator[News | None]:
        """The job's history after an event's sequence as it happens, until its end. See `service.stream`."""
        return follow(self._tracker, job_id, after, hold=hold)

    def events(self, job_id: str, after: int = 0, limit: int = 1000) -> Sequence[Event]:
        """The job's history after an event's sequence, oldest first."""
        return self._tracker.events(job_id, after, limit)

    def deliveries(self, job_id: str) -> Sequence[Delivery]:
        """The messages about a job and how each attempt to send them went, the newest 200, oldest first."""
        return self._tracker.outbox.deliveries(self.get(job_id).id)

    # --- cancel, run again, remove, results

    def cancel(self, job_id: str) -> Job:
        """Ask for the end of a job; again is fine. NotCancelable when it ended by itself."""
        job = self._tracker.request_cancel(job_id)
        sealed = job.state is JobState.RUNNING and job.outcome is not None  # being published: too late
        if sealed or job.state in (JobState.SUCCESSFUL, JobState.FAILED):
            raise NotCancelable(job)
        return job

    def retry(self, job_id: str, key: str | None = None) -> tuple[Job, bool]:
        """A new job in the place of a failed or canceled one, as of a submission. See `service.ended`."""
        return ended.retry(self._tracker, self._store, self.get(job_id), self._clock(), key)

    def remove(self, job_id: str) -> None:
        """Take an ended job away with its result; UnknownJob when somebody was first."""
        if not ended.remove(self._tracker, self._store, self.get(job_id)):
            raise UnknownJob(job_id)

    def artifact(self, job_id: str) -> tuple[Job, Artifact]:
        """The file of a successful job. NotReady while active, JobEnded without one, Gone once removed."""
        job = self.get(job_id)
        if not job.ended:
            raise NotReady(job)
        if job.artifact is None:
            raise JobEnded(job)
        if job.removed is not None:
            raise Gone(job)
        if not self._store.exists(job.artifact.path):
            if self._store.exists("results"):  # else the whole store is away
                self.forget_result(job)
            raise Gone(job)
        return job, job.artifact

    def forget_result(self, job: Job) -> None:
        """Nobody gets a result any more whose file is not what it was; an equal question runs anew."""
        self._tracker.remove_result(job.leader or job.id)
        if job.artifact is not None:
            self._store.delete(job.artifact.path)

    # --- what there is

    @cached_property
    def catalog(self) -> Catalog:
        from pipelines.datasets import Catalog

        return Catalog(self._store)

    def datasets(self) -> Sequence[Dataset]:
        """The newest version of every dataset, by name."""
        return [self.catalog.get(name) for name in self.catalog.names()]

    def report_types(self) -> Sequence[Json]:
        """Every report type with the JSON Schema of its parameters."""
        from pipelines.reports import describe

        return describe()

    # --- inside

    @cached_property
    def _pipelines(self) -> Mapping[str, Pipeline]:
        if self._given is not None:
            return self._given
        from pipelines.registry import PIPELINES  # Arrow and pandas: not before the first submission

        return PIPELINES

    def _parse(self, kind: str, payload: Json) -> Request:
        given = {**payload, "ffmpeg": self._ffmpeg} if kind == "video" else payload
        return self._pipelines[kind].parse(given, self.catalog)

    def _submit_files(
        self,
        kind: str,
        parameters: Json,
        source: Sources,
        headers: _Headers,
        callbacks: Any,
    ) -> tuple[Job, bool]:
        """Uploads that no new job took over are deleted from the store."""
        body = {**parameters, "content": submission.content_of(source)}
        if callbacks is not None:
            body["callbacks"] = callbacks
        payload = {name: value for name, value in parameters.items() if name != "source"}

        def parse() -> Request:
            return submission.with_files(partial(self._parse, kind), payload, source, self._folders)

        try:
            job, replayed = self._submit(kind, body, headers, parse, parameters, callbacks=callbacks)
        except (InvalidRequest, KeyReused):
            self._drop(source)
            raise
        if replayed:
            self._drop(source)
        return job, replayed

    def _submit(
        self,
        kind: str,
        body: Json,
        headers: _Headers,
        parse: Callable[[], Request],
        parameters: Json | None = None,
        *,
        callbacks: Any,
    ) -> tuple[Job, bool]:
        key, priority, owner = headers
        faults = faults_of(lambda: priority_of(priority))
        if key is not None:
            faults += faults_of(lambda: checked_key(key))
        wrong = faults_of(lambda: self._callbacks.read(callbacks))
        if faults or wrong:
            raise InvalidRequest(faults + faults_of(parse) + wrong)
        hashed = None if key is None else digest(body)
        if key is not None and hashed is not None:
            # before parsing: a repeated import must not fail because its own dataset is there by now
            known = self._tracker.find_key(owner, kind, key, hashed)
            if known is not None:
                return known, True
        request = parse()
        new = NewJob(
            id=new_id(self._clock()),
            kind=kind,
            type=request.type,
            parameters=request.parameters if parameters is None else parameters,
            spec=request.spec,
            size=request.size,
            unit=request.unit,
            owner=owner,
            priority=priority_of(priority),
            idempotency_key=key,
            idempotency_hash=hashed,
            equal=request.equal,
            callbacks=self._callbacks.read(callbacks),
        )
        return self._tracker.accept(new)

    def _drop(self, source: Sources) -> None:
        for upload in submission.uploads_of(source):
            self._store.delete(upload.key.removesuffix("/data"))
