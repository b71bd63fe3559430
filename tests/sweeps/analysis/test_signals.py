"""AUCs of early signals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm
from simulated import Truth, World, simulate, simulated_spec
from sklearn.metrics import roc_auc_score

from rnnlab.training.signals import AT
from sweeps.analysis.data import SweepData
from sweeps.analysis.resampling import SCORE, Pairs, draws, units_of
from sweeps.analysis.results import Auc
from sweeps.analysis.signals import aucs

LR = {"low": 1e-4, "high": 1e-2, "log": True}


def found_in(data: SweepData) -> dict[tuple[str, int, str], Auc]:
    return {(auc.signal, auc.percent, auc.group): auc for auc in aucs(data)}


def changed(data: SweepData, **columns: object) -> SweepData:
    return replace(data, frame=data.frame.assign(**columns))


def test_a_normal_shift_gives_its_closed_form_and_what_sklearn_gives() -> None:
    data = simulate(simulated_spec(blocks=40, replicates=2), lambda picks: Truth(signal=0.5))
    found = found_in(data)
    truth = norm.cdf(2 * 0.5 / np.sqrt(2))  # 0.760
    for signal, expected in (
        ("decades", truth),
        ("early_share", truth),
        ("loss", 1 - truth),
        ("saturation", 1 - truth),
    ):
        one = found[signal, 5, "all"]
        assert one.auc.value == pytest.approx(roc_auc_score(data.frame["solved"], data.frame[f"{signal}_5"]))
        # a standard error of 480 replicates is 0.022
        assert one.auc.value == pytest.approx(expected, abs=0.066)
        assert one.auc.low < expected < one.auc.high
        assert one.auc.high - one.auc.low < 0.12
        assert one.solved + one.unsolved == len(data.frame)
    assert {percent for _, percent, _ in found} == set(AT)
    assert {group for *_, group in found} == {"rnn", "lstm", "all"}


def test_no_signal_is_a_half() -> None:
    found = found_in(simulate(simulated_spec(blocks=30), lambda picks: Truth(signal=0.0), World(seed=5)))
    inside = [one.auc.low <= 0.5 <= one.auc.high for one in found.values()]
    # intervals of 95%, correlated inside a sweep
    assert np.mean(inside) > 0.85


@pytest.mark.parametrize(("blocks", "alike"), [(30, 0.0), (30, 1.0), (8, 0.5)])
def test_the_interval_holds_the_true_auc_in_95_of_100_sweeps(blocks: int, alike: float) -> None:
    draw, held, sweeps = np.random.default_rng(2), 0, 300
    units = np.repeat(np.arange(blocks), 6)
    truth = norm.cdf(2 * 0.6 / np.sqrt(2 + 2 * alike**2))
    for _ in range(sweeps):
        # a block shifts both the chance to solve and the signal, independently of each other
        chance = 1 / (1 + np.exp(-draw.normal(0, 0.5 + alike, blocks)))
        solved = draw.random(blocks * 6) < chance[units]
        scores = np.where(solved, 0.6, -0.6) + draw.normal(size=blocks * 6) + draw.normal(0, alike, blocks)[units]
        one = Pairs.of(scores, solved, units, blocks).interval(draws(blocks, resamples=400))
        held += one.low <= truth <= one.high
    assert held / sweeps >= 0.92


def test_a_perfect_signal_is_not_certain() -> None:
    data = simulate(simulated_spec(blocks=10), lambda picks: Truth(signal=100.0))
    one = found_in(data)["decades", 10, "all"].auc
    assert (one.value, one.high, one.method) == (1.0, 1.0, SCORE)
    assert 0.6 < one.low < 0.9


def test_both_too_much_and_too_little_is_read_off_the_size() -> None:
    data = simulate(simulated_spec(blocks=20), lambda picks: Truth())
    either = np.where(np.arange(len(data.frame)) % 2, 10.0, -10.0)
    data = changed(data, decades_0=np.where(data.frame["solved"], 0.1 * either, either))
    found = found_in(data)
    assert found["decades_size", 0, "all"].auc.value == 0.0
    assert abs(found["decades", 0, "all"].auc.value - 0.5) < 0.2


def test_what_was_not_measured_or_never_varies_is_left_out() -> None:
    data = simulate(simulated_spec(blocks=12), lambda picks: Truth())
    assert data.frame["healthy_5"].isna().all()
    data = changed(data, decades_change_0=0.0, condition_5=data.frame["condition_5"].where(data.frame["cell"] == "rnn"))
    found = found_in(data)
    assert not [key for key in found if key[0] == "healthy" or key[:2] in (("loss", 0), ("decades_change", 0))]
    assert {group for signal, at, group in found if (signal, at) == ("condition", 5)} == {"rnn", "all"}
    assert found["condition", 5, "all"].solved == found["condition", 5, "rnn"].solved


def test_groups_with_fewer_than_five_of_one_kind_are_left_out() -> None:
    data = simulate(simulated_spec(blocks=12), lambda picks: Truth(solved=1.0 if picks["cell"] == "lstm" else 0.5))
    assert {group for *_, group in found_in(data)} == {"rnn", "all"}
    few = changed(data, solved=np.arange(len(data.frame)) < 4)
    assert aucs(few) == []


def test_scores_of_two_fits_are_not_compared() -> None:
    draw = np.random.default_rng(0)
    solved, units = draw.random(40) < 0.5, np.repeat(np.arange(8), 5)
    scores, folds = draw.normal(size=40), (units >= 4).astype(int)
    plain = Pairs.of(scores, solved, units, 8, folds).auc
    assert Pairs.of(scores + 100 * folds, solved, units, 8, folds).auc == plain
    tied = np.round(scores)
    assert Pairs.of(tied, solved, units, 8).auc == pytest.approx(roc_auc_score(solved, tied))
    halves = [roc_auc_score(solved[folds == fold], scores[folds == fold]) for fold in (0, 1)]
    pairs = [(solved[folds == fold]).sum() * (~solved[folds == fold]).sum() for fold in (0, 1)]
    assert plain == pytest.approx(np.average(halves, weights=pairs))


def test_replicates_of_a_trial_that_a_sampler_picked_are_one_unit() -> None:
    spec = simulated_spec(blocks=3, replicates=2, space={"cell": ["rnn", "lstm"], "lr": LR}, nuisance=["lr"])
    data = simulate(spec, lambda picks: Truth())
    assert set(units_of(data)) == {"0", "1", "2"}
    by_seed = changed(data, unit=data.frame["block"].astype(str) + "." + data.frame["replicate"].astype(str))
    assert len(set(units_of(by_seed))) == 6
    picked = changed(by_seed, stage="search")
    assert set(units_of(picked)) == {"0", "1", "2"}
