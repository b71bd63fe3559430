"""What is read from the lab database: every method one short transaction, every answer frozen records."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Engine, case, func, select
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session

from rnnlab.choices import nearest
from rnnlab.errors import SpecError
from sweeps.store.records import (
    BlockRecord,
    EventRecord,
    Record,
    ReplicateRecord,
    ReportRecord,
    SweepRecord,
    TrialRecord,
)
from sweeps.store.retrying import Patience, patient
from sweeps.store.sessions import WRITES, place_error
from sweeps.store.tables import BlockRow, EventRow, ReplicateRow, ReportRow, Row, SweepRow, TrialRow, Utc

R = TypeVar("R", bound=Record)

LEASE = timedelta(seconds=30)
"""A driver whose last heartbeat is older than this is dead."""


class TrialLine(NamedTuple):
    """What a table shows of a trial: columns of its row, parts of its spec, and its replicates counted.

    Args:
        model, clip: of the spec, as JSON text; a clip without options is a bare name. planned: replicates of the spec.
        replicates: that have ended, of which `diverged` did. accuracy: mean over those with a test score.
    """

    number: int
    label: str
    state: str
    block: int
    config_hash: str
    params: dict[str, Any]
    score: float | None
    score_sd: float | None
    test_score: float | None
    verdict: str | None
    verdict_init: str | None
    decades: float | None
    decades_init: float | None
    exploded: int
    solved: int
    healthy: int
    cause: str | None
    updates: int
    seconds: float | None
    model: str
    clip: str
    planned: int
    replicates: int = 0
    diverged: int = 0
    accuracy: float | None = None


OF_THE_ROW = TrialLine._fields[: TrialLine._fields.index("model")]
"""Fields of a line that are columns."""


class Queries:
    """The reading half of `Lab`, and its transactions."""

    patience: Patience
    """For how long a transaction is tried again while the database is away."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.patience = Patience()
        self._writing = engine.execution_options(**WRITES)

    @patient
    def sweeps(self) -> list[SweepRecord]:
        """All sweeps, newest first."""
        newest_first = select(SweepRow).order_by(SweepRow.created_at.desc(), SweepRow.id.desc())
        with self._reads() as session:
            now = clock(session)
            return [sweep_record(row, now) for row in session.scalars(newest_first)]

    @patient
    def sweep(self, id: str) -> SweepRecord:
        """One sweep.

        Raises:
            SpecError: there is none of that id; names the nearest.
        """
        with self._reads() as session:
            return sweep_record(sweep_row(session, id), clock(session))

    @patient
    def blocks(self, id: str) -> list[BlockRecord]:
        """A sweep's blocks by number."""
        with self._reads() as session:
            sweep_row(session, id)
            of_sweep = select(BlockRow).where(BlockRow.sweep_id == id).order_by(BlockRow.number)
            return [record(BlockRecord, row) for row in session.scalars(of_sweep)]

    @patient
    def trials(self, id: str) -> list[TrialRecord]:
        """A sweep's trials by number."""
        with self._reads() as session:
            sweep_row(session, id)
            of_sweep = select(TrialRow).where(TrialRow.sweep_id == id).order_by(TrialRow.number)
            return [record(TrialRecord, row) for row in session.scalars(of_sweep)]

    @patient
    def replicates(self, id: str) -> list[ReplicateRecord]:
        """The replicates of a sweep's trials, by trial and number; those of trials that have ended."""
        with self._reads() as session:
            sweep_row(session, id)
            of_sweep = (
                select(ReplicateRow)
                .where(ReplicateRow.sweep_id == id)
                .order_by(ReplicateRow.trial, ReplicateRow.number)
            )
            return [record(ReplicateRecord, row) for row in session.scalars(of_sweep)]

    @patient
    def reports(self, id: str) -> list[ReportRecord]:
        """What a sweep's trials told while they ran, by trial and update."""
        with self._reads() as session:
            sweep_row(session, id)
            of_sweep = select(ReportRow).where(ReportRow.sweep_id == id).order_by(ReportRow.trial, ReportRow.update)
            return [record(ReportRecord, row) for row in session.scalars(of_sweep)]

    @patient
    def events(self, id: str) -> list[EventRecord]:
        """What happened to a sweep, oldest first."""
        with self._reads() as session:
            sweep_row(session, id)
            of_sweep = select(EventRow).where(EventRow.sweep_id == id).order_by(EventRow.id)
            return [record(EventRecord, row) for row in session.scalars(of_sweep)]

    @patient
    def now(self) -> datetime:
        """The time by the lab's clock."""
        with self._reads() as session:
            return clock(session)

    @patient
    def counts(self) -> dict[str, dict[str, int]]:
        """Trials by sweep and state; a sweep without trials is absent."""
        by_state = select(TrialRow.sweep_id, TrialRow.state, func.count()).group_by(TrialRow.sweep_id, TrialRow.state)
        found: dict[str, dict[str, int]] = {}
        with self._reads() as session:
            for sweep_id, state, count in session.execute(by_state):
                found.setdefault(sweep_id, {})[state] = count
        return found

    @patient
    def endings(self, id: str) -> dict[tuple[str, str | None], int]:
        """A sweep's trials by state and verdict; None: not judged."""
        counted = (
            select(TrialRow.state, TrialRow.verdict, func.count())
            .where(TrialRow.sweep_id == id)
            .group_by(TrialRow.state, TrialRow.verdict)
        )
        with self._reads() as session:
            sweep_row(session, id)
            return {(state, verdict): count for state, verdict, count in session.execute(counted)}

    @patient
    def lines(self, id: str, best: int | None = None) -> list[TrialLine]:
        """A sweep's trials as a table shows them, by number; or its `best` ones, the best first.

        The best are complete and have the lowest scores: a score of a smaller budget is not comparable.
        """
        # columns of the table, since rows as objects cost four times as much; parts of the spec, since thousands of
        # whole ones take half a second to parse
        columns = TrialRow.__table__.c
        spec = columns["spec"]
        parts = [spec["model"].as_string(), spec[("optim", "clip")].as_string(), spec["replicates"].as_integer()]
        trials = select(*(columns[name] for name in OF_THE_ROW), *parts).where(TrialRow.sweep_id == id)
        if best is None:
            trials = trials.order_by(TrialRow.number)
        else:
            by_score = (TrialRow.state != "complete", TrialRow.score.is_(None), TrialRow.score, TrialRow.number)
            trials = trials.order_by(*by_score).limit(best)
        diverged = func.sum(case((ReplicateRow.outcome == "diverged", 1), else_=0))
        accuracy = func.avg(case((ReplicateRow.test_score.is_not(None), ReplicateRow.accuracy)))
        counted = (
            select(ReplicateRow.trial, func.count(), diverged, accuracy)
            .where(ReplicateRow.sweep_id == id)
            .group_by(ReplicateRow.trial)
        )
        with self._reads() as session:
            sweep_row(session, id)
            rows = session.execute(trials).all()
            if best is not None:
                counted = counted.where(ReplicateRow.trial.in_([row.number for row in rows]))
            replicates = {trial: counts for trial, *counts in session.execute(counted)}
        return [TrialLine(*row, *replicates.get(row.number, ())) for row in rows]

    @contextmanager
    def _reads(self) -> Iterator[Session]:
        with self._session(self.engine) as session:
            yield session

    @contextmanager
    def _writes(self) -> Iterator[Session]:
        with self._session(self._writing) as session:
            yield session

    @contextmanager
    def _session(self, engine: Engine) -> Iterator[Session]:
        try:
            with Session(engine) as session, session.begin():
                yield session
        except (OperationalError, InterfaceError) as error:
            raise place_error(self.engine.url, error) from error


