"""With many rows nothing that happens often reads them all: both databases are asked how they go about it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, text

from service.model import JobState, Priority
from service.tracker import ProgressUpdate, Tracker
from service.tracker.postgres import PostgresDatabase
from service.tracker.sqlite import SqliteDatabase
from tests.contract.test_tracker import ARTIFACT, accepted, new_job

WAITING, FINISHED = 3_000, 30_000
COLUMNS = (
    "id, kind, type, owner, priority, parameters, spec, size, state, epoch, attempt, strikes, unit, done, "
    "phase, revision, cancel_requested, created, updated, started, finished, run_epoch, losses, equal, "
    "leader, cached, kept, expires"
)


def fill(tracker: Tracker, count: int, state: str, name: str) -> None:
    """Rows of 20 owners and, when finished, of results of which the newest tenth is still there."""
    if isinstance(tracker.database, SqliteDatabase):
        series = "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < :count)"
        moment = "strftime('%Y-%m-%d %H\\:%M\\:%f000', '2026-01-01', '+' || n || ' seconds')"
        source, no = "s", "0"
    else:
        series, source, no = "", "generate_series(1, :count) AS s(n)", "false"
        moment = "timestamptz '2026-01-01Z' + n * interval '1 second'"
    done = "NULL" if state == "accepted" else moment
    kept = f"CASE WHEN n > {count} * 9 / 10 AND '{state}' = 'successful' THEN n END"
    rows = (
        f"'{name}' || n, 'report', 'type' || n % 3, 'owner' || n % 20, n % 2, '{{}}', '{{}}', n, '{state}', "
        f"1, 1, 0, 'rows', 0, 'x', 1, {no}, {moment}, {moment}, {done}, {done}, 1, 0, "
        f"'q' || n / 2, '', {no}, {kept}, {done}"
    )
    insert = text(f"INSERT INTO job ({COLUMNS}) {series} SELECT {rows} FROM {source}")
    told = text("INSERT INTO event (job_id, at, name, data) SELECT id, created, 'accepted', '{}' FROM job")
    tracker.database.write(lambda connection: connection.execute(insert, {"count": count}))
    tracker.database.write(lambda connection: connection.execute(told))


@pytest.fixture
def full(url: str) -> Iterator[Tracker]:
    """As a database is in use: PostgreSQL gathers statistics by itself, SQLite has none."""
    opened = Tracker.open(url)
    fill(opened, FINISHED, "successful", "done")
    fill(opened, WAITING, "accepted", "wait")
    if isinstance(opened.database, PostgresDatabase):
        opened.database.write(lambda connection: connection.execute(text("ANALYZE")))
    yield opened
    opened.close()


def engines(tracker: Tracker) -> list[Engine]:
    database: Any = tracker.database
    return (
        [database._engine]
        if isinstance(database, PostgresDatabase)
        else [database._reading, database._writing]
    )


def everything_often(tracker: Tracker) -> None:
    """All that requests and a dispatcher's ticks do."""
    tracker.accept(new_job(idempotency_key="k", idempotency_hash="h"))
    tracker.accept(new_job(idempotency_key="k", idempotency_hash="h"))
    tracker.find_key("local", "report", "k", "h")
    leader, follower = (accepted(tracker, equal="q", owner="new") for _ in range(2))
    tracker.get(leader)
    tracker.events(leader)
    tracker.ahead(leader)
    tracker.ahead(follower)
    for asked in (
        {"kind": "report"},
        {"state": JobState.RUNNING},
        {"kind": "import", "state": JobState.FAILED},
    ):
        tracker.list(**asked, cursor=tracker.list(**asked, limit=1).cursor)
    jobs = tracker.lease("me", 32, 60, "s1")
    assert len(jobs) == 32
    tracker.renew("me", 60)
    job = jobs[0]
    tracker.planned(job.id, job.epoch, {}, 100, "rows")
    tracker.progress([ProgressUpdate(each.id, each.epoch, 5, "working") for each in jobs])
    tracker.cancel_requests("me")
    tracker.request_cancel(jobs[1].id)
    tracker.dismiss(jobs[1].id, jobs[1].epoch)
    tracker.requeue(jobs[2].id, jobs[2].epoch, "lost")
    tracker.seal(job.id, job.epoch, {})
    tracker.succeed(job.id, job.epoch, ARTIFACT, datetime.now(UTC) + timedelta(days=1))
    tracker.hand_over("me")
    tracker.lease("next", 5, 60, "s1")
    tracker.history("report", "type1")
    tracker.expired(10)
    tracker.oldest_results(10)
    tracker.result_bytes()
    tracker.remove_result(job.id)
    tracker.states([leader, follower])
    tracker.active_specs("import", failed_within=60)


