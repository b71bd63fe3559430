"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the change."""
    op.create_table(
        "sweeps",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("spec_hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("driver_host", sa.Text(), nullable=True),
        sa.Column("driver_pid", sa.Integer(), nullable=True),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("stop_requested", sa.Boolean(), nullable=False),
        sa.Column("mlflow_experiment_id", sa.Text(), nullable=True),
        sa.Column("mlflow_run_id", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sweeps")),
    )
    op.create_table(
        "blocks",
        sa.Column("sweep_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("nuisance", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["sweep_id"], ["sweeps.id"], name=op.f("fk_blocks_sweeps")),
        sa.PrimaryKeyConstraint("sweep_id", "number", name=op.f("pk_blocks")),
    )
    op.create_table(
        "events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sweep_id", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["sweep_id"], ["sweeps.id"], name=op.f("fk_events_sweeps")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_events_sweep_id"), ["sweep_id"], unique=False)

    op.create_table(
        "trials",
        sa.Column("sweep_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("block", sa.Integer(), nullable=False),
        sa.Column("config_hash", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("params", sa.JSON(), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("score", sa.Float(precision=53), nullable=True),
        sa.Column("score_sd", sa.Float(precision=53), nullable=True),
        sa.Column("test_score", sa.Float(precision=53), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.Column("verdict_init", sa.Text(), nullable=True),
        sa.Column("decades", sa.Float(precision=53), nullable=True),
        sa.Column("decades_init", sa.Float(precision=53), nullable=True),
        sa.Column("exploded", sa.Integer(), nullable=False),
        sa.Column("solved", sa.Integer(), nullable=False),
        sa.Column("healthy", sa.Integer(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=True),
        sa.Column("tune_trial_id", sa.Text(), nullable=True),
        sa.Column("mlflow_run_id", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("seconds", sa.Float(precision=53), nullable=True),
        sa.Column("cpu_seconds", sa.Float(precision=53), nullable=True),
        sa.Column("updates", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["sweep_id", "block"], ["blocks.sweep_id", "blocks.number"], name=op.f("fk_trials_blocks")
        ),
        sa.PrimaryKeyConstraint("sweep_id", "number", name=op.f("pk_trials")),
    )
    op.create_table(
        "replicates",
        sa.Column("sweep_id", sa.Text(), nullable=False),
        sa.Column("trial", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=True),
        sa.Column("update", sa.Integer(), nullable=False),
        sa.Column("score", sa.Float(precision=53), nullable=True),
        sa.Column("test_score", sa.Float(precision=53), nullable=True),
        sa.Column("solved", sa.Boolean(), nullable=False),
        sa.Column("accuracy", sa.Float(precision=53), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.Column("verdict_init", sa.Text(), nullable=True),
        sa.Column("decades", sa.Float(precision=53), nullable=True),
        sa.Column("decades_init", sa.Float(precision=53), nullable=True),
        sa.Column("slope", sa.Float(precision=53), nullable=True),
        sa.Column("hump", sa.Float(precision=53), nullable=True),
        sa.Column("horizon", sa.Integer(), nullable=True),
        sa.Column("underflow", sa.Boolean(), nullable=False),
        sa.Column("mixed", sa.Boolean(), nullable=False),
        sa.Column("exploded", sa.Boolean(), nullable=False),
        sa.Column("exploded_at", sa.Integer(), nullable=True),
        sa.Column("spikes", sa.Integer(), nullable=False),
        sa.Column("healthy_share", sa.Float(precision=53), nullable=True),
        sa.Column("clip_rate", sa.Float(precision=53), nullable=True),
        sa.Column("features", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["sweep_id", "trial"], ["trials.sweep_id", "trials.number"], name=op.f("fk_replicates_trials")
        ),
        sa.PrimaryKeyConstraint("sweep_id", "trial", "number", name=op.f("pk_replicates")),
    )
    op.create_table(
        "reports",
        sa.Column("sweep_id", sa.Text(), nullable=False),
        sa.Column("trial", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("update", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("score", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(
            ["sweep_id", "trial"], ["trials.sweep_id", "trials.number"], name=op.f("fk_reports_trials")
        ),
        sa.PrimaryKeyConstraint("sweep_id", "trial", "update", name=op.f("pk_reports")),
    )


def downgrade() -> None:
    """Takes it back."""
    op.drop_table("reports")
    op.drop_table("replicates")
    op.drop_table("trials")
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_events_sweep_id"))

    op.drop_table("events")
    op.drop_table("blocks")
    op.drop_table("sweeps")
