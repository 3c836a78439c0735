"""The schema and its revisions. Opening a database brings an empty one up; HEAD names the newest revision.

A SQLite file migrates itself after a copy of it was made. A PostgreSQL database that holds jobs is migrated
on request only (`Tracker.migrate`): others may be using it. alembic is imported only when there is work.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

HEAD = "0003"
_REVISIONS = ("0001", "0002", "0003")
FOLDER = Path(__file__).parent
_LOCK = 0x4861756C  # "Haul": the advisory lock under which PostgreSQL is migrated


class WrongSchema(RuntimeError):
    """The database was made by another version of Haulier."""


def open_sqlite(engine: Engine, path: Path) -> None:
    with engine.connect() as connection:
        found = current(connection)
    if found == HEAD:
        return
    _refuse_newer(found)
    if found is not None:
        _copy(path, path.with_name(f"{path.name}.before-{HEAD}-from-{found}"))
    with engine.connect() as connection, _without_foreign_keys(connection):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        if current(connection) != HEAD:
            upgrade(connection)
        connection.commit()


def open_postgres(engine: Engine) -> None:
    with engine.connect() as connection:
        if current(connection) == HEAD:
            return
    with engine.begin() as connection:
        found = _current_under_lock(connection)
        if found is None:
            upgrade(connection)
        elif found != HEAD:
            _refuse_newer(found)
            raise WrongSchema(
                f"The database is at revision {found} and this Haulier needs {HEAD}; stop all that use it, "
                "make a backup and call Tracker.migrate(url)."
            )


def migrate_postgres(engine: Engine) -> None:
    with engine.begin() as connection:
        found = _current_under_lock(connection)
        if found != HEAD:
            _refuse_newer(found)
            upgrade(connection)


def current(connection: Connection) -> str | None:
    """The revision a database is at; None when it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return revision


def upgrade(connection: Connection) -> None:
    """Run the missing revisions inside the caller's transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _current_under_lock(connection: Connection) -> str | None:
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    return current(connection)


def _refuse_newer(found: str | None) -> None:
    if found is not None and found not in _REVISIONS:
        raise WrongSchema(
            f"The database is at revision {found}, which this Haulier does not know; start the newer version "
            "that made it, or use another HAULIER_HOME or HAULIER_DATABASE_URL."
        )


@contextmanager
def _without_foreign_keys(connection: Connection) -> Iterator[None]:
    """A revision that copies the table of jobs and drops the old one must not take their history along."""
    connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        connection.rollback()
        connection.exec_driver_sql("PRAGMA foreign_keys=ON")


def _copy(source: Path, target: Path) -> None:
    """A consistent copy, also of what is still in the WAL."""
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
