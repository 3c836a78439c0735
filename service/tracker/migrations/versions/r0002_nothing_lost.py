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
    with op.batch_alter_table("job") as job:
        job.add_column(sa.Column("run_epoch", sa.Integer(), nullable=False, server_default="0"))
        job.add_column(sa.Column("cluster", sa.String(128)))
        job.add_column(sa.Column("losses", sa.Integer(), nullable=False, server_default="0"))
        job.add_column(sa.Column("outcome", sa.JSON()))
        job.add_column(sa.Column("equal", sa.String(64)))
        job.add_column(sa.Column("leader", sa.String(64), nullable=False, server_default=""))
        job.add_column(sa.Column("cached", sa.Boolean(), nullable=False, server_default=sa.false()))
        job.add_column(sa.Column("expires", TIME))
        job.add_column(sa.Column("removed", TIME))
        job.add_column(sa.Column("kept", sa.BigInteger()))
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
