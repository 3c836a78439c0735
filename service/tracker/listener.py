"""Hints between processes that share a PostgreSQL: which jobs changed, and that there is work.

Hints only. They are sent after the commit they tell of, by a transaction of their own that syncs nothing:
NOTIFY holds a lock of the whole database until its transaction is on disk, so that in the transaction of the
change it would put all commits in a row. Who hears nothing looks by itself each second.
"""

from __future__ import annotations

import logging
import os
import select as readiness
import threading
from collections.abc import Callable, Collection
from typing import Any

import psycopg
from sqlalchemy import Engine, bindparam, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.types import ARRAY, String

from service.tracker.patience import PATIENCE, ImpatientConnection

CHANGED, WORK = "haulier_changed", "haulier_work"
_SLOWEST = 5.0  # seconds between two tries to listen again
_log = logging.getLogger("haulier.tracker")

_ids = func.unnest(bindparam("ids", type_=ARRAY(String))).column_valued("id")
_unsynced = func.set_config("synchronous_commit", "off", True)
_SAY_CHANGED = select(_unsynced, func.pg_notify(CHANGED, _ids))
_SAY_WORK = select(_unsynced, func.pg_notify(WORK, ""))


def announce(engine: Engine, changed: Collection[str], work: bool) -> None:
    """Tell all who listen; never an error."""
    try:
        with engine.connect() as connection:
            said = connection.execution_options(isolation_level="AUTOCOMMIT")
            if changed:
                said.execute(_SAY_CHANGED, {"ids": list(changed)})
            if work:
                said.execute(_SAY_WORK)
    except SQLAlchemyError as error:
        _log.info("could not tell of a change: %s", error)


class Listener:
    """One thread with a connection of its own, from creation to `close`.

    `heard(job_id)` for a job that changed, None for work; `missed()` after each connect, because hints that
    came before are lost.
    """

    def __init__(
        self, engine: Engine, heard: Callable[[str | None], None], missed: Callable[[], None]
    ) -> None:
        _, options = engine.dialect.create_connect_args(engine.url)
        self._options: dict[str, Any] = {**PATIENCE, **options, "autocommit": True}
        self._heard, self._missed = heard, missed
        self._stopped = threading.Event()
        self._woken, self._wake = os.pipe()
        self._thread = threading.Thread(target=self._serve, name="haulier-listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """May be called twice."""
        if not self._stopped.is_set():
            self._stopped.set()
            os.close(self._wake)  # the other end becomes readable
            self._thread.join()
            os.close(self._woken)

    def _serve(self) -> None:
        pause = 0.1
        while not self._stopped.is_set():
            try:
                with ImpatientConnection.connect(**self._options) as connection:
                    for channel in (CHANGED, WORK):
                        connection.execute(f"LISTEN {channel}")
                    self._missed()
                    pause = 0.1
                    self._hear(connection)
            except (psycopg.Error, OSError) as error:
                _log.info("not listening to the database: %s", error)
            except Exception:
                _log.exception("listening to the database failed")
            self._stopped.wait(pause)
            pause = min(2 * pause, _SLOWEST)

    def _hear(self, connection: psycopg.Connection[Any]) -> None:
        """Until `close`, or until the connection breaks."""
        while not self._stopped.is_set():
            readiness.select([connection.fileno(), self._woken], [], [])
            for note in connection.notifies(timeout=0):
                self._heard(note.payload if note.channel == CHANGED else None)
