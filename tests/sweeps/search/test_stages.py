"""Designs: what every trial is for, and what is refused."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from rnnlab.errors import SpecError
from rnnlab.written import validated
from sweeps.search.stages import Told
from sweeps.space.dimensions import Picks
from sweeps.spec import SweepSpec

SPACE: dict[str, Any] = {
    "cell": ["rnn", "lstm"],
    "activation": {"choices": ["tanh", "relu"], "when": {"cell": "rnn"}},
    "init": ["default", "orthogonal"],
    "lr": {"low": 1e-4, "high": 1e-2, "log": True},
}


def design(space: dict[str, Any] | None = None, **search: Any) -> SweepSpec:
    return validated(
        SweepSpec,
        {
            "name": "design",
            "task": {"kind": "digits"},
            "space": space or SPACE,
            "search": {"design": "screen", "nuisance": ["lr"], **search},
            "replicates": 2,
            "budget": {"updates": 20},
        },
    )


def points(spec: SweepSpec, stage: str = "screen") -> list[Picks]:
    slots = [spec.stages.slot(number) for number in range(spec.trials)]
    return [spec.stages.point(slot, []) for slot in slots if slot.stage == stage]


def key(picks: Picks) -> str:
    return str(sorted((name, value) for name, value in picks.items() if name != "lr"))


def test_a_screen_has_every_arm_once_in_every_block_at_the_blocks_own_nuisance_values() -> None:
    spec = design(blocks=4)
    found = points(spec)
    assert len(found) == spec.trials == 4 * 6
    blocks = [found[start : start + 6] for start in range(0, 24, 6)]
    for block in blocks:
        assert len({key(picks) for picks in block}) == 6
        assert len({picks["lr"] for picks in block}) == 1
    rates = [float(block[0]["lr"]) for block in blocks]
    assert len(set(rates)) == 4
    assert all(1e-4 <= rate <= 1e-2 for rate in rates)
    # no arm always runs first
    assert len({tuple(key(picks) for picks in block) for block in blocks}) > 1
    trials = [spec.trial(number, picks) for number, picks in enumerate(found)]
    assert [trial.block for trial in trials] == [number // 6 for number in range(24)]


def test_a_nuisance_value_is_uniform_over_its_range_in_log() -> None:
    import math

    spec = design(blocks=400)
    logs = [math.log10(float(picks["lr"])) for picks in points(spec)[::6]]
    shares = Counter(int(2 * (value + 4)) for value in logs)
    assert set(shares) == {0, 1, 2, 3}
    assert all(70 <= count <= 130 for count in shares.values())  # 100 each, sd 8.7


def test_another_seed_draws_other_blocks() -> None:
    assert {p["lr"] for p in points(design(blocks=5))}.isdisjoint(p["lr"] for p in points(design(blocks=5, seed=1)))


def test_the_design_is_the_same_whenever_it_is_made() -> None:
    assert points(design(blocks=5)) == points(design(blocks=5))


LARGE: dict[str, Any] = {
    "cell": ["rnn", "lstm", "gru"],
    "activation": {"choices": ["tanh", "relu", "softsign"], "when": {"cell": "rnn"}},
    "init": ["default", "orthogonal", "glorot", {"orthogonal": 0.9}],
    "clip": ["none", {"norm": 1.0}, {"value": 1.0}],
    "depth": [1, 2, 3],
    "optimiser": ["adam", "sgd", "rmsprop"],
    "lr": {"low": 1e-4, "high": 1e-2, "log": True},
}


def test_a_large_space_is_screened_by_a_fraction_that_tells_main_effects_apart() -> None:
    from sweeps.space.designs import arms_of, efficiency

    spec = design(LARGE, size=40)
    arms = spec.stages.arms
    assert len(arms) == len({key(arm) for arm in arms}) == 40
    whole = arms_of(spec.parsed_space, ["lr"], 1000, 0)
    assert len(whole) == 540
    assert efficiency(arms, whole) > 0.95
    # a fraction taken blindly, the first 40 in order, cannot even tell the effects apart
    assert efficiency(whole[:40], whole) < 0.5
    for name in ("init", "clip", "depth", "optimiser"):
        counts = Counter(arm[name] for arm in arms)
        assert max(counts.values()) - min(counts.values()) <= 3, (name, counts)


def test_a_space_of_many_thousands_is_screened_too() -> None:
    space = {**LARGE, "hidden": {"low": 16, "high": 128}, "batch": [8, 16, 32, 64]}
    spec = design({name: part for name, part in space.items() if name != "activation"}, size=200)
    assert len(spec.stages.arms) == 200


def test_a_fraction_needs_a_configuration_for_each_effect() -> None:
    with pytest.raises(SpecError, match=r"search\.size must be at least 14.*got 10"):
        design(LARGE, size=10)


def test_refine_tunes_every_arm_in_turn_with_seeds_shared_by_a_round() -> None:
    spec = design(design="refine", trials=4)
    slots = [spec.stages.slot(number) for number in range(spec.trials)]
    assert [slot.place for slot in slots] == list(range(6)) * 4
    assert [slot.block for slot in slots] == [number // 6 for number in range(24)]
    assert all("lr" not in picks for picks in points(spec, "refine"))


def told(spec: SweepSpec, upto: int, score: Any) -> list[Told]:
    """Every trial before `upto` with a score by its point; a refinement's lr by its number."""
    ended: list[Told] = []
    for number in range(upto):
        slot = spec.stages.slot(number)
        before = [one for one in ended if one.number in spec.stages.waits_for(slot)]
        picks = spec.stages.point(slot, before)
        if slot.stage == "refine":
            picks = {**picks, "lr": 1e-3 * (1 + number % 7)}
        ended.append(Told(number, picks, score(number, picks)))
    return ended


