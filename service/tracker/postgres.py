"""PostgreSQL under the tracker: any number of processes, a transaction an operation, the server's clock.

No job logic here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
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
    select,
    text,
)
from sqlalchemy.dialects import postgresql

from service.tracker import listener, migrations
from service.tracker.database import BUSY_SECONDS, Database, disposed_on_failure, dumps, reachable
from service.tracker.patience import PATIENCE, STATEMENT, ImpatientConnection
from service.tracker.tables import job
from service.tracker.writer import Operation

T = TypeVar("T")


class PostgresDatabase(Database):
    look_again = 0.25
    in_order = False

    def __init__(self, url: URL) -> None:
        super().__init__()
        self._listener: listener.Listener | None = None
        self._gate, self._closed = threading.Lock(), False
        self._engine = postgres_engine(url)
        with reachable(), disposed_on_failure(self._engine):
            migrations.open_postgres(self._engine)

    def read(self, operation: Operation[T]) -> T:
        with reachable(), self._engine.connect() as connection:
            return operation(connection)

    def write(self, operation: Operation[T]) -> T:
        with reachable(), self._engine.begin() as connection:
            return operation(connection)

    def now(self) -> ColumnElement[datetime]:
        return func.now()

    def ago(self, seconds: float) -> ColumnElement[datetime]:
        return func.now() - timedelta(seconds=seconds)

    def lease_now(self) -> ColumnElement[datetime]:
        return func.now()

    def lease_end(self, seconds: float) -> ColumnElement[datetime]:
        return func.now() + timedelta(seconds=seconds)

    def one_at_a_time(self, connection: Connection, name: str) -> None:
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))

    def announce(self, changed: Collection[str], work: bool) -> None:
        listener.announce(self._engine, changed, work)

    def listen(self, heard: Callable[[str | None], None], missed: Callable[[], None]) -> None:
        with self._gate:
            if self._listener is None and not self._closed:
                self._listener = listener.Listener(self._engine, heard, missed)

    def insert_once(self) -> Insert:
        taken = ["owner", "kind", "idempotency_key"]
        return postgresql.insert(job).on_conflict_do_nothing(index_elements=taken)

    def check(self) -> None:
        self.read(lambda connection: connection.execute(text("SELECT 1")))

    def close(self) -> None:
        with self._gate:
            self._closed = True
            if self._listener is not None:
                self._listener.close()
        self._engine.dispose()


def postgres_engine(url: URL, *, patient: bool = False) -> Engine:
    """`patient` is for migrations, which may take long."""
    url = url.set(drivername="postgresql+psycopg")
    engine = create_engine(
        url,
        pool_size=10,
        max_overflow=10,
        pool_timeout=BUSY_SECONDS,
        pool_pre_ping=True,
        json_serializer=dumps,
        connect_args={k: v for k, v in PATIENCE.items() if k not in url.query},
    )
    event.listen(engine, "connect", _prepare_postgres)
    if not patient:
        event.listen(engine, "do_connect", _connect_impatiently)
        event.listen(engine, "connect", _limit_statements)
    return engine


def _connect_impatiently(dialect: Any, record: Any, arguments: Any, options: Any) -> Any:
    return ImpatientConnection.connect(*arguments, **options)


def _prepare_postgres(connection: Any, record: Any) -> None:
    _set(connection, "synchronous_commit = on", "timezone = 'UTC'")


def _limit_statements(connection: Any, record: Any) -> None:
    _set(connection, f"statement_timeout = '{STATEMENT}s'")


def _set(connection: Any, *settings: str) -> None:
    connection.autocommit = True
    for setting in settings:
        connection.execute(f"SET {setting}")
    connection.autocommit = False
