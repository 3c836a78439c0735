"""Callbacks and the messages to them.

Revision: 0003, after 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def of_a_job(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=f"fk_{table}_job_id_job", ondelete="CASCADE")


def upgrade() -> None:
    op.create_table(
        "callback",
        sa.Column("sequence", KEY, primary_key=True),
        sa.Column("job_id", sa.String(64), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("host", sa.String(262), nullable=False),
        sa.Column("event", sa.String(32), nullable=False),
        of_a_job("callback"),
    )
    op.create_index("ix_callback_job_id_event", "callback", ["job_id", "event"])
    op.create_table(
        "delivery",
        sa.Column("sequence", KEY, primary_key=True),
        sa.Column("job_id", sa.String(64), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("host", sa.String(262), nullable=False),
        sa.Column("event", sa.String(32), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("due", TIME),
        sa.Column("delivered", TIME),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("log", sa.JSON(), nullable=False),
        of_a_job("delivery"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_delivery_job_id_sequence", "delivery", ["job_id", "sequence"])
    is_open = sa.text("due IS NOT NULL")
    op.create_index("ix_delivery_due", "delivery", ["due"], sqlite_where=is_open, postgresql_where=is_open)
