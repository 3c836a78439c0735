"""The outbox: who wants to be told of a job (`callback`), and each message to them (`delivery`).

A message is written in the transaction of the change it tells of, so no crash loses one. Functions on an open
transaction or connection; `deliveries` has what becomes of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Executable,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    bindparam,
    insert,
    literal,
    select,
)

from pipelines.plan import Json
from service.model import Callback, CallbackEvent
from service.tracker.database import Database
from service.tracker.tables import BigKey, UtcDateTime, metadata

if TYPE_CHECKING:
    from service.tracker.transaction import Transaction

# one row for each event that an address wants to hear of
callback = Table(
    "callback",
    metadata,
    Column("sequence", BigKey, primary_key=True),
    Column("job_id", String(64), ForeignKey("job.id", ondelete="CASCADE"), nullable=False),
    Column("url", Text, nullable=False),
    Column("host", String(262), nullable=False),
    Column("event", String(32), nullable=False),
    Index("ix_callback_job_id_event", "job_id", "event"),
)

delivery = Table(
    "delivery",
    metadata,
    Column("sequence", BigKey, primary_key=True),
    Column("job_id", String(64), ForeignKey("job.id", ondelete="CASCADE"), nullable=False),
    Column("url", Text, nullable=False),
    Column("host", String(262), nullable=False),
    Column("event", String(32), nullable=False),
    Column("data", JSON, nullable=False),
    Column("created", UtcDateTime, nullable=False),
    Column("due", UtcDateTime),  # when to send it (again); none once it is over
    Column("delivered", UtcDateTime),
    Column("attempts", Integer, nullable=False),
    Column("log", JSON, nullable=False),
    Index("ix_delivery_job_id_sequence", "job_id", "sequence"),
    sqlite_autoincrement=True,  # no number comes twice: receivers tell messages apart by it
)
OPEN = delivery.c.due.is_not(None)
Index("ix_delivery_due", delivery.c.due, sqlite_where=OPEN, postgresql_where=OPEN)

# lines of a job's history that callers may be told of
_TOLD = {
    "started": CallbackEvent.STARTED,
    "planned": CallbackEvent.PROGRESS,
    "progress": CallbackEvent.PROGRESS,
    "sealed": CallbackEvent.PROGRESS,
    "successful": CallbackEvent.SUCCEEDED,
    "failed": CallbackEvent.FAILED,
    "dismissed": CallbackEvent.CANCELED,
}


def subscribe(tx: Transaction, job_id: str, callbacks: Sequence[Callback]) -> None:
    """Before the first line of the job's history."""
    rows = [
        {"job_id": job_id, "url": each.url, "host": _host(each.url), "event": event.value}
        for each in callbacks
        for event in each.events
    ]
    if rows:
        tx.execute(insert(callback), rows)


def callbacks(connection: Connection, job_id: str) -> tuple[Callback, ...]:
    """Those a job was submitted with."""
    rows = connection.execute(
        select(callback).where(callback.c.job_id == job_id).order_by(callback.c.sequence)
    )
    found: dict[str, tuple[CallbackEvent, ...]] = {}
    for row in rows:
        found[row.url] = (*found.get(row.url, ()), CallbackEvent(row.event))
    return tuple(Callback(url, events) for url, events in found.items())


def post(tx: Transaction, job_ids: Sequence[str], name: str, data: Json) -> None:
    """A message of a line of history to each address that wants to hear of it."""
    event = _TOLD.get(name)
    if event is None or not job_ids:
        return
    said = [{"about": job_id, "told": event.value, "line": data} for job_id in job_ids]
    if tx.execute(tx.database.prepared(_message), said).rowcount:
        tx.posted = True


def _message(database: Database) -> Executable:
    message = {
        "job_id": callback.c.job_id,
        "url": callback.c.url,
        "host": callback.c.host,
        "event": callback.c.event,
        "data": bindparam("line", type_=JSON()),
        "created": database.now(),
        "due": database.now(),
        "attempts": literal(0, Integer()),
        "log": literal([], JSON()),
    }
    wanted = select(*(column.label(name) for name, column in message.items())).where(
        callback.c.job_id == bindparam("about"), callback.c.event == bindparam("told")
    )
    return insert(delivery).from_select(list(message), wanted).execution_options(preserve_rowcount=True)


def _host(url: str) -> str:
    """Host and port: what is spared while it has enough to do."""
    return urlsplit(url).netloc.lower()
