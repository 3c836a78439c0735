"""Database: how the tracker reads, writes durably and knows the time; `sqlite` and `postgres` are the two.

No job logic here.
"""

from __future__ import annotations

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import TypeVar

from sqlalchemy import ColumnElement, Connection, Engine, Executable, Insert
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from service.errors import Unavailable
from service.tracker.writer import Operation

T = TypeVar("T")
BUSY_SECONDS = 10  # how long a writer waits for somebody else's lock
_log = logging.getLogger("haulier.tracker")
dumps = partial(json.dumps, allow_nan=False, separators=(",", ":"))  # NaN is no JSON; PostgreSQL refuses it


class Database(ABC):
    """`look_again` is how many seconds a waiter may trust that nobody else changed a row; `in_order` says
    that events become visible in the order of their numbers."""

    look_again: float
    in_order: bool

    def __init__(self) -> None:
        self._prepared: dict[Callable[[Database], Executable], Executable] = {}

    def prepared(self, build: Callable[[Database], Executable]) -> Executable:
        """A statement of this database that is built once, for what happens most: building costs the most."""
        found = self._prepared.get(build)
        if found is None:
            found = self._prepared[build] = build(self)
        return found

    @abstractmethod
    def read(self, operation: Operation[T]) -> T: ...

    @abstractmethod
    def write(self, operation: Operation[T]) -> T:
        """Run in a transaction; committed and synced on return."""

    @abstractmethod
    def now(self) -> ColumnElement[datetime]:
        """What time it is when a statement is executed, to be shown and to be sorted by."""

    @abstractmethod
    def ago(self, seconds: float) -> ColumnElement[datetime]: ...

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
    def announce(self, changed: Collection[str], work: bool) -> None:
        """Give other processes a hint of what was committed. Never an error."""

    @abstractmethod
    def listen(self, heard: Callable[[str | None], None], missed: Callable[[], None]) -> None:
        """Hear such hints until `close`; see `listener.Listener`. May be called again, and does nothing."""

    @abstractmethod
    def insert_once(self) -> Insert:
        """INSERT INTO job that does nothing when the idempotency key is taken."""

    @abstractmethod
    def check(self) -> None:
        """Raise Unavailable when the database is gone."""

    @abstractmethod
    def close(self) -> None: ...


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
def disposed_on_failure(engine: Engine) -> Iterator[None]:
    try:
        yield
    except BaseException:
        engine.dispose()
        raise