def test_winners_are_refined_and_confirmed_on_fresh_blocks_beside_the_baseline() -> None:
    spec = design(design="screen+refine", blocks=5, trials=4, winners=2, confirm=3)
    assert spec.stages.sizes == {"screen": 30, "refine": 12, "confirm": 9}
    good = {"lstm/orthogonal(1)": -2.0, "rnn/orthogonal(1)": -1.0}

    def score(number: int, picks: Picks) -> float:
        tuned = abs(float(picks["lr"]) - 3e-3) if number >= 30 else 0.0
        return good.get(f"{picks['cell']}/{picks['init']}", 0.0) + tuned + (picks.get("activation") == "relu") * 0.1

    ended = told(spec, 42, score)
    refined = spec.stages.refined(ended)
    assert refined == [
        {"cell": "rnn", "activation": "tanh", "init": "default"},
        {"cell": "lstm", "init": "orthogonal(1)"},
        {"cell": "rnn", "activation": "tanh", "init": "orthogonal(1)"},
    ]
    confirmed = spec.stages.confirmed(ended)
    assert [{name: value for name, value in point.items() if name != "lr"} for point in confirmed] == refined
    for point in confirmed:  # the best rate that its own arm tried
        tried = [one for one in ended[30:] if key(one.picks) == key(point)]
        assert point["lr"] == min(tried, key=lambda one: one.score or 0).picks["lr"]
    blocks = {
        stage: {spec.block_of(n) for n in range(spec.trials) if spec.stages.slot(n).stage == stage}
        for stage in ("screen", "refine", "confirm")
    }
    assert blocks == {"screen": set(range(5)), "refine": {5, 6, 7, 8}, "confirm": {9, 10, 11}}


def test_a_stage_waits_for_the_one_before() -> None:
    spec = design(design="screen+refine", blocks=5, trials=4, winners=2, confirm=3)
    waits = [spec.stages.waits_for(spec.stages.slot(number)) for number in (0, 29, 30, 41, 42, 50)]
    assert waits == [range(0), range(0), range(30), range(30), range(42), range(42)]


def test_a_failed_trial_wins_nothing() -> None:
    spec = design(design="screen+refine", blocks=1, trials=2, winners=1, confirm=2)
    ended = told(
        spec, 6, lambda number, picks: None if picks["cell"] == "lstm" else -0.1 * (picks["init"] != "default")
    )
    assert [arm["cell"] for arm in spec.stages.refined(ended)] == ["rnn", "rnn"]
    nothing = told(spec, 6, lambda number, picks: None)
    assert len(spec.stages.refined(nothing)) == 2
    assert all("lr" in point for point in spec.stages.confirmed(nothing))


