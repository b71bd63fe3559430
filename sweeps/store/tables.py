"""The tables of the lab database. A change here needs a migration beside it: see `sweeps.store.migrate`.

Keys are the natural ones (sweep and number), so that writing the same thing twice is the same row. Names
of states are plain text here; `records` holds which there are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    MetaData,
    Text,
    TypeDecorator,
    event,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Utc(TypeDecorator[datetime]):
    """An aware time in UTC, on SQLite too, which keeps no time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC; a naive time is refused."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a time in the lab database must be aware, but got {value!r}")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From what the database gave, to UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Row(DeclarativeBase):
    """The base of every row."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: Text(),
        # FLOAT is double precision on SQLite and, at 53 bits, on PostgreSQL
        float: Float(53),
        datetime: Utc(),
        dict[str, Any]: JSON(),
    }


class SweepRow(Row):
    """A sweep and its lease: driver_host, driver_pid and heartbeat_at say who runs it."""

    __tablename__ = "sweeps"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    status: Mapped[str]
    spec: Mapped[dict[str, Any]]
    spec_hash: Mapped[str]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    driver_host: Mapped[str | None]
    driver_pid: Mapped[int | None]
    heartbeat_at: Mapped[datetime | None]
    stop_requested: Mapped[bool]
    mlflow_experiment_id: Mapped[str | None]
    mlflow_run_id: Mapped[str | None]
    message: Mapped[str | None]
    launched_by: Mapped[str | None]
    idempotency_key: Mapped[str | None] = mapped_column(unique=True, index=True)
    workers: Mapped[int | None]
    job_id: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(server_default="0", default=0)


class TokenRow(Row):
    """What lets a person into the service; only the hash of the secret is kept."""

    __tablename__ = "tokens"
    name: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str]
    hash: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    used_at: Mapped[datetime | None]
    most_sweeps: Mapped[int | None]
    most_trials: Mapped[int | None]


class BlockRow(Row):
    """One draw of the nuisance values."""

    __tablename__ = "blocks"
    sweep_id: Mapped[str] = mapped_column(ForeignKey("sweeps.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    seed: Mapped[int] = mapped_column(BigInteger)
    nuisance: Mapped[dict[str, Any]]


class TrialRow(Row):
    """A trial: what it is, where it is, what it ended with."""

    __tablename__ = "trials"
    __table_args__ = (ForeignKeyConstraint(["sweep_id", "block"], ["blocks.sweep_id", "blocks.number"]),)
    sweep_id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    block: Mapped[int]
    config_hash: Mapped[str]
    label: Mapped[str]
    params: Mapped[dict[str, Any]]
    spec: Mapped[dict[str, Any]]
    state: Mapped[str]
    score: Mapped[float | None]
    score_sd: Mapped[float | None]
    test_score: Mapped[float | None]
    verdict: Mapped[str | None]
    verdict_init: Mapped[str | None]
    decades: Mapped[float | None]
    decades_init: Mapped[float | None]
    exploded: Mapped[int]
    solved: Mapped[int]
    healthy: Mapped[int]
    cause: Mapped[str | None]
    tune_trial_id: Mapped[str | None]
    mlflow_run_id: Mapped[str | None]
    worker: Mapped[str | None]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    seconds: Mapped[float | None]
    cpu_seconds: Mapped[float | None]
    updates: Mapped[int]


class ReplicateRow(Row):
    """One seed of a trial and the scalar features of its curves."""

    __tablename__ = "replicates"
    __table_args__ = (ForeignKeyConstraint(["sweep_id", "trial"], ["trials.sweep_id", "trials.number"]),)
    sweep_id: Mapped[str] = mapped_column(primary_key=True)
    trial: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    seed: Mapped[int] = mapped_column(BigInteger)
    outcome: Mapped[str]
    cause: Mapped[str | None]
    update: Mapped[int]
    score: Mapped[float | None]
    test_score: Mapped[float | None]
    solved: Mapped[bool]
    accuracy: Mapped[float | None]
    verdict: Mapped[str | None]
    verdict_init: Mapped[str | None]
    decades: Mapped[float | None]
    decades_init: Mapped[float | None]
    slope: Mapped[float | None]
    hump: Mapped[float | None]
    horizon: Mapped[int | None]
    underflow: Mapped[bool]
    mixed: Mapped[bool]
    exploded: Mapped[bool]
    exploded_at: Mapped[int | None]
    spikes: Mapped[int]
    healthy_share: Mapped[float | None]
    clip_rate: Mapped[float | None]
    solved_at: Mapped[int | None]
    features: Mapped[dict[str, Any]]


class ReportRow(Row):
    """What a trial told while it ran; replayed into the pruner when a driver starts."""

    __tablename__ = "reports"
    __table_args__ = (ForeignKeyConstraint(["sweep_id", "trial"], ["trials.sweep_id", "trials.number"]),)
    sweep_id: Mapped[str] = mapped_column(primary_key=True)
    trial: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    update: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    score: Mapped[float]
    verdict: Mapped[str | None]
    decades: Mapped[float | None]
    probed: Mapped[int | None]
    in_a_row: Mapped[int | None]


class EventRow(Row):
    """Something that happened to a sweep."""

    __tablename__ = "events"
    id: Mapped[int] = mapped_column(primary_key=True)
    sweep_id: Mapped[str] = mapped_column(ForeignKey("sweeps.id"), index=True)
    at: Mapped[datetime]
    kind: Mapped[str]
    message: Mapped[str]
    data: Mapped[dict[str, Any]]


def refuse_non_finite(where: str, value: Any) -> None:
    """Refuses NaN and infinity, at any depth of a value.

    Raises:
        ValueError: names the place of the first one.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"never a NaN in the database: {where} must be finite, but got {value!r}")
    if isinstance(value, Mapping):
        for name, part in value.items():
            refuse_non_finite(f"{where}.{name}", part)
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            refuse_non_finite(f"{where}[{index}]", part)


@event.listens_for(Session, "before_flush")
def _only_finite(session: Session, *_: Any) -> None:
    # every write of this room goes through a flush, so this is the one gate
    for row in (*session.new, *session.dirty):
        if isinstance(row, Row):
            for name in row.__mapper__.column_attrs.keys():  # noqa: SIM118 - not a mapping
                refuse_non_finite(f"{row.__tablename__}.{name}", getattr(row, name))
