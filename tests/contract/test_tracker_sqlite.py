"""What only the SQLite tracker promises: shared commits, one writer, a copy before a migration, one owner."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, event, text

from service.errors import Unavailable
from service.model import JobState
from service.tracker import HomeInUse, HomeLock, Tracker, WrongSchema, migrations
from service.tracker.sqlite import SqliteDatabase, _warn_of_old_sqlite
from tests.contract.test_tracker import accepted, job_of, new_job
from tests.contract.test_tracker_schema import at_revision


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """On the disk, beside what else a home holds."""
    return f"sqlite:///{tmp_path / 'haulier.db'}"


@pytest.fixture
def tracker(sqlite_url: str) -> Any:
    opened = Tracker.open(sqlite_url)
    yield opened
    opened.close()


def database_of(tracker: Tracker) -> SqliteDatabase:
    assert isinstance(tracker.database, SqliteDatabase)
    return tracker.database


def hold(tracker: Tracker) -> tuple[threading.Thread, threading.Event]:
    """Keep the writer inside an operation until the event is set: what comes meanwhile shares a commit."""
    entered, leave = threading.Event(), threading.Event()

    def busy(connection: Connection) -> None:
        entered.set()
        assert leave.wait(30)

    thread = threading.Thread(target=database_of(tracker).write, args=(busy,))
    thread.start()
    assert entered.wait(30)
    return thread, leave


def together(tracker: Tracker, *calls: Callable[[], Any]) -> list[Any]:
    """Run calls in threads so that one commit holds them all; results or exceptions in order."""
    holder, leave = hold(tracker)
    queue = database_of(tracker).writer._queue
    with ThreadPoolExecutor(len(calls)) as pool:
        futures = []
        for number, call in enumerate(calls, start=1):
            futures.append(pool.submit(call))
            while queue.qsize() < number:
                assert not futures[-1].done()
        leave.set()
        holder.join()
        return [future.exception() or future.result() for future in futures]


def test_submitters_at_the_same_time_share_commits(tracker: Tracker) -> None:
    before = database_of(tracker).writer.commits
    with ThreadPoolExecutor(32) as pool:
        jobs = list(pool.map(lambda _: tracker.accept(new_job())[0], range(640)))
    commits = database_of(tracker).writer.commits - before
    assert len({job.id for job in jobs}) == 640
    assert tracker.counts()[JobState.ACCEPTED] == 640
    assert commits < 320


def test_all_that_waits_goes_into_one_commit(tracker: Tracker) -> None:
    before = database_of(tracker).writer.commits
    together(tracker, *[lambda: tracker.accept(new_job())] * 20)
    assert database_of(tracker).writer.commits - before == 2  # the holder's and the one shared by twenty


def test_an_operation_that_fails_harms_no_other_of_its_commit(tracker: Tracker) -> None:
    taken = accepted(tracker)

    def half_done(connection: Connection) -> None:
        connection.execute(text("DELETE FROM job"))
        raise RuntimeError("changed its mind")

    answers = together(
        tracker,
        lambda: tracker.accept(new_job()),
        lambda: tracker.accept(new_job(id=taken)),  # the id is there already
        lambda: database_of(tracker).write(half_done),
        lambda: tracker.accept(new_job()),
    )
    assert [isinstance(answer, Exception) for answer in answers] == [False, True, True, False]
    assert tracker.counts()[JobState.ACCEPTED] == 3


def test_a_commit_that_fails_fails_everybody_in_it(tracker: Tracker) -> None:
    def fail(connection: Connection) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    engine = database_of(tracker)._writing
    event.listen(engine, "commit", fail)
    # two that share the commit and the holder of the writer: nobody is told that it was stored
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(tracker.accept, new_job()) for _ in range(2)]
        assert all(future.exception() is not None for future in futures)
    event.remove(engine, "commit", fail)
    assert tracker.counts()[JobState.ACCEPTED] == 0
    accepted(tracker)  # and the writer goes on


def test_a_full_disk_is_a_503_and_later_submissions_work(tracker: Tracker) -> None:
    database = database_of(tracker)

    def limit(pages: int) -> None:
        database.write(lambda connection: connection.exec_driver_sql(f"PRAGMA max_page_count={pages}"))

    accepted(tracker)
    limit(1)  # SQLite takes the present size instead
    large = new_job(spec={"filler": "x" * 1_000_000})
    with pytest.raises(Unavailable, match="disk of the job database is full"):
        tracker.accept(large)
    stored = tracker.counts()[JobState.ACCEPTED]
    limit(1_000_000)
    accepted(tracker)
    assert tracker.counts()[JobState.ACCEPTED] == stored + 1


def test_a_closed_tracker_is_unavailable(sqlite_url: str) -> None:
    tracker = Tracker.open(sqlite_url)
    tracker.close()
    tracker.close()
    with pytest.raises(Unavailable, match="closed"):
        tracker.accept(new_job())


def test_a_removed_file_is_noticed(sqlite_url: str, tmp_path: Path) -> None:
    tracker = Tracker.open(sqlite_url)
    tracker.ping()
    for path in tmp_path.iterdir():
        path.unlink()
    with pytest.raises(Unavailable, match="removed"):
        tracker.ping()
    tracker.close()


def test_the_file_is_opened_as_promised(tracker: Tracker) -> None:
    def pragmas(connection: Connection) -> list[Any]:
        names = ("journal_mode", "synchronous", "foreign_keys", "query_only")
        return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

    database = database_of(tracker)
    assert database.write(pragmas) == ["wal", 2, 1, 0]  # 2 = FULL
    assert database.read(pragmas)[2:] == [1, 1]
    with pytest.raises(Unavailable):
        database.read(lambda connection: connection.execute(text("DELETE FROM job")))


def test_deleting_a_job_takes_its_history_along(tracker: Tracker) -> None:
    job_id = accepted(tracker)
    database_of(tracker).write(lambda connection: connection.execute(text("DELETE FROM job")))
    assert tracker.events(job_id) == []


def test_leases_end_by_the_clock_given(sqlite_url: str) -> None:
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    tracker = Tracker.open(sqlite_url, clock=lambda: now[0])
    job_id = accepted(tracker)
    [job] = tracker.lease("me", 1, 30)
    assert job.started == now[0]
    now[0] += timedelta(seconds=29)
    assert tracker.lease("other", 1, 30) == []
    now[0] += timedelta(seconds=2)
    assert [job.id for job in tracker.lease("other", 1, 30)] == [job_id]
    tracker.close()


KILLED = """
import os, signal, sys
from service.tracker import Tracker
from tests.contract.test_tracker import new_job
tracker = Tracker.open(sys.argv[1])
job, _ = tracker.accept(new_job())
os.write(1, job.id.encode())
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("which", ["sqlite_url", "postgres_url"])
def test_a_process_killed_right_after_the_accept_leaves_the_job(
    which: str, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue(which)
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", KILLED, url], stdout=subprocess.PIPE, cwd=root, timeout=60)
    assert done.returncode == -signal.SIGKILL
    tracker = Tracker.open(url)
    assert job_of(tracker, done.stdout.decode()).state is JobState.ACCEPTED
    assert [entry.name for entry in tracker.events(done.stdout.decode())] == ["accepted"]
    tracker.close()


# --- versions of SQLite, and of the schema


@pytest.mark.parametrize(
    ("version", "warned"),
    [
        ((3, 40, 1), True),
        ((3, 44, 6), False),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
    ],
)
def test_an_sqlite_with_the_wal_fault_is_named_in_the_log(
    version: tuple[int, int, int],
    warned: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
    _warn_of_old_sqlite.cache_clear()
    with caplog.at_level(logging.WARNING, "haulier.tracker"):
        _warn_of_old_sqlite()
        _warn_of_old_sqlite()
    assert len(caplog.records) == int(warned)


FIRST = """
INSERT INTO job (id, kind, type, owner, priority, parameters, spec, size, state, epoch, attempt, strikes,
  cancel_requested, done, total, unit, phase, artifact, revision, created, updated, started, finished,
  lease_owner, lease_until) VALUES
('done', 'report', 'sales', 'local', 0, '{}', '{}', 5, 'successful', 2, 1, 0, 0, 5, 5, 'rows', 'complete',
 '{"path": "results/done/2/r.csv", "name": "r.csv", "media_type": "text/csv", "bytes": 77, "sha256": "ab",
   "rows": 3}', 4, '2026-01-01 00:00:00.000000', '2026-01-01 00:00:09.000000', '2026-01-01 00:00:01.000000',
 '2026-01-01 00:00:09.000000', NULL, NULL),
('busy', 'report', 'sales', 'local', 0, '{}', '{}', 5, 'running', 3, 1, 0, 0, 2, 5, 'rows', 'working', NULL,
 4, '2026-01-01 00:00:00.000000', '2026-01-01 00:00:09.000000', '2026-01-01 00:00:01.000000', NULL, 'old',
 '2026-01-01 00:00:30.000000'),
('waits', 'report', 'sales', 'local', 1, '{}', '{}', 5, 'accepted', 0, 0, 0, 0, 0, NULL, 'rows', 'queued',
 NULL, 1, '2026-01-01 00:00:00.000000', '2026-01-01 00:00:09.000000', NULL, NULL, NULL, NULL)
"""


def first_file(url: str) -> None:
    """A file as the first revision made it, with one job done, one running and one waiting."""
    at_revision(url, "0001")
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(FIRST)
        connection.exec_driver_sql(
            "INSERT INTO event (job_id, at, name, data) "
            "VALUES ('done', '2026-01-01 00:00:00.000000', 'accepted', '{}')"
        )
    engine.dispose()


def test_a_file_of_the_first_revision_keeps_its_jobs(sqlite_url: str, tmp_path: Path) -> None:
    first_file(sqlite_url)
    tracker = Tracker.open(sqlite_url)
    done = job_of(tracker, "done")
    assert (done.run_epoch, done.leader, done.cached, done.removed, done.expires) == (
        2,
        None,
        False,
        None,
        None,
    )
    assert (tracker.result_bytes(), [job.id for job in tracker.oldest_results(9)]) == (77, ["done"])
    assert [entry.name for entry in tracker.events("done")] == ["accepted"]
    taken = tracker.lease("new", 9, 60, "s1")
    assert [(job.id, job.epoch, job.run_epoch, job.losses) for job in taken] == [
        ("busy", 4, 4, 1),
        ("waits", 1, 1, 0),
    ]
    assert tracker.accept(new_job())[0].epoch == 0
    tracker.close()
    assert (tmp_path / f"haulier.db.before-{migrations.HEAD}-from-0001").is_file()


def test_an_older_file_is_copied_and_then_migrated(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = Tracker.open(sqlite_url)
    job_id = accepted(tracker)
    tracker.close()
    assert not list(tmp_path.glob("*.before-*"))  # a new file needs no copy
    head = migrations.HEAD
    newer = _newer_migrations(tmp_path)
    monkeypatch.setattr("service.tracker.migrations.FOLDER", newer)
    monkeypatch.setattr("service.tracker.migrations.HEAD", "9999")
    migrated = Tracker.open(sqlite_url)
    job_of(migrated, job_id)
    assert [entry.name for entry in migrated.events(job_id)] == ["accepted"]  # also when the table is copied
    assert migrated.database.read(lambda c: c.execute(text("SELECT note FROM job")).scalar()) == "none"
    migrated.close()
    copy = tmp_path / f"haulier.db.before-9999-from-{head}"
    with sqlite3.connect(copy) as connection:
        assert connection.execute("SELECT id FROM job").fetchall() == [(job_id,)]
    connection.close()


def test_a_migration_that_fails_leaves_the_file_as_it_was(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Tracker.open(sqlite_url).close()
    newer = _newer_migrations(
        tmp_path, "    op.execute('CREATE TABLE half_way (x)')\n    raise RuntimeError('stop')\n"
    )
    with monkeypatch.context() as patched:
        patched.setattr("service.tracker.migrations.FOLDER", newer)
        patched.setattr("service.tracker.migrations.HEAD", "9999")
        with pytest.raises(RuntimeError, match="stop"):
            Tracker.open(sqlite_url)
    tracker = Tracker.open(sqlite_url)
    tables = tracker.database.read(
        lambda c: c.execute(text("SELECT name FROM sqlite_master")).scalars().all()
    )
    assert "half_way" not in tables
    accepted(tracker)
    tracker.close()


def test_a_file_of_a_newer_version_is_left_alone(sqlite_url: str, tmp_path: Path) -> None:
    Tracker.open(sqlite_url).close()
    with sqlite3.connect(tmp_path / "haulier.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(WrongSchema, match="9999"):
        Tracker.open(sqlite_url)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://root:secret@localhost/x"])
def test_a_url_that_cannot_work_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match="HAULIER_DATABASE_URL") as refused:
        Tracker.open(url)
    assert "secret" not in str(refused.value)


def _newer_migrations(folder: Path, body: str | None = None) -> Path:
    """The real migrations and one more, in a folder of their own."""
    copy = folder / "migrations 100%"
    shutil.copytree(migrations.FOLDER, copy, ignore=shutil.ignore_patterns("__pycache__"))
    column = "sa.Column('note', sa.Text(), server_default='none', nullable=False)"
    body = (
        body
        or "    with op.batch_alter_table('job', recreate='always') as job:\n"
        f"        job.add_column({column})\n"
    )
    head = "import sqlalchemy as sa\nfrom alembic import op\n"
    head += f"revision = '9999'\ndown_revision = '{migrations.HEAD}'\n"
    (copy / "versions" / "r9999_note.py").write_text(f"{head}def upgrade() -> None:\n{body}")
    return copy


# --- one process a home


def test_a_home_has_one_owner_who_says_where_it_serves(tmp_path: Path) -> None:
    with HomeLock.acquire(tmp_path / "home") as lock:
        with pytest.raises(HomeInUse, match=f"process {os.getpid()}") as early:
            HomeLock.acquire(tmp_path / "home")
        assert early.value.address is None
        lock.publish("http://127.0.0.1:8480")
        with pytest.raises(HomeInUse, match=r"http://127.0.0.1:8480.*HAULIER_HOME") as later:
            HomeLock.acquire(tmp_path / "home")
        assert (later.value.address, later.value.pid) == ("http://127.0.0.1:8480", os.getpid())
    HomeLock.acquire(tmp_path / "home").release()


HOLDER = """
import sys, time
from service.tracker import HomeLock
lock = HomeLock.acquire(sys.argv[1])
print("held", flush=True)
time.sleep(60)
"""


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE, cwd=root)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(HomeInUse) as refused:
        HomeLock.acquire(tmp_path)
    assert refused.value.pid == holder.pid
    holder.kill()
    holder.wait()
    holder.stdout.close()
    HomeLock.acquire(tmp_path).release()
