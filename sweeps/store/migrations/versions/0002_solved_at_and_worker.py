"""When a replicate first solved its task, and who trained a trial."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the change."""
    with op.batch_alter_table("replicates") as replicates:
        replicates.add_column(sa.Column("solved_at", sa.Integer(), nullable=True))
    with op.batch_alter_table("trials") as trials:
        trials.add_column(sa.Column("worker", sa.Text(), nullable=True))


def downgrade() -> None:
    """Takes it back."""
    # not in a batch, which would make SQLite copy a table that others point at
    op.drop_column("trials", "worker")
    op.drop_column("replicates", "solved_at")
