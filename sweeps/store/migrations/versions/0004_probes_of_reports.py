"""What a trial's probes said when it told its score, which a pruner hears again."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the change."""
    with op.batch_alter_table("reports") as reports:
        reports.add_column(sa.Column("verdict", sa.Text(), nullable=True))
        reports.add_column(sa.Column("decades", sa.Float(precision=53), nullable=True))
        reports.add_column(sa.Column("probed", sa.Integer(), nullable=True))
        reports.add_column(sa.Column("in_a_row", sa.Integer(), nullable=True))


def downgrade() -> None:
    """Takes it back."""
    with op.batch_alter_table("reports") as reports:
        for name in ("in_a_row", "probed", "decades", "verdict"):
            reports.drop_column(name)
