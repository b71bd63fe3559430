"""Who launched a sweep and which job runs it; tokens."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the change."""
    with op.batch_alter_table("sweeps") as sweeps:
        sweeps.add_column(sa.Column("launched_by", sa.Text(), nullable=True))
        sweeps.add_column(sa.Column("idempotency_key", sa.Text(), nullable=True))
        sweeps.add_column(sa.Column("workers", sa.Integer(), nullable=True))
        sweeps.add_column(sa.Column("job_id", sa.Text(), nullable=True))
        sweeps.add_column(sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"))
    # an index, since a constraint would make SQLite copy a table that others point at
    op.create_index("ix_sweeps_idempotency_key", "sweeps", ["idempotency_key"], unique=True)
    op.create_table(
        "tokens",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("most_sweeps", sa.Integer(), nullable=True),
        sa.Column("most_trials", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_tokens"),
        sa.UniqueConstraint("hash", name="uq_tokens_hash"),
    )


def downgrade() -> None:
    """Takes it back."""
    op.drop_table("tokens")
    op.drop_index("ix_sweeps_idempotency_key", "sweeps")
    # not in a batch, which would make SQLite copy a table that others point at
    for name in ("attempts", "job_id", "workers", "idempotency_key", "launched_by"):
        op.drop_column("sweeps", name)
