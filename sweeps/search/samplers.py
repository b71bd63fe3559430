"""Optuna's samplers, seeded anew before each ask."""

from __future__ import annotations

import warnings

import optuna

from rnnlab.choices import choose
from rnnlab.training.seeding import seed_of
from sweeps.search import SAMPLERS
from sweeps.search.spec import SearchSpec


def random(seed: int) -> optuna.samplers.BaseSampler:
    """Independent draws. Also what fills a table's trials, all of whose params are enqueued."""
    return optuna.samplers.RandomSampler(seed)


def tpe(seed: int, startup: int = 10) -> optuna.samplers.BaseSampler:
    """TPE over groups of params that occur together, so that conditional ones are sampled jointly too.

    With one worker the same seed asks the same configurations; with several the order of tells differs.
    It is fitted to all trials up to 1,275, then to the latest 1,000 to 1,275 and the best 25 (`sweeps.search.recent`).
    """
    with warnings.catch_warnings():
        # `group` is marked experimental; without it, params under a condition are sampled independently
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup, multivariate=True, group=True)


def sampler_for(search: SearchSpec, number: int) -> optuna.samplers.BaseSampler:
    """A fresh sampler for trial `number`, so that a resumed sweep does not ask its first points again.

    Of a design: TPE, which inside an arm starts with at most half of the arm's trials at random; a table's trials ask
    it nothing.
    """
    seed = seed_of("sampler", search.seed, number) % 2**32
    if search.design is not None:
        return tpe(seed, startup=min(10, (search.trials or 0) // 2))
    sampler: optuna.samplers.BaseSampler = choose(SAMPLERS, search.sampler.kind).load()(seed, **search.sampler.options)
    return sampler
