"""Sweeps of very many trials: what is read of one, and what a driver keeps of a trial that has ended."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ray.tune.experiment import Trial
from sqlalchemy import event
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from rnnlab.spec import TrialSpec
from rnnlab.training.outcome import Outcome
from rnnlab.written import validated
from services.cli.app import app
from sweeps.report.table import lines_as_rows, rows_of
from sweeps.running.light import lighten
from sweeps.running.progress import RECENT, SHOWN, SweepProgress, TrialProgress
from sweeps.store import Lab, ReplicateRecord, TrialResult, lab_url
from sweeps.store.tables import BlockRow, ReplicateRow, Row, TrialRow

BENCH = Path(__file__).parents[2] / "benchmarks" / "many_trials.py"
PLAIN: dict[str, Any] = {
    "name": "many",
    "task": {"kind": "adding", "length": 20},
    "space": {"cell": ["rnn", "lstm"], "lr": {"low": 1e-4, "high": 1e-1, "log": True}},
    "search": {"sampler": "random", "trials": 400},
}
STATES = ("complete", "complete", "complete", "pruned", "failed", "running")
VERDICTS = ("healthy", "vanishing")


def fill(lab: Lab, name: str, trials: int) -> str:
    """A sweep with so many trials of six kinds, two replicates each; the later a trial, the better."""
    id = lab.create_sweep(name, {**PLAIN, "name": name}, "0" * 12).id
    spec = {"task": {"kind": "adding"}, "model": {"cell": "lstm"}, "replicates": 2}
    plain = validated(TrialSpec, spec).model_dump(mode="json")
    with Session(lab.engine) as session, session.begin():
        rows: list[Row] = [BlockRow(sweep_id=id, number=0, seed=0, nuisance={})]
        session.add_all(rows)
        session.flush()
        for number in range(trials):
            state = STATES[number % len(STATES)]
            ended = state in ("complete", "pruned")
            result = TrialResult(
                score=1 - number / 1000 if ended else None,
                test_score=0.5 if ended else None,
                verdict=VERDICTS[number % 2] if ended else None,
                cause="MemoryError" if state == "failed" else None,
            )
            row = TrialRow(sweep_id=id, number=number, block=0, config_hash=f"{number:012}", label=f"trial {number}")
            row.params, row.spec, row.state, row.started_at = {"lr": 0.01}, plain, state, lab.now()
            for field, value in result.model_dump().items():
                setattr(row, field, value)
            session.add(row)
            session.flush()
            for replicate in range(2 if ended else 0):
                how = "diverged" if number % 10 == replicate == 0 else "finished"
                one = ReplicateRecord(
                    trial=number, number=replicate, seed=1, outcome=how, accuracy=0.25 * (replicate + 1), test_score=0.5
                )
                session.add(ReplicateRow(sweep_id=id, **one.model_dump()))
    return id


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("many")
    with Lab.open(lab_url(home)) as lab:
        fill(lab, "many", 400)
        fill(lab, "few", 12)
    return home


@pytest.fixture
def lab(home: Path) -> Iterator[Lab]:
    with Lab.open(lab_url(home)) as lab:
        yield lab


@contextmanager
def statements(lab: Lab) -> Iterator[list[str]]:
    """What is asked of the database's trials and replicates."""
    seen: list[str] = []

    def look(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if re.search(r"\b(trials|replicates)\b", statement):
            seen.append(statement)

    event.listen(lab.engine, "before_cursor_execute", look)
    try:
        yield seen
    finally:
        event.remove(lab.engine, "before_cursor_execute", look)


def shown(home: Path, *words: str) -> str:
    result = CliRunner().invoke(app, ["sweep", *words, "--home", str(home)], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.output


# --- reading


def test_all_lines_are_what_the_records_say(lab: Lab) -> None:
    for id in ("many", "few"):
        assert lines_as_rows(lab.lines(id)) == rows_of(lab.trials(id), lab.replicates(id))


def test_the_best_lines_are_complete_and_the_best_first(lab: Lab) -> None:
    records = [trial for trial in lab.trials("many") if trial.state == "complete"]
    wanted = sorted(records, key=lambda trial: trial.score or 0)[:24]
    best = lab.lines("many", best=24)
    assert [line.number for line in best] == [trial.number for trial in wanted]
    everything = {line.number: line for line in lab.lines("many")}
    assert best == [everything[line.number] for line in best]
    assert any(line.diverged for line in everything.values())
    assert {line.state for line in lab.lines("few", best=12)[6:]} == {"pruned", "failed", "running"}


def test_counts_are_those_of_the_records(lab: Lab) -> None:
    for id in ("many", "few"):
        trials = lab.trials(id)
        states = {state: sum(trial.state == state for trial in trials) for state in set(STATES)}
        assert lab.counts()[id] == states
        assert sum(lab.endings(id).values()) == len(trials)
        healthy = sum(trial.state == "pruned" and trial.verdict == "healthy" for trial in trials)
        assert lab.endings(id).get(("pruned", "healthy"), 0) == healthy


def test_what_is_read_does_not_grow_with_the_sweep(lab: Lab) -> None:
    asked: list[list[str]] = []
    for id in ("few", "many"):
        with statements(lab) as seen:
            lab.counts()
            lab.endings(id)
            assert len(lab.lines(id, best=12)) == 12
        asked.append(seen)
    assert len(asked[0]) == len(asked[1]) == 4
    for statement in asked[1]:
        assert "GROUP BY" in statement or "LIMIT" in statement, statement  # each gives a few rows, however many trials
    assert all("IN (" in statement for statement in asked[1] if "replicates" in statement)


def test_a_list_counts_and_loads_no_trial(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    opened = Lab.open

    def watched(url: str, *rest: Any) -> Lab:
        lab = opened(url, *rest)
        event.listen(lab.engine, "before_cursor_execute", lambda c, cursor, statement, *_: seen.append(statement))
        return lab

    monkeypatch.setattr(Lab, "open", watched)
    listed = json.loads(shown(home, "list", "--json"))
    assert {one["id"]: (one["ended"], one["trials"]) for one in listed} == {"many": (334, 400), "few": (10, 400)}
    (of_trials,) = [statement for statement in seen if "FROM trials" in statement]
    assert "count(*)" in of_trials
    assert "spec" not in of_trials


# --- commands


def test_a_large_sweep_is_shown_by_its_best_trials_and_its_counts(home: Path, lab: Lab) -> None:
    text = shown(home, "show", "many")
    numbers = [int(line.split()[0]) for line in text.splitlines() if re.match(r" *\d+ +lstm", line)]
    assert numbers == [line.number for line in lab.lines("many", best=24)]
    assert "the best 24 of 400 trials" in text
    assert "400 trials: 201 complete, 67 pruned, 66 failed, 66 lost; verdict" in text
    assert len(re.findall(r"^ *\d+ +lstm", shown(home, "show", "many", "--all"), re.MULTILINE)) == 400
    rows = json.loads(shown(home, "show", "many", "--json"))
    assert [row["trial"] for row in rows] == list(range(400))


def test_a_small_sweep_is_shown_whole_and_by_number(home: Path) -> None:
    text = shown(home, "show", "few")
    assert [int(number) for number in re.findall(r"^ *(\d+) +lstm", text, re.MULTILINE)] == list(range(12))
    assert "the best" not in text


def test_listing_and_showing_load_nothing_heavy(home: Path) -> None:
    code = (
        "import sys; from services.cli.app import app\n"
        "app(sys.argv[1:], standalone_mode=False)\n"
        "print([name for name in ('torch', 'ray', 'mlflow', 'optuna', 'pandas', 'scipy') if name in sys.modules])"
    )
    for words in (["list"], ["show", "many"], ["show", "many", "--json"]):
        command = [sys.executable, "-c", code, "sweep", *words, "--home", str(home)]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        assert ran.stdout.splitlines()[-1] == "[]"


# --- what a driver keeps


def test_progress_counts_without_going_over_all_trials_and_keeps_what_is_shown() -> None:
    progress = SweepProgress("s", total=200)
    for number in range(100):
        row = TrialProgress(number, "a label", budget=10)
        progress.begin(row)
        assert (progress.ended, list(progress.running)) == (number, [number])
        row.updates = 5
        assert progress.share == pytest.approx((number + 0.5) / 200)
        row.outcome, row.result = Outcome.FINISHED, {**dict.fromkeys(SHOWN, 0.5), "replicates": ["much"] * 100}
        progress.end(row)
    assert (progress.ended, progress.running) == (100, {})
    assert [row.number for row in progress.recent] == list(range(100 - RECENT, 100))
    assert all(set(row.result or {}) == set(SHOWN) for row in progress.trials.values())


def test_tune_keeps_little_of_a_trial_that_ended() -> None:
    trial = Trial("t", stub=True, config={"number": 3, "spec": "x" * 1000}, evaluated_params={"spec": "x" * 1000})
    trial.update_last_result({"score": 1.0, "training_iteration": 1, "trial_result": "y" * 5000})
    before = len(json.dumps(trial.get_json_state()))
    assert before > 7000
    lighten(trial)
    state = json.dumps(trial.get_json_state())
    assert "xxx" not in state
    assert "yyy" not in state
    assert trial.last_result["done"]  # Tune would ask a worker for a trial that has no result


@pytest.mark.slow
def test_a_thousand_trials_cost_the_driver_at_most_60_mb() -> None:
    command = [sys.executable, str(BENCH), "--trials", "400", "--recorded", "0", "--asked", "100"]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "TUNE_"))}
    ran = subprocess.run(command, capture_output=True, text=True, timeout=1500, check=True, env=env)
    memory = re.search(r"Memory: (\d+) MB for each 1,000 trials", ran.stdout)
    assert memory is not None
    assert int(memory[1]) <= 60
