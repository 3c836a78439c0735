"""Jobs and their events.

Revision: 0001, the first
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "job",
        sa.Column("sequence", KEY, primary_key=True),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("type", sa.String(128), nullable=False),
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("idempotency_key", sa.String(255)),
        sa.Column("idempotency_hash", sa.String(64)),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("strikes", sa.Integer(), nullable=False),
        sa.Column("lease_owner", sa.String(128)),
        sa.Column("lease_until", TIME),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("plan", sa.JSON()),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger()),
        sa.Column("unit", sa.String(32), nullable=False),
        sa.Column("phase", sa.String(64), nullable=False),
        sa.Column("message", sa.Text()),
        sa.Column("artifact", sa.JSON()),
        sa.Column("error", sa.JSON()),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("started", TIME),
        sa.Column("updated", TIME, nullable=False),
        sa.Column("finished", TIME),
        sa.Column("last_progress", TIME),
        sa.Column("heartbeat", TIME),
        sa.UniqueConstraint("id", name="uq_job_id"),
        sa.UniqueConstraint("owner", "kind", "idempotency_key", name="uq_job_owner_kind_idempotency_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_job_queue", "job", ["state", "owner", "priority", "sequence"])
    op.create_index("ix_job_history", "job", ["kind", "type", "state", "finished"])
    op.create_index("ix_job_owner_started", "job", ["owner", "started"])
    op.create_index("ix_job_kind_sequence", "job", ["kind", "sequence"])
    op.create_index("ix_job_state_sequence", "job", ["state", "sequence"])
    op.create_table(
        "event",
        sa.Column("sequence", KEY, primary_key=True),
        sa.Column("job_id", sa.String(64), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_event_job_id_job", ondelete="CASCADE"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_event_job_id_sequence", "event", ["job_id", "sequence"])
