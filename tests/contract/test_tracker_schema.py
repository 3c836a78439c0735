"""The schema comes up from nothing on both databases, and is what the code believes it to be."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text

from service.errors import Unavailable
from service.model import JobState
from service.tracker import Tracker, WrongSchema, migrations
from service.tracker.tables import metadata
from tests.contract.postgres import execute
from tests.contract.test_tracker import accepted, new_job


@pytest.fixture
def empty(url: str) -> Iterator[Tracker]:
    tracker = Tracker.open(url)
    yield tracker
    tracker.close()


def test_the_revisions_make_the_tables_the_code_knows(empty: Tracker) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    assert empty.database.read(differences) == []
    assert empty.database.read(migrations.current) == migrations.HEAD


def test_head_is_the_newest_revision() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations.FOLDER))
    assert ScriptDirectory.from_config(config).get_heads() == [migrations.HEAD]


def test_opening_again_keeps_what_is_there(url: str) -> None:
    first = Tracker.open(url)
    job_id = accepted(first)
    first.close()
    again = Tracker.open(url)
    assert again.get(job_id) is not None
    again.close()
    Tracker.migrate(url)  # nothing to do, and no harm


def test_processes_that_open_an_empty_postgresql_at_once_all_succeed(postgres_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        trackers = list(pool.map(lambda _: Tracker.open(postgres_url), range(4)))
    job_id = accepted(trackers[0])
    assert all(tracker.get(job_id) is not None for tracker in trackers)
    for tracker in trackers:
        tracker.close()


def test_both_ways_to_write_a_postgresql_address_are_one(postgres_url: str) -> None:
    first = Tracker.open(postgres_url)
    second = Tracker.open(postgres_url.replace("postgresql://", "postgresql+psycopg://"))
    assert second.get(accepted(first)) is not None
    first.close()
    second.close()


def test_two_trackers_on_one_postgresql_share_keys_and_jobs(postgres_url: str) -> None:
    trackers = [Tracker.open(postgres_url) for _ in range(2)]
    with ThreadPoolExecutor(16) as pool:
        keyed = [(trackers[n % 2], new_job(idempotency_key="k", idempotency_hash="h")) for n in range(16)]
        jobs = list(pool.map(lambda each: each[0].accept(each[1])[0], keyed))
    assert len({job.id for job in jobs}) == 1
    assert trackers[1].counts()[JobState.ACCEPTED] == 1
    for tracker in trackers:
        tracker.close()


def at_revision(url: str, revision: str) -> None:
    """Bring an empty database to an older revision."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    config = Config()
    config.set_main_option("script_location", str(migrations.FOLDER).replace("%", "%%"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def test_an_older_postgresql_is_migrated_only_on_request(postgres_url: str) -> None:
    at_revision(postgres_url, "0001")
    with pytest.raises(WrongSchema, match=r"Tracker\.migrate"):
        Tracker.open(postgres_url)
    Tracker.migrate(postgres_url)
    tracker = Tracker.open(postgres_url)
    assert tracker.database.read(migrations.current) == migrations.HEAD
    job_id = accepted(tracker, equal="q")
    assert [job.id for job in tracker.lease("me", 9, 60)] == [job_id]
    tracker.close()


def test_a_newer_postgresql_is_left_alone(postgres_url: str) -> None:
    tracker = Tracker.open(postgres_url)
    tracker.database.write(lambda c: c.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    tracker.close()
    with pytest.raises(WrongSchema, match="9999"):
        Tracker.open(postgres_url)


def test_a_postgresql_that_is_not_there_is_a_503_without_its_password() -> None:
    with pytest.raises(Unavailable) as away:
        Tracker.open("postgresql://haulier:secret@127.0.0.1:1/haulier")
    assert "secret" not in str(away.value)


def test_a_postgresql_that_dropped_its_connections_is_used_again(postgres_url: str, postgres: str) -> None:
    tracker = Tracker.open(postgres_url)
    job_id = accepted(tracker)
    execute(postgres, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 't%'")
    assert tracker.get(job_id) is not None
    accepted(tracker)
    tracker.close()
