"""What each pruner saves, and which solvers it ends, by replay of sweeps that ran in full (docs/pruning.md).

    python tests/benchmarks/pruning.py HOME/SWEEP [HOME/SWEEP ...] [--orders 20] [--resamples 200]

Put a rule of your own into `RULES`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from sweeps.analysis.gradient_rule import Gradient
from sweeps.analysis.pruning import FullRun, MakeRule, Saved, at_rate, full_run, resampled, saved
from sweeps.home import Home
from sweeps.search.pruners import Asha, Median, Never, Rule
from sweeps.spec import SweepSpec
from sweeps.store import Lab


def asha(reduction: float, share: float) -> MakeRule:
    """ASHA whose grace is a share of the budget."""
    return lambda spec: Asha(spec.budget.updates, reduction, _updates(spec, share))


def median(share: float, samples: int) -> MakeRule:
    """The median rule whose grace is a share of the budget."""
    return lambda spec: Median(spec.budget.updates, _updates(spec, share), samples)


def gradient(probes: int, share: float) -> MakeRule:
    """The gradient rule whose grace is a share of the budget."""
    return lambda spec: Gradient(spec, probes, grace=_updates(spec, share))


class Both:
    """Ends a trial where one rule would and its last `probes` verdicts are bad, too."""

    def __init__(self, rule: Rule, probes: int) -> None:
        self.rule, self.probes = rule, probes

    def hear(self, number: int, told: Mapping[str, object]) -> str | None:
        cause = self.rule.hear(number, told)
        row = told.get("in_a_row")
        bad = isinstance(row, int) and row >= self.probes and told["verdict"] in ("vanishing", "exploding")
        return cause if bad else None


class Either:
    """Ends a trial where one of two rules would."""

    def __init__(self, one: Rule, other: Rule) -> None:
        self.one, self.other = one, other

    def hear(self, number: int, told: Mapping[str, object]) -> str | None:
        causes = self.one.hear(number, told), self.other.hear(number, told)
        return causes[0] or causes[1]


ASHA: dict[str, MakeRule] = {
    f"asha, reduction {reduction:g}, grace {share:.0%}": asha(reduction, share)
    for reduction in (1.2, 2, 3, 4)
    for share in (1 / 9, 0.25, 0.5, 0.75)
}
"""Settings that ASHA's curve is drawn through."""
RULES: dict[str, MakeRule] = {
    "none": lambda spec: Never(spec.budget.updates),
    "asha (as it is)": lambda spec: Asha(spec.budget.updates),
    "asha, reduction 3, grace 50%": asha(3, 0.5),
    "asha, reduction 1.2, grace 75%": asha(1.2, 0.75),
    "median (as it is)": lambda spec: Median(spec.budget.updates),
    "median, 10 samples": median(1 / 9, 10),
    "median, 10 samples, grace 50%": median(0.5, 10),
    "gradient, 1 probe": gradient(1, 1 / 9),
    "gradient, 2 probes": gradient(2, 1 / 9),
    "gradient, 3 probes": gradient(3, 1 / 9),
    "gradient, 4 probes": gradient(4, 1 / 9),
    "gradient, 3 probes, grace 50%": gradient(3, 0.5),
    "gradient, exploding alone": lambda spec: Gradient(spec, 2, verdicts=("exploding",)),
    "gradient, 3 probes, not recovering": lambda spec: Gradient(spec, 3, recovery=1.0),
    "gradient, not recovering from D of 8": lambda spec: Gradient(spec, 1, recovery=0.0, deep=8.0, grace=1),
    "asha and a bad verdict": lambda spec: Both(Asha(spec.budget.updates), 1),
    "asha at 50% or gradient, 2 probes": lambda spec: Either(asha(2, 0.5)(spec), gradient(2, 1 / 9)(spec)),
}
"""What is measured, by name."""


def table(runs: Sequence[FullRun], orders: int, resamples: int) -> list[str]:
    """Markdown, a row a rule; the last column with the interval of the gain where `resamples` is not 0."""
    front = [saved(runs, make, orders) for make in ASHA.values()]
    found = {name: saved(runs, make, orders) for name, make in RULES.items()}
    gains = resampled_gains(runs, resamples)
    lines = [
        "| pruner | updates saved | seconds saved | wrong stops | best trial kept | best arm kept "
        "| more saved than asha at that rate |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, one in found.items():
        lines.append(f"| {name} | {_row(one)} | {_gain(one, front, gains[name])} |")
    return lines


def resampled_gains(runs: Sequence[FullRun], resamples: int) -> dict[str, list[float]]:
    """By rule the gains over ASHA's curve in resamples of the runs' blocks; both from the same resample."""
    gains: dict[str, list[float]] = {name: [] for name in RULES}
    for seed in range(resamples):
        drawn = [resampled(run, seed) for run in runs]
        front = [saved(drawn, make, 1) for make in ASHA.values()]
        for name, make in RULES.items():
            one = saved(drawn, make, 1)
            if one.solvers:
                gains[name].append(one.updates - at_rate(front, one.rate))
    return gains


def _row(one: Saved) -> str:
    low, high = one.interval
    share = f"{one.updates:.0%} | {one.seconds:.0%}"
    if not one.solvers:
        return f"{share} | - | - | -"
    wrong = f"{one.wrong:.3g} of {one.solvers} ({one.rate:.0%} [{low:.0%}, {high:.0%}])"
    return f"{share} | {wrong} | {one.best:.0%} | {one.arm:.0%}"


def _gain(one: Saved, front: Sequence[Saved], resampled: Sequence[float]) -> str:
    if not one.solvers:
        return "-"
    gain = one.updates - at_rate(front, one.rate)
    if not resampled:
        return f"{100 * gain:+.0f} points"
    low, high = np.quantile(resampled, [0.025, 0.975])
    return f"{100 * gain:+.0f} [{100 * low:+.0f}, {100 * high:+.0f}] points"


def _updates(spec: SweepSpec, share: float) -> int:
    return max(1, int(spec.budget.updates * share))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="HOME/SWEEP")
    parser.add_argument("--orders", type=int, default=20)
    parser.add_argument("--resamples", type=int, default=0)
    asked = parser.parse_args()
    runs = []
    for path in asked.runs:
        with Lab.open(Home(path.parent).lab_url) as lab:
            runs.append(full_run(lab, path.name))
    for run in runs:
        solvers = sum(course.solved for course in run.courses)
        print(f"\n### {run.sweep_id}: {len(run.courses)} trials, {solvers} solve the task\n")
        print("\n".join(table([run], asked.orders, 0)))
    if len(runs) > 1:
        print("\n### All together\n")
        print("\n".join(table(runs, asked.orders, asked.resamples)))


if __name__ == "__main__":
    main()
