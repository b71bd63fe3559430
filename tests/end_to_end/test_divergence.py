"""Sweeps of which every replicate of every trial diverges, or all of one arm: they finish, and no store has a NaN."""

from __future__ import annotations

import json
import math
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import Ran, here, rnnlab
from night import assert_clean, begin, kill, until

from sweeps.home import Home
from sweeps.store import Lab

BASE = """
name: night
task: {kind: adding, length: 200}
model: {init: {orthogonal: 4.0}, hidden: 8}
optim: {kind: sgd, lr: 100, batch: 4}
replicates: 2
budget: {updates: 6, evaluations: 3}
"""
CLIP, LR = "clip: [none, {norm: 1.0}]", "lr: {low: 50, high: 100, log: true}"
RELU = "activation: [relu]"
SWEEPS = {
    "random": f"space: {{{RELU}, {CLIP}}}\nsearch: {{sampler: random, trials: 3}}",
    "one trial": f"space: {{{RELU}}}\nsearch: {{sampler: random, trials: 1}}",
    "tpe": f"space: {{{RELU}, {CLIP}, {LR}}}\nsearch: {{sampler: tpe, trials: 12}}",
    "asha": f"space: {{{RELU}, {LR}}}\nsearch: {{sampler: random, trials: 6, pruner: asha}}",
    "screen": f"space: {{{RELU}, {CLIP}, {LR}}}\nsearch: {{design: screen, blocks: 3, nuisance: [lr]}}",
    "refine": f"space: {{{RELU}, {CLIP}, {LR}}}\nsearch: {{design: refine, trials: 4, nuisance: [lr]}}",
    "one arm": "space: {activation: [tanh, relu], lr: {low: 1.0e-3, high: 1.0e-2, log: true}}\n"
    "search: {design: screen, blocks: 3, nuisance: [lr]}",
}


def written(tmp_path: Path, kind: str) -> str:
    (tmp_path / "night.yaml").write_text(BASE + SWEEPS[kind])
    return str(tmp_path / "night.yaml")


def is_quiet(ran: Ran) -> None:
    assert "Traceback" not in ran.err + ran.out, ran.err
    assert "Warning" not in ran.err + ran.out, ran.err
    assert not re.search(r"\b(nan|inf)\b", ran.out, re.IGNORECASE), ran.out


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", SWEEPS)
def test_it_finishes_and_every_command_has_something_to_say(tmp_path: Path, kind: str) -> None:
    home, spec = tmp_path / "home", written(tmp_path, kind)
    plan = rnnlab("sweep", "plan", spec, home=home, timeout=900)
    assert plan.code == 0, plan.err
    is_quiet(plan)
    ran = rnnlab("sweep", "run", spec, "--workers", "1", home=home, timeout=900)
    assert ran.code == 0, ran.err
    is_quiet(ran)
    assert_recorded(home, all_of_it=kind != "one arm")
    for words in (["list"], ["show", "night"], ["compare", "night", "night"], ["report", "night"],
                  ["export", "night", "--out", str(tmp_path / "tables")],
                  ["export", "night", "--to", "optuna", "--out", str(tmp_path / "study.db")]):  # fmt: skip
        said = here("sweep", *words, home=home, cwd=tmp_path)
        assert said.code == 0 or words[0] == "compare", (words, said.err)
        is_quiet(said)
    predicted = here("sweep", "predict", "night", home=home, cwd=tmp_path)
    assert predicted.code == 2
    assert "5 solved and 5 unsolved" in predicted.err
    with sqlite3.connect(tmp_path / "study.db") as study:
        values = [value for (value,) in study.execute("select value from trial_values")]
    assert values
    assert all(value is not None and math.isfinite(value) and abs(value) < 3 for value in values)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_one_with_a_pruner_goes_on_after_its_driver_died(tmp_path: Path) -> None:
    home = tmp_path / "home"
    driver = begin(home, "run", written(tmp_path, "asha"))
    until(home, lambda lab: sum(trial.state == "complete" for trial in lab.trials("night")) >= 2, 600)
    kill(driver)
    ran = rnnlab("sweep", "resume", "night", "--workers", "2", home=home, timeout=900)
    assert ran.code == 0, ran.err
    is_quiet(ran)
    assert_recorded(home, all_of_it=True)


def assert_recorded(home: Path, all_of_it: bool) -> None:
    """The sweep has finished with a report that says what became of it, and every number in every store is one."""
    with Lab.open(Home(home).lab_url) as lab:
        sweep, trials, replicates = lab.sweep("night"), lab.trials("night"), lab.replicates("night")
        assert (sweep.status, sweep.message) == ("finished", None)
        assert {trial.state for trial in trials} == {"complete"}
        lost = [one for one in replicates if one.outcome == "diverged"]
        assert (len(lost) == len(replicates)) == all_of_it
        # a state that float32 just holds has a loss that it does not
        assert {one.cause for one in lost} <= {"state", "loss"}
        assert {(one.score, one.test_score, one.exploded) for one in lost} == {(2.0, 2.0, True)}
        assert len(trials) * 2 == len(replicates)
        events = [event.kind for event in lab.events("night")]
    assert "report_failed" not in events
    folder = home / "sweeps" / "night"
    told = json.loads((folder / "report.json").read_text(), parse_constant=pytest.fail)
    assert told
    said = (folder / "report.md").read_text()
    assert f"Every one of the {len(lost)} replicates diverged" in said if all_of_it else "replicates diverged" in said
    shown = re.sub(r"<script.*?</script>|<style.*?</style>", "", (folder / "report.html").read_text(), flags=re.DOTALL)
    for text in (said, re.sub(r"<[^>]*>", " ", shown)):
        assert not re.search(r"\b(nan|inf)\b", text, re.IGNORECASE)
    assert not list(bad_numbers(home / "lab.db"))
    assert not list(bad_numbers(home / "mlflow.db"))
    with sqlite3.connect(home / "mlflow.db") as store:
        assert store.execute("select count(*) from metrics").fetchone()[0] > 0
        assert store.execute("select count(*) from metrics where is_nan or abs(value) > 1e300").fetchone()[0] == 0
        assert (
            store.execute("select count(*) from latest_metrics where is_nan or abs(value) > 1e300").fetchone()[0] == 0
        )
        assert not store.execute("select * from params where lower(value) in ('nan', 'inf', '-inf')").fetchall()
        assert not store.execute("select * from runs where status = 'RUNNING'").fetchall()
    assert_clean(home)


def bad_numbers(path: Path) -> Iterator[tuple[str, str, Any]]:
    """Every number of every table that is not finite, in columns and inside JSON."""
    with sqlite3.connect(path) as store:
        for (table,) in store.execute("select name from sqlite_master where type = 'table'").fetchall():
            rows = store.execute(f'select * from "{table}"')
            names = [column[0] for column in rows.description]
            for row in rows:
                for name, value in zip(names, row, strict=True):
                    if isinstance(value, float) and not math.isfinite(value):
                        yield table, name, value
                    if isinstance(value, str) and value[:1] in "[{" and re.search(r"\b(NaN|Infinity)\b", value):
                        yield table, name, value
