"""Deliveries: the messages of the outbox on their way: whose turn it is to send, and how each attempt went.

`Tracker` has an `Outbox` as its `outbox`. Sending is `service.webhooks`'s.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from pipelines.plan import Json
from service.model import Callback, CallbackEvent, Delivery
from service.tracker import outbox
from service.tracker.database import Database
from service.tracker.outbox import OPEN, delivery
from service.tracker.records import storable
from service.tracker.tables import job

_SHOWN = 200


class Outbox:
    """Thread-safe, as the database is. `posted` is set when there are messages of this process to send."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.posted = threading.Event()

    def callbacks(self, job_id: str) -> tuple[Callback, ...]:
        """Those a job was submitted with."""
        return self._database.read(lambda connection: outbox.callbacks(connection, job_id))

    def deliveries(self, job_id: str) -> Sequence[Delivery]:
        """The newest messages about a job, oldest first."""
        newest = _whole().where(delivery.c.job_id == job_id).order_by(delivery.c.sequence.desc())
        rows = self._database.read(lambda connection: connection.execute(newest.limit(_SHOWN)).all())
        return [_to_delivery(row) for row in reversed(rows)]

    def waiting(self) -> int:
        """How many messages are still to be sent."""
        query = select(func.count()).select_from(delivery).where(OPEN)
        return self._database.read(lambda connection: connection.execute(query).scalar_one())

    def claim(self, seconds: float, without: Iterable[str] = ()) -> Delivery | None:
        """Take the message that is due longest, of none of these hosts; nobody else gets it for some seconds.

        Whoever takes it and is lost has perhaps sent it: it will be sent again.
        """
        due = select(delivery.c.sequence).where(
            delivery.c.due <= self._database.now(), delivery.c.host.not_in(list(without))
        )
        first = due.order_by(delivery.c.due).limit(1)
        if self._database.read(lambda c: c.execute(first).scalar()) is None:
            return None  # without a transaction: this is asked each second
        taken = {"due": self._database.ago(-seconds), "attempts": delivery.c.attempts + 1}

        def take(connection: Connection) -> Delivery | None:
            sequence = connection.execute(first.with_for_update(skip_locked=True)).scalar()
            if sequence is None:
                return None
            connection.execute(update(delivery).where(delivery.c.sequence == sequence).values(taken))
            row = connection.execute(_whole().where(delivery.c.sequence == sequence)).one_or_none()
            return None if row is None else _to_delivery(row)

        return self._database.write(take)

    def settle(
        self, sent: Delivery, entry: Json, *, delivered: bool = False, again_in: float | None = None
    ) -> bool:
        """Write down how an attempt went; without `again_in` seconds it was the last one.

        False when somebody else has taken the message meanwhile, or the job was removed.
        """
        mine = (delivery.c.sequence == sent.sequence, delivery.c.attempts == sent.attempts, OPEN)
        over = {
            "due": None if again_in is None else self._database.ago(-again_in),
            "delivered": self._database.now() if delivered else None,
            "log": [*sent.log, {**entry, "detail": storable(entry.get("detail"))}],
        }
        change = update(delivery).where(*mine).values(over)
        return self._database.write(lambda connection: connection.execute(change).rowcount == 1)


def _whole() -> Any:
    return select(delivery, job.c.kind, job.c.type).join(job, job.c.id == delivery.c.job_id)


def _to_delivery(row: Row[Any]) -> Delivery:
    return Delivery(
        sequence=row.sequence,
        job_id=row.job_id,
        kind=row.kind,
        type=row.type,
        url=row.url,
        host=row.host,
        event=CallbackEvent(row.event),
        data=row.data,
        created=row.created,
        due=row.due,
        delivered=row.delivered,
        attempts=row.attempts,
        log=tuple(row.log),
    )
