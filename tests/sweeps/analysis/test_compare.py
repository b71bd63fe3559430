"""Two sweeps over shared arms: which arms are shared, and intervals that hold the truth as often as they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from simulated import SPACE, Truth, World, simulate, simulated_spec
from statsmodels.stats.proportion import confint_proportions_2indep

from rnnlab.written import validated
from sweeps.analysis.compare import Comparison, compare, independent, paired
from sweeps.analysis.data import SweepData
from sweeps.analysis.intervals import mean_interval, share_interval
from sweeps.spec import SweepSpec

CLIPS: dict[str, Any] = {"cell": ["rnn", "lstm"], "clip": ["none", {"norm": 1.0}], "lr": SPACE["lr"]}
DEPTHS: dict[str, Any] = {"cell": ["rnn", "lstm"], "depth": [1, 2], "lr": SPACE["lr"]}


def spec_of(space: dict[str, Any], *, name: str = "other", **changes: Any) -> SweepSpec:
    """A screen of 20 blocks; `changes` of `search` by key, others of the spec."""
    plain = simulated_spec(blocks=20, space=space).model_dump(mode="json", exclude_defaults=True)
    search = {**plain["search"], **changes.pop("search", {})}
    return validated(SweepSpec, {**plain, "name": name, **changes, "search": search})


def ran(spec: SweepSpec, truth: Truth | None = None, world: World | None = None, **by_cell: Truth) -> SweepData:
    return simulate(spec, lambda picks: by_cell.get(str(picks.get("cell")), truth or Truth()), world)


def outcome_of(told: Comparison, arm: int, name: str) -> Any:
    return next(one for one in told.arms[arm].outcomes if one.outcome == name)


def test_what_one_sweep_fixes_counts_by_its_value() -> None:
    # the first fixes depth at 2 and varies clip, the second fixes clip at norm(1) and varies depth
    first = ran(spec_of(CLIPS, model={"depth": 2}))
    second = ran(spec_of(DEPTHS, optim={"clip": {"norm": 1.0}}))
    told = compare(first, second)
    assert told.axes == ["cell", "clip", "depth"]
    assert [arm.levels for arm in told.arms] == [
        {"cell": cell, "clip": "norm(1)", "depth": "2"}
        for cell in (told.arms[0].levels["cell"], told.arms[1].levels["cell"])
    ]
    assert {arm.levels["cell"] for arm in told.arms} == {"rnn", "lstm"}
    assert len(told.only_first) == 2  # without a clip
    assert len(told.only_second) == 2  # of depth 1
    assert not any("differ in more" in warning for warning in told.warnings)


def test_defaults_and_conditions_count_by_value_too() -> None:
    # activation: an axis of plain networks in the first, the default tanh in the second; an LSTM has none in either
    first = ran(simulated_spec(blocks=20))
    second = ran(spec_of({"cell": ["rnn", "lstm"], "lr": SPACE["lr"]}))
    told = compare(first, second)
    assert {tuple(arm.levels.values()) for arm in told.arms} == {("rnn", "tanh", "default"), ("lstm", "-", "default")}


def test_same_seed_pairs_blocks() -> None:
    spec = spec_of({"cell": ["rnn", "lstm"], "lr": SPACE["lr"]})
    world = World(block_sd=2.0, replicate_sd=0.01)
    # the same world twice: blocks shift both alike, so pairs see through them
    first, second = ran(spec, Truth(score=-1.0), world), ran(spec, Truth(score=-1.2), world)
    second.frame["test_score"] += np.random.default_rng(0).normal(0, 0.01, len(second.frame))
    told = compare(first, second)
    assert told.paired
    gap = outcome_of(told, 0, "test_score")
    assert gap.pairs == 20
    assert gap.difference.method == "t on units, paired"
    assert gap.difference.value == pytest.approx(-0.2, abs=0.01)
    assert gap.difference.high - gap.difference.low < 0.02
    other = ran(spec_of({"cell": ["rnn", "lstm"], "lr": SPACE["lr"]}, search={"seed": 1}), Truth(score=-1.2), world)
    told = compare(first, other)
    assert not told.paired
    alone = outcome_of(told, 0, "test_score")
    assert alone.pairs == 0
    assert alone.difference.method == "Welch t"
    assert alone.difference.high - alone.difference.low > 0.5  # blocks spread by 0.6
    assert any("seeds differ" in warning for warning in told.warnings)


def test_pairs_are_of_the_same_block() -> None:
    # the second has 12 of the first's 20 blocks: those pair, whatever the order in which arms ran
    first = ran(spec_of(CLIPS))
    second = ran(spec_of(CLIPS, search={"blocks": 12}))
    gap = outcome_of(compare(first, second), 0, "decades")
    assert gap.pairs == 12
    assert compare(first, second).arms[0].units == (20, 12)
    key = ["cell", "clip", "block"]
    both = first.frame.merge(second.frame, on=key, suffixes=("", "_second"))
    arm = compare(first, second).arms[0].levels
    rows = both[(both["cell"] == arm["cell"]) & (both["clip"] == arm["clip"])]
    assert gap.difference.value == pytest.approx((rows.decades_second - rows.decades).mean())


def test_unlike_sweeps_are_told() -> None:
    first = ran(spec_of(CLIPS))
    other = dict(CLIPS, lr={"low": 1e-3, "high": 1e-1, "log": True})
    second = ran(spec_of(other, budget={"updates": 800}, task={"kind": "digits", "read": "rows"}, model={"hidden": 32}))
    (told,) = [warning for warning in compare(first, second).warnings if "differ in more" in warning]
    for part in (
        "budget.updates 300, 800", "task.read pixels, rows", "model.hidden 64, 32",
        "optim.lr drawn of 0.0001 to 0.01 without steps, drawn of 0.001 to 0.1 without steps",
    ):  # fmt: skip
        assert part in told
    assert "clip" not in told


def test_drawn_in_one_and_compared_in_the_other() -> None:
    first = ran(spec_of(CLIPS))
    second = ran(spec_of({"cell": ["rnn", "lstm"], "lr": [1e-3, 1e-2]}, search={"nuisance": []}))
    told = compare(first, second)
    assert told.arms == []
    assert any(warning.startswith("lr: compared in one sweep and drawn") for warning in told.warnings)


def test_replicates_of_a_block_are_no_samples_of_their_own() -> None:
    spec = simulated_spec(blocks=6, replicates=10, space={"cell": ["rnn", "lstm"], "lr": SPACE["lr"]})
    other = validated(SweepSpec, {**spec.model_dump(mode="json", exclude_defaults=True), "search": {
        **spec.model_dump(mode="json", exclude_defaults=True)["search"], "seed": 9}})  # fmt: skip
    told = compare(ran(spec, world=World(block_sd=3, seed=1)), ran(other, world=World(block_sd=3, seed=2)))
    gap = outcome_of(told, 0, "healthy")
    assert told.arms[0].units == (6, 6)
    assert told.arms[0].replicates == (60, 60)
    assert gap.difference.method == "Newcombe"
    assert gap.difference.high - gap.difference.low > 0.5  # 60 independent ones would give 0.34


def test_adaptive_trials_claim_no_difference() -> None:
    spec = spec_of(CLIPS)
    data = ran(spec)
    frame = data.frame.assign(stage="search")
    tpe = {**spec.model_dump(mode="json", exclude_defaults=True), "search": {"sampler": "tpe", "trials": 80}}
    searched = SweepData("tpe", validated(SweepSpec, tpe), frame, data.ended, data.lag)
    told = compare(data, searched)
    assert len(told.arms) == 4
    assert all(one.difference is None for arm in told.arms for one in arm.outcomes)
    assert any("picked by looking at scores" in warning for warning in told.warnings)


def shares(yes: int, n: int) -> tuple[Any, Any]:
    """Units of a share and its own interval."""
    units = np.repeat([1.0, 0.0], [yes, n - yes])
    return units, share_interval(units, n)


def test_newcombe_against_his_own_numbers() -> None:
    # Newcombe 1998 (Statistics in Medicine 17, 873), table II, method 10: 56/70 less 48/80 is .0524 to .3339,
    # and 9/10 less 3/10 .1705 to .8090
    for one, other, limits in (((48, 80), (56, 70), (0.0524, 0.3339)), ((3, 10), (9, 10), (0.1705, 0.8090))):
        told = independent(shares(*one), shares(*other), share=True)
        assert told is not None
        assert (round(told.low, 4), round(told.high, 4)) == limits
        low, high = confint_proportions_2indep(*other, *one, method="newcomb", compare="diff")
        assert (told.low, told.high) == (pytest.approx(low), pytest.approx(high))


def test_equal_shares_in_all_blocks_still_have_a_width() -> None:
    ones = np.ones(10)
    for told in (
        paired(ones, ones, 10, (0, 1)),
        paired(ones, ones, 50, (0, 1)),
        independent(shares(10, 10), shares(10, 10), share=True),
    ):
        assert told is not None
        assert told.value == 0
        assert told.low < -0.2
        assert told.high > 0.2


def test_difference_of_means_covers() -> None:
    # 95% intervals of 12 and 20 units with unlike spread hold the true difference in .93 to .975 of 300 sweeps
    def alone(mean_U: Any) -> Any:
        return mean_interval(mean_U, None)

    draw = np.random.default_rng(0)
    welch = pairs = 0
    for _ in range(300):
        first, second = draw.normal(0, 1, 12), draw.normal(0.5, 0.3, 20)
        told = independent((first, alone(first)), (second, alone(second)), share=False)
        assert told is not None
        welch += told.low <= 0.5 <= told.high
        shared = draw.normal(0, 3, 12)
        told = paired(shared + draw.normal(0, 0.2, 12), shared + draw.normal(0.5, 0.2, 12), None, None)
        assert told is not None
        pairs += told.low <= 0.5 <= told.high
    assert 0.93 <= welch / 300 <= 0.975
    assert 0.93 <= pairs / 300 <= 0.975
