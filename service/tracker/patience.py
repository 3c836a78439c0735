"""How long PostgreSQL may take to answer, at every layer; who is silent for longer is taken for gone.

    the server ends a statement after STATEMENT seconds; so an answer comes within ANSWER, or none will
    the kernel gives up a peer that acknowledges nothing after 20 s (PATIENCE); a proxy may acknowledge for it

So a call to the database ends within ANSWER and `connect_timeout` seconds, whatever became of the other side.
No statements here.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import psycopg

STATEMENT = 15  # seconds the server may work for one statement
ANSWER = 20.0  # seconds we wait for an answer
PATIENCE: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}


class ImpatientConnection(psycopg.Connection[Any]):
    """A connection that is closed, with OperationalError, when no answer came for ANSWER seconds."""

    def wait(self, gen: Generator[Any, Any, Any], *given: Any, **more: Any) -> Any:
        """All that psycopg does with the server goes through here."""
        return super().wait(self._answered(gen), *given, **more)

    def _answered(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """The same generator, looked after: psycopg sends it 0 some times a second while nothing comes."""
        until = time.monotonic() + ANSWER
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() > until:
                    self.pgconn.finish()  # in the midst of a statement it is of no further use
                    raise psycopg.OperationalError(f"no answer from the database for {ANSWER:.0f} seconds")
                wanted = gen.send(ready)
        except StopIteration as end:
            return end.value
