"""The table of configurations and what is said about it, from what the lab database holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rnnlab.spec import TrialSpec
from rnnlab.training.loop import Trainer
from rnnlab.training.scale import HIGHEST
from rnnlab.written import validated
from sweeps.report.table import HEADS, Row, cells_of, markdown, observations, rows_of, score_text, verdicts_of
from sweeps.store import ReplicateRecord, TrialRecord

AT = datetime(2026, 1, 1, tzinfo=UTC)


def record(number: int = 0, *, model: Any = None, optim: Any = None, **result: Any) -> TrialRecord:
    """A trial as the lab database gives it."""
    spec = validated(
        TrialSpec,
        {"task": {"kind": "adding"}, "model": model or {}, "optim": optim or {}, "replicates": 3},
    )
    given: dict[str, Any] = {"params": {}, "state": "complete", "label": f"trial {number}"} | result
    return TrialRecord(
        sweep_id="s", number=number, block=0, config_hash="c", spec=spec.model_dump(mode="json"), started_at=AT, **given
    )  # fmt: skip


def replicates(*outcomes: str, trial: int = 0, **given: Any) -> list[ReplicateRecord]:
    return [
        ReplicateRecord(trial=trial, number=number, seed=number, outcome=outcome, **given)  # type: ignore[arg-type]
        for number, outcome in enumerate(outcomes)
    ]


MEASURED: dict[str, Any] = {
    "score": -1.25,
    "score_sd": 0.125,
    "test_score": -1.5,
    "verdict_init": "vanishing",
    "verdict": "healthy",
    "decades_init": -4.25,
    "decades": 0.5,
    "updates": 100,
}


def row_of(number: int = 0, *, model: Any = None, optim: Any = None, **changes: Any) -> Row:
    """A measured row; what is changed is the row's own field."""
    (row,) = rows_of([record(number, model=model, optim=optim, **MEASURED)], [])
    return replace(row, **changes)


def shown(row: Row) -> dict[str, str]:
    """A row's text by head."""
    return dict(zip(HEADS, cells_of(row), strict=True))


# --- rows


def test_a_row_holds_the_levels_of_every_axis_and_a_dash_where_one_does_not_apply() -> None:
    lstm = {"cell": "lstm", "init": {"orthogonal": 1.4}, "bias_init": "chrono", "depth": 2}
    rows = rows_of(
        [
            record(0, model={"activation": {"leaky_relu": 0.1}}, optim={"clip": {"norm": 2.0}}),
            record(1, model=lstm, optim={"kind": "sgd"}),
            record(2, model={"cell": "gru"}),
        ],
        [],
    )
    levels = [(r.cell, r.activation, r.init, r.bias_init, r.clip, r.depth) for r in rows]
    assert levels == [
        ("rnn", "leaky_relu(0.1)", "default", "-", "norm(2)", 1),
        ("lstm", "-", "orthogonal(1.4)", "chrono", "none", 2),
        ("gru", "-", "default", "default", "none", 1),
    ]


def test_further_picks_are_kept_and_those_of_an_axis_are_not_repeated() -> None:
    picks = {"cell": "rnn", "clip": "none", "lr": 0.0044, "optimiser": "sgd", "task.length": 20}
    (row,) = rows_of([record(params=picks)], [])
    assert row.others == {"lr": 0.0044, "optimiser": "sgd", "task.length": 20}


def test_replicates_are_counted_for_their_own_trial() -> None:
    trials = [record(0, exploded=2, solved=1, healthy=1), record(1)]
    told = [
        *replicates("diverged", "finished", "finished", accuracy=0.5, test_score=-1.0),
        *replicates("diverged", "diverged", trial=1, accuracy=None, test_score=2.0),
        *replicates("finished", trial=9, accuracy=0.0, test_score=0.0),
    ]
    first, second = rows_of(trials, told)
    assert (first.diverged, first.exploded, first.solved, first.healthy, first.replicates) == (1, 2, 1, 1, 3)
    assert (second.diverged, second.replicates) == (2, 2)
    assert (first.test_accuracy, second.test_accuracy) == (0.5, None)


