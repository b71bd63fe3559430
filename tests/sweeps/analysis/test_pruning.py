"""Replays of sweeps that ran in full: what a pruner would have saved, and whom it would have ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ray.tune.schedulers import ASHAScheduler

from rnnlab.errors import DataError
from rnnlab.written import validated
from sweeps.analysis.gradient_rule import Gradient
from sweeps.analysis.pruning import Course, FullRun, Saved, at_rate, full_run, in_order, replayed, resampled, saved
from sweeps.search.pruners import Asha, Median, Never
from sweeps.spec import SweepSpec
from sweeps.store import Lab, ReplicateRecord, TrialResult, lab_url

SPEC: dict[str, Any] = {
    "name": "small",
    "task": {"kind": "adding", "length": 20},
    "model": {"hidden": 4},
    "space": {"cell": ["rnn", "gru"], "lr": {"low": 1e-3, "high": 1e-1, "log": True}},
    "search": {"design": "screen", "blocks": 4, "nuisance": ["lr"]},
    "replicates": 3,
    "budget": {"updates": 100, "evaluations": 5},
}
HEALTHY = {"verdict": "healthy", "decades": -0.5, "probed": 20, "in_a_row": 4}


def course(number: int, scores: list[float], *, seconds: float = 10, solved: bool = False, **judged: Any) -> Course:
    """Evaluations every 20 updates; block and arm are from the number."""
    told = tuple(
        {"updates": 20 * step, "score": score, **HEALTHY, **judged} for step, score in enumerate(scores, start=1)
    )
    return Course(number, number // 2, (number % 2,), told, seconds, solved, scores[-1])


class Ends:
    """Ends trials, by place, at an update."""

    def __init__(self, at: Mapping[int, int]) -> None:
        self.at, self.heard = at, []  # type: ignore[var-annotated]

    def hear(self, number: int, told: Mapping[str, Any]) -> str | None:
        self.heard.append((number, told["updates"]))
        return "because" if self.at.get(number) == told["updates"] else None


@pytest.fixture
def spec() -> SweepSpec:
    found: SweepSpec = validated(SweepSpec, SPEC)
    return found


def test_trials_tell_in_the_order_in_which_workers_would_have() -> None:
    """Two workers; trial 1 takes twice as long as trial 0; trial 2 starts when trial 0 is through."""
    rule = Ends({})
    courses = [course(0, [0.0] * 3, seconds=3), course(1, [0.0] * 3, seconds=6), course(2, [0.0] * 3, seconds=30)]
    assert replayed(courses, rule) == {}
    # the last report of each is not asked: a budget that is used up is complete
    assert rule.heard == [(0, 20), (0, 40), (1, 20), (1, 40), (2, 20), (2, 40)]
    rule = Ends({})
    replayed(courses, rule, workers=1)
    assert rule.heard == [(place, updates) for place in range(3) for updates in (20, 40)]
    rule = Ends({0: 20})
    assert replayed(courses, rule) == {0: (20, "because")}
    assert (0, 40) not in rule.heard


def test_what_is_saved_is_counted(spec: SweepSpec) -> None:
    courses = (
        course(0, [0.0] * 5, seconds=10),
        course(1, [-1.0] * 5, seconds=30, solved=True),
        course(2, [0.0] * 5, seconds=10),
        course(3, [-2.0] * 5, seconds=50, solved=True),
    )
    run = FullRun("small", spec, courses)
    one = saved([run], lambda spec: Ends({0: 20, 3: 60}), orders=1)
    assert one == Saved((80 + 40) / 400, (8 + 20) / 100, 0.5, 1.0, 2, 0.0, 1.0)
    assert one.rate == 0.5
    assert one.interval == pytest.approx((0.0945, 0.9055), abs=1e-4)  # Wilson's of 1 of 2
    none = saved([run], lambda spec: Never(100))
    assert none == Saved(0, 0, 0, 0, 2, 1, 1)
    # both arms' solvers gone: the arm with the most solved trials is not kept
    assert saved([run], lambda spec: Ends({1: 20, 3: 20}), orders=1).arm == 0
    # of two runs everything is a sum; one that no trial solved has no best
    both = saved([run, FullRun("other", spec, courses[:1])], lambda spec: Ends({0: 20}), orders=1)
    assert (both.updates, both.solvers, both.best) == ((80 + 80) / 500, 2, 1)
    assert np.isnan(saved([FullRun("other", spec, courses[:1])], lambda spec: Never(100)).best)


def test_asha_in_a_replay_is_rays_own(spec: SweepSpec) -> None:
    draw = np.random.default_rng(0)
    courses = [course(n, draw.normal(-0.3, 0.3, 5).tolist()) for n in range(40)]
    ended = replayed(courses, Asha(100, 3, 20), workers=1)
    rays = ASHAScheduler("updates", "score", "min", max_t=101, grace_period=20, reduction_factor=3)

    class Named:
        def __init__(self, number: int) -> None:
            self.trial_id = str(number)

    expected = {}
    for n, one in enumerate(courses):
        rays.on_trial_add(None, Named(n))
        for told in one.told[:-1]:
            if rays.on_trial_result(None, Named(n), dict(told)) == "STOP":
                expected[n] = told["updates"]
                break
    assert {n: update for n, (update, _) in ended.items()} == expected
    assert 10 < len(ended) < 40


def test_orders_keep_blocks_together_and_resamples_draw_them(spec: SweepSpec) -> None:
    courses = [course(n, [0.0] * 5) for n in range(12)]
    assert in_order(courses, 0) == courses
    shuffled = in_order(courses, 1)
    assert shuffled != courses
    assert sorted(one.number for one in shuffled) == list(range(12))
    assert all(shuffled[n].block == shuffled[n + 1].block for n in range(0, 12, 2))
    drawn = resampled(FullRun("small", spec, tuple(courses)), 3)
    assert [one.block for one in drawn.courses] == [n // 2 for n in range(12)]
    assert len({one.number for one in drawn.courses}) < 12
    assert all(a.number + 1 == b.number for a, b in zip(drawn.courses[::2], drawn.courses[1::2], strict=True))


def test_a_curve_of_settings_is_read_on_its_upper_hull() -> None:
    def setting(wrong: float, updates: float) -> Saved:
        return Saved(updates, updates, 0, wrong, 100, 1, 1)

    curve = [setting(10, 0.4), setting(20, 0.1), setting(50, 0.6), setting(80, 0.5)]
    found = [at_rate(curve, rate) for rate in (0, 0.05, 0.1, 0.2, 0.5, 0.9)]
    assert found == pytest.approx([0, 0.2, 0.4, 0.45, 0.6, 0.6])


def test_full_runs_are_read_from_a_lab(tmp_path: Path, spec: SweepSpec) -> None:
    with Lab.open(lab_url(tmp_path)) as lab:
        lab.create_sweep("small", spec.model_dump(mode="json", exclude_defaults=True), "abc")
        lab.add_block("small", 0, 7, {})
        for number, solved in enumerate((1, 2)):
            picks = {"cell": "gru", "lr": 0.01 * number}
            lab.start_trial("small", number, block=0, config_hash="a", label="gru", params=picks, spec={})
            lab.report("small", number, 100, -0.5, verdict="healthy", decades=-1.0, probed=100, in_a_row=2)
            ones = [ReplicateRecord(trial=number, number=n, seed=n, outcome="finished") for n in range(3)]
            lab.end_trial(
                "small", number, "complete", TrialResult(solved=solved, seconds=5, test_score=-0.4, updates=100), ones
            )
        run = full_run(lab, "small")
        # a majority of three replicates; lr is drawn by block and makes no arm
        assert [(one.solved, one.arm) for one in run.courses] == [(False, ("gru",)), (True, ("gru",))]
        assert run.courses[0].told == (
            {"updates": 100, "score": -0.5, "verdict": "healthy", "decades": -1.0, "probed": 100, "in_a_row": 2},
        )
        lab.report("small", 0, 100, -0.5)
        with pytest.raises(DataError, match=r"do not say what its probes said.*run it again"):
            full_run(lab, "small")
        searched = {**SPEC, "search": {"sampler": "random", "trials": 4, "pruner": "median"}}
        lab.create_sweep("pruned", searched, "abc")
        with pytest.raises(DataError, match=r"needs full runs, but sweep 'pruned' was pruned by median"):
            full_run(lab, "pruned")


VANISHED = {"verdict": "vanishing", "decades": -9.0, "probed": 40, "in_a_row": 3}


@pytest.mark.parametrize(
    ("told", "ends"),
    [
        ({}, True),
        ({"in_a_row": 2}, False),
        ({"verdict": "exploding"}, True),
        ({"verdict": "healthy"}, False),
        ({"verdict": "transient"}, False),
        ({"score": -0.03}, False),
        ({"updates": 10}, False),
        ({"in_a_row": None}, False),
        ({"in_a_row": 0, "probed": 0}, False),  # update 0's verdict alone
    ],
)
def test_gradient_ends_what_probes_and_loss_agree_on(spec: SweepSpec, told: dict[str, Any], ends: bool) -> None:
    rule = Gradient(spec, 3, grace=20)
    cause = rule.hear(0, {"updates": 40, "score": 0.0, **VANISHED, **told})
    assert (cause is not None) == ends


def test_gradient_says_which_probes(spec: SweepSpec) -> None:
    # of a budget of 100 these are 1, 2, 5, 10, 20, 50 and 100
    cause = Gradient(spec, 3).hear(0, {"updates": 60, "score": 0.004, **VANISHED, "probed": 50})
    assert cause == "vanishing at 3 probes in a row, updates 10 to 50, score no better than +0.00"


def test_gradient_waits_for_one_that_recovers(spec: SweepSpec) -> None:
    def heard(decades: list[float]) -> str | None:
        rule = Gradient(spec, 1, recovery=1.0, grace=1)
        said = None
        for step, value in enumerate(decades, start=1):
            said = rule.hear(0, {"updates": 20 * step, "score": 0.0, **VANISHED, "probed": 20 * step, "decades": value})
        return said

    assert heard([-9.0]) is None
    assert heard([-9.0, -9.0]) is not None
    assert heard([-9.0, -7.5]) is None


@pytest.mark.parametrize("make", [lambda: Asha(100, grace=20), lambda: Median(100, grace=20)])
def test_a_score_that_never_differs_ends_nobody(make: Callable[[], Any]) -> None:
    assert replayed([course(n, [0.0] * 5) for n in range(10)], make()) == {}
