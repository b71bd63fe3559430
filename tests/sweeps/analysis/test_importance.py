"""Importance by Optuna's evaluators, of studies rebuilt from records."""

from __future__ import annotations

from typing import Any

import pytest
from simulated import Truth, World, records, simulated_spec

from sweeps.analysis.importance import importances
from sweeps.analysis.results import Importance
from sweeps.space.dimensions import Picks
from sweeps.spec import SweepSpec
from sweeps.store import ReplicateRecord, TrialRecord

FLAT = {"cell": ["rnn", "lstm"], "init": ["default", "orthogonal"], "depth": {"low": 1, "high": 3}}


def told(
    spec: SweepSpec, trials: list[TrialRecord], replicates: list[ReplicateRecord]
) -> dict[tuple[str, str], Importance]:
    return {(one.evaluator, one.outcome): one for one in importances(spec, trials, replicates)}


def of_init(picks: Picks) -> Truth:
    """The score hangs on init alone, D on the cell alone; only an LSTM of depth 3 diverges."""
    diverged = 0.9 if picks["cell"] == "lstm" and picks.get("depth") == 3 else 0.0
    score = -2.0 if picks["init"] == "orthogonal(1)" else -1.0
    return Truth(score=score, decades=-1.0 if picks["cell"] == "lstm" else -6.0, diverged=diverged)


def test_the_param_that_matters_has_the_largest_share_by_both() -> None:
    spec = simulated_spec(blocks=10, space=FLAT, nuisance=[])
    trials, replicates = records(
        spec, lambda p: Truth(score=of_init(p).score, decades=of_init(p).decades), World(block_sd=0.1)
    )
    found = told(spec, trials, replicates)
    # nothing diverged: constant, left out
    assert set(found) == {(by, of) for by in ("PED-ANOVA", "fANOVA") for of in ("score", "decades")}
    for one in found.values():
        assert next(iter(one.shares)) == ("init" if one.outcome == "score" else "cell")
        assert one.shares[next(iter(one.shares))] > 0.8
        assert sum(one.shares.values()) == pytest.approx(1)
        assert list(one.shares.values()) == sorted(one.shares.values(), reverse=True)
        assert one.trials == len(trials) == 120
    assert "of 120 trials where the validation score is smallest" in found["PED-ANOVA", "score"].note


def test_the_share_that_diverged_comes_from_the_replicates() -> None:
    spec = simulated_spec(blocks=6, replicates=3, space=FLAT, nuisance=[])
    found = told(spec, *records(spec, of_init))
    assert list(found["fANOVA", "diverged"].shares)[-1] == "init"
    assert found["PED-ANOVA", "diverged"].shares["init"] < 0.15


def test_conditional_params_are_named_plainly_told_by_ped_anova_and_noted_by_fanova() -> None:
    space: dict[str, Any] = {
        "cell": ["rnn", "lstm", "gru"],
        "bias_init": [{"choices": ["default", "chrono"], "when": {"cell": "lstm"}}, {"choices": ["default", "chrono"], "when": {"cell": "gru"}}],
        "activation": {"choices": ["tanh", "relu"], "when": {"cell": "rnn"}},
        "lr": {"low": 1e-4, "high": 1e-2, "log": True},
    }  # fmt: skip
    spec = simulated_spec(blocks=12, space=space)
    trials, replicates = records(
        spec, lambda p: Truth(score=-3.0 if str(p.get("bias_init", "")).startswith("chrono") else -1.0)
    )
    found = told(spec, trials, replicates)
    by_ped, by_fanova = found["PED-ANOVA", "score"], found["fANOVA", "score"]
    assert set(by_ped.shares) == {"cell", "bias_init", "activation", "lr"}
    assert by_ped.shares["bias_init"] > 0.3
    assert by_ped.shares["activation"] < 0.05
    assert set(by_fanova.shares) == {"cell", "lr"}
    assert "not every trial has it: activation, bias_init." in by_fanova.note
    assert "lr: drawn by block" in by_ped.note


def test_a_log_range_counts_by_its_decades() -> None:
    # the score falls over the whole range in equal steps of log10 lr: fANOVA over raw values would see its end alone
    import math

    spec = simulated_spec(
        space={"lr": {"low": 1e-4, "high": 1e-1, "log": True}, "init": ["default", "orthogonal"]}, blocks=20
    )
    trials, replicates = records(
        spec, lambda p: Truth(score=math.log10(float(p["lr"])) / 3 + (p["init"] != "default") / 2), World(block_sd=0, replicate_sd=0)
    )  # fmt: skip
    # variance of u ~ U(-4, -1) over 9: 1/12; of a half or 0: 1/16; the share of lr is 0.571
    assert told(spec, trials, replicates)["fANOVA", "score"].shares["lr"] == pytest.approx(4 / 7, abs=0.12)


def test_too_little_to_go_by_is_left_out_without_a_word() -> None:
    spec = simulated_spec(blocks=10, space=FLAT, nuisance=[])
    trials, replicates = records(spec, of_init)
    assert importances(spec, trials[:9], replicates) == []
    assert importances(spec, [], []) == []
    assert importances(spec, [trial.model_copy(update={"state": "failed"}) for trial in trials], replicates) == []
    same = [trial.model_copy(update={"score": 0.5, "decades": None}) for trial in trials]
    assert {one.outcome for one in importances(spec, same, replicates)} == {"diverged"}
    unknown = [trial.model_copy(update={"score": None, "decades": None}) for trial in trials]
    assert importances(spec, unknown, []) == []


def test_a_study_of_few_trials_counts_more_of_them_as_the_best() -> None:
    spec = simulated_spec(blocks=1, space=FLAT, nuisance=[])
    found = told(spec, *records(spec, of_init))
    assert "5 of 12 trials" in found["PED-ANOVA", "score"].note or "6 of 12 trials" in found["PED-ANOVA", "score"].note


def test_decades_count_by_their_size() -> None:
    # too much in an LSTM, too little in a plain RNN: only the init says how far D goes astray
    spec = simulated_spec(blocks=6, space=FLAT, nuisance=[])

    def truth(picks: Picks) -> Truth:
        size = 1.0 if picks["init"] == "orthogonal(1)" else 5.0
        return Truth(decades=size if picks["cell"] == "lstm" else -size)

    found = told(spec, *records(spec, truth, World(block_sd=0.1)))
    assert found["fANOVA", "decades"].shares["init"] > 0.8
