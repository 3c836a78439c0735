"""Rows to model objects and back, and the records the tracker's methods take and give. No SQL."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from pipelines.plan import Artifact, Progress
from service.model import Event, Job, JobError, JobState, NewJob, Priority

RANKS = {Priority.INTERACTIVE: 0, Priority.BATCH: 1}
_PRIORITIES = {rank: priority for priority, rank in RANKS.items()}


@dataclass(frozen=True, slots=True)
class Page:
    """Some jobs, newest first; `cursor` asks for the next page and is None on the last."""

    jobs: tuple[Job, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class ProgressUpdate:
    """What the dispatcher knows of a running job; `epoch` fences out who no longer holds it."""

    job_id: str
    epoch: int
    done: int
    phase: str
    message: str | None = None


def to_columns(new: NewJob) -> dict[str, Any]:
    """The columns of a new row, without its times."""
    return {
        "id": new.id,
        "kind": new.kind,
        "type": new.type,
        "owner": new.owner,
        "priority": RANKS[new.priority],
        "parameters": new.parameters,
        "spec": new.spec,
        "size": new.size,
        "unit": new.unit,
        "idempotency_key": new.idempotency_key,
        "idempotency_hash": new.idempotency_hash,
        "equal": new.equal,
        "state": JobState.ACCEPTED.value,
    }


def to_job(row: Row[Any]) -> Job:
    return Job(
        id=row.id,
        kind=row.kind,
        type=row.type,
        owner=row.owner,
        priority=_PRIORITIES[row.priority],
        parameters=row.parameters,
        spec=row.spec,
        size=row.size,
        state=JobState(row.state),
        epoch=row.epoch,
        attempt=row.attempt,
        progress=Progress(row.done, row.total, row.unit, row.phase),
        revision=row.revision,
        created=row.created,
        updated=row.updated,
        plan=row.plan,
        message=row.message,
        cancel_requested=row.cancel_requested,
        started=row.started,
        finished=row.finished,
        last_progress=row.last_progress,
        heartbeat=row.heartbeat,
        artifact=None if row.artifact is None else Artifact.from_json(row.artifact),
        error=None if row.error is None else JobError(**row.error),
        run_epoch=row.run_epoch,
        cluster=row.cluster,
        equal=row.equal,
        losses=row.losses,
        outcome=row.outcome,
        leader=row.leader or None,
        cached=row.cached,
        expires=row.expires,
        removed=row.removed,
        pace_since=row.pace_since,
        pace_done=row.pace_done,
    )


def to_event(row: Row[Any]) -> Event:
    return Event(row.sequence, row.job_id, row.at, row.name, row.data)


def storable(text: str | None) -> str | None:
    """Text that both databases take: PostgreSQL refuses NUL, and neither can encode half a surrogate pair."""
    if text is None:
        return None
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def to_cursor(sequence: int) -> str:
    return base64.urlsafe_b64encode(b"s%d" % sequence).decode().rstrip("=")


def from_cursor(cursor: str) -> int:
    """The sequence a cursor stands for; ValueError for one that was never given out."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if not raw.startswith(b"s") or not raw[1:].isdigit() or len(raw) > 19:
        raise ValueError(f"{cursor!r} is no cursor; take the one of the page before, or leave it out.")
    return int(raw[1:])
