"""Writer: the one writing connection of a SQLite database, shared by all threads through group commit.

A synced commit costs milliseconds, whatever is in it. Callers queue operations; the thread here runs all that
wait inside one transaction and answers them after its COMMIT. Knows nothing of jobs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine

from service.errors import Unavailable

T = TypeVar("T")
Operation = Callable[[Connection], T]
_Request = tuple[Operation[Any], "Future[Any]"]


class Writer:
    """Runs operations one after another, many to a commit. `commits` counts the commits so far."""

    def __init__(self, engine: Engine, batch: int = 256) -> None:
        self.commits = 0
        self._engine = engine
        self._batch = batch
        self._queue: SimpleQueue[_Request | None] = SimpleQueue()
        self._gate = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="haulier-writer", daemon=True)
        self._thread.start()

    def run(self, operation: Operation[T]) -> T:
        """Do it in the next transaction; returns when that is committed and synced, raises when it is not."""
        future: Future[T] = Future()
        with self._gate:
            if self._closed:
                raise Unavailable(
                    "The job database is closed because the service is stopping; try again soon."
                )
            self._queue.put((operation, future))
        return future.result()

    def close(self) -> None:
        """Finish what is queued, then stop. May be called twice."""
        with self._gate:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()

    def _serve(self) -> None:
        going = True
        while going:
            batch, going = self._next()
            if batch:
                self._commit(batch)

    def _next(self) -> tuple[list[_Request], bool]:
        """All that waits now, at least one; False once the queue has been closed."""
        batch: list[_Request] = []
        request = self._queue.get()
        while request is not None:
            batch.append(request)
            if len(batch) == self._batch:
                return batch, True
            try:
                request = self._queue.get_nowait()
            except Empty:
                return batch, True
        return batch, False

    def _commit(self, batch: list[_Request]) -> None:
        try:
            answers = self._run(batch)
        except BaseException as error:  # nothing of the batch is stored: every caller must know
            for _, future in batch:
                future.set_exception(error)
            return
        self.commits += 1
        for (_, future), (value, refusal) in zip(batch, answers, strict=True):
            if refusal is not None:
                future.set_exception(refusal)
            else:
                future.set_result(value)

    def _run(self, batch: list[_Request]) -> list[tuple[Any, Exception | None]]:
        """Value or refusal of each operation; a refused one leaves nothing and does not harm the others."""
        answers: list[tuple[Any, Exception | None]] = []
        with self._engine.begin() as connection:
            for operation, _ in batch:
                try:
                    with connection.begin_nested():
                        answers.append((operation(connection), None))
                except Exception as error:
                    if not _in_transaction(connection):
                        raise  # a full disk or an I/O error: SQLite has rolled all of it back
                    answers.append((None, error))
        return answers


def _in_transaction(connection: Connection) -> bool:
    driver: Any = connection.connection.driver_connection
    return bool(driver is not None and driver.in_transaction)