def test_the_baseline_is_the_first_level_or_the_one_that_is_named() -> None:
    assert design().stages.baseline == {"cell": "rnn", "activation": "tanh", "init": "default"}
    named = design(baseline={"init": "orthogonal", "cell": "lstm"}).stages.baseline
    assert named == {"cell": "lstm", "activation": "tanh", "init": "orthogonal(1)"}


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ({"nuisance": ["lrr"]}, "'lrr' is no dimension of this space"),
        ({"nuisance": ["activation", "lr"]}, "drop its `when:`"),
        ({"nuisance": ["cell", "lr"]}, "a condition looks at 'cell'"),
        ({"nuisance": []}, r"space\.lr: a design needs choices or a range with a step.*search\.nuisance"),
        ({"trials": 4}, "leave `trials` out, set `blocks`"),
        ({"sampler": "tpe"}, "a `sampler` or a `design`, but got both"),
        ({"pruner": "asha"}, "pruner asha ends the bad ones early"),
        ({"winners": 2}, r"`winners` has an effect with the design screen\+refine only"),
        ({"design": "refine"}, "the design refine requires `trials`"),
        ({"design": "refine", "trials": 3, "nuisance": []}, "name at least one dimension"),
        ({"design": "refine", "trials": 3, "blocks": 3}, "`blocks` has no effect with the design refine"),
        ({"design": "screne"}, "screen"),
        ({"baseline": {"init": "identity"}}, "the dimension init has no level 'identity"),
        ({"baseline": {"inti": "default"}}, "did you mean 'init'"),
        ({"blocks": 10_000, "design": "screen+refine", "trials": 90_000}, "at most 100,000 trials"),
    ],
)  # fmt: skip
def test_what_a_design_refuses(search: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        design(**search)


def test_keys_of_a_design_are_refused_without_one() -> None:
    with pytest.raises(SpecError, match="`nuisance` has an effect with the design"):
        validated(
            SweepSpec,
            {
                "name": "x", "task": {"kind": "digits"}, "space": SPACE,
                "search": {"sampler": "random", "trials": 3, "nuisance": ["lr"]},
            },
        )  # fmt: skip


RATES: dict[str, Any] = {"cell": ["rnn", "lstm", "gru"], "lr": [1e-3, 1e-2], "clip": ["none", {"norm": 1.0}]}


def test_refine_and_confirm_runs_every_arm_on_fresh_blocks_at_the_best_of_a_table() -> None:
    spec = design(RATES, design="refine+confirm", nuisance=["lr", "clip"], trials=4, confirm=3)
    stages = spec.stages
    assert stages.sizes == {"refine": 12, "confirm": 9}
    slots = [stages.slot(number) for number in range(spec.trials)]
    assert {slot.block for slot in slots if slot.stage == "refine"} == {0, 1, 2, 3}
    assert {slot.block for slot in slots if slot.stage == "confirm"} == {4, 5, 6}
    tried = [(slot.place, *stages.tried(slot).values()) for slot in slots if slot.stage == "refine"]
    assert len(set(tried)) == 12  # every arm at every combination, once
    assert not any(stages.tried(slot) for slot in slots if slot.stage == "confirm")
    # the best of arm p is the p-th combination
    told = [
        Told(slot.number, {**stages.arms[slot.place], **stages.tried(slot)}, float(slot.block != slot.place))
        for slot in slots
        if slot.stage == "refine" and slot.place is not None
    ]
    assert stages.confirmed(told) == [{**arm, **stages.table[place]} for place, arm in enumerate(stages.arms)]


def test_tpe_goes_on_after_a_table_and_a_table_that_is_too_long_is_left_to_it() -> None:
    more = design(RATES, design="refine", nuisance=["lr", "clip"], trials=6).stages
    assert [bool(more.tried(more.slot(number))) for number in range(18)] == [True] * 12 + [False] * 6
    assert design(RATES, design="refine", nuisance=["lr", "clip"], trials=3).stages.table == []
    assert design(design="refine", trials=4).stages.table == []  # lr is a range
