"""A study that stays small: of a long sweep the latest trials and the best ones."""

from __future__ import annotations

import optuna
from optuna.trial import TrialState

LATEST = 1000
"""Trials that ended last, all of which a sampler is fitted to."""
BEST = 25
"""Best trials of all, however old, that it is fitted to as well: TPE's good ones are at most 25 (its gamma)."""
MOST = 1275
"""Trials that a study holds before the others are dropped: up to here a sampler sees every trial."""


def recent(study: optuna.Study) -> tuple[optuna.Study, dict[int, int]]:
    """The latest, the best and the unfinished trials of a study in a new one, in their order; new numbers by old.

    TPE compares a density of the 25 best trials with one of all others. The first is that of the whole sweep, since
    those 25 stay; the second is fitted to the latest, in which TPE gives older trials less weight anyway.
    """
    trials = study.get_trials(deepcopy=False)
    ended = [trial for trial in trials if trial.state.is_finished()]
    complete = [trial for trial in ended if trial.state is TrialState.COMPLETE]
    kept = {trial.number for trial in ended[-LATEST:]}
    kept |= {trial.number for trial in sorted(complete, key=lambda trial: (trial.value, trial.number))[:BEST]}
    kept |= {trial.number for trial in trials if not trial.state.is_finished()}
    small = optuna.create_study(study_name=study.study_name, direction="minimize")
    small.sampler = optuna.samplers.RandomSampler(0)  # asked nothing: each ask brings its own
    numbers = sorted(kept)
    for number in numbers:
        small.add_trial(trials[number])
    return small, {old: new for new, old in enumerate(numbers)}


def live_trial(study: optuna.Study, number: int) -> optuna.trial.Trial:
    """The trial of a study that still runs, to report to."""
    return optuna.trial.Trial(study, study.get_trials(deepcopy=False)[number]._trial_id)