def test_accuracy_is_the_mean_over_replicates_that_were_tested() -> None:
    told = [
        *replicates("finished", accuracy=0.5, test_score=-1.0),
        *replicates("finished", accuracy=1.0, test_score=-2.0),
        *replicates("interrupted", accuracy=0.0, test_score=None),  # on the validation split
        *replicates("diverged", accuracy=None, test_score=2.0),
    ]
    (row,) = rows_of([record()], told)
    assert row.test_accuracy == 0.75


def test_a_trial_that_measured_nothing_has_a_row() -> None:
    (row,) = rows_of([record(state="failed", cause="KeyError: 'x'")], [])
    assert (row.score, row.verdict, row.decades, row.replicates, row.cause) == (None, None, None, 3, "KeyError: 'x'")
    cells = shown(row)
    assert (cells["score ± sd"], cells["test acc."]) == ("failed", "-")
    assert (cells["verdict: init → end"], cells["decades"], cells["exploded"]) == ("- → failed", "- → -", "no")


def test_rows_are_plain_for_json() -> None:
    assert Row(**json.loads(json.dumps(row_of().as_dict()))) == row_of()


def test_a_real_trial(sweep_of: Callable[..., Any]) -> None:
    spec = sweep_of({"cell": ["lstm"], "lr": [0.01]}).trial(0, {"cell": "lstm", "lr": 0.01})
    trainer = Trainer(spec)
    while not trainer.advance().done:
        pass
    plain = trainer.result.as_dict()
    known = {name: value for name, value in plain.items() if name in TrialRecord.model_fields}
    trial = TrialRecord(
        sweep_id="s", number=4, block=0, config_hash="c", label="lstm", params={"cell": "lstm", "lr": 0.01},
        spec=spec.model_dump(mode="json"), state="complete", started_at=AT, **known,
    )  # fmt: skip
    told = [
        ReplicateRecord(trial=4, **{k: v for k, v in r.items() if k in ReplicateRecord.model_fields})
        for r in plain["replicates"]
    ]
    (row,) = rows_of([trial], told)
    assert (row.trial, row.replicates, row.diverged, row.updates) == (4, 2, 0, 5)
    assert row.score == trainer.result.score
    cells = shown(row)
    assert [cells[head] for head in ("#", "cell", "activation", "init", "clip", "depth", "other")] == [
        "4", "lstm", "-", "default", "none", "1", "lr 0.01",
    ]  # fmt: skip


# --- cells


def test_a_row_as_text() -> None:
    row = row_of(
        7, model={"init": "orthogonal"}, optim={"clip": {"norm": 1.0}}, exploded=2, others={"lr": 0.00437, "hidden": 64}
    )
    assert shown(row) == {
        "#": "7", "cell": "rnn", "activation": "tanh", "init": "orthogonal(1)", "clip": "norm(1)", "depth": "1",
        "score ± sd": "-1.25 ± 0.12", "test acc.": "-", "verdict: init → end": "vanishing → healthy",
        "decades": "-4.2 → +0.5", "exploded": "2/3", "other": "lr 0.0044, hidden 64",
    }  # fmt: skip
    assert shown(replace(row, exploded=0, test_accuracy=0.875)) == shown(row) | {"exploded": "no", "test acc.": "0.88"}


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ({}, "default"),
        ({"init": "orthogonal"}, "orthogonal(1)"),
        ({"cell": "gru"}, "default"),
        ({"cell": "lstm", "bias_init": "chrono"}, "chrono"),
        ({"cell": "lstm", "init": "glorot", "bias_init": {"forget_bias": 1}}, "glorot, forget_bias(1)"),
    ],
)
def test_how_weights_and_biases_begin_share_a_cell(model: dict[str, Any], text: str) -> None:
    assert shown(row_of(model=model))["init"] == text


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "vanishing → healthy"),
        ({"verdict": None, "state": "interrupted"}, "vanishing → interrupted"),
        ({"diverged": 3, "verdict": "exploding"}, "vanishing → diverged"),
        ({"diverged": 2, "verdict": "exploding"}, "vanishing → exploding"),
    ],
)
def test_verdicts_as_text(changes: dict[str, Any], text: str) -> None:
    assert shown(row_of(**changes))["verdict: init → end"] == text


