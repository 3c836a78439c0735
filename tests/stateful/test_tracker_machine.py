"""Hypothesis plays dispatchers, clients, clocks and crashes; the tracker must agree with a dict at each step.

On SQLite and on PostgreSQL. Three trackers that are broken on purpose show that the machine would notice.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

import pytest
import sqlalchemy
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pipelines.plan import Artifact
from service.errors import KeyReused
from service.model import Job, JobError, NewJob
from service.tracker import ProgressUpdate, followers, moves
from tests.stateful.model import KEEP, LEASE, TOTAL, Model, Reused, Row
from tests.stateful.places import Place, PostgresPlace, SqlitePlace
from tests.stateful.promises import agreed, check_alone, check_history, check_step, shown

OWNERS, CLUSTERS = st.sampled_from(["d1", "d2"]), st.sampled_from([None, "s1", "s1", "s2"])
ERROR = JobError("bad-input", "no")


class Machine(RuleBasedStateMachine):
    """Every claim ever given stays in use: most of them are stale, as those of frozen dispatchers."""

    place: ClassVar[Place]

    def __init__(self) -> None:
        super().__init__()
        self.tracker, self.model = self.place.open(), Model()
        self.claims: list[tuple[str, int]] = []
        self.seen: dict[str, Job] = {}
        self.numbers = itertools.count(1)

    def teardown(self) -> None:
        self.tracker.close()

    # --- clients

    @rule(
        key=st.none() | st.tuples(st.sampled_from("ab"), st.sampled_from("xy")),
        equal=st.none() | st.sampled_from("qr"),
    )
    def submit(self, key: tuple[str, str] | None, equal: str | None) -> None:
        job_id = f"job{next(self.numbers)}"
        new = NewJob(
            *(job_id, "report", "sales", {}, {"n": 1}, 1, "rows"),
            idempotency_key=key[0] if key else None,
            idempotency_hash=key[1] if key else None,
            equal=equal,
        )
        try:
            expected = self.model.accept(Row(job_id, key, equal))
        except Reused:
            with pytest.raises(KeyReused):
                self.tracker.accept(new)
            return
        job, replayed = self.tracker.accept(new)
        assert (job.id, replayed) == expected

    @precondition(lambda self: self.model.jobs)
    @rule(which=st.integers(0, 30))
    def cancel(self, which: int) -> None:
        job_id = self.some_job(which)
        self.model.cancel(job_id)
        answer = self.tracker.request_cancel(job_id)
        assert answer == self.tracker.get(job_id)

    # --- dispatchers

    @rule(owner=OWNERS, limit=st.integers(1, 3), cluster=CLUSTERS)
    def lease(self, owner: str, limit: int, cluster: str | None) -> None:
        expected = self.model.lease(owner, limit, cluster)
        taken = self.tracker.lease(owner, limit, LEASE, cluster)
        assert [(job.id, job.epoch) for job in taken] == expected
        self.claims += expected

    @rule(owner=OWNERS)
    def renew(self, owner: str) -> None:
        assert self.tracker.renew(owner, LEASE) == self.model.renew(owner)

    @rule(owner=OWNERS)
    def hand_over(self, owner: str) -> None:
        assert self.tracker.hand_over(owner) == self.model.hand_over(owner)

    @precondition(lambda self: self.claims)
    @rule(which=st.integers(0, 30))
    def plan(self, which: int) -> None:
        claim = self.some_claim(which)
        assert self.tracker.planned(*claim, {"parts": [1]}, TOTAL, "rows") == self.model.planned(*claim)

    @precondition(lambda self: self.claims)
    @rule(which=st.integers(0, 30), done=st.integers(0, TOTAL))
    def progress(self, which: int, done: int) -> None:
        claim = self.some_claim(which)
        self.tracker.progress([ProgressUpdate(*claim, done, "working")])
        self.model.progress(*claim, done)

    @precondition(lambda self: self.claims)
    @rule(which=st.integers(0, 30), outcome=st.integers(0, 9))
    def seal(self, which: int, outcome: int) -> None:
        claim = self.some_claim(which)
        assert self.tracker.seal(*claim, {"n": outcome}) == self.model.seal(*claim, outcome)

    @precondition(lambda self: self.claims)
    @rule(which=st.integers(0, 30), end=st.sampled_from(["succeed", "succeed", "fail", "dismiss"]))
    def finish(self, which: int, end: str) -> None:
        claim = self.some_claim(which)
        expected = getattr(self.model, end)(*claim)
        if end == "succeed":
            artifact = Artifact(f"results/{claim[0]}/{claim[1]}", "r.csv", "text/csv", 1, "ab")
            expires = self.place.moment() + timedelta(seconds=KEEP)
            assert self.tracker.succeed(*claim, artifact, expires) == expected
        elif end == "fail":
            assert self.tracker.fail(*claim, ERROR) == expected
        else:
            assert self.tracker.dismiss(*claim) == expected

    @precondition(lambda self: self.claims)
    @rule(which=st.integers(0, 30), strike=st.booleans(), blameless=st.booleans())
    def requeue(self, which: int, strike: bool, blameless: bool) -> None:
        claim = self.some_claim(which)
        expected = self.model.requeue(*claim, strike, blameless)
        assert self.tracker.requeue(*claim, "why", strike=strike, blameless=blameless) == expected

    @rule()
    def remove_what_is_due(self) -> None:
        due = [job.id for job in self.tracker.expired(100)]
        assert sorted(due) == sorted(self.model.expired())
        for job_id in due:
            assert self.tracker.remove_result(job_id) == self.model.remove(job_id)

    @precondition(lambda self: self.model.jobs)
    @rule(which=st.integers(0, 30))
    def remove_early(self, which: int) -> None:
        job_id = self.some_job(which)
        assert self.tracker.remove_result(job_id) == self.model.remove(job_id)

    # --- the world

    @rule(seconds=st.sampled_from([120, 120, 400]))
    def advance(self, seconds: int) -> None:
        self.place.advance(self.tracker, seconds)
        self.model.now += seconds

    @rule(alone=st.booleans())
    def crash(self, alone: bool) -> None:
        self.tracker = self.place.crash(self.tracker)
        if alone:  # whoever owns the only process knows that nobody holds a lease
            assert self.tracker.expire_leases() == self.model.expire_leases()

    def some_job(self, which: int) -> str:
        ids = list(self.model.jobs)
        return ids[which % len(ids)]

    def some_claim(self, which: int) -> tuple[str, int]:
        return self.claims[-1 - which % len(self.claims)]

    # --- what must hold

    @invariant()
    def agrees_with_the_model(self) -> None:
        jobs = self.tracker.list(limit=200).jobs
        assert {job.id: shown(job) for job in jobs} == {
            row.id: agreed(row) for row in self.model.jobs.values()
        }

    @invariant()
    def keeps_its_promises(self) -> None:
        for job in self.tracker.list(limit=200).jobs:
            check_alone(job)
            if job.id in self.seen:
                check_step(self.seen[job.id], job)
            self.seen[job.id] = job
            check_history(job, list(self.tracker.events(job.id)))


COMMON = settings(
    deadline=None,
    stateful_step_count=50,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)


@pytest.fixture
def sqlite_machine(quick_folder: Path) -> type[Machine]:
    return type("SqliteMachine", (Machine,), {"place": SqlitePlace(quick_folder)})


@pytest.fixture
def machine(request: pytest.FixtureRequest, quick_folder: Path) -> type[Machine]:
    if request.param == "sqlite":
        return type("SqliteMachine", (Machine,), {"place": SqlitePlace(quick_folder)})
    return type(
        "PostgresMachine", (Machine,), {"place": PostgresPlace(request.getfixturevalue("postgres_url"))}
    )


@pytest.mark.parametrize("machine", ["sqlite", "postgresql"], indirect=True)
def test_the_tracker_is_the_model(machine: type[Machine]) -> None:
    run_state_machine_as_test(machine, settings=settings(COMMON, max_examples=40))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("machine", ["sqlite", "postgresql"], indirect=True)
def test_the_tracker_is_the_model_at_length(machine: type[Machine]) -> None:
    run_state_machine_as_test(machine, settings=settings(COMMON, max_examples=2000))


MUTANTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "no fence": lambda patch: patch.setattr(moves, "fence", lambda epoch: sqlalchemy.true()),
    "sealed jobs can be canceled": lambda patch: patch.setattr(moves, "_OPEN", sqlalchemy.true()),
    "nobody takes the place of a leader": lambda patch: patch.setattr(followers, "promote", lambda *_: None),
}


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_tracker_is_noticed(
    sqlite_machine: type[Machine], mutant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    MUTANTS[mutant](monkeypatch)
    quickly = settings(COMMON, max_examples=500, derandomize=True, phases=[Phase.generate], database=None)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(sqlite_machine, settings=quickly)
