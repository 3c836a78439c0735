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
from service.errors import KeyReused, NotCancelable, UnknownJob
from service.glance import Glances
from service.model import Delivery, Event, Job, JobState, NewJob, Priority, new_id
from service.preview import Preview, preview
from service.stream import News, follow
from service.submission import Sources, Upload, checked_key, digest, faults_of, given, plain, priority_of
from service.tracker import Page, Tracker
from service.waiting import Waiting

if TYPE_CHECKING:
    from pipelines.datasets import Catalog, Dataset
    from pipelines.registry import Pipeline

__all__ = ["Jobs", "Upload"]

_Headers = tuple[str | None, Priority | str | None, str]  # idempotency key, priority, owner


class Jobs:
    """The use cases. Thread-safe, as tracker and store are; one instance serves a process.

    `waiting` has what is said to those who wait for a job, `glances` what is known before a report has ended.
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
        self.glances = Glances(tracker, store)

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

        `callbacks`, here in the body: who is told of the job by a webhook.
        """
        if not isinstance(body, dict):
            raise InvalidRequest(
                [Fault("", "The body must be a JSON object with reportType and parameters.")]
            )
        return self._submit("report", body, (key, priority, owner), lambda: self._parse("report", body))

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
        parameters |= given(options=options, callbacks=callbacks)
        return self._submit_files("import", parameters, source, (key, priority, owner))

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
        asked |= given(callbacks=callbacks)
        return self._submit_files("video", asked, source, (key, priority, owner))

    def preview(
        self, kind: str, payload: Json, source: Sources | None = None, owner: str = "local"
    ) -> Preview:
        """What a submission would cost; nothing is stored, and what was uploaded for it is deleted.

        InvalidRequest as for the submission.
        """
        parse = partial(self._parse, kind)
        try:
            if source is None:
                asked, request = payload, parse(payload)
            else:
                asked = {**payload, "source": submission.names_of(source)}
                request = submission.with_files(parse, payload, source, self._folders)
            where, pipeline = (self._tracker, self.waiting, self._store), self._pipelines[kind]
            return preview(*where, pipeline, kind, asked, request, owner)
        finally:
            if source is not None:
                self._drop(source)

    def faults_beside(self, kind: str, payload: Json) -> Sequence[Fault]:
        """What is wrong with a submission whatever its files: for a request that is refused already."""
        return submission.faults_beside(partial(self._parse, kind), payload)

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
        """The webhooks of a job, the newest 200, oldest first, and how each attempt to send them went."""
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
        return job, ended.artifact(self._tracker, self._store, job)

    def forget_result(self, job: Job) -> None:
        """Nobody gets a result any more whose file is not what it was; an equal question runs anew."""
        ended.forget_result(self._tracker, self._store, job)

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
        """Checks `callbacks` as well, which no pipeline knows."""
        known = plain(payload)
        if kind == "video":
            known["ffmpeg"] = self._ffmpeg
        parse = partial(self._pipelines[kind].parse, known, self.catalog)
        wrong = faults_of(lambda: self._callbacks.read(payload.get("callbacks")))
        if wrong:
            raise InvalidRequest(faults_of(parse) + wrong)
        return parse()

    def _submit_files(
        self,
        kind: str,
        parameters: Json,
        source: Sources,
        headers: _Headers,
    ) -> tuple[Job, bool]:
        """Uploads that no new job took over are deleted from the store."""
        body = {**parameters, "content": submission.content_of(source)}
        payload = {name: value for name, value in parameters.items() if name != "source"}

        def parse() -> Request:
            return submission.with_files(partial(self._parse, kind), payload, source, self._folders)

        try:
            job, replayed = self._submit(kind, body, headers, parse, parameters)
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
    ) -> tuple[Job, bool]:
        key, priority, owner = headers
        faults = faults_of(lambda: priority_of(priority))
        if key is not None:
            faults += faults_of(lambda: checked_key(key))
        if faults:
            raise InvalidRequest(faults + faults_of(parse))
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
            parameters=request.parameters if parameters is None else plain(parameters),
            spec=request.spec,
            size=request.size,
            unit=request.unit,
            owner=owner,
            priority=priority_of(priority),
            idempotency_key=key,
            idempotency_hash=hashed,
            equal=request.equal,
            callbacks=self._callbacks.read(body.get("callbacks")),
        )
        return self._tracker.accept(new)

    def _drop(self, source: Sources) -> None:
        for upload in submission.uploads_of(source):
            self._store.delete(submission.folder_of(upload.key))
