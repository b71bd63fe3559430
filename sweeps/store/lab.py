"""The lab database as the rest of the program sees it: what is written, on top of what is read."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Engine, delete, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from rnnlab.errors import PlaceError
from sweeps.store.migrate import lock_lab, upgrade
from sweeps.store.queries import Queries, clock, driver_is_dead, record, sweep_record, sweep_row
from sweeps.store.records import (
    BlockRecord,
    ReplicateRecord,
    SweepRecord,
    SweepStatus,
    TrialRecord,
    TrialResult,
    TrialState,
)
from sweeps.store.retrying import LeaseLost, patient
from sweeps.store.sessions import open_engine, place_error
from sweeps.store.tables import (
    BlockRow,
    EventRow,
    ReplicateRow,
    ReportRow,
    SweepRow,
    TrialRow,
    refuse_non_finite,
)


class Lab(Queries):
    """An open lab database. Every method is one short transaction; threads may share it. While the database is away
    it is tried again (`patience`), so each bears being done twice: a commit whose answer was lost may have been done.

    A Lab that took a sweep's lease is its driver: once another driver has taken the lease over, whatever
    this one writes to the sweep is refused with PlaceError. Every method that names a sweep raises
    SpecError where there is none of that id, and every one raises PlaceError where the database fails.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._leases: dict[str, tuple[str, int]] = {}

    @classmethod
    def open(cls, url: str) -> Self:
        """The lab at a URL, made or brought to the newest tables first.

        Raises:
            PlaceError: it cannot be opened, is newer than this program, or belongs to another one.
        """
        engine = open_engine(url)
        try:
            upgrade(engine)
        except OperationalError as error:
            engine.dispose()
            raise place_error(engine.url, error) from error
        except BaseException:
            engine.dispose()
            raise
        return cls(engine)

    def close(self) -> None:
        """Closes its connections."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # sweeps

    def create_sweep(self, name: str, spec: Mapping[str, Any], spec_hash: str) -> SweepRecord:
        """A new queued sweep. Its id is the name, or name-2, name-3, ... where that is taken."""
        return self._create(name, spec, spec_hash, self.now())

    @patient
    def _create(self, name: str, spec: Mapping[str, Any], spec_hash: str, at: datetime) -> SweepRecord:
        """`at` is of this call alone: a sweep made then is the one that an earlier try made."""
        with self._writes() as session:
            lock_lab(session.connection())
            made = select(SweepRow).where(
                SweepRow.name == name, SweepRow.spec_hash == spec_hash, SweepRow.created_at == at
            )
            if (there := session.scalars(made).first()) is not None:
                return record(SweepRecord, there)
            row = self._queued(session, name, spec, spec_hash, at)
            session.add(row)
            session.flush()
            return record(SweepRecord, row)

    def _queued(self, session: Session, name: str, spec: Mapping[str, Any], spec_hash: str, at: datetime) -> SweepRow:
        """A new row under the first free id, not yet added. The lab must be locked."""
        first, taken = _slug(name), set(session.scalars(select(SweepRow.id)))
        ids = itertools.chain([first], (f"{first}-{n}" for n in itertools.count(2)))
        return SweepRow(
            id=next(id for id in ids if id not in taken),
            name=name,
            status="queued",
            spec=dict(spec),
            spec_hash=spec_hash,
            created_at=at,
            stop_requested=False,
            attempts=0,
        )

    @patient
    def take_lease(self, id: str, host: str, pid: int, *, to_mend: bool = False) -> SweepRecord:
        """Makes this process the sweep's driver and sets it running. `host` is `socket.gethostname()`.

        A stop requested before the sweep first ran stands; one that an earlier driver got is over. A sweep that has
        finished is taken only `to_mend` it.

        Raises:
            PlaceError: another driver holds the lease and is alive, or the sweep has finished.
        """
        with self._writes() as session:
            row = sweep_row(session, id, lock=True)
            now = clock(session)
            _refuse_other_driver(row, (host, pid), session)
            if row.status == "finished" and not to_mend:
                raise PlaceError(f"sweep {id!r} has finished; `rnnlab sweep show {id}` shows it")
            again = row.status == "running" and (row.driver_host, row.driver_pid) == (host, pid)
            if row.status != "queued" and not again:
                row.stop_requested = False
            row.status = "running"
            row.started_at = row.started_at or now
            row.ended_at = None
            row.message = None
            row.driver_host, row.driver_pid, row.heartbeat_at = host, pid, now
            session.flush()
            taken = sweep_record(row, now)
        self._leases[id] = (host, pid)
        return taken

    @patient
    def heartbeat(self, id: str) -> bool:
        """Renews the lease; returns whether a stop was requested. Beat at least every 10 s.

        Without a lease, as after `end_sweep`, it does nothing.

        Raises:
            PlaceError: another driver has taken the lease over.
        """
        if id not in self._leases:  # given back by another thread in the meantime
            return False
        with self._writes() as session:
            row = self._held(session, id)
            row.heartbeat_at = clock(session)
            return row.stop_requested

    @patient
    def request_stop(self, id: str) -> SweepRecord:
        """Asks the sweep's driver to stop; it hears of it at its next heartbeat."""
        with self._writes() as session:
            row = sweep_row(session, id, lock=True)
            row.stop_requested = True
            session.flush()
            return sweep_record(row, clock(session))

    @patient
    def end_sweep(
        self, id: str, status: SweepStatus, message: str | None = None, ended_at: datetime | None = None
    ) -> None:
        """Ends a sweep as stopped, failed or finished, and gives the lease back. `ended_at`: None is now.

        Raises:
            PlaceError: a live driver other than this one holds it.
        """
        if status not in ("stopped", "failed", "finished"):
            raise ValueError(f"a sweep ends as stopped, failed or finished, but got {status!r}")
        with self._writes() as session:
            row = self._held(session, id)
            _refuse_other_driver(row, self._leases.get(id), session)
            row.status = status
            row.message = message
            row.ended_at = ended_at or clock(session)
        self._leases.pop(id, None)

    @patient
    def set_mlflow(self, id: str, experiment_id: str, run_id: str | None) -> None:
        """Stores where MLflow keeps the sweep."""
        with self._writes() as session:
            row = self._held(session, id)
            row.mlflow_experiment_id, row.mlflow_run_id = experiment_id, run_id

    @patient
    def add_block(self, sweep_id: str, number: int, seed: int, nuisance: Mapping[str, Any]) -> BlockRecord:
        """Adds a block; the same one again changes nothing.

        Raises:
            ValueError: the block is there with another seed or other values.
        """
        with self._writes() as session:
            self._held(session, sweep_id)
            new = BlockRow(sweep_id=sweep_id, number=number, seed=seed, nuisance=_plain(nuisance))
            row = session.get(BlockRow, (sweep_id, number))
            if row is None:
                session.add(new)
                session.flush()
                return record(BlockRecord, new)
            if (row.seed, row.nuisance) != (new.seed, new.nuisance):
                raise ValueError(
                    f"block {number} of sweep {sweep_id!r} is seed {row.seed}, {row.nuisance}, "
                    f"but got seed {seed}, {nuisance}"
                )
            return record(BlockRecord, row)

    # trials

    @patient
    def start_trial(
        self,
        sweep_id: str,
        number: int,
        *,
        block: int,
        config_hash: str,
        label: str,
        params: Mapping[str, Any],
        spec: Mapping[str, Any],
        tune_trial_id: str | None = None,
    ) -> TrialRecord:
        """Starts a trial, or starts an unfinished one again: running, without a result, its reports and its start kept.

        Raises:
            ValueError: its block was not added, or the trial is complete or pruned.
        """
        with self._writes() as session:
            self._held(session, sweep_id)
            if session.get(BlockRow, (sweep_id, block)) is None:
                raise ValueError(f"block {block} of sweep {sweep_id!r} must be added before trial {number}")
            row = session.get(TrialRow, (sweep_id, number))
            if row is None:
                row = TrialRow(sweep_id=sweep_id, number=number, started_at=clock(session))
                session.add(row)
            elif row.state in ("complete", "pruned"):
                raise ValueError(f"trial {number} of sweep {sweep_id!r} is {row.state} and cannot start again")
            _fill(row, TrialResult().model_dump())
            row.block, row.config_hash, row.label = block, config_hash, label
            row.params, row.spec = dict(params), dict(spec)
            row.state, row.tune_trial_id, row.ended_at = "running", tune_trial_id, None
            session.flush()
            _forget_replicates(session, sweep_id, number)
            return record(TrialRecord, row)

    @patient
    def report(
        self,
        sweep_id: str,
        number: int,
        update: int,
        score: float,
        *,
        verdict: str | None = None,
        decades: float | None = None,
        probed: int | None = None,
        in_a_row: int | None = None,
    ) -> None:
        """Keeps what a trial told at an update, as `ReportRecord` has it; told again, the last one counts."""
        judged = {"verdict": verdict, "decades": decades, "probed": probed, "in_a_row": in_a_row}
        with self._writes() as session:
            self._trial(session, sweep_id, number)
            session.merge(ReportRow(sweep_id=sweep_id, trial=number, update=update, score=score, **judged))

    @patient
    def set_trial_run(self, sweep_id: str, number: int, mlflow_run_id: str) -> None:
        """Stores which MLflow run is the trial's."""
        with self._writes() as session:
            self._trial(session, sweep_id, number).mlflow_run_id = mlflow_run_id

    @patient
    def end_trial(
        self,
        sweep_id: str,
        number: int,
        state: TrialState,
        result: TrialResult | None = None,
        replicates: Sequence[ReplicateRecord] = (),
    ) -> None:
        """Ends a trial and replaces its result and its replicates.

        Raises:
            ValueError: a number is not finite, or a replicate is another trial's.
        """
        if state not in ("complete", "pruned", "interrupted", "failed"):
            raise ValueError(f"a trial ends as complete, pruned, interrupted or failed, but got {state!r}")
        strays = [replicate.trial for replicate in replicates if replicate.trial != number]
        if strays:
            raise ValueError(f"replicates of trial {number} must say so, but got some of trials {strays}")
        with self._writes() as session:
            row = self._trial(session, sweep_id, number)
            # a TrialRecord is a TrialResult too: only what a result has is taken from it
            _fill(row, (result or TrialResult()).model_dump(include=set(TrialResult.model_fields)))
            row.state = state
            row.ended_at = clock(session)
            _forget_replicates(session, sweep_id, number)
            session.add_all(ReplicateRow(sweep_id=sweep_id, **one.model_dump()) for one in replicates)

    def event(self, sweep_id: str, kind: str, message: str, /, **data: Any) -> None:
        """Notes that something happened to a sweep."""
        self._note(sweep_id, self.now(), kind, message, data)

    @patient
    def _note(self, sweep_id: str, at: datetime, kind: str, message: str, data: dict[str, Any]) -> None:
        """`at` is of one call alone: the same event at that time is the one that an earlier try noted."""
        told = {"sweep_id": sweep_id, "at": at, "kind": kind, "message": message}
        with self._writes() as session:
            sweep_row(session, sweep_id)
            if session.scalars(select(EventRow.id).filter_by(**told)).first() is None:
                session.add(EventRow(**told, data=data))

    def _held(self, session: Session, id: str) -> SweepRow:
        """The sweep's row, locked, where no other driver took over a lease that this Lab took."""
        row = sweep_row(session, id, lock=True)
        mine = self._leases.get(id)
        if mine is not None and (row.driver_host, row.driver_pid) != mine:
            raise LeaseLost(
                f"sweep {id!r} was taken over by pid {row.driver_pid} on {row.driver_host}, since this "
                "driver gave no heartbeat for too long; leave it to that one"
            )
        return row

    def _trial(self, session: Session, sweep_id: str, number: int) -> TrialRow:
        self._held(session, sweep_id)
        row = session.get(TrialRow, (sweep_id, number))
        if row is None:
            raise ValueError(f"trial {number} of sweep {sweep_id!r} must be started first")
        return row


def _refuse_other_driver(row: SweepRow, mine: tuple[str, int] | None, session: Session) -> None:
    now = clock(session)
    if row.status == "running" and (row.driver_host, row.driver_pid) != mine and not driver_is_dead(row, now):
        raise PlaceError(
            f"sweep {row.id!r} is being run by pid {row.driver_pid} on {row.driver_host}; "
            f"stop that first: `rnnlab sweep stop {row.id}`"
        )


def _forget_replicates(session: Session, sweep_id: str, number: int) -> None:
    session.execute(delete(ReplicateRow).where(ReplicateRow.sweep_id == sweep_id, ReplicateRow.trial == number))


def _fill(row: TrialRow, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        setattr(row, name, value)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON gives them back, so that what is stored can be compared with what is told."""
    refuse_non_finite("blocks.nuisance", values)
    plain: dict[str, Any] = json.loads(json.dumps(values))
    return plain


def _slug(name: str) -> str:
    """A name as an id: fit for a folder, a URL and a command line."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:100] or "sweep"
