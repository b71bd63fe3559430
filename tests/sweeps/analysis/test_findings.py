"""Findings in words: no sentence says more than its interval carries."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sweeps.analysis.findings import findings_of
from sweeps.analysis.results import Arm, Auc, Contrast, Cross, Finding, Interaction, Interval
from sweeps.analysis.sentences import Told, alike, claimed

TOLD = Told(lag=64, unit="block")


def interval(value: float, low: float, high: float) -> Interval:
    return Interval(value=value, low=low, high=high, method="Newcombe")


def contrast(
    outcome: str = "healthy", effect: tuple[float, float, float] = (0.83, 0.64, 0.93), **other: Any
) -> Contrast:
    fields: dict[str, Any] = {
        "axis": "init", "level": "orthogonal(1)", "baseline": "default", "outcome": outcome, "p": 1e-6, "p_holm": 1e-5,
        "units": 30, "at_level": 0.9, "at_baseline": 0.07, "counts": (27, 2, 30), "evidence": "paired",
    }  # fmt: skip
    return Contrast(effect=interval(*effect), **{**fields, **other})


def told(*contrasts: Contrast, **others: Any) -> list[Finding]:
    parts: dict[str, Any] = {"interactions": [], "health": [], "signals": [], "arms": [], **others}
    return findings_of(contrasts, parts["interactions"], parts["health"], parts["signals"], parts["arms"], TOLD)


def test_a_claim_has_its_counts_its_interval_and_its_p() -> None:
    (finding,) = told(
        contrast(within={"cell": "rnn"}), contrast("cpu_per_update", (1.01, 1.005, 1.015), within={"cell": "rnn"})
    )
    assert finding.kind == "effect"
    assert "keeps the gradient of the plain RNN alive more often over 64 steps" in finding.text
    assert "healthy in 27 of 30 paired runs against 2 of 30" in finding.text
    assert "difference +83 points, 95% interval 64 to 93, Holm p < 0.001" in finding.text
    assert "An update costs 1% more processor time" in finding.text


def test_what_is_undecided_is_not_called_an_effect_nor_no_effect() -> None:
    (finding,) = told(contrast(effect=(0.1, -0.25, 0.4), p=0.5, p_holm=1.0, counts=(12, 9, 30)))
    assert finding.kind == "undecided"
    assert "leaves open" in finding.text
    assert "-25 to 40" in finding.text


def test_a_difference_whose_whole_interval_is_small_is_no_difference() -> None:
    (finding,) = told(
        contrast(effect=(0.0, -0.1, 0.1), p=1.0, p_holm=1.0), contrast("solved", (0.02, -0.05, 0.09), p=0.9, p_holm=1.0)
    )
    assert finding.kind == "no effect"
    assert "makes no difference" in finding.text
    assert "does not change" in finding.text


@pytest.mark.parametrize(
    ("effect", "p_holm", "is_claimed"),
    [
        ((0.5, 0.1, 0.8), 0.01, True),
        ((0.5, 0.1, 0.8), 0.06, False),  # the family takes it away
        ((0.5, -0.1, 0.8), 0.01, False),
        ((-0.5, -0.8, -0.1), 0.01, True),
        ((0.5, 0.1, 0.8), None, False),
    ],
)
def test_a_claim_needs_both_the_interval_and_holm(
    effect: tuple[float, float, float], p_holm: float | None, is_claimed: bool
) -> None:
    one = contrast(effect=effect, p_holm=p_holm)
    assert claimed(one) == is_claimed
    assert not alike(one)
    (finding,) = told(one)
    assert (finding.kind == "effect") == is_claimed


def test_a_ratio_is_claimed_against_one() -> None:
    assert claimed(contrast("cpu_per_update", (1.2, 1.1, 1.3)))
    assert not claimed(contrast("cpu_per_update", (1.02, 0.9, 1.1)))


def test_harm_is_told_as_harm() -> None:
    (finding,) = told(contrast(effect=(-0.5, -0.7, -0.2), counts=(3, 18, 30)), contrast("solved", (-0.4, -0.6, -0.1)))
    assert "costs the network its living gradient" in finding.text
    assert "solved less often" in finding.text
    (better,) = told(contrast("exploded", (-0.9, -0.97, -0.7), counts=(1, 28, 30)))
    assert "explodes less often" in better.text


def test_each_cell_has_its_own_clause_and_the_mean_over_cells_none() -> None:
    (finding,) = told(
        contrast(effect=(0.4, 0.3, 0.5)),
        contrast(within={"cell": "rnn"}),
        contrast(within={"cell": "lstm"}, effect=(0.0, -0.08, 0.11), p=1.0, p_holm=1.0),
    )
    assert "+40 points" not in finding.text
    assert "gradient of the plain RNN" in finding.text
    assert re.search(
        r"For the LSTM: healthy at the end no more and no less often \(\+0 points, 95% interval -8 to 11\)",
        finding.text,
    )


def test_a_share_over_clustered_replicates_has_no_counts() -> None:
    (finding,) = told(contrast(counts=None))
    assert "healthy in 90% of the runs against 7%, over 30 blocks" in finding.text


def test_nobody_solving_is_said_and_not_called_no_difference() -> None:
    (finding,) = told(
        contrast(), contrast("solved", (0.0, -0.1, 0.1), at_level=0.0, at_baseline=0.0, counts=(0, 0, 30))
    )
    assert "Nobody solved the task either way within this budget." in finding.text


def test_a_better_loss_is_told_as_a_factor() -> None:
    (finding,) = told(contrast("test_score", (-0.30103, -0.47712, -0.1), counts=None))
    assert "Its test loss is lower, by a factor of 2 (95% interval 1.26 to 3)" in finding.text
    (worse,) = told(contrast("test_score", (0.30103, 0.1, 0.47712), counts=None))
    assert "higher, by a factor of 2 (95% interval 1.26 to 3)" in worse.text


def test_the_strongest_comes_first() -> None:
    found = told(
        contrast(effect=(0.3, 0.1, 0.5)),
        contrast(level="glorot"),
        contrast(level="identity(1)", effect=(0.1, -0.3, 0.4), p_holm=1.0),
    )
    assert [finding.contrasts[0].level for finding in found] == ["glorot", "orthogonal(1)", "identity(1)"]


def test_adaptive_samples_carry_no_claim() -> None:
    arm = Arm(
        label="lstm", levels={"cell": "lstm"}, evidence="adaptive", units=3, replicates=15, shares={}, counts={},
        means={"test_score": interval(-1.2, -1.3, -1.1)}, median_updates_to_solve=None,
    )  # fmt: skip
    (finding,) = told(arms=[arm])
    assert finding.kind == "descriptive"
    assert "no claim about a level follows" in " ".join(finding.caveats)
    assert "Holm" not in finding.text


def test_health_and_success_stand_side_by_side() -> None:
    cross = Cross(
        group="all", healthy_solved=20, healthy_unsolved=40, sick_solved=5, sick_unsolved=35,
        solved_if_healthy=interval(0.33, 0.2, 0.45), solved_if_sick=interval(0.125, 0.05, 0.2),
    )  # fmt: skip
    aucs = [
        Auc(signal=name, percent=5, group="all", auc=interval(*value), solved=25, unsolved=75)
        for name, value in {
            "loss": (0.2, 0.1, 0.3),
            "decades": (0.6, 0.5, 0.7),
            "condition": (0.35, 0.25, 0.45),
        }.items()
    ]
    first, second = told(health=[cross], signals=aucs)
    assert "healthy at the end, 20 of 60 solved the task; of the others, 5 of 40" in first.text
    assert "not that one brings the other" in first.caveats[0]
    assert "training loss tells who will solve the task with an AUC of 0.80 (95% interval 0.70 to 0.90)" in second.text
    assert "`condition`, with 0.65 (95% interval 0.55 to 0.75)" in second.text


def test_no_sentence_makes_health_the_reason_of_success() -> None:
    everything = told(
        contrast(),
        contrast("solved"),
        contrast("exploded", (-0.9, -0.97, -0.7)),
        contrast("test_score", (-1, -2, -0.5)),
    )
    for finding in everything:
        assert not re.search(r"therefore|because|hence|so that it learns|thus", finding.text)


def test_an_interaction_asks_to_be_read_for_each_level() -> None:
    one = Interaction(
        axis="init", level="orthogonal(1)", baseline="default", by="cell", by_level="lstm", by_baseline="rnn",
        outcome="healthy", effect=interval(-0.8, -0.95, -0.5), p=0.001, p_holm=0.01, units=30,
    )  # fmt: skip
    (finding,) = told(contrast(), interactions=[one, one.model_copy(update={"outcome": "solved"})])[1:]
    assert "What init does depends on cell, in `healthy`, `solved`" in finding.text
    assert "differs by -80 points between `lstm` and `rnn` (95% interval -95 to -50" in finding.text
    assert not told(contrast(), interactions=[one.model_copy(update={"p_holm": 0.2})])[1:]


def test_a_level_that_acts_together_with_another_axis_is_told_for_each_of_its_levels() -> None:
    one = Interaction(
        axis="init", level="orthogonal(1)", baseline="default", by="activation", by_level="relu", by_baseline="tanh",
        outcome="healthy_init", effect=interval(-1.0, -1.0, -0.8), p=1e-9, p_holm=1e-8, units=30,
    )  # fmt: skip
    contrasts = [
        contrast("healthy_init", (0.5, 0.3, 0.7), within={"cell": "rnn"}),
        contrast("healthy_init", (0.0, -0.1, 0.1), p_holm=1.0, within={"cell": "lstm"}),
        contrast(within={"cell": "lstm"}, effect=(0.0, -0.1, 0.1), p_holm=1.0),
        contrast("healthy_init", (1.0, 0.8, 1.0), within={"activation": "tanh"}),
        contrast("healthy_init", (0.0, -0.1, 0.1), p_holm=1.0, within={"activation": "relu"}),
        contrast(within={"activation": "relu"}, effect=(0.0, -0.1, 0.1), p_holm=1.0),
        contrast(within={"activation": "tanh"}, effect=(0.0, -0.1, 0.1), p_holm=1.0),
    ]
    context = Told(lag=64, unit="block", cell_of={"activation": "rnn"})
    first, *_ = findings_of(contrasts, [one], [], [], [], context)
    assert "gives the plain RNN with activation `tanh` a living gradient at initialisation more often" in first.text
    assert "After training it makes no difference to how often it is alive at the end" in first.text
    assert "For the plain RNN with activation `relu`: healthy at the end no more and no less often" in first.text
    assert "For the LSTM: healthy at the end no more" in first.text
    assert "+50 points" not in first.text  # the mean over activations
    without, *_ = findings_of(contrasts, [], [], [], [], context)
    assert "gives the plain RNN a living gradient" in without.text


def test_what_was_confirmed_says_so() -> None:
    found = told(
        contrast(
            "test_score",
            (-0.5, -0.6, -0.4),
            axis="arm",
            level="gru",
            baseline="rnn tanh",
            evidence="confirmed",
            units=10,
            counts=None,
        ),
        contrast(
            "solved",
            (0.8, 0.4, 0.95),
            axis="arm",
            level="gru",
            baseline="rnn tanh",
            evidence="confirmed",
            units=10,
            counts=(9, 1, 10),
        ),
    )
    assert found[0].kind == "confirmed"
    assert "Confirmed on 10 fresh blocks" in found[0].text
    assert "solved in 9 of 10 paired runs against 1 of 10" in found[0].text
