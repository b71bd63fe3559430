"""The queue of launched sweeps: the rows that wait, and the jobs that run them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, select

from rnnlab.errors import PlaceError, SpecError
from sweeps.store.lab import Lab
from sweeps.store.migrate import lock_lab
from sweeps.store.queries import clock, driver_is_dead, sweep_record, sweep_row
from sweeps.store.records import SweepRecord
from sweeps.store.retrying import patient
from sweeps.store.tables import BlockRow, EventRow, ReplicateRow, ReportRow, SweepRow, TrialRow

PENDING = ("queued", "running")
"""States of a sweep that counts against a quota."""


class Queue(Lab):
    """A lab whose sweeps may be launched: queued rows with an idempotency key wait for a job.

    A sweep that a command line runs itself has no such key, and no job is ever started for it.
    """

    @patient
    def launch(
        self,
        name: str,
        spec: Mapping[str, Any],
        spec_hash: str,
        *,
        key: str,
        launched_by: str | None,
        workers: int | None = None,
        most: int | None = None,
    ) -> tuple[SweepRecord, bool]:
        """Queue a sweep; it, and whether it is new.

        Args:
            key: a launch repeated with it gives the sweep of the first time.
            launched_by: a token's name. workers: trials at a time.
            most: sweeps that this token may have queued or running at a time.

        Raises:
            SpecError: the key was used for another spec, or by somebody else.
            PlaceError: the quota is used up.
        """
        with self._writes() as session:
            lock_lab(session.connection())
            row = session.scalars(select(SweepRow).where(SweepRow.idempotency_key == key)).one_or_none()
            if row is not None:
                if row.spec_hash != spec_hash or row.launched_by != launched_by:
                    raise SpecError(
                        f"the idempotency key {key!r} was used for another launch; leave it out, or take a new one"
                    )
                return sweep_record(row, clock(session)), False
            if most is not None:
                mine = SweepRow.status.in_(PENDING), SweepRow.launched_by == launched_by
                pending = session.scalar(select(func.count()).select_from(SweepRow).where(*mine)) or 0
                if pending >= most:
                    raise PlaceError(
                        f"{launched_by or 'everybody'} may have {most} sweeps queued or running at a time, and has "
                        f"{pending}; wait for one to end, or stop one"
                    )
            row = self._queued(session, name, spec, spec_hash, clock(session))
            row.idempotency_key, row.launched_by, row.workers = key, launched_by, workers
            session.add(row)
            session.flush()
            now = clock(session)
            said = f"queued by {launched_by}" if launched_by else "queued"
            session.add(EventRow(sweep_id=row.id, at=now, kind="queued", message=said, data={}))
            return sweep_record(row, now), True

    @patient
    def waiting(self) -> list[SweepRecord]:
        """Launched sweeps that wait for a job, the oldest first."""
        wanted = SweepRow.status == "queued", SweepRow.idempotency_key.is_not(None), SweepRow.job_id.is_(None)
        oldest_first = select(SweepRow).where(*wanted).order_by(SweepRow.created_at, SweepRow.id)
        with self._reads() as session:
            now = clock(session)
            return [sweep_record(row, now) for row in session.scalars(oldest_first)]

    @patient
    def on_a_job(self) -> list[SweepRecord]:
        """Launched sweeps that have a job and have not ended: starting, running, or lost with their job."""
        wanted = SweepRow.status.in_(PENDING), SweepRow.job_id.is_not(None)
        with self._reads() as session:
            now = clock(session)
            return [sweep_record(row, now) for row in session.scalars(select(SweepRow).where(*wanted))]

    @patient
    def stranded(self, since: timedelta) -> list[SweepRecord]:
        """Launched sweeps that stopped so long ago though nobody asked for it: cluster lost, or no node to run on."""
        wanted = SweepRow.status == "stopped", SweepRow.job_id.is_not(None), SweepRow.stop_requested.is_(False)
        with self._reads() as session:
            now = clock(session)
            rows = session.scalars(select(SweepRow).where(*wanted, SweepRow.ended_at <= now - since))
            return [sweep_record(row, now) for row in rows]

    @patient
    def give_job(self, id: str, job_id: str) -> bool:
        """Note that a job runs a waiting sweep; False where another service was first, or it was stopped."""
        with self._writes() as session:
            row = sweep_row(session, id, lock=True)
            if row.job_id == job_id:  # done before, and the answer was lost
                return True
            if row.status != "queued" or row.job_id is not None:
                return False
            row.job_id = job_id
            row.attempts += 1
            return True

    def take_job(self, id: str, why: str) -> SweepRecord:
        """Put a sweep whose job is gone, or which was stopped or failed, back into the queue.

        Raises:
            PlaceError: it has finished, or is being run.
        """
        with self._writes() as session:
            row = sweep_row(session, id, lock=True)
            now = clock(session)
            if row.status == "finished":
                raise PlaceError(f"sweep {id!r} has finished; there is nothing to resume")
            if row.status == "running" and not driver_is_dead(row, now):
                raise PlaceError(f"sweep {id!r} is being run by pid {row.driver_pid} on {row.driver_host}")
            row.status, row.job_id, row.stop_requested = "queued", None, False
            row.idempotency_key = row.idempotency_key or f"resumed-{id}"
            session.add(EventRow(sweep_id=id, at=now, kind="queued", message=why, data={}))
            session.flush()
            return sweep_record(row, now)

    @patient
    def stop_waiting(self, id: str) -> bool:
        """Stop a sweep that has no job yet; False where it has, or has ended."""
        with self._writes() as session:
            row = sweep_row(session, id, lock=True)
            if row.status != "queued" or row.job_id is not None:
                return False
            now = clock(session)
            row.status, row.message, row.ended_at = "stopped", "stopped before it began", now
            session.add(EventRow(sweep_id=id, at=now, kind="stopped", message=row.message, data={}))
            return True

    @patient
    def delete(self, id: str) -> None:
        """Forget a sweep and all of its trials, for ever; its MLflow runs and files stay.

        Raises:
            PlaceError: it is queued or being run.
        """
        with self._writes() as session:
            row = sweep_row(session, id, lock=True)
            if row.status == "queued" or (row.status == "running" and not driver_is_dead(row, clock(session))):
                raise PlaceError(f"sweep {id!r} is {row.status}; stop it first")
            for kind in (ReportRow, ReplicateRow, TrialRow, BlockRow, EventRow):
                session.execute(delete(kind).where(kind.sweep_id == id))
            session.delete(row)
