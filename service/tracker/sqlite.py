"""SQLite under the tracker: one process, one writing connection with group commit, query-only readers.

The clocks are the process's. No job logic here.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Engine,
    Insert,
    bindparam,
    create_engine,
    event,
    literal,
    text,
)
from sqlalchemy.dialects import sqlite

from service.errors import Unavailable
from service.tracker import migrations
from service.tracker.clock import Clock
from service.tracker.database import BUSY_SECONDS, Database, disposed_on_failure, dumps, reachable
from service.tracker.tables import UtcDateTime, job
from service.tracker.writer import Operation, Writer

T = TypeVar("T")
_READERS = 8
_log = logging.getLogger("haulier.tracker")


class SqliteDatabase(Database):
    look_again = 1.0
    in_order = True

    def __init__(self, path: Path, clock: Clock, lease_clock: Clock) -> None:
        super().__init__()
        _warn_of_old_sqlite()
        self.path = path
        self._clock, self._lease_clock = clock, lease_clock
        self._now: ColumnElement[datetime] = bindparam(None, callable_=clock, type_=UtcDateTime())
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writing = _sqlite_engine(path, _prepare_writer, pool_size=1)
        self._reading = _sqlite_engine(path, _prepare_reader, pool_size=_READERS)
        with reachable(), disposed_on_failure(self._writing):
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
        return self._now

    def ago(self, seconds: float) -> ColumnElement[datetime]:
        return literal(self._clock() - timedelta(seconds=seconds), UtcDateTime())

    def lease_now(self) -> ColumnElement[datetime]:
        return literal(self._lease_clock(), UtcDateTime())

    def lease_end(self, seconds: float) -> ColumnElement[datetime]:
        return literal(self._lease_clock() + timedelta(seconds=seconds), UtcDateTime())

    def one_at_a_time(self, connection: Connection, name: str) -> None:
        pass  # there is one writer

    def announce(self, changed: Collection[str], work: bool) -> None:
        pass  # there is one process

    def listen(self, heard: Callable[[str | None], None], missed: Callable[[], None]) -> None:
        pass

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


def _sqlite_engine(path: Path, prepare: Callable[[Any, Any], None], pool_size: int) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        pool_size=pool_size,
        max_overflow=0,
        json_serializer=dumps,
        connect_args={"timeout": BUSY_SECONDS},
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
