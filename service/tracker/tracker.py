"""Tracker: what is true of every job. Each method is one short transaction; each change is guarded.

A change of state is an UPDATE that names the states it may come from (`service.model.sources_of`) and, where
somebody holds the job, the epoch; no row means somebody was first, and the method says False. Knows no Dask.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, make_url, select

from pipelines.plan import Artifact, Json
from service.eta import Run
from service.model import Event, Job, JobError, JobState, NewJob
from service.tracker import acceptance, history, leases, migrations, moves, queue, removal, retention
from service.tracker.clock import Clock, SteadyClock, utcnow
from service.tracker.database import Database, reachable
from service.tracker.deliveries import Outbox
from service.tracker.outlook import Outlook
from service.tracker.postgres import PostgresDatabase, postgres_engine
from service.tracker.records import Page, ProgressUpdate, from_cursor, to_cursor, to_job
from service.tracker.sqlite import SqliteDatabase
from service.tracker.tables import LEASED, job
from service.tracker.transaction import Transaction
from service.tracker.watchers import ANY, Watchers

P = ParamSpec("P")
T = TypeVar("T")


class Tracker:
    """Thread-safe. `accepted` is set when there is something for this process's dispatcher to see, `leaving`
    when nobody is to wait for changes any more.

    `clock` tells the time that the rows are written by, for whoever compares with it.
    """

    def __init__(self, database: Database, clock: Clock = utcnow) -> None:
        self.database = database
        self.clock = clock
        self.accepted, self.asked = threading.Event(), 0  # how often there was something to lease or cancel
        self.leaving = threading.Event()
        self.outlook, self.outbox = Outlook(database), Outbox(database)
        self._watchers = Watchers()

    @classmethod
    def open(cls, url: str, *, clock: Clock | None = None, lease_clock: Clock | None = None) -> Tracker:
        """Connect to `sqlite:///...` or `postgresql://...`; an empty database gets its tables.

        The clocks are SQLite's, for tests; a `clock` alone is that of the leases, too. Without one all times
        are steady: who sets the wall clock makes no job older, and ends no lease.
        """
        steady = SteadyClock()
        database = _open_database(url, clock or steady, lease_clock or clock or steady)
        return cls(database, clock or (steady if isinstance(database, SqliteDatabase) else utcnow))

    @staticmethod
    def migrate(url: str) -> None:
        """Bring a PostgreSQL database that holds jobs to this version; SQLite does it when opened."""
        parsed = make_url(url)
        if parsed.drivername.startswith("sqlite"):
            Tracker.open(url).close()
            return
        engine = postgres_engine(parsed, patient=True)
        try:
            with reachable():
                migrations.migrate_postgres(engine)
        finally:
            engine.dispose()

    def close(self) -> None:
        self.database.close()

    def ping(self) -> None:
        """Raise Unavailable when the database is gone."""
        self.database.check()

    # --- accept and look

    def accept(self, new: NewJob) -> tuple[Job, bool]:
        """Store a job; committed and synced on return. (the first job, True) when its key came before.

        A job with an `equal` one of its owner takes its result at once, or follows it while it works.
        """
        return self._write(acceptance.accept, new)

    def find_key(self, owner: str, kind: str, key: str, digest: str) -> Job | None:
        """The job a key stands for; KeyReused when it came with another request."""
        return self.database.read(lambda c: acceptance.with_key(c, owner, kind, key, digest))

    def get(self, job_id: str) -> Job | None:
        row = self.database.read(lambda c: c.execute(select(job).where(job.c.id == job_id)).one_or_none())
        return None if row is None else to_job(row)

    def list(
        self,
        *,
        kind: str | None = None,
        type: str | None = None,
        state: JobState | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page:
        """Newest first. A job accepted meanwhile never moves the later pages. ValueError for a bad cursor."""
        if limit < 1:
            raise ValueError(f"limit is {limit}; use 1 or more.")
        given = {"kind": kind, "type": type, "state": None if state is None else JobState(state).value}
        query = select(job).where(
            *(job.c[name] == value for name, value in given.items() if value is not None)
        )
        if cursor is not None:
            query = query.where(job.c.sequence < from_cursor(cursor))
        query = query.order_by(job.c.sequence.desc()).limit(limit + 1)
        rows = self.database.read(lambda connection: connection.execute(query).all())
        more = to_cursor(rows[limit - 1].sequence) if len(rows) > limit else None
        return Page(tuple(to_job(row) for row in rows[:limit]), more)

    def history(self, kind: str, type: str, limit: int = 50) -> Sequence[Run]:
        """The newest successful runs of a type."""
        return self.database.read(lambda connection: history.runs(connection, kind, type, limit))

    def events(self, job_id: str, after: int = 0, limit: int = 1000) -> Sequence[Event]:
        return self.database.read(lambda connection: history.events(connection, job_id, after, limit))

    def counts(self) -> dict[JobState, int]:
        found = self.database.read(history.counts)
        return {state: found.get(state.value, 0) for state in JobState}

    def ahead(self, job_id: str) -> int:
        """Waiting jobs that would be leased before this one; 0 = next."""
        return self.database.read(lambda connection: queue.ahead(connection, job_id))

    # --- the dispatcher's side

    def lease(self, owner: str, limit: int, seconds: float, cluster: str | None = None) -> Sequence[Job]:
        """Take jobs, in fair order; each gets a new epoch. `cluster` names the scheduler that will have them.

        A job whose holder stopped renewing keeps its `run_epoch` where the same scheduler had it: its work
        still runs there. So does a job with an outcome, wherever it ran: it waits to be published.
        """
        return self._write(leases.lease, owner, limit, seconds, cluster)

    def renew(self, owner: str, seconds: float) -> frozenset[tuple[str, int]]:
        """Extend all leases of `owner`; the (id, epoch) it still holds; what else it runs it lost."""
        return self._write(leases.renew, owner, seconds)

    def hand_over(self, owner: str) -> int:
        """Let all jobs of `owner` be taken over now, without a loss: for an orderly stop; how many."""
        return self._write(leases.hand_over, owner)

    def expire_leases(self) -> int:
        """Let every running job be leased again now: for the process that has just taken a SQLite home."""
        return self._write(leases.expire_all)

    def planned(self, job_id: str, epoch: int, plan: Json, total: int, unit: str) -> bool:
        """Remember the plan of a running job."""
        return self._write(moves.planned, job_id, epoch, plan, total, unit)

    def progress(self, updates: Sequence[ProgressUpdate]) -> None:
        """One commit for all. Only for who holds the job; never lowers `done`; ended jobs stay."""
        if updates:
            self._write(moves.progress, updates)

    def foresee(self, job_id: str, epoch: int, guess: Json) -> bool:
        """Keep an estimate of a running job, to be compared with the truth."""
        return self._write(moves.foresee, job_id, epoch, guess)

    def seal(self, job_id: str, epoch: int, outcome: Json) -> bool:
        """Keep the outcome before it is published; from now on it is too late to cancel.

        False for who no longer holds the job, and when a cancel came first. The first outcome stays.
        """
        return self._write(moves.seal, job_id, epoch, outcome)

    def succeed(self, job_id: str, epoch: int, artifact: Artifact, expires: datetime | None = None) -> bool:
        """The job has its result, to be kept until `expires`; so have those that follow it."""
        return self._write(moves.succeed, job_id, epoch, artifact, expires)

    def fail(self, job_id: str, epoch: int, error: JobError) -> bool:
        return self._write(moves.fail, job_id, epoch, error)

    def dismiss(self, job_id: str, epoch: int) -> bool:
        """False for a sealed job, too. The first job that follows it takes its place in the queue."""
        return self._write(moves.dismiss, job_id, epoch)

    def requeue(
        self, job_id: str, epoch: int, reason: str, *, strike: bool = False, blameless: bool = False
    ) -> bool:
        """Back to the queue; a job whose cancel was asked for ends instead.

        A `strike` is the job's own fault: it begins from nothing, as the next attempt. Otherwise plan and
        progress stay and a loss is counted; not even that for a `blameless` orderly stop.
        """
        return self._write(moves.requeue, job_id, epoch, reason, strike, blameless)

    # --- cancel

    def request_cancel(self, job_id: str) -> Job:
        """A waiting job ends at once, a running one gets a flag, a sealed or ended one stays; UnknownJob."""
        return self._write(moves.request_cancel, job_id)[0]

    def cancel_requests(self, owner: str) -> Sequence[tuple[str, int]]:
        """(id, epoch) of this owner's running jobs that somebody wants canceled."""
        mine = (LEASED, job.c.lease_owner == owner, job.c.cancel_requested)
        query = select(job.c.id, job.c.epoch).where(*mine)
        return [(row.id, row.epoch) for row in self.database.read(lambda c: c.execute(query).all())]

    # --- retention

    def expired(self, limit: int) -> Sequence[Job]:
        """Jobs whose results are due to go, the longest due first; not those that share them."""
        return self.database.read(lambda c: retention.expired(c, self.database, limit))

    def oldest_results(self, limit: int) -> Sequence[Job]:
        """Jobs whose results are still there, the oldest first; not those that share them."""
        return self.database.read(lambda connection: retention.oldest(connection, limit))

    def result_bytes(self) -> int:
        """Bytes of all results that are still there, each counted once."""
        return self.database.read(retention.total_bytes)

    def remove_result(self, job_id: str) -> bool:
        """Mark a result as gone, for all that share it; before its file goes. False when it was already."""
        return self._write(retention.remove, job_id)

    def erase(self, job_id: str) -> bool:
        """Take an ended job and its history away, and its result from all that share it; before the file.

        False when there is none, or it is active.
        """
        return self._write(removal.erase, job_id)

    def states(self, ids: Iterable[str]) -> dict[str, JobState]:
        """The states of those ids that are jobs."""
        return self.database.read(lambda connection: retention.states(connection, ids))

    def keepers(self, ids: Iterable[str]) -> set[str]:
        """Those of these jobs whose results are still to be there."""
        return self.database.read(lambda connection: retention.keepers(connection, ids))

    def active_specs(self, kind: str, failed_within: float | None = None) -> Sequence[Json]:
        """The specs of all jobs of a kind that have not ended, or failed in the last seconds given."""
        return self.database.read(lambda c: retention.specs_in_use(c, self.database, kind, failed_within))

    # --- waiting for a change

    def listen(self) -> None:
        """From now on hear what other processes change, until `close`; nothing to do on SQLite."""
        self.database.listen(self._heard, self._missed)

    def watch(self, job_id: str = ANY) -> AbstractContextManager[threading.Event]:
        """An event set after each commit that changed the job (or any); of others only if we `listen`."""
        return self._watchers.watch(job_id)

    def leave(self) -> None:
        """Wake all who wait for a change: the service is about to end, and they are to ask the next one."""
        self.leaving.set()
        self._watchers.touch_all()

    @property
    def look_again(self) -> float:
        """Seconds after which a watcher must look by itself, because others may write as well."""
        return self.database.look_again

    def _heard(self, job_id: str | None) -> None:
        if job_id is not None:
            return self._watchers.touch([job_id])
        self.asked += 1
        self.accepted.set()

    def _missed(self) -> None:
        self._heard(None)
        self._watchers.touch_all()

    def _write(self, move: Callable[Concatenate[Transaction, P], T], *args: P.args, **more: P.kwargs) -> T:
        def operation(connection: Connection) -> tuple[T, Transaction]:
            tx = Transaction(connection, self.database)
            return move(tx, *args, **more), tx

        result, tx = self.database.write(operation)
        self._watchers.touch(tx.touched)
        if tx.work:
            self._heard(None)
        if tx.posted:
            self.outbox.posted.set()
        if tx.touched or tx.work:
            self.database.announce(tx.touched, tx.work)
        return result


def _open_database(url: str, clock: Clock, lease_clock: Clock) -> Database:
    """Connect and bring the schema up. ValueError for an unknown kind of URL, without showing it."""
    parsed = make_url(url)
    match parsed.drivername.partition("+")[0]:
        case "sqlite":
            if not parsed.database or parsed.database == ":memory:":
                raise ValueError("HAULIER_DATABASE_URL needs a file: write sqlite:////full/path/haulier.db.")
            return SqliteDatabase(Path(parsed.database), clock, lease_clock)
        case "postgresql" | "postgres":
            return PostgresDatabase(parsed)
    raise ValueError(
        f"HAULIER_DATABASE_URL starts with {parsed.drivername!r}; use sqlite:///... or postgresql://..."
    )
