"""What is done with jobs that have ended: take the result, run them again, remove them.

An end is final, so running again is a new job with the same question. Use cases, as in `service.jobs`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from pipelines.plan import Artifact, Json
from pipelines.store import Store
from service.errors import Gone, InputGone, JobEnded, NotReady, NotRetryable
from service.model import Job, JobState, NewJob, new_id
from service.submission import checked_key, digest
from service.tracker import Tracker


def retry(
    tracker: Tracker, store: Store, job: Job, now: datetime, key: str | None = None
) -> tuple[Job, bool]:
    """A new job that asks what a failed or canceled one asked, of the same data, with the same callbacks.

    True with it when `key` stood for it already. NotRetryable for any other job; InputGone when its upload
    has been removed.
    """
    hashed = None if key is None else digest({"retry": job.id, "key": checked_key(key)})
    if key is not None and (known := tracker.find_key(job.owner, job.kind, key, hashed or "")) is not None:
        return known, True
    if job.state not in (JobState.FAILED, JobState.DISMISSED):
        raise NotRetryable(job)
    if any(not store.exists(key) for key in _uploads(job.spec)):
        raise InputGone(job)
    new = NewJob(
        id=new_id(now),
        kind=job.kind,
        type=job.type,
        parameters=job.parameters,
        spec=job.spec,
        size=job.size,
        unit=job.progress.unit,
        owner=job.owner,
        priority=job.priority,
        idempotency_key=key,
        idempotency_hash=hashed,
        equal=job.equal,
        callbacks=tracker.outbox.callbacks(job.id),
    )
    return tracker.accept(new)


def artifact(tracker: Tracker, store: Store, job: Job) -> Artifact:
    """The file of a successful job. NotReady while active, JobEnded without one, Gone once removed."""
    if not job.ended:
        raise NotReady(job)
    if job.artifact is None:
        raise JobEnded(job)
    if job.removed is not None:
        raise Gone(job)
    if not store.exists(job.artifact.path):
        if store.exists("results"):  # else the whole store is away
            forget_result(tracker, store, job)
        raise Gone(job)
    return job.artifact


def forget_result(tracker: Tracker, store: Store, job: Job) -> None:
    """Nobody gets a result any more whose file is not what it was; an equal question runs anew."""
    tracker.remove_result(job.leader or job.id)
    if job.artifact is not None:
        store.delete(job.artifact.path)


def remove(tracker: Tracker, store: Store, job: Job) -> bool:
    """Take the row, its history and its result away; so is the result of those that share it.

    The row first: what a crash leaves of the file is an orphan, and retention takes it. False when the row
    is not there any more, or not ended.
    """
    if not tracker.erase(job.id):
        return False
    store.delete(f"results/{job.id}")
    return True


def _uploads(spec: Json) -> Iterator[str]:
    """Keys in the store of the files that were sent with a job."""
    for each in spec.get("files", [spec]):
        source = each.get("source")
        if isinstance(source, dict) and "store" in source:
            yield source["store"]
