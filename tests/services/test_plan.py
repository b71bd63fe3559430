"""`rnnlab sweep plan` as a person runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import rnnlab
from typer.testing import CliRunner

from services.cli.app import app

SPEC = """
name: small
description: Does a clip matter?
task: {kind: digits, read: rows}
model: {hidden: 8}
space: {cell: [rnn, lstm], clip: [none, {norm: 1.0}], lr: {low: 1e-3, high: 1e-2, log: true}}
search: {design: screen, blocks: 3, nuisance: [lr]}
replicates: 1
budget: {updates: 50}
"""
RUNNER = CliRunner()


def test_help_teaches() -> None:
    told = RUNNER.invoke(app, ["sweep", "plan", "--help"], env={"COLUMNS": "160"})
    assert told.exit_code == 0
    assert "rnnlab sweep plan first" in told.output


def test_plan_creates_nothing(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SPEC)
    told = rnnlab("sweep", "plan", "small.yaml", "--workers", "2", cwd=tmp_path)
    assert told.code == 0, told.err
    for part in (
        "nothing has been started", "Does a clip matter?", "rnn tanh, no clip (baseline)", "12 trials of 1 replicate",
        "drawn once for each block", "3 blocks", "processor time", "with 2 workers", "MB", "rnnlab sweep run small.yaml",
    ):  # fmt: skip
        assert part in told.out
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]


def test_without_measuring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(SPEC)
    told = RUNNER.invoke(app, ["sweep", "plan", "small.yaml", "--no-measure"])
    assert told.exit_code == 0
    assert "was not measured" in told.output
    (plan,) = json.loads(RUNNER.invoke(app, ["sweep", "plan", "first", "--no-measure", "--json"]).stdout)
    assert plan["cost"] is None
    assert (plan["trials"], plan["arms"], plan["updates"]) == (12, 12, 300)


def test_json_with_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(SPEC)
    (plan,) = json.loads(RUNNER.invoke(app, ["sweep", "plan", "small.yaml", "--json"]).stdout)
    assert plan["cost"]["cpu_seconds"] > 0
    assert len(plan["cost"]["shapes"]) == 2
    assert list(tmp_path.iterdir()) == [tmp_path / "small.yaml"]


@pytest.mark.parametrize(
    ("words", "part"),
    [(["nothing.yaml"], "nothing.yaml is not a file"), (["firts"], "did you mean 'first'")],
)
def test_mistakes(words: list[str], part: str, tmp_path: Path) -> None:
    told = rnnlab("sweep", "plan", *words, cwd=tmp_path)
    assert told.code == 2
    assert told.err.startswith("error: ")
    assert part in told.err
    assert "Traceback" not in told.err
