"""How much each param explains an outcome, by Optuna's evaluators. Neither a direction nor a cause.

An Optuna study is built in memory from the records, one value a trial. A log range goes in as log10 of its values:
fANOVA would else spread its points evenly over the raw numbers, nearly all of them in the last decade.
"""

from __future__ import annotations

import math
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.importance import (
    BaseImportanceEvaluator,
    FanovaImportanceEvaluator,
    PedAnovaImportanceEvaluator,
    get_param_importances,
)

from sweeps.analysis.results import Importance
from sweeps.space.dimensions import Dimension, Value
from sweeps.spec import SweepSpec
from sweeps.store import ReplicateRecord, TrialRecord

OUTCOMES = {
    "score": "the validation score",
    "decades": "|D| at the end (how far the gradient goes astray)",
    "diverged": "the share of replicates that diverged",
}
"""What is explained, each of a trial and better when smaller."""
FEW = 10
"""Trials below which nothing is said."""
TOP = 5
"""Trials that PED-ANOVA wants among the best."""
DEPTH = 8
"""Of fANOVA's trees: enough for every param to split more than once. Optuna's 64 fits noise trial by trial, slowly."""
BEST = 0.1
"""Share of trials that PED-ANOVA calls the best, where that is `TOP` of them or more."""


def importances(
    spec: SweepSpec, trials: Sequence[TrialRecord], replicates: Sequence[ReplicateRecord]
) -> list[Importance]:
    """Shares of the params, summing to 1, by PED-ANOVA and by fANOVA, for each of `OUTCOMES`.

    Complete trials alone. An outcome that is the same in all, or known of fewer than 10 trials, is left out, and so is
    an evaluator that has nothing to tell. Params under several conditions are one, their shares added.
    """
    found = []
    for outcome, values in _outcomes(trials, replicates).items():
        if len(values) < FEW or np.ptp(list(values.values())) < 1e-12:
            continue
        by_block = ", ".join(spec.search.nuisance)
        beside = f" {by_block}: drawn by block, so with whatever else a block brings." if by_block else ""
        study = _study(spec, [trial for trial in trials if trial.number in values], values)
        found += [
            one for one in (_ped_anova(study, outcome, beside), _fanova(study, outcome, beside)) if one is not None
        ]
    return found


def _outcomes(trials: Sequence[TrialRecord], replicates: Sequence[ReplicateRecord]) -> dict[str, dict[int, float]]:
    """Outcome -> trial -> value, finite, better when smaller."""
    complete = [trial for trial in trials if trial.state == "complete"]
    diverged: dict[int, list[bool]] = defaultdict(list)
    for one in replicates:
        diverged[one.trial].append(one.outcome == "diverged")
    scores = {trial.number: trial.score for trial in complete}
    decades = {trial.number: trial.decades for trial in complete}
    return {
        "score": {number: score for number, score in scores.items() if score is not None and math.isfinite(score)},
        "decades": {number: abs(d) for number, d in decades.items() if d is not None and math.isfinite(d)},
        "diverged": {t.number: float(np.mean(diverged[t.number])) for t in complete if diverged[t.number]},
    }


def _study(spec: SweepSpec, trials: Sequence[TrialRecord], values: Mapping[int, float]) -> optuna.Study:
    """A study of finished trials with Optuna's names for their params."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="minimize")
    space = spec.parsed_space
    for trial in trials:
        picked = {name: space.dimension_of(name, trial.params) for name in trial.params}
        params = {dimension.key: _number(dimension, trial.params[name]) for name, dimension in picked.items()}
        distributions = {dimension.key: _distribution(dimension) for dimension in picked.values()}
        study.add_trial(
            optuna.trial.create_trial(params=params, distributions=distributions, value=values[trial.number])
        )
    return study


def _distribution(dimension: Dimension) -> BaseDistribution:
    if dimension.choices:
        return CategoricalDistribution(list(dimension.choices))
    if dimension.log:
        return FloatDistribution(math.log10(dimension.low), math.log10(dimension.high))
    if dimension.whole:
        return IntDistribution(int(dimension.low), int(dimension.high), step=int(dimension.step or 1))
    return FloatDistribution(dimension.low, dimension.high, step=dimension.step)


def _number(dimension: Dimension, value: Value) -> Value:
    return math.log10(float(value)) if dimension.log else value


def _ped_anova(study: optuna.Study, outcome: str, beside: str) -> Importance | None:
    """What sets the best trials apart from all that ran; conditional params are told too."""
    trials = study.get_trials(deepcopy=False)
    values = np.array([trial.value for trial in trials])
    best = max(BEST, TOP / len(trials))
    kept = int((values <= np.sort(values)[math.ceil(best * len(values)) - 1]).sum())
    if kept == len(trials):
        return None
    evaluator = PedAnovaImportanceEvaluator(target_quantile=best, region_quantile=1.0, evaluate_on_local=True)
    note = f"What sets the {kept} of {len(trials)} trials where {OUTCOMES[outcome]} is smallest apart from all of them."
    return _told(study, evaluator, "PED-ANOVA", outcome, note + beside)


def _fanova(study: optuna.Study, outcome: str, beside: str) -> Importance | None:
    """Share of the variance over the whole space, of the params that every trial has."""
    trials = study.get_trials(deepcopy=False)
    everywhere = set.intersection(*(set(trial.params) for trial in trials))
    dropped = sorted({_name(key) for trial in trials for key in trial.params if key not in everywhere})
    note = f"Share of the variance of {OUTCOMES[outcome]}, each param by itself."
    if dropped:
        note += f" Not assessed, since not every trial has it: {', '.join(dropped)}."
    return _told(
        study, FanovaImportanceEvaluator(n_trees=64, max_depth=DEPTH, seed=0), "fANOVA", outcome, note + beside
    )


def _told(
    study: optuna.Study, evaluator: BaseImportanceEvaluator, name: str, outcome: str, note: str
) -> Importance | None:
    with warnings.catch_warnings():
        # that `normalize` is experimental, and that a level ran once: neither is the reader's to act on
        warnings.simplefilter("ignore")
        # normalised, all zeros would come back as equal shares
        raw = get_param_importances(study, evaluator=evaluator, normalize=False)
    shares: dict[str, float] = defaultdict(float)
    for key, value in raw.items():
        shares[_name(key)] += value
    total = sum(shares.values())
    if not total > 0:
        return None
    shown = dict(sorted(((name, value / total) for name, value in shares.items()), key=lambda one: -one[1]))
    return Importance.model_validate(
        {"evaluator": name, "outcome": outcome, "shares": shown, "trials": len(study.trials), "note": note}
    )


def _name(key: str) -> str:
    """`activation[cell=rnn]` -> `activation`."""
    return key.partition("[")[0]