def test_decades_below_what_a_float_holds_are_said_so() -> None:
    assert shown(row_of(decades_init=-315.0, decades=None))["decades"] == "< -300 → -"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "-1.25 ± 0.12"),
        ({"score_sd": None}, "-1.25 ± 0.00"),
        ({"score": 0.0, "score_sd": 0.0}, "+0.00 ± 0.00"),
        ({"score": 0.25, "diverged": 1}, "+0.25 ± 0.12 (1 div.)"),
        ({"score": HIGHEST, "diverged": 3}, "diverged"),
        ({"score": HIGHEST, "diverged": 0}, "+2.00 ± 0.12"),
        ({"score": None, "state": "running"}, "running"),
        ({"score": None, "state": "pruned"}, "pruned"),
    ],
)
def test_a_score_as_text(changes: dict[str, Any], text: str) -> None:
    assert score_text(row_of(**changes)) == text


def test_the_optimiser_stands_by_its_name_alone() -> None:
    assert shown(row_of(others={"optimiser": "sgd", "momentum": 0.9}))["other"] == "sgd, momentum 0.9"


def test_markdown_has_a_head_a_rule_and_a_line_a_row() -> None:
    lines = markdown([row_of(0), row_of(1)]).splitlines()
    assert [line.count("|") for line in lines] == [len(HEADS) + 1] * 4
    assert lines[0].startswith("| # | cell | activation |")
    assert set(lines[1]) == {"|", "-"}
    assert lines[3].startswith("| 1 | rnn | tanh | default | none | 1 | -1.25 ± 0.12 | - | vanishing → healthy |")
    assert markdown([]).count("\n") == 2


# --- observations


def test_nothing_measured_is_said() -> None:
    (row,) = rows_of([record(state="failed")], [])
    assert observations([row], 63) == observations([], 63) == ["No trial was measured."]


def test_verdicts_at_initialisation_are_counted_over_measured_trials() -> None:
    (failed,) = rows_of([record(9, state="failed")], [])
    rows = [
        row_of(0, label="a"),
        row_of(1, label="b"),
        row_of(2, label="c", verdict_init="healthy"),
        row_of(3, label="d", verdict_init="exploding"),
        failed,
    ]
    assert observations(rows, 63)[0] == (
        "At initialisation, over the task's lag of 63 steps, the gradient of the 4 configurations is: "
        "2 vanishing (a; b); 1 healthy (c); 1 exploding (d)."
    )


def test_blocks_are_not_configurations() -> None:
    rows = [row_of(number, label="a", others={"lr": 0.1, "block": number}) for number in range(3)]
    assert "the 1 configurations is: 1 vanishing (a)" in observations(rows, 63)[0]
    assert "the 3 configurations" in observations([replace(row, others={"lr": row.trial}) for row in rows], 63)[0]


def test_a_long_list_of_labels_is_cut_and_the_same_label_is_said_once() -> None:
    rows = [row_of(number, label=f"n{min(number, 6)}", others={"lr": number}) for number in range(9)]
    assert "9 vanishing (n0; n1; n2; n3, and 3 more)" in observations(rows, 63)[0]


EXPLODED = {"model": {"activation": "relu"}, "optim": {"kind": "sgd"}, "others": {"lr": 0.05, "optimiser": "sgd"}}
TAMED = "#0 exploded in 2 of 3 replicates (bare); its twin #1 with clip norm(1) in none."


