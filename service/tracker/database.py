"""The two databases behind one tracker: how to read, how to write durably, what time it is.

SQLite: one process, one writing connection with group commit, query-only readers, the process's clocks.
PostgreSQL: any number of processes, a transaction an operation, the server's clock. No job logic here.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Engine,
    Insert,
    create_engine,
    event,
    func,
    literal,
    make_url,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from service.errors import Unavailable
from service.tracker import migrations
from service.tracker.clock import Clock
from service.tracker.tables import UtcDateTime, job
from service.tracker.writer import Operation, Writer

T = TypeVar("T")
_BUSY_SECONDS = 10  # how long a writer waits for somebody else's lock
_READERS = 8
_log = logging.getLogger("haulier.tracker")
_dumps = partial(json.dumps, allow_nan=False, separators=(",", ":"))  # NaN is no JSON; PostgreSQL refuses it


class Database(ABC):
    """`look_again` is how many seconds a waiter may trust that nobody else changed a row."""

    look_again: float

    @abstractmethod
    def read(self, operation: Operation[T]) -> T: ...

    @abstractmethod
    def write(self, operation: Operation[T]) -> T:
        """Run in a transaction; committed and synced on return."""

    @abstractmethod
    def now(self) -> ColumnElement[datetime]:
        """What time it is, to be shown and to be sorted by."""

    @abstractmethod
    def lease_now(self) -> ColumnElement[datetime]:
        """The lease clock: one clock for all who share the database, and nobody sets it."""

    @abstractmethod
    def lease_end(self, seconds: float) -> ColumnElement[datetime]:
        """The lease clock some seconds on."""

    @abstractmethod
    def one_at_a_time(self, connection: Connection, name: str) -> None:
        """Wait until no other transaction that named the same is open."""

    @abstractmethod
    def insert_once(self) -> Insert:
        """INSERT INTO job that does nothing when the idempotency key is taken."""

    @abstractmethod
    def check(self) -> None:
        """Raise Unavailable when the database is gone."""

    @abstractmethod
    def close(self) -> None: ...


def open_database(url: str, clock: Clock, lease_clock: Clock) -> Database:
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


class SqliteDatabase(Database):
    look_again = 1.0

    def __init__(self, path: Path, clock: Clock, lease_clock: Clock) -> None:
        _warn_of_old_sqlite()
        self.path = path
        self._clock, self._lease_clock = clock, lease_clock
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writing = _sqlite_engine(path, _prepare_writer, pool_size=1)
        self._reading = _sqlite_engine(path, _prepare_reader, pool_size=_READERS)
        with reachable(), _disposed_on_failure(self._writing):
            migrations.open_sqlite(self._writing, path)
        event.listen(self._writing, "begin", _begin_immediate)
        self.writer = Writer(self._writing)

    def read(self, operation: Operation[T]) -> T:
        with reachable(), self._reading.connect() as connection:
            return operation(connection)

    def write(self, operation: Operation[T]) -> T:
        with reachable():
            return self.writer.run(operation)

    def now(self) -> ColumnElement[datetime]:
        return literal(self._clock(), UtcDateTime())

    def lease_now(self) -> ColumnElement[datetime]:
        return literal(self._lease_clock(), UtcDateTime())

    def lease_end(self, seconds: float) -> ColumnElement[datetime]:
        return literal(self._lease_clock() + timedelta(seconds=seconds), UtcDateTime())

    def one_at_a_time(self, connection: Connection, name: str) -> None:
        pass  # there is one writer

    def insert_once(self) -> Insert:
        return sqlite.insert(job).on_conflict_do_nothing(index_elements=["owner", "kind", "idempotency_key"])

    def check(self) -> None:
        if not self.path.is_file():  # an open connection would go on writing to the deleted file
            raise Unavailable("The job database file has been removed; restart the service.")
        self.read(lambda connection: connection.execute(text("SELECT 1 FROM job LIMIT 1")))

    def close(self) -> None:
        self.writer.close()
        # readers first: the last connection to close writes the WAL back, and that must be the writing one
        self._reading.dispose()
        self._writing.dispose()


class PostgresDatabase(Database):
    look_again = 0.25

    def __init__(self, url: URL) -> None:
        self._engine = postgres_engine(url)
        with reachable(), _disposed_on_failure(self._engine):
            migrations.open_postgres(self._engine)

    def read(self, operation: Operation[T]) -> T:
        with reachable(), self._engine.connect() as connection:
            return operation(connection)

    def write(self, operation: Operation[T]) -> T:
        with reachable(), self._engine.begin() as connection:
            return operation(connection)

    def now(self) -> ColumnElement[datetime]:
        return func.now()

    def lease_now(self) -> ColumnElement[datetime]:
        return func.now()

    def lease_end(self, seconds: float) -> ColumnElement[datetime]:
        return func.now() + timedelta(seconds=seconds)

    def one_at_a_time(self, connection: Connection, name: str) -> None:
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))

    def insert_once(self) -> Insert:
        taken = ["owner", "kind", "idempotency_key"]
        return postgresql.insert(job).on_conflict_do_nothing(index_elements=taken)

    def check(self) -> None:
        self.read(lambda connection: connection.execute(text("SELECT 1")))

    def close(self) -> None:
        self._engine.dispose()


def postgres_engine(url: URL) -> Engine:
    url = url.set(drivername="postgresql+psycopg")
    engine = create_engine(
        url,
        pool_size=10,
        max_overflow=10,
        pool_timeout=_BUSY_SECONDS,
        pool_pre_ping=True,
        json_serializer=_dumps,
    )
    event.listen(engine, "connect", _prepare_postgres)
    return engine


@contextmanager
def reachable() -> Iterator[None]:
    """Turn what a database says when it is away, locked or full into a 503; keep what is our own fault."""
    try:
        yield
    except (IntegrityError, ProgrammingError, DataError):
        raise
    except (DBAPIError, PoolTimeout) as error:
        _log.warning("job database: %s", error)
        if "full" in str(error).lower() or "no space" in str(error).lower():
            raise Unavailable("The disk of the job database is full; free some space and retry.") from error
        raise Unavailable("The job database cannot be used at the moment; try again soon.") from error


@contextmanager
def _disposed_on_failure(engine: Engine) -> Iterator[None]:
    try:
        yield
    except BaseException:
        engine.dispose()
        raise


def _sqlite_engine(path: Path, prepare: Callable[[Any, Any], None], pool_size: int) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        pool_size=pool_size,
        max_overflow=0,
        json_serializer=_dumps,
        connect_args={"timeout": _BUSY_SECONDS},
    )
    event.listen(engine, "connect", prepare)
    return engine


def _prepare_writer(connection: sqlite3.Connection, record: Any) -> None:
    connection.isolation_level = None  # transactions are begun by _begin_immediate, not guessed by the driver
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _prepare_reader(connection: sqlite3.Connection, record: Any) -> None:
    connection.isolation_level = None
    for pragma in ("foreign_keys=ON", "wal_autocheckpoint=0", "query_only=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _prepare_postgres(connection: Any, record: Any) -> None:
    connection.autocommit = True
    for setting in ("synchronous_commit = on", "timezone = 'UTC'", "statement_timeout = '30s'"):
        connection.execute(f"SET {setting}")
    connection.autocommit = False


@lru_cache(maxsize=1)
def _warn_of_old_sqlite() -> None:
    """Once a process. The fault needs two connections that write; we have one, other programs may not."""
    version = sqlite3.sqlite_version_info
    mended = version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)
    if not mended:
        _log.warning(
            "SQLite %s can lose commits when several connections write (WAL-reset fault, mended in 3.51.3); "
            "do not write to the job database with other programs.",
            sqlite3.sqlite_version,
        )
