"""The main tables of the tracker: `job`, one row a job, and `event`, its append-only history.

`outbox` has those of webhooks. Shapes only, no statements. A change here needs a revision in
`migrations/versions`; a test compares the two.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    and_,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows by itself only in a column of exactly the type INTEGER
BigKey = BigInteger().with_variant(Integer, "sqlite")


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime on both databases; SQLite keeps it as text of fixed width, which sorts."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; times are aware UTC here")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _json(name: str, *, nullable: bool = True) -> Column[Any]:
    # JSON and not JSONB: what the client wrote keeps the order of its members
    return Column(name, JSON(none_as_null=True), nullable=nullable)


job = Table(
    "job",
    metadata,
    Column("sequence", BigKey, primary_key=True),  # the order of acceptance
    Column("id", String(64), nullable=False, unique=True),
    Column("kind", String(64), nullable=False),
    Column("type", String(128), nullable=False),
    Column("owner", String(128), nullable=False),
    Column("priority", SmallInteger, nullable=False),  # 0 interactive, 1 batch: the order of leasing
    _json("parameters", nullable=False),
    _json("spec", nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("idempotency_key", String(255)),
    Column("idempotency_hash", String(64)),
    Column("state", String(16), nullable=False),
    Column("epoch", Integer, nullable=False, default=0),
    Column("attempt", Integer, nullable=False, default=0),
    Column("strikes", Integer, nullable=False, default=0),
    Column("lease_owner", String(128)),
    Column("lease_until", UtcDateTime),
    Column("cancel_requested", Boolean, nullable=False, default=False),
    _json("plan"),
    Column("done", BigInteger, nullable=False, default=0),
    Column("total", BigInteger),
    Column("unit", String(32), nullable=False),
    Column("phase", String(64), nullable=False, default="queued"),
    Column("message", Text),
    _json("artifact"),
    _json("error"),
    Column("revision", Integer, nullable=False, default=1),
    Column("created", UtcDateTime, nullable=False),
    Column("started", UtcDateTime),  # of the present run: a requeued job has none
    Column("updated", UtcDateTime, nullable=False),
    Column("finished", UtcDateTime),
    Column("last_progress", UtcDateTime),
    Column("heartbeat", UtcDateTime),
    Column("run_epoch", Integer, nullable=False, default=0),
    Column("cluster", String(128)),
    Column("losses", Integer, nullable=False, default=0),
    _json("outcome"),
    Column("equal", String(64)),
    # "" and not NULL for a job that leads itself: PostgreSQL keeps no order behind an IS NULL in an index
    Column("leader", String(64), nullable=False, default=""),
    Column("cached", Boolean, nullable=False, default=False),
    Column("expires", UtcDateTime),
    Column("removed", UtcDateTime),
    Column("kept", BigInteger),  # bytes of the result while it is there, of the job whose run made it
    Column("pace_since", UtcDateTime),
    Column("pace_done", BigInteger, nullable=False, default=0),
    UniqueConstraint("owner", "kind", "idempotency_key"),
    sqlite_autoincrement=True,
)

ACTIVE = ("accepted", "running")
LEADING = job.c.leader == ""  # a follower is never leased, whatever state it mirrors
WAITING = and_(job.c.state == "accepted", LEADING)
LEASED = and_(job.c.state == "running", LEADING)
KEPT = job.c.kept.is_not(None)

# Whole indexes: without statistics SQLite takes any other index on `state` before a partial one.
Index("ix_job_queue", job.c.state, job.c.leader, job.c.owner, job.c.priority, job.c.sequence)
Index("ix_job_history", job.c.kind, job.c.type, job.c.state, job.c.leader, job.c.finished)
Index("ix_job_owner_started", job.c.owner, job.c.started)
Index("ix_job_kind_sequence", job.c.kind, job.c.sequence)
Index("ix_job_state_sequence", job.c.state, job.c.sequence)

# Partial where no other index begins with the same column: most rows are in none of these.
_SHARED = job.c.equal.is_not(None)
Index(
    "ix_job_equal",
    *(job.c.owner, job.c.equal, job.c.leader, job.c.state),
    sqlite_where=_SHARED,
    postgresql_where=_SHARED,
)
Index("ix_job_expires", job.c.expires, sqlite_where=KEPT, postgresql_where=KEPT)
Index("ix_job_kept", job.c.finished, job.c.kept, sqlite_where=KEPT, postgresql_where=KEPT)

event = Table(
    "event",
    metadata,
    Column("sequence", BigKey, primary_key=True),
    Column("job_id", String(64), ForeignKey("job.id", ondelete="CASCADE"), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("name", String(32), nullable=False),
    _json("data", nullable=False),
    Index("ix_event_job_id_sequence", "job_id", "sequence"),
    sqlite_autoincrement=True,
)
