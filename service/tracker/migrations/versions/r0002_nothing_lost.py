"""Adoption, shared work and retention.

Revision: 0002, after 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
BYTES = {
    "sqlite": "json_extract(artifact, '$.bytes')",
    "postgresql": "CAST(artifact ->> 'bytes' AS bigint)",
}


def upgrade() -> None:
    op.drop_index("ix_job_queue", "job")
    op.drop_index("ix_job_history", "job")
    # not in batch mode: nothing here needs SQLite to copy the table
    op.add_column("job", sa.Column("run_epoch", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("job", sa.Column("cluster", sa.String(128)))
    op.add_column("job", sa.Column("losses", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("job", sa.Column("outcome", sa.JSON()))
    op.add_column("job", sa.Column("equal", sa.String(64)))
    op.add_column("job", sa.Column("leader", sa.String(64), nullable=False, server_default=""))
    op.add_column("job", sa.Column("cached", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("job", sa.Column("expires", TIME))
    op.add_column("job", sa.Column("removed", TIME))
    op.add_column("job", sa.Column("kept", sa.BigInteger()))
    op.add_column("job", sa.Column("pace_since", TIME))
    op.add_column("job", sa.Column("pace_done", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_index("ix_job_queue", "job", ["state", "leader", "owner", "priority", "sequence"])
    op.create_index("ix_job_history", "job", ["kind", "type", "state", "leader", "finished"])
    partial("ix_job_equal", ["owner", "equal", "leader", "state"], "equal")
    partial("ix_job_expires", ["expires"], "kept")
    partial("ix_job_kept", ["finished", "kept"], "kept")
    op.execute("UPDATE job SET run_epoch = epoch")
    size = BYTES[op.get_bind().dialect.name]
    op.execute(f"UPDATE job SET kept = {size} WHERE state = 'successful' AND artifact IS NOT NULL")


def partial(name: str, columns: list[str], present: str) -> None:
    where = sa.text(f"{present} IS NOT NULL")
    op.create_index(name, "job", columns, sqlite_where=where, postgresql_where=where)