def pair(**changes: Any) -> list[Row]:
    """One that exploded without a clip, and its twin that a clip tamed, which `changes` may alter."""
    bare = row_of(0, **EXPLODED, label="bare", exploded=2)
    clipped = replace(bare, trial=1, label="clipped", clip="norm(1)", exploded=0)
    return [bare, replace(clipped, **changes)]


def about_clips(rows: list[Row]) -> list[str]:
    return [line for line in observations(rows, 63) if "exploded" in line]


def test_what_a_clip_tamed_is_said_of_twins() -> None:
    assert about_clips(pair()) == about_clips(pair()[::-1]) == [TAMED]
    # further results may differ, that is the point
    assert about_clips(pair(score=0.5, verdict="vanishing", seconds=9.0, solved=3)) == [TAMED]


@pytest.mark.parametrize(
    "changes",
    [
        {"cell": "lstm"},
        {"activation": "tanh"},
        {"init": "orthogonal(1.4)"},
        {"bias_init": "chrono"},
        {"depth": 2},
        {"others": {"lr": 0.01, "optimiser": "sgd"}},
        {"others": {"lr": 0.05, "optimiser": "adam"}},
        {"others": {"lr": 0.05, "optimiser": "sgd", "momentum": 0.9}},
        {"others": {"lr": 0.05, "optimiser": "sgd", "hidden": 9}},
        {"exploded": 1},
        {"clip": "none"},
        {"verdict_init": None},
    ],
)
def test_nothing_is_said_of_rows_that_differ_in_more_than_the_clip(changes: dict[str, Any]) -> None:
    assert about_clips(pair(**changes)) == []


def test_a_clip_that_explodes_where_none_does_not_is_no_pair() -> None:
    bare, clipped = pair()
    assert about_clips([replace(bare, exploded=0), replace(clipped, exploded=2)]) == []


def test_the_best_is_picked_on_validation_and_told_with_its_test_score() -> None:
    rows = [
        row_of(0, label="preferred", score=-3.0, test_score=-0.5),
        row_of(1, label="best", score=-1.0, test_score=-1.0, test_accuracy=0.875),
        row_of(2, label="stopped", score=-4.0, test_score=None),
    ]
    assert observations(rows, 63)[-1] == "Best on the validation split: #0, preferred (test score -0.50)."
    told = "Best on the validation split: #1, best (test score -1.00, test accuracy 0.88)."
    assert observations(rows[1:], 63)[-1] == told


def test_nobody_is_best_where_all_diverged_or_nobody_was_tested() -> None:
    rows = [row_of(0, test_score=HIGHEST), row_of(1, test_score=None)]
    assert len(observations(rows, 63)) == 1


def test_the_tables_module_draws_nothing(tmp_path: Path) -> None:
    """It serves the command's `--json`, which should not wait for matplotlib."""
    import subprocess
    import sys

    code = "import sys, sweeps.report.table; print('matplotlib' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


def test_a_trial_that_was_cut_short_says_so() -> None:
    (early,) = rows_of([record(0, state="pruned", updates=6)], [])
    assert verdicts_of(replace(early, verdict="vanishing"))[1] == "vanishing (pruned at 6)"


def test_a_trial_of_a_dead_driver_is_lost() -> None:
    assert rows_of([record(0, state="running")], [], running=False)[0].state == "lost"
    assert rows_of([record(0, state="running")], [])[0].state == "running"


def test_what_was_not_measured_is_not_a_number() -> None:
    (row,) = rows_of([record(0, verdict="too_short", verdict_init="too_short", decades=0.0, decades_init=0.0)], [])
    assert (row.decades_init, row.decades) == (None, None)
    assert "±" not in score_text(row_of(score=-1.0, replicates=1, diverged=0))
