"""A tracker as a dict: what the real one must agree with after every step. No database, no threads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from service.model import JobState
from service.model import JobState as S

LEASE, KEEP = 300.0, 1010.0  # seconds; no sum of the steps the clock takes ends exactly there
TOTAL = 100
ACTIVE = (S.ACCEPTED, S.RUNNING)


@dataclass
class Row:
    id: str
    key: tuple[str, str] | None
    equal: str | None
    state: JobState = S.ACCEPTED
    epoch: int = 0
    run_epoch: int = 0
    attempt: int = 0
    strikes: int = 0
    losses: int = 0
    planned: bool = False
    done: int = 0
    total: int | None = None
    outcome: int | None = None
    cancel: bool = False
    leader: str | None = None
    holder: str | None = None
    until: float = 0.0
    cluster: str | None = None
    made: int | None = None  # the epoch that published
    cached: bool = False
    expires: float | None = None
    removed: bool = False

    def held(self, epoch: int) -> bool:
        return self.leader is None and self.state is S.RUNNING and self.epoch == epoch

    def unlease(self) -> None:
        self.holder, self.cancel = None, False


class Reused(Exception):
    """The key came with another request."""


class Model:
    def __init__(self) -> None:
        self.jobs: dict[str, Row] = {}
        self.now = 0.0

    # --- accept

    def accept(self, new: Row) -> tuple[str, bool]:
        for row in self.jobs.values():
            if new.key is not None and row.key is not None and row.key[0] == new.key[0]:
                if row.key != new.key:
                    raise Reused
                return row.id, True
        root = self._equal(new) if new.equal is not None else None
        self.jobs[new.id] = new
        if root is not None:
            new.leader = root.id
            self._show(root, new)
            if root.state is S.SUCCESSFUL:
                new.made, new.cached, new.expires = root.made, True, root.expires
                new.attempt = new.losses = new.strikes = 0
        return new.id, False

    def _equal(self, new: Row) -> Row | None:
        same = [row for row in self.jobs.values() if row.equal == new.equal and row.leader is None]
        there = [
            row
            for row in same
            if row.state is S.SUCCESSFUL
            and not row.removed
            and row.expires is not None
            and row.expires > self.now
        ]
        working = [row for row in same if row.state in ACTIVE and not row.cancel]
        return next(iter(there + working), None)

    # --- leases

    def lease(self, owner: str, limit: int, cluster: str | None) -> list[tuple[str, int]]:
        leading = [row for row in self.jobs.values() if row.leader is None]
        lost = [row for row in leading if row.state is S.RUNNING and row.until < self.now][:limit]
        waiting = [row for row in leading if row.state is S.ACCEPTED][: limit - len(lost)]
        for row in lost:
            row.losses += row.holder is not None
            adopted = row.planned and cluster is not None and row.cluster == cluster
            self._take(row, owner, cluster, keep=adopted)
        for row in waiting:
            self._take(row, owner, cluster, keep=False)
        return [(row.id, row.epoch) for row in lost + waiting]

    def _take(self, row: Row, owner: str, cluster: str | None, keep: bool) -> None:
        row.epoch += 1
        if row.outcome is None and not keep:
            row.run_epoch = row.epoch
        row.state, row.attempt, row.holder, row.cluster = S.RUNNING, row.strikes + 1, owner, cluster
        row.until = self.now + LEASE
        self._mirror(row)

    def renew(self, owner: str) -> frozenset[tuple[str, int]]:
        mine = self._held_by(owner)
        for row in mine:
            row.until = self.now + LEASE
        return frozenset((row.id, row.epoch) for row in mine)

    def hand_over(self, owner: str) -> int:
        mine = self._held_by(owner)
        for row in mine:
            row.holder, row.until = None, float("-inf")
        return len(mine)

    def expire_leases(self) -> int:
        running = [row for row in self.jobs.values() if row.leader is None and row.state is S.RUNNING]
        for row in running:
            row.until = float("-inf")
        return len(running)

    def _held_by(self, owner: str) -> list[Row]:
        return [row for row in self.jobs.values() if row.state is S.RUNNING and row.holder == owner]

    # --- moves

    def planned(self, job_id: str, epoch: int) -> bool:
        row = self.jobs[job_id]
        if row.held(epoch):
            row.planned, row.total = True, TOTAL
            self._mirror(row)
        return row.held(epoch)

    def progress(self, job_id: str, epoch: int, done: int) -> None:
        row = self.jobs[job_id]
        if row.held(epoch):
            row.done = max(row.done, done)
            self._mirror(row)

    def seal(self, job_id: str, epoch: int, outcome: int) -> bool:
        row = self.jobs[job_id]
        if not row.held(epoch) or row.cancel:
            return False
        row.outcome = outcome if row.outcome is None else row.outcome
        return True

    def succeed(self, job_id: str, epoch: int) -> bool:
        row = self.jobs[job_id]
        if not row.held(epoch):
            return False
        row.state, row.made, row.expires = S.SUCCESSFUL, epoch, self.now + KEEP
        row.done = row.done if row.total is None else row.total
        followers = list(self._followers(row))
        row.unlease()
        for each in followers:
            self._show(row, each)
            each.made, each.cached, each.expires = epoch, True, row.expires
        return True

    def fail(self, job_id: str, epoch: int) -> bool:
        row = self.jobs[job_id]
        if row.leader is not None or row.state not in ACTIVE or row.epoch != epoch:
            return False
        followers = list(self._followers(row))
        row.state = S.FAILED
        row.unlease()
        for each in followers:
            self._show(row, each)
        return True

    def dismiss(self, job_id: str, epoch: int) -> bool:
        row = self.jobs[job_id]
        if row.leader is not None or row.state not in ACTIVE or row.epoch != epoch or row.outcome is not None:
            return False
        self._dismissed(row)
        return True

    def requeue(self, job_id: str, epoch: int, strike: bool, blameless: bool) -> bool:
        row = self.jobs[job_id]
        if not row.held(epoch):
            return False
        if row.cancel and row.outcome is None:
            self._dismissed(row)
            return True
        row.strikes += strike
        row.attempt = row.strikes + 1 if strike else row.attempt
        row.losses += not strike and not blameless
        if strike and row.outcome is None:
            row.planned, row.done, row.total = False, 0, None
        row.state = S.ACCEPTED
        row.unlease()
        self._mirror(row)
        return True

    def cancel(self, job_id: str) -> None:
        row = self.jobs[job_id]
        if row.outcome is not None or row.state not in ACTIVE:
            return
        if row.state is S.ACCEPTED or row.leader is not None:
            self._dismissed(row)
        else:
            row.cancel = True

    # --- retention

    def expired(self) -> list[str]:
        return [row.id for row in self._kept() if row.expires is not None and row.expires <= self.now]

    def remove(self, job_id: str) -> bool:
        row = self.jobs[job_id]
        if row not in self._kept():
            return False
        for each in self.jobs.values():
            if each is row or (each.leader == job_id and each.state is S.SUCCESSFUL):
                each.removed = True
        return True

    def _kept(self) -> list[Row]:
        return [
            row
            for row in self.jobs.values()
            if row.state is S.SUCCESSFUL and row.leader is None and not row.removed
        ]

    # --- followers

    def _followers(self, leader: Row) -> Iterator[Row]:
        return (row for row in self.jobs.values() if row.leader == leader.id and row.state in ACTIVE)

    def _mirror(self, leader: Row) -> None:
        for row in list(self._followers(leader)):
            self._show(leader, row)

    @staticmethod
    def _show(leader: Row, row: Row) -> None:
        row.state, row.attempt, row.strikes, row.losses = (
            leader.state,
            leader.attempt,
            leader.strikes,
            leader.losses,
        )
        row.done, row.total = leader.done, leader.total

    def _dismissed(self, row: Row) -> None:
        followers = list(self._followers(row))
        row.state = S.DISMISSED
        row.unlease()
        if followers:
            heir = followers[0]
            heir.leader, heir.planned = None, row.planned
            for each in followers:
                each.state = S.ACCEPTED
                each.leader = None if each is heir else heir.id
