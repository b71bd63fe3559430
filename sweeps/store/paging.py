"""Parts of long lists, and counts, by SQL: what pages and the API show of many sweeps and trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import InstrumentedAttribute

from sweeps.store.queries import Queries, clock, record, sweep_record, sweep_row
from sweeps.store.records import EventRecord, SweepRecord, TrialRecord
from sweeps.store.retrying import patient
from sweeps.store.tables import EventRow, SweepRow, TrialRow

SortKey = Literal["number", "score", "test_score", "decades", "updates", "seconds", "started_at"]
"""Columns by which trials may be sorted."""


@dataclass(frozen=True)
class Counts:
    """How many trials of a sweep are where.

    Args:
        by_state: state -> trials begun. by_verdict: verdict -> trials that have ended with it.
        best: lowest score so far; None before the first.
    """

    by_state: dict[str, int] = field(default_factory=dict)
    by_verdict: dict[str, int] = field(default_factory=dict)
    best: float | None = None

    @property
    def ended(self) -> int:
        """Trials that need not run again."""
        return sum(count for state, count in self.by_state.items() if state in ("complete", "pruned", "failed"))


class Paging(Queries):
    """Reads a part at a time; the answers are records and totals."""

    @patient
    def sweeps_page(
        self, *, status: str | None, launched_by: str | None, text: str | None, offset: int, limit: int
    ) -> tuple[list[SweepRecord], int]:
        """Sweeps, newest first, and how many there are in all.

        Args:
            status: as people see it: a sweep whose driver died is stopped. text: a part of the id or name.
        """
        wanted: list[ColumnElement[bool]] = []
        if launched_by is not None:
            wanted.append(SweepRow.launched_by == launched_by)
        if text:
            wanted.append(SweepRow.id.contains(text, autoescape=True) | SweepRow.name.contains(text, autoescape=True))
        if status in ("queued", "failed", "finished"):
            wanted.append(SweepRow.status == status)
        elif status is not None:
            wanted.append(SweepRow.status.in_(("running", "stopped")))
        query = select(SweepRow).where(*wanted).order_by(SweepRow.created_at.desc(), SweepRow.id.desc())
        with self._reads() as session:
            now = clock(session)
            if status in ("running", "stopped"):  # a dead driver is seen row by row
                rows = (sweep_record(row, now) for row in session.scalars(query))
                found = [sweep for sweep in rows if sweep.status == status]
                return found[offset : offset + limit], len(found)
            total = session.scalar(select(func.count()).select_from(SweepRow).where(*wanted)) or 0
            part = session.scalars(query.offset(offset).limit(limit))
            return [sweep_record(row, now) for row in part], total

    @patient
    def counts_of(self, ids: Sequence[str]) -> dict[str, Counts]:
        """Of each sweep, how many trials are where; one query for all."""
        found: dict[str, Counts] = {id: Counts() for id in ids}
        by = (TrialRow.sweep_id, TrialRow.state, TrialRow.verdict)
        query = select(*by, func.count(), func.min(TrialRow.score)).where(TrialRow.sweep_id.in_(ids)).group_by(*by)
        with self._reads() as session:
            for id, state, verdict, count, best in session.execute(query):
                before = found[id]
                before.by_state[state] = before.by_state.get(state, 0) + count
                if verdict is not None and state not in ("running", "interrupted"):
                    before.by_verdict[verdict] = before.by_verdict.get(verdict, 0) + count
                scores = [score for score in (before.best, best) if score is not None]
                found[id] = Counts(before.by_state, before.by_verdict, min(scores) if scores else None)
        return found

    @patient
    def trials_page(
        self,
        sweep_id: str,
        *,
        state: str | None = None,
        verdict: str | None = None,
        sort: SortKey = "number",
        descending: bool = False,
        offset: int = 0,
        limit: int = 50,
    ) -> tuple[list[TrialRecord], int]:
        """Trials of a sweep and how many there are in all; those without a value come last."""
        wanted = [TrialRow.sweep_id == sweep_id]
        if state is not None:
            wanted.append(TrialRow.state == state)
        if verdict is not None:
            wanted.append(TrialRow.verdict == verdict)
        column: InstrumentedAttribute[Any] = getattr(TrialRow, sort)
        query: Select[TrialRow] = (
            select(TrialRow)
            .where(*wanted)
            .order_by(column.is_(None), column.desc() if descending else column, TrialRow.number)
        )
        with self._reads() as session:
            sweep_row(session, sweep_id)
            total = session.scalar(select(func.count()).select_from(TrialRow).where(*wanted)) or 0
            return [record(TrialRecord, row) for row in session.scalars(query.offset(offset).limit(limit))], total

    @patient
    def trial(self, sweep_id: str, number: int) -> TrialRecord | None:
        """One trial; None if it was never begun."""
        with self._reads() as session:
            sweep_row(session, sweep_id)
            row = session.get(TrialRow, (sweep_id, number))
            return None if row is None else record(TrialRecord, row)

    @patient
    def events_after(self, sweep_id: str | None, after: int, limit: int = 200) -> list[EventRecord]:
        """Events with an id above `after`, oldest first; of all sweeps where none is named."""
        wanted = [EventRow.id > after]
        with self._reads() as session:
            if sweep_id is not None:
                sweep_row(session, sweep_id)
                wanted.append(EventRow.sweep_id == sweep_id)
            part = select(EventRow).where(*wanted).order_by(EventRow.id).limit(limit)
            return [record(EventRecord, row) for row in session.scalars(part)]
