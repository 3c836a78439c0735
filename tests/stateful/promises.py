"""What must hold of every job after every step (the invariants I3 to I10 and I15 of the research)."""

from __future__ import annotations

from typing import Any

from service.model import Event, Job, JobState
from tests.stateful.model import Row


def shown(job: Job) -> tuple[Any, ...]:
    counts = (job.epoch, job.run_epoch, job.attempt, job.losses, job.progress.done, job.progress.total)
    made = None if job.artifact is None else job.artifact.path.rsplit("/", 1)[1]
    outcome = None if job.outcome is None else job.outcome["n"]
    flags = (job.plan is not None, job.cancel_requested, job.cached, job.removed is not None)
    return (job.state, *counts, *flags, job.leader, made, outcome)


def agreed(row: Row) -> tuple[Any, ...]:
    counts = (row.epoch, row.run_epoch, row.attempt, row.losses, row.done, row.total)
    made = None if row.made is None else str(row.made)
    flags = (row.planned, row.cancel, row.cached, row.removed)
    return (row.state, *counts, *flags, row.leader, made, row.outcome)


def check_alone(job: Job) -> None:
    """I3 and I6: a result is there exactly for successful jobs, and it is that of the holder at the end."""
    assert (job.artifact is not None) == (job.state is JobState.SUCCESSFUL)
    assert (job.error is not None) == (job.state is JobState.FAILED)
    assert (job.finished is not None) == job.ended
    assert job.run_epoch <= job.epoch
    assert job.removed is None or job.state is JobState.SUCCESSFUL
    if job.artifact is not None and job.leader is None:
        assert job.artifact.path == f"results/{job.id}/{job.epoch}"


def check_step(before: Job, after: Job) -> None:
    """I4, I7, I10: ends are final, epochs and revisions grow, progress never falls within an attempt."""
    assert after.epoch >= before.epoch
    assert after.attempt >= before.attempt
    assert after.losses >= before.losses
    assert after.revision >= before.revision
    if shown(after) != shown(before):
        assert after.revision > before.revision
    if before.ended:
        assert (after.state, after.artifact, after.error) == (before.state, before.artifact, before.error)
    if after.attempt == before.attempt:
        assert after.progress.done >= before.progress.done


def check_history(job: Job, events: list[Event]) -> None:
    """I5, I8, I15: each run has an epoch of its own, ends come last, and the lines lead to the state."""
    sequences = [event.sequence for event in events]
    assert sequences == sorted(set(sequences))
    if job.leader is None and not any(event.name == "promoted" for event in events):
        epochs = [event.data["epoch"] for event in events if event.name in ("started", "adopted")]
        assert epochs == sorted(set(epochs))
        assert len(epochs) == job.epoch
        strikes = sum(event.data["strike"] for event in events if event.name == "requeued")
        assert job.attempt <= strikes + 1
    state, ends = None, 0
    for event in events:
        state = STATES.get(event.name, state)
        assert ends == 0 or event.name == "removed"
        ends += event.name in ("successful", "failed", "dismissed")
    assert state is job.state


STATES = {
    "accepted": JobState.ACCEPTED,
    "requeued": JobState.ACCEPTED,
    "promoted": JobState.ACCEPTED,
    "follows": JobState.ACCEPTED,
    "started": JobState.RUNNING,
    "adopted": JobState.RUNNING,
    "successful": JobState.SUCCESSFUL,
    "failed": JobState.FAILED,
    "dismissed": JobState.DISMISSED,
}