def noted(tracker: Tracker, work: Callable[[Tracker], None]) -> list[tuple[str, Any]]:
    asked: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        asked.append((statement, values))

    for engine in engines(tracker):
        event.listen(engine, "before_cursor_execute", note)
    work(tracker)
    for engine in engines(tracker):
        event.remove(engine, "before_cursor_execute", note)
    return [each for each in asked if each[0].lstrip().startswith(("SELECT", "WITH", "UPDATE", "INSERT"))]


def plan_of(connection: Connection, sqlite: bool, statement: str, values: Any) -> list[str]:
    ask = "EXPLAIN QUERY PLAN " if sqlite else "EXPLAIN "
    if isinstance(values, list):
        values = values[0]
    rows = connection.exec_driver_sql(ask + statement, values).all()
    return [row[3] for row in rows] if sqlite else [row[0] for row in rows]


SQLITE_SCAN = re.compile(r"^SCAN (job|other|old)(?! USING (COVERING )?INDEX ix_job_(kept|expires))")
POSTGRES_SCAN = re.compile(r"Seq Scan on (job|event)")


def test_nothing_that_happens_often_reads_all_jobs(full: Tracker) -> None:
    sqlite = isinstance(full.database, SqliteDatabase)
    scan = SQLITE_SCAN if sqlite else POSTGRES_SCAN
    asked = noted(full, everything_often)
    assert len(asked) > 60

    def scans(connection: Connection) -> list[tuple[str, list[str]]]:
        plans = [(sql, plan_of(connection, sqlite, sql, values)) for sql, values in asked]
        return [(sql, plan) for sql, plan in plans if any(scan.search(step) for step in plan)]

    assert full.database.read(scans) == []


def test_the_queue_of_an_owner_is_not_sorted_to_find_its_first(full: Tracker) -> None:
    """PostgreSQL sorts where it does not see that an index has the order; then 100,000 rows are read."""
    if isinstance(full.database, SqliteDatabase):
        pytest.skip("SQLite's scans are what the test above finds")
    accepted(full, owner="owner1", priority=Priority.BATCH)
    asked = noted(full, lambda tracker: tracker.lease("me", 4, 60))
    heads = [each for each in asked if "LIMIT" in each[0] and "FOR UPDATE" not in each[0]]
    assert heads

    def sorts(connection: Connection) -> list[str]:
        plans = [step for sql, values in heads for step in plan_of(connection, False, sql, values)]
        return [step for step in plans if "Sort" in step]

    assert full.database.read(sorts) == []


def test_no_statement_of_sqlite_works_through_a_queue(sqlite_url: str) -> None:
    """A search in an index may read all that waits, and look harmless: SQLite's own steps are counted."""
    tracker = Tracker.open(sqlite_url)
    fill(tracker, FINISHED, "successful", "done")
    fill(tracker, WAITING, "accepted", "wait")
    steps: list[int] = []
    costs: list[tuple[int, str]] = []

    def begin(connection: Connection, _cursor: Any, *_: Any) -> None:
        steps.clear()
        driver: Any = connection.connection.driver_connection
        driver.set_progress_handler(lambda: steps.append(100), 100)

    def end(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        costs.append((sum(steps), statement))

    for engine in engines(tracker):
        event.listen(engine, "before_cursor_execute", begin)
        event.listen(engine, "after_cursor_execute", end)
    everything_often(tracker)
    tracker.close()
    assert len(costs) > 60
    assert [each for each in costs if each[0] > 3 * WAITING and "sum(job.kept)" not in each[1]] == []
