"""What a trial told while it ran: kept, kept where an older rnnlab wrote it, and heard again by a resumed driver."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from rnnlab.training.outcome import Outcome
from sweeps.running.run import past_of
from sweeps.store import Lab
from sweeps.store.migrate import config_on, revision_of
from sweeps.store.sessions import WRITES, open_engine

PROBED: dict[str, Any] = {"verdict": "vanishing", "decades": -7.5, "probed": 40, "in_a_row": 3}


def begun(lab: Lab, *numbers: int) -> None:
    lab.create_sweep("first", {}, "abc")
    lab.add_block("first", 0, 7, {})
    for number in numbers:
        lab.start_trial("first", number, block=0, config_hash="abc", label="rnn", params={"lr": 0.1}, spec={})


def test_what_probes_said_is_kept_and_heard_again(lab: Lab) -> None:
    begun(lab, 0, 1)
    lab.report("first", 0, 50, -0.25, **PROBED)
    lab.report("first", 0, 100, -0.5)
    lab.end_trial("first", 0, "pruned")
    first, second = past_of(lab, "first")
    assert first.reports == ((50, -0.25), (100, -0.5))
    assert first.judged == {50: PROBED, 100: dict.fromkeys(PROBED)}
    assert first.outcome is Outcome.PRUNED
    assert (second.reports, second.judged, second.outcome) == ((), {}, None)


def test_reports_of_an_older_rnnlab_are_kept(url: str) -> None:
    from alembic import command

    engine = open_engine(url)
    now = "2026-01-02 03:04:05+00:00"
    with engine.execution_options(**WRITES).begin() as connection:
        command.upgrade(config_on(connection), "0002")
        for statement in (
            "INSERT INTO sweeps (id, name, status, spec, spec_hash, created_at, stop_requested) "
            f"VALUES ('first', 'first', 'stopped', '{{}}', 'abc', '{now}', false)",
            "INSERT INTO blocks (sweep_id, number, seed, nuisance) VALUES ('first', 0, 7, '{}')",
            "INSERT INTO trials (sweep_id, number, block, config_hash, label, params, spec, state, exploded, "
            "solved, healthy, started_at, updates) VALUES ('first', 0, 0, 'abc', 'rnn tanh', '{}', '{}', 'interrupted', "
            f"0, 0, 0, '{now}', 50)",
            "INSERT INTO reports (sweep_id, trial, \"update\", score) VALUES ('first', 0, 50, -0.25)",
        ):
            connection.exec_driver_sql(statement)
    engine.dispose()
    with Lab.open(url) as lab:
        with lab.engine.connect() as connection:
            assert revision_of(connection) == "0004"
        lab.report("first", 0, 100, -0.5, **PROBED)
        old, new = (told.model_dump(exclude={"trial"}) for told in lab.reports("first"))
    assert old == {"update": 50, "score": -0.25, **dict.fromkeys(PROBED)}
    assert new == {"update": 100, "score": -0.5, **PROBED}
    engine = open_engine(url)
    with engine.execution_options(**WRITES).begin() as connection:
        command.downgrade(config_on(connection), "0003")
        assert connection.execute(text('SELECT "update", score FROM reports ORDER BY 1')).all() == [
            (50, -0.25),
            (100, -0.5),
        ]
    engine.dispose()


@pytest.mark.parametrize("decades", [float("nan"), float("-inf")])
def test_no_decades_but_finite_ones_are_kept(lab: Lab, decades: float) -> None:
    begun(lab, 0)
    with pytest.raises(ValueError, match="never a NaN in the database"):
        lab.report("first", 0, 50, -0.25, decades=decades)