def clock(session: Session) -> datetime:
    """The time by the lab's one clock: PostgreSQL's own, or this machine's, where the SQLite file lies."""
    if session.get_bind().dialect.name == "postgresql":
        return session.scalars(select(func.clock_timestamp(type_=Utc()))).one()
    return datetime.now(UTC)


def sweep_row(session: Session, id: str, lock: bool = False) -> SweepRow:
    """A sweep's row; `lock` keeps other writers from it until this transaction ends.

    Raises:
        SpecError: there is none of that id; names the nearest.
    """
    # FOR NO KEY UPDATE: those who only point at the sweep, as an event does, need not wait
    row = session.get(SweepRow, id, with_for_update={"key_share": True} if lock else None)
    if row is None:
        hint = nearest(id, session.scalars(select(SweepRow.id)))
        raise SpecError(f"there is no sweep {id!r}{hint} (`rnnlab sweep list` shows all)")
    return row


def driver_is_dead(row: SweepRow, now: datetime) -> bool:
    """Whether the heartbeat is older than the lease, or the process is gone where this one could see it."""
    if row.driver_pid is None or row.heartbeat_at is None or now - row.heartbeat_at > LEASE:
        return True
    if row.driver_host != socket.gethostname():
        return False
    try:
        os.kill(row.driver_pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # another user's process: it exists
        return False
    return False


def sweep_record(row: SweepRow, now: datetime) -> SweepRecord:
    """A sweep as people see it: one whose driver died is stopped, whatever its row says."""
    seen = record(SweepRecord, row)
    if row.status == "running" and driver_is_dead(row, now):
        return seen.model_copy(update={"status": "stopped", "lost": True})
    return seen


def record(kind: type[R], row: Row) -> R:
    """A frozen copy of a row."""
    return kind.model_validate(row)
